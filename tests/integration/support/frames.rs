//! HTTP/2 by hand (RFC 9113): frames as bytes, and header blocks of literals alone (RFC 7541 section 6.2.2), so
//! that tests can send what no client would.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::soon;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// One connection as frames.
pub struct Frames {
    socket: TcpStream,
}

/// One frame.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// How a stream or its connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The stream was answered, with this status.
    Answer(u16),
    /// The stream was reset, for this reason.
    Reset(u32),
    /// The connection was ended, for this reason.
    GoneAway(u32),
    /// The socket was closed.
    Closed,
}

impl Frames {
    /// A connection that begins as every client's does.
    pub async fn connect(to: SocketAddr) -> Self {
        Self::with_settings(to, &[]).await
    }

    /// The same, with settings (RFC 9113 section 6.5.2).
    pub async fn with_settings(to: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let socket = soon(TcpStream::connect(to)).await.unwrap();
        socket.set_nodelay(true).unwrap();
        let mut frames = Frames { socket };
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(key, value)| [&key.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        let start = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(SETTINGS, 0, 0, &payload)[..]].concat();
        frames.write(&start).await.unwrap();
        frames
    }

    /// Writes bytes, frames or not; an error where the other side has gone.
    pub async fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        soon(self.socket.write_all(bytes)).await
    }

    /// Writes the same again and again until the other side reads no more of it, or goes away: what it took.
    pub async fn flood(&mut self, bytes: &[u8], at_most: usize) -> usize {
        for count in 0..at_most {
            let patience = std::time::Duration::from_millis(200);
            match tokio::time::timeout(patience, self.socket.write_all(bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return count,
            }
        }
        at_most
    }

    /// The next frame, unless the connection ends.
    pub async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        soon(self.socket.read_exact(&mut head)).await.ok()?;
        let [one, two, three, kind, _, stream @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, one, two, three]) as usize];
        soon(self.socket.read_exact(&mut payload)).await.ok()?;
        Some(Frame { kind, stream: u32::from_be_bytes(stream) & 0x7fff_ffff, payload })
    }

    /// How a stream ends, or its connection before it.
    pub async fn end_of(&mut self, stream: u32) -> End {
        let code = |payload: &[u8]| u32::from_be_bytes(payload[..4].try_into().unwrap());
        while let Some(frame) = self.next().await {
            match frame.kind {
                HEADERS if frame.stream == stream => return End::Answer(status(&frame.payload)),
                RST_STREAM if frame.stream == stream => return End::Reset(code(&frame.payload)),
                GOAWAY => return End::GoneAway(code(&frame.payload[4..])),
                _ => {}
            }
        }
        End::Closed
    }
}

/// A frame as bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A whole request without a body.
pub fn request(stream: u32, fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(fields))
}

/// What every request has.
pub fn get<'a>(host: &'a str, path: &'a str) -> [(&'a [u8], &'a [u8]); 4] {
    [
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", host.as_bytes()),
        (b":path", path.as_bytes()),
    ]
}

/// A header block: each field a literal without indexing, its letters as they are.
pub fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| [&[0], &text(name)[..], &text(value)].concat()).collect()
}

/// A string with its length in seven bits and more (RFC 7541 section 5.1).
fn text(bytes: &[u8]) -> Vec<u8> {
    let mut length = Vec::new();
    match bytes.len() {
        short @ 0..127 => length.push(u8::try_from(short).unwrap()),
        long => {
            length.push(127);
            let mut rest = long - 127;
            while rest >= 128 {
                length.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            length.push(u8::try_from(rest).unwrap());
        }
    }
    [&length, bytes].concat()
}

/// The status at the start of a block: one of the static table, or three digits in Huffman's code.
fn status(block: &[u8]) -> u16 {
    match block {
        [0x88, ..] => 200,
        [0x89, ..] => 204,
        [0x8a, ..] => 206,
        [0x8b, ..] => 304,
        [0x8c, ..] => 400,
        [0x8d, ..] => 404,
        [0x8e, ..] => 500,
        [0x48 | 0x08, 0x82 | 0x83, digits @ ..] => huffman_digits(digits),
        _ => panic!("a status of another form: {block:x?}"),
    }
}

/// Three digits: 0, 1 and 2 take five bits, the others six that begin with 011 (RFC 7541 appendix B).
fn huffman_digits(bytes: &[u8]) -> u16 {
    let padded = [bytes, &[0xff; 4]].concat();
    let (mut bits, mut number) = (u32::from_be_bytes(padded[..4].try_into().unwrap()), 0);
    for _ in 0..3 {
        let (digit, width) = match bits >> 27 {
            short @ 0..3 => (short, 5),
            _ => ((bits >> 26) - 0b01_1001 + 3, 6),
        };
        number = number * 10 + digit;
        bits <<= width;
    }
    u16::try_from(number).unwrap()
}

#[test]
fn digits_are_read_as_the_appendix_codes_them() {
    // The first is the example of appendix C.6.1.
    assert_eq!(huffman_digits(&[0x64, 0x02]), 302);
    assert_eq!(huffman_digits(&[0x69, 0x90, 0xff]), 431);
}
