//! The listener that only leads to HTTPS (`redirect_to_https: true`).

use http::header::{HOST, LOCATION};
use http::uri::Authority;
use http::{HeaderValue, Request, Response, StatusCode};

use super::{App, Peer};
use crate::filter::body::{self, Body};

/// Answers every request with the same address over HTTPS, in the place of an app that only takes note.
#[derive(Clone, Debug)]
pub(super) struct RedirectToHttps<A>(pub(super) A);

impl<A: App> App for RedirectToHttps<A> {
    async fn answer(&self, request: Request<Body>, peer: Peer) -> Response<Body> {
        let mut response = Response::new(body::full(""));
        match location(&request) {
            Some(location) => {
                // 308 and not 301: a form that was posted is posted again (RFC 9110 section 15.4.9).
                *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
                response.headers_mut().insert(LOCATION, location);
            }
            None => *response.status_mut() = StatusCode::BAD_REQUEST,
        }
        self.0.note(&request, &peer, response)
    }
}

/// The same address over HTTPS, on its default port.
fn location<B>(request: &Request<B>) -> Option<HeaderValue> {
    let mut hosts = request.headers().get_all(HOST).into_iter();
    let authority = match (request.uri().authority(), hosts.next(), hosts.next()) {
        (Some(authority), _, None) => authority.clone(),
        (None, Some(host), None) => Authority::try_from(host.as_bytes()).ok()?,
        _ => return None,
    };
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return None;
    }
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let target = if target.starts_with('/') { target } else { "/" };
    HeaderValue::try_from(format!("https://{}{target}", authority.host())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_path_and_query_follow_to_https() {
        for (host, target, expected) in [
            (Some("example.se"), "/a/%20b?c=d&e", Some("https://example.se/a/%20b?c=d&e")),
            (Some("example.se:8080"), "/", Some("https://example.se/")),
            (Some("[::1]:8080"), "/", Some("https://[::1]/")),
            (Some("example.se"), "http://example.se/a", Some("https://example.se/a")),
            (Some("example.se"), "*", Some("https://example.se/")),
            (None, "/", None),
            (Some("a@example.se"), "/", None),
            (Some("exa mple.se"), "/", None),
            (Some(""), "/", None),
        ] {
            let mut request = Request::builder().uri(target);
            if let Some(host) = host {
                request = request.header(HOST, host);
            }
            let location = location(&request.body(()).unwrap());
            assert_eq!(location.as_ref().map(|value| value.to_str().unwrap()), expected, "{host:?} {target}");
        }
    }
}
