//! The shop's answers: character sets, compression, redirects, cookies.

use std::io::Write;

use bytes::Bytes;
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, SET_COOKIE, VARY,
};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::Full;

/// How a page's letters become bytes, and whether its header says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// ISO-8859-1, named in `Content-Type`.
    Latin,
    /// ISO-8859-1, named in a `meta` element at most.
    LatinUndeclared,
    /// UTF-8, named in `Content-Type`.
    Unicode,
}

impl Charset {
    fn encoding(self) -> &'static Encoding {
        match self {
            // To browsers, ISO-8859-1 is a name of windows-1252 (WHATWG Encoding Standard section 4.2).
            Charset::Latin | Charset::LatinUndeclared => WINDOWS_1252,
            Charset::Unicode => UTF_8,
        }
    }

    fn content_type(self) -> &'static str {
        match self {
            Charset::Latin => "text/html; charset=ISO-8859-1",
            Charset::LatinUndeclared => "text/html",
            Charset::Unicode => "text/html; charset=utf-8",
        }
    }

    /// The letters that these bytes mean.
    pub(super) fn decode(self, bytes: &[u8]) -> String {
        self.encoding().decode_without_bom_handling(bytes).0.into_owned()
    }
}

/// Whether the client can read gzip (an old server looks no closer than this).
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("gzip") && !value.contains("gzip;q=0"))
}

/// A page of HTML.
pub(super) fn page(charset: Charset, html: &str) -> Response<Full<Bytes>> {
    let (bytes, _, _) = charset.encoding().encode(html);
    typed(charset.content_type(), bytes.into_owned())
}

/// A page of HTML, compressed where the client can read that.
pub(super) fn compressed_page(charset: Charset, html: &str, takes_gzip: bool) -> Response<Full<Bytes>> {
    let (bytes, _, _) = charset.encoding().encode(html);
    let mut answer = match takes_gzip.then(|| gzip(&bytes)).flatten() {
        Some(smaller) => with(typed(charset.content_type(), smaller), CONTENT_ENCODING, "gzip"),
        None => typed(charset.content_type(), bytes.into_owned()),
    };
    answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    answer
}

fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

/// Anything else: a style sheet, a picture, JSON.
pub(super) fn file(content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Full<Bytes>> {
    typed(content_type, bytes)
}

/// Leads to another address.
pub(super) fn see(url: &str) -> Response<Full<Bytes>> {
    let mut answer = with(typed("text/html", "<a href=\"/\">Flyttad</a>"), LOCATION, url);
    *answer.status_mut() = StatusCode::FOUND;
    answer
}

/// `answer` that sets `cookie` as well.
pub(super) fn with_cookie(answer: Response<Full<Bytes>>, cookie: &str) -> Response<Full<Bytes>> {
    with(answer, SET_COOKIE, cookie)
}

/// `answer` with the status of a page that is not there.
pub(super) fn not_found(mut answer: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    *answer.status_mut() = StatusCode::NOT_FOUND;
    answer
}

/// A form that the shop does not read to the end.
pub(super) fn refused(reason: &'static str) -> Response<Full<Bytes>> {
    let mut answer = typed("text/plain", reason);
    *answer.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
    answer
}

fn typed(content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(bytes.into()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn with(mut answer: Response<Full<Bytes>>, name: HeaderName, value: &str) -> Response<Full<Bytes>> {
    // The shop writes only addresses and tokens of its own making here.
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().append(name, value);
    }
    answer
}
