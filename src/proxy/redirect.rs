//! What a listener answers that only leads to HTTPS (`redirect_to_https: true`).
//!
//! It leads nobody to a host that no site has: whoever can make a browser, or a cache in between, send such a request
//! would choose where it goes.

use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};

use super::access_log::{By, Line};
use super::refuse::{Host, refuse};
use super::reply;
use crate::filter::body::{self, Body};
use crate::listener::Peer;
use crate::site::Sites;

/// The way to the same address over HTTPS, or a refusal.
pub(super) fn answer(sites: &Sites, request: &Parts, peer: &Peer, line: &mut Line) -> Response<Body> {
    let host = match refuse(request, peer) {
        Ok(host) => host,
        Err(refusal) => {
            line.refused(refusal.reason());
            return reply::refused(refusal);
        }
    };
    if sites.find(&host.canonical).is_none() {
        line.refused("unknown-host");
        return reply::unknown_site(request);
    }
    line.hand_to(By::Redirect);
    let mut answer = Response::new(body::full(""));
    // 308 and not 301: a form that was posted is posted again (RFC 9110 section 15.4.9).
    *answer.status_mut() = StatusCode::PERMANENT_REDIRECT;
    answer.headers_mut().insert(LOCATION, location(&host, request));
    answer
}

/// The same address over HTTPS, on its default port.
fn location(host: &Host, request: &Parts) -> HeaderValue {
    let target = request.uri.path_and_query().map_or("/", |target| target.as_str());
    // `OPTIONS *` is about the server as a whole.
    let target = if target.starts_with('/') { target } else { "/" };
    HeaderValue::try_from(format!("https://{}{target}", host.canonical))
        .expect("a canonical host and a target that was parsed hold no control characters")
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_same_path_and_query_follow_to_https() {
        for (canonical, target, expected) in [
            ("example.se", "/a/%20b?c=d&e", "https://example.se/a/%20b?c=d&e"),
            ("[::1]", "/", "https://[::1]/"),
            ("example.se", "http://example.se/a", "https://example.se/a"),
            ("example.se", "http://example.se", "https://example.se/"),
            ("example.se", "//evil.example", "https://example.se//evil.example"),
            ("example.se", "*", "https://example.se/"),
        ] {
            let host = Host { canonical: canonical.into(), authority: format!("{canonical}:8080").into() };
            let request = Request::builder().uri(target).body(()).unwrap().into_parts().0;
            assert_eq!(location(&host, &request), expected, "{target}");
        }
    }
}
