//! An answer's body between the proxy and a client that may not want it: handed out piece by piece, and taken back
//! from who takes nothing for too long.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use crate::filter::body::{self, Body};

/// The most that HTTP/2 is given at once: it asks for more only when all of it has found room in the client's
/// window, and that is how one sees that the client takes something.
const PIECE: usize = 64 * 1024;

/// The body of one answer.
pub(super) struct Parcel {
    watch: Watch,
    state: Mutex<State>,
}

/// What shows whether the client takes anything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Watch {
    /// The socket, which carries nothing else: HTTP/1.
    Socket,
    /// The pieces that are asked for: HTTP/2.
    Pieces,
}

struct State {
    content: Content,
    /// What of the last frame was too much for one piece.
    rest: Bytes,
    /// Since when the client has been offered a piece that it does not take.
    offered: Option<Instant>,
}

enum Content {
    NotYet,
    Body(Body),
    Withdrawn,
}

impl Parcel {
    /// Room for the body of a request that has just come.
    pub(super) fn new(version: Version) -> Self {
        let watch = if version == Version::HTTP_2 { Watch::Pieces } else { Watch::Socket };
        let state = State { content: Content::NotYet, rest: Bytes::new(), offered: None };
        Parcel { watch, state: Mutex::new(state) }
    }

    /// Puts the body in.
    pub(super) fn offer(&self, body: Body) {
        let mut state = self.state();
        state.content = Content::Body(body);
        state.offered = self.since_now();
    }

    /// Since when the client has not taken what it is offered.
    pub(super) fn offered(&self) -> Option<Instant> {
        self.state().offered
    }

    /// Whether the client has not taken what it is offered for as long as `patience`.
    pub(super) fn offered_before(&self, now: Instant, patience: Duration) -> bool {
        self.offered().is_some_and(|since| since + patience <= now)
    }

    /// Takes the body back: whatever it binds is free.
    pub(super) fn withdraw(&self) {
        let mut state = self.state();
        state.offered = None;
        state.rest = Bytes::new();
        let content = std::mem::replace(&mut state.content, Content::Withdrawn);
        drop(state);
        drop(content);
    }

    pub(super) fn is_withdrawn(&self) -> bool {
        matches!(self.state().content, Content::Withdrawn)
    }

    /// The next piece.
    pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        let mut state = self.state();
        state.offered = None;
        let state = &mut *state;
        if state.rest.is_empty() {
            let Content::Body(body) = &mut state.content else {
                return Poll::Ready(Some(Err("the client took nothing of the answer".into())));
            };
            let frame = match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            };
            match frame.into_data() {
                Ok(data) => state.rest = data,
                Err(frame) => return Poll::Ready(Some(Ok(frame))),
            }
        }
        state.offered = self.since_now();
        let most = if self.watch == Watch::Pieces { PIECE } else { usize::MAX };
        let piece = state.rest.split_to(most.min(state.rest.len()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn since_now(&self) -> Option<Instant> {
        (self.watch == Watch::Pieces).then(Instant::now)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.state();
        match &state.content {
            Content::Body(body) => state.rest.is_empty() && body.is_end_stream(),
            Content::NotYet | Content::Withdrawn => false,
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let state = self.state();
        match &state.content {
            Content::Body(body) if state.rest.is_empty() => body.size_hint(),
            Content::Body(_) | Content::NotYet | Content::Withdrawn => SizeHint::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A body that panicked is not polled again: the answer ends with it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Parcel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parcel")
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn next(parcel: &Parcel) -> Option<Result<Bytes, body::Error>> {
        match parcel.poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(polled) => polled.map(|frame| frame.map(|frame| frame.into_data().unwrap())),
            Poll::Pending => panic!("nothing waits here"),
        }
    }

    fn parcel(version: Version, size: usize) -> Parcel {
        let parcel = Parcel::new(version);
        parcel.offer(body::full(vec![b'x'; size]));
        parcel
    }

    #[test]
    fn http2_gets_pieces_and_is_watched_between_them() {
        let parcel = parcel(Version::HTTP_2, 2 * PIECE + 1);
        for size in [PIECE, PIECE, 1] {
            assert!(parcel.offered_before(Instant::now(), Duration::ZERO) && !parcel.is_end_stream());
            assert_eq!(next(&parcel).unwrap().unwrap().len(), size);
        }
        assert!(parcel.is_end_stream());
    }

    #[test]
    fn http1_gets_what_comes_and_is_not_watched_here() {
        let parcel = parcel(Version::HTTP_11, 2 * PIECE + 1);
        assert_eq!(parcel.size_hint().exact(), Some(2 * PIECE as u64 + 1));
        assert!(parcel.offered().is_none());
        assert_eq!(next(&parcel).unwrap().unwrap().len(), 2 * PIECE + 1);
        // A slow client may take minutes over it.
        assert!(parcel.offered().is_none() && parcel.is_end_stream());
    }

    #[test]
    fn what_was_withdrawn_does_not_end_as_if_it_were_whole() {
        let parcel = parcel(Version::HTTP_2, 2 * PIECE);
        next(&parcel).unwrap().unwrap();
        parcel.withdraw();
        assert!(parcel.is_withdrawn() && !parcel.is_end_stream() && parcel.offered().is_none());
        next(&parcel).unwrap().unwrap_err();
    }

    #[tokio::test]
    async fn empty_pieces_and_trailers_pass() {
        let trailers =
            http::HeaderMap::from_iter([(http::header::ETAG, http::HeaderValue::from_static("1"))]);
        let frames = [Frame::data(Bytes::new()), Frame::data(Bytes::from("x")), Frame::trailers(trailers)];
        let stream = futures_util::stream::iter(frames.map(Ok::<_, std::convert::Infallible>));
        let parcel = Parcel::new(Version::HTTP_2);
        parcel.offer(body::stream(http_body_util::StreamBody::new(stream)));
        let frames = futures_util::stream::poll_fn(|context| parcel.poll(context));
        let whole = http_body_util::StreamBody::new(frames).collect().await.unwrap();
        assert_eq!(
            (whole.trailers().map(http::HeaderMap::len), whole.to_bytes()),
            (Some(1), Bytes::from("x"))
        );
    }
}
