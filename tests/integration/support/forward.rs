//! The smallest proxy there can be: refuse, send, answer. What a failure was stands in the answer's headers.

use std::sync::Arc;
use std::time::Duration;

use consentry::clock::Clock;
use consentry::consent::cookie::Secrets;
use consentry::consent::signal::GlobalPrivacyControl;
use consentry::filter::Body;
use consentry::filter::body::{full, stream};
use consentry::gate;
use consentry::listener::{App, Peer};
use consentry::proxy::refuse::refuse;
use consentry::upstream::{Failure, Settings, Target, Timeouts, Trust, Upstreams};
use consentry::visit::{self, Arrival, ClientAddress, Visit};
use http::{Request, Response, StatusCode};

/// An app that sends everything on to the same upstream.
#[derive(Clone)]
pub struct Forward {
    pub upstreams: Arc<Upstreams>,
    pub to: Arc<Settings>,
}

impl Forward {
    pub fn to(urls: &[&str]) -> Self {
        Self::with(urls, Trust::System, ClientAddress::Full, Duration::from_secs(60))
    }

    pub fn with(urls: &[&str], trust: Trust, client_address: ClientAddress, response: Duration) -> Self {
        let target = |url: &&str| Target { url: url.parse().unwrap(), trust: trust.clone() };
        let to = Arc::new(Settings { targets: urls.iter().map(target).collect(), client_address });
        let timeouts = Timeouts { connect: Duration::from_secs(5), response, idle: Duration::from_secs(60) };
        Forward { upstreams: Arc::new(Upstreams::new(timeouts)), to }
    }
}

impl App for Forward {
    async fn answer(&self, request: Request<Body>, peer: Peer) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let host = match refuse(&parts, &peer) {
            Ok(host) => host,
            Err(refusal) => return failed(refusal.status(), refusal.reason()),
        };
        let settings = visit::Settings {
            site: "test".into(),
            secrets: Arc::new(Secrets::parse(&"s".repeat(32)).unwrap()),
            global_privacy_control: GlobalPrivacyControl::Ignore,
        };
        let arrival = Arrival {
            host: host.canonical,
            authority: host.authority,
            scheme: peer.scheme,
            client: peer.address,
            now: Clock::system().now(),
        };
        let visit = Visit::read(&settings, &parts, arrival);
        let request = Request::from_parts(parts, body);
        match self.upstreams.send(&self.to, gate::stand_aside(), &visit, request).await {
            Ok(answer) => answer.map(stream),
            Err(Failure::Connect { .. }) => failed(StatusCode::BAD_GATEWAY, "connect"),
            Err(Failure::Protocol { .. }) => failed(StatusCode::BAD_GATEWAY, "protocol"),
            Err(Failure::TimedOut { .. }) => failed(StatusCode::GATEWAY_TIMEOUT, "timed-out"),
            Err(Failure::Request { .. }) => failed(StatusCode::BAD_REQUEST, "request"),
            Err(Failure::TooLarge) => failed(StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
        }
    }
}

fn failed(status: StatusCode, reason: &'static str) -> Response<Body> {
    Response::builder().status(status).header("x-failure", reason).body(full("")).unwrap()
}
