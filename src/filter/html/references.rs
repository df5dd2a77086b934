//! Character references (HTML section 13.2.5.72), as they stand in attributes.

use encoding_rs::WINDOWS_1252;
use web_atoms::NAMED_ENTITIES;

/// Stands for the `&` of a reference that stays one.
const KEPT: char = '\0';

/// The value that a browser reads in an attribute. A page is read letter by byte: beside bytes that are UTF-8, letters
/// beyond ASCII become such bytes, too, so that all of it can be read in one way.
pub(super) fn decode(value: &str) -> String {
    let is_utf8 = !value.is_ascii() && {
        let (bytes, _, had_errors) = WINDOWS_1252.encode(value);
        !had_errors && std::str::from_utf8(&bytes).is_ok()
    };
    replaced(value, |letters, _| match is_utf8 && !letters.is_ascii() {
        true => WINDOWS_1252.decode_without_bom_handling(letters.as_bytes()).0.into_owned(),
        false => letters.to_owned(),
    })
}

/// The markup that a browser reads in an attribute, for a rewriter of bytes: references to letters beyond ASCII stay
/// references, as their bytes depend on the page's character set. [`encode_markup`] turns it back.
pub(super) fn decode_markup(value: &str) -> String {
    replaced(value, |letters, reference| {
        if letters.is_ascii() {
            return letters.to_owned();
        }
        let end = if reference.ends_with(';') { "" } else { ";" };
        format!("{KEPT}{}{end}", reference.get(1..).unwrap_or_default())
    })
}

/// The same in XML, where a page may have references of its own: what is unknown stays one, too.
pub(super) fn decode_xml(value: &str) -> String {
    let known = value.split('&').enumerate().map(|(at, part)| {
        let name =
            part.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(byte)).count();
        let is_name = name > 0 && part.as_bytes().get(name) == Some(&b';');
        let mark = match at {
            0 => String::new(),
            _ if is_name && named(part).is_none() => KEPT.into(),
            _ => '&'.into(),
        };
        mark + part
    });
    decode_markup(&known.collect::<String>())
}

/// Markup as the value of an attribute in double quotes, or as text.
pub(super) fn encode_markup(markup: &str) -> String {
    let mut value = String::with_capacity(markup.len() + markup.len() / 8);
    for letter in markup.chars() {
        match letter {
            '&' => value.push_str("&amp;"),
            '"' => value.push_str("&quot;"),
            // XML takes none within a value (XML 1.0, section 2.3).
            '<' => value.push_str("&lt;"),
            KEPT => value.push('&'),
            letter => value.push(letter),
        }
    }
    value
}

/// The value with every reference replaced by what `with` makes of its letters and of how it is written.
fn replaced(value: &str, with: impl Fn(&str, &str) -> String) -> String {
    if !value.contains('&') {
        return value.to_owned();
    }
    let mut decoded = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = rest.find('&') {
        let (before, here) = rest.split_at(at);
        decoded.push_str(before);
        let Some((letters, length)) = reference(here) else {
            decoded.push('&');
            rest = here.get(1..).unwrap_or_default();
            continue;
        };
        let (written, after) = here.split_at(length);
        decoded.push_str(&with(&letters, written));
        rest = after;
    }
    decoded.push_str(rest);
    decoded
}

/// What the reference at the start of `text` stands for, and how long it is.
fn reference(text: &str) -> Option<(String, usize)> {
    let after = text.strip_prefix('&')?;
    let (letters, length) = match after.strip_prefix('#') {
        Some(number) => numeric(number).map(|(letter, length)| (letter.to_string(), length + 1))?,
        None => named(after)?,
    };
    Some((letters, length + 1))
}

/// The longest name that `text` begins with. Without a semicolon it is none before a letter, digit or `=`.
fn named(text: &str) -> Option<(String, usize)> {
    const LONGEST: usize = 32;
    let letters = text.bytes().take(LONGEST).take_while(u8::is_ascii_alphanumeric).count();
    let end = letters + usize::from(text.as_bytes().get(letters) == Some(&b';'));
    (1..=end).rev().find_map(|length| {
        let name = text.get(..length)?;
        let (first, second) = NAMED_ENTITIES.get(name).copied().filter(|(first, _)| *first != 0)?;
        let follows = text.as_bytes().get(length);
        let goes_on = follows.is_some_and(|byte| *byte == b'=' || byte.is_ascii_alphanumeric());
        if goes_on && !name.ends_with(';') {
            return None;
        }
        let letters = [first, second].into_iter().filter(|code| *code != 0).filter_map(char::from_u32);
        Some((letters.collect(), length))
    })
}

/// A decimal or hexadecimal reference after `&#`, and how long it is.
fn numeric(text: &str) -> Option<(char, usize)> {
    let (digits, radix, skipped) = match text.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16, 1),
        None => (text, 10, 0),
    };
    let length = digits.bytes().take_while(|byte| char::from(*byte).is_digit(radix)).count();
    let digits_alone = digits.get(..length).filter(|digits| !digits.is_empty())?;
    // What is too large for a number is none of Unicode's letters either.
    let letter =
        u32::from_str_radix(digits_alone, radix).ok().filter(|code| *code != 0).and_then(char::from_u32);
    let semicolon = usize::from(digits.as_bytes().get(length) == Some(&b';'));
    Some((letter.unwrap_or(char::REPLACEMENT_CHARACTER), skipped + length + semicolon))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_read_as_in_an_attribute() {
        for (value, expected) in [
            ("a&b", "a&b"),
            ("?a=1&copy=2", "?a=1&copy=2"),
            ("&copy 2", "\u{a9} 2"),
            ("&copy;x", "\u{a9}x"),
            ("&", "&"),
            ("&#", "&#"),
            ("&#x", "&#x"),
            ("&;", "&;"),
            ("&ampx", "&ampx"),
            ("&amp", "&"),
            ("&amp;amp;", "&amp;"),
            ("&colon;&sol;&fjlig;", ":/fj"),
            ("&NotARealName;", "&NotARealName;"),
            ("&#000000000000000047;&#x2F&#47x", "///x"),
            ("&#99999999999;&#0;", "\u{fffd}\u{fffd}"),
            ("&gopf;", "\u{1d558}"),
            // Beside UTF-8 (a wide `n`) the wide `e` is UTF-8, too; beside a byte that is none it is a letter.
            ("\u{ef}\u{bd}\u{17d}&#65349;", "\u{ef}\u{bd}\u{17d}\u{ef}\u{bd}\u{2026}"),
            ("\u{e5}&#65349;", "\u{e5}\u{ff45}"),
        ] {
            assert_eq!(decode(value), expected, "{value}");
        }
    }

    #[test]
    fn markup_comes_back_as_it_was_meant() {
        for (value, markup, back) in [
            ("&lt;p&gt;&#229;&eacute;", "<p>\0#229;\0eacute;", "&lt;p>&#229;&eacute;"),
            ("&amp;lt;&quot;", "&lt;\"", "&amp;lt;&quot;"),
            ("&copy x", "\0copy; x", "&copy; x"),
        ] {
            assert_eq!(decode_markup(value), markup);
            assert_eq!(encode_markup(markup), back);
            assert_eq!(decode(back), decode(value));
        }
    }
}
