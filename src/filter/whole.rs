//! Bodies that are read whole before they leave: style sheets and service workers.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Collected, Limited};

use super::body::{self, Body};
use super::case::Case;
use super::encoding::{self, Coded, Coding, Decoder, Encoder};
use super::{Plan, Settings, apply, caching, headers};
use crate::visit::Visit;

/// Filters an answer for this visitor, as [`apply`] does all others, and puts what `rewrite` makes of its body in place of
/// it; nothing: it stays as it came, and may be kept by caches. One that cannot be read is refused under the word `kind`.
pub(super) async fn filter<B>(
    settings: &Arc<Settings>,
    visit: &Visit,
    plan: Plan,
    answer: Response<B>,
    (report, kind): (body::Report, &'static str),
    rewrite: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<body::Error> + Send + Unpin,
{
    let (head, upstream) = answer.into_parts();
    let Whole { coded, coding, plain } = match read(&head.headers, upstream, settings.html_token).await {
        Ok(whole) => whole,
        Err(Unread::Opaque) => return super::refused(&report, "unknown-coding"),
        Err(Unread::Broken) => return super::refused(&report, kind),
    };
    let to = encoding::agreed(coding, plan.accept_encoding.as_ref());
    let answer = Response::from_parts(head, body::full(coded));
    let mut answer = apply(settings, visit, plan, answer, report.clone());
    let Some(rewritten) = rewrite(&plain) else { return answer };
    headers::rewritten(answer.headers_mut(), to);
    caching::rewritten(answer.headers_mut(), || Case::new(settings, visit).epoch(), to);
    match encoded(&rewritten, to) {
        Some(bytes) => *answer.body_mut() = body::full(bytes),
        None => return super::refused(&report, "encoding"),
    }
    answer
}

/// A body that was read whole.
struct Whole {
    /// As it came.
    coded: Bytes,
    /// What it is coded with.
    coding: Coding,
    /// What it decodes to.
    plain: Vec<u8>,
}

/// Why a body could not be read.
enum Unread {
    /// Nobody knows what it is coded with.
    Opaque,
    /// It broke off, cannot be decoded, or is larger than may be kept of it.
    Broken,
}

/// Reads a body to its end, `most` bytes at most; 0 is no limit.
async fn read<B>(headers: &HeaderMap, upstream: B, most: usize) -> Result<Whole, Unread>
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
fn encoded(plain: &[u8], coding: Coding) -> Option<Vec<u8>> {
    let mut encoder = Encoder::new(coding).ok()?;
    encoder.write(plain).ok()?;
    encoder.finish().ok()
}
