//! The header by which a balancer says who is calling (PROXY protocol, versions 1 and 2; HAProxy's specification
//! of 2020, "2.2"). Reads it off a socket, and not one byte of what follows.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Why there is no header to go by. The connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// What came first is no header.
    #[error("it does not begin with the PROXY protocol")]
    Absent,
    /// It is broken, or says what no version of the protocol can say.
    #[error("its PROXY protocol header is malformed")]
    Malformed,
    /// It is longer than any header has reason to be.
    #[error("its PROXY protocol header is too long")]
    TooLong,
    /// It was changed on its way.
    #[error("the checksum of its PROXY protocol header is wrong")]
    Checksum,
    /// The other side went away first.
    #[error("it ended before its PROXY protocol header")]
    Gone(#[from] io::Error),
}

impl Failure {
    /// A word for metrics; none where nobody was refused.
    pub(super) fn reason(&self) -> Option<&'static str> {
        match self {
            Failure::Absent => Some("proxy-protocol-absent"),
            Failure::Malformed => Some("proxy-protocol-malformed"),
            Failure::TooLong => Some("proxy-protocol-too-long"),
            Failure::Checksum => Some("proxy-protocol-checksum"),
            Failure::Gone(_) => None,
        }
    }
}

/// As [`Failure::reason`], for a header that did not come in time.
pub(super) const LATE: &str = "proxy-protocol-late";

/// How every header of version 1 begins, and every header of version 2.
const LINE: &[u8] = b"PROXY ";
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The longest line of version 1, its end included (section 2.1).
const LONGEST_LINE: usize = 107;
/// The most that version 2 may carry: addresses, and room for what a balancer says of a client's certificate.
const LONGEST_BLOCK: usize = 8 * 1024;

/// Reads the header. Nothing comes back where the balancer speaks for itself (`LOCAL`) or does not know
/// (`UNKNOWN`): the address of the socket holds then.
pub(super) async fn read<S: AsyncRead + Unpin>(socket: &mut S) -> Result<Option<IpAddr>, Failure> {
    let mut header = Vec::with_capacity(LONGEST_LINE);
    // No header of either version is shorter than this.
    while header.len() < SIGNATURE.len() {
        more(socket, &mut header, SIGNATURE.len()).await?;
        if !may_begin(&header) {
            return Err(Failure::Absent);
        }
    }
    if header.starts_with(SIGNATURE) {
        read_block(socket, header).await
    } else {
        read_line(socket, header).await
    }
}

fn may_begin(header: &[u8]) -> bool {
    SIGNATURE.starts_with(header) || LINE.starts_with(header) || header.starts_with(LINE)
}

async fn read_line<S: AsyncRead + Unpin>(
    socket: &mut S,
    mut header: Vec<u8>,
) -> Result<Option<IpAddr>, Failure> {
    while !header.ends_with(b"\n") {
        if header.len() >= LONGEST_LINE {
            return Err(Failure::TooLong);
        }
        // Byte by byte: whatever follows the line is for the TLS handshake, which reads from the same socket.
        let next = header.len() + 1;
        more(socket, &mut header, next).await?;
    }
    line(&header).ok_or(Failure::Malformed)
}

async fn read_block<S: AsyncRead + Unpin>(
    socket: &mut S,
    mut header: Vec<u8>,
) -> Result<Option<IpAddr>, Failure> {
    const FIXED: usize = 16;
    while header.len() < FIXED {
        more(socket, &mut header, FIXED).await?;
    }
    let length = match header.last_chunk() {
        Some(length) => usize::from(u16::from_be_bytes(*length)),
        None => 0,
    };
    if length > LONGEST_BLOCK {
        return Err(Failure::TooLong);
    }
    while header.len() < FIXED + length {
        more(socket, &mut header, FIXED + length).await?;
    }
    block(&header)
}

/// Reads what there is, until `header` has `length` bytes at most.
async fn more<S: AsyncRead + Unpin>(socket: &mut S, header: &mut Vec<u8>, length: usize) -> io::Result<()> {
    let missing = length.saturating_sub(header.len());
    match socket.take(missing as u64).read_buf(header).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Version 1, such as `PROXY TCP4 203.0.113.9 10.0.0.2 52953 443` and a line end; nothing where it is malformed.
fn line(header: &[u8]) -> Option<Option<IpAddr>> {
    let said = header.strip_prefix(LINE)?.strip_suffix(b"\r\n")?;
    // Whatever stands behind the word is to be ignored.
    if said == b"UNKNOWN" || said.starts_with(b"UNKNOWN ") {
        return Some(None);
    }
    let mut words = std::str::from_utf8(said).ok()?.split(' ');
    let mut next = || words.next();
    let (family, source, destination) = (next()?, next()?, next()?);
    let ports = [next()?, next()?];
    if next().is_some() || !ports.into_iter().all(is_port) {
        return None;
    }
    match family {
        "TCP4" => destination.parse::<Ipv4Addr>().ok().and(source.parse::<Ipv4Addr>().ok()).map(IpAddr::from),
        "TCP6" => destination.parse::<Ipv6Addr>().ok().and(source.parse::<Ipv6Addr>().ok()).map(IpAddr::from),
        _ => None,
    }
    .map(Some)
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Version 2: the signature, command, family, length, addresses, and extras that are skipped.
fn block(header: &[u8]) -> Result<Option<IpAddr>, Failure> {
    const LOCAL: u8 = 0x20;
    const PROXY: u8 = 0x21;
    let said = header.strip_prefix(SIGNATURE).ok_or(Failure::Malformed)?;
    let [command, family, _, _, rest @ ..] = said else { return Err(Failure::Malformed) };
    let addresses = match (*command, *family) {
        // What follows says nothing, whatever it is (section 2.2).
        (LOCAL, _) | (PROXY, 0x00) => return Ok(None),
        // TCP and UDP alike, as IPv4, IPv6, and Unix sockets.
        (PROXY, 0x11 | 0x12) => 12,
        (PROXY, 0x21 | 0x22) => 36,
        (PROXY, 0x31 | 0x32) => 216,
        _ => return Err(Failure::Malformed),
    };
    let (addresses, extras) = rest.split_at_checked(addresses).ok_or(Failure::Malformed)?;
    check(header, extras)?;
    Ok(match *family {
        0x11 => addresses.first_chunk::<4>().map(|source| Ipv4Addr::from(*source).into()),
        0x21 => addresses.first_chunk::<16>().map(|source| Ipv6Addr::from(*source).into()),
        // Valid, but no visitor comes by it: as if the balancer did not know (section 2.2).
        _ => None,
    })
}

/// Goes over the extras, which have a type, a length and a value each, and verifies the checksum if one is there.
fn check(header: &[u8], mut extras: &[u8]) -> Result<(), Failure> {
    const CHECKSUM: u8 = 0x03;
    let mut checksum = None;
    while let [kind, high, low, rest @ ..] = extras {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, next) = rest.split_at_checked(length).ok_or(Failure::Malformed)?;
        if *kind == CHECKSUM {
            let before = header.len() - next.len() - value.len();
            let value = <[u8; 4]>::try_from(value).map_err(|_| Failure::Malformed)?;
            // One alone: its field counts as zeros, and that of a second would not.
            if checksum.replace((before, u32::from_be_bytes(value))).is_some() {
                return Err(Failure::Malformed);
            }
        }
        extras = next;
    }
    match checksum {
        _ if !extras.is_empty() => Err(Failure::Malformed),
        Some((before, said)) if crc32c(header, before) != said => Err(Failure::Checksum),
        _ => Ok(()),
    }
}

/// CRC-32C (RFC 3720 appendix B.4), with the four bytes from `field` on taken as zeros. Bit by bit: a header is short.
fn crc32c(header: &[u8], field: usize) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let bytes = header
        .iter()
        .enumerate()
        .map(|(at, byte)| if (field..field + 4).contains(&at) { 0 } else { u32::from(*byte) });
    !bytes.fold(!0, |sum, byte| {
        (0..8).fold(sum ^ byte, |sum, _| if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 })
    })
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            said(format!("PROXY UNKNOWN {}\r\n", "x".repeat(92)).as_bytes()),
            "proxy-protocol-too-long"
        );
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
        let block =
            (command, family, rest).prop_map(|(command, family, rest)| block_of(command, family, &rest));
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
}
