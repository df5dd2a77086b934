//! The addresses in style rules (CSS Syntax 3): of `url()`, `@import`, `image-set()` and whatever else takes a string.

use std::borrow::Cow;
use std::ops::Range;

/// Whether rules plainly load nothing; it takes in only what cannot be read in two ways.
pub(super) fn is_harmless(rules: &[u8]) -> bool {
    if memchr::memchr2(b'\\', b'&', rules).is_some() {
        return false;
    }
    let has = |word: &[u8]| rules.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word));
    memchr::memchr(b'(', rules).is_none() && memchr::memchr(b'@', rules).is_none()
        || !has(b"url") && !has(b"import") && !has(b"image") && !has(b"src(")
}

/// Each address of `rules`, escapes undone, and where it is written, its quotes or its `url()` included.
pub(super) fn addresses(rules: &str) -> Vec<(Range<usize>, Cow<'_, str>)> {
    let bytes = rules.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                let end = rules.get(at + 2..).and_then(|rest| rest.find("*/"));
                at = end.map_or(bytes.len(), |end| at + 2 + end + 2);
            }
            b'"' | b'\'' => {
                let (inner, end) = string(bytes, at);
                found.push((at..end, unescaped(rules.get(at + 1..inner).unwrap_or_default())));
                at = end;
            }
            b'\\' | b'u' | b'U' if !follows_name(bytes, at) => match url_function(rules, at) {
                Some(inside) => at = url(rules, at, inside, &mut found),
                None => at += 1 + usize::from(*byte == b'\\'),
            },
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    found
}

/// `rules` with these places, in their order, made void: `none` is no address, and valid for most.
pub(super) fn without(rules: &str, places: &[Range<usize>], mark: &str) -> String {
    let (mut out, mut at) = (String::with_capacity(rules.len()), 0);
    for place in places {
        out.push_str(rules.get(at..place.start).unwrap_or_default());
        out.push_str("none");
        out.push_str(mark);
        at = place.end;
    }
    out.push_str(rules.get(at..).unwrap_or_default());
    out
}

/// Where the inside of a string ends that begins at `at`, and where it ends itself: behind its quote, or with its line.
fn string(bytes: &[u8], at: usize) -> (usize, usize) {
    let quote = bytes.get(at).copied();
    let mut end = at + 1;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'\\' => end += 1,
            byte if Some(*byte) == quote => return (end, end + 1),
            b'\n' => return (end, end),
            _ => {}
        }
        end += 1;
    }
    (bytes.len(), bytes.len())
}

fn follows_name(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    before.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') || !byte.is_ascii())
}

/// Where the inside of a `url(` or `src(` that begins at `at` begins, whatever escapes it is written with.
fn url_function(rules: &str, at: usize) -> Option<usize> {
    let mut here = at;
    for wanted in ['u', 'r', 'l'] {
        let (letter, length) = letter(rules.get(here..)?)?;
        if !letter.eq_ignore_ascii_case(&wanted) {
            return None;
        }
        here += length;
    }
    (rules.as_bytes().get(here) == Some(&b'(')).then_some(here + 1)
}

/// Reads a `url(` whose inside begins at `inside`, and says where to go on.
fn url<'a>(rules: &'a str, at: usize, inside: usize, found: &mut Vec<(Range<usize>, Cow<'a, str>)>) -> usize {
    let bytes = rules.as_bytes();
    let blanks = bytes.iter().skip(inside).take_while(|byte| byte.is_ascii_whitespace()).count();
    let start = inside + blanks;
    if matches!(bytes.get(start), Some(b'"' | b'\'')) {
        let (inner, end) = string(bytes, start);
        let inner = rules.get(start + 1..inner).unwrap_or_default();
        // Up to the bracket: modifiers may stand in between.
        let close =
            rules.get(end..).and_then(|rest| rest.find(')')).map_or(bytes.len(), |close| end + close + 1);
        found.push((at..close, unescaped(inner)));
        return close;
    }
    let mut end = start;
    while let Some(byte) = bytes.get(end) {
        match byte {
            b'\\' => end += 1,
            b')' => break,
            _ => {}
        }
        end += 1;
    }
    let end = end.min(bytes.len());
    let inner = rules.get(start..end).unwrap_or_default().trim_end();
    let close = (end + 1).min(bytes.len());
    found.push((at..close, unescaped(inner)));
    close
}

fn unescaped(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((letter, length)) = letter(rest) {
        // A line that goes on is no letter.
        if letter != '\n' || !rest.starts_with('\\') {
            out.push(letter);
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    out.into()
}

/// The letter that `text` begins with, escaped or not, and how long it is written (CSS Syntax 3, section 4.3.7).
fn letter(text: &str) -> Option<(char, usize)> {
    let first = text.chars().next()?;
    if first != '\\' {
        return Some((first, first.len_utf8()));
    }
    let after = text.get(1..)?;
    let digits = after.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
    if digits == 0 {
        let letter = after.chars().next()?;
        return Some((letter, 1 + letter.len_utf8()));
    }
    let code = u32::from_str_radix(after.get(..digits)?, 16).ok().and_then(char::from_u32);
    let blank = match after.as_bytes().get(digits..) {
        Some([b'\r', b'\n', ..]) => 2,
        Some([b' ' | b'\t' | b'\n' | b'\r' | 0x0c, ..]) => 1,
        _ => 0,
    };
    Some((code.unwrap_or(char::REPLACEMENT_CHARACTER), 1 + digits + blank))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(rules: &str) -> Vec<String> {
        addresses(rules).into_iter().map(|(_, address)| address.into_owned()).collect()
    }

    #[test]
    fn every_address_is_found_however_it_is_written() {
        for (rules, expected) in [
            ("background:url(//t.example/x.gif) no-repeat", vec!["//t.example/x.gif"]),
            ("background: URL( '//t.example/x.gif' )", vec!["//t.example/x.gif"]),
            ("background:url(\n//t.example/x\n)", vec!["//t.example/x"]),
            ("background:u\\72l(//t.example/x)", vec!["//t.example/x"]),
            ("background:\\75 \\52 l(\\2f/t.example\\2f x)", vec!["//t.example/x"]),
            ("background:url(//t\\.example/x)", vec!["//t.example/x"]),
            ("@import '//t.example/a.css' screen;@import url(b.css);", vec!["//t.example/a.css", "b.css"]),
            ("background:image-set('a.png' 1x, \"b.png\" 2x)", vec!["a.png", "b.png"]),
            ("content:'a\\'b';x:url(c", vec!["a'b", "c"]),
            ("/* url(a) */b{background:url(c)}", vec!["c"]),
            ("curl(x) my-url(y) url (z)", vec![]),
            ("a{b:'x\ny'}c{d:url(e)}", vec!["x", "}c{d:url(e)}"]),
            ("url('//t\\\n.example')", vec!["//t.example"]),
            ("\\", vec![]),
            ("url(", vec![""]),
        ] {
            assert_eq!(found(rules), expected, "{rules}");
        }
    }

    #[test]
    fn what_is_made_void_leaves_the_rest_as_it_was() {
        let rules = "a{background:url(//t) red;color:blue}@import '//t';b{c:d}";
        let places: Vec<_> = addresses(rules).into_iter().map(|(place, _)| place).collect();
        assert_eq!(
            without(rules, &places, "/**/"),
            "a{background:none/**/ red;color:blue}@import none/**/;b{c:d}"
        );
        assert_eq!(without(rules, &[], ""), rules);
    }

    #[test]
    fn what_is_plainly_harmless_has_no_address() {
        for (rules, expected) in [
            ("color:red", true),
            ("color:rgb(1,2,3);width:calc(1px + 2px)", true),
            ("background:url(x)", false),
            ("background:URL(x)", false),
            ("u\\72l", false),
            ("&#117;rl", false),
            ("@import 'x'", false),
            ("@media print { a { b: c } }", true),
        ] {
            assert_eq!(is_harmless(rules.as_bytes()), expected, "{rules}");
        }
    }

    proptest! {
        #[test]
        fn no_rules_panic_and_places_lie_in_order(rules in "(url\\(|URL\\(|'|\"|\\\\|\\)|/\\*|\\*/| |\n|a|7|\u{e5}|@import |;){0,40}") {
            let found = addresses(&rules);
            let mut at = 0;
            for (place, _) in &found {
                prop_assert!(place.start >= at && place.end > place.start && place.end <= rules.len());
                prop_assert!(rules.is_char_boundary(place.start) && rules.is_char_boundary(place.end));
                at = place.end;
            }
            if is_harmless(rules.as_bytes()) {
                prop_assert!(found.iter().all(|(place, _)| !rules[place.clone()].to_lowercase().starts_with("url")));
            }
        }
    }
}
