//! Whether a body that is called HTML is markup at all: its first byte that is not blank must be `<`.

/// The most that is kept back while a body is blank: 64 KiB of blanks belong to no data format.
const MOST: usize = 64 * 1024;

/// What a body begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Blanks so far, or nothing.
    Blank,
    /// Markup.
    Markup,
    /// Something else: data under the name of HTML.
    Other,
}

/// What the beginning of a body tells.
pub(super) fn of(beginning: &[u8]) -> Start {
    const MARKS: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe"];
    if MARKS.iter().any(|mark| beginning.len() < mark.len() && mark.starts_with(beginning)) {
        return Start::Blank;
    }
    let text = MARKS.iter().find_map(|mark| beginning.strip_prefix(*mark)).unwrap_or(beginning);
    // A zero is half of a blank, or of the `<`, in UTF-16.
    let first = text.iter().find(|byte| !matches!(byte, 0 | b' ' | b'\t' | b'\n' | b'\r' | 0x0c));
    match first {
        Some(b'<') => Start::Markup,
        Some(_) => Start::Other,
        // Whatever hides behind so many blanks is read by the rewriter: the safe side.
        None if beginning.len() > MOST => Start::Markup,
        None => Start::Blank,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_is_not_blank_decides() {
        for (beginning, expected) in [
            (&b""[..], Start::Blank),
            (b" \r\n\t\x0c", Start::Blank),
            (b"\xef", Start::Blank),
            (b"\xef\xbb", Start::Blank),
            (b"\xef\xbb\xbf", Start::Blank),
            (b"\xef\xbb\xbf <p>", Start::Markup),
            (b"\n\n<!doctype html>", Start::Markup),
            (b"<?xml version='1.0'?>", Start::Markup),
            (b"\xff\xfe<\0h\0", Start::Markup),
            (b"\xfe\xff\0<\0h", Start::Markup),
            (b"{\"a\":1}", Start::Other),
            (b"%PDF-1.4", Start::Other),
            (b"OK", Start::Other),
            (b"\xefx", Start::Other),
        ] {
            assert_eq!(of(beginning), expected, "{beginning:?}");
        }
        assert_eq!(of(&vec![b' '; MOST + 1]), Start::Markup);
    }
}
