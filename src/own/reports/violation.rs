//! What a report says, without what could tell of a person: no query, no fragment, no sample of a script. Pure.

use serde::Deserialize;
use url::Url;

use super::Format;
use crate::filter::html;

/// The most reports of one delivery that are read.
const MOST: usize = 32;

/// The longest path of a page that is told.
const LONGEST: usize = 120;

/// Something that a policy stopped, or would have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// Which of the directives, a word of this program.
    pub(super) directive: &'static str,
    pub(super) blocked: Blocked,
    /// The path of the page.
    pub(super) page: Box<str>,
    /// Whether it was stopped.
    pub(super) is_enforced: bool,
}

/// What was stopped.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    /// Something in the page itself: an inline script, `eval`.
    Inline,
    /// An address without a host, such as `data:`.
    Scheme,
    Address(Url),
}

impl Blocked {
    pub(super) fn host(&self) -> Option<&str> {
        match self {
            Blocked::Address(url) => url.host_str(),
            Blocked::Inline | Blocked::Scheme => None,
        }
    }
}

/// Reads what a browser sent from a page of `host`; nothing where it is no report.
pub(super) fn read(format: Format, bytes: &[u8], host: &str) -> Option<Vec<Violation>> {
    let bodies: Vec<Body> = match format {
        Format::Single => vec![serde_json::from_slice::<Single>(bytes).ok()?.body],
        Format::Many => {
            let all: Vec<Delivered> = serde_json::from_slice(bytes).ok()?;
            let of_policy = all.into_iter().take(MOST).filter(|one| one.kind == "csp-violation");
            of_policy.filter_map(|one| serde_json::from_value(one.body).ok()).collect()
        }
    };
    Some(bodies.into_iter().filter_map(|body| body.violation(host)).collect())
}

#[derive(Deserialize)]
struct Single {
    #[serde(rename = "csp-report")]
    body: Body,
}

#[derive(Deserialize)]
struct Delivered {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    body: serde_json::Value,
}

#[derive(Deserialize)]
struct Body {
    #[serde(alias = "documentURL", alias = "document-uri")]
    document: String,
    #[serde(default, alias = "blockedURL", alias = "blocked-uri")]
    blocked: Option<String>,
    #[serde(default, alias = "effectiveDirective", alias = "effective-directive")]
    effective: Option<String>,
    #[serde(default, rename = "violated-directive")]
    violated: Option<String>,
    #[serde(default)]
    disposition: Option<String>,
}

impl Body {
    fn violation(self, host: &str) -> Option<Violation> {
        // `about:srcdoc` and the like name no page, but are of this one.
        let document = Url::parse(&self.document).ok().filter(|url| url.host_str() == Some(host));
        let page = match &document {
            Some(url) => url.path().chars().take(LONGEST).collect(),
            None if self.document.starts_with("about") || self.document.starts_with("blob") => {
                "about:".into()
            }
            None => return None,
        };
        let directive = self.effective.or(self.violated).unwrap_or_default();
        Some(Violation {
            directive: known(directive.split_ascii_whitespace().next().unwrap_or_default()),
            blocked: blocked(self.blocked.as_deref().unwrap_or_default(), document.as_ref())?,
            page,
            is_enforced: self.disposition.as_deref() != Some("report"),
        })
    }
}

/// What was stopped; nothing where a browser's extension was, which is none of the site's.
fn blocked(written: &str, document: Option<&Url>) -> Option<Blocked> {
    match written {
        "" | "self" => return Some(Blocked::Inline),
        "inline" | "eval" | "wasm-eval" | "trusted-types-policy" | "trusted-types-sink" => {
            return Some(Blocked::Inline);
        }
        _ => {}
    }
    if written.split(':').next().is_some_and(|scheme| scheme.ends_with("-extension")) {
        return None;
    }
    let url = Url::parse(written).or_else(|error| document.ok_or(error)?.join(written)).ok();
    Some(url.and_then(html::plain).map_or(Blocked::Scheme, |mut url| {
        url.set_fragment(None);
        // Neither part is needed to tell whose it is, and both may tell who came.
        let _ = (url.set_username(""), url.set_password(None));
        Blocked::Address(url)
    }))
}

/// The directive, as a word that may be counted.
fn known(directive: &str) -> &'static str {
    const KNOWN: [&str; 20] = [
        "base-uri",
        "child-src",
        "connect-src",
        "default-src",
        "font-src",
        "form-action",
        "frame-ancestors",
        "frame-src",
        "img-src",
        "manifest-src",
        "media-src",
        "object-src",
        "prefetch-src",
        "script-src",
        "script-src-attr",
        "script-src-elem",
        "style-src",
        "style-src-attr",
        "style-src-elem",
        "worker-src",
    ];
    KNOWN.into_iter().find(|known| known.eq_ignore_ascii_case(directive)).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn single(document: &str, blocked: &str) -> Option<Vec<Violation>> {
        let report = serde_json::json!({ "csp-report": {
            "document-uri": document,
            "blocked-uri": blocked,
            "effective-directive": "script-src-elem",
            "violated-directive": "script-src-elem",
            "disposition": "enforce",
            "script-sample": "secret",
        }});
        read(Format::Single, report.to_string().as_bytes(), "www.example.se")
    }

    fn address(url: &str) -> Blocked {
        Blocked::Address(url.parse().unwrap())
    }

    #[test]
    fn both_formats_say_the_same() {
        let many = serde_json::json!([
            { "type": "deprecation", "body": { "id": "x" } },
            { "type": "csp-violation", "age": 1, "url": "https://www.example.se/a?b", "user_agent": "x", "body": {
                "documentURL": "https://www.example.se/a?b=anna%40example.se#c",
                "blockedURL": "https://t.example/x.js?id=1",
                "effectiveDirective": "script-src-elem",
                "disposition": "report",
            }},
        ]);
        let many = read(Format::Many, many.to_string().as_bytes(), "www.example.se").unwrap();
        let expected = |is_enforced| Violation {
            directive: "script-src-elem",
            blocked: address("https://t.example/x.js?id=1"),
            page: "/a".into(),
            is_enforced,
        };
        assert_eq!(many, [expected(false)]);
        let single = single("https://www.example.se/a?b=anna%40example.se#c", "https://t.example/x.js?id=1");
        assert_eq!(single.unwrap(), [expected(true)]);
    }

    #[test]
    fn what_was_stopped_is_read_as_browsers_write_it() {
        for (written, expected) in [
            ("inline", Some(Blocked::Inline)),
            ("eval", Some(Blocked::Inline)),
            ("", Some(Blocked::Inline)),
            ("data", Some(Blocked::Address("https://www.example.se/data".parse().unwrap()))),
            ("data:text/plain,x", Some(Blocked::Scheme)),
            ("blob:https://www.example.se/1", Some(Blocked::Scheme)),
            ("chrome-extension://abc/x.js", None),
            ("moz-extension", None),
            ("https://user:word@t.example./x#y", Some(address("https://t.example/x"))),
            ("wss://t.example", Some(address("wss://t.example/"))),
        ] {
            let found = single("https://www.example.se/", written).unwrap();
            assert_eq!(found.into_iter().next().map(|one| one.blocked), expected, "{written}");
        }
    }

    #[test]
    fn reports_of_other_pages_are_none() {
        assert_eq!(single("https://other.example/", "https://t.example/"), Some(vec![]));
        assert_eq!(single("about:srcdoc", "https://t.example/").unwrap()[0].page, "about:".into());
        assert_eq!(read(Format::Single, b"{}", "www.example.se"), None);
        assert_eq!(read(Format::Many, b"{}", "www.example.se"), None);
        assert_eq!(read(Format::Many, b"[]", "www.example.se"), Some(vec![]));
    }

    #[test]
    fn a_directive_that_nobody_knows_is_one_word() {
        for (written, expected) in [("IMG-SRC", "img-src"), ("made-up-by-a-visitor", "other"), ("", "other")]
        {
            assert_eq!(known(written), expected);
        }
    }

    proptest! {
        #[test]
        fn no_report_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80), document in ".{0,20}", blocked in ".{0,20}") {
            let _ = read(Format::Single, &bytes, "a");
            let _ = read(Format::Many, &bytes, "a");
            let _ = single(&document, &blocked);
        }
    }
}
