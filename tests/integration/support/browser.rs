//! A browser over real sockets: it keeps cookies, follows redirects when asked, and decodes what it is sent.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use consentry::filter::Body;
use consentry::filter::body::full;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::certificates::Authority;
use super::soon;

/// Which version of HTTP a browser speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Http1,
    Http2,
}

/// One visitor of one site. Each request takes a connection of its own.
pub struct Browser {
    to: SocketAddr,
    host: String,
    speaks: Speaks,
    tls: Option<TlsConnector>,
    /// By name; all cookies of the site, whatever their path.
    cookies: BTreeMap<String, String>,
    headers: HeaderMap,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub version: Version,
    pub headers: HeaderMap,
    pub trailers: Option<HeaderMap>,
    /// The body as it came.
    pub bytes: Bytes,
    /// The head as it came, byte for byte; empty with HTTP/2.
    pub raw_head: String,
}

impl Browser {
    /// A visitor in clear text; `host` is what it takes the server for.
    pub fn clear(to: SocketAddr, host: &str) -> Self {
        let (cookies, headers) = (BTreeMap::new(), HeaderMap::new());
        Browser { to, host: host.to_owned(), speaks: Speaks::Http1, tls: None, cookies, headers }
    }

    /// A visitor over TLS, who trusts `authority`.
    pub fn tls(to: SocketAddr, host: &str, authority: &Authority, speaks: Speaks) -> Self {
        let protocol: &[u8] = match speaks {
            Speaks::Http1 => b"http/1.1",
            Speaks::Http2 => b"h2",
        };
        let tls = Some(TlsConnector::from(Arc::new(authority.client(&[protocol]))));
        Browser { tls, speaks, ..Browser::clear(to, host) }
    }

    /// Speaks this version from here on; HTTP/2 in clear text begins with prior knowledge.
    pub fn speaking(mut self, speaks: Speaks) -> Self {
        self.speaks = speaks;
        self
    }

    /// Sends `name: value` with every request from here on.
    pub fn always(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    pub fn set_cookie(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    pub fn forget_cookies(&mut self) {
        self.cookies.clear();
    }

    /// A request without any header of a browser's.
    pub async fn get(&mut self, target: &str) -> Answer {
        self.send(Request::get(target).body(full("")).unwrap()).await
    }

    /// A person goes to an address.
    pub async fn navigate(&mut self, target: &str) -> Answer {
        let request = navigation(Request::get(target)).body(full("")).unwrap();
        self.send(request).await
    }

    /// A person goes to an address, and on to where it leads on this host.
    pub async fn follow(&mut self, target: &str) -> Answer {
        let answer = self.navigate(target).await;
        self.follow_on(target, answer).await
    }

    /// Goes on from an answer, if it leads anywhere.
    pub async fn follow_on(&mut self, from: &str, mut answer: Answer) -> Answer {
        let base = format!("{}://{}", self.scheme(), self.host);
        let mut at = url::Url::parse(&base).unwrap().join(from).unwrap();
        for _ in 0..10 {
            let Some(location) = answer.header("location").filter(|_| answer.status.is_redirection()) else {
                return answer;
            };
            at = at.join(location).unwrap();
            assert_eq!(at.origin(), url::Url::parse(&base).unwrap().origin(), "it leads to another site");
            let target = at[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
            answer = self.navigate(&target).await;
        }
        panic!("it leads round in a circle: {at}");
    }

    /// A person sends a form of this site's.
    pub async fn post_form(&mut self, target: &str, fields: &[(&str, &str)]) -> Answer {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = navigation(Request::post(target))
            .header(header::ORIGIN, format!("{}://{}", self.scheme(), self.host))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(full(form))
            .unwrap();
        self.send(request).await
    }

    /// A person confirms to have read the notice at `path`; the number of the receipt.
    pub async fn acknowledge(&mut self, path: &str) -> String {
        let page = self.navigate(path).await.text();
        let value = |name: &str| {
            let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
            rest.split('"').next().unwrap().to_owned()
        };
        let fields = ["document", "version", "token"].map(|name| (name, value(name)));
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
        let answer = self.post_form("/_consent/acceptances", &fields).await;
        answer.header("consentry-receipt").unwrap().to_owned()
    }

    /// Sends a request, with the cookies, and reads the answer to its end.
    pub async fn send(&mut self, request: Request<Body>) -> Answer {
        let is_head = request.method() == Method::HEAD;
        let (response, raw) = self.open(request).await;
        let (parts, body) = response.into_parts();
        let body = soon(body.collect()).await.unwrap();
        let trailers = body.trailers().cloned();
        let bytes = body.to_bytes();
        assert!(!is_head || bytes.is_empty());
        let raw = String::from_utf8_lossy(&raw.lock().unwrap()).into_owned();
        let raw_head = raw.split_inclusive("\r\n\r\n").next().unwrap_or_default().to_owned();
        let raw_head = if self.speaks == Speaks::Http1 { raw_head } else { String::new() };
        Answer {
            status: parts.status,
            version: parts.version,
            headers: parts.headers,
            trailers,
            bytes,
            raw_head,
        }
    }

    /// Sends a request, with the cookies, and gives back the head of the answer; its body follows as it comes.
    pub async fn open(&mut self, request: Request<Body>) -> (Response<Incoming>, Arc<Mutex<Vec<u8>>>) {
        self.attempt(request).await.unwrap()
    }

    /// The same, where the server may end the connection without an answer.
    pub async fn attempt(
        &mut self,
        mut request: Request<Body>,
    ) -> hyper::Result<(Response<Incoming>, Arc<Mutex<Vec<u8>>>)> {
        self.complete(&mut request);
        let raw = Arc::<Mutex<Vec<u8>>>::default();
        let tcp = soon(TcpStream::connect(self.to)).await.unwrap();
        let response = match &self.tls {
            None => self.exchange(tcp, request, &raw).await?,
            Some(tls) => {
                let name = ServerName::try_from(host_of(&self.host).to_owned()).unwrap();
                let tls = soon(tls.connect(name, tcp)).await.unwrap();
                self.exchange(tls, request, &raw).await?
            }
        };
        self.keep_cookies(response.headers());
        Ok((response, raw))
    }

    async fn exchange<S>(
        &self,
        socket: S,
        request: Request<Body>,
        raw: &Arc<Mutex<Vec<u8>>>,
    ) -> hyper::Result<Response<Incoming>>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let socket = TokioIo::new(Overheard { socket, heard: Arc::clone(raw) });
        match self.speaks {
            Speaks::Http1 => {
                let (mut sender, connection) = http1::handshake(socket).await.unwrap();
                tokio::spawn(connection.with_upgrades());
                soon(sender.send_request(request)).await
            }
            Speaks::Http2 => {
                let (mut sender, connection) = http2::handshake(TokioExecutor::new(), socket).await.unwrap();
                tokio::spawn(connection);
                soon(sender.send_request(request)).await
            }
        }
    }

    /// Adds what every request has: the host, the cookies, and the headers of `always`.
    fn complete(&self, request: &mut Request<Body>) {
        if self.speaks == Speaks::Http2 {
            let uri = format!("{}://{}{}", self.scheme(), self.host, request.uri());
            *request.uri_mut() = uri.parse().unwrap();
        } else if !request.headers().contains_key(header::HOST) {
            request.headers_mut().insert(header::HOST, HeaderValue::from_str(&self.host).unwrap());
        }
        for (name, value) in &self.headers {
            request.headers_mut().entry(name).or_insert_with(|| value.clone());
        }
        if !self.cookies.is_empty() {
            let crumbs: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request.headers_mut().append(header::COOKIE, HeaderValue::try_from(crumbs.join("; ")).unwrap());
        }
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for line in headers.get_all(header::SET_COOKIE) {
            let Ok(cookie) = cookie::Cookie::parse(line.to_str().unwrap()) else { continue };
            let is_over = cookie.max_age().is_some_and(|age| !age.is_positive())
                || cookie.expires_datetime().is_some_and(|at| at.unix_timestamp() <= 0);
            // As in a browser: what is meant for HTTPS is not taken over clear text.
            if cookie.secure() == Some(true) && self.tls.is_none() {
                continue;
            }
            if is_over {
                self.cookies.remove(cookie.name());
            } else {
                self.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
            }
        }
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

fn host_of(authority: &str) -> &str {
    authority.split(':').next().unwrap_or(authority)
}

fn navigation(request: http::request::Builder) -> http::request::Builder {
    request
        .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-site", "same-origin")
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// All lines of a header.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    /// The body, decoded as `Content-Encoding` says.
    pub fn decoded(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        let bytes = self.bytes.as_ref();
        match self.header("content-encoding") {
            None | Some("identity") => plain.extend_from_slice(bytes),
            Some("gzip") => _ = flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain).unwrap(),
            Some("deflate") => _ = flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut plain).unwrap(),
            Some("br") => _ = brotli::Decompressor::new(bytes, 4096).read_to_end(&mut plain).unwrap(),
            Some("zstd") => plain = zstd::decode_all(bytes).unwrap(),
            Some(other) => panic!("nobody asked for {other}"),
        }
        plain
    }

    /// The body as text, decoded.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.decoded()).into_owned()
    }
}

/// A socket that keeps what was read from it.
pub(super) struct Overheard<S> {
    pub(super) socket: S,
    pub(super) heard: Arc<Mutex<Vec<u8>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Overheard<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        self.heard.lock().unwrap().extend_from_slice(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Overheard<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
