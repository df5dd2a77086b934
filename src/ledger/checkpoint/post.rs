//! Sends a checkpoint by HTTP to whoever keeps it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::ledger::tls;

/// How long a receiver may take for one checkpoint.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who is sent checkpoints: each as the body of a `POST`.
#[derive(Clone, PartialEq, Eq)]
pub struct Receiver {
    url: Url,
    host: Box<str>,
    port: u16,
    authorization: Option<HeaderValue>,
    ca: Option<PathBuf>,
}

/// What is wrong with the address of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// It cannot be read, or has another scheme, or no host.
    #[error("this is no HTTP address")]
    NoAddress,
    /// It holds a user name or a password.
    #[error("an address is shown in the log, and this one holds a password")]
    Password,
    /// A header cannot hold this.
    #[error("a header cannot hold this")]
    Authorization,
    /// It would go over the network in clear text.
    #[error("the authorization would cross the network in clear text")]
    ClearText,
}

/// Why a receiver did not take a checkpoint.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("it cannot be reached")]
    Connect(#[source] std::io::Error),
    #[error("TLS with it fails")]
    Tls(#[source] std::io::Error),
    #[error(transparent)]
    Http(#[from] hyper::Error),
    #[error("it answered {0}")]
    Refused(StatusCode),
    #[error("it gave no answer within {PATIENCE:?}")]
    TooSlow,
}

impl Receiver {
    /// Reads its address. `authorization` is the value of that header; `ca` a file of the authorities that its
    /// certificate is verified with, instead of those of the system.
    pub fn new(address: &str, authorization: Option<&str>, ca: Option<PathBuf>) -> Result<Self, Mistake> {
        let url = Url::parse(address).map_err(|_| Mistake::NoAddress)?;
        let host = match url.host() {
            Some(url::Host::Domain(name)) => name.to_owned(),
            Some(url::Host::Ipv4(ip)) => ip.to_string(),
            Some(url::Host::Ipv6(ip)) => ip.to_string(),
            None => return Err(Mistake::NoAddress),
        };
        let port = url.port_or_known_default().ok_or(Mistake::NoAddress)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Mistake::NoAddress);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Mistake::Password);
        }
        let is_here = host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
        if authorization.is_some() && url.scheme() == "http" && !is_here {
            return Err(Mistake::ClearText);
        }
        let authorization = authorization.map(HeaderValue::from_str).transpose();
        let authorization = authorization.map_err(|_| Mistake::Authorization)?.map(|mut value| {
            value.set_sensitive(true);
            value
        });
        Ok(Receiver { host: host.into(), port, authorization, ca, url })
    }

    /// Sends a checkpoint, and returns once it was taken. Only for threads that may block.
    pub(super) fn post(&self, text: String) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(Failure::Connect)?;
        let sending = async { tokio::time::timeout(PATIENCE, self.send(text)).await };
        runtime.block_on(sending).unwrap_or(Err(Failure::TooSlow))
    }

    async fn send(&self, text: String) -> Result<(), Failure> {
        let socket = TcpStream::connect((&*self.host, self.port)).await.map_err(Failure::Connect)?;
        if self.url.scheme() == "http" {
            return self.send_over(socket, text).await;
        }
        let config = tls::trusting(self.ca.as_deref()).map_err(Failure::Tls)?;
        let name = ServerName::try_from(self.host.to_string());
        let name = name.map_err(|error| Failure::Tls(std::io::Error::other(error)))?;
        let socket = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
        self.send_over(socket.map_err(Failure::Tls)?, text).await
    }

    async fn send_over(
        &self,
        socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        text: String,
    ) -> Result<(), Failure> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(self.request(text)).await;
        connection.abort();
        match answer?.status() {
            status if status.is_success() => Ok(()),
            status => Err(Failure::Refused(status)),
        }
    }

    fn request(&self, text: String) -> Request<Full<Bytes>> {
        let target = &self.url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request = Request::post(target)
            .header(HOST, host)
            .header(USER_AGENT, concat!("consentry/", env!("CARGO_PKG_VERSION")))
            .header(CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(Full::from(text)).expect("a URL has a path and a host that a header can hold")
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without a query, which may hold a secret.
        f.write_str(&self.url[..url::Position::AfterPath])
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Receiver({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_of_a_receiver_says_why() {
        for (address, authorization, expected) in [
            ("https://audit.example/consentry?key=1", Some("Bearer x"), Ok(())),
            ("http://127.0.0.1:8000/", Some("Bearer x"), Ok(())),
            ("http://[::1]:8000", Some("Bearer x"), Ok(())),
            ("http://audit.example/", None, Ok(())),
            ("http://audit.example/", Some("Bearer x"), Err(Mistake::ClearText)),
            ("https://u:p@audit.example/", None, Err(Mistake::Password)),
            ("https://audit.example/", Some("a\nb"), Err(Mistake::Authorization)),
            ("ftp://audit.example/", None, Err(Mistake::NoAddress)),
            ("audit.example", None, Err(Mistake::NoAddress)),
            ("/var/log/checkpoints", None, Err(Mistake::NoAddress)),
        ] {
            let found = Receiver::new(address, authorization, None).map(drop);
            assert_eq!(found, expected, "{address}");
        }
    }

    #[test]
    fn a_secret_in_the_address_is_never_shown() {
        let receiver =
            Receiver::new("https://audit.example/in?key=hunter2", Some("Bearer hunter2"), None).unwrap();
        assert_eq!(receiver.to_string(), "https://audit.example/in");
        assert!(!format!("{receiver:?}").contains("hunter2"));
    }
}
