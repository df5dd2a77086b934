//! TLS towards the visitor: versions, ciphers, ALPN, and the handshake with its time limit.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::Certificates;
use super::tickets::Tickets;

/// What takes TLS connections in.
pub(super) fn acceptor(certificates: Certificates, tickets: &Tickets) -> Result<TlsAcceptor, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Tickets that the client keeps: no session of a visitor takes memory here.
    config.ticketer = Arc::new(tickets.clone());
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Shakes hands, and gives back the name that the client asked for, in lower case.
pub(super) async fn shake_hands<S>(
    acceptor: &TlsAcceptor,
    socket: S,
    at_most: Duration,
) -> io::Result<(TlsStream<S>, Option<Box<str>>)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let stream = tokio::time::timeout(at_most, acceptor.accept(socket)).await??;
    let (_, session) = stream.get_ref();
    let server_name = session.server_name().map(|name| name.to_ascii_lowercase().into());
    Ok((stream, server_name))
}

/// Whether a handshake ended because the client went away, as health checks and scanners do.
pub(super) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}
