//! What an upstream may answer: a head that two readers would read alike, and trailers that change nothing of it.
//! Pure.

use http::header::{
    AGE, ALT_SVC, AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, DATE, EXPECT, EXPIRES, HOST, LINK,
    LOCATION, MAX_FORWARDS, RANGE, REFRESH, RETRY_AFTER, SET_COOKIE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    VARY, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::outgoing;
use crate::visit::values;

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Lie {
    /// Which of the two is true decides where the answer ends (RFC 9112 section 6.3).
    #[error("it gave a length beside a transfer coding")]
    TwoLengths,
    /// The visitor would get the coded bytes for the answer.
    #[error("it used another transfer coding than chunked")]
    TransferCoding,
    /// It switched protocols, and nobody had asked for it or for that one.
    #[error("it switched to a protocol that nobody asked for")]
    Switch,
}

/// Whether a request asked for WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    WebSocket,
    Nothing,
}

/// Checks the head of an answer, and writes its length once where it was written twice.
pub(super) fn check<B>(answer: &mut Response<B>, asked: Asked) -> Result<(), Lie> {
    let status = answer.status();
    let headers = answer.headers_mut();
    let mut codings = headers.get_all(TRANSFER_ENCODING).into_iter();
    match (codings.next(), codings.next()) {
        (None, _) => {}
        (Some(_), _) if headers.contains_key(CONTENT_LENGTH) => return Err(Lie::TwoLengths),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {}
        (Some(_), _) => return Err(Lie::TransferCoding),
    }
    if status == StatusCode::SWITCHING_PROTOCOLS {
        let is_websocket = values(headers, UPGRADE).any(|it| it.eq_ignore_ascii_case("websocket"));
        if asked == Asked::Nothing || !is_websocket {
            return Err(Lie::Switch);
        }
    }
    write_length_once(headers, status);
    Ok(())
}

/// hyper has checked that all lengths agree; some browsers take one line alone.
fn write_length_once(headers: &mut HeaderMap, status: StatusCode) {
    if status == StatusCode::NO_CONTENT {
        // RFC 9110 section 8.6.
        headers.remove(CONTENT_LENGTH);
        return;
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).into_iter();
    let is_once = |line: &HeaderValue| line.as_bytes().iter().all(u8::is_ascii_digit);
    if lengths.next().is_none_or(is_once) && lengths.next().is_none() {
        return;
    }
    let length = values(headers, CONTENT_LENGTH).next().and_then(|length| length.parse::<u64>().ok());
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// What may not stand in a trailer, because it frames, routes, permits or describes what has passed already
/// (RFC 9110 section 6.5.1), or because it would act past the filters of headers.
const NEVER_LATE: [HeaderName; 27] = [
    AGE,
    ALT_SVC,
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    CONTENT_SECURITY_POLICY,
    CONTENT_TYPE,
    COOKIE,
    DATE,
    EXPECT,
    EXPIRES,
    HOST,
    LINK,
    LOCATION,
    MAX_FORWARDS,
    RANGE,
    REFRESH,
    RETRY_AFTER,
    SET_COOKIE,
    TRAILER,
    VARY,
    WWW_AUTHENTICATE,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("strict-transport-security"),
];

/// Takes out of trailers what may stand in a head alone, whichever way they go.
pub(super) fn filter_trailers(trailers: &mut HeaderMap) {
    for name in &NEVER_LATE {
        trailers.remove(name);
    }
    outgoing::strip_hop_by_hop(trailers);
    outgoing::remove_claims(trailers);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(status: u16, asked: Asked, headers: &[(HeaderName, &'static str)]) -> Result<String, Lie> {
        let mut answer = Response::builder().status(status).body(()).unwrap();
        for (name, value) in headers {
            answer.headers_mut().append(name, HeaderValue::from_static(value));
        }
        check(&mut answer, asked)?;
        let lengths: Vec<_> = answer.headers().get_all(CONTENT_LENGTH).into_iter().collect();
        assert!(lengths.len() <= 1);
        Ok(lengths.first().map_or(String::new(), |length| length.to_str().unwrap().to_owned()))
    }

    #[test]
    fn heads_that_two_readers_read_differently_are_lies() {
        use Asked::{Nothing, WebSocket};
        for (status, asked, headers, expected) in [
            (200, Nothing, &[][..], Ok("")),
            (200, Nothing, &[(CONTENT_LENGTH, "12")], Ok("12")),
            (200, Nothing, &[(CONTENT_LENGTH, "12"), (CONTENT_LENGTH, "12")], Ok("12")),
            (200, Nothing, &[(CONTENT_LENGTH, "12, 12")], Ok("12")),
            (204, Nothing, &[(CONTENT_LENGTH, "12")], Ok("")),
            (304, Nothing, &[(CONTENT_LENGTH, "12")], Ok("12")),
            (200, Nothing, &[(TRANSFER_ENCODING, "Chunked")], Ok("")),
            (200, Nothing, &[(TRANSFER_ENCODING, "chunked"), (CONTENT_LENGTH, "12")], Err(Lie::TwoLengths)),
            (200, Nothing, &[(TRANSFER_ENCODING, "gzip, chunked")], Err(Lie::TransferCoding)),
            (200, Nothing, &[(TRANSFER_ENCODING, "identity")], Err(Lie::TransferCoding)),
            (
                200,
                Nothing,
                &[(TRANSFER_ENCODING, "chunked"), (TRANSFER_ENCODING, "chunked")],
                Err(Lie::TransferCoding),
            ),
            (101, Nothing, &[(UPGRADE, "websocket")], Err(Lie::Switch)),
            (101, WebSocket, &[(UPGRADE, "h2c")], Err(Lie::Switch)),
            (101, WebSocket, &[], Err(Lie::Switch)),
            (101, WebSocket, &[(UPGRADE, "WebSocket")], Ok("")),
        ] {
            let outcome = checked(status, asked, headers);
            assert_eq!(outcome, expected.map(str::to_owned), "{status} {headers:?}");
        }
    }

    #[test]
    fn trailers_say_nothing_that_belongs_in_a_head() {
        let mut trailers = HeaderMap::new();
        for name in [
            "content-length",
            "set-cookie",
            "cookie",
            "transfer-encoding",
            "connection",
            "host",
            "authorization",
            "x-forwarded-for",
            "x_real_ip",
            "forwarded",
            "x-original-url",
            "proxy-authorization",
            "content-security-policy",
            "x-checksum",
            "server-timing",
            "grpc-status",
            "digest",
        ] {
            trailers.insert(name, HeaderValue::from_static("1"));
        }
        filter_trailers(&mut trailers);
        let mut left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["digest", "grpc-status", "server-timing", "x-checksum"]);
    }
}
