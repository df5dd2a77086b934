//! Health, readiness and metrics, on a listener of their own that visitors never reach.

use std::fmt::Write;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::telemetry::{Exposition, Metrics};

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

/// How many sites are named one by one; of more, only the number is told.
const NAMED: usize = 20;

/// What the admin listener tells. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Health {
    metrics: Arc<Metrics>,
    draining: CancellationToken,
    not_filled_in: Arc<ArcSwap<Vec<Box<str>>>>,
    look: Look,
}

/// Brings those figures up to date that are read only when somebody asks for the metrics.
#[derive(Clone)]
pub struct Look(Arc<dyn Fn(&Metrics) + Send + Sync>);

impl Look {
    /// One that is called before each telling of the metrics.
    pub fn new(look: impl Fn(&Metrics) + Send + Sync + 'static) -> Self {
        Look(Arc::new(look))
    }
}

impl std::fmt::Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Look")
    }
}

impl Health {
    /// Health of a proxy that is ready until `draining` is cancelled.
    pub fn new(metrics: Arc<Metrics>, draining: CancellationToken, look: Look) -> Self {
        Health { metrics, draining, not_filled_in: Arc::default(), look }
    }

    /// Notes which sites ask nobody for anything, because their privacy document is not filled in.
    pub fn note_not_filled_in(&self, sites: impl IntoIterator<Item = Box<str>>) {
        let mut names: Vec<_> = sites.into_iter().collect();
        names.sort();
        self.metrics.sites_not_filled_in.set(i64::try_from(names.len()).unwrap_or(i64::MAX));
        names.truncate(NAMED);
        self.not_filled_in.store(Arc::new(names));
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        const TEXT: &str = "text/plain; charset=utf-8";
        let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let format = Exposition::preferred(accept);
        let is_read_only = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, kind, text) = match request.uri().path() {
            _ if !is_read_only => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET or HEAD\n".to_owned()),
            "/healthz" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
            "/readyz" => self.readiness(),
            "/metrics" => {
                (self.look.0)(&self.metrics);
                (StatusCode::OK, format.content_type(), self.metrics.render_as(format))
            }
            _ => (StatusCode::NOT_FOUND, TEXT, "/healthz, /readyz or /metrics\n".to_owned()),
        };
        let mut answer = Response::new(Full::new(Bytes::from(text)));
        *answer.status_mut() = status;
        answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static(kind));
        answer
    }

    /// Ready unless draining; what an operator should look at stands below.
    ///
    /// A ledger that does not work makes nobody unready: sites are served and refusals are honoured without it
    /// (only agreeing waits), and instances that share a disk would otherwise all leave the balancer at once.
    fn readiness(&self) -> (StatusCode, &'static str, String) {
        let (status, word) = if self.draining.is_cancelled() {
            (StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else {
            (StatusCode::OK, "ready")
        };
        let metrics = &self.metrics;
        let mut text = format!("{word}\n");
        for (name, gauge) in [
            ("sites", &metrics.sites),
            ("sites_not_filled_in", &metrics.sites_not_filled_in),
            ("sites_outdated", &metrics.sites_outdated),
            ("settings_refused", &metrics.settings_refused),
            ("ledger_works", &metrics.ledger_works),
            ("ledger_queue", &metrics.ledger_queue),
        ] {
            // Writing into a String does not fail.
            let _ = writeln!(text, "{name} {}", gauge.get());
        }
        for site in self.not_filled_in.load().iter() {
            let _ = writeln!(text, "not_filled_in {site}");
        }
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

    fn told(health: &Health, method: &str, path: &str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        let answer = health.answer(&request);
        let status = answer.status().as_u16();
        let body = http_body_util::BodyExt::collect(answer.into_body());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bytes = runtime.block_on(body).unwrap().to_bytes();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    fn status(health: &Health, method: &str, path: &str) -> u16 {
        told(health, method, path).0
    }

    #[test]
    fn it_is_ready_until_it_drains() {
        let draining = CancellationToken::new();
        let health = Health::new(Arc::default(), draining.clone(), Look::new(|_| {}));
        assert_eq!(status(&health, "GET", "/readyz"), 200);
        draining.cancel();
        assert_eq!(status(&health, "GET", "/readyz"), 503);
        assert_eq!(status(&health, "GET", "/healthz"), 200);
        assert_eq!(status(&health, "POST", "/metrics"), 405);
        assert_eq!(status(&health, "GET", "/"), 404);
    }

    #[test]
    fn readiness_names_what_an_operator_should_look_at() {
        let metrics = Arc::<Metrics>::default();
        let health = Health::new(Arc::clone(&metrics), CancellationToken::new(), Look::new(|_| {}));
        metrics.sites.set(40);
        metrics.sites_outdated.set(5);
        metrics.settings_refused.set(1);
        metrics.ledger_queue.set(3);
        health.note_not_filled_in(["shop".into(), "blog".into()]);
        assert_eq!(
            told(&health, "GET", "/readyz"),
            (
                200,
                "ready\nsites 40\nsites_not_filled_in 2\nsites_outdated 5\nsettings_refused 1\nledger_works 0\nledger_queue 3\n\
                 not_filled_in blog\nnot_filled_in shop\n"
                    .to_owned()
            ),
            "a ledger that fails takes nobody out of service"
        );
        health.note_not_filled_in((0..30).map(|number| format!("site-{number}").into()));
        let (_, text) = told(&health, "GET", "/readyz");
        assert!(text.contains("sites_not_filled_in 30") && text.matches("not_filled_in site").count() == 20);
    }

    #[test]
    fn metrics_come_in_the_format_asked_for() {
        let health = Health::new(Arc::default(), CancellationToken::new(), Look::new(|_| {}));
        for (accept, kind) in [
            ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
            ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ] {
            let request = Request::get("/metrics").header("accept", accept).body(()).unwrap();
            assert_eq!(health.answer(&request).headers()["content-type"], kind);
        }
    }
}
