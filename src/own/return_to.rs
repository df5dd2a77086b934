//! The way back after a form: a path on this site, whatever was sent (CWE-601).

use percent_encoding::percent_decode;
use url::{Position, Url};

/// The longest way back that is followed; others lead to the front page.
const LONGEST: usize = 4096;

/// The way back that `value` names, in the form that browsers give it; none where it could lead off this site.
pub fn local(value: &str) -> Option<Box<str>> {
    // Browsers drop tabs and line ends from addresses, and read a backslash as a slash.
    let is_bad = |character: char| character.is_control() || character == '\\';
    if value.len() > LONGEST || !value.starts_with('/') || value.contains(is_bad) {
        return None;
    }
    let path = value.split(['?', '#']).next().unwrap_or_default();
    if is_deceitful(path) {
        return None;
    }
    let here = Url::parse("http://here.invalid/").ok()?;
    let there = here.join(value).ok()?;
    let stays = there.origin() == here.origin() && there.username().is_empty() && there.password().is_none();
    (stays && !is_deceitful(there.path())).then(|| there[Position::BeforePath..].into())
}

/// The path and query of an address on the origin `scheme://authority`, such as a `Referer`.
pub(super) fn within(address: &str, scheme: &str, authority: &str) -> Option<Box<str>> {
    let rest = address.strip_prefix(scheme)?.strip_prefix("://")?;
    let path = rest.get(..authority.len()).filter(|host| host.eq_ignore_ascii_case(authority))?;
    local(rest.get(path.len()..)?)
}

/// Whether a server that decodes a path once more than it should would read it as another host's address.
fn is_deceitful(path: &str) -> bool {
    let mut decoded = path.as_bytes().to_vec();
    loop {
        let has_bad = decoded.iter().any(|byte| byte.is_ascii_control() || *byte == b'\\');
        if has_bad || decoded.starts_with(b"//") {
            return true;
        }
        let next: Vec<u8> = percent_decode(&decoded).collect();
        if next == decoded {
            return false;
        }
        decoded = next;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_on_this_site_is_followed() {
        for (value, expected) in [
            ("/", "/"),
            ("/a/b?c=d&e=%2F#f", "/a/b?c=d&e=%2F#f"),
            ("/konto/?next=//e.example", "/konto/?next=//e.example"),
            ("/a?b=\"<c>", "/a?b=%22%3Cc%3E"),
            ("/å ä", "/%C3%A5%20%C3%A4"),
            ("/%E5", "/%E5"),
            ("/@e.example", "/@e.example"),
            ("/a//b", "/a//b"),
            ("/a/../b", "/b"),
            ("/a:b", "/a:b"),
            ("/javascript:x", "/javascript:x"),
            ("/100%", "/100%"),
        ] {
            assert_eq!(local(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn nothing_leads_off_this_site() {
        let lines = include_str!("../../tests/fixtures/gates/returns.jsonl");
        let corpus: Vec<String> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(corpus.len() >= 60, "{}", corpus.len());
        for value in corpus {
            assert_eq!(local(&value), None, "{value:?}");
        }
        assert_eq!(local(&format!("/{}", "a".repeat(LONGEST))), None);
    }

    #[test]
    fn an_address_of_this_origin_is_a_way_back() {
        for (address, expected) in [
            ("https://www.example.se/a?b=c", Some("/a?b=c")),
            ("https://WWW.example.se/a", Some("/a")),
            ("http://www.example.se/a", None),
            ("https://www.example.se.e.example/a", None),
            ("https://www.example.se:444/a", None),
            ("https://e.example/a", None),
            ("https://www.example.se//e.example", None),
            ("https://www.example.se", None),
            ("", None),
        ] {
            assert_eq!(within(address, "https", "www.example.se").as_deref(), expected, "{address}");
        }
    }

    proptest! {
        #[test]
        fn c45_no_value_leads_off_this_site(value in "[/\\\\.%a-f0-9:@?#\t\n ]{0,24}") {
            if let Some(path) = local(&value) {
                let there = Url::parse("https://site.example/x/y").unwrap().join(&path).unwrap();
                prop_assert_eq!(there.host_str(), Some("site.example"));
                prop_assert_eq!(local(&path), Some(path));
            }
        }
    }
}
