//! Health, readiness and metrics, on a listener of their own that visitors never reach.

mod concerns;

use std::collections::HashMap;
use std::fmt::Write;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::listener::{Door, Pulse};
use crate::telemetry::{Exposition, Metrics};
pub use concerns::{Concerns, Missing};

/// The admin listener, bound and not yet served.
#[derive(Debug)]
pub struct Bound(Door);

/// Binds the admin listener, or takes the socket that was handed over for it. Must be called inside a Tokio runtime.
pub fn bind(address: SocketAddr, handed: Option<StdListener>) -> std::io::Result<Bound> {
    Door::open(address, handed).map(Bound)
}

/// What the admin listener tells. Clones tell the same.
#[derive(Clone, Debug)]
pub struct Health {
    metrics: Arc<Metrics>,
    draining: CancellationToken,
    concerns: Arc<ArcSwap<Concerns>>,
    look: Look,
    pulse: Pulse,
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
    /// Health of a proxy that is ready until `draining` is cancelled, and well while `pulse` is felt.
    pub fn new(metrics: Arc<Metrics>, draining: CancellationToken, look: Look, pulse: Pulse) -> Self {
        Health { metrics, draining, concerns: Arc::default(), look, pulse }
    }

    /// Notes what an operator should look at.
    pub fn note(&self, concerns: Concerns) {
        let number = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
        self.metrics.sites_not_filled_in.set(number(concerns.sites_not_filled_in.len()));
        self.metrics.texts_not_filled_in.set(number(concerns.texts_not_filled_in.len()));
        self.metrics.sites_outdated.set(number(concerns.sites_outdated.len()));
        self.concerns.store(Arc::new(concerns.shortened()));
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        const TEXT: &str = "text/plain; charset=utf-8";
        let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
        let format = Exposition::preferred(accept);
        let is_read_only = matches!(*request.method(), Method::GET | Method::HEAD);
        let (status, kind, text) = match request.uri().path() {
            _ if !is_read_only => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "GET or HEAD\n".to_owned()),
            "/healthz" if self.pulse.is_lost() => {
                let seconds = self.pulse.age().as_secs();
                let text = format!("a thread that serves connections has done nothing for {seconds} s\n");
                (StatusCode::SERVICE_UNAVAILABLE, TEXT, text)
            }
            "/healthz" => (StatusCode::OK, TEXT, "ok\n".to_owned()),
            "/readyz" => self.readiness(accept),
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
    fn readiness(&self, accept: Option<&str>) -> (StatusCode, &'static str, String) {
        let (status, word) = if self.draining.is_cancelled() {
            (StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else {
            (StatusCode::OK, "ready")
        };
        let metrics = &self.metrics;
        let figures = [
            ("sites", &metrics.sites),
            ("sites_not_filled_in", &metrics.sites_not_filled_in),
            ("texts_not_filled_in", &metrics.texts_not_filled_in),
            ("undeclared", &metrics.undeclared),
            ("sites_outdated", &metrics.sites_outdated),
            ("settings_refused", &metrics.settings_refused),
            ("ledger_works", &metrics.ledger_works),
            ("ledger_queue", &metrics.ledger_queue),
        ];
        let concerns = self.concerns.load();
        if accept.is_some_and(|accept| accept.contains("application/json")) {
            let figures: HashMap<_, _> = figures.iter().map(|(name, gauge)| (*name, gauge.get())).collect();
            let told = json!({ "status": word, "figures": figures, "concerns": **concerns });
            return (status, "application/json", format!("{told}\n"));
        }
        let mut text = format!("{word}\n");
        for (name, gauge) in figures {
            // Writing into a String does not fail.
            let _ = writeln!(text, "{name} {}", gauge.get());
        }
        concerns.write(&mut text);
        (status, "text/plain; charset=utf-8", text)
    }
}

impl Bound {
    /// Where it listens.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.0.address().ok()
    }

    /// The socket itself, for a process that is to take it over.
    pub fn socket(&self) -> std::io::Result<OwnedFd> {
        self.0.socket()
    }

    /// Serves until `shutdown`.
    pub async fn serve(self, health: Health, shutdown: CancellationToken) {
        let mut door = self.0;
        loop {
            let (socket, _) = tokio::select! {
                () = shutdown.cancelled() => return,
                accepted = door.next() => accepted,
            };
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
    fn it_is_well_while_all_threads_do_what_they_are_given() {
        let health = |pulse| Health::new(Arc::default(), CancellationToken::new(), Look::new(|_| {}), pulse);
        assert_eq!(told(&health(Pulse::default()), "GET", "/healthz"), (200, "ok\n".to_owned()));
        let long_ago = std::time::Instant::now() - std::time::Duration::from_secs(12);
        let (status, text) = told(&health(Pulse::of(long_ago)), "GET", "/healthz");
        assert!(status == 503 && text.contains("nothing for 12 s"), "{text}");
    }

    #[test]
    fn it_is_ready_until_it_drains() {
        let draining = CancellationToken::new();
        let health = Health::new(Arc::default(), draining.clone(), Look::new(|_| {}), Pulse::default());
        assert_eq!(status(&health, "GET", "/readyz"), 200);
        draining.cancel();
        assert_eq!(status(&health, "GET", "/readyz"), 503);
        assert_eq!(status(&health, "GET", "/healthz"), 200);
        assert_eq!(status(&health, "POST", "/metrics"), 405);
        assert_eq!(status(&health, "GET", "/"), 404);
    }

    fn concerns(sites: &[&str]) -> Concerns {
        let missing = |site: &&str| Missing {
            site: (*site).into(),
            document: "privacy".into(),
            language: "en".into(),
            file: Some("documents/privacy.en.md".into()),
        };
        Concerns {
            sites_not_filled_in: sites.iter().map(|site| (*site).into()).collect(),
            texts_not_filled_in: sites.iter().map(missing).collect(),
            sites_outdated: vec!["old".into()],
        }
    }

    #[test]
    fn readiness_names_what_an_operator_should_look_at() {
        let metrics = Arc::<Metrics>::default();
        let health =
            Health::new(Arc::clone(&metrics), CancellationToken::new(), Look::new(|_| {}), Pulse::default());
        metrics.sites.set(40);
        metrics.settings_refused.set(1);
        metrics.ledger_queue.set(3);
        health.note(concerns(&["shop", "blog"]));
        let file = "privacy en documents/privacy.en.md";
        assert_eq!(
            told(&health, "GET", "/readyz"),
            (
                200,
                format!(
                    "ready\nsites 40\nsites_not_filled_in 2\ntexts_not_filled_in 2\nundeclared 0\nsites_outdated 1\n\
                     settings_refused 1\nledger_works 0\nledger_queue 3\nnot_filled_in blog\nnot_filled_in shop\n\
                     text_not_filled_in blog {file}\ntext_not_filled_in shop {file}\noutdated old\n"
                )
            ),
            "a ledger that fails takes nobody out of service"
        );
        let names: Vec<String> = (0..30).map(|number| format!("site-{number}")).collect();
        health.note(concerns(&names.iter().map(String::as_str).collect::<Vec<_>>()));
        let (_, text) = told(&health, "GET", "/readyz");
        assert!(
            text.contains("sites_not_filled_in 30") && text.matches("\nnot_filled_in site").count() == 20
        );
    }

    #[test]
    fn programs_get_readiness_as_json() {
        let health =
            Health::new(Arc::default(), CancellationToken::new(), Look::new(|_| {}), Pulse::default());
        health.note(concerns(&["shop"]));
        let (status, kind, text) = health.readiness(Some("application/json"));
        let told: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (status.as_u16(), kind, told["status"].as_str()),
            (200, "application/json", Some("ready"))
        );
        assert_eq!(told["figures"]["sites_not_filled_in"], 1);
        assert_eq!(told["concerns"]["texts_not_filled_in"][0]["file"], "documents/privacy.en.md");
        assert_eq!(told["concerns"]["sites_outdated"][0], "old");
    }

    #[test]
    fn metrics_come_in_the_format_asked_for() {
        let health =
            Health::new(Arc::default(), CancellationToken::new(), Look::new(|_| {}), Pulse::default());
        for (accept, kind) in [
            ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
            ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ] {
            let request = Request::get("/metrics").header("accept", accept).body(()).unwrap();
            assert_eq!(health.answer(&request).headers()["content-type"], kind);
        }
    }
}
