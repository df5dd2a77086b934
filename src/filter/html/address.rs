//! Addresses as browsers read them: references decoded, blanks trimmed, resolved, and looked up.

use std::borrow::Cow;

use url::Url;

use super::{State, references};
use crate::services::{Service, Set};

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
    /// in two ways; all else is for [`candidates`].
    pub(super) fn is_harmless(&self, address: &[u8]) -> bool {
        let Ok(address) = std::str::from_utf8(address.trim_ascii()) else { return false };
        if let Some(kind) = address.strip_prefix("data:") {
            // A picture loads nothing, unless it is one of SVG.
            return ["image/", "font/", "audio/", "video/"].iter().any(|start| kind.starts_with(start))
                && !kind.starts_with("image/svg");
        }
        let end = address.bytes().position(|byte| matches!(byte, b'?' | b'#'));
        let (place, query) = address.split_at(end.unwrap_or(address.len()));
        let after_scheme =
            place.strip_prefix("https:").or_else(|| place.strip_prefix("http:")).unwrap_or(place);
        let (is_known, path) = match after_scheme.strip_prefix("//") {
            Some(rest) => {
                let end = rest.bytes().position(|byte| byte == b'/');
                let (host, path) = rest.split_at(end.unwrap_or(rest.len()));
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
    !host.is_empty() && !host.ends_with('.') && host.bytes().all(is_plain)
}

/// What stands for itself in a path, and neither ends it nor begins something else.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'/' | b'.' | b'_' | b'-' | b'~' | b'+' | b',' | b'@' | b'=' | b'(' | b')' | b'!' | b'$' | b'*'
        )
}

/// The absolute addresses that an attribute's value may lead to, if they are of the web: one for each base and each
/// reading of its bytes.
pub(super) fn candidates<'a>(
    value: &'a str,
    bases: impl Iterator<Item = &'a Url> + Clone + 'a,
) -> impl Iterator<Item = Url> + 'a {
    let decoded = references::decode(value);
    let readings = [as_utf8(&decoded), Some(decoded)];
    readings.into_iter().flatten().flat_map(move |reading| {
        let reading = with_two_slashes(&reading);
        bases.clone().filter_map(move |base| plain(base.join(&reading).ok()?)).collect::<Vec<_>>()
    })
}

/// The services that an attribute's value may lead to, with the addresses that do.
pub(super) fn identified<'a, 's>(
    state: &'a State,
    services: &'s Set,
    value: &'a str,
) -> impl Iterator<Item = (&'s Service, Url)> {
    let ground = Ground { services, is_host_known: state.is_host_known };
    let value = (!ground.is_harmless(value.as_bytes())).then_some(value);
    let candidates = value.into_iter().flat_map(|value| candidates(value, state.bases()));
    candidates.filter_map(|url| Some((services.identify_url(&url)?, url)))
}

/// The address with no more than two slashes at its beginning: browsers skip what is more, the parser does not.
fn with_two_slashes(address: &str) -> Cow<'_, str> {
    let address = address.trim_matches(|letter: char| letter <= ' ');
    if !address.starts_with(['/', '\\']) {
        return address.into();
    }
    let address: String = address.chars().filter(|letter| !matches!(letter, '\t' | '\r' | '\n')).collect();
    let rest = address.trim_start_matches(['/', '\\']);
    if address.len() - rest.len() < 2 { address.into() } else { format!("//{rest}").into() }
}

/// The absolute address that an attribute's value leads to, if it is one of the web.
pub(super) fn resolve(value: &str, base: &Url) -> Option<Url> {
    candidates(value, std::iter::once(base)).last()
}

/// The address by which services are known. The parser has dropped tab, CR and LF, trimmed, lower-cased the host and
/// read `\` as `/`, as browsers do (WHATWG URL); what it leaves as it is and servers do not tell apart is made alike.
pub fn plain(mut url: Url) -> Option<Url> {
    if !matches!(url.scheme(), "http" | "https" | "ws" | "wss") {
        return None;
    }
    // `example.com.` is the same host, by its absolute name.
    if let Some(host) = url.host_str().and_then(|host| host.strip_suffix('.')).map(str::to_owned) {
        url.set_host(Some(host.trim_end_matches('.'))).ok()?;
    }
    // `%67a.js` is `ga.js` (RFC 3986 section 6.2.2.2).
    if url.path().contains('%') {
        let path = with_plain_letters(url.path());
        url.set_path(&path);
    }
    Some(url)
}

fn with_plain_letters(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let byte = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(byte)) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                plain.push('%');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

/// The same bytes as UTF-8, where that reads otherwise: a page is read letter by byte.
fn as_utf8(text: &str) -> Option<String> {
    if text.is_ascii() {
        return None;
    }
    let (bytes, _, had_errors) = encoding_rs::WINDOWS_1252.encode(text);
    (!had_errors).then(|| String::from_utf8(bytes.into_owned()).ok()).flatten()
}

/// Every address of a list, whatever parts it: of a `srcset` (HTML section 4.8.4.2.1), a `ping`, a loader's own.
pub(super) fn of_list(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(|letter: char| {
            matches!(letter, ',' | ';' | '"' | '\'' | '[' | ']') || letter.is_ascii_whitespace()
        })
        .filter(|part| !part.is_empty())
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
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_spelling_hides_a_host() {
        let base: Url = "https://www.example.se/a/b.html".parse().unwrap();
        for value in [
            "https://t.example/x.js",
            "//t.example/x.js",
            "///t.example/x.js",
            "/\t/\\//t.example/x.js",
            "https:///t.example/x.js",
            "  HTTPS://T.EXAMPLE/x.js\n",
            "\u{1}\u{1f} https://t.example/x.js \u{0}",
            "https&#58;&#x2f;&sol;t.example/x.js",
            "https://t&period;example&#47;x.js",
            "ht\ttps://t.exa\nmple/x.js",
            "https:\\\\t.example\\x.js",
            "/\\t.example/x.js",
            "http:t.example/x.js",
            "&#104;ttps://t.example/x.js",
            "https://user:word@t.example/x.js",
            "https://www.example.se@t.example/x.js",
            "https://t.example./x.js",
            "https://t.example:443/x.js",
            "https://t.example:8443/x.js",
            "https://t%2eexample/x.js",
            "https://%74.example/x.js",
            "https://t\u{3002}example/x.js",
            "https://\u{ff54}.example/x.js",
            "https://&tscr;.example/x.js",
            "https://t.exam&shy;ple/x.js",
            // Fullwidth letters, as a page in UTF-8 has them, read letter by byte.
            "https://\u{ef}\u{bd}\u{201d}.example/x.js",
            "https://t.example/%78.js",
            "https://t.example/a/../x.js",
            "https://t.example/a/%2e%2e/x.js",
        ] {
            let found: Vec<Url> = candidates(value, std::iter::once(&base)).collect();
            let is_found =
                found.iter().any(|url| url.host_str() == Some("t.example") && url.path() == "/x.js");
            assert!(is_found, "{value:?} {found:?}");
        }
        assert_eq!(resolve("data:text/plain,x", &base), None);
        assert_eq!(resolve("x.js", &base).unwrap().as_str(), "https://www.example.se/a/x.js");
    }

    #[test]
    fn every_base_counts() {
        let bases = ["https://www.example.se/", "https://cdn.example/lib/"].map(|base| base.parse().unwrap());
        let found: Vec<String> = candidates("x.js", bases.iter()).map(|url| url.to_string()).collect();
        assert_eq!(found, ["https://www.example.se/x.js", "https://cdn.example/lib/x.js"]);
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

    proptest! {
        #[test]
        fn what_looks_harmless_belongs_to_nobody(
            parts in proptest::collection::vec(proptest::sample::select(&PARTS[..]), 0..8),
        ) {
            let base: Url = "https://www.example.se/a/b.html".parse().unwrap();
            let (value, services) = (parts.concat(), Set::default());
            let ground = Ground { services: &services, is_host_known: services.knows_host("www.example.se") };
            if ground.is_harmless(value.as_bytes()) {
                let found = candidates(&value, std::iter::once(&base))
                    .find_map(|url| Some((services.identify_url(&url)?.id.clone(), url)));
                prop_assert_eq!(found, None);
            }
        }
    }

    const PARTS: [&str; 40] = [
        "https:",
        "http:",
        "HTTPS:",
        "data:image/png,",
        "data:",
        "//",
        "/",
        "/",
        "\\",
        ":",
        "@",
        "?",
        "#",
        ".",
        "..",
        "%67",
        "&amp;",
        "&#47;",
        "&",
        " ",
        "\t",
        "\u{e5}",
        "www.google-analytics.com",
        "googletagmanager.com",
        "www.",
        "images.news.example",
        "www.example.se",
        "ga.js",
        "gtag/js",
        "g/collect",
        "gtm.js",
        "id=G-1",
        "id=GTM-1",
        "cdn-cgi/zaraz/",
        "b/ss/",
        "matomo.php",
        "a.png",
        "t",
        "zaraz/s.js",
        "x",
    ];
}
