//! What a connection is doing, and so how long it may go on doing it: the watch over slow and silent clients.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Version;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::conversation::PREFACE;
use super::frames::Frames;
use super::parcel::Parcel;

/// The state of one connection, told by its socket and by its requests.
#[derive(Debug)]
pub(super) struct Activity {
    /// For the head of a request, from its first byte.
    head: Duration,
    /// Without a request, and for a client that takes nothing of its answer.
    idle: Duration,
    is_ending: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    speaks: Speaks,
    /// One for each request that has not been answered to the end.
    under_way: Vec<Arc<Parcel>>,
    /// How many bodies of requests have not ended: what comes over HTTP/1 is theirs, also behind an early answer.
    bodies: usize,
    waiting: Waiting,
    /// Since when the client takes nothing of what is written.
    blocked: Option<Instant>,
    /// Whether an answer broke off that only the end of the connection could end.
    is_cut_off: bool,
    /// What a client of HTTP/2 sends.
    frames: Frames,
}

impl State {
    /// Whether the client has taken nothing of any answer, and all of them were taken back.
    fn has_no_taker(&self) -> bool {
        !self.under_way.is_empty() && self.under_way.iter().all(|parcel| parcel.is_withdrawn())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    NothingYet,
    Http1,
    Http2,
}

/// What is waited for while no request is under way, and since when.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    Request(Instant),
    RestOfHead(Instant),
    /// Of a request that has been answered already; since its last piece.
    RestOfBody(Instant),
}

/// A body of a request that has not ended; none of it is taken for another request before this is dropped.
#[derive(Debug)]
pub(super) struct Sending(Arc<Activity>);

impl Drop for Sending {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.bodies -= 1;
        if let (0, Waiting::RestOfBody(_)) = (state.bodies, state.waiting) {
            state.waiting = Waiting::Request(Instant::now());
        }
    }
}

/// A request that has not been answered to the end; the connection is not idle before it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    parcel: Arc<Parcel>,
    version: Version,
}

impl UnderWay {
    /// Notes that the answer breaks off. HTTP/1.0 has no chunks: a connection that ends well would end the answer
    /// well, so it is reset (RFC 9112 section 6.3). Proxies in front speak it, and some keep what they get.
    pub(super) fn cut_off(&self) {
        if self.version < Version::HTTP_11 {
            self.activity.state().is_cut_off = true;
        }
    }

    /// What the answer's body is put into.
    pub(super) fn parcel(&self) -> &Arc<Parcel> {
        &self.parcel
    }
}

impl Activity {
    pub(super) fn new(head: Duration, idle: Duration) -> Self {
        let state = State {
            speaks: Speaks::NothingYet,
            under_way: Vec::new(),
            bodies: 0,
            waiting: Waiting::Request(Instant::now()),
            blocked: None,
            is_cut_off: false,
            frames: Frames::new(),
        };
        Activity { head, idle, is_ending: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Notes that the head of a request is complete.
    pub(super) fn begin(self: &Arc<Self>, version: Version) -> UnderWay {
        let mut state = self.state();
        if version == Version::HTTP_2 {
            state.speaks = Speaks::Http2;
        }
        let parcel = Arc::new(Parcel::new(version));
        state.under_way.push(Arc::clone(&parcel));
        drop(state);
        UnderWay { activity: Arc::clone(self), parcel, version }
    }

    /// Notes that a body follows the head.
    pub(super) fn begin_body(self: &Arc<Self>) -> Sending {
        self.state().bodies += 1;
        Sending(Arc::clone(self))
    }

    /// From now on, whatever is answered is the last.
    pub(super) fn end_with_the_next(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_ending(&self) -> bool {
        self.is_ending.load(Ordering::Relaxed)
    }

    /// Whether a request has begun and its head has not ended.
    pub(super) fn waits_for_rest_of_head(&self) -> bool {
        let state = self.state();
        state.under_way.is_empty() && matches!(state.waiting, Waiting::RestOfHead(_))
    }

    /// Whether the client has taken nothing of what is written, or of any of its answers, for longer than it may.
    pub(super) fn is_given_up(&self) -> bool {
        let state = self.state();
        let is_blocked = state.blocked.is_some_and(|since| since.elapsed() >= self.idle);
        is_blocked || state.has_no_taker()
    }

    pub(super) fn speaks_http2(&self) -> bool {
        self.state().speaks == Speaks::Http2
    }

    /// Ends when the client has taken longer than it may.
    pub(super) async fn expired(&self) {
        loop {
            let now = Instant::now();
            self.withdraw_refused(now);
            match self.deadline(now) {
                Some(deadline) if deadline <= now => return,
                deadline => {
                    // A deadline that arises meanwhile lies at least this far off, so none is overslept.
                    let look_again = now + self.head.min(self.idle);
                    let until = deadline.map_or(look_again, |deadline| deadline.min(look_again));
                    tokio::time::sleep_until(until).await;
                }
            }
        }
    }

    /// Ends when nobody has asked for anything over HTTP/1 for so long, and the last answer has left.
    pub(super) async fn quiet_for(&self, long_enough: Duration) {
        loop {
            let now = Instant::now();
            let until = match self.quiet_since() {
                Some(since) if since + long_enough <= now => return,
                since => since.unwrap_or(now) + long_enough,
            };
            tokio::time::sleep_until(until).await;
        }
    }

    fn quiet_since(&self) -> Option<Instant> {
        let state = self.state();
        let is_free = state.under_way.is_empty() && state.blocked.is_none();
        match (state.speaks, state.waiting) {
            (Speaks::Http1, Waiting::Request(since)) if is_free => Some(since),
            _ => None,
        }
    }

    /// Takes back the answers of which the client has taken nothing for too long, so that they bind nobody behind
    /// us. In HTTP/2 a client can refuse one and take the others.
    fn withdraw_refused(&self, now: Instant) {
        let refused: Vec<_> = {
            let state = self.state();
            state.under_way.iter().filter(|parcel| parcel.offered_before(now, self.idle)).cloned().collect()
        };
        for parcel in refused {
            parcel.withdraw();
        }
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let state = self.state();
        let stalled = state.blocked.map(|since| since + self.idle);
        let offered = state.under_way.iter().filter_map(|parcel| parcel.offered()).min();
        let refused = offered.map(|since| since + self.idle);
        let silent = state.under_way.is_empty().then_some(match state.waiting {
            Waiting::Request(since) | Waiting::RestOfBody(since) => since + self.idle,
            Waiting::RestOfHead(since) => since + self.head,
        });
        let over = state.has_no_taker().then_some(now);
        [stalled, refused, silent, over].into_iter().flatten().min().map(|deadline| deadline.max(now))
    }

    /// Whether the client sends frames without an end that carry nothing.
    pub(super) fn is_flooded(&self) -> bool {
        self.state().frames.are_a_flood()
    }

    /// Notes what has come; an error where there is no use in reading on.
    fn read(&self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        if state.speaks == Speaks::NothingYet && !bytes.is_empty() {
            // A preface in pieces is measured like a head, until the first request shows what it is.
            state.speaks = if bytes.starts_with(PREFACE) { Speaks::Http2 } else { Speaks::Http1 };
        }
        // HTTP/2 sends frames between requests too; there only silence is measured.
        let is_idle = state.under_way.is_empty();
        if is_idle && state.speaks == Speaks::Http1 {
            state.waiting = match state.waiting {
                Waiting::Request(_) => Waiting::RestOfHead(Instant::now()),
                Waiting::RestOfBody(_) => Waiting::RestOfBody(Instant::now()),
                begun @ Waiting::RestOfHead(_) => begun,
            };
        }
        state.frames.read(bytes);
        if state.frames.are_a_flood() {
            return Err(io::Error::other("frames without an end that carry nothing"));
        }
        Ok(())
    }

    fn wrote<T>(&self, outcome: &Poll<T>) {
        let mut state = self.state();
        let state = &mut *state;
        match outcome {
            Poll::Pending => _ = state.blocked.get_or_insert_with(Instant::now),
            Poll::Ready(_) => {
                // The end of an answer may wait in the connection long after its body is gone: who takes it, however
                // slowly, is not idle.
                if let (Some(_), Waiting::Request(since)) = (state.blocked.take(), &mut state.waiting) {
                    *since = Instant::now();
                }
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is a few plain values; a panic elsewhere leaves none of them half written.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.under_way.retain(|parcel| !Arc::ptr_eq(parcel, &self.parcel));
        let now = Instant::now();
        state.waiting = match state.bodies {
            0 => Waiting::Request(now),
            _ => Waiting::RestOfBody(now),
        };
    }
}

/// The socket beneath a connection.
pub(super) trait Socket {
    /// When it is closed, the client gets a reset in place of an end: that tells it that something is missing.
    fn reset_when_closed(&self);

    /// Ready when there may be something to read, or the client is gone. What is beneath TLS may turn out to be nothing.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Socket for TcpStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(context)
    }

    fn reset_when_closed(&self) {
        if let Err(error) = SockRef::from(self).set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "the connection is gone already");
        }
    }
}

impl<S: Socket> Socket for TlsStream<S> {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().0.poll_readable(context)
    }

    fn reset_when_closed(&self) {
        self.get_ref().0.reset_when_closed();
    }
}

/// A socket that tells an [`Activity`] what happens on it, and holds `seat` for as long as it is open.
#[derive(Debug)]
pub(super) struct Watched<S: Socket, T> {
    socket: S,
    activity: Arc<Activity>,
    _seat: T,
}

impl<S: Socket, T> Drop for Watched<S, T> {
    fn drop(&mut self) {
        if self.activity.state().is_cut_off {
            self.socket.reset_when_closed();
        }
    }
}

impl<S: Socket, T> Watched<S, T> {
    pub(super) fn new(socket: S, activity: Arc<Activity>, seat: T) -> Self {
        Watched { socket, activity, _seat: seat }
    }
}

impl<S: AsyncRead + Socket + Unpin, T: Unpin> AsyncRead for Watched<S, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        Poll::Ready(self.activity.read(buffer.filled().get(before..).unwrap_or_default()))
    }
}

impl<S: Socket, T> Socket for Watched<S, T> {
    fn reset_when_closed(&self) {
        self.socket.reset_when_closed();
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_readable(context)
    }
}

impl<S: AsyncWrite + Socket + Unpin, T: Unpin> AsyncWrite for Watched<S, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.activity.wrote(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.activity.wrote(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.socket).poll_flush(context);
        self.activity.wrote(&outcome);
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(60);

    fn left(activity: &Activity, now: Instant) -> Option<Duration> {
        activity.deadline(now).map(|deadline| deadline - now)
    }

    fn about(left: Option<Duration>, expected: Duration) -> bool {
        left.is_some_and(|left| left <= expected + Duration::from_secs(1) && left + HEAD / 2 > expected)
    }

    #[test]
    fn the_head_is_measured_from_its_first_byte_and_silence_from_the_last_answer() {
        let activity = Arc::new(Activity::new(HEAD, IDLE));
        let now = Instant::now();
        assert!(about(left(&activity, now), IDLE));
        activity.read(b"GET ").unwrap();
        activity.read(b"/").unwrap();
        assert!(about(left(&activity, now), HEAD));
        let request = activity.begin(Version::HTTP_11);
        assert_eq!(left(&activity, now), None);
        activity.read(b"the body, or the next request").unwrap();
        drop(request);
        assert!(about(left(&activity, now), IDLE));
    }

    #[test]
    fn what_comes_of_a_body_behind_an_early_answer_is_no_head_of_a_request() {
        let activity = Arc::new(Activity::new(HEAD, IDLE));
        activity.read(b"POST / HTTP/1.1\r\n\r\n").unwrap();
        let (body, request) = (activity.begin_body(), activity.begin(Version::HTTP_11));
        drop(request);
        assert!(about(left(&activity, Instant::now()), IDLE) && activity.quiet_since().is_none());
        activity.state().waiting = Waiting::RestOfBody(Instant::now() - IDLE / 2);
        activity.read(b"GET / HTTP/1.1").unwrap();
        assert!(about(left(&activity, Instant::now()), IDLE) && activity.quiet_since().is_none());
        drop(body);
        assert!(about(left(&activity, Instant::now()), IDLE) && activity.quiet_since().is_some());
        activity.read(b"GET ").unwrap();
        assert!(about(left(&activity, Instant::now()), HEAD));
    }

    #[test]
    fn frames_between_requests_start_no_head_in_http2() {
        let activity = Arc::new(Activity::new(HEAD, IDLE));
        activity.read(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        activity.read(b"a PING").unwrap();
        assert!(activity.speaks_http2());
        assert!(about(left(&activity, Instant::now()), IDLE));
    }

    #[test]
    fn a_client_that_takes_nothing_of_its_answer_is_measured_too() {
        let activity = Arc::new(Activity::new(HEAD, IDLE));
        let _request = activity.begin(Version::HTTP_11);
        activity.wrote::<()>(&Poll::Pending);
        assert!(about(left(&activity, Instant::now()), IDLE));
        activity.wrote(&Poll::Ready(()));
        assert_eq!(left(&activity, Instant::now()), None);
    }

    #[test]
    fn a_client_that_takes_the_end_of_its_answer_slowly_is_not_idle() {
        let activity = Arc::new(Activity::new(HEAD, IDLE));
        activity.read(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        drop(activity.begin(Version::HTTP_11));
        let long_ago = Instant::now() - IDLE / 2;
        activity.state().waiting = Waiting::Request(long_ago);
        // A write that did not have to wait, such as that of a PONG, says nothing of the client.
        activity.wrote(&Poll::Ready(()));
        assert!(about(left(&activity, Instant::now()), IDLE / 2));
        activity.wrote::<()>(&Poll::Pending);
        activity.wrote(&Poll::Ready(()));
        assert!(about(left(&activity, Instant::now()), IDLE));
    }
}
