//! The visitor's body on its way to the upstream: who is being waited for, and what broke it off.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use tokio::time::Instant;

use crate::filter::body::{self, Body};

/// A body that a connection reads from. Clones are one body: where no connection came about, nothing of it was
/// read, and the next target reads it through another clone.
#[derive(Clone)]
pub(super) struct Upload {
    /// From the beginning: one that has been read looks empty, too.
    is_empty: bool,
    state: Arc<Mutex<State>>,
}

struct State {
    body: Body,
    waits_for: WaitsFor,
    broken: Option<body::Error>,
}

#[derive(Clone, Copy)]
enum WaitsFor {
    /// The connection, or the visitor's next piece: both have limits of their own.
    Others,
    /// The upstream, since it was given the last piece.
    Upstream(Instant),
}

impl Upload {
    pub(super) fn new(body: Body) -> Self {
        let is_empty = body.is_end_stream();
        let waits_for = match is_empty {
            true => WaitsFor::Upstream(Instant::now()),
            false => WaitsFor::Others,
        };
        Upload { is_empty, state: Arc::new(Mutex::new(State { body, waits_for, broken: None })) }
    }

    /// Whether the request has no body.
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// What broke the visitor's body off, if anything.
    pub(super) fn take_broken(&self) -> Option<body::Error> {
        self.state().broken.take()
    }

    /// Ends when the upstream has had all there is for `at_most`, and has given nothing back.
    pub(super) async fn overdue(&self, at_most: Duration) {
        // What came before, such as the search for a connection, has its own limit.
        let asked = Instant::now();
        loop {
            let now = Instant::now();
            let deadline = match self.state().waits_for {
                WaitsFor::Others => now + at_most,
                WaitsFor::Upstream(since) => since.max(asked) + at_most,
            };
            if deadline <= now {
                return;
            }
            tokio::time::sleep_until(deadline).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A body that panicked is not polled again: the request ends with it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = body::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        let mut state = self.state();
        state.waits_for = WaitsFor::Others;
        let frame = ready!(Pin::new(&mut state.body).poll_frame(context));
        state.waits_for = WaitsFor::Upstream(Instant::now());
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| {
                state.broken = Some(error);
                "the visitor's request broke off".into()
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.state().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.state().body.size_hint()
    }
}
