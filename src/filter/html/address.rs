//! Addresses as browsers read them: references decoded, blanks trimmed, resolved, and looked up.

use url::Url;

use super::State;
use crate::services::Set;

/// What the first look at an address needs to know.
pub(super) struct Ground<'a> {
    services: &'a Set,
    /// Whether services act from the host that relative addresses lead to.
    is_host_known: bool,
}

impl<'a> Ground<'a> {
    pub(super) fn of(state: &'a State) -> Self {
        Ground { services: &state.settings.services, is_host_known: state.is_host_known }
    }

    /// Whether an address, as the page writes it, plainly leads to no service. It takes in only what cannot be read
    /// in two ways; all else is for [`resolve`].
    pub(super) fn is_harmless(&self, address: &[u8]) -> bool {
        let Ok(address) = std::str::from_utf8(address.trim_ascii()) else { return false };
        if address.starts_with("data:") {
            return true;
        }
        let end = address.find(['?', '#']).unwrap_or(address.len());
        let (place, query) = address.split_at(end);
        let after_scheme =
            place.strip_prefix("https:").or_else(|| place.strip_prefix("http:")).unwrap_or(place);
        let (is_known, path) = match after_scheme.strip_prefix("//") {
            Some(rest) => {
                let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (!is_plain_host(host) || self.services.knows_host(host), path)
            }
            // Only the whole of `https:` and what follows is an address of its own.
            None if after_scheme.len() != place.len() => return false,
            None => (self.is_host_known, place),
        };
        !is_known
            && !address.is_empty()
            && path.bytes().all(is_plain)
            && !self.services.knows_place(path, query)
    }
}

fn is_plain_host(host: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    !host.is_empty() && host.bytes().all(is_plain)
}

/// What stands for itself in a path, and neither ends it nor begins something else.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-~%+,@=()!$*".contains(&byte)
}

/// The absolute address that an attribute's value leads to, if it is one of the web.
pub(super) fn resolve(value: &str, base: &Url) -> Option<Url> {
    let decoded = decode(value);
    // The parser drops tab, CR and LF, trims, lower-cases the host and reads `\` as `/`, as browsers do (WHATWG URL).
    let url = base.join(decoded.trim()).ok()?;
    matches!(url.scheme(), "http" | "https" | "ws" | "wss").then_some(url)
}

/// Decodes the character references that an address may be hidden behind (HTML section 13.2.5.72).
pub(super) fn decode(value: &str) -> String {
    const NAMED: [(&str, char); 24] = [
        ("amp", '&'),
        ("AMP", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("colon", ':'),
        ("sol", '/'),
        ("bsol", '\\'),
        ("period", '.'),
        ("comma", ','),
        ("quest", '?'),
        ("equals", '='),
        ("num", '#'),
        ("percnt", '%'),
        ("lowbar", '_'),
        ("hyphen", '\u{2010}'),
        ("dash", '\u{2010}'),
        ("Tab", '\t'),
        ("NewLine", '\n'),
        ("nbsp", '\u{a0}'),
        ("semi", ';'),
        ("commat", '@'),
        ("plus", '+'),
    ];
    if !value.contains('&') {
        return value.to_owned();
    }
    let mut decoded = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('&') {
        decoded.push_str(before);
        let found = match after.strip_prefix('#') {
            Some(number) => numeric(number).map(|(letter, length)| (letter, length + 1)),
            None => NAMED.iter().find_map(|(name, letter)| {
                let follows = after.strip_prefix(name)?;
                let length = name.len() + usize::from(follows.starts_with(';'));
                // Only the oldest names work without a semicolon.
                (follows.starts_with(';') || matches!(*name, "amp" | "AMP" | "lt" | "gt" | "quot"))
                    .then_some((*letter, length))
            }),
        };
        match found {
            Some((letter, length)) => {
                decoded.push(letter);
                rest = after.get(length..).unwrap_or_default();
            }
            None => {
                decoded.push('&');
                rest = after;
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

/// A decimal or hexadecimal reference after `&#`, and how long it is.
fn numeric(text: &str) -> Option<(char, usize)> {
    let (digits, radix, skipped) = match text.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16, 1),
        None => (text, 10, 0),
    };
    let length = digits.bytes().take_while(|byte| char::from(*byte).is_digit(radix)).count();
    let value = u32::from_str_radix(digits.get(..length)?, radix).ok()?;
    let semicolon = usize::from(digits.as_bytes().get(length) == Some(&b';'));
    Some((char::from_u32(value).unwrap_or(char::REPLACEMENT_CHARACTER), skipped + length + semicolon))
}

/// Every address of a `srcset` (HTML section 4.8.4.2.1).
pub(super) fn of_srcset(value: &str) -> impl Iterator<Item = &str> {
    value.split(|letter: char| letter == ',' || letter.is_ascii_whitespace()).filter(|part| !part.is_empty())
}

/// The address of a `meta` refresh, such as `5; url=/next`.
pub(super) fn of_refresh(content: &str) -> Option<&str> {
    let (_, rest) = content.split_once([';', ','])?;
    let rest = rest.trim_start();
    let address = match rest.get(..3) {
        Some(word) if word.eq_ignore_ascii_case("url") => {
            rest.get(3..)?.trim_start().strip_prefix('=')?.trim_start()
        }
        _ => rest,
    };
    Some(address.trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_spelling_hides_a_host() {
        let base: Url = "https://www.example.se/a/b.html".parse().unwrap();
        for value in [
            "https://t.example/x.js",
            "//t.example/x.js",
            "  HTTPS://T.EXAMPLE/x.js\n",
            "https&#58;&#x2f;&sol;t.example/x.js",
            "https://t&period;example&#47;x.js",
            "ht\ttps://t.exa\nmple/x.js",
            "https:\\\\t.example\\x.js",
            "&#104;ttps://t.example/x.js",
        ] {
            let url = resolve(value, &base).unwrap_or_else(|| panic!("{value}"));
            assert_eq!(url.host_str(), Some("t.example"), "{value}");
        }
        assert_eq!(resolve("data:text/plain,x", &base), None);
        assert_eq!(resolve("x.js", &base).unwrap().as_str(), "https://www.example.se/a/x.js");
    }

    #[test]
    fn what_is_no_reference_stays() {
        for text in ["a&b", "?a=1&copy=2", "&", "&#", "&#x", "&;", "&ampx"] {
            let decoded = decode(text);
            assert!(decoded.contains('&'), "{text} became {decoded}");
        }
    }

    #[test]
    fn a_refresh_leads_where_its_content_says() {
        for (content, expected) in [
            ("0;url=/x", Some("/x")),
            ("5; URL='http://t/'", Some("http://t/")),
            ("5", None),
            ("1,/y", Some("/y")),
        ] {
            assert_eq!(of_refresh(content), expected);
        }
    }
}
