//! What each header says, and that neither its bytes nor the way they arrive in can do anything else.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use proptest::prelude::*;
use tokio::io::ReadBuf;

use super::*;

/// Gives its bytes in these pieces, each with one refusal before it, and then ends.
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    is_ready: bool,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.is_ready = !self.is_ready;
        if !self.is_ready {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let Some(mut piece) = self.pieces.pop_front() else { return Poll::Ready(Ok(())) };
        let rest = piece.split_off(piece.len().min(buffer.remaining()));
        buffer.put_slice(&piece);
        if !rest.is_empty() {
            self.pieces.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

/// What a header says, in one word, and what of the bytes is left behind it.
fn read_in_pieces(bytes: &[u8], length: usize) -> (String, Vec<u8>) {
    let pieces = bytes.chunks(length).map(<[u8]>::to_vec).collect();
    let mut socket = Pieces { pieces, is_ready: false };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let said = match runtime.block_on(read(&mut socket)) {
        Ok(Some(address)) => address.to_string(),
        Ok(None) => "itself".into(),
        Err(failure) => failure.reason().unwrap_or("gone").into(),
    };
    (said, socket.pieces.into_iter().flatten().collect())
}

fn said(bytes: &[u8]) -> String {
    read_in_pieces(bytes, usize::MAX).0
}

fn block_of(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

const V4: &[u8] = &[203, 0, 113, 9, 10, 0, 0, 2, 0xce, 0xd9, 1, 0xbb];
const NOOP: &[u8] = &[0x04, 0, 2, 9, 9];

fn v6() -> Vec<u8> {
    let source: Ipv6Addr = "2001:db8::9".parse().unwrap();
    [&source.octets()[..], &source.octets()[..], &[1, 2, 3, 4]].concat()
}

#[test]
fn a_line_names_the_visitor() {
    for (line, expected) in [
        ("PROXY TCP4 203.0.113.9 10.0.0.2 52953 443\r\n", "203.0.113.9"),
        ("PROXY TCP6 2001:db8::9 ::1 0 65535\r\n", "2001:db8::9"),
        ("PROXY TCP6 ::ffff:203.0.113.9 ::1 1 2\r\n", "::ffff:203.0.113.9"),
        ("PROXY UNKNOWN\r\n", "itself"),
        ("PROXY UNKNOWN \u{e5} anything at all\r\n", "itself"),
        ("PROXY UNKNOWNS\r\n", "proxy-protocol-malformed"),
        ("PROXY TCP4 2001:db8::9 ::1 1 2\r\n", "proxy-protocol-malformed"),
        ("PROXY TCP6 203.0.113.9 10.0.0.2 1 2\r\n", "proxy-protocol-malformed"),
        ("PROXY TCP4 203.0.113.9 10.0.0.2 1 65536\r\n", "proxy-protocol-malformed"),
        ("PROXY TCP4 203.0.113.9 10.0.0.2 +1 2\r\n", "proxy-protocol-malformed"),
        ("PROXY TCP4 203.0.113.9 10.0.0.2 1 2 3\r\n", "proxy-protocol-malformed"),
        ("PROXY TCP4 203.0.113.9  10.0.0.2 1 2\r\n", "proxy-protocol-malformed"),
        ("PROXY TCP4 203.0.113.9 10.0.0.2 1 2\n", "proxy-protocol-malformed"),
        ("PROXY TCP4 203.0.113.9 garbage 1 2\r\n", "proxy-protocol-malformed"),
        ("PROXY UDP4 203.0.113.9 10.0.0.2 1 2\r\n", "proxy-protocol-malformed"),
        ("PROXY \r\n\r\n\r\n\r\n", "proxy-protocol-malformed"),
        ("PROXY TCP4 203.0.113.9 10.0.0.2 1 2", "gone"),
        ("GET / HTTP/1.1\r\n", "proxy-protocol-absent"),
        ("P", "gone"),
        ("POST", "proxy-protocol-absent"),
        ("", "gone"),
    ] {
        assert_eq!(said(line.as_bytes()), expected, "{line:?}");
    }
    let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE - 16));
    assert_eq!((longest.len(), said(longest.as_bytes())), (LONGEST_LINE, "itself".into()));
    assert_eq!(said(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).as_bytes()), "proxy-protocol-too-long");
}

#[test]
fn a_block_names_the_visitor() {
    for (command, family, rest, expected) in [
        (0x21, 0x11, V4.to_vec(), "203.0.113.9"),
        (0x21, 0x21, v6(), "2001:db8::9"),
        (0x21, 0x11, [V4, NOOP, NOOP].concat(), "203.0.113.9"),
        // UDP and Unix sockets are valid and mean nothing here.
        (0x21, 0x12, V4.to_vec(), "itself"),
        (0x21, 0x31, vec![7; 216], "itself"),
        (0x21, 0x00, vec![], "itself"),
        (0x20, 0x00, vec![], "itself"),
        (0x20, 0x11, V4.to_vec(), "itself"),
        (0x20, 0xff, vec![1, 2, 3], "itself"),
        (0x21, 0x11, V4[..11].to_vec(), "proxy-protocol-malformed"),
        (0x21, 0x21, V4.to_vec(), "proxy-protocol-malformed"),
        (0x21, 0x41, v6(), "proxy-protocol-malformed"),
        (0x22, 0x11, V4.to_vec(), "proxy-protocol-malformed"),
        (0x11, 0x11, V4.to_vec(), "proxy-protocol-malformed"),
        (0x21, 0x11, [V4, &[0x04, 0, 3, 9, 9]].concat(), "proxy-protocol-malformed"),
        (0x21, 0x11, [V4, &[0x04]].concat(), "proxy-protocol-malformed"),
        (0x21, 0x00, vec![0; LONGEST_BLOCK], "itself"),
        (0x21, 0x00, vec![0; LONGEST_BLOCK + 1], "proxy-protocol-too-long"),
    ] {
        assert_eq!(said(&block_of(command, family, &rest)), expected, "{command:x} {family:x} {rest:?}");
    }
    assert_eq!(said(SIGNATURE), "gone");
}

#[test]
fn a_checksum_is_verified_where_there_is_one() {
    // RFC 3720 appendix B.4: 32 bytes of zeros.
    assert_eq!(crc32c(&[0; 32], 99), 0x8a91_36aa);
    let field = [0x03, 0, 4, 0, 0, 0, 0];
    let mut header = block_of(0x21, 0x11, &[V4, NOOP, &field, NOOP].concat());
    assert_eq!(said(&header), "proxy-protocol-checksum");
    let at = header.len() - NOOP.len() - 4;
    let sum = crc32c(&header, at).to_be_bytes();
    header[at..at + 4].copy_from_slice(&sum);
    assert_eq!(said(&header), "203.0.113.9");
    header[16] ^= 1;
    assert_eq!(said(&header), "proxy-protocol-checksum");
    let twice = block_of(0x21, 0x11, &[V4, &field, &field].concat());
    assert_eq!(said(&twice), "proxy-protocol-malformed");
    let short = block_of(0x21, 0x11, &[V4, &[0x03, 0, 1, 0]].concat());
    assert_eq!(said(&short), "proxy-protocol-malformed");
}

fn starts() -> impl Strategy<Value = Vec<u8>> {
    let line = "(PROXY (TCP4|TCP6|UNKNOWN) )?[ -~]{0,120}(\r\n|\n)?".prop_map(String::into_bytes);
    let command = prop_oneof![Just(0x20_u8), Just(0x21), any::<u8>()];
    let family = prop_oneof![Just(0x11_u8), Just(0x21), Just(0x00), any::<u8>()];
    let rest = prop::collection::vec(any::<u8>(), 0..300);
    let block = (command, family, rest).prop_map(|(command, family, rest)| block_of(command, family, &rest));
    let signed = prop::collection::vec(any::<u8>(), 0..40).prop_map(|rest| [SIGNATURE, &rest].concat());
    let valid = Just(b"PROXY TCP4 203.0.113.9 10.0.0.2 52953 443\r\n".to_vec());
    prop_oneof![line, block, signed, valid, prop::collection::vec(any::<u8>(), 0..60)]
}

proptest! {
    #[test]
    fn no_bytes_panic_and_every_split_says_the_same_and_leaves_the_same(
        start in starts(),
        after in prop::collection::vec(any::<u8>(), 0..20),
        length in 1_usize..40,
    ) {
        let bytes = [start, after].concat();
        let (said, left) = read_in_pieces(&bytes, usize::MAX);
        let (said_in_pieces, left_in_pieces) = read_in_pieces(&bytes, length);
        prop_assert_eq!(&said, &said_in_pieces);
        if !said.starts_with("proxy-protocol") {
            prop_assert_eq!(left, left_in_pieces);
        }
    }
}
