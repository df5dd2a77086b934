//! One line in the log for each request: no query, no cookie, and no more of the address than the settings say.

use std::net::IpAddr;
use std::time::Instant;

use http::{Method, Request, StatusCode};

/// What a line says, while its request is under way.
pub(super) struct Line {
    method: Method,
    host: Box<str>,
    path: Box<str>,
    client: Option<IpAddr>,
    start: Instant,
}

impl Line {
    /// Notes a request that has just come in.
    pub(super) fn start<B>(request: &Request<B>, client: Option<IpAddr>) -> Self {
        let host = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
        Line {
            method: request.method().clone(),
            host: host.or(request.uri().host()).unwrap_or("-").into(),
            path: request.uri().path().into(),
            client,
            start: Instant::now(),
        }
    }

    /// Writes the line, once the head of the answer is known.
    pub(super) fn end(self, status: StatusCode) {
        let client = self.client.map(|client| client.to_string());
        tracing::info!(
            client = client.as_deref().unwrap_or("-"),
            host = &*self.host,
            method = %self.method,
            path = &*self.path,
            status = status.as_u16(),
            milliseconds = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX),
            "request"
        );
    }
}

/// The class of a status, as a word for metrics.
pub(super) fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}
