//! A visitor's body as it comes, and what becomes of the rest of one that nobody wants any more.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http::header::EXPECT;
use http::request::Parts;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
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
    version: Version,
    sender: Sender,
}

/// Who sends a body.
pub(super) struct Sender {
    pub(super) activity: Arc<Activity>,
    /// The listener's stop.
    pub(super) shutdown: CancellationToken,
}

impl Received {
    pub(super) fn new(body: Incoming, parts: &Parts, sender: Sender) -> Self {
        let version = parts.version;
        let is_unasked = version < Version::HTTP_2 && parts.headers.contains_key(EXPECT);
        Received { body: Some(body), is_unasked, version, sender }
    }

    pub(super) fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        self.is_unasked = false;
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    /// Takes nothing more of it: its sender has had the time for it.
    pub(super) fn give_up(&mut self) {
        self.body = None;
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
        if let (Some(rest), Ok(runtime)) = (self.body.take(), Handle::try_current()) {
            // The connection is not idle, and what comes is no head of another request.
            let under_way = self.sender.activity.begin(self.version);
            let shutdown = self.sender.shutdown.clone();
            runtime.spawn(async move {
                let stopped = async {
                    shutdown.cancelled().await;
                    tokio::time::sleep(GRACE).await;
                };
                tokio::select! {
                    () = stopped => {}
                    _ = timeout(MOST, take(rest)) => {}
                }
                drop(under_way);
            });
        }
    }
}

/// Takes a body to its end, or to a pause that is too long.
async fn take(mut body: Incoming) {
    while let Ok(Some(Ok(_))) = timeout(PAUSE, body.frame()).await {}
}
