//! TLS towards PostgreSQL, by the same rustls as everywhere else.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::ledger::tls;

/// Makes TLS of connections; the name of the server is always verified.
#[derive(Clone)]
pub(super) struct Connector(Arc<ClientConfig>);

impl Connector {
    /// Trusts the authorities of a file, or those of the system.
    pub(super) fn new(ca: Option<&Path>) -> io::Result<Self> {
        Ok(Connector(Arc::new(tls::trusting(ca)?)))
    }
}

/// What can be done where TLS is why a server cannot be used.
pub(in crate::ledger::store) fn remedy(cause: &(dyn std::error::Error + 'static)) -> &'static str {
    use rustls::CertificateError::{BadSignature, NotValidForName, NotValidForNameContext, UnknownIssuer};
    // tokio-postgres says this in words alone.
    if cause.to_string().contains("does not support TLS") {
        return "; have it speak TLS, or write `sslmode=disable` where nobody can listen on the way";
    }
    let cause = cause.downcast_ref::<io::Error>().and_then(|error| error.get_ref());
    match cause.and_then(|cause| cause.downcast_ref()) {
        Some(rustls::Error::InvalidCertificate(UnknownIssuer | BadSignature)) => {
            "; name the file of its authorities: `{ url: …, ca: FILE }`"
        }
        Some(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => {
            "; write the name that its certificate is for"
        }
        _ => "",
    }
}

/// A handshake with the server of this name; none for a socket of this machine, where no TLS is spoken.
pub(super) struct Handshake(TlsConnector, Option<ServerName<'static>>);

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> MakeTlsConnect<S> for Connector {
    type Stream = Stream<S>;
    type TlsConnect = Handshake;
    type Error = io::Error;

    fn make_tls_connect(&mut self, name: &str) -> io::Result<Handshake> {
        Ok(Handshake(TlsConnector::from(Arc::clone(&self.0)), ServerName::try_from(name.to_owned()).ok()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> TlsConnect<S> for Handshake {
    type Stream = Stream<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let Handshake(connector, name) = self;
        Box::pin(async move {
            let name = name.ok_or_else(|| io::Error::other("a server without a name cannot be verified"))?;
            Ok(Stream(connector.connect(name, stream).await?))
        })
    }
}

/// A connection in TLS.
pub(super) struct Stream<S>(TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> tokio_postgres::tls::TlsStream for Stream<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
