//! Text as it may stand in a page of any character set: ASCII alone, the rest as character references.

use std::borrow::Cow;
use std::fmt::Write;

/// Markup with every character beyond ASCII as a character reference.
pub(super) fn markup(markup: &str) -> String {
    let mut out = String::with_capacity(markup.len() + markup.len() / 4);
    for character in markup.chars() {
        push(&mut out, character);
    }
    out
}

/// Text for an attribute in double quotes, or between tags.
pub(super) fn text(text: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !b"&<>\"'".contains(&byte);
    if text.bytes().all(is_plain) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Control characters have no place in markup, and a line break may end a value of another parser.
            _ if character.is_ascii_control() => {}
            _ => push(&mut out, character),
        }
    }
    out.into()
}

/// A JSON value as JavaScript that may stand in a script element (HTML, restrictions for script contents).
pub(super) fn script(value: &serde_json::Value) -> String {
    javascript(&value.to_string().replace('<', "\\u003c"))
}

/// JavaScript with every character beyond ASCII as an escape of its own, and no `</script`.
pub(super) fn javascript(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut units = [0; 2];
    for character in source.chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                // Writing into a String does not fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out.replace("</", "<\\/").replace("<!--", "<\\!--")
}

fn push(out: &mut String, character: char) {
    if character.is_ascii() {
        out.push(character);
    } else {
        // Writing into a String does not fail.
        let _ = write!(out, "&#{};", u32::from(character));
    }
}

/// A source file as it is sent: without indentation, empty lines and lines that are only a remark.
pub(super) fn squeeze(source: &str, line_end: &str) -> String {
    let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//") && !line.starts_with("/*");
    source.lines().map(str::trim).filter(is_code).fold(String::new(), |all, line| all + line + line_end)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_that_leaves_is_beyond_ascii_or_ends_its_element() {
        assert_eq!(markup("<b>å€😀</b>"), "<b>&#229;&#8364;&#128512;</b>");
        assert_eq!(text("/ö?a=1&b=\"'<x>\r\n"), "/&#246;?a=1&amp;b=&quot;&#39;&lt;x&gt;");
        assert_eq!(
            script(&json!({"a": "</script><!--å😀"})),
            r#"{"a":"\u003c/script>\u003c!--\u00e5\ud83d\ude00"}"#
        );
        assert_eq!(javascript("'</script>å'"), "'<\\/script>\\u00e5'");
    }
}
