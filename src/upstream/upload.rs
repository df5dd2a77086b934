//! The visitor's body on its way to the upstream: who is being waited for, and what broke it off.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::request::Parts;
use http::{StatusCode, Version};
use http_body::{Body as _, Frame, SizeHint};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep};

use super::scrutiny;
use crate::filter::body::{self, Body};

/// What the visitor waits for before it sends its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expectation {
    /// Nothing.
    None,
    /// `100 Continue`.
    Continue,
}

impl Expectation {
    /// What the head says. There is nothing to wait for without a body, nor in HTTP/1.0.
    pub(super) fn of(parts: &Parts, body: &Body) -> Self {
        let says = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
        let expects = parts.headers.get(EXPECT).is_some_and(says);
        match expects && parts.version >= Version::HTTP_11 && !body.is_end_stream() {
            true => Expectation::Continue,
            false => Expectation::None,
        }
    }
}

/// A body that a connection reads from. Clones are one body: where no connection came about, nothing of it was
/// read, and the next target reads it through another clone.
#[derive(Clone)]
pub(super) struct Upload {
    /// From the beginning: one that has been read looks empty, too.
    is_empty: bool,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
}

/// The answers that come before the answer to one attempt: none that failed counts for the next.
#[derive(Debug, Default)]
pub(super) struct Interim {
    heard: AtomicUsize,
    flooded: Notify,
}

impl Interim {
    /// Counts one more.
    fn count(&self) {
        const ENOUGH: usize = 32;
        if self.heard.fetch_add(1, Ordering::Relaxed) >= ENOUGH {
            self.flooded.notify_one();
        }
    }

    /// Ends when the upstream has sent more of them than any server has reason to.
    pub(super) async fn flooded(&self) {
        self.flooded.notified().await;
    }
}

struct State {
    body: Body,
    gate: Gate,
    waits_for: WaitsFor,
    broken: Option<body::Error>,
    /// Who reads, while the gate is shut.
    reader: Option<Waker>,
}

/// Whether the body flows.
enum Gate {
    Open,
    /// Not before the upstream says so, or has said nothing for a while; the clock starts with the connection.
    Shut(Option<Pin<Box<Sleep>>>),
    /// Never: the upstream has answered without it.
    Unwanted,
    /// Never, and that answer is over: the connection waits for nothing any more.
    Abandoned,
}

#[derive(Clone, Copy)]
enum WaitsFor {
    /// The connection, or the visitor's next piece: both have limits of their own.
    Others,
    /// The upstream, since it was given the last piece.
    Upstream(Instant),
}

impl Upload {
    pub(super) fn new(body: Body, expectation: Expectation) -> Self {
        let is_empty = body.is_end_stream();
        let waits_for = match is_empty {
            true => WaitsFor::Upstream(Instant::now()),
            false => WaitsFor::Others,
        };
        let gate = match expectation {
            Expectation::None => Gate::Open,
            Expectation::Continue => Gate::Shut(None),
        };
        let state = State { body, gate, waits_for, broken: None, reader: None };
        Upload { is_empty, shared: Arc::new(Shared { state: Mutex::new(state) }) }
    }

    /// Whether the request has no body.
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty
    }

    /// Whether there is a body of which nobody has said how long it is.
    pub(super) fn has_open_end(&self) -> bool {
        let state = self.state();
        !state.body.is_end_stream() && state.body.size_hint().exact().is_none()
    }

    /// What broke the visitor's body off, if anything.
    pub(super) fn take_broken(&self) -> Option<body::Error> {
        self.state().broken.take()
    }

    /// Ends when the upstream has had all there is for `at_most`, and has given nothing back.
    pub(super) async fn overdue(&self, at_most: Duration) {
        // What came before, such as the search for a connection, has its own limit.
        let asked = Instant::now();
        let mut now = asked;
        loop {
            let deadline = match self.state().waits_for {
                WaitsFor::Others => now + at_most,
                WaitsFor::Upstream(since) => since.max(asked) + at_most,
            };
            if deadline <= now {
                return;
            }
            tokio::time::sleep_until(deadline).await;
            now = Instant::now();
        }
    }

    /// Lets the body flow: over HTTP/2 it goes at once. Until it is read, it is the upstream that lets nobody read
    /// it, by the number of its streams.
    pub(super) fn expect_nothing(&self) {
        let mut state = self.state();
        state.waits_for = WaitsFor::Upstream(Instant::now());
        if matches!(state.gate, Gate::Shut(_)) {
            state.gate = Gate::Open;
        }
    }

    /// Notes an interim answer to this attempt (RFC 9110 section 15.2).
    pub(super) fn heard(&self, interim: &Interim, status: StatusCode) {
        interim.count();
        let mut state = self.state();
        if status == StatusCode::CONTINUE && matches!(state.gate, Gate::Shut(_)) {
            state.gate = Gate::Open;
            state.wake();
        }
    }

    /// Notes that the answer has come. Gives itself back where the upstream wants no body any more.
    pub(super) fn answered(&self) -> Option<Self> {
        let mut state = self.state();
        matches!(state.gate, Gate::Shut(_)).then(|| {
            state.gate = Gate::Unwanted;
            self.clone()
        })
    }

    /// Notes that the answer to a body that nobody wanted is over.
    pub(super) fn abandon(&self) {
        let mut state = self.state();
        state.gate = Gate::Abandoned;
        state.wake();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A body that panicked is not polled again: the request ends with it.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Ready when the body flows; an error where it never will.
    fn poll_gate(&mut self, context: &mut Context<'_>) -> Poll<Result<(), body::Error>> {
        // As long as curl waits: an upstream that does not know the expectation says nothing.
        const PATIENCE: Duration = Duration::from_secs(1);
        self.reader = Some(context.waker().clone());
        match &mut self.gate {
            Gate::Open => Poll::Ready(Ok(())),
            Gate::Unwanted => Poll::Pending,
            // The connection cannot be used again: the upstream may still wait for this body.
            Gate::Abandoned => Poll::Ready(Err("the upstream answered without the body".into())),
            Gate::Shut(timer) => {
                let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
                ready!(timer.as_mut().poll(context));
                self.gate = Gate::Open;
                Poll::Ready(Ok(()))
            }
        }
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
        if !matches!(state.gate, Gate::Open) {
            ready!(state.poll_gate(context))?;
        }
        state.waits_for = WaitsFor::Others;
        let frame = ready!(Pin::new(&mut state.body).poll_frame(context));
        state.waits_for = WaitsFor::Upstream(Instant::now());
        Poll::Ready(frame.map(|frame| match frame {
            Ok(mut frame) => {
                if let Some(trailers) = frame.trailers_mut() {
                    scrutiny::filter_trailers(trailers);
                }
                Ok(frame)
            }
            Err(error) => {
                state.broken = Some(error);
                Err("the visitor's request broke off".into())
            }
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.state().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.state().body.size_hint()
    }
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upload")
    }
}
