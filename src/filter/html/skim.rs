//! A look ahead of the parser: how far a page may pass as it is, because nothing in it can hold an address of a
//! service. Most of most pages is of that kind, and the parser takes many times longer over it.
//!
//! It reads tags and comments as browsers do (HTML section 13.2.5) and judges none: whatever is not plainly harmless
//! is for the parser, and so is everything after a tag behind which other rules hold.

use memchr::memchr;
use memchr::memmem::find;

/// What comes after the bytes that may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing, or the beginning of a tag: more of the page must come.
    Unfinished,
    /// A tag of this length, for the parser.
    Tag(usize),
    /// A tag of this length and all up to its end tag, for the parser.
    Element(usize, &'static str),
    /// Markup that only the parser understands: all the rest of the page.
    Rest,
}

/// Where in a page the look ahead has come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Between tags.
    #[default]
    Text,
    Comment,
}

/// What a tag means to the look ahead.
enum Meaning {
    /// Nothing can be loaded by it.
    Passes,
    /// It may load something, if an attribute says so.
    MayLoad,
    /// The same, and what is loaded is a part of it, up to its end tag.
    MayHold(&'static str),
    /// It is looked at whatever it says.
    Counts,
    /// Its content is no markup, or of another kind: the parser knows where it ends.
    Contains(&'static str),
    /// There is no end to it.
    Rest,
}

/// How many of `page`'s first bytes may pass, and what comes then. `is_harmless` judges one address.
pub(super) fn skim(place: &mut Place, page: &[u8], is_harmless: impl Fn(&[u8]) -> bool) -> (usize, Next) {
    let mut at = 0;
    loop {
        let rest = page.get(at..).unwrap_or_default();
        if *place == Place::Comment {
            let Some(end) = end_of_comment(rest) else {
                // The end may be cut in two.
                return (page.len() - rest.len().min(3), Next::Unfinished);
            };
            *place = Place::Text;
            at += end;
            continue;
        }
        let Some(start) = memchr(b'<', rest) else { return (page.len(), Next::Unfinished) };
        at += start;
        match token(rest.get(start..).unwrap_or_default(), &is_harmless) {
            Token::Passes(length) => at += length,
            Token::Comment => {
                *place = Place::Comment;
                // `<!-->` is a whole comment, so the hyphens count for its end.
                at += "<!".len();
            }
            Token::For(next) => return (at, next),
        }
    }
}

/// Whether the parser is given an element of this name up to its end tag.
pub(super) fn is_read_to_its_end(name: &str) -> bool {
    matches!(meaning(name.as_bytes()), Meaning::Contains(_) | Meaning::MayHold(_))
}

/// Where an element may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndTag {
    /// After so many bytes.
    Until(usize),
    /// Not in what is there; so many bytes of it belong to no end tag.
    None(usize),
}

/// Looks for the next end tag of this name.
pub(super) fn end_tag(page: &[u8], name: &str) -> EndTag {
    let mut at = 0;
    while let Some(found) = memchr(b'<', page.get(at..).unwrap_or_default()) {
        at += found;
        let rest = page.get(at..).unwrap_or_default();
        let tag = [b"</", name.as_bytes()].concat();
        let common = rest.get(..tag.len()).unwrap_or(rest);
        if common.eq_ignore_ascii_case(tag.get(..common.len()).unwrap_or_default()) {
            return match memchr(b'>', rest) {
                Some(end) => EndTag::Until(at + end + 1),
                None => EndTag::None(at),
            };
        }
        at += 1;
    }
    EndTag::None(page.len())
}

enum Token {
    Passes(usize),
    Comment,
    For(Next),
}

/// What begins with the `<` at the start of `page`.
fn token(page: &[u8], is_harmless: impl Fn(&[u8]) -> bool) -> Token {
    let unfinished = Token::For(Next::Unfinished);
    match page.get(1) {
        None => unfinished,
        Some(letter) if letter.is_ascii_alphabetic() => start_tag(page, is_harmless),
        Some(b'/') => match page.get(2) {
            None => unfinished,
            Some(letter) if letter.is_ascii_alphabetic() => {
                tag_end(page, 2, |_, _| ()).map_or(unfinished, Token::Passes)
            }
            Some(_) => bogus_comment(page),
        },
        Some(b'!') => match page.get(2..4) {
            Some(b"--") => Token::Comment,
            None if page.get(2).is_none_or(|byte| *byte == b'-') => unfinished,
            Some(_) | None => bogus_comment(page),
        },
        Some(b'?') => bogus_comment(page),
        Some(_) => Token::Passes(1),
    }
}

/// A doctype and what browsers take for a comment: all up to the next `>`.
fn bogus_comment(page: &[u8]) -> Token {
    memchr(b'>', page).map_or(Token::For(Next::Unfinished), |end| Token::Passes(end + 1))
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

fn start_tag(page: &[u8], is_harmless: impl Fn(&[u8]) -> bool) -> Token {
    let name_end = page.iter().skip(1).position(|byte| is_blank(*byte) || matches!(byte, b'/' | b'>'));
    let Some(name) = name_end.and_then(|end| page.get(1..end + 1)) else {
        return Token::For(Next::Unfinished);
    };
    let meaning = meaning(name);
    let mut is_doubtful = false;
    let end = tag_end(page, 1 + name.len(), |name, value| {
        is_doubtful |=
            !matches!(meaning, Meaning::Passes) && loads(name) && !all_harmless(name, value, &is_harmless);
    });
    let Some(end) = end else { return Token::For(Next::Unfinished) };
    Token::For(match meaning {
        Meaning::Passes => return Token::Passes(end),
        Meaning::MayLoad | Meaning::MayHold(_) if !is_doubtful => return Token::Passes(end),
        Meaning::MayLoad | Meaning::Counts => Next::Tag(end),
        Meaning::MayHold(name) | Meaning::Contains(name) => Next::Element(end, name),
        Meaning::Rest => Next::Rest,
    })
}

fn meaning(name: &[u8]) -> Meaning {
    let mut lower = [0; 10];
    let Some(lower) = lower.get_mut(..name.len()) else { return Meaning::Passes };
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    match &*lower {
        b"script" => Meaning::Contains("script"),
        b"noscript" => Meaning::Contains("noscript"),
        b"iframe" => Meaning::Contains("iframe"),
        b"style" => Meaning::Contains("style"),
        b"title" => Meaning::Contains("title"),
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
        b"img" | b"image" | b"use" | b"feimage" | b"source" | b"track" | b"embed" | b"frame" | b"input"
        | b"link" | b"meta" | b"body" | b"table" | b"td" | b"th" => Meaning::MayLoad,
        _ => Meaning::Passes,
    }
}

/// Whether an attribute of this name can make a browser, or a lazy loader, load something.
fn loads(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 14] = [
        b"src",
        b"href",
        b"srcset",
        b"imagesrcset",
        b"data",
        b"data-src",
        b"data-srcset",
        b"data-lazy-src",
        b"lowsrc",
        b"poster",
        b"background",
        b"classid",
        b"codebase",
        b"http-equiv",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn all_harmless(name: &[u8], value: &[u8], is_harmless: impl Fn(&[u8]) -> bool) -> bool {
    // What a refresh leads to stands in another attribute.
    if name.eq_ignore_ascii_case(b"http-equiv") {
        return !value.trim_ascii().eq_ignore_ascii_case(b"refresh") && !value.contains(&b'&');
    }
    if name.len() >= 6 && name.get(name.len() - 6..).is_some_and(|end| end.eq_ignore_ascii_case(b"srcset")) {
        let mut parts = value.split(|byte| *byte == b',' || is_blank(*byte));
        return parts.all(|part| part.is_empty() || is_harmless(part));
    }
    is_harmless(value)
}

/// Where the tag ends whose attributes begin at `from`: after its `>`. Each attribute is told to `tell`.
fn tag_end<'a>(page: &'a [u8], from: usize, mut tell: impl FnMut(&'a [u8], &'a [u8])) -> Option<usize> {
    let mut at = from;
    // The rest of an end tag's name.
    while !matches!(page.get(at)?, b'/' | b'>') && !is_blank(*page.get(at)?) {
        at += 1;
    }
    loop {
        while is_blank(*page.get(at)?) || page.get(at) == Some(&b'/') {
            at += 1;
        }
        if page.get(at)? == &b'>' {
            return Some(at + 1);
        }
        // Even a `=` is the first letter of a name.
        let name = at;
        at += 1;
        while !matches!(page.get(at)?, b'/' | b'>' | b'=') && !is_blank(*page.get(at)?) {
            at += 1;
        }
        let name = page.get(name..at)?;
        while is_blank(*page.get(at)?) {
            at += 1;
        }
        if page.get(at)? != &b'=' {
            tell(name, b"");
            continue;
        }
        at += 1;
        while is_blank(*page.get(at)?) {
            at += 1;
        }
        let value = at;
        match page.get(at)? {
            quote @ (b'"' | b'\'') => {
                let length = memchr(*quote, page.get(at + 1..)?)?;
                at += length + 2;
                tell(name, page.get(value + 1..at - 1)?);
            }
            _ => {
                while *page.get(at)? != b'>' && !is_blank(*page.get(at)?) {
                    at += 1;
                }
                tell(name, page.get(value..at)?);
            }
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skimmed(page: &str) -> (&str, Next) {
        let mut place = Place::Text;
        let is_harmless = |address: &[u8]| !matches!(address, [b'/', b'/', ..] | [b'a'..=b'z', ..]);
        let (passes, next) = skim(&mut place, page.as_bytes(), is_harmless);
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
            "<link href=/a.css>",
            "<object data=/a.swf></object>",
            "<scripty src=x>",
            "<x-tag src=//t.example>",
            "<meta http-equiv=content-type content='text/html'>",
        ] {
            assert_eq!(skimmed(page), ("", Next::Unfinished), "{page}");
        }
    }

    #[test]
    fn what_may_load_something_is_for_the_parser() {
        use Next::{Element, Rest, Tag};
        for (page, rest, next) in [
            ("<p><img src=//t.example>x", "<img src=//t.example>x", Tag(21)),
            ("<IMG SRC='x'>", "<IMG SRC='x'>", Tag(13)),
            ("<img srcset='/a 1x,b 2x'>", "<img srcset='/a 1x,b 2x'>", Tag(25)),
            ("<img src=/a src=b>", "<img src=/a src=b>", Tag(18)),
            ("<td background=b>", "<td background=b>", Tag(17)),
            ("<base href=/>", "<base href=/>", Tag(13)),
            ("<meta http-equiv=Refresh content=x>", "<meta http-equiv=Refresh content=x>", Tag(35)),
            ("a<script>1</script>", "<script>1</script>", Element(8, "script")),
            ("<noscript>", "<noscript>", Element(10, "noscript")),
            ("<textarea a='>'>", "<textarea a='>'>", Element(16, "textarea")),
            ("<video src=x>", "<video src=x>", Element(13, "video")),
            ("<svg/>", "<svg/>", Element(6, "svg")),
            ("<plaintext>", "<plaintext>", Rest),
        ] {
            assert_eq!(skimmed(page), (rest, next), "{page}");
        }
    }

    #[test]
    fn an_end_tag_may_be_cut_anywhere() {
        for (page, expected) in [
            ("a < b</script>c", EndTag::Until(14)),
            ("</SCRIPT a=b >c", EndTag::Until(14)),
            ("x</scripty>", EndTag::Until(11)),
            ("x</scr", EndTag::None(1)),
            ("x<", EndTag::None(1)),
            ("x</script", EndTag::None(1)),
            ("x</style>", EndTag::None(9)),
            ("", EndTag::None(0)),
        ] {
            assert_eq!(end_tag(page.as_bytes(), "script"), expected, "{page}");
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
