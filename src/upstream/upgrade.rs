//! Connections that stop being HTTP: WebSocket (RFC 6455), tied through once the upstream has agreed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::{CONNECTION, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::listener::Tie;
use crate::visit::values;

/// The one protocol that is passed on.
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Takes the visitor's half of the connection out of a request that asks for WebSocket.
pub(super) fn asked_for(parts: &mut Parts) -> Option<OnUpgrade> {
    let half = parts.extensions.remove::<OnUpgrade>()?;
    let names = |header, token: &str| values(&parts.headers, header).any(|it| it.eq_ignore_ascii_case(token));
    let asks = parts.method == Method::GET
        && parts.version >= Version::HTTP_11
        && names(CONNECTION, "upgrade")
        && names(UPGRADE, "websocket");
    asks.then_some(half)
}

/// Writes the headers of the switch, on the request as on the 101 that answers it (RFC 9110 section 7.8).
pub(super) fn announce(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
}

/// Connects both halves, until one ends, both are silent for `idle`, or the visitor's listener cuts its off.
///
/// The visitor's half opens once the 101 is written. What the visitor sent before stays with hyper until then.
pub(super) async fn tunnel(visitor: OnUpgrade, upstream: OnUpgrade, idle: Duration, tie: Option<Tie>) {
    let cut_off = async {
        match &tie {
            Some(tie) => tie.cut_off().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = cut_off => {}
        () = connect(visitor, upstream, idle) => {}
    }
}

async fn connect(visitor: OnUpgrade, upstream: OnUpgrade, idle: Duration) {
    let (visitor, upstream) = match tokio::try_join!(visitor, upstream) {
        Ok(halves) => halves,
        Err(error) => return tracing::debug!(%error, "the upgrade did not come about"),
    };
    let pulse = Pulse::new();
    let mut visitor = Felt { half: TokioIo::new(visitor), pulse: pulse.clone() };
    let mut upstream = Felt { half: TokioIo::new(upstream), pulse: pulse.clone() };
    tokio::select! {
        ended = tokio::io::copy_bidirectional(&mut visitor, &mut upstream) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "the upgraded connection broke off");
            }
        }
        () = pulse.silent_for(idle) => tracing::debug!("the upgraded connection was silent for too long"),
    }
}

/// When something last moved, in milliseconds since the start.
#[derive(Clone)]
struct Pulse {
    start: Instant,
    last: Arc<AtomicU64>,
}

impl Pulse {
    fn new() -> Self {
        Pulse { start: Instant::now(), last: Arc::default() }
    }

    fn beat<T>(&self, moved: &Poll<T>) {
        if moved.is_ready() {
            let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.last.store(now, Ordering::Relaxed);
        }
    }

    async fn silent_for(&self, idle: Duration) {
        loop {
            let last = self.start + Duration::from_millis(self.last.load(Ordering::Relaxed));
            if last.elapsed() >= idle {
                return;
            }
            tokio::time::sleep_until(last + idle).await;
        }
    }
}

/// One half whose movements are felt.
struct Felt {
    half: TokioIo<Upgraded>,
    pulse: Pulse,
}

impl AsyncRead for Felt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let moved = Pin::new(&mut self.half).poll_read(context, buffer);
        self.pulse.beat(&moved);
        moved
    }
}

impl AsyncWrite for Felt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let moved = Pin::new(&mut self.half).poll_write(context, bytes);
        self.pulse.beat(&moved);
        moved
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_shutdown(context)
    }
}
