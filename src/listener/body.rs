//! Bodies at the listener: what a visitor sends, with its limits, and what the visitor gets, watched to its end.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::activity::UnderWay;
use super::received::Received;
use crate::filter::body::{self, Body};
use crate::telemetry::Metrics;

/// Why a visitor's body was cut off here. Found among the sources of what failed because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It is larger than `limits.request_body`.
    #[error("the request's body is too large")]
    TooLarge,
    /// The next piece did not come within `timeouts.request_body`.
    #[error("the request's body did not come in time")]
    TimedOut,
}

/// A visitor's body that may not be larger than `most` (0: no limit), nor pause longer than `pause`.
pub(super) fn receive(body: Received, most: u64, pause: Duration) -> Body {
    let left = if most == 0 { u64::MAX } else { most };
    body::stream(Metered { body, left, pause, timer: None, is_waiting: false })
}

struct Metered {
    body: Received,
    left: u64,
    pause: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl Metered {
    /// Ready when the visitor has paused for too long.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.pause)));
        if !std::mem::replace(&mut self.is_waiting, true) {
            timer.as_mut().reset(Instant::now() + self.pause);
        }
        timer.as_mut().poll(context)
    }
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = body::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        // Said in Content-Length: refused before a byte is asked for, so `100 Continue` is not sent either.
        if self.body.size_hint().lower() > self.left {
            return Poll::Ready(Some(Err(Broken::TooLarge.into())));
        }
        let Poll::Ready(frame) = self.body.poll_frame(context) else {
            ready!(self.poll_timer(context));
            self.body.give_up();
            return Poll::Ready(Some(Err(Broken::TimedOut.into())));
        };
        self.is_waiting = false;
        let Some(frame) = frame.transpose()? else { return Poll::Ready(None) };
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(left) = self.left.checked_sub(length) else {
            return Poll::Ready(Some(Err(Broken::TooLarge.into())));
        };
        self.left = left;
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body: its connection counts as busy until it is sent, and a panic in it ends it alone.
pub(super) struct Served {
    metrics: Arc<Metrics>,
    under_way: UnderWay,
}

impl Served {
    pub(super) fn new(body: Body, metrics: Arc<Metrics>, under_way: UnderWay) -> Self {
        under_way.parcel().offer(body);
        Served { metrics, under_way }
    }
}

impl http_body::Body for Served {
    type Data = Bytes;
    type Error = body::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        let parcel = self.under_way.parcel();
        // After a panic the body is never polled again: an error ends it.
        let polled = catch_unwind(AssertUnwindSafe(|| parcel.poll(context)));
        let polled = polled.unwrap_or_else(|panic| {
            note_panic(&self.metrics, panic.as_ref());
            Poll::Ready(Some(Err("the answer's body panicked".into())))
        });
        if let Poll::Ready(Some(Err(_))) = &polled {
            self.under_way.cut_off();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.under_way.parcel().is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.under_way.parcel().size_hint()
    }
}

/// Runs `future`; a panic in it is counted and gives `None`.
pub(super) async fn survive<F: Future>(mut future: Pin<&mut F>, metrics: &Metrics) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        // After a panic the future is only dropped.
        catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))).map_or_else(
            |panic| {
                note_panic(metrics, panic.as_ref());
                Poll::Ready(None)
            },
            |polled| polled.map(Some),
        )
    })
    .await
}

fn note_panic(metrics: &Metrics, panic: &(dyn Any + Send)) {
    metrics.panics.inc();
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or_default();
    tracing::error!(panic = message, "a request ended in a panic");
}
