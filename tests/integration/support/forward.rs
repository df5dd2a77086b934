//! The smallest proxy there can be: refuse, send, answer. What a failure was stands in the answer's headers.

use std::sync::Arc;
use std::time::Duration;

use consentry::clock::Clock;
use consentry::consent::cookie::Secrets;
use consentry::consent::signal::{DoNotTrack, GlobalPrivacyControl};
use consentry::filter::Body;
use consentry::filter::body::{full, stream};
use consentry::gate;
use consentry::listener::{App, Peer};
use consentry::proxy::refuse::refuse;
use consentry::upstream::{Failure, Protocol, Settings, Target, Timeouts, Trust, Upstreams, Weighted};
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
        let timeouts = Timeouts { response, ..TIMEOUTS };
        let targets = urls.iter().map(|url| weighted(&trusting(target(url), trust.clone()), 1)).collect();
        Self::through(Upstreams::new(timeouts), Settings::new(targets, None, client_address))
    }

    pub fn through(upstreams: Upstreams, to: Settings) -> Self {
        Forward { upstreams: Arc::new(upstreams), to: Arc::new(to) }
    }
}

/// Nothing of them is felt, but that of a connection which nobody takes.
pub const TIMEOUTS: Timeouts = Timeouts {
    connect: Duration::from_secs(5),
    response: Duration::from_secs(60),
    body: Duration::from_secs(60),
    idle: Duration::from_secs(60),
};

/// An address as the YAML writes it.
pub fn target(url: &str) -> Target {
    url.parse().unwrap()
}

/// The same, with a way to verify it where it speaks TLS.
pub fn trusting(mut target: Target, trust: Trust) -> Target {
    if let Protocol::Tls(tls) = &mut target.protocol {
        tls.trust = trust;
    }
    target
}

pub fn weighted(target: &Target, weight: u16) -> Weighted {
    Weighted { target: target.clone(), weight }
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
            do_not_track: DoNotTrack::Ignore,
            naming: None,
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
            Ok(mut answer) => {
                let served = answer.body().address().parse().unwrap();
                answer.headers_mut().insert("x-served", served);
                answer.map(stream)
            }
            Err(Failure::Connect { .. }) => failed(StatusCode::BAD_GATEWAY, "connect"),
            Err(Failure::Protocol { .. }) => failed(StatusCode::BAD_GATEWAY, "protocol"),
            Err(Failure::TimedOut { .. }) => failed(StatusCode::GATEWAY_TIMEOUT, "timed-out"),
            Err(Failure::Request { .. }) => failed(StatusCode::BAD_REQUEST, "request"),
            Err(Failure::Busy { .. }) => failed(StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Err(Failure::SlowBody) => failed(StatusCode::REQUEST_TIMEOUT, "slow-body"),
            Err(Failure::TooLarge) => failed(StatusCode::PAYLOAD_TOO_LARGE, "too-large"),
        }
    }
}

fn failed(status: StatusCode, reason: &'static str) -> Response<Body> {
    Response::builder().status(status).header("x-failure", reason).body(full("")).unwrap()
}
