//! HTTP on one connection, whichever version it speaks; and what is put away of it while nobody asks for anything.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::activity::Socket;
use super::body::Served;
use super::{explanation, received};

/// What a client of HTTP/2 begins with (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How HTTP is spoken.
#[derive(Clone, Debug)]
pub(super) struct Versions {
    pub(super) http1: http1::Builder,
    pub(super) http2: http2::Builder<TokioExecutor>,
}

/// One connection, to its end.
pub(super) struct Conversation<'a, I, S>
where
    S: Service<Request<Incoming>, Response = Response<Served>, Error = Infallible>,
{
    versions: &'a Versions,
    service: S,
    /// Hears each time that HTTP/1 begins, anew or after a pause.
    speaks_http1: Arc<Notify>,
    stage: Stage<I, S>,
}

type OverHttp1<I, S> = http1::UpgradeableConnection<TokioIo<Begun<I>>, S>;
type OverHttp2<I, S> = http2::Connection<TokioIo<Begun<I>>, S, TokioExecutor>;

enum Stage<I, S>
where
    S: Service<Request<Incoming>, Response = Response<Served>, Error = Infallible>,
{
    /// The first bytes tell the version.
    Greeting(Begun<I>),
    Http1(Pin<Box<OverHttp1<I, S>>>),
    Http2(Pin<Box<OverHttp2<I, S>>>),
    /// Nobody asks for anything: HTTP/1 with its buffers begins when something comes.
    Resting(Begun<I>),
    Ended,
}

/// Why a conversation broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    /// Before it was known what is spoken.
    #[error(transparent)]
    Greeting(#[from] io::Error),
    /// In the middle of HTTP.
    #[error(transparent)]
    Http(#[from] hyper::Error),
}

impl<'a, I, S> Conversation<'a, I, S>
where
    I: AsyncRead + AsyncWrite + Socket + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Served>, Error = Infallible> + Clone,
    S::Future: Send + 'static,
{
    /// A conversation on a connection on which nothing has been said.
    pub(super) fn new(versions: &'a Versions, service: S, socket: I, speaks_http1: Arc<Notify>) -> Self {
        let stage = Stage::Greeting(Begun { before: Bytes::new(), said: Bytes::new(), socket });
        Conversation { versions, service, speaks_http1, stage }
    }

    /// Puts buffers and state of HTTP/1 away until something comes. To be called between two requests, when the last
    /// answer has left.
    pub(super) fn rest(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Http1(http1) => match Pin::into_inner(http1).into_parts() {
                Some(parts) => {
                    let Begun { before, said, socket } = parts.io.into_inner();
                    // What has come of the next request.
                    let before = [parts.read_buf, before].concat().into();
                    Stage::Resting(Begun { before, said, socket })
                }
                None => Stage::Ended,
            },
            stage => stage,
        };
    }

    /// Answers what is under way, and nothing else.
    pub(super) fn graceful_shutdown(&mut self) {
        match &mut self.stage {
            Stage::Http1(http1) => http1.as_mut().graceful_shutdown(),
            Stage::Http2(http2) => http2.as_mut().graceful_shutdown(),
            Stage::Greeting(_) | Stage::Resting(_) | Stage::Ended => self.stage = Stage::Ended,
        }
    }

    /// Takes and throws away what still comes over HTTP/1 after the last answer: a connection that is closed with something
    /// unread is reset, and the answer lost (RFC 9112 section 9.6).
    pub(super) async fn linger(self) {
        let Stage::Http1(http1) = self.stage else { return };
        let Some(parts) = Pin::into_inner(http1).into_parts() else { return };
        let mut socket = parts.io.into_inner().socket;
        let mut buffer = vec![0; 16 << 10];
        while let Ok(Ok(1..)) = timeout(received::PAUSE, socket.read(&mut buffer)).await {}
    }

    fn speak_http1(&mut self, begun: Begun<I>) {
        let http1 = self.versions.http1.serve_connection(TokioIo::new(begun), self.service.clone());
        self.stage = Stage::Http1(Box::pin(http1.with_upgrades()));
        self.speaks_http1.notify_one();
    }

    fn speak_http2(&mut self, begun: Begun<I>) {
        let http2 = self.versions.http2.serve_connection(TokioIo::new(begun), self.service.clone());
        self.stage = Stage::Http2(Box::pin(http2));
    }
}

impl<I, S> Future for Conversation<'_, I, S>
where
    I: AsyncRead + AsyncWrite + Socket + Unpin + Send + 'static,
    S: Service<Request<Incoming>, Response = Response<Served>, Error = Infallible> + Clone + Unpin,
    S::Future: Send + 'static,
{
    type Output = Result<(), Broken>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let this = self.get_mut();
        loop {
            match &mut this.stage {
                Stage::Greeting(begun) => {
                    let version = ready!(begun.poll_version(context))?;
                    let Stage::Greeting(begun) = std::mem::replace(&mut this.stage, Stage::Ended) else {
                        continue;
                    };
                    match version {
                        Version::Http1 => this.speak_http1(begun),
                        Version::Http2 => this.speak_http2(begun),
                    }
                }
                Stage::Http1(http1) => return http1.as_mut().poll(context).map_err(Broken::Http),
                Stage::Http2(http2) => return http2.as_mut().poll(context).map_err(Broken::Http),
                Stage::Resting(begun) => {
                    ready!(begun.socket.poll_readable(context))?;
                    if let Stage::Resting(begun) = std::mem::replace(&mut this.stage, Stage::Ended) {
                        this.speak_http1(begun);
                    }
                }
                Stage::Ended => return Poll::Ready(Ok(())),
            }
        }
    }
}

enum Version {
    Http1,
    Http2,
}

/// A connection of which the first bytes have been read already.
#[derive(Debug)]
pub(super) struct Begun<I> {
    before: Bytes,
    /// What is left to be written of an answer in the place of hyper's own.
    said: Bytes,
    socket: I,
}

impl<I: AsyncRead + Unpin> Begun<I> {
    /// Reads until it is clear what is spoken: no more than the preface.
    fn poll_version(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Version>> {
        loop {
            if *self.before == PREFACE[..] {
                return Poll::Ready(Ok(Version::Http2));
            }
            if !PREFACE.starts_with(&self.before) {
                return Poll::Ready(Ok(Version::Http1));
            }
            let mut more = [0; PREFACE.len()];
            let wanted = more.len().saturating_sub(self.before.len());
            let mut more = ReadBuf::new(more.get_mut(..wanted).unwrap_or_default());
            ready!(Pin::new(&mut self.socket).poll_read(context, &mut more))?;
            if more.filled().is_empty() {
                // HTTP/1 knows what to make of an end.
                return Poll::Ready(Ok(Version::Http1));
            }
            self.before = [&self.before, more.filled()].concat().into();
        }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Begun<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.before.is_empty() {
            return Pin::new(&mut self.socket).poll_read(context, buffer);
        }
        let length = self.before.len().min(buffer.remaining());
        buffer.put_slice(self.before.get(..length).unwrap_or_default());
        self.before.advance(length);
        if self.before.is_empty() {
            self.before = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> Begun<I> {
    /// Writes what is left to be said before anything else.
    fn poll_said(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.said.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(context, &self.said))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.said.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Begun<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_said(context))?;
        if let Some(answer) = explanation::of(bytes) {
            // It leaves with the flush that follows.
            self.said = answer.into();
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [only] = slices {
            return self.poll_write(context, only);
        }
        ready!(self.poll_said(context))?;
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_said(context))?;
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_said(context))?;
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hyper::service::service_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::activity::Activity;
    use super::*;
    use crate::filter::body::full;

    const LONG: Duration = Duration::from_secs(20);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: example.se\r\n\r\n";

    fn versions() -> Versions {
        Versions { http1: http1::Builder::new(), http2: http2::Builder::new(TokioExecutor::new()) }
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    /// Lets the conversation go on until so many bytes have come back.
    async fn answer<F: Future + Unpin>(conversation: &mut F, client: &mut TcpStream, ending: &str) {
        let mut answer = Vec::new();
        while !answer.ends_with(ending.as_bytes()) {
            tokio::select! {
                _ = &mut *conversation => panic!("it ended"),
                read = client.read_buf(&mut answer) => assert_ne!(read.unwrap(), 0),
                () = tokio::time::sleep(LONG) => panic!("no answer"),
            }
        }
        assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
    }

    #[tokio::test]
    async fn what_rests_goes_on_where_it_was_with_all_that_had_come() {
        let (mut client, server) = pair().await;
        let versions = versions();
        let activity = Arc::new(Activity::new(LONG, LONG));
        let service = service_fn(|request: Request<Incoming>| {
            let under_way = activity.begin(request.version());
            async move { Ok(Response::new(Served::new(full("hello"), Arc::default(), under_way))) }
        });
        let speaks_http1 = Arc::new(Notify::new());
        let mut conversation = Conversation::new(&versions, service, server, Arc::clone(&speaks_http1));
        let (begin, rest) = REQUEST.split_at(20);
        // The second request has begun when the first is answered.
        client.write_all(&[REQUEST, begin].concat()).await.unwrap();
        answer(&mut conversation, &mut client, "hello").await;
        speaks_http1.notified().await;
        conversation.rest();
        let Stage::Resting(begun) = &conversation.stage else { panic!("it does not rest") };
        assert_eq!(begun.before, begin);
        assert!(futures_util::poll!(&mut conversation).is_pending());
        client.write_all(rest).await.unwrap();
        answer(&mut conversation, &mut client, "hello").await;
        speaks_http1.notified().await;
        conversation.rest();
        conversation.rest();
        assert!(matches!(conversation.stage, Stage::Resting(_)));
        drop(client);
        tokio::time::timeout(LONG, &mut conversation).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_conversation_in_which_nothing_was_asked_ends_at_once() {
        let (_client, server) = pair().await;
        let versions = versions();
        let activity = Arc::new(Activity::new(LONG, LONG));
        let service = service_fn(|request: Request<Incoming>| {
            let under_way = activity.begin(request.version());
            async move { Ok(Response::new(Served::new(full("hello"), Arc::default(), under_way))) }
        });
        let mut conversation = Conversation::new(&versions, service, server, Arc::default());
        assert!(futures_util::poll!(&mut conversation).is_pending());
        conversation.graceful_shutdown();
        tokio::time::timeout(LONG, &mut conversation).await.unwrap().unwrap();
    }
}
