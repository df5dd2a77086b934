//! A visitor's body as it comes, and what becomes of the rest of one that nobody wants any more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Version};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Sending};
use super::connection::GRACE;

/// How long a visitor may take to see that it has an answer and need not send the rest.
pub(super) const MOST: Duration = Duration::from_secs(30);
/// How long without a further piece.
pub(super) const PAUSE: Duration = Duration::from_secs(5);

/// What is left of it when it is dropped is taken for a while and thrown away. Who is still sending would lose the
/// answer otherwise: over HTTP/1.1 the connection would be reset beneath it (RFC 9112 section 9.6), and over HTTP/2 some
/// clients drop an answer that `RST_STREAM` follows at once, though RFC 9113 section 8.1 tells them not to.
pub(super) struct Received {
    /// Until its end has come.
    body: Option<Incoming>,
    /// Nobody has asked the visitor for it yet: it is not to be asked now.
    is_unasked: bool,
    /// Until then its connection carries nothing else; and the listener's stop.
    sending: Option<(Sending, CancellationToken)>,
}

/// Whether a visitor sends its body only when it is asked for it (`Expect: 100-continue`). Over HTTP/2 nobody asks.
pub(super) fn asks_first(request: &Request<Incoming>) -> bool {
    !request.body().is_end_stream()
        && request.version() < Version::HTTP_2
        && request.headers().contains_key(EXPECT)
}

impl Received {
    /// What comes on the connection of this activity, until its listener stops.
    pub(super) fn new(
        body: Incoming,
        asks_first: bool,
        activity: &Arc<Activity>,
        shutdown: &CancellationToken,
    ) -> Self {
        let sending = (!body.is_end_stream()).then(|| (activity.begin_body(), shutdown.clone()));
        Received { body: Some(body), is_unasked: asks_first, sending }
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        self.is_unasked = false;
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.give_up();
        }
        Poll::Ready(frame)
    }

    /// Takes nothing more of it: its sender has had the time for it.
    pub(super) fn give_up(&mut self) {
        self.body = None;
        self.sending = None;
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if self.is_unasked || self.is_end_stream() {
            return;
        }
        if let (Some(rest), Some((sending, shutdown)), Ok(runtime)) =
            (self.body.take(), self.sending.take(), Handle::try_current())
        {
            runtime.spawn(async move {
                let stopped = async {
                    shutdown.cancelled().await;
                    tokio::time::sleep(GRACE).await;
                };
                tokio::select! {
                    () = stopped => {}
                    _ = timeout(MOST, take(rest)) => {}
                }
                drop(sending);
            });
        }
    }
}

/// Takes a body to its end, or to a pause that is too long.
async fn take(mut body: Incoming) {
    while let Ok(Some(Ok(_))) = timeout(PAUSE, body.frame()).await {}
}
