//! The body of an answer, and what its request occupies until the end of it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::Cause;
use super::lease::Connection;
use super::scrutiny;
use super::upload::Upload;

/// The next piece of an answer did not come within `timeouts.upstream_body`. Found among the sources of what failed
/// because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the upstream's answer did not go on in time")]
pub struct Stalled;

/// The body of an upstream's answer, as it comes.
#[derive(Debug)]
pub struct Answer {
    address: Arc<str>,
    body: Incoming,
    /// How long it may pause; time that the visitor takes does not count.
    pause: Duration,
    /// Runs while a piece is waited for.
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
    occupied: Option<Occupied>,
    /// What the upstream did not ask for before it answered: it goes nowhere once the answer has come.
    unwanted: Option<Upload>,
}

/// What a request occupies: its place in the count of its address, and its connection.
#[derive(Debug)]
pub(super) struct Occupied {
    pub(super) _counted: Counted,
    pub(super) _connection: Connection,
}

/// A request that is counted as under way while this lives.
#[derive(Debug)]
pub(super) struct Counted(Arc<AtomicUsize>);

impl Counted {
    pub(super) fn one_more(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Counted(Arc::clone(count))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Answer {
    /// A body that occupies these until its end; one that is at its end already occupies nothing.
    pub(super) fn new(address: &Arc<str>, body: Incoming, occupied: Occupied, pause: Duration) -> Self {
        let is_over = http_body::Body::is_end_stream(&body);
        let mut answer = Answer::switched(address, body, occupied, pause);
        if is_over {
            answer.occupied = None;
        }
        answer
    }

    /// What follows an answer 101 on its connection: not HTTP, and not over until the connection is.
    pub(super) fn switched(address: &Arc<str>, body: Incoming, occupied: Occupied, pause: Duration) -> Self {
        Answer {
            address: Arc::clone(address),
            body,
            pause,
            timer: None,
            is_waiting: false,
            occupied: Some(occupied),
            unwanted: None,
        }
    }

    /// Which address has answered: `HOST:PORT` or `unix:PATH`.
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// Ready when the upstream has paused for too long.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let pause = self.pause;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        if !std::mem::replace(&mut self.is_waiting, true) {
            timer.as_mut().reset(Instant::now() + pause);
        }
        timer.as_mut().poll(context)
    }

    /// Notes that the upstream has answered without this body.
    pub(super) fn note_unwanted(&mut self, upload: Option<Upload>) {
        self.unwanted = upload;
    }

    /// Takes out what the request occupies, for a connection that goes on as something else than HTTP.
    pub(super) fn take_occupied(&mut self) -> Option<Occupied> {
        self.occupied.take()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(upload) = &self.unwanted {
            upload.abandon();
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        let Poll::Ready(mut frame) = Pin::new(&mut self.body).poll_frame(context) else {
            ready!(self.poll_timer(context));
            self.occupied = None;
            return Poll::Ready(Some(Err(Stalled.into())));
        };
        self.is_waiting = false;
        if let Some(Ok(frame)) = &mut frame
            && let Some(trailers) = frame.trailers_mut()
        {
            scrutiny::filter_trailers(trailers);
        }
        // The visitor may be slow to take the last of it; the upstream is free already.
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.occupied = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
