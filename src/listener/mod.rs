//! Sockets, TLS, certificates by SNI, limits on what a client may take, and who is calling.

mod accept;
mod activity;
pub mod body;
mod census;
pub mod certificates;
pub mod client_address;
mod connection;
mod conversation;
mod door;
mod explanation;
mod frames;
mod inherited;
mod parcel;
mod proxy_protocol;
mod pulse;
mod received;
pub mod scarcity;
mod seldom;
pub mod tickets;
mod tie;
mod tls;
mod told;
mod websocket;
mod workers;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response, StatusCode};

use crate::filter::{Body, body::full};
use crate::telemetry::Metrics;
use crate::visit::{ClientAddress, Scheme};
use census::Census;

pub use accept::{BindFailure, Bound, bind};
pub use door::Door;
pub use inherited::{Giver, Inherited, Legacy};
pub use pulse::Pulse;
pub use tie::Tie;
pub use workers::Workers;

/// One address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where.
    pub address: SocketAddr,
    /// What is spoken there.
    pub transport: Transport,
    /// Whether a balancer in front says who is calling.
    pub proxy_protocol: ProxyProtocol,
}

/// Whether connections begin with a header of the PROXY protocol, version 1 or 2.
///
/// Whoever can connect can write one: a listener that requires it is for the balancer alone to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// They do not: the address of the socket is the caller's.
    Unused,
    /// They must, within `timeouts.request_header`; the address that it names is the caller's.
    Required,
}

/// What is spoken on a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transport {
    /// HTTP in clear text.
    Clear,
    /// HTTP over TLS; the first certificate is for clients that name no server.
    Tls(Vec<CertificateFiles>),
    /// Every request for a host that is known is sent to the same address over HTTPS.
    RedirectToHttps,
}

/// A certificate chain and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For the TLS handshake.
    pub tls_handshake: Duration,
    /// From the first byte of a request to the end of its head.
    pub request_header: Duration,
    /// Between two pieces of a request's body.
    pub request_body: Duration,
    /// How long a connection may stay without a request.
    pub idle: Duration,
    /// How long requests under way may go on after SIGTERM.
    pub drain: Duration,
}

/// How much a client may take; 0 sets no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address.
    pub connections_per_address: usize,
    /// Bytes of a request's head.
    pub request_header: usize,
    /// Bytes of a request's body.
    pub request_body: u64,
}

impl Limits {
    /// Connections at once where nobody says how many.
    pub const CONNECTIONS: usize = 10_000;
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The address of the socket, or the one that the PROXY protocol names.
    pub address: IpAddr,
    /// Whether the connection is encrypted.
    pub scheme: Scheme,
    /// The name that the client asked for in the TLS handshake, in lower case.
    pub server_name: Option<Box<str>>,
    /// The port that was connected to.
    pub port: u16,
}

/// What holds for all listeners of a run together. Clones share the count of connections, and learn of changes.
#[derive(Clone, Debug)]
pub struct Conditions {
    timeouts: Timeouts,
    limits: Limits,
    latest: Arc<ArcSwap<(Timeouts, Limits)>>,
    metrics: Arc<Metrics>,
    census: Arc<Census>,
}

impl Conditions {
    /// Conditions under which no connection is open yet.
    pub fn new(timeouts: Timeouts, limits: Limits, metrics: Arc<Metrics>) -> Self {
        let census = Arc::new(Census::new(&limits, Arc::clone(&metrics)));
        let latest = Arc::new(ArcSwap::from_pointee((timeouts, limits)));
        Conditions { timeouts, limits, latest, metrics, census }
    }

    /// Changes them for the connections that come from here on. Must be called inside a Tokio runtime.
    pub fn change(&self, timeouts: Timeouts, limits: Limits) {
        self.census.change(&limits);
        self.latest.store(Arc::new((timeouts, limits)));
    }

    /// What they have become, if they are not these any more.
    fn changed(&self) -> Option<Conditions> {
        let (timeouts, limits) = **self.latest.load();
        let is_changed = (timeouts, limits) != (self.timeouts, self.limits);
        is_changed.then(|| Conditions { timeouts, limits, ..self.clone() })
    }
}

/// What answers the requests of a listener.
pub trait App: Clone + Send + Sync + 'static {
    /// Answers one request.
    ///
    /// Its body breaks off with [`body::Broken`] where it is too large or too slow. Its extensions hold what an
    /// upgrade needs (`hyper::upgrade::OnUpgrade`, and a [`Tie`] to keep for as long as it lasts). A panic is caught, counted, and answered with 500.
    fn answer(&self, request: Request<Body>, peer: Peer) -> impl Future<Output = Response<Body>> + Send;

    /// An address as the log may show it: without its last part, unless the settings say otherwise.
    fn shown(&self, client: IpAddr) -> Option<IpAddr> {
        ClientAddress::Anonymized.shown(client)
    }

    /// Leads one request to the same address over HTTPS, on a listener that does nothing else
    /// ([`Transport::RedirectToHttps`]); an app that knows no hosts leads nobody.
    fn lead_to_https(&self, _request: Request<Body>, _peer: &Peer) -> Response<Body> {
        let mut answer = Response::new(full(""));
        *answer.status_mut() = StatusCode::MISDIRECTED_REQUEST;
        answer
    }
}
