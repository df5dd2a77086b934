//! A socket that listens, and what is told where it can take nobody in.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::scarcity::{self, BREATHER};

/// A socket that listens.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    /// When it was told last that nobody can be taken in.
    told: Option<Instant>,
}

/// How often it is told while it lasts.
const EVERY: Duration = Duration::from_secs(60);

impl Door {
    /// Nobody has come yet.
    pub fn new(listener: TcpListener) -> Self {
        Door { listener, told: None }
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
                    if self.is_to_be_told() {
                        tracing::error!(%error, "cannot accept connections, and goes on trying");
                    }
                    scarcity::ask();
                    tokio::time::sleep(BREATHER).await;
                }
            }
        }
    }

    fn is_to_be_told(&mut self) -> bool {
        let now = Instant::now();
        let is_told = self.told.is_some_and(|told| now.duration_since(told) < EVERY);
        if !is_told {
            self.told = Some(now);
        }
        !is_told
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_lasts_is_told_once_a_minute() {
        let mut door = Door::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let mut told = 0;
        for _ in 0..1_500 {
            told += usize::from(door.is_to_be_told());
            tokio::time::advance(BREATHER).await;
        }
        assert_eq!(told, 3, "two and a half minutes");
    }
}
