//! What a request gets of the pool: a connection, or a place on one, and what it occupies until its answer ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::runtime;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::Cause;
use super::certificates::Offer;
use super::pool::Pool;
use super::upload::Upload;

/// Which connection a request may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) offer: Offer,
    /// No older one, because one that was kept has just failed.
    pub(super) made_after: Option<Instant>,
}

impl Wanted {
    pub(super) fn admits(self, made: Instant) -> bool {
        self.made_after.is_none_or(|after| made > after)
    }
}

/// A connection for one request.
pub(super) struct Lease {
    pub(super) channel: Channel,
    /// Whether it has carried a request before, so that it may have gone stale.
    pub(super) is_used: bool,
    pub(super) held: Held,
}

/// A connection of HTTP/1.1: one request at a time.
#[derive(Debug)]
pub(super) struct Exclusive {
    pub(super) sender: http1::SendRequest<Upload>,
    pub(super) made: Instant,
    /// Where it is driven: a request from there need wake no other thread.
    pub(super) runtime: runtime::Id,
}

/// How a request goes out.
pub(super) enum Channel {
    Http1(Exclusive),
    Http2(http2::SendRequest<Upload>),
}

impl Channel {
    pub(super) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Upload>>> {
        match self {
            Channel::Http1(connection) => connection.sender.try_send_request(request).await,
            Channel::Http2(sender) => sender.try_send_request(request).await,
        }
    }
}

/// The connection of a request whose head has been answered.
#[derive(Debug)]
pub(super) enum Connection {
    /// It goes back to the pool for the next request.
    Kept { _kept: Kept },
    /// It is shared, or has become something else than HTTP.
    Held { _held: Held },
}

/// An HTTP/1.1 connection that goes back to its pool where this is dropped.
#[derive(Debug)]
pub(super) struct Kept {
    pool: Arc<Pool>,
    /// None once it has gone back.
    connection: Option<Exclusive>,
    held: Held,
}

impl Kept {
    pub(super) fn new(pool: &Arc<Pool>, connection: Exclusive, held: Held) -> Self {
        Kept { pool: Arc::clone(pool), connection: Some(connection), held }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.give_back(connection, std::mem::take(&mut self.held));
        }
    }
}

/// What a request occupies until the end of its answer. What is in it is let go where it is dropped.
#[derive(Debug, Default)]
pub(super) struct Held {
    pub(super) _seat: Option<OwnedSemaphorePermit>,
    pub(super) _stream: Option<Stream>,
}

/// One request on a shared connection.
#[derive(Debug)]
pub(super) struct Stream {
    streams: Arc<AtomicUsize>,
    pool: Arc<Pool>,
}

impl Stream {
    pub(super) fn one_more(streams: &Arc<AtomicUsize>, pool: &Arc<Pool>) -> Self {
        streams.fetch_add(1, Ordering::Relaxed);
        Stream { streams: Arc::clone(streams), pool: Arc::clone(pool) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
        self.pool.has_more_room();
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum Missing {
    /// All that may be there are in use, and none came back in time.
    Busy,
    /// None could be made.
    Unreachable(Cause),
}
