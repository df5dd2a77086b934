//! Health, readiness and metrics, on a listener of their own that visitors never reach.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telemetry::Metrics;

/// The admin listener, bound and not yet served.
#[derive(Debug)]
pub struct Bound(TcpListener);

/// Binds the admin listener, or takes the socket that was handed over for it.
pub async fn bind(address: SocketAddr, handed: Option<StdListener>) -> std::io::Result<Bound> {
    match handed {
        Some(socket) => {
            socket.set_nonblocking(true)?;
            TcpListener::from_std(socket).map(Bound)
        }
        None => TcpListener::bind(address).await.map(Bound),
    }
}

/// What the admin listener tells.
#[derive(Clone, Debug)]
pub struct Health {
    metrics: Arc<Metrics>,
    draining: CancellationToken,
}

impl Health {
    /// Health of a proxy that is ready until `draining` is cancelled.
    pub fn new(metrics: Arc<Metrics>, draining: CancellationToken) -> Self {
        Health { metrics, draining }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        const TEXT: &str = "text/plain; charset=utf-8";
        const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        let is_read_only = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, kind, text) = match request.uri().path() {
            _ if !is_read_only => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET or HEAD\n".to_owned()),
            "/healthz" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
            "/readyz" => self.readiness(),
            "/metrics" => (StatusCode::OK, METRICS, self.metrics.render()),
            _ => (StatusCode::NOT_FOUND, TEXT, "/healthz, /readyz or /metrics\n".to_owned()),
        };
        let mut answer = Response::new(Full::new(Bytes::from(text)));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
        answer
    }

    /// Ready unless draining; what an operator should look at stands below.
    fn readiness(&self) -> (StatusCode, &'static str, String) {
        let (status, word) = if self.draining.is_cancelled() {
            (StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else {
            (StatusCode::OK, "ready")
        };
        let text = format!(
            "{word}\nsites {}\nsites_not_filled_in {}\nsettings_refused {}\n",
            self.metrics.sites.get(),
            self.metrics.sites_not_filled_in.get(),
            self.metrics.settings_refused.get(),
        );
        (status, "text/plain; charset=utf-8", text)
    }
}

impl Bound {
    /// Where it listens.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()
    }

    /// The socket itself, for a process that is to take it over.
    pub fn socket(&self) -> std::io::Result<OwnedFd> {
        self.0.as_fd().try_clone_to_owned()
    }

    /// Serves until `shutdown`.
    pub async fn serve(self, health: Health, shutdown: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = self.0.accept() => accepted,
            };
            let Ok((socket, _)) = accepted else { continue };
            let health = health.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = health.answer(&request);
                    async move { Ok::<_, std::convert::Infallible>(answer) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(std::time::Duration::from_secs(10))
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
                if let Err(error) = connection {
                    tracing::debug!(%error, "an admin connection ended early");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(health: &Health, method: &str, path: &str) -> u16 {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        health.answer(&request).status().as_u16()
    }

    #[test]
    fn it_is_ready_until_it_drains() {
        let draining = CancellationToken::new();
        let health = Health::new(Arc::default(), draining.clone());
        assert_eq!(status(&health, "GET", "/readyz"), 200);
        draining.cancel();
        assert_eq!(status(&health, "GET", "/readyz"), 503);
        assert_eq!(status(&health, "GET", "/healthz"), 200);
        assert_eq!(status(&health, "POST", "/metrics"), 405);
        assert_eq!(status(&health, "GET", "/"), 404);
    }
}
