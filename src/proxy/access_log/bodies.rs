//! The bodies of a request and of its answer, as far as the log is concerned: how much of them passed, and whether
//! they came to their end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body as _, Frame, SizeHint};

use super::{End, Line};
use crate::filter::Body;
use crate::filter::body::{self, CutOff};
use crate::upstream::Stalled;

/// The body of a request, whose bytes are counted.
pub(super) struct Counted {
    pub(super) body: Body,
    pub(super) counter: Arc<AtomicU64>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = body::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.counter.fetch_add(length(frame.as_ref()), Ordering::Relaxed);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer, watched to its end.
pub(super) struct Watched {
    pub(super) body: Body,
    pub(super) line: Line,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = body::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, body::Error>>> {
        self.line.end = End::Asked;
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.line.end = match &polled {
            Poll::Pending | Poll::Ready(Some(Ok(_))) => End::UnderWay,
            Poll::Ready(None) => End::Whole,
            Poll::Ready(Some(Err(error))) => End::Failed(reason(error)),
        };
        let frame = ready!(polled);
        self.line.sent += length(frame.as_ref());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Watched {
    /// Whether nothing of the body is missing: whoever knows that it is over asks for no more.
    fn is_over(&self) -> bool {
        self.body.is_end_stream() || self.body.size_hint().exact() == Some(0) || self.has_no_body()
    }

    /// Whether nobody asks for the body (RFC 9110 section 6.4.1).
    fn has_no_body(&self) -> bool {
        self.line.is_head
            || self.line.head.is_some_and(|(status, _)| {
                status.is_informational()
                    || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.line.end == End::UnderWay && self.is_over() {
            self.line.end = End::Whole;
        }
    }
}

fn length(frame: Option<&Result<Frame<Bytes>, body::Error>>) -> u64 {
    let data = frame.and_then(|frame| frame.as_ref().ok()?.data_ref());
    data.map_or(0, Bytes::len) as u64
}

/// Why a body failed. What passes as it comes can only fail with the upstream.
fn reason(error: &body::Error) -> &'static str {
    let cause = match error.downcast_ref() {
        Some(CutOff::Upstream(cause)) => cause,
        Some(cut_off) => return cut_off.reason(),
        None => error,
    };
    if cause.is::<Stalled>() { "upstream-stalled" } else { "upstream-broke-off" }
}
