//! The socket that listens: bound at start, accepting until told to stop, then waiting for who is still served.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use http::{Request, Response};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::certificates::{CertificateFailure, Certificates};
use super::connection::{Attendant, Greeting, Place};
use super::door::Door;
use super::tickets::Tickets;
use super::workers::Workers;
use super::{App, Conditions, Peer, ProxyProtocol, Settings, Transport, tls};
use crate::filter::Body;

/// Why a listener cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindFailure {
    /// The address is taken, forbidden, or not this machine's.
    #[error("cannot listen on {address}")]
    Address {
        /// Where.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A certificate cannot be used.
    #[error("cannot speak TLS on {address}")]
    Certificate {
        /// Where.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: Box<CertificateFailure>,
    },
    /// TLS itself cannot be set up.
    #[error("cannot speak TLS on {address}")]
    Tls {
        /// Where.
        address: SocketAddr,
        /// The cause.
        #[source]
        source: rustls::Error,
    },
}

/// A socket that is bound and holds its certificates, but accepts nobody yet.
#[derive(Debug)]
pub struct Bound {
    door: Door,
    local_address: SocketAddr,
    speaks: Speaks,
    proxy_protocol: ProxyProtocol,
}

#[derive(Clone)]
enum Speaks {
    Clear,
    Tls(TlsAcceptor, Certificates),
    RedirectToHttps,
}

/// Binds a listener, or takes the socket that was handed over for it, and reads its certificates. Must be called
/// inside a Tokio runtime.
pub fn bind(
    settings: &Settings,
    tickets: &Tickets,
    handed: Option<StdListener>,
) -> Result<Bound, BindFailure> {
    let address = settings.address;
    let speaks = match &settings.transport {
        Transport::Clear => Speaks::Clear,
        Transport::RedirectToHttps => Speaks::RedirectToHttps,
        Transport::Tls(files) => {
            let certificates = Certificates::load(files)
                .map_err(|source| BindFailure::Certificate { address, source: source.into() })?;
            let acceptor = tls::acceptor(certificates.clone(), tickets)
                .map_err(|source| BindFailure::Tls { address, source })?;
            Speaks::Tls(acceptor, certificates)
        }
    };
    let open = || {
        let door = Door::open(address, handed)?;
        let local_address = door.address()?;
        Ok((door, local_address))
    };
    let (door, local_address) = open().map_err(|source| BindFailure::Address { address, source })?;
    Ok(Bound { door, local_address, speaks, proxy_protocol: settings.proxy_protocol })
}

impl Bound {
    /// Where it listens, with the port that the system chose for port 0.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// The socket itself, for a process that is to take it over. It listens for as long as anybody has it.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        self.door.socket()
    }

    /// Its certificates, if it speaks TLS: a reload replaces them through this while it serves.
    pub fn certificates(&self) -> Option<Certificates> {
        match &self.speaks {
            Speaks::Tls(_, certificates) => Some(certificates.clone()),
            Speaks::Clear | Speaks::RedirectToHttps => None,
        }
    }

    /// Serves on these threads until `shutdown`, then lets what is under way end, for at most `timeouts.drain`.
    pub async fn serve(
        self,
        app: impl App,
        conditions: Conditions,
        workers: Workers,
        shutdown: CancellationToken,
    ) {
        let Bound { door, local_address, speaks, proxy_protocol } = self;
        let greeting = |acceptor| Greeting { proxy_protocol, acceptor, port: local_address.port() };
        match speaks {
            Speaks::Clear => accept(door, greeting(None), app, conditions, workers, shutdown).await,
            Speaks::Tls(acceptor, _) => {
                accept(door, greeting(Some(acceptor)), app, conditions, workers, shutdown).await;
            }
            Speaks::RedirectToHttps => {
                accept(door, greeting(None), RedirectToHttps(app), conditions, workers, shutdown).await;
            }
        }
    }
}

/// An app that only leads to HTTPS.
#[derive(Clone)]
struct RedirectToHttps<A>(A);

impl<A: App> App for RedirectToHttps<A> {
    async fn answer(&self, request: Request<Body>, peer: Peer) -> Response<Body> {
        self.0.lead_to_https(request, &peer)
    }

    fn shown(&self, client: IpAddr) -> Option<IpAddr> {
        self.0.shown(client)
    }
}

async fn accept<A: App>(
    mut door: Door,
    greeting: Greeting,
    app: A,
    conditions: Conditions,
    workers: Workers,
    shutdown: CancellationToken,
) {
    let at_start = conditions.clone();
    let connections = TaskTracker::new();
    let abort = CancellationToken::new();
    let attendant = Attendant::new(app, greeting, conditions, shutdown.clone(), &abort);
    let mut attendant = Arc::new(attendant);
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = door.next() => accepted,
        };
        let (socket, peer) = accepted;
        // For somebody who is there: otherwise listeners on which nobody calls would keep room from others. At the stop
        // nobody is left standing at the door.
        let room = attendant.census().room(shutdown.cancelled()).await;
        attendant = attendant.renewed();
        let token = connections.token();
        let attendant = Arc::clone(&attendant);
        workers.serve(socket, move |socket, load| {
            // It is kept to the end of the socket: that of an upgraded connection outlives this task.
            attendant.attend(socket, peer.ip(), room, Place { _token: token, _load: load })
        });
    }
    // From here on the kernel refuses new connections, so that a balancer goes elsewhere; unless another process
    // has the socket too, and takes them.
    drop(door);
    connections.close();
    let drain = at_start.changed().unwrap_or(at_start).timeouts.drain;
    if tokio::time::timeout(drain, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections are cut off: they did not end in time");
    }
    abort.cancel();
}

impl std::fmt::Debug for Speaks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Speaks::Clear => f.write_str("Clear"),
            Speaks::Tls(_, certificates) => f.debug_tuple("Tls").field(certificates).finish(),
            Speaks::RedirectToHttps => f.write_str("RedirectToHttps"),
        }
    }
}
