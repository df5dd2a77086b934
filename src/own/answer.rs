//! The answers that the proxy writes itself: pages, plain pages, JSON, and the way back; all with safe headers.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    RETRY_AFTER, X_CONTENT_TYPE_OPTIONS, X_DNS_PREFETCH_CONTROL,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use uuid::Uuid;

use super::Call;
use super::form::Unreadable;
use crate::clock::Timestamp;
use crate::filter::{Body, body};
use crate::visit::Scheme;
use crate::web::page::{self, Link, Message};

/// What tells that something was recorded, and where.
pub(super) const RECEIPT: HeaderName = HeaderName::from_static("consentry-receipt");

/// What is kept by nobody: it is one visitor's alone.
pub(super) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("30");

/// An answer of known bytes.
pub(crate) fn of(status: StatusCode, content_type: &'static str, bytes: impl Into<Bytes>) -> Response<Body> {
    let mut answer = Response::new(body::full(bytes));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Forms of ours must be able to say where they come from, and nobody else need know.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    answer
}

/// A page under a Content-Security-Policy.
pub(crate) fn page(status: StatusCode, policy: &'static str, html: String) -> Response<Body> {
    let mut answer = of(status, "text/html; charset=utf-8", html);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    // No policy keeps browsers from looking up whoever is linked to, before anybody follows.
    headers.insert(X_DNS_PREFETCH_CONTROL, HeaderValue::from_static("off"));
    answer
}

/// JSON for programs.
pub(super) fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    of(status, "application/json", value.to_string())
}

/// The way back after a form.
pub(crate) fn see_other(to: &str) -> Response<Body> {
    let mut answer = of(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    answer.headers_mut().insert(LOCATION, to);
    answer
}

/// Whether the caller is a program that asked for JSON.
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let accept = accept.to_ascii_lowercase();
    (accept.contains("application/json") || accept.contains("application/problem+json"))
        && !accept.contains("text/html")
}

/// A `Set-Cookie` line for one of our cookies; browsers keep it until `expires`.
pub(super) fn cookie(
    name: &str,
    value: &str,
    now: Timestamp,
    expires: Timestamp,
    scheme: Scheme,
) -> HeaderValue {
    let age = (expires.as_second() - now.as_second()).max(0);
    let secure = if scheme == Scheme::Https { "; Secure" } else { "" };
    let line = format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&line).expect("a signed value is base64url")
}

/// The header that names what was recorded.
pub(super) fn receipt(id: Uuid) -> HeaderValue {
    HeaderValue::from_str(&id.to_string()).expect("a UUID is hexadecimal digits and hyphens")
}

/// The moment `lifetime` after `from`; the end of time where there is none.
pub(super) fn after(from: Timestamp, lifetime: Duration) -> Timestamp {
    from.checked_add(lifetime).unwrap_or(Timestamp::MAX)
}

/// Keeps an answer that is one visitor's from the caches of others.
pub(super) fn keep_private(headers: &mut HeaderMap) {
    let is_private = |value: &HeaderValue| {
        value.to_str().is_ok_and(|value| {
            let value = value.to_ascii_lowercase();
            value.contains("private") || value.contains("no-store")
        })
    };
    if !headers.get_all(CACHE_CONTROL).iter().any(is_private) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    }
}

impl Call<'_> {
    /// A plain page, or the same as a problem for programs.
    pub(super) fn message(&self, status: StatusCode, message: Message) -> Response<Body> {
        self.message_with_link(status, message, None)
    }

    pub(super) fn message_with_link(
        &self,
        status: StatusCode,
        message: Message,
        link: Option<Link<'_>>,
    ) -> Response<Body> {
        if wants_json(&self.head.headers) {
            return of(status, "application/problem+json", page::problem(status, message));
        }
        page(status, page::message_policy(), page::message(Some(self.look()), &self.language, message, link))
    }

    pub(super) fn wrong_method(&self, allowed: &'static str) -> Response<Body> {
        let mut answer = self.message(StatusCode::METHOD_NOT_ALLOWED, Message::WrongMethod);
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        answer
    }

    /// The ledger does not work: nothing was recorded, and nothing is agreed to.
    pub(super) fn not_recorded(&self, message: Message) -> Response<Body> {
        let mut answer = self.message(StatusCode::SERVICE_UNAVAILABLE, message);
        answer.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
        answer
    }

    pub(super) fn unreadable(&self, why: &Unreadable) -> Response<Body> {
        match why {
            Unreadable::TooLarge => self.message(StatusCode::PAYLOAD_TOO_LARGE, Message::TooLarge),
            Unreadable::NotAForm => self.message(StatusCode::BAD_REQUEST, Message::BadRequest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_of_ours_is_out_of_reach_of_scripts_and_other_sites() {
        let (now, later) = (Timestamp::UNIX_EPOCH, after(Timestamp::UNIX_EPOCH, Duration::from_secs(60)));
        let line = |scheme| cookie("consentry", "abc", now, later, scheme);
        assert_eq!(line(Scheme::Http), "consentry=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax");
        assert_eq!(line(Scheme::Https), "consentry=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
        assert_eq!(after(now, Duration::MAX), Timestamp::MAX);
    }

    #[test]
    fn browsers_get_pages_and_programs_get_json() {
        for (accept, expected) in [
            ("application/json", true),
            ("Application/JSON, */*", true),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("text/html, application/json", false),
            ("*/*", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(wants_json(&headers), expected, "{accept}");
        }
        assert!(!wants_json(&HeaderMap::new()));
    }
}
