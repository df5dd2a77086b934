//! One connection from its handshake to its end: the protocol, the limits, and each request handed to the app.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::activity::{Activity, Socket, Watched};
use super::body::{self, Served};
use super::census::{Census, Room, Ticket};
use super::conversation::{Broken, Conversation, Versions};
use super::received::Received;
use super::seldom::Seldom;
use super::tie::Tie;
use super::websocket::Handshake;
use super::workers::Load;
use super::{App, Conditions, Limits, Peer, ProxyProtocol, proxy_protocol, received, tls};
use crate::filter::{self, Body};
use crate::telemetry::count;
use crate::visit::Scheme;

/// What an open connection takes up, an upgraded one too: it goes with the socket.
#[derive(Debug)]
struct Seat {
    _ticket: Ticket,
    _place: Place,
}

/// The listener that waits for a connection at its end, and the thread that serves it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) _token: TaskTrackerToken,
    pub(super) _load: Load,
}

/// What comes before HTTP on every connection of one listener.
#[derive(Clone)]
pub(super) struct Greeting {
    pub(super) proxy_protocol: ProxyProtocol,
    pub(super) acceptor: Option<TlsAcceptor>,
    /// The port that was connected to.
    pub(super) port: u16,
}

/// What attends to every connection of one listener.
pub(super) struct Attendant<A> {
    app: A,
    greeting: Greeting,
    conditions: Conditions,
    versions: Versions,
    shutdown: CancellationToken,
    abort: CancellationToken,
}

impl<A: App> Attendant<A> {
    pub(super) fn new(
        app: A,
        greeting: Greeting,
        conditions: Conditions,
        shutdown: CancellationToken,
        abort: &CancellationToken,
    ) -> Self {
        let versions = versions(&conditions.limits);
        Attendant { app, greeting, conditions, versions, shutdown, abort: abort.clone() }
    }

    /// Who attends to the next connection: another one, where the conditions have changed.
    pub(super) fn renewed(self: Arc<Self>) -> Arc<Self> {
        let Some(conditions) = self.conditions.changed() else { return self };
        let versions = versions(&conditions.limits);
        let (app, greeting) = (self.app.clone(), self.greeting.clone());
        let (shutdown, abort) = (self.shutdown.clone(), self.abort.clone());
        Arc::new(Attendant { app, greeting, conditions, versions, shutdown, abort })
    }

    /// The count of connections.
    pub(super) fn census(&self) -> &Arc<Census> {
        &self.conditions.census
    }

    /// Serves one connection to its end.
    pub(super) async fn attend(
        self: Arc<Self>,
        socket: TcpStream,
        address: IpAddr,
        room: Room,
        place: Place,
    ) {
        // Answers leave at once: hyper hands over whole pieces.
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "the connection is gone already");
            return;
        }
        let abort = std::pin::pin!(self.abort.cancelled());
        tokio::select! {
            biased;
            () = Seldom::new(abort) => {}
            () = self.admit(socket, address, room, place) => {}
        }
    }

    async fn admit(self: &Arc<Self>, mut socket: TcpStream, address: IpAddr, room: Room, place: Place) {
        let Some(address) = self.caller(&mut socket, address).await else { return };
        let Some(ticket) = self.census().admit(room, address) else {
            // The socket is closed, and those that stand go on.
            return self.refuse(address, "connections-per-address", &"its address has as many as it may");
        };
        self.greet(socket, address.to_canonical(), Seat { _ticket: ticket, _place: place }).await;
    }

    /// Who is calling; nobody where the PROXY protocol should say so and does not.
    async fn caller(&self, socket: &mut TcpStream, address: IpAddr) -> Option<IpAddr> {
        if self.greeting.proxy_protocol == ProxyProtocol::Unused {
            return Some(address);
        }
        let in_time =
            tokio::time::timeout(self.conditions.timeouts.request_header, proxy_protocol::read(socket));
        let read = tokio::select! {
            () = self.too_late() => return None,
            read = in_time => read,
        };
        match read {
            Ok(Ok(named)) => return Some(named.unwrap_or(address)),
            Ok(Err(failure)) => self.refuse(address, failure.reason()?, &failure),
            Err(late) => self.refuse(address, proxy_protocol::LATE, &late),
        }
        None
    }

    /// Counts and tells why a connection ends without another request.
    fn refuse(&self, client: IpAddr, reason: &'static str, error: &dyn std::fmt::Display) {
        count(&self.conditions.metrics.refused, reason);
        let client = self.app.shown(client.to_canonical()).map(tracing::field::display);
        tracing::info!(reason, client, port = self.greeting.port, %error, "a connection is refused");
    }

    /// Ends a moment after the stop: nobody who has asked for nothing yet holds it up for longer.
    async fn too_late(&self) {
        self.shutdown.cancelled().await;
        tokio::time::sleep(GRACE).await;
    }

    async fn greet(self: &Arc<Self>, socket: TcpStream, address: IpAddr, seat: Seat) {
        let peer = |scheme, server_name| Peer { address, scheme, server_name, port: self.greeting.port };
        let Some(acceptor) = &self.greeting.acceptor else {
            return self.serve(socket, peer(Scheme::Http, None), seat).await;
        };
        // In boxes, so that connections without TLS are small, and those with it after the handshake.
        if let Some((socket, name)) = Box::pin(self.shake_hands(acceptor, socket, address)).await {
            Box::pin(self.serve(socket, peer(Scheme::Https, name), seat)).await;
        }
    }

    /// The encrypted connection, and the name that the client asked for.
    async fn shake_hands(
        &self,
        acceptor: &TlsAcceptor,
        socket: TcpStream,
        address: IpAddr,
    ) -> Option<(TlsStream<TcpStream>, Option<Box<str>>)> {
        let handshake = tls::shake_hands(acceptor, socket, self.conditions.timeouts.tls_handshake);
        let shaken = tokio::select! {
            () = self.too_late() => return None,
            shaken = handshake => shaken,
        };
        match shaken {
            Ok(encrypted) => return Some(encrypted),
            Err(error) if tls::is_gone(&error) => tracing::debug!(%error, "no TLS handshake"),
            Err(error) => self.refuse(address, "tls-handshake", &error),
        }
        None
    }

    async fn serve<S>(self: &Arc<Self>, socket: S, peer: Peer, seat: Seat)
    where
        S: AsyncRead + AsyncWrite + Socket + Unpin + Send + 'static,
    {
        let (timeouts, address) = (&self.conditions.timeouts, peer.address);
        let activity = Arc::new(Activity::new(timeouts.request_header, timeouts.idle));
        let socket = Watched::new(socket, Arc::clone(&activity), seat);
        let service = service_fn(|mut request: Request<Incoming>| {
            let version = request.version();
            let under_way = activity.begin(version);
            let handshake = Handshake::as_http1(&mut request);
            if request.extensions().get::<OnUpgrade>().is_some() {
                let stream = handshake.is_some().then(|| activity.begin(version));
                request.extensions_mut().insert(Tie::new(self.abort.clone(), stream));
            }
            let (attendant, peer, activity) = (Arc::clone(self), peer.clone(), Arc::clone(&activity));
            // hyper keeps room for this while the connection is idle; in a box, it is given back.
            Box::pin(async move {
                let mut answer = attendant.answer(request, peer, &activity).await;
                if let Some(handshake) = handshake {
                    answer = handshake.as_http2(answer);
                }
                if activity.is_ending() {
                    say_that_it_is_the_last(version, &mut answer);
                }
                let metrics = Arc::clone(&attendant.conditions.metrics);
                Ok::<_, Infallible>(answer.map(|body| Served::new(body, metrics, under_way)))
            })
        });
        let speaks_http1 = Arc::new(Notify::new());
        let mut conversation = Conversation::new(&self.versions, service, socket, Arc::clone(&speaks_http1));
        let turn = loop {
            let mut turn = std::pin::pin!(async {
                let quiet = async {
                    speaks_http1.notified().await;
                    activity.quiet_for(QUIET).await;
                };
                tokio::select! {
                    () = self.shutdown.cancelled() => Some(Turn::Stop),
                    () = activity.expired() => Some(Turn::Expiry),
                    () = quiet => None,
                }
            });
            let turn = tokio::select! {
                biased;
                ended = &mut conversation => Some(Turn::End(ended)),
                turn = Seldom::new(turn.as_mut()) => turn,
            };
            match turn {
                Some(turn) => break turn,
                None => conversation.rest(),
            }
        };
        let ended = match turn {
            Turn::End(ended) => ended,
            Turn::Stop => 'stop: {
                // HTTP/2 says which requests were not taken; in HTTP/1, one that is on its way just now would be
                // lost. So clients have a moment for it, and its answer says that it is the last.
                if !activity.speaks_http2() {
                    activity.end_with_the_next();
                    tokio::select! {
                        ended = &mut conversation => break 'stop ended,
                        () = activity.expired() => {
                            self.tell_what_expired(&activity, address);
                            break 'stop Ok(());
                        }
                        () = tokio::time::sleep(GRACE) => {}
                    }
                }
                conversation.graceful_shutdown();
                tokio::select! {
                    ended = &mut conversation => ended,
                    () = activity.expired() => {
                        self.tell_what_expired(&activity, address);
                        Ok(())
                    }
                }
            }
            Turn::Expiry => {
                self.tell_what_expired(&activity, address);
                if activity.speaks_http2() {
                    // GOAWAY tells the client that a request it sends just now was not taken.
                    conversation.graceful_shutdown();
                    let _ = tokio::time::timeout(FAREWELL, &mut conversation).await;
                }
                Ok(())
            }
        };
        if let Err(error) = ended {
            let flood = activity.is_flooded().then_some("http2-flood");
            match flood.or_else(|| fault(&error)) {
                Some(reason) => {
                    self.refuse(address, reason, &error);
                    tokio::select! {
                        () = self.too_late() => {}
                        _ = tokio::time::timeout(received::MOST, Box::pin(conversation.linger())) => {}
                    }
                }
                None => tracing::debug!(%error, "the connection broke off"),
            }
        }
    }

    /// Counts and tells it where a client has taken longer than it may; one that merely asks for nothing may do that.
    fn tell_what_expired(&self, activity: &Activity, address: IpAddr) {
        if activity.waits_for_rest_of_head() {
            self.refuse(address, "slow-head", &"the head of a request did not come in time");
        } else if activity.is_given_up() {
            self.refuse(address, "slow-read", &"nothing of an answer was taken in time");
        }
    }

    /// Answers one request, whatever becomes of the app.
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        activity: &Arc<Activity>,
    ) -> Response<Body> {
        let Conditions { limits, timeouts, metrics, .. } = &self.conditions;
        let asks_first = received::asks_first(&request);
        let request = request.map(|body| {
            let body = Received::new(body, asks_first, activity, &self.shutdown);
            body::receive(body, limits.request_body, timeouts.request_body)
        });
        let answering = std::pin::pin!(self.app.answer(request, peer));
        body::survive(answering, metrics).await.unwrap_or_else(|| {
            let mut answer =
                Response::new(filter::body::full("This request ended in an error of the proxy.\n"));
            *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            answer
        })
    }
}

/// What a connection comes to.
enum Turn {
    /// It has ended by itself.
    End(Result<(), Broken>),
    /// The listener stops.
    Stop,
    /// The client has taken longer than it may.
    Expiry,
}

/// How long nobody asks for anything before buffers are put away.
const QUIET: Duration = Duration::from_secs(1);

/// How long after a stop those who are connected may still ask.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// What the client did wrong, if it did: hyper has answered it with 400, 414 or 431, or ended HTTP/2 with the reason. One that
/// left, or ended HTTP/2 itself, did nothing wrong.
fn fault(error: &Broken) -> Option<&'static str> {
    let Broken::Http(error) = error else { return None };
    if let Some(error) =
        std::error::Error::source(error).and_then(|source| source.downcast_ref::<h2::Error>())
    {
        return error.is_library().then(|| match error.reason() {
            Some(h2::Reason::ENHANCE_YOUR_CALM) => "http2-flood",
            Some(_) | None => "http2-protocol",
        });
    }
    match (error.is_parse_too_large(), error.is_parse()) {
        (true, _) => Some("too-large"),
        (false, true) => Some("malformed"),
        (false, false) => None,
    }
}

/// How long a client of HTTP/2 may take to acknowledge that the connection ends.
const FAREWELL: Duration = Duration::from_secs(1);

/// In HTTP/1, an answer may say that no other follows; an upgraded connection is none of HTTP's any more.
fn say_that_it_is_the_last<B>(version: Version, answer: &mut Response<B>) {
    if version < Version::HTTP_2 && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
}

fn versions(limits: &Limits) -> Versions {
    // What hyper itself allows, for a limit of 0; and the least it takes.
    const UNLIMITED: usize = 400 * 1024;
    const LEAST: usize = 8 * 1024;
    const STREAMS: u32 = 128;
    const PING_EVERY: Duration = Duration::from_secs(20);
    let head = if limits.request_header == 0 { UNLIMITED } else { limits.request_header };
    let mut http1 = http1::Builder::new();
    http1
        .timer(TokioTimer::new())
        // `Activity` measures both the head and the silence before it; hyper would take one for the other.
        .header_read_timeout(None)
        .max_buf_size(head.max(LEAST));
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2
        .timer(TokioTimer::new())
        .max_header_list_size(head.try_into().unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        .enable_connect_protocol()
        // Rapid reset (CVE-2023-44487) and its like: beyond these the connection ends.
        .max_pending_accept_reset_streams(32)
        .max_local_error_reset_streams(256)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_EVERY);
    Versions { http1, http2 }
}
