//! A socket that listens, and what is told where it can take nobody in.

use std::io;
use std::net::SocketAddr;

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
    /// Nobody has come yet.
    pub fn new(listener: TcpListener) -> Self {
        Door { listener, told: Told::default() }
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

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
