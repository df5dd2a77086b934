//! The few character sets in which markup cannot be found byte by byte: UTF-16 and ISO-2022-JP. Their pages are read
//! as UTF-8, and written again in their own set.
//!
//! In every other set of the Encoding Standard, `<`, `>`, `"` and `&` are these bytes and no others.

use encoding_rs::{ISO_2022_JP, UTF_16BE, UTF_16LE};

use super::html::Syntax;

/// One page on its way through UTF-8.
pub(super) struct Transcoder {
    from: &'static encoding_rs::Encoding,
    decoder: encoding_rs::Decoder,
    encoder: encoding_rs::Encoder,
    text: String,
    /// A letter whose last bytes have not come.
    cut: Vec<u8>,
}

/// Whether more of the page comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    /// It may.
    Comes,
    /// It does not.
    No,
}

/// The set that a page is in, if it has to be transcoded: by its byte order mark, else by its header, else by what its
/// `beginning` says of itself (HTML section 13.2.3.2).
pub(super) fn opaque(
    syntax: Syntax,
    beginning: &[u8],
    declared: Option<&'static encoding_rs::Encoding>,
) -> Option<&'static encoding_rs::Encoding> {
    let found = match (encoding_rs::Encoding::for_bom(beginning), declared) {
        (Some((marked, _)), _) => marked,
        (None, Some(declared)) => declared,
        (None, None) => return named(syntax, beginning),
    };
    [UTF_16LE, UTF_16BE, ISO_2022_JP].into_iter().find(|opaque| *opaque == found)
}

/// The set that a page says it is in: by its XML declaration, which tells UTF-16 by its letters, else in its first `meta`
/// that names one, of which XML knows nothing (HTML section 13.2.3.2, prescan).
fn named(syntax: Syntax, beginning: &[u8]) -> Option<&'static encoding_rs::Encoding> {
    let start = beginning.get(..1024).unwrap_or(beginning);
    if start.starts_with(b"<\0?\0x\0") {
        return Some(UTF_16LE);
    }
    if start.starts_with(b"\0<\0?\0x") {
        return Some(UTF_16BE);
    }
    let label = match syntax {
        _ if start.starts_with(b"<?xml") => tags(start, b"<?xml").find_map(|tag| label(tag, b"encoding")),
        Syntax::Html => tags(start, b"<meta").find_map(|tag| label(tag, b"charset")),
        Syntax::Xml => None,
    };
    // A page cannot call itself UTF-16: browsers take that for UTF-8.
    encoding_rs::Encoding::for_label(label?).filter(|named| *named == ISO_2022_JP)
}

/// The tags that begin so, in any case.
fn tags<'a>(page: &'a [u8], start: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    memchr::memchr_iter(b'<', page).filter_map(move |at| {
        let tag = page.get(at..)?.split(|byte| *byte == b'>').next()?;
        tag.get(..start.len())?.eq_ignore_ascii_case(start).then_some(tag)
    })
}

/// What stands behind this name and an equals sign.
fn label<'a>(tag: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut ends = (name.len()..tag.len()).filter(|end| ends_with(tag.get(..*end).unwrap_or_default(), name));
    ends.find_map(|end| {
        let value = tag.get(end..)?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
        let value = value.strip_prefix(b"\"").or_else(|| value.strip_prefix(b"'")).unwrap_or(value);
        value.split(|byte| byte.is_ascii_whitespace() || b"\"';/?".contains(byte)).next()
    })
}

fn ends_with(text: &[u8], end: &[u8]) -> bool {
    text.len()
        .checked_sub(end.len())
        .and_then(|at| text.get(at..))
        .is_some_and(|found| found.eq_ignore_ascii_case(end))
}

impl Transcoder {
    /// For one page in this set.
    pub(super) fn new(from: &'static encoding_rs::Encoding) -> Self {
        Transcoder {
            from,
            // A byte order mark stays: it is the page's own.
            decoder: from.new_decoder_without_bom_handling(),
            encoder: from.new_encoder(),
            text: String::new(),
            cut: Vec::new(),
        }
    }

    /// A piece of the page as UTF-8. What is malformed is what browsers show for it.
    pub(super) fn decode(&mut self, mut bytes: &[u8], more: More) -> &[u8] {
        self.text.clear();
        loop {
            self.text.reserve(bytes.len() * 2 + 16);
            let is_last = more == More::No;
            let (result, read, _) = self.decoder.decode_to_string(bytes, &mut self.text, is_last);
            bytes = bytes.get(read..).unwrap_or_default();
            if result == encoding_rs::CoderResult::InputEmpty {
                return self.text.as_bytes();
            }
        }
    }

    /// Appends UTF-8, cut anywhere, to `out` in the page's own set.
    pub(super) fn encode(&mut self, bytes: &[u8], more: More, out: &mut Vec<u8>) {
        self.cut.extend_from_slice(bytes);
        let whole = match std::str::from_utf8(&self.cut) {
            Ok(text) => text.len(),
            Err(error) => error.valid_up_to(),
        };
        let rest = self.cut.split_off(whole);
        let text = String::from_utf8(std::mem::replace(&mut self.cut, rest)).unwrap_or_default();
        if self.from == UTF_16LE {
            out.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
        } else if self.from == UTF_16BE {
            out.extend(text.encode_utf16().flat_map(u16::to_be_bytes));
        } else {
            self.encode_with_shifts(&text, more, out);
        }
    }

    /// ISO-2022-JP shifts between its sets, and back to ASCII at the end.
    fn encode_with_shifts(&mut self, mut text: &str, more: More, out: &mut Vec<u8>) {
        loop {
            out.reserve(text.len() * 2 + 64);
            let (result, read, _) = self.encoder.encode_from_utf8_to_vec(text, out, more == More::No);
            text = text.get(read..).unwrap_or_default();
            if result == encoding_rs::CoderResult::InputEmpty {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(set: &'static encoding_rs::Encoding, text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        Transcoder::new(set).encode(text.as_bytes(), More::No, &mut out);
        out
    }

    #[test]
    fn a_page_is_in_the_set_that_browsers_take_it_for() {
        let shifts = b"<meta http-equiv=content-type content='text/html; charset=ISO-2022-JP'>".as_slice();
        for (beginning, declared, expected) in [
            (b"<html>".as_slice(), None, None),
            (b"<html>", Some("utf-8"), None),
            (b"<html>", Some("shift_jis"), None),
            (b"<\0h\0", Some("utf-16"), Some(UTF_16LE)),
            (b"\0<\0h", Some("utf-16be"), Some(UTF_16BE)),
            (b"\xff\xfe<\0", None, Some(UTF_16LE)),
            (b"\xfe\xff\0<", Some("utf-8"), Some(UTF_16BE)),
            (b"\xef\xbb\xbf<", Some("utf-16"), None),
            (b"<html>", Some("iso-2022-jp"), Some(ISO_2022_JP)),
            (shifts, None, Some(ISO_2022_JP)),
            (shifts, Some("utf-8"), None),
            (b"<meta charset=csISO2022JP>", None, Some(ISO_2022_JP)),
            (b"<title>2022</title><meta charset=utf-8>iso-2022-kr", None, None),
            (b"2022-jp", None, None),
            (b"<meta charset=utf-8><title>About ISO-2022-JP, charset=iso-2022-jp</title>", None, None),
            (b"<META http-equiv=x content='text/html;charset = ISO-2022-JP'>", None, Some(ISO_2022_JP)),
            (b"<?xml version='1.0' encoding=\"iso-2022-jp\"?>", None, Some(ISO_2022_JP)),
            (b"<?xml version='1.0' encoding='utf-8'?><meta charset=iso-2022-jp />", None, None),
            (b"<\0?\0x\0m\0l\0", None, Some(UTF_16LE)),
            (b"\0<\0?\0x\0m\0l", None, Some(UTF_16BE)),
            (b"<meta charset=utf-16>", None, None),
        ] {
            let declared = declared.and_then(|label| encoding_rs::Encoding::for_label(label.as_bytes()));
            assert_eq!(opaque(Syntax::Html, beginning, declared), expected, "{beginning:?} {declared:?}");
        }
        assert_eq!(opaque(Syntax::Xml, b"<html><meta charset='iso-2022-jp'/>", None), None);
    }

    proptest! {
        #[test]
        fn a_page_comes_back_as_it_was_however_it_is_cut(
            text in "[<>a-z \"&\u{3042}-\u{3093}日本語能力表示]{0,60}",
            sizes in proptest::collection::vec(1usize..9, 1..40),
            set in proptest::sample::select(vec![UTF_16LE, UTF_16BE, ISO_2022_JP]),
        ) {
            let page = written(set, &text);
            let mut transcoder = Transcoder::new(set);
            let (mut rest, mut out) = (page.as_slice(), Vec::new());
            let mut read = String::new();
            for size in sizes.iter().cycle() {
                let (piece, after) = rest.split_at((*size).min(rest.len()));
                rest = after;
                let more = if rest.is_empty() { More::No } else { More::Comes };
                let utf8 = transcoder.decode(piece, more).to_vec();
                read.push_str(std::str::from_utf8(&utf8).unwrap());
                // What was rewritten comes in pieces of its own, cut inside of letters.
                let (one, two) = utf8.split_at(utf8.len() / 2);
                transcoder.encode(one, More::Comes, &mut out);
                transcoder.encode(two, more, &mut out);
                if more == More::No {
                    break;
                }
            }
            prop_assert_eq!(read, text);
            prop_assert_eq!(out, page);
        }
    }
}
