//! An upstream that answers by a function, and remembers what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use consentry::filter::Body;
use consentry::filter::body::full;
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::browser::Overheard;
use super::certificates::Authority;

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub version: Version,
    pub method: Method,
    /// Path and query, as sent; over HTTP/2 behind scheme and authority.
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

impl Seen {
    /// All values of a header, joined as in a list.
    pub fn header(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// A running upstream; it and its connections stop with the test, or where they are dropped.
pub struct Upstream {
    /// Where it listens; of no use behind a Unix socket.
    pub address: SocketAddr,
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    heard: Arc<Mutex<Vec<u8>>>,
    accepted: Arc<AtomicUsize>,
    accepting: AbortHandle,
}

impl Upstream {
    /// Answers each request, once its body is there, with what `answer` says: HTTP/1.1, or HTTP/2 with prior
    /// knowledge.
    pub async fn answering<F>(answer: F) -> Self
    where
        F: Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    {
        Self::answering_at("127.0.0.1:0", answer).await
    }

    /// The same at this address.
    pub async fn answering_at<F>(address: &str, answer: F) -> Self
    where
        F: Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    {
        Self::start(Door::bind(address, None).await, answer)
    }

    /// The same over TLS, with a certificate for `127.0.0.1`.
    pub async fn answering_over_tls<F>(authority: &Authority, answer: F) -> Self
    where
        F: Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    {
        Self::answering_with(authority.server(&["127.0.0.1"]), answer).await
    }

    /// The same with TLS settings of the test's own.
    pub async fn answering_with<F>(tls: rustls::ServerConfig, answer: F) -> Self
    where
        F: Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    {
        Self::start(Door::bind("127.0.0.1:0", Some(TlsAcceptor::from(Arc::new(tls)))).await, answer)
    }

    /// The same behind a Unix socket.
    pub fn answering_behind<F>(socket: &Path, answer: F) -> Self
    where
        F: Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    {
        Self::start(Door::Unix(UnixListener::bind(socket).unwrap()), answer)
    }

    /// Answers every request with this page.
    pub async fn page(content_type: &'static str, body: &'static str) -> Self {
        Self::answering(move |_| {
            Response::builder().header("content-type", content_type).body(full(body)).unwrap()
        })
        .await
    }

    fn start<F>(door: Door, answer: F) -> Self
    where
        F: Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    {
        let (address, url) = door.address();
        let (seen, heard) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<Mutex<Vec<u8>>>::default());
        let accepted = Arc::<AtomicUsize>::default();
        let work = Arc::new(Work { answer, seen: Arc::clone(&seen), heard: Arc::clone(&heard) });
        let counter = Arc::clone(&accepted);
        let accepting = tokio::spawn(async move {
            // The connections end with the one who accepts them.
            let mut connections = JoinSet::new();
            loop {
                door.serve_next(&work, &mut connections).await;
                counter.fetch_add(1, Ordering::SeqCst);
            }
        });
        Upstream { address, url, seen, heard, accepted, accepting: accepting.abort_handle() }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The same over HTTP/2 in clear text.
    pub fn h2c(&self) -> String {
        self.url.replace("http://", "h2c://")
    }

    /// What it was asked so far, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Whatever came in so far, byte for byte, one connection after the other where they do not overlap.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).into_owned()
    }

    /// The only request that it was asked.
    pub fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen.remove(0)
    }

    /// How many connections it has taken.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Where connections come in.
enum Door {
    Tcp(TcpListener, Option<TlsAcceptor>),
    Unix(UnixListener),
}

impl Door {
    async fn bind(address: &str, tls: Option<TlsAcceptor>) -> Self {
        Door::Tcp(TcpListener::bind(address).await.unwrap(), tls)
    }

    fn address(&self) -> (SocketAddr, String) {
        match self {
            Door::Tcp(listener, tls) => {
                let address = listener.local_addr().unwrap();
                let scheme = if tls.is_some() { "https" } else { "http" };
                (address, format!("{scheme}://{address}"))
            }
            Door::Unix(listener) => {
                let address = listener.local_addr().unwrap();
                let url = format!("unix:{}", address.as_pathname().unwrap().display());
                ("0.0.0.0:0".parse().unwrap(), url)
            }
        }
    }

    async fn serve_next<F>(&self, work: &Arc<Work<F>>, connections: &mut JoinSet<()>)
    where
        F: Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    {
        let work = Arc::clone(work);
        match self {
            Door::Unix(listener) => {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(work.serve(socket));
            }
            Door::Tcp(listener, None) => {
                let (socket, _) = listener.accept().await.unwrap();
                connections.spawn(work.serve(socket));
            }
            Door::Tcp(listener, Some(tls)) => {
                let (socket, _) = listener.accept().await.unwrap();
                let tls = tls.clone();
                connections.spawn(async move {
                    // A client that distrusts the certificate goes away here.
                    if let Ok(socket) = tls.accept(socket).await {
                        work.serve(socket).await;
                    }
                });
            }
        }
    }
}

struct Work<F> {
    answer: F,
    seen: Arc<Mutex<Vec<Seen>>>,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl<F> Work<F>
where
    F: Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
{
    async fn serve<S>(self: Arc<Self>, socket: S)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = service_fn(|request| Arc::clone(&self).answer(request));
        let socket = Overheard { socket, heard: Arc::clone(&self.heard) };
        // How a connection ends is the business of the test that looks at it.
        let _ =
            auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), service).await;
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        let seen = Seen {
            version: parts.version,
            method: parts.method,
            target: parts.uri.to_string(),
            headers: parts.headers,
            body: body.to_bytes(),
            trailers,
        };
        let answer = (self.answer)(&seen);
        self.seen.lock().unwrap().push(seen);
        Ok(answer)
    }
}

/// A body that the test writes piece by piece.
pub fn piecewise() -> (tokio::sync::mpsc::Sender<Bytes>, Body) {
    let (sender, mut pieces) = tokio::sync::mpsc::channel::<Bytes>(1);
    let next = futures_util::stream::poll_fn(move |context| pieces.poll_recv(context));
    let frames =
        futures_util::StreamExt::map(next, |piece| Ok::<_, Infallible>(http_body::Frame::data(piece)));
    (sender, consentry::filter::body::stream(http_body_util::StreamBody::new(frames)))
}
