//! The addresses behind a name, and a connection to whichever of them takes one.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// How long one address may take before the next is tried beside it (RFC 8305 section 8).
const HEAD_START: Duration = Duration::from_millis(250);

/// What a look-up will give.
pub type Addresses = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

/// Who knows the addresses of a name.
pub trait Resolver: Send + Sync + 'static {
    /// All addresses of `host`, with `port`, in the order in which they should be tried.
    fn look_up(&self, host: &str, port: u16) -> Addresses;
}

/// How names of upstreams become addresses, and how long an answer is built upon.
#[derive(Clone)]
pub struct Names {
    /// Asked once for each new connection.
    pub resolver: Arc<dyn Resolver>,
    /// After this time a connection takes no new request, so that a name that has moved is followed even where
    /// its connections are never idle.
    pub connection_life: Duration,
}

impl Default for Names {
    /// As the machine resolves names; a minute.
    fn default() -> Self {
        Names { resolver: Arc::new(Machine), connection_life: Duration::from_secs(60) }
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("connection_life", &self.connection_life).finish_non_exhaustive()
    }
}

struct Machine;

impl Resolver for Machine {
    fn look_up(&self, host: &str, port: u16) -> Addresses {
        let host = host.to_owned();
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

impl Names {
    /// A connection to the first address of `host` that takes one.
    pub(super) async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let bare = bare(host);
        let socket = match bare.parse::<IpAddr>() {
            Ok(ip) => TcpStream::connect((ip, port)).await?,
            Err(_) => first_of(self.resolver.look_up(bare, port).await?).await?,
        };
        socket.set_nodelay(true)?;
        Ok(socket)
    }
}

/// A host without the brackets of IPv6.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Tries the addresses in their order, each with a short head start before the next.
async fn first_of(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut rest = VecDeque::from(addresses);
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = rest.pop_front() {
            attempts.spawn(TcpStream::connect(address));
        }
        let attempt = async {
            if rest.is_empty() {
                return attempts.join_next().await;
            }
            // Nothing within the head start: the next one may try its luck.
            match tokio::time::timeout(HEAD_START, attempts.join_next()).await {
                Ok(ended) => ended,
                Err(_) => Some(Ok(Err(io::ErrorKind::TimedOut.into()))),
            }
        };
        match attempt.await {
            Some(Ok(Ok(socket))) => return Ok(socket),
            Some(Ok(Err(error))) => failure = error,
            Some(Err(error)) => failure = io::Error::other(error),
            None => return Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_address_of_a_name_is_tried_before_it_fails() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let socket = first_of(vec![closed, closed, open, closed]).await.unwrap();
        assert_eq!(socket.peer_addr().unwrap(), open);
        let error = first_of(vec![closed, closed]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(first_of(Vec::new()).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
