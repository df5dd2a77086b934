//! Connections to one address of an upstream, until HTTP can be spoken on them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::certificates::{Certificates, Offer};
use super::lease::Exclusive;
use super::names::{Names, bare};
use super::target::{Endpoint, Protocol, Target};
use super::upload::Upload;
use super::{Cause, Timeouts};
use crate::listener::scarcity;

/// The most requests that share a connection, however many the upstream would take: a lost packet stops them all.
pub(super) const STREAMS: usize = 128;

/// The largest head of an answer, and the largest piece of a body: a visitor who does not read holds three or four of these.
const HEAD: usize = 128 << 10;

/// What all connectors share.
#[derive(Debug)]
pub(super) struct Shared {
    /// A reload may change them.
    pub(super) timeouts: ArcSwap<Timeouts>,
    pub(super) names: Names,
    pub(super) certificates: Certificates,
    /// Where checks run, whichever thread reads the settings again; and what a thread leaves behind when it ends.
    pub(super) runtime: Handle,
}

/// Makes connections to one address.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub(super) shared: Arc<Shared>,
    pub(super) target: Arc<Target>,
    open: Arc<AtomicUsize>,
}

/// A connection on which requests can be sent.
pub(super) enum Made {
    /// One at a time.
    Http1(Exclusive),
    /// Many at a time: so many as the second says.
    Http2(http2::SendRequest<Upload>, Arc<AtomicUsize>),
}

impl Connector {
    pub(super) fn new(shared: Arc<Shared>, target: Arc<Target>) -> Self {
        Connector { shared, target, open: Arc::default() }
    }

    /// One whose connections are not counted with these.
    pub(super) fn apart(&self) -> Self {
        Connector { open: Arc::default(), ..self.clone() }
    }

    /// How many of its connections are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Makes a connection. `held` is let go when it has closed, or has become something else than HTTP.
    pub(super) async fn connect<H: Send + 'static>(&self, offer: Offer, held: H) -> Result<Made, Cause> {
        let (socket, speaks) = self.socket(offer).await?;
        self.open.fetch_add(1, Ordering::Relaxed);
        let io = TokioIo::new(Link { socket, hears: Hears::All, open: Arc::clone(&self.open) });
        match speaks {
            Speaks::Http1 => {
                let (sender, connection) = http1::Builder::new().max_buf_size(HEAD).handshake(io).await?;
                tokio::spawn(async move {
                    if let Err(error) = connection.with_upgrades().await {
                        tracing::debug!(%error, "a connection to the upstream broke off");
                    }
                    drop(held);
                });
                let (made, runtime) = (Instant::now(), Handle::current().id());
                Ok(Made::Http1(Exclusive { sender, made, runtime }))
            }
            Speaks::Http2 => {
                let (sender, connection) = self.http2().handshake(io).await?;
                let most = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
                tokio::spawn(drive(connection, Arc::clone(&most), held));
                Ok(Made::Http2(sender, most))
            }
        }
    }

    fn http2(&self) -> http2::Builder<TokioExecutor> {
        // A path that has gone silent would swallow every request that shares the connection.
        const PING_EVERY: Duration = Duration::from_secs(10);
        // As much for the connection as for all of its streams, so that visitors who do not read stop nobody else.
        const STREAM_WINDOW: u32 = 128 << 10;
        const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS as u32;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD as u32)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(self.shared.timeouts.load().connect);
        builder
    }

    /// As [`Connector::try_socket`]; where there is no file left, others have a moment to close something.
    async fn socket(&self, offer: Offer) -> Result<(Box<dyn Socket>, Speaks), Cause> {
        const TRIES: usize = 5;
        for _ in 1..TRIES {
            match self.try_socket(offer).await {
                Err(cause) if cause.downcast_ref().is_some_and(scarcity::is_of_files) => {
                    scarcity::ask();
                    tokio::time::sleep(scarcity::BREATHER).await;
                }
                outcome => return outcome,
            }
        }
        self.try_socket(offer).await
    }

    async fn try_socket(&self, offer: Offer) -> Result<(Box<dyn Socket>, Speaks), Cause> {
        let plain = || match (&self.target.protocol, offer) {
            (Protocol::Http2, Offer::Both) => Speaks::Http2,
            _ => Speaks::Http1,
        };
        let (host, port) = match &self.target.endpoint {
            Endpoint::Unix(path) => return Ok((Box::new(UnixStream::connect(path).await?), plain())),
            Endpoint::Tcp { host, port } => (host, *port),
        };
        let tcp = self.shared.names.connect(host, port).await?;
        match &self.target.protocol {
            Protocol::Http | Protocol::Http2 => Ok((Box::new(tcp), plain())),
            Protocol::Tls(tls) => {
                let config = self.shared.certificates.config(tls, offer)?;
                let stream = TlsConnector::from(config).connect(server_name(host)?, tcp).await?;
                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                Ok((Box::new(stream), if is_h2 { Speaks::Http2 } else { Speaks::Http1 }))
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Speaks {
    Http1,
    Http2,
}

/// Moves an HTTP/2 connection, and keeps in mind how many streams the other side allows.
async fn drive<H>(
    mut connection: http2::Connection<TokioIo<Link>, Upload, TokioExecutor>,
    most: Arc<AtomicUsize>,
    held: H,
) {
    let ended = std::future::poll_fn(|context| {
        let polled = Pin::new(&mut connection).poll(context);
        most.store(connection.current_max_send_streams(), Ordering::Relaxed);
        polled
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a connection to the upstream broke off");
    }
    drop(held);
}

fn server_name(host: &str) -> Result<ServerName<'static>, Cause> {
    Ok(ServerName::try_from(bare(host).to_owned())?)
}

trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// One connection, counted as long as it is open.
///
/// An application that refuses an upload may answer and close without having read it. Then writing fails while its
/// answer waits to be read, and whoever gives up at the first loses the second. So what it does not take any more is
/// dropped, and reading says how the connection ends.
struct Link {
    socket: Box<dyn Socket>,
    hears: Hears,
    open: Arc<AtomicUsize>,
}

/// Whether the other side takes what is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hears {
    All,
    NothingMore,
}

impl Link {
    /// Writes these bytes, or drops them where nobody takes them.
    fn write(
        &mut self,
        length: usize,
        write: impl FnOnce(Pin<&mut Box<dyn Socket>>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.hears == Hears::NothingMore {
            return Poll::Ready(Ok(length));
        }
        match write(Pin::new(&mut self.socket)) {
            Poll::Ready(Err(error)) if is_deaf(&error) => {
                self.hears = Hears::NothingMore;
                Poll::Ready(Ok(length))
            }
            outcome => outcome,
        }
    }

    fn finish(
        &mut self,
        finish: impl FnOnce(Pin<&mut Box<dyn Socket>>) -> Poll<io::Result<()>>,
    ) -> Poll<io::Result<()>> {
        self.write(0, |socket| finish(socket).map_ok(|()| 0)).map_ok(|_| ())
    }
}

fn is_deaf(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

impl Drop for Link {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(bytes.len(), |socket| socket.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        self.write(length, |socket| socket.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish(|socket| socket.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.finish(|socket| socket.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_was_said_before_the_other_side_stopped_listening_is_heard() {
        let (socket, mut upstream) = tokio::io::duplex(64);
        let open = Arc::new(AtomicUsize::new(1));
        let mut link = Link { socket: Box::new(socket), hears: Hears::All, open: Arc::clone(&open) };
        link.write_all(b"the beginning").await.unwrap();
        upstream.write_all(b"an answer").await.unwrap();
        drop(upstream);
        link.write_all(b"more").await.unwrap();
        link.write_all(b"and more").await.unwrap();
        link.flush().await.unwrap();
        let mut heard = String::new();
        link.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "an answer");
        link.shutdown().await.unwrap();
        drop(link);
        assert_eq!(open.load(Ordering::Relaxed), 0);
    }
}
