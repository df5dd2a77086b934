//! The addresses behind a name, and a connection to whichever of them takes one.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// How long one address may take before the next is tried beside it (RFC 8305 section 8).
const HEAD_START: Duration = Duration::from_millis(250);

/// What a look-up will give.
pub type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Who knows the addresses of a name.
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of `host`, with `port`, in the order in which they should be tried.
    fn look_up(&self, host: &str, port: u16) -> Addresses;
}

/// For how long the addresses of before stand in for those that cannot be had.
const STALE: Duration = Duration::from_secs(3600);

/// How long is waited for a look-up where its addresses of before could be used.
const PATIENCE: Duration = Duration::from_secs(1);

/// How names of upstreams become addresses, and how long an answer is built upon. Clones know the same.
#[derive(Clone)]
pub struct Names {
    /// Asked for each new connection, once at a time for a name.
    resolver: Arc<dyn Resolver>,
    /// After this time a connection takes no new request, so that a name that has moved is followed even where
    /// its connections are never idle.
    pub(super) connection_life: Duration,
    known: Arc<Mutex<AllKnown>>,
}

/// What is known of a name.
#[derive(Default)]
struct Known {
    /// Its addresses, and when the resolver gave them.
    last: Option<(Found, Instant)>,
    /// The look-up under way, and since when.
    asking: Option<(watch::Receiver<Option<Answer>>, Instant)>,
    /// Whether it was told that it cannot be looked up.
    is_told: bool,
}

/// By name and port.
type AllKnown = HashMap<(Box<str>, u16), Known>;

type Found = Arc<[SocketAddr]>;
type Answer = Result<Found, Arc<io::Error>>;

impl Default for Names {
    /// As the machine resolves names; connections live for a minute.
    fn default() -> Self {
        Names::asking(Arc::new(Machine))
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("connection_life", &self.connection_life).finish_non_exhaustive()
    }
}

struct Machine;

impl Resolver for Machine {
    fn look_up(&self, host: &str, port: u16) -> Addresses {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

impl Names {
    /// As this resolver says; connections live for a minute.
    pub fn asking(resolver: Arc<dyn Resolver>) -> Self {
        Names { resolver, connection_life: Duration::from_secs(60), known: Arc::default() }
    }

    /// With connections that take no new request after this time.
    #[must_use]
    pub fn with_connection_life(self, connection_life: Duration) -> Self {
        Names { connection_life, ..self }
    }

    /// A connection to the first address of `host` that takes one.
    pub(super) async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let bare = bare(host);
        let socket = match bare.parse::<IpAddr>() {
            Ok(ip) => TcpStream::connect((ip, port)).await?,
            Err(_) => first_of(&self.look_up(bare, port).await?).await?,
        };
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    /// The addresses of a name. A resolver that fails or is silent is no reason for a site to be down: for an hour, those that
    /// it gave last are used.
    async fn look_up(&self, host: &str, port: u16) -> io::Result<Found> {
        let (mut answer, before) = self.ask(host, port);
        let answered = async {
            let answer = answer.wait_for(Option::is_some).await.map_err(io::Error::other)?;
            match answer.as_ref() {
                Some(Ok(found)) => Ok(Arc::clone(found)),
                Some(Err(error)) => Err(io::Error::new(error.kind(), Arc::clone(error))),
                None => Err(io::ErrorKind::TimedOut.into()),
            }
        };
        let Some((before, deadline)) = before else { return answered.await };
        let error = match timeout_at(deadline, answered).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::TimedOut, "no answer"),
        };
        if !std::mem::replace(&mut self.known().entry((host.into(), port)).or_default().is_told, true) {
            tracing::warn!(name = host, %error, "the upstream's name cannot be looked up: its last addresses are used");
        }
        Ok(before)
    }

    /// The look-up that is under way, or a new one; and the addresses of before, with the time until when others are waited
    /// for.
    fn ask(&self, host: &str, port: u16) -> (watch::Receiver<Option<Answer>>, Option<(Found, Instant)>) {
        let now = Instant::now();
        let mut known = self.known();
        let Known { last, asking, .. } = known.entry((host.into(), port)).or_default();
        let last = last.as_ref().filter(|(_, given)| now.duration_since(*given) < STALE);
        let (answer, since) = match asking {
            // One whose runtime has ended gives no answer any more.
            Some((answer, since)) if answer.has_changed().is_ok() => (answer.clone(), *since),
            _ => {
                let (sender, answer) = watch::channel(None);
                *asking = Some((answer.clone(), now));
                let names = self.clone();
                let (host, looking) = (Box::from(host), self.resolver.look_up(host, port));
                tokio::spawn(async move {
                    let answer = looking.await.map(Arc::from).map_err(Arc::new);
                    names.note(host, port, &answer);
                    sender.send_replace(Some(answer));
                });
                (answer, now)
            }
        };
        (answer, last.map(|(found, _)| (Arc::clone(found), since + PATIENCE)))
    }

    fn note(&self, host: Box<str>, port: u16, answer: &Answer) {
        let mut known = self.known();
        let Known { last, asking, is_told } = known.entry((host, port)).or_default();
        *asking = None;
        if let Ok(found) = answer {
            *last = Some((Arc::clone(found), Instant::now()));
            *is_told = false;
        }
    }

    fn known(&self) -> MutexGuard<'_, AllKnown> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A host without the brackets of IPv6.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Tries the addresses in their order, each with a short head start before the next.
async fn first_of(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut rest = addresses.iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = rest.next() {
            attempts.spawn(TcpStream::connect(*address));
        }
        let attempt = async {
            if rest.len() == 0 {
                return attempts.join_next().await;
            }
            // Nothing within the head start: the next one may try its luck.
            match tokio::time::timeout(HEAD_START, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => Some(Ok(Err(io::ErrorKind::TimedOut.into()))),
            }
        };
        match attempt.await {
            Some(Ok(Ok(socket))) => return Ok(socket),
            Some(Ok(Err(error))) => failure = error,
            Some(Err(error)) => failure = io::Error::other(error),
            None => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn every_address_of_a_name_is_tried_before_it_fails() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = first_of(&[closed, closed, open, closed]).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), open);
        let error = first_of(&[closed, closed]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(first_of(&[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    /// Answers as the test says, and counts who asks.
    #[derive(Default)]
    struct Oracle {
        says: Mutex<Vec<io::Result<Vec<SocketAddr>>>>,
        asked: AtomicUsize,
    }

    impl Resolver for Oracle {
        /// Silent where there is nothing to say.
        fn look_up(&self, _host: &str, _port: u16) -> Addresses {
            self.asked.fetch_add(1, Ordering::Relaxed);
            match self.says.lock().unwrap().pop() {
                Some(answer) => Box::pin(async {
                    tokio::task::yield_now().await;
                    answer
                }),
                None => Box::pin(std::future::pending()),
            }
        }
    }

    fn oracle() -> (Arc<Oracle>, Names) {
        let oracle = Arc::<Oracle>::default();
        (Arc::clone(&oracle), Names::asking(oracle))
    }

    fn found(port: u16) -> Vec<SocketAddr> {
        vec![SocketAddr::from(([192, 0, 2, 1], port))]
    }

    #[tokio::test(start_paused = true)]
    async fn who_connects_at_one_time_asks_once() {
        let (oracle, names) = oracle();
        oracle.says.lock().unwrap().push(Ok(found(1)));
        let (one, other) = tokio::join!(names.look_up("app", 80), names.look_up("app", 80));
        assert_eq!((&*one.unwrap(), &*other.unwrap()), (&*found(1), &*found(1)));
        assert_eq!(oracle.asked.load(Ordering::Relaxed), 1);
        oracle.says.lock().unwrap().push(Ok(found(2)));
        assert_eq!(&*names.look_up("app", 80).await.unwrap(), found(2), "the next connection asks again");
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_fails_leaves_the_last_addresses_in_use_for_an_hour() {
        let (oracle, names) = oracle();
        let fails = || oracle.says.lock().unwrap().push(Err(io::Error::other("out of order")));
        fails();
        assert_eq!(names.look_up("app", 80).await.unwrap_err().to_string(), "out of order", "none is known");
        oracle.says.lock().unwrap().push(Ok(found(1)));
        names.look_up("app", 80).await.unwrap();
        fails();
        assert_eq!(&*names.look_up("app", 80).await.unwrap(), found(1));
        fails();
        assert!(names.look_up("other", 80).await.is_err(), "they are those of their name alone");
        tokio::time::advance(STALE).await;
        fails();
        assert!(names.look_up("app", 80).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_resolver_that_is_silent_is_waited_for_once_and_never_asked_twice_at_a_time() {
        let (oracle, names) = oracle();
        oracle.says.lock().unwrap().push(Ok(found(1)));
        names.look_up("app", 80).await.unwrap();
        let start = Instant::now();
        for waited in [PATIENCE, PATIENCE, PATIENCE] {
            assert_eq!(&*names.look_up("app", 80).await.unwrap(), found(1));
            assert_eq!(start.elapsed(), waited, "the others do not wait");
        }
        assert_eq!(oracle.asked.load(Ordering::Relaxed), 2);
    }
}
