//! An upstream that lies: to `/lie` it says exactly the bytes it was told, to anything else the truth.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::wire::Wire;

/// What it says to whoever asks for the truth.
pub const TRUTH: &str = "the truth";

/// What it does once it has lied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It closes the connection.
    Closes,
    /// It waits for the next request on the same connection.
    Stays,
    /// It says the lie again and again, for as long as somebody listens.
    Repeats,
}

/// A running liar; it stops with the test.
pub struct Liar {
    address: SocketAddr,
    lie: Arc<Mutex<(Vec<u8>, Then)>>,
    accepting: AbortHandle,
}

impl Liar {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lie = Arc::new(Mutex::new((Vec::new(), Then::Closes)));
        let shared = Arc::clone(&lie);
        let accepting = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(Wire::over(socket), Arc::clone(&shared)));
            }
        });
        Liar { address, lie, accepting: accepting.abort_handle() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it says to `/lie` from now on.
    pub fn says(&self, lie: impl Into<Vec<u8>>, then: Then) {
        *self.lie.lock().unwrap() = (lie.into(), then);
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut wire: Wire, lie: Arc<Mutex<(Vec<u8>, Then)>>) {
    while let Some(head) = wire.try_read_head().await {
        if head.split(' ').nth(1) != Some("/lie") {
            let truth = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{TRUTH}", TRUTH.len());
            if wire.try_write(truth.as_bytes()).await.is_err() {
                return;
            }
            continue;
        }
        let (bytes, then) = lie.lock().unwrap().clone();
        loop {
            match (wire.try_write(&bytes).await, then) {
                (Err(_), _) | (Ok(()), Then::Closes) => return,
                (Ok(()), Then::Stays) => break,
                (Ok(()), Then::Repeats) => {}
            }
        }
    }
}
