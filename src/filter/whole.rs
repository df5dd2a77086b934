//! Bodies that are read whole before they leave: style sheets and service workers.

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Collected, Limited};

use super::body;
use super::encoding::{self, Coded, Coding, Decoder, Encoder};

/// A body that was read whole.
pub(super) struct Whole {
    /// As it came.
    pub coded: Bytes,
    /// What it is coded with.
    pub coding: Coding,
    /// What it decodes to.
    pub plain: Vec<u8>,
}

/// Why a body could not be read.
pub(super) enum Unread {
    /// Nobody knows what it is coded with.
    Opaque,
    /// It broke off, cannot be decoded, or is larger than may be kept of it.
    Broken,
}

/// Reads a body to its end, `most` bytes at most; 0 is no limit.
pub(super) async fn read<B>(headers: &HeaderMap, upstream: B, most: usize) -> Result<Whole, Unread>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<body::Error> + Send + Unpin,
{
    let Coded::Once(coding) = encoding::coded(headers) else { return Err(Unread::Opaque) };
    let most = if most == 0 { usize::MAX } else { most };
    let coded = Limited::new(upstream, most).collect().await.map(Collected::to_bytes);
    let coded = coded.map_err(|_| Unread::Broken)?;
    let plain = decoded(&coded, coding, most).ok_or(Unread::Broken)?;
    Ok(Whole { coded, coding, plain })
}

/// What a body decodes to; none where it cannot be decoded, or to more than `most`.
fn decoded(coded: &[u8], coding: Coding, most: usize) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(coding).ok()?;
    let (mut plain, mut rest) = (Vec::new(), coded);
    loop {
        let (step, bytes) = decoder.step(rest).ok()?;
        plain.extend_from_slice(bytes);
        rest = rest.get(step.consumed..)?;
        if plain.len() > most {
            return None;
        }
        if rest.is_empty() && !step.is_full {
            // One that is cut short is read as far as it goes, as browsers do.
            return Some(plain);
        }
    }
}

/// A body, coded.
pub(super) fn encoded(plain: &[u8], coding: Coding) -> Option<Vec<u8>> {
    let mut encoder = Encoder::new(coding).ok()?;
    encoder.write(plain).ok()?;
    encoder.finish().ok()
}
