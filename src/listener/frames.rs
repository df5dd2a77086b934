//! How much of what a client of HTTP/2 sends is of use: frames that carry nothing (PING, SETTINGS, PRIORITY, unknown ones) are
//! answered or forgotten without an end, and h2 does not count them.

use super::conversation::PREFACE;

/// What an overhead of any size is measured against: as nginx, seven eighths of what comes may be of no use, beyond 8 MiB.
const FREE: u64 = 1 << 20;
const MOST: u64 = 8;

/// The bytes of a frame's header (RFC 9113 section 4.1).
const HEADER: usize = 9;

/// What has been read of one connection.
#[derive(Debug)]
pub(super) struct Frames {
    place: Place,
    total: u64,
    useful: u64,
}

#[derive(Debug)]
enum Place {
    /// So much of the preface has come.
    Preface(usize),
    /// So much of a frame's header.
    Header([u8; HEADER], usize),
    /// So much is left of a frame.
    Payload(usize),
    /// It is another protocol.
    Elsewhere,
}

impl Frames {
    pub(super) fn new() -> Self {
        Frames { place: Place::Preface(0), total: 0, useful: 0 }
    }

    /// Whether next to nothing of all that has come is of use.
    pub(super) fn are_a_flood(&self) -> bool {
        self.total / MOST > self.useful + FREE
    }

    /// Reads on.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        if matches!(self.place, Place::Elsewhere) {
            return;
        }
        self.total += bytes.len() as u64;
        while let Some((first, rest)) = bytes.split_first() {
            bytes = rest;
            self.place = match std::mem::replace(&mut self.place, Place::Elsewhere) {
                Place::Preface(at) if PREFACE.get(at) != Some(first) => return,
                Place::Preface(at) if at + 1 < PREFACE.len() => Place::Preface(at + 1),
                Place::Preface(_) => Place::Header([0; HEADER], 0),
                Place::Header(mut header, at) => {
                    if let Some(byte) = header.get_mut(at) {
                        *byte = *first;
                    }
                    if at + 1 < HEADER { Place::Header(header, at + 1) } else { self.begin(header) }
                }
                Place::Payload(left) => {
                    let here = (left - 1).min(rest.len());
                    bytes = rest.get(here..).unwrap_or_default();
                    Place::payload(left - 1 - here)
                }
                Place::Elsewhere => return,
            };
        }
    }

    fn begin(&mut self, [first, second, third, kind, ..]: [u8; HEADER]) -> Place {
        const DATA: u8 = 0;
        const HEADERS: u8 = 1;
        const RST_STREAM: u8 = 3;
        const WINDOW_UPDATE: u8 = 8;
        const CONTINUATION: u8 = 9;
        let length = u32::from_be_bytes([0, first, second, third]);
        self.useful += match kind {
            DATA | HEADERS | CONTINUATION => length.into(),
            // Who takes a long answer sends one for each few kilobytes, and resets are limited.
            RST_STREAM | WINDOW_UPDATE => (u64::from(length) + HEADER as u64).div_ceil(MOST),
            _ => 0,
        };
        Place::payload(length as usize)
    }
}

impl Place {
    fn payload(left: usize) -> Self {
        if left == 0 { Place::Header([0; HEADER], 0) } else { Place::Payload(left) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 1], payload].concat()
    }

    /// Whether all of it is taken, in pieces of this size.
    fn takes(said: &[u8], piece: usize) -> bool {
        let mut frames = Frames::new();
        said.chunks(piece).all(|piece| {
            frames.read(piece);
            !frames.are_a_flood()
        })
    }

    #[test]
    fn what_carries_nothing_is_taken_up_to_eight_megabytes_and_in_proportion_to_what_does() {
        let ping = frame(6, b"01234567");
        let (few, many) = (ping.repeat(490_000), ping.repeat(500_000));
        for (said, expected) in [
            (&[&PREFACE[..], &few].concat(), true),
            (&[&PREFACE[..], &many].concat(), false),
            (&[&PREFACE[..], &frame(0, &[0; 1 << 20]), &many].concat(), true),
            (&[&PREFACE[..], &frame(0, &[0; 16 << 10]).repeat(1_000)].concat(), true),
            (&[&PREFACE[..], &frame(8, &[0; 4]).repeat(1_000_000)].concat(), true),
            (&[&PREFACE[..], &frame(4, &[0; 16 << 10]).repeat(1_000)].concat(), false),
            // It is no HTTP/2.
            (&many, true),
            (&[&PREFACE[..20], &many].concat(), true),
        ] {
            for piece in [7, 4_096] {
                assert_eq!(takes(said, piece), expected, "{} {piece}", said.len());
            }
        }
    }
}
