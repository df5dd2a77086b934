//! Connections that are kept for the next request, and one request on one of them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::{TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Extensions, HeaderValue, Request, Response, Uri, Version};
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::answer::{self, Asked, Lie};
use super::connector::{Connector, Used};
use super::upload::Upload;
use super::{Failure, Target, Timeouts, Trust};
use crate::listener::body::Broken;

type Pool = Client<Connector, Upload>;

/// One pool for clear text, and one for each way to trust.
#[derive(Debug)]
pub(super) struct Pools {
    timeouts: Timeouts,
    clear: Pool,
    tls: Mutex<HashMap<Trust, Pool>>,
}

impl Pools {
    pub(super) fn new(timeouts: Timeouts) -> Self {
        let clear = pool(Connector::clear(timeouts.connect), timeouts.idle);
        Pools { timeouts, clear, tls: Mutex::default() }
    }

    pub(super) fn forget_authorities(&self) {
        self.tls.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Sends one request to one target.
    pub(super) async fn ask(
        &self,
        target: &Target,
        parts: &Parts,
        upload: &Upload,
    ) -> Result<Response<Incoming>, Failure> {
        let address = Address::of(target);
        let pool = self.pool(target).map_err(|source| address.unreachable(source))?;
        let uri = uri(target, &parts.uri).map_err(|source| address.unreachable(source.into()))?;
        let mut may_retry = upload.is_empty() && parts.method.is_idempotent();
        loop {
            let request = request(parts, uri.clone(), upload);
            let outcome = tokio::select! {
                outcome = pool.request(request) => outcome,
                () = upload.overdue(self.timeouts.response) => return Err(address.timed_out()),
                () = upload.flooded() => return Err(address.garbled("interim answers without end".into())),
            };
            match outcome {
                Ok(answer) => return accept(answer, parts).map_err(|lie| address.garbled(lie.into())),
                // The upstream had closed the pooled connection just then, so it has not seen the request; and
                // had it, asking twice would do no harm (RFC 9110 section 9.2.2).
                Err(error) if may_retry && is_stale(&error) => may_retry = false,
                Err(error) => return Err(failure(&address, upload, error)),
            }
        }
    }

    fn pool(&self, target: &Target) -> Result<Pool, Cause> {
        if target.url.scheme() != "https" {
            return Ok(self.clear.clone());
        }
        let mut pools = self.tls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(&target.trust) {
            return Ok(pool.clone());
        }
        let pool = pool(Connector::tls(&target.trust, self.timeouts.connect)?, self.timeouts.idle);
        pools.insert(target.trust.clone(), pool.clone());
        Ok(pool)
    }
}

fn pool(connector: Connector, idle: Duration) -> Pool {
    // Apache and Node close after five seconds. Who closes first never sends on a closed connection.
    const BEFORE_THE_UPSTREAM: Duration = Duration::from_secs(4);
    const KEPT_PER_TARGET: usize = 256;
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(idle.min(BEFORE_THE_UPSTREAM))
        .pool_max_idle_per_host(KEPT_PER_TARGET)
        .set_host(false)
        .build(connector)
}

/// The target's address with the path and query of the request, byte for byte.
fn uri(target: &Target, asked: &Uri) -> Result<Uri, http::Error> {
    let path = asked.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let authority = &target.url[url::Position::BeforeHost..url::Position::AfterPort];
    Uri::builder().scheme(target.url.scheme()).authority(authority).path_and_query(path).build()
}

fn request(parts: &Parts, uri: Uri, upload: &Upload) -> Request<Upload> {
    let mut request = Request::new(upload.clone());
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = parts.headers.clone();
    if upload.has_open_end() {
        // Of a GET, hyper would drop a body whose length it does not know.
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let listening = upload.clone();
    hyper::ext::on_informational(&mut request, move |answer| listening.heard(answer.status()));
    request
}

/// Takes an answer, unless it is a lie.
fn accept(mut answer: Response<Incoming>, parts: &Parts) -> Result<Response<Incoming>, Lie> {
    if let Some(used) = answer.extensions().get::<Used>() {
        used.note();
    }
    let asked = if parts.headers.contains_key(UPGRADE) { Asked::WebSocket } else { Asked::Nothing };
    answer::check(&mut answer, asked)?;
    Ok(answer)
}

/// Whether a connection failed that had been in use before.
fn is_stale(error: &legacy::Error) -> bool {
    let mut about = Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut about);
    }
    about.get::<Used>().is_some_and(Used::is_noted)
}

fn failure(address: &Address, upload: &Upload, error: legacy::Error) -> Failure {
    match upload.take_broken() {
        Some(broken) if broken.downcast_ref() == Some(&Broken::TooLarge) => Failure::TooLarge,
        Some(source) => Failure::Request { source },
        None if error.is_connect() => address.unreachable(error.into()),
        None => address.garbled(error.into()),
    }
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Host and port of a target, for whoever reads the log.
struct Address<'a>(&'a url::Url);

impl<'a> Address<'a> {
    fn of(target: &'a Target) -> Self {
        Address(&target.url)
    }

    fn text(&self) -> Box<str> {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port_or_known_default() {
            Some(port) => format!("{host}:{port}").into(),
            None => host.into(),
        }
    }

    fn unreachable(&self, source: Cause) -> Failure {
        Failure::Connect { address: self.text(), source }
    }

    fn garbled(&self, source: Cause) -> Failure {
        Failure::Protocol { address: self.text(), source }
    }

    fn timed_out(&self) -> Failure {
        Failure::TimedOut { address: self.text() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstream_gets_path_and_query_byte_for_byte() {
        let target = Target { url: "http://[::1]:3000/".parse().unwrap(), trust: Trust::default() };
        for asked in ["/", "/a/../b//c%2f%zz;d?e=%20&f", "/?", "/\u{e5}", "*"] {
            let uri = uri(&target, &asked.parse().unwrap()).unwrap();
            assert_eq!(uri.authority().unwrap(), "[::1]:3000");
            assert_eq!(uri.path_and_query().unwrap().as_str(), asked);
        }
    }
}
