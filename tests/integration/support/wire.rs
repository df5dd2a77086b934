//! Bytes on a socket, from either side: write exactly these, read exactly what came.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::soon;

/// A server that does nothing by itself: the test accepts, reads and writes.
pub struct Script {
    listener: TcpListener,
}

impl Script {
    pub async fn bind() -> Self {
        Script { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }

    pub async fn accept(&self) -> Wire {
        let (socket, _) = soon(self.listener.accept()).await.unwrap();
        Wire::over(socket)
    }
}

/// One connection as bytes.
pub struct Wire {
    socket: TcpStream,
    /// What came in and was not asked for yet.
    pending: Vec<u8>,
}

impl Wire {
    pub fn over(socket: TcpStream) -> Self {
        socket.set_nodelay(true).unwrap();
        Wire { socket, pending: Vec::new() }
    }

    pub async fn connect(to: SocketAddr) -> Self {
        Wire::over(soon(TcpStream::connect(to)).await.unwrap())
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        soon(self.socket.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Writes, where the other side may have gone.
    pub async fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.socket.write_all(bytes).await
    }

    /// The head of the next request, unless the other side goes away before it ends.
    pub async fn try_read_head(&mut self) -> Option<String> {
        const END: &[u8] = b"\r\n\r\n";
        loop {
            if let Some(start) = self.pending.windows(END.len()).position(|window| window == END) {
                let rest = self.pending.split_off(start + END.len());
                let head = std::mem::replace(&mut self.pending, rest);
                return Some(String::from_utf8_lossy(&head).into_owned());
            }
            if !matches!(self.socket.read_buf(&mut self.pending).await, Ok(1..)) {
                return None;
            }
        }
    }

    /// Writes each piece by itself.
    pub async fn write_pieces<B: AsRef<[u8]>>(&mut self, pieces: impl IntoIterator<Item = B>) {
        for piece in pieces {
            self.write(piece).await;
            soon(self.socket.flush()).await.unwrap();
        }
    }

    /// Everything up to and including `mark`.
    #[track_caller]
    pub fn read_until<'a>(&'a mut self, mark: &'a str) -> impl Future<Output = String> + 'a {
        let reading = async move {
            loop {
                let found = self.pending.windows(mark.len()).position(|window| window == mark.as_bytes());
                if let Some(start) = found {
                    let rest = self.pending.split_off(start + mark.len());
                    let head = std::mem::replace(&mut self.pending, rest);
                    return String::from_utf8_lossy(&head).into_owned();
                }
                let count = self.socket.read_buf(&mut self.pending).await.unwrap();
                let so_far = String::from_utf8_lossy(&self.pending);
                assert!(count > 0, "closed before {mark:?}: {so_far:?}");
            }
        };
        soon(reading)
    }

    /// The head of a request or an answer.
    #[track_caller]
    pub fn read_head(&mut self) -> impl Future<Output = String> + '_ {
        self.read_until("\r\n\r\n")
    }

    /// What has arrived by now, without waiting.
    pub fn arrived(&mut self) -> String {
        while let Ok(1..) = self.socket.try_read_buf(&mut self.pending) {}
        String::from_utf8_lossy(&self.pending).into_owned()
    }

    /// How the other side ends the connection, whatever it says before.
    #[track_caller]
    pub fn read_end(&mut self) -> impl Future<Output = std::io::Result<()>> + '_ {
        soon(async move {
            while self.socket.read_buf(&mut self.pending).await? > 0 {}
            Ok(())
        })
    }

    /// Whatever comes until the other side closes, cleanly or not.
    #[track_caller]
    pub fn read_to_end(&mut self) -> impl Future<Output = String> + '_ {
        soon(async move {
            while let Ok(1..) = self.socket.read_buf(&mut self.pending).await {}
            String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
        })
    }
}
