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
mod tests;
