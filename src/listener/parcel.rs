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
    piece: usize,
    state: Mutex<State>,
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
        // HTTP/1 takes what it is given into its buffer; whether that is taken, the socket tells.
        let piece = if version == Version::HTTP_2 { PIECE } else { usize::MAX };
        let state = State { content: Content::NotYet, rest: Bytes::new(), offered: None };
        Parcel { piece, state: Mutex::new(state) }
    }

    /// Puts the body in.
    pub(super) fn offer(&self, body: Body) {
        let mut state = self.state();
        state.content = Content::Body(body);
        state.offered = Some(Instant::now());
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
        state.offered = Some(Instant::now());
        let piece = state.rest.split_to(self.piece.min(state.rest.len()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
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
