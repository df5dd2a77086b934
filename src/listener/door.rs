//! A socket that listens, and what is told where it can take nobody in.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::{AsFd, OwnedFd};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

use super::scarcity::{self, BREATHER};
use super::told::Told;

/// A socket that listens.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    /// That nobody can be taken in.
    told: Told,
}

impl Door {
    /// Listens there, where nobody has come yet, or on the socket that was handed over for it. Must be called inside a Tokio runtime.
    pub fn open(address: SocketAddr, handed: Option<StdListener>) -> io::Result<Self> {
        let listener = handed.map_or_else(|| listen(address), Ok)?;
        listener.set_nonblocking(true)?;
        Ok(Door { listener: TcpListener::from_std(listener)?, told: Told::default() })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The socket itself, for a process that is to take it over. It listens for as long as anybody has it.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        self.listener.as_fd().try_clone_to_owned()
    }

    /// The next connection, however long accepting fails before.
    pub async fn next(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                // The visitor went away while waiting; the next one is as good as ever (accept(2)).
                Err(error) if is_about_one_connection(&error) => {}
                // Out of file descriptors or memory: others must close something before trying again helps.
                Err(error) => {
                    if self.told.is_due() {
                        tracing::error!(%error, "cannot accept connections, and goes on trying");
                    }
                    scarcity::ask();
                    tokio::time::sleep(BREATHER).await;
                }
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<StdListener> {
    // As many as wait here while all connections are taken; the kernel caps it (net.core.somaxconn).
    const BACKLOG: i32 = 4096;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the last connections of the run before to be forgotten.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(StdListener::from(socket))
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
