//! The connections to one address: kept for the next request, shared where they speak HTTP/2, and never more
//! than the address may have.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hyper::client::conn::http2;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::certificates::Offer;
use super::connector::{Connector, Made, STREAMS};
use super::lease::{Channel, Exclusive, Held, Lease, Missing, Stream, Wanted};
use super::target::Protocol;
use super::upload::Upload;
use super::{Cause, Timeouts};
use crate::listener::scarcity;

/// Apache and Node close after five seconds. Who closes first never sends on a closed connection.
const BEFORE_THE_UPSTREAM: Duration = Duration::from_secs(4);
/// nginx closes after a thousand requests. Whatever is under way to it just then is lost.
const REQUESTS: usize = 900;
/// The most idle connections that are kept.
const KEPT: usize = 256;

/// The connections to one address.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) connector: Connector,
    /// One seat for each connection that may be in use; none where there is no limit.
    seats: Option<Arc<Semaphore>>,
    state: Mutex<State>,
    /// Held while it is not known whether the next connection could be shared.
    opening: tokio::sync::Mutex<()>,
    /// Something that can be shared has turned up.
    shareable: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// HTTP/1.1, the last one used at the end.
    idle: Vec<Idle>,
    shared: Vec<Shared>,
    speaks_http1: bool,
    is_swept: bool,
    /// Connections that were made before are not kept.
    forgotten: Option<Instant>,
}

#[derive(Debug)]
struct Idle {
    connection: Exclusive,
    since: Instant,
}

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<Upload>,
    made: Instant,
    used: Instant,
    requests: usize,
    streams: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Self {
        let seats = match connector.target.connections {
            0 => None,
            most => Some(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))),
        };
        Pool {
            connector,
            seats,
            state: Mutex::default(),
            opening: tokio::sync::Mutex::default(),
            shareable: Notify::new(),
        }
    }

    /// Whether a request would have to wait for a connection.
    pub(super) fn is_full(&self) -> bool {
        self.seats.as_ref().is_some_and(|seats| seats.available_permits() == 0) && !self.has_room()
    }

    /// Closes what nobody uses, and lets no request onto what there is.
    pub(super) fn forget(&self) {
        let mut state = self.state();
        state.idle.clear();
        state.shared.clear();
        state.speaks_http1 = false;
        state.forgotten = Some(Instant::now());
    }

    /// A connection for one request, within `timeouts.upstream_connect` for each wait.
    pub(super) async fn take(self: &Arc<Self>, wanted: Wanted) -> Result<Lease, Missing> {
        if let Some(lease) = self.share(wanted) {
            return Ok(lease);
        }
        let seat = match &self.seats {
            None => None,
            Some(seats) => match Box::pin(timeout(self.timeouts().connect, self.wait(seats, wanted))).await {
                Ok(Waited::Seat(seat)) => seat,
                Ok(Waited::Lease(lease)) => return Ok(lease),
                Err(_) => return Err(Missing::Busy),
            },
        };
        // One that is too old makes room for another: the limit counts both.
        if let Some(connection) = self.pop()
            && wanted.admits(connection.made)
        {
            let held = Held { _seat: seat, _stream: None };
            return Ok(Lease { channel: Channel::Http1(connection), is_used: true, held });
        }
        // Seldom needed, and large: in a box, it takes no room of the others.
        match Box::pin(timeout(self.timeouts().connect, self.open(wanted, seat))).await {
            Ok(opened) => opened.map_err(Missing::Unreachable),
            Err(_) => Err(Missing::Unreachable(std::io::Error::from(std::io::ErrorKind::TimedOut).into())),
        }
    }

    async fn wait(self: &Arc<Self>, seats: &Arc<Semaphore>, wanted: Wanted) -> Waited {
        // One place in the queue for the whole wait.
        let mut seat = std::pin::pin!(Arc::clone(seats).acquire_owned());
        loop {
            // Created before looking, so that nothing slips through in between.
            let shareable = self.shareable.notified();
            if let Some(lease) = self.share(wanted) {
                return Waited::Lease(lease);
            }
            if wanted.offer == Offer::Http1 {
                self.make_way();
            }
            tokio::select! {
                seat = &mut seat => return Waited::Seat(seat.ok()),
                () = shareable => {}
            }
        }
    }

    async fn open(
        self: &Arc<Self>,
        wanted: Wanted,
        seat: Option<OwnedSemaphorePermit>,
    ) -> Result<Lease, Cause> {
        // Who comes while the first connection is made would rather share it than make another.
        let _turn = match wanted.offer {
            Offer::Both if self.may_share() => Some(self.opening.lock().await),
            Offer::Both | Offer::Http1 => None,
        };
        if let Some(lease) = self.share(wanted) {
            return Ok(lease);
        }
        // A shared connection keeps the seat to its end; another one gives it to the request.
        let seat = Arc::new(Mutex::new(seat));
        let made = self.connector.connect(wanted.offer, Arc::clone(&seat)).await?;
        let now = Instant::now();
        match made {
            Made::Http1(connection) => {
                self.state().speaks_http1 |= wanted.offer == Offer::Both;
                let seat = seat.lock().unwrap_or_else(PoisonError::into_inner).take();
                let held = Held { _seat: seat, _stream: None };
                Ok(Lease { channel: Channel::Http1(connection), is_used: false, held })
            }
            Made::Http2(sender, most) => {
                let streams = Arc::new(AtomicUsize::new(0));
                let shared = Shared { sender, made: now, used: now, requests: 1, streams, most };
                let lease = self.lease(&shared, false);
                let mut state = self.state();
                state.speaks_http1 = false;
                state.shared.push(shared);
                self.sweep_from_now_on(&mut state);
                drop(state);
                self.shareable.notify_waiters();
                Ok(lease)
            }
        }
    }

    /// Keeps an HTTP/1.1 connection for the next request, once the answer on it has been read to the end. What its
    /// request holds is let go then.
    pub(super) fn give_back(self: &Arc<Self>, mut connection: Exclusive, held: Held) {
        if connection.sender.is_ready() {
            return self.keep(connection);
        }
        let pool = Arc::clone(self);
        self.here().spawn(async move {
            if connection.sender.ready().await.is_ok() {
                pool.keep(connection);
            }
            drop(held);
        });
    }

    fn keep(self: &Arc<Self>, connection: Exclusive) {
        let (mut state, now, made) = (self.state(), Instant::now(), connection.made);
        let is_forgotten = state.forgotten.is_some_and(|forgotten| made <= forgotten);
        if !is_forgotten && state.idle.len() < KEPT && !self.is_old(made, now) {
            state.idle.push(Idle { connection, since: now });
            self.sweep_from_now_on(&mut state);
        }
    }

    /// The idle connection that was used last: the others may grow old and go. One that this thread drives comes
    /// before those of others, and those come before a new one: an old application has few to give.
    fn pop(&self) -> Option<Exclusive> {
        let (mut state, now, here) = (self.state(), Instant::now(), Handle::current().id());
        while let Some(last) = state.idle.len().checked_sub(1) {
            let own = state.idle.iter().rposition(|idle| idle.connection.runtime == here);
            let idle = state.idle.remove(own.unwrap_or(last));
            if idle.connection.sender.is_ready() && !self.is_spent(&idle, now) {
                return Some(idle.connection);
            }
        }
        None
    }

    /// A place on a shared connection.
    fn share(self: &Arc<Self>, wanted: Wanted) -> Option<Lease> {
        if wanted.offer == Offer::Http1 || self.connector.target.protocol == Protocol::Http {
            return None;
        }
        let mut state = self.state();
        state.shared.retain(|shared| self.is_wanted(shared));
        let has_place = |shared: &&mut Shared| shared.has_room() && wanted.admits(shared.made);
        let shared = state.shared.iter_mut().find(has_place)?;
        shared.used = Instant::now();
        shared.requests += 1;
        Some(self.lease(shared, true))
    }

    fn lease(self: &Arc<Self>, shared: &Shared, is_used: bool) -> Lease {
        let stream = Stream::one_more(&shared.streams, self);
        let held = Held { _seat: None, _stream: Some(stream) };
        Lease { channel: Channel::Http2(shared.sender.clone()), is_used, held }
    }

    /// A shared connection has lost a request: one that waits may take its place.
    pub(super) fn has_more_room(&self) {
        if self.seats.is_some() {
            self.shareable.notify_waiters();
        }
    }

    /// Closes the shared connections on which nothing is under way: a WebSocket waits for the seat of one. Those in
    /// use stay: one visitor's WebSocket does not keep all others out.
    fn make_way(&self) {
        self.state().shared.retain(|shared| shared.streams.load(Ordering::Relaxed) > 0);
    }

    fn has_room(&self) -> bool {
        self.state().shared.iter().any(Shared::has_room)
    }

    /// Whether the next connection might speak HTTP/2.
    fn may_share(&self) -> bool {
        match self.connector.target.protocol {
            Protocol::Http => false,
            Protocol::Http2 => true,
            Protocol::Tls(_) => !self.state().speaks_http1,
        }
    }

    /// The runtime of this thread; that of the settings where there is none, as at the end of a thread.
    fn here(&self) -> Handle {
        Handle::try_current().unwrap_or_else(|_| self.connector.shared.runtime.clone())
    }

    /// Closes connections that nobody has used for long, from now until there are none.
    fn sweep_from_now_on(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.is_swept, true) {
            self.here().spawn(sweep(Arc::downgrade(self), self.kept_idle() / 4));
        }
    }

    /// Whether a shared connection may take requests. An old one does while others are on it and no other could be
    /// made beside it.
    fn is_wanted(&self, shared: &Shared) -> bool {
        let is_done = shared.requests >= REQUESTS || self.is_old(shared.made, Instant::now());
        let has_no_room_beside = self.seats.as_ref().is_some_and(|seats| seats.available_permits() == 0);
        let is_in_use = shared.streams.load(Ordering::Relaxed) > 0;
        !shared.sender.is_closed() && (!is_done || has_no_room_beside && is_in_use)
    }

    fn is_spent(&self, idle: &Idle, now: Instant) -> bool {
        self.is_old(idle.connection.made, now)
            || now.saturating_duration_since(idle.since) >= self.kept_idle()
    }

    fn is_old(&self, made: Instant, now: Instant) -> bool {
        now.saturating_duration_since(made) >= self.connector.shared.names.connection_life
    }

    fn kept_idle(&self) -> Duration {
        self.timeouts().idle.min(BEFORE_THE_UPSTREAM)
    }

    fn timeouts(&self) -> Timeouts {
        **self.connector.shared.timeouts.load()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Waited {
    Seat(Option<OwnedSemaphorePermit>),
    Lease(Lease),
}

impl Shared {
    fn has_room(&self) -> bool {
        let most = self.most.load(Ordering::Relaxed).min(STREAMS);
        self.streams.load(Ordering::Relaxed) < most && !self.sender.is_closed()
    }
}

/// Ends with the pool, or when there is nothing left to sweep. Where files are wanted elsewhere, nothing idle stays.
async fn sweep(pool: Weak<Pool>, every: Duration) {
    loop {
        let is_asked = tokio::select! {
            () = tokio::time::sleep(every.max(Duration::from_millis(1))) => false,
            () = scarcity::asked() => true,
        };
        let Some(pool) = pool.upgrade() else { return };
        let (mut state, now) = (pool.state(), Instant::now());
        let is_of_use =
            |idle: &Idle| !is_asked && !idle.connection.sender.is_closed() && !pool.is_spent(idle, now);
        state.idle.retain(is_of_use);
        state.shared.retain(|shared| {
            let is_in_use = shared.streams.load(Ordering::Relaxed) > 0;
            let may_stay = !is_asked && shared.used.elapsed() < pool.kept_idle();
            pool.is_wanted(shared) && (is_in_use || may_stay)
        });
        if state.idle.is_empty() && state.shared.is_empty() {
            state.is_swept = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use arc_swap::ArcSwap;
    use tokio::runtime::{Builder, Runtime};

    use super::super::certificates::Certificates;
    use super::super::connector;
    use super::super::names::Names;
    use super::*;

    /// A thread with a runtime of its own, as those that serve connections have.
    fn thread() -> Runtime {
        Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    fn pool(upstream: &TcpListener, thread: &Runtime) -> Arc<Pool> {
        let minute = Duration::from_secs(60);
        let timeouts = Timeouts { connect: minute, response: minute, body: minute, idle: minute };
        let shared = connector::Shared {
            timeouts: ArcSwap::from_pointee(timeouts),
            names: Names::default(),
            certificates: Certificates::default(),
            runtime: thread.handle().clone(),
        };
        let target = format!("http://{}", upstream.local_addr().unwrap()).parse().unwrap();
        Arc::new(Pool::new(Connector::new(Arc::new(shared), Arc::new(target))))
    }

    /// What a request on this thread gets.
    fn take(pool: &Arc<Pool>, thread: &Runtime) -> Exclusive {
        let pool = Arc::clone(pool);
        let taking = async move { pool.take(Wanted { offer: Offer::Both, made_after: None }).await };
        match thread.block_on(taking).map(|lease| lease.channel) {
            Ok(Channel::Http1(connection)) => connection,
            Ok(Channel::Http2(_)) => panic!("nobody has offered it"),
            Err(missing) => panic!("{missing:?}"),
        }
    }

    fn give_back(pool: &Arc<Pool>, mut connection: Exclusive, thread: &Runtime) {
        thread.block_on(async {
            connection.sender.ready().await.unwrap();
            pool.give_back(connection, Held::default());
        });
    }

    #[test]
    fn a_thread_takes_its_own_connection_before_another_ones_and_that_before_a_new_one() {
        let upstream = TcpListener::bind("127.0.0.1:0").unwrap();
        let (one, other) = (thread(), thread());
        let pool = pool(&upstream, &one);
        let (first, second) = (take(&pool, &one), take(&pool, &other));
        assert_eq!((first.runtime, second.runtime), (one.handle().id(), other.handle().id()));
        give_back(&pool, first, &one);
        give_back(&pool, second, &other);
        let taken = [take(&pool, &one), take(&pool, &one), take(&pool, &one)];
        let (here, there) = (one.handle().id(), other.handle().id());
        assert_eq!(taken.each_ref().map(|connection| connection.runtime), [here, there, here]);
        assert_eq!(pool.connector.open(), 3, "the last one is new");
    }
}
