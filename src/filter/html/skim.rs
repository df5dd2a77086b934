//! A look ahead of the parser: how far a page may pass as it is, because nothing in it can hold an address of a
//! service. Most of most pages is of that kind, and the parser takes many times longer over it.
//!
//! It reads tags and comments as browsers do (HTML section 13.2.5) and judges none: whatever is not plainly harmless
//! is for the parser, and so is everything after a tag behind which other rules hold.

use std::borrow::Cow;

use memchr::memchr;
use memchr::memmem::find;

use super::places::{self, Holds, Known};
use super::{Syntax, code, css};

/// What comes after the bytes that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, or the beginning of a tag: more of the page must come.
    Unfinished,
    /// A tag of this length, and who reads it.
    Tag(usize, Reads),
    /// Whatever it is: a passage ends here, between two tags.
    Passage,
}

/// What the parser is given of a tag and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// Nothing: it passes like what came before it.
    Nothing,
    /// The tag.
    Tag,
    /// The tag and all up to the end tag of this name.
    Element(&'static str),
    /// The tag and all the rest of the page.
    Rest,
}

/// Which tags are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tells {
    /// Every one.
    EveryTag,
    /// Those that the parser must read; and where passages end.
    WhatIsRead,
}

/// Which end of an element a tag is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Start,
    End,
}

/// Where in a page the look ahead has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Between tags.
    #[default]
    Text,
    Comment,
    /// In a page that is XML, what is no markup, up to these letters.
    Section(&'static str),
}

/// What a tag means to the look ahead.
#[derive(Clone, Copy)]
enum Meaning {
    /// It may load something, if an attribute says so.
    MayLoad,
    /// The same, and what is loaded is a part of it, up to its end tag.
    MayHold(&'static str),
    /// It is looked at whatever it says.
    Counts,
    /// Its content is no markup, or of another kind: the parser knows where it ends.
    Contains(&'static str),
    /// The same, and as often as not there is nothing to it.
    MayContain(&'static str),
    /// There is no end to it.
    Rest,
}

/// How many of `page`'s first bytes may pass, and what comes then. `is_harmless` judges one address, and `marks` one
/// word by which an element is known.
pub(super) fn skim(
    syntax: Syntax,
    place: &mut Place,
    page: &[u8],
    tells: Tells,
    is_harmless: impl Fn(&[u8]) -> bool,
    marks: impl Fn(Known, &[u8]) -> bool,
) -> (usize, Next) {
    let mut at = 0;
    loop {
        if *place != Place::Text {
            let rest = page.get(at..).unwrap_or_default();
            let end = match *place {
                Place::Section(end) => find(rest, end.as_bytes()).map(|at| at + end.len()),
                Place::Comment | Place::Text => end_of_comment(rest),
            };
            let Some(end) = end else {
                // The end may be cut in two.
                return (page.len() - rest.len().min(3), Next::Unfinished);
            };
            *place = Place::Text;
            at += end;
            continue;
        }
        let Some(start) = seek(page, at, b'<') else { return (page.len(), Next::Unfinished) };
        at = start;
        let rest = page.get(at..).unwrap_or_default();
        let of_xml = if syntax == Syntax::Xml { of_xml(rest) } else { None };
        match of_xml.unwrap_or_else(|| token(rest, &is_harmless, &marks)) {
            Token::Tag(length, reads) if tells == Tells::EveryTag || reads != Reads::Nothing => {
                return (at, Next::Tag(length, reads));
            }
            Token::Element { name, tag, .. } if syntax == Syntax::Xml => {
                return (at, Next::Tag(tag, Reads::Element(name)));
            }
            // What it holds is text in every reading.
            Token::Element { tag, .. } if tells == Tells::EveryTag => {
                return (at, Next::Tag(tag, Reads::Nothing));
            }
            Token::Tag(length, _) | Token::Element { whole: length, .. } => {
                at += length;
                if tells == Tells::WhatIsRead && ends_passage(page.get(..at).unwrap_or_default()) {
                    return (at, Next::Passage);
                }
            }
            Token::Passes(length) => at += length,
            Token::Unfinished => return (at, Next::Unfinished),
            Token::Comment => {
                *place = Place::Comment;
                // `<!-->` is a whole comment, so the hyphens count for its end.
                at += "<!".len();
            }
            Token::Begins(length, what) => {
                *place = what;
                at += length;
            }
        }
    }
}

/// The fewest bytes of a passage.
pub(super) const SHORTEST: usize = 512;

/// Whether a passage ends behind these bytes, and a tag. Content chooses where: pages that differ are parted alike
/// again behind the difference.
fn ends_passage(passage: &[u8]) -> bool {
    const LONGEST: usize = 4 * SHORTEST;
    let is_end = |last: &[u8; 8]| u64::from_le_bytes(*last).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61 == 0;
    passage.len() >= LONGEST || passage.len() >= SHORTEST && passage.last_chunk().is_some_and(is_end)
}

/// Whether the parser is given an element of this name up to its end tag.
pub(super) fn is_read_to_its_end(name: &str) -> bool {
    let meaning = meaning(name.as_bytes());
    matches!(meaning, Meaning::Contains(_) | Meaning::MayContain(_) | Meaning::MayHold(_))
}

/// How much of `page` can be read before the element `name` may have ended, and whether it may have ended there.
pub(super) fn before_end(page: &[u8], name: &str) -> (usize, bool) {
    let mut at = 0;
    while let Some(found) = memchr(b'<', page.get(at..).unwrap_or_default()) {
        at += found;
        let rest = page.get(at..).unwrap_or_default();
        if begins_end_tag(rest, name) {
            // Where the tag is cut in two, it waits for its other half.
            return memchr(b'>', rest).map_or((at, false), |end| (at + end + 1, true));
        }
        at += 1;
    }
    (page.len(), false)
}

/// Whether `page` begins with an end tag of this name, or may with what comes next.
fn begins_end_tag(page: &[u8], name: &str) -> bool {
    let mut tag = b"</".iter().chain(name.as_bytes());
    page.iter().zip(tag.by_ref()).all(|(byte, expected)| byte.eq_ignore_ascii_case(expected))
}

enum Token {
    Unfinished,
    /// Text, or what browsers drop.
    Passes(usize),
    Comment,
    /// What a place in a page that is XML begins with.
    Begins(usize, Place),
    Tag(usize, Reads),
    /// An element that passes whole in HTML: how long its start tag is, and all of it.
    Element {
        name: &'static str,
        tag: usize,
        whole: usize,
    },
}

/// What begins with the `<` at the start of `page`.
fn token(page: &[u8], is_harmless: impl Fn(&[u8]) -> bool, marks: impl Fn(Known, &[u8]) -> bool) -> Token {
    match page.get(1) {
        None => Token::Unfinished,
        Some(letter) if letter.is_ascii_alphabetic() => start_tag(page, is_harmless, marks),
        Some(b'/') => match page.get(2) {
            None => Token::Unfinished,
            Some(letter) if letter.is_ascii_alphabetic() => end_tag(page),
            Some(_) => bogus_comment(page),
        },
        Some(b'!') => match page.get(2..4) {
            Some(b"--") => Token::Comment,
            None if page.get(2).is_none_or(|byte| *byte == b'-') => Token::Unfinished,
            Some(_) | None => bogus_comment(page),
        },
        Some(b'?') => bogus_comment(page),
        Some(_) => Token::Passes(1),
    }
}

fn end_tag(page: &[u8]) -> Token {
    let end = match next::<{ BLANK | SLASH | END }>(page, 2) {
        // As nearly all end.
        Some(end) if page.get(end) == Some(&b'>') => Some(end + 1),
        Some(end) => attributes(page, end, |_, _| ()),
        None => None,
    };
    end.map_or(Token::Unfinished, |end| Token::Tag(end, Reads::Nothing))
}

/// A doctype and what browsers take for a comment: all up to the next `>`.
fn bogus_comment(page: &[u8]) -> Token {
    memchr(b'>', page).map_or(Token::Unfinished, |end| Token::Passes(end + 1))
}

/// What begins with the `<` at the start of a page that is XML, if that is nothing that HTML has, too: a tag with prefixes,
/// for which the parser looks whatever it says, or no tag (XML 1.0, sections 2.5 to 2.8). A doctype with declarations and an
/// instruction to load style sheets are told of like a tag.
fn of_xml(page: &[u8]) -> Option<Token> {
    const SECTIONS: [(&str, &str); 3] = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")];
    const STYLES: &[u8] = b"<?xml-stylesheet";
    if !matches!(page.get(1), Some(b'!' | b'?')) {
        return with_prefix(page);
    }
    if page.starts_with(STYLES) || STYLES.starts_with(page) {
        let end = find(page, b"?>");
        return Some(end.map_or(Token::Unfinished, |end| Token::Tag(end + 2, Reads::Tag)));
    }
    for (start, end) in SECTIONS {
        if page.starts_with(start.as_bytes()) {
            return Some(Token::Begins(start.len(), Place::Section(end)));
        }
        if start.as_bytes().starts_with(page) {
            return Some(Token::Unfinished);
        }
    }
    Some(doctype(page).map_or(Token::Unfinished, |end| Token::Tag(end, Reads::Tag)))
}

/// A start tag of which a name has a prefix that is not XML's own.
fn with_prefix(page: &[u8]) -> Option<Token> {
    let name_end = next::<{ BLANK | SLASH | END }>(page, 1).filter(|end| *end > 1)?;
    let mut has_prefix = memchr(b':', page.get(1..name_end)?).is_some();
    let end = attributes(page, name_end, |name, _| {
        has_prefix |=
            memchr(b':', name).is_some() && !name.starts_with(b"xml:") && !name.starts_with(b"xmlns:");
    })?;
    has_prefix.then_some(Token::Tag(end, Reads::Tag))
}

/// How long a doctype is, with all that it declares.
fn doctype(page: &[u8]) -> Option<usize> {
    let (mut at, mut open, mut is_within) = (0, 0_usize, false);
    loop {
        let rest = page.get(at..)?;
        at += match rest.first()? {
            b'<' if b"<!--".starts_with(rest.get(..4)?) => find(rest, b"-->")? + 3,
            b'<' if rest.starts_with(b"<?") => find(rest, b"?>")? + 2,
            b'"' => memchr(b'"', rest.get(1..)?)? + 2,
            b'\'' => memchr(b'\'', rest.get(1..)?)? + 2,
            b'>' if open == 1 && !is_within => return Some(at + 1),
            letter => {
                match letter {
                    b'<' => open += 1,
                    b'>' => open = open.saturating_sub(1),
                    b'[' => is_within = true,
                    b']' => is_within = false,
                    _ => {}
                }
                1
            }
        };
    }
}

/// The name of a tag as it is written.
pub(super) fn written_name(tag: &[u8]) -> &[u8] {
    let start = if tag.get(1) == Some(&b'/') { 2 } else { 1 };
    let end = next::<{ BLANK | SLASH | END }>(tag, start).unwrap_or(tag.len());
    tag.get(start..end).unwrap_or_default()
}

/// How long a comment's rest is, its end included; `rest` begins after `<!`, or further on.
fn end_of_comment(rest: &[u8]) -> Option<usize> {
    if let Some(beginning) = rest.strip_prefix(b"--") {
        // `<!-->` and `<!--->` are whole; `--` alone must be waited for.
        if beginning.first() == Some(&b'>') {
            return Some(3);
        }
        if beginning.starts_with(b"->") {
            return Some(4);
        }
    }
    let mut at = 0;
    loop {
        let here = rest.get(at..)?;
        let found = find(here, b"--")?;
        let after = here.get(found + 2..)?;
        if after.first() == Some(&b'>') {
            return Some(at + found + 3);
        }
        if after.starts_with(b"!>") {
            return Some(at + found + 4);
        }
        at += found + 1;
    }
}

fn start_tag(
    page: &[u8],
    is_harmless: impl Fn(&[u8]) -> bool,
    marks: impl Fn(Known, &[u8]) -> bool,
) -> Token {
    let name_end = next::<{ BLANK | SLASH | END }>(page, 1);
    let Some((name, name_end)) = name_end.and_then(|end| Some((page.get(1..end)?, end))) else {
        return Token::Unfinished;
    };
    let mut buffer = [0; 16];
    let tag = lower(name, &mut buffer);
    let meaning = meaning(tag);
    let decides = matches!(meaning, Meaning::MayLoad | Meaning::MayHold(_) | Meaning::MayContain(_));
    let mut is_doubtful = false;
    let end = attributes(page, name_end, |name, value| {
        if decides && !is_doubtful && places::may_be(name) {
            is_doubtful = is_in_doubt(tag, name, value, &is_harmless, &marks);
        }
    });
    let Some(end) = end else { return Token::Unfinished };
    let reads = match meaning {
        Meaning::MayContain(name) if !is_doubtful => match end_of_harmless(page, end, name) {
            Some(whole) => return Token::Element { name, tag: end, whole },
            None => Reads::Element(name),
        },
        Meaning::MayLoad | Meaning::MayHold(_) if !is_doubtful => Reads::Nothing,
        Meaning::MayLoad | Meaning::Counts => Reads::Tag,
        Meaning::MayHold(name) | Meaning::Contains(name) | Meaning::MayContain(name) => Reads::Element(name),
        Meaning::Rest => Reads::Rest,
    };
    Token::Tag(end, reads)
}

/// Where an element ends whose start tag ends at `from`, if what it holds is plainly harmless, and text in whatever way
/// it is read; nothing also where its end has not come.
fn end_of_harmless(page: &[u8], from: usize, name: &str) -> Option<usize> {
    let content = page.get(from..)?;
    let (text, rest) = content.split_at(memchr(b'<', content)?);
    let is_harmless = match name {
        "style" => css::is_harmless(text),
        // Rules for loading in advance go, wherever they stand.
        "script" => text.is_empty() && attribute(page, "type").is_none_or(is_plain_type),
        _ => true,
    };
    let (tag, rest) = rest.strip_prefix(b"</")?.split_at_checked(name.len())?;
    let is_end = tag.eq_ignore_ascii_case(name.as_bytes()) && rest.first() == Some(&b'>');
    (is_harmless && is_end).then(|| from + text.len() + "</>".len() + name.len())
}

/// Whether the type of a script plainly is of those that are run, or of data.
fn is_plain_type(kind: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+' | b'-' | b'.');
    kind.iter().all(is_letter) && !kind.eq_ignore_ascii_case(b"speculationrules")
}

/// A name in lower case, if it is no longer than any that matters; else nothing.
#[inline(always)]
fn lower<'a, const N: usize>(name: &'a [u8], buffer: &'a mut [u8; N]) -> &'a [u8] {
    if name.len() <= N && !name.iter().any(u8::is_ascii_uppercase) {
        return name;
    }
    let Some(lower) = buffer.get_mut(..name.len()) else { return b"" };
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    lower
}

/// Which end of an element a whole tag is, and the element's name in lower case.
pub(super) fn name(tag: &[u8]) -> (Kind, Cow<'_, str>) {
    let kind = if tag.get(1) == Some(&b'/') { Kind::End } else { Kind::Start };
    let name = written_name(tag);
    let name = match std::str::from_utf8(name) {
        Ok(name) if !name.bytes().any(|byte| byte.is_ascii_uppercase()) => name.into(),
        Ok(_) | Err(_) => name.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect(),
    };
    (kind, name)
}

/// The value of an attribute of a whole start tag, as it is written; the first of several counts.
pub(super) fn attribute<'a>(tag: &'a [u8], wanted: &str) -> Option<&'a [u8]> {
    let mut found = None;
    tag_end(tag, 1, |name, value| {
        if found.is_none() && name.eq_ignore_ascii_case(wanted.as_bytes()) {
            found = Some(value);
        }
    });
    found
}

fn meaning(lower: &[u8]) -> Meaning {
    match lower {
        b"script" => Meaning::MayContain("script"),
        b"noscript" => Meaning::Contains("noscript"),
        b"iframe" => Meaning::Contains("iframe"),
        b"style" => Meaning::MayContain("style"),
        b"title" => Meaning::MayContain("title"),
        b"textarea" => Meaning::Contains("textarea"),
        b"svg" => Meaning::Contains("svg"),
        b"math" => Meaning::Contains("math"),
        b"xmp" => Meaning::Contains("xmp"),
        b"noembed" => Meaning::Contains("noembed"),
        b"noframes" => Meaning::Contains("noframes"),
        b"plaintext" => Meaning::Rest,
        b"base" => Meaning::Counts,
        b"object" => Meaning::MayHold("object"),
        b"video" => Meaning::MayHold("video"),
        b"audio" => Meaning::MayHold("audio"),
        _ => Meaning::MayLoad,
    }
}

/// Whether an attribute may make a browser, or a lazy loader, load from a service.
// Few come here: beside them, the way of all others stays short.
#[inline(never)]
fn is_in_doubt(
    tag: &[u8],
    name: &[u8],
    value: &[u8],
    is_harmless: impl Fn(&[u8]) -> bool,
    marks: impl Fn(Known, &[u8]) -> bool,
) -> bool {
    let of_marks = |known| value.split(|byte| is_blank(*byte)).any(|word| marks(known, word));
    let mut buffer = [0; 32];
    // A long name is one that scripts have made up; those that load begin alike.
    let name = match name.get(..32) {
        None => lower(name, &mut buffer),
        Some(start) if start.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"data-")) => {
            b"data-lazy"
        }
        Some(_) => return false,
    };
    let of_words = || {
        let mut words = value.split(|byte| *byte == b',' || is_blank(*byte));
        words.all(|word| word.is_empty() || is_harmless(word))
    };
    match places::of(tag, name) {
        None => tag == b"meta" && name == b"http-equiv" && !is_plain_meta(value),
        // What it refreshes stands beside the word that says so.
        Some(Holds::Refresh) => false,
        // Hints and frames lead to hosts of nobody's, too.
        Some(Holds::Address) if tag == b"link" => !is_harmless(value) || !is_relative(value),
        // A stranger's script is the policy's; data is the script itself.
        Some(Holds::Document) if tag == b"script" => {
            !is_harmless(value) || value.trim_ascii().starts_with(b"data:")
        }
        Some(Holds::Document) => !is_harmless(value) || !is_relative(value),
        Some(Holds::Address) => !is_harmless(value),
        Some(Holds::List | Holds::Words) => !of_words(),
        Some(Holds::Lazy) => !of_words() || !css::is_harmless(value),
        Some(Holds::Style) => !css::is_harmless(value),
        Some(Holds::Code) => !code::is_harmless(value),
        Some(Holds::Mark(known)) => of_marks(known),
    }
}

fn is_plain_meta(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let is = |word: &[u8]| value.eq_ignore_ascii_case(word);
    !is(b"refresh") && !is(b"content-security-policy") && !value.contains(&b'&')
}

fn is_relative(address: &[u8]) -> bool {
    !address.trim_ascii().starts_with(b"//") && !address.contains(&b':')
}

/// Where the tag ends whose name begins at `from`, or goes on there: after its `>`. Each attribute is told to `tell`.
fn tag_end<'a>(page: &'a [u8], from: usize, tell: impl FnMut(&'a [u8], &'a [u8])) -> Option<usize> {
    attributes(page, next::<{ BLANK | SLASH | END }>(page, from)?, tell)
}

/// The same for a tag whose name ends at `from`.
fn attributes<'a>(page: &'a [u8], from: usize, mut tell: impl FnMut(&'a [u8], &'a [u8])) -> Option<usize> {
    let mut at = from;
    loop {
        at = behind::<{ BLANK | SLASH }>(page, at)?;
        if page.get(at)? == &b'>' {
            return Some(at + 1);
        }
        // Even a `=` is the first letter of a name.
        let end = next::<{ BLANK | SLASH | END | EQUALS }>(page, at + 1)?;
        let name = page.get(at..end)?;
        at = behind::<BLANK>(page, end)?;
        if page.get(at)? != &b'=' {
            tell(name, b"");
            continue;
        }
        at = behind::<BLANK>(page, at + 1)?;
        let (value, end) = match page.get(at)? {
            quote @ (b'"' | b'\'') => {
                let end = seek(page, at + 1, *quote)?;
                (page.get(at + 1..end)?, end + 1)
            }
            _ => {
                let end = next::<{ BLANK | END }>(page, at)?;
                (page.get(at..end)?, end)
            }
        };
        tell(name, value);
        at = end;
    }
}

/// What a byte may be in a tag, outside of quotes; every other one is `OTHER`.
const BLANK: u8 = 1;
const SLASH: u8 = 2;
const END: u8 = 4;
const EQUALS: u8 = 8;
const OTHER: u8 = 16;

#[expect(clippy::indexing_slicing, reason = "the compiler itself indexes")]
const KINDS: [u8; 256] = {
    let mut kinds = [OTHER; 256];
    kinds[b' ' as usize] = BLANK;
    kinds[b'\t' as usize] = BLANK;
    kinds[b'\n' as usize] = BLANK;
    kinds[b'\r' as usize] = BLANK;
    kinds[0x0c] = BLANK;
    kinds[b'/' as usize] = SLASH;
    kinds[b'>' as usize] = END;
    kinds[b'=' as usize] = EQUALS;
    kinds
};

fn is_of(kinds: u8, byte: u8) -> bool {
    KINDS.get(usize::from(byte)).is_some_and(|kind| kind & kinds != 0)
}

/// Where the next byte of these kinds stands, at `from` or behind it.
#[inline(always)]
fn next<const KINDS: u8>(page: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    loop {
        at += letters(page.get(at..)?);
        if is_of(KINDS, *page.get(at)?) {
            return Some(at);
        }
        at += 1;
    }
}

/// How many of the first bytes are plainly letters, `@` or above: none that means something in a tag is. Eight at most.
#[inline(always)]
fn letters(rest: &[u8]) -> usize {
    let Some(eight) = rest.first_chunk() else { return 0 };
    let eight = u64::from_le_bytes(*eight);
    let others = !(eight | eight << 1) & (ONES << 7);
    others.trailing_zeros() as usize / 8
}

/// Where the first byte stands that is not of these kinds, at `from` or behind it.
#[inline(always)]
fn behind<const KINDS: u8>(page: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    while is_of(KINDS, *page.get(at)?) {
        at += 1;
    }
    Some(at)
}

const ONES: u64 = u64::from_ne_bytes([1; 8]);

/// Where the next such byte stands, at `from` or behind it: in markup it is seldom far.
#[inline(always)]
fn seek(page: &[u8], from: usize, byte: u8) -> Option<usize> {
    let mut at = from;
    while at < from + 24
        && let Some(eight) = page.get(at..)?.first_chunk()
    {
        let differs = u64::from_le_bytes(*eight) ^ (ONES * u64::from(byte));
        // The lowest bit that is left belongs to the first byte that does not differ.
        let same = differs.wrapping_sub(ONES) & !differs & (ONES << 7);
        if same != 0 {
            return Some(at + same.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr(byte, page.get(at..)?).map(|found| at + found)
}

fn is_blank(byte: u8) -> bool {
    is_of(BLANK, byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skimmed(page: &str) -> (&str, Next) {
        let mut place = Place::Text;
        let is_harmless = |address: &[u8]| {
            !matches!(address, [b'/', b'/', ..] | [b'a'..=b'z', ..]) || address.starts_with(b"data:image/")
        };
        let (passes, next) =
            skim(Syntax::Html, &mut place, page.as_bytes(), Tells::WhatIsRead, is_harmless, |_, word| {
                word == b"mark"
            });
        (&page[passes..], next)
    }

    #[test]
    fn what_can_load_nothing_passes() {
        for page in [
            "",
            "text",
            "a < b, a <3, <>, </>, <1>",
            "<p class=x>text</p>",
            "<a href=https://t.example title='<img src=x>'>",
            "<div class='a marks' id=x>",
            "<p class=mark>",
            "<a title=\"<script>\">",
            "<p a='>' b=\">\">",
            "<p ='x>",
            "<p a=b'>",
            "<p/ / a = '>'/>",
            "<p a=>",
            "<!-- <script> --><p>",
            "<!--><p>",
            "<!---><p>",
            "<!----><p>",
            "<!-- a --!><p>",
            "<!-- a <!--><p>",
            "<!doctype html><?xml?><![CDATA[x]]></ x><p>",
            "</p title='>'>",
            "<img src=/a.png alt='//t.example'>",
            "<img srcset='/a.png 1x, /b.png 2x'>",
            "<td background=/a.gif>",
            "<link rel=stylesheet href=/a.css>",
            "<p style='color:red'>",
            "<p onclick='go(1)'>",
            "<div data-src=/a.png>",
            "<img src='data:image/png;base64,AAAA'>",
            "<object data=/a.swf></object>",
            "<scripty src=/x>",
            "<meta http-equiv=content-type content='text/html'>",
            "<title>a title</title>",
            "<Title lang=sv></TITLE>",
            "<style>p{color:red}</style>",
            "<script src=/a.js></script>",
            "<script async type=text/javascript src='/a.js'></script>",
            "<script type=module></script>",
        ] {
            assert_eq!(skimmed(page), ("", Next::Unfinished), "{page}");
        }
    }

    #[test]
    fn what_may_load_something_is_for_the_parser() {
        use Reads::{Element, Rest, Tag};
        for (page, rest, length, reads) in [
            ("<p><img src=//t.example>x", "<img src=//t.example>x", 21, Tag),
            ("<div class='a mark'>", "<div class='a mark'>", 20, Tag),
            ("<Blockquote ID=mark>", "<Blockquote ID=mark>", 20, Tag),
            ("<IMG SRC='x'>", "<IMG SRC='x'>", 13, Tag),
            ("<img srcset='/a 1x,b 2x'>", "<img srcset='/a 1x,b 2x'>", 25, Tag),
            ("<img src=/a src=b>", "<img src=/a src=b>", 18, Tag),
            ("<td background=b>", "<td background=b>", 17, Tag),
            ("<base href=/>", "<base href=/>", 13, Tag),
            ("<x-tag src=b>", "<x-tag src=b>", 13, Tag),
            ("<p style='background:url(/a)'>", "<p style='background:url(/a)'>", 30, Tag),
            ("<p onclick='x.src=1'>", "<p onclick='x.src=1'>", 21, Tag),
            ("<p data-lazy-src=b>", "<p data-lazy-src=b>", 19, Tag),
            ("<a ping='/a b' href=b>", "<a ping='/a b' href=b>", 22, Tag),
            ("<link href='//cdn.example/'>", "<link href='//cdn.example/'>", 28, Tag),
            ("<meta http-equiv=Refresh content=x>", "<meta http-equiv=Refresh content=x>", 35, Tag),
            ("a<script>1</script>", "<script>1</script>", 8, Element("script")),
            ("<script src=b></script>", "<script src=b></script>", 14, Element("script")),
            ("<script src=/a> </script>", "<script src=/a> </script>", 15, Element("script")),
            ("<script src=/a></scripty>", "<script src=/a></scripty>", 15, Element("script")),
            (
                "<script type=' speculationrules' src=/a></script>",
                "<script type=' speculationrules' src=/a></script>",
                40,
                Element("script"),
            ),
            (
                "<script type=SpeculationRules></script>",
                "<script type=SpeculationRules></script>",
                30,
                Element("script"),
            ),
            (
                "<script src=data:image/png,1></script>",
                "<script src=data:image/png,1></script>",
                29,
                Element("script"),
            ),
            ("<title>a<b</title>", "<title>a<b</title>", 7, Element("title")),
            ("<title>a</title >", "<title>a</title >", 7, Element("title")),
            ("<title>a</titl", "<title>a</titl", 7, Element("title")),
            ("<title>a", "<title>a", 7, Element("title")),
            ("<style>a{b:url(/c)}</style>", "<style>a{b:url(/c)}</style>", 7, Element("style")),
            ("<style onload='x.src=1'></style>", "<style onload='x.src=1'></style>", 24, Element("style")),
            ("<noscript>", "<noscript>", 10, Element("noscript")),
            ("<textarea a='>'>", "<textarea a='>'>", 16, Element("textarea")),
            ("<video src=x>", "<video src=x>", 13, Element("video")),
            ("<svg/>", "<svg/>", 6, Element("svg")),
            ("<plaintext>", "<plaintext>", 11, Rest),
        ] {
            assert_eq!(skimmed(page), (rest, Next::Tag(length, reads)), "{page}");
        }
    }

    #[test]
    fn every_tag_is_told_of_where_that_is_wanted() {
        let page = b"text<!-- <p> --><A Lang='sv' lang=en>x</A\n><script>";
        let mut told = Vec::new();
        let (mut place, mut at) = (Place::Text, 0);
        while let (passes, Next::Tag(length, reads)) =
            skim(Syntax::Html, &mut place, &page[at..], Tells::EveryTag, |_| true, |_, _| false)
        {
            let tag = &page[at + passes..at + passes + length];
            let lang = attribute(tag, "lang").map(String::from_utf8_lossy);
            told.push((name(tag), reads, lang.unwrap_or_default().into_owned()));
            at += passes + length;
        }
        let expected = [
            ((Kind::Start, "a".into()), Reads::Nothing, "sv".into()),
            ((Kind::End, "a".into()), Reads::Nothing, String::new()),
            ((Kind::Start, "script".into()), Reads::Element("script"), String::new()),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn in_xml_the_parser_reads_each_element_whose_content_is_no_markup_in_html() {
        for page in ["<title>a</title>", "<style>p{}</style>", "<script src='/a.js'></script>"] {
            let told =
                skim(Syntax::Xml, &mut Place::Text, page.as_bytes(), Tells::EveryTag, |_| true, |_, _| false);
            assert!(matches!(told, (0, Next::Tag(_, Reads::Element(_)))), "{page}: {told:?}");
        }
    }

    #[test]
    fn an_end_tag_may_be_cut_anywhere() {
        for (page, expected) in [
            ("a < b</script>c", (14, true)),
            ("</SCRIPT a=b >c", (14, true)),
            ("x</scripty>", (11, true)),
            ("x</scr", (1, false)),
            ("x<", (1, false)),
            ("x</script", (1, false)),
            ("x</style>", (9, false)),
            ("", (0, false)),
        ] {
            assert_eq!(before_end(page.as_bytes(), "script"), expected, "{page}");
        }
    }

    #[test]
    fn a_tag_that_does_not_end_is_waited_for() {
        for (page, rest) in [
            ("text<", "<"),
            ("text<p", "<p"),
            ("<p a='>", "<p a='>"),
            ("x</", "</"),
            ("x</p", "</p"),
            ("x<!", "<!"),
            ("x<!-", "<!-"),
            ("x<!doctype", "<!doctype"),
            ("<!-- a --", " --"),
            ("<!-- a", "- a"),
        ] {
            assert_eq!(skimmed(page), (rest, Next::Unfinished), "{page}");
        }
    }
}
