//! WebSocket over HTTP/2 (RFC 8441), as HTTP/1.1 asks for it and answers: everything behind the listener knows that
//! form alone.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::ext::Protocol;

use crate::filter::{self, Body};

/// A handshake that was asked for in the form of HTTP/2 and waits for its answer.
#[derive(Debug)]
pub(super) struct Handshake {
    key: HeaderValue,
}

impl Handshake {
    /// Writes an extended CONNECT for WebSocket as the GET with `Upgrade` that it stands for; other requests stay as
    /// they are.
    pub(super) fn as_http1<B>(request: &mut Request<B>) -> Option<Self> {
        let asks = |protocol: &Protocol| protocol.as_str().eq_ignore_ascii_case("websocket");
        if request.method() != Method::CONNECT || !request.extensions().get().is_some_and(asks) {
            return None;
        }
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).ok()?;
        let key = HeaderValue::try_from(STANDARD.encode(nonce)).ok()?;
        *request.method_mut() = Method::GET;
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_KEY, key.clone());
        Some(Handshake { key })
    }

    /// Writes the answer as HTTP/2 does: 200 in place of 101. The client cannot see whether the other side has
    /// understood the handshake (RFC 6455 section 4.1), so it is seen to here.
    pub(super) fn as_http2(&self, answer: Response<Body>) -> Response<Body> {
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            return answer;
        }
        let is_understood = answer.headers().get(SEC_WEBSOCKET_ACCEPT) == self.accept().as_ref();
        if !is_understood {
            tracing::warn!("the upstream switched to WebSocket without having understood the handshake");
            let mut refusal = Response::new(filter::body::full("no WebSocket\n"));
            *refusal.status_mut() = StatusCode::BAD_GATEWAY;
            return refusal;
        }
        let mut answer = answer;
        *answer.status_mut() = StatusCode::OK;
        for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT, CONTENT_LENGTH, TRANSFER_ENCODING] {
            answer.headers_mut().remove(name);
        }
        answer
    }

    fn accept(&self) -> Option<HeaderValue> {
        const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[self.key.as_bytes(), MAGIC].concat());
        HeaderValue::try_from(STANDARD.encode(hash)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_answered_as_the_standard_says() {
        // The example of RFC 6455 section 1.3.
        let handshake = Handshake { key: HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==") };
        assert_eq!(handshake.accept().unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_a_connect_for_websocket_is_another_form_of_get() {
        for (method, protocol, expected) in [
            (Method::CONNECT, Some("websocket"), Method::GET),
            (Method::CONNECT, Some("connect-udp"), Method::CONNECT),
            (Method::CONNECT, None, Method::CONNECT),
            (Method::POST, Some("websocket"), Method::POST),
        ] {
            let mut request = Request::new(());
            *request.method_mut() = method;
            if let Some(protocol) = protocol {
                request.extensions_mut().insert(Protocol::from(protocol));
            }
            let handshake = Handshake::as_http1(&mut request);
            assert_eq!(*request.method(), expected, "{protocol:?}");
            assert_eq!(handshake.is_some(), request.headers().contains_key(UPGRADE));
        }
    }

    #[test]
    fn a_switch_without_the_right_key_is_none() {
        let handshake = || Handshake { key: HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==") };
        for (accept, status) in [
            (Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), 200),
            (Some("dGhlIHNhbXBsZSBub25jZQ=="), 502),
            (None, 502),
        ] {
            let mut answer = Response::new(filter::body::full(""));
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            answer.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
            if let Some(accept) = accept {
                answer.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static(accept));
            }
            let answer = handshake().as_http2(answer);
            assert_eq!(answer.status(), status);
            assert!(!answer.headers().contains_key(UPGRADE));
        }
    }
}
