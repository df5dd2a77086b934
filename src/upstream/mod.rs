//! Talking to the application behind: the connection pool, the request as it sees it, upgrades.

mod answer;
mod connector;
mod outgoing;
mod pool;
mod trust_anything;
mod upgrade;
mod upload;

use std::time::Duration;

use http::header::EXPECT;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use crate::filter::Body;
use crate::gate::Permit;
use crate::visit::{ClientAddress, Visit};
use pool::Pools;
use upload::{Expectation, Upload};

pub use answer::Arriving;

/// The application behind one site.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its addresses, in the order of the YAML. Never empty.
    pub targets: Vec<Target>,
    /// What it learns of the visitor's address.
    pub client_address: ClientAddress,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `http` or `https`, host and port; the path is `/`.
    pub url: url::Url,
    /// How its certificate is verified; ignored for `http`.
    pub trust: Trust,
}

/// How an upstream's certificate is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Against the machine's certificate authorities.
    #[default]
    System,
    /// Against the authorities of this PEM file (`ca: FILE`).
    Authority(std::path::PathBuf),
    /// Not at all (`verify: false`).
    Anything,
}

/// How long the upstream may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Until a connection stands.
    pub connect: Duration,
    /// From the request's end to the head of the answer.
    pub response: Duration,
    /// How long an unused connection is kept, and an upgraded one may be silent.
    pub idle: Duration,
}

/// Why the upstream gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection could be made.
    #[error("no connection to {address}")]
    Connect {
        /// Host and port.
        address: Box<str>,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer came in time (`timeouts.upstream_response`).
    #[error("no answer from {address} in time")]
    TimedOut {
        /// Host and port.
        address: Box<str>,
    },
    /// What came was no HTTP, or broke off before the head of the answer was whole.
    #[error("no HTTP answer from {address}")]
    Protocol {
        /// Host and port.
        address: Box<str>,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The visitor's own request broke off while it was sent on.
    #[error("the request broke off")]
    Request {
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request's body is larger than `limits.request_body`.
    #[error("the request's body is too large")]
    TooLarge,
}

/// The pools of connections to all upstreams.
#[derive(Debug)]
pub struct Upstreams {
    timeouts: Timeouts,
    pools: Pools,
}

impl Upstreams {
    /// Empty pools.
    pub fn new(timeouts: Timeouts) -> Self {
        Upstreams { timeouts, pools: Pools::new(timeouts) }
    }

    /// Forgets the connections over TLS, and with them the certificate authorities they were verified against: a
    /// reload may have changed those files. What is under way goes on.
    pub fn forget_authorities(&self) {
        self.pools.forget_authorities();
    }

    /// Sends a request on and gives back the head of the answer; the body follows as it comes.
    ///
    /// The caller has already run `filter::prepare` on the headers; this removes what belongs to one connection
    /// only (RFC 9110 section 7.6.1) and writes the forwarding headers. A request for WebSocket is passed on, and
    /// after an answer 101 both connections are tied together: the caller sends that answer back as it is.
    ///
    /// Where the visitor waits for `100 Continue`, nothing of the body is asked for before the upstream has said so
    /// (RFC 9110 section 10.1.1): an upstream that refuses at once spares the visitor the upload.
    pub async fn send(
        &self,
        to: &Settings,
        _permit: Permit,
        visit: &Visit,
        request: Request<Body>,
    ) -> Result<Response<Arriving>, Failure> {
        let (mut parts, body) = request.into_parts();
        let visitor = upgrade::asked_for(&mut parts);
        let expectation = Expectation::of(&parts, &body);
        outgoing::rewrite(&mut parts.headers, &visit.arrival, to.client_address);
        if visitor.is_some() {
            upgrade::announce(&mut parts.headers);
        }
        if expectation == Expectation::None {
            parts.headers.remove(EXPECT);
        }
        let upload = Upload::new(body, expectation);
        let mut answer = self.ask(to, &parts, &upload).await?;
        outgoing::strip_hop_by_hop(answer.headers_mut());
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(visitor)) = (answer.status(), visitor) {
            upgrade::announce(answer.headers_mut());
            let upstream = hyper::upgrade::on(&mut answer);
            tokio::spawn(upgrade::tunnel(visitor, upstream, self.timeouts.idle));
        }
        let unwanted = upload.answered();
        Ok(answer.map(|body| Arriving::new(body, unwanted)))
    }

    /// Asks the targets in order until one can be connected to. Nothing of the body is read before that.
    async fn ask(
        &self,
        to: &Settings,
        parts: &Parts,
        upload: &Upload,
    ) -> Result<Response<Incoming>, Failure> {
        let mut outcome =
            Err(Failure::Connect { address: "".into(), source: "the site has no upstream".into() });
        for target in &to.targets {
            outcome = self.pools.ask(target, parts, upload).await;
            if !matches!(outcome, Err(Failure::Connect { .. })) {
                break;
            }
        }
        outcome
    }
}
