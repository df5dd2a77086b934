//! An upstream that answers by a function, and remembers what it was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use consentry::filter::Body;
use consentry::filter::body::full;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

use super::browser::Overheard;
use super::certificates::Authority;

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    /// Path and query, as sent.
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

/// A running upstream; it stops with the test.
pub struct Upstream {
    pub address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Seen>>>,
    heard: Arc<Mutex<Vec<u8>>>,
    accepting: AbortHandle,
}

impl Upstream {
    /// Answers each request, once its body is there, with what `answer` says.
    pub async fn answering<F>(answer: F) -> Self
    where
        F: Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    {
        Self::start(answer, None).await
    }

    /// The same over TLS, with a certificate for `127.0.0.1`.
    pub async fn answering_over_tls<F>(authority: &Authority, answer: F) -> Self
    where
        F: Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::new(authority.server(&["127.0.0.1"])));
        Self::start(answer, Some(acceptor)).await
    }

    /// Answers every request with this page.
    pub async fn page(content_type: &'static str, body: &'static str) -> Self {
        Self::answering(move |_| {
            Response::builder().header("content-type", content_type).body(full(body)).unwrap()
        })
        .await
    }

    async fn start<F>(answer: F, tls: Option<TlsAcceptor>) -> Self
    where
        F: Fn(&Seen) -> Response<Body> + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (seen, heard) = (Arc::<Mutex<Vec<Seen>>>::default(), Arc::<Mutex<Vec<u8>>>::default());
        let work = Arc::new(Work { answer, seen: Arc::clone(&seen), heard: Arc::clone(&heard) });
        let accepting = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (work, tls) = (Arc::clone(&work), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => work.serve(socket).await,
                        Some(tls) => {
                            // A client that distrusts the certificate goes away here.
                            if let Ok(socket) = tls.accept(socket).await {
                                work.serve(socket).await;
                            }
                        }
                    }
                });
            }
        });
        Upstream { address, scheme, seen, heard, accepting: accepting.abort_handle() }
    }

    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
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
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.accepting.abort();
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
        let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), service).await;
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?;
        let trailers = body.trailers().cloned();
        let seen = Seen {
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
