//! What never changes under its name: style sheet and script of ours, compressed once; and `gpc.json`.

use std::io::Write;
use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::{Call, answer};
use crate::filter::Body;
use crate::web::page::{self, Message};
use crate::web::{self, Logo, guard};

struct Packed {
    brotli: Bytes,
    gzip: Bytes,
}

static STYLESHEET: LazyLock<Packed> = LazyLock::new(|| pack(page::stylesheet().as_bytes()));
static KNOWN: LazyLock<Packed> = LazyLock::new(|| pack(guard::known_script().as_bytes()));
static EMBED: LazyLock<Packed> = LazyLock::new(|| pack(web::embed_script().as_bytes()));

/// `GET /_consent/assets/NAME.HASH.EXT`
pub(super) fn send(call: &Call<'_>, name: &str) -> Response<Body> {
    if let Some(logo) = call.look().theme.logo.as_ref().filter(|logo| *logo.name == *name) {
        return picture(logo);
    }
    let (packed, plain, content_type) = if name == page::stylesheet_name() {
        (&STYLESHEET, page::stylesheet(), "text/css; charset=utf-8")
    } else if name == web::embed_script_name() {
        (&EMBED, web::embed_script(), "text/javascript; charset=utf-8")
    } else if name == guard::known_script_name() {
        (&KNOWN, guard::known_script(), "text/javascript; charset=utf-8")
    } else {
        return call.message(StatusCode::NOT_FOUND, Message::NotFound);
    };
    let (coding, bytes) = match coding(&call.head.headers) {
        Coding::Brotli => (Some("br"), packed.brotli.clone()),
        Coding::Gzip => (Some("gzip"), packed.gzip.clone()),
        Coding::Identity => (None, Bytes::from_static(plain.as_bytes())),
    };
    let mut answer = answer::of(StatusCode::OK, content_type, bytes);
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    answer
}

/// A picture of the operator's. What SVG could run or load is locked away, should anybody open it as a page.
fn picture(logo: &Logo) -> Response<Body> {
    let mut answer = answer::of(StatusCode::OK, logo.media_type, Bytes::copy_from_slice(&logo.bytes));
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox";
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    answer
}

/// `GET /.well-known/gpc.json` (Global Privacy Control, W3C, section 4)
pub(super) fn global_privacy_control() -> Response<Body> {
    let mut answer = answer::json(StatusCode::OK, &serde_json::json!({ "gpc": true }));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    answer
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Brotli,
    Gzip,
    Identity,
}

/// The smallest coding that the client takes (RFC 9110 section 12.5.3).
fn coding(headers: &HeaderMap) -> Coding {
    let accepted = headers.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let takes = |name: &str| {
        accepted.split(',').any(|item| {
            let (coding, weight) = item.split_once(';').unwrap_or((item, "q=1"));
            let weight =
                weight.trim().strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
            coding.trim().eq_ignore_ascii_case(name) && weight.is_some_and(|weight| weight > 0.0)
        })
    };
    if takes("br") {
        Coding::Brotli
    } else if takes("gzip") {
        Coding::Gzip
    } else {
        Coding::Identity
    }
}

fn pack(bytes: &[u8]) -> Packed {
    const MEMORY: &str = "writing into memory does not fail";
    let mut brotli = Vec::new();
    let settings = brotli::enc::BrotliEncoderParams::default();
    brotli::BrotliCompress(&mut &*bytes, &mut brotli, &settings).expect(MEMORY);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(bytes).expect(MEMORY);
    Packed { brotli: brotli.into(), gzip: gzip.finish().expect(MEMORY).into() }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_client_gets_the_smallest_coding_that_it_takes() {
        for (accepted, expected) in [
            ("gzip, deflate, br, zstd", Coding::Brotli),
            ("gzip;q=0.5", Coding::Gzip),
            ("br;q=0, gzip", Coding::Gzip),
            ("BR", Coding::Brotli),
            ("brotli", Coding::Identity),
            ("", Coding::Identity),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static(accepted))]);
            assert_eq!(coding(&headers), expected, "{accepted}");
        }
    }

    #[test]
    fn every_coding_holds_the_same_sheet() {
        let packed = pack(page::stylesheet().as_bytes());
        let (mut from_brotli, mut from_gzip) = (Vec::new(), String::new());
        brotli::BrotliDecompress(&mut &*packed.brotli, &mut from_brotli).unwrap();
        flate2::read::GzDecoder::new(&*packed.gzip).read_to_string(&mut from_gzip).unwrap();
        assert_eq!(from_brotli, page::stylesheet().as_bytes());
        assert_eq!(from_gzip, page::stylesheet());
    }
}
