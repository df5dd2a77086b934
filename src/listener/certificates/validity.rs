//! From when until when a certificate is valid. rustls keeps the dates to itself, so they are read here; pure.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::clock::Timestamp;

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment at which it holds.
    pub not_before: Timestamp,
    /// The last.
    pub not_after: Timestamp,
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// Reads the dates of a certificate in DER (RFC 5280 section 4.1); nothing where it is none.
pub(super) fn read(certificate: &[u8]) -> Option<Validity> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    // Before the dates stand the version, the serial number, the algorithm and the issuer; the first may be absent.
    let (first, _, rest) = element(fields)?;
    if first == VERSION {
        fields = rest;
    }
    for expected in [INTEGER, SEQUENCE, SEQUENCE] {
        let (kind, _, rest) = element(fields)?;
        if kind != expected {
            return None;
        }
        fields = rest;
    }
    let (_, dates, _) = element(fields)?;
    let (kind, text, rest) = element(dates)?;
    let not_before = moment(kind, text)?;
    let (kind, text, _) = element(rest)?;
    Some(Validity { not_before, not_after: moment(kind, text)? })
}

/// Takes one element off: its kind, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, short], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        // The length of the length; no certificate has four gigabytes.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((kind, content, rest))
}

/// `YYMMDDHHMMSSZ`, where 50 is 1950, or `YYYYMMDDHHMMSSZ` (RFC 5280 section 4.1.2.5).
fn moment(kind: u8, text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match kind {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i16 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let civil = DateTime::new(year, part(0)?, part(2)?, part(4)?, part(6)?, part(8)?, 0).ok()?;
    if rest.len() == 10 { TimeZone::UTC.to_timestamp(civil).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_dates_are_those_that_the_certificate_was_made_with() {
        for (from, until, expected) in [
            ((2024, 2, 29), (2025, 3, 1), ("2024-02-29T00:00:00Z", "2025-03-01T00:00:00Z")),
            // The one is written with two digits of the year, the other with four.
            ((1975, 1, 1), (4096, 12, 31), ("1975-01-01T00:00:00Z", "4096-12-31T00:00:00Z")),
        ] {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut parameters = rcgen::CertificateParams::new(vec!["a.example".into()]).unwrap();
            parameters.not_before = rcgen::date_time_ymd(from.0, from.1, from.2);
            parameters.not_after = rcgen::date_time_ymd(until.0, until.1, until.2);
            let certificate = parameters.self_signed(&key).unwrap();
            let validity = read(certificate.der()).unwrap();
            assert_eq!(
                (validity.not_before.to_string(), validity.not_after.to_string()),
                (expected.0.into(), expected.1.into())
            );
        }
    }

    #[test]
    fn moments_are_whole_or_nothing() {
        let read = |kind, text: &str| moment(kind, text.as_bytes()).map(|moment| moment.to_string());
        assert_eq!(read(UTC_TIME, "491231235959Z").as_deref(), Some("2049-12-31T23:59:59Z"));
        assert_eq!(read(UTC_TIME, "500101000000Z").as_deref(), Some("1950-01-01T00:00:00Z"));
        assert_eq!(read(GENERALIZED_TIME, "20500101000000Z").as_deref(), Some("2050-01-01T00:00:00Z"));
        for text in
            ["", "Z", "4912312359Z", "491331235959Z", "491231235959", "49123123595 Z", "4912312359590Z"]
        {
            assert_eq!(read(UTC_TIME, text), None, "{text}");
        }
        assert_eq!(read(INTEGER, "491231235959Z"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), from in 0_usize..400, by in any::<u8>()) {
            read(&bytes);
            let made = rcgen::generate_simple_self_signed(vec!["a.example".into()]).unwrap();
            let mut certificate = made.cert.der().to_vec();
            if let Some(byte) = certificate.get_mut(from) {
                *byte = by;
            }
            read(&certificate);
        }
    }
}
