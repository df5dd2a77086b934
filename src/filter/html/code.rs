//! Inline code: whether it loads or creates a service that may not act, or only calls one, which its stub answers.
//! Pure. When in doubt, it is held.

mod calls;
mod statements;

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// What becomes of an inline script.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<T> {
    /// It runs: no service that may not act is loaded or created by it.
    Runs,
    /// All of it is held.
    Held(T, Why),
    /// The site's own statements run, those of the service are held.
    Parted {
        /// Whose statements are held.
        service: T,
        /// What runs.
        runs: String,
        /// What is held.
        held: String,
    },
}

/// Why all of a script is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Nothing in it is the site's own.
    Whole,
    /// It cannot be told which of its statements are the site's own.
    Unreadable,
    /// The site's own statements need what the service's declare, or could load it themselves.
    Entangled,
}

impl<T> Verdict<T> {
    /// The same verdict with what `of` makes of its service; none where that makes nothing.
    pub(super) fn with<U>(&self, of: impl FnOnce(&T) -> Option<U>) -> Option<Verdict<U>> {
        Some(match self {
            Verdict::Runs => Verdict::Runs,
            Verdict::Held(service, why) => Verdict::Held(of(service)?, *why),
            Verdict::Parted { service, runs, held } => {
                Verdict::Parted { service: of(service)?, runs: runs.clone(), held: held.clone() }
            }
        })
    }
}

/// What a script can be asked.
pub(super) trait Catalogue {
    /// A service.
    type Service: Copy;
    /// The services that may not act and whose text stands in `code`; the one that is held for comes first.
    fn find(&self, code: &str) -> Vec<Self::Service>;
    /// The globals of a service that have a stub while it is held.
    fn globals(&self, service: Self::Service) -> Vec<&str>;
    /// Whether an address leads to a service that may not act.
    fn leads_to_held(&self, address: &str) -> bool;
}

/// How browsers read a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Classic,
    Module,
}

/// Judges an inline script.
pub(super) fn judge<C: Catalogue>(code: &str, kind: Kind, catalogue: &C) -> Verdict<C::Service> {
    let found = catalogue.find(code);
    if found.is_empty() {
        return Verdict::Runs;
    }
    let globals: Vec<&str> = found.iter().flat_map(|service| catalogue.globals(*service)).collect();
    let without_calls = calls::masked(code, &globals);
    let Some(service) = catalogue.find(&without_calls).into_iter().next() else { return Verdict::Runs };
    let all = match (statements::split(code), kind) {
        (Some(all), Kind::Classic) => all,
        (None, Kind::Classic) | (_, Kind::Module) => return Verdict::Held(service, Why::Unreadable),
    };
    let is_theirs = |place: &Range<usize>| {
        let masked = without_calls.get(place.clone()).unwrap_or_default();
        let written = code.get(place.clone()).unwrap_or_default();
        !catalogue.find(masked).is_empty()
            || addresses(written).any(|address| catalogue.leads_to_held(address))
    };
    let (theirs, own): (Vec<_>, Vec<_>) = all.into_iter().partition(is_theirs);
    if own.is_empty() {
        return Verdict::Held(service, Why::Whole);
    }
    if theirs.is_empty() || is_entangled(code, &theirs, &own, &globals) {
        return Verdict::Held(service, Why::Entangled);
    }
    let (runs, held) = parted(code, &theirs);
    // What is found in the whole and in no part stands across them.
    if !catalogue.find(&calls::masked(&runs, &globals)).is_empty() {
        return Verdict::Held(service, Why::Entangled);
    }
    Verdict::Parted { service, runs, held }
}

/// The first service that the code of an event handler or of a `javascript:` address loads or creates.
pub(super) fn judge_handler<C: Catalogue>(code: &str, catalogue: &C) -> Option<C::Service> {
    if !can_load(code.as_bytes()) {
        return None;
    }
    match judge(code, Kind::Classic, catalogue) {
        Verdict::Runs => None,
        Verdict::Held(service, _) | Verdict::Parted { service, .. } => Some(service),
    }
}

/// Whether a handler, as the page writes it, plainly loads nothing.
pub(super) fn is_harmless(code: &[u8]) -> bool {
    !code.contains(&b'&') && !can_load(code)
}

/// Whether code has a means to load anything.
fn can_load(code: &[u8]) -> bool {
    static MEANS: LazyLock<AhoCorasick> = LazyLock::new(|| {
        let words = [
            "createElement",
            "document.write",
            "Image",
            ".src",
            "'src'",
            "\"src\"",
            "HTML",
            "import",
            "fetch",
            "XMLHttp",
            "sendBeacon",
            "jax",
            "cript",
            "eval",
            "Function",
            "append",
            "insert",
            "Worker",
            "Socket",
            "EventSource",
            "href",
            "setAttribute",
            "attr(",
            "open(",
            "location",
            "load",
            "clone",
            "[",
        ];
        AhoCorasick::new(words).expect("the words of the program are few")
    });
    MEANS.is_match(code)
}

/// Whether the site's own statements need what the service's declare, or hide what they do.
fn is_entangled(code: &str, theirs: &[Range<usize>], own: &[Range<usize>], globals: &[&str]) -> bool {
    static HIDES: LazyLock<AhoCorasick> = LazyLock::new(|| {
        let words = ["eval", "Function(", "unescape", "atob", "fromCharCode", "decodeURI", "document.write"];
        AhoCorasick::new(words).expect("the words of the program are few")
    });
    let text = |place: &Range<usize>| code.get(place.clone()).unwrap_or_default();
    let declared: HashSet<&str> = theirs
        .iter()
        .flat_map(|place| statements::declared(text(place)))
        .filter(|name| !globals.contains(name))
        .collect();
    own.iter()
        .map(text)
        .any(|own| HIDES.is_match(own) || statements::names(own).any(|name| declared.contains(name)))
}

/// The code without these places, and what stood there.
fn parted(code: &str, theirs: &[Range<usize>]) -> (String, String) {
    let (mut runs, mut held, mut at) = (String::with_capacity(code.len()), String::new(), 0);
    for place in theirs {
        runs.push_str(code.get(at..place.start).unwrap_or_default());
        if !held.is_empty() {
            held.push('\n');
        }
        held.push_str(code.get(place.clone()).unwrap_or_default());
        at = place.end;
    }
    runs.push_str(code.get(at..).unwrap_or_default());
    (runs, held)
}

/// The absolute addresses in the strings of code.
fn addresses(code: &str) -> impl Iterator<Item = &str> {
    code.match_indices("//").filter_map(|(at, _)| {
        let before = code.get(..at)?;
        let start = before.rfind(['"', '\'', '`']).map_or(0, |quote| quote + 1);
        let start = if before.get(start..).is_some_and(|scheme| matches!(scheme, "" | "http:" | "https:")) {
            start
        } else {
            return None;
        };
        let rest = code.get(start..)?;
        let end = rest.find(['"', '\'', '`', '\\', ' ', '\n']).unwrap_or(rest.len());
        rest.get(..end)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Known;

    impl Catalogue for Known {
        type Service = &'static str;

        fn find(&self, code: &str) -> Vec<&'static str> {
            const SIGNS: [(&str, &str); 12] = [
                ("_gaq.push(", "ga"),
                ("google-analytics.com/", "ga"),
                ("gtag('config'", "ga"),
                ("gtag('js'", "ga"),
                ("ga('create'", "ga"),
                ("gaJsHost", "ga"),
                ("pageTracker._", "ga"),
                ("gtm.start", "gtm"),
                ("fbq(", "meta"),
                ("_paq =", "matomo"),
                ("_paq.push(", "matomo"),
                ("Dark.go(", "dark"),
            ];
            let mut found: Vec<_> =
                SIGNS.iter().filter(|(sign, _)| code.contains(sign)).map(|(_, id)| *id).collect();
            found.dedup();
            found
        }

        fn globals(&self, service: &'static str) -> Vec<&str> {
            match service {
                "ga" => vec!["ga", "_gaq", "gtag", "dataLayer", "pageTracker"],
                "gtm" => vec!["dataLayer"],
                "meta" => vec!["fbq"],
                "matomo" => vec!["_paq"],
                _ => vec![],
            }
        }

        fn leads_to_held(&self, address: &str) -> bool {
            address.contains("tracker.example")
        }
    }

    fn judged(code: &str) -> String {
        match judge(code, Kind::Classic, &Known) {
            Verdict::Runs => "runs".into(),
            Verdict::Held(service, why) => format!("{service} {}", format!("{why:?}").to_lowercase()),
            Verdict::Parted { runs, held, .. } => format!("{} | {held}", runs.trim()),
        }
    }

    #[test]
    fn only_what_loads_or_creates_a_service_is_held() {
        for (code, expected) in [
            ("console.log(1)", "runs"),
            // Calls alone: the stubs answer.
            ("_gaq.push(['_trackEvent', 'a', 'b']);", "runs"),
            ("window._gaq.push( [ \"b._trackPageview\" ] )", "runs"),
            ("gtag('event', 'x'); buy()", "runs"),
            ("fbq('track', 'Purchase', {value: 1}); done();", "runs"),
            ("var _paq = window._paq || []; _paq.push(['trackEvent','a']);", "runs"),
            ("pageTracker._trackPageview('/x');", "runs"),
            // What creates.
            (
                "ga('create', 'UA-1', 'auto'); ga('send', 'pageview');",
                "ga('send', 'pageview'); | ga('create', 'UA-1', 'auto');",
            ),
            ("gtag('config', 'G-1');", "ga whole"),
            ("fbq('init', '1');", "meta whole"),
            ("_gaq.push(['_setAccount', 'UA-1']);", "ga whole"),
            // A service without a stub.
            ("Dark.go('track')", "dark whole"),
            // The snippets as they are pasted.
            (
                "var _gaq = _gaq || [];\n_gaq.push(['_setAccount', 'UA-1']);\n_gaq.push(['_trackPageview']);\n\
                 (function() {\n  var ga = document.createElement('script'); ga.async = true;\n  ga.src = \
                 ('https:' == document.location.protocol ? 'https://ssl' : 'http://www') + '.google-analytics.com/ga.js';\n\
                 var s = document.getElementsByTagName('script')[0]; s.parentNode.insertBefore(ga, s);\n})();",
                "var _gaq = _gaq || [];\n\n_gaq.push(['_trackPageview']); | _gaq.push(['_setAccount', 'UA-1']);\n\
                 (function() {\n  var ga = document.createElement('script'); ga.async = true;\n  ga.src = \
                 ('https:' == document.location.protocol ? 'https://ssl' : 'http://www') + '.google-analytics.com/ga.js';\n\
                 var s = document.getElementsByTagName('script')[0]; s.parentNode.insertBefore(ga, s);\n})();",
            ),
            (
                "(function(w,d,s,l,i){w[l]=w[l]||[];w[l].push({'gtm.start':1});})(window,document,'script','dataLayer','GTM-1');\n\
                 menu.init();",
                "menu.init(); | (function(w,d,s,l,i){w[l]=w[l]||[];w[l].push({'gtm.start':1});})(window,document,'script','dataLayer','GTM-1');",
            ),
            (
                "window.dataLayer = window.dataLayer || [];\nfunction gtag(){dataLayer.push(arguments);}\ngtag('js', new Date());\n\ngtag('config', 'G-1');\nfunction cart() { return 1 }\n",
                "window.dataLayer = window.dataLayer || [];\nfunction gtag(){dataLayer.push(arguments);}\n\n\n\nfunction cart() { return 1 } | gtag('js', new Date());\ngtag('config', 'G-1');",
            ),
            // The site's own code in between, with lines that need no semicolon.
            (
                "init()\nfbq('init', '1')\nshow(a / b, /;'/)\n",
                "init()\n\nshow(a / b, /;'/) | fbq('init', '1')",
            ),
            (
                "if (shop) { open() } else { close() }\nfbq('init','1');",
                "if (shop) { open() } else { close() } | fbq('init','1');",
            ),
            // An address of theirs in another statement.
            (
                "fbq('init','1');\nnew Image().src='//tracker.example/x';\nown();",
                "own(); | fbq('init','1');\nnew Image().src='//tracker.example/x';",
            ),
            // The site's own code needs what theirs declares, or hides what it does.
            ("var host = gaJsHost; load(host);", "ga entangled"),
            ("fbq('init','1'); document.write(x);", "meta entangled"),
            ("fbq('init','1'); eval(y);", "meta entangled"),
            // What cannot be read.
            ("fbq('init','1'); own(';", "meta unreadable"),
            ("fbq('init','1'); own(", "meta unreadable"),
            ("if (a)\nfbq('init','1')\nelse own()", "meta whole"),
        ] {
            assert_eq!(judged(code), expected, "{code}");
        }
    }

    #[test]
    fn a_module_is_never_parted() {
        let verdict = judge("import a from './a.js'; fbq('init','1');", Kind::Module, &Known);
        assert_eq!(verdict, Verdict::Held("meta", Why::Unreadable));
    }

    #[test]
    fn a_handler_is_held_for_what_it_loads() {
        for (code, expected) in [
            ("_gaq.push(['_trackEvent','a']); return true", None),
            ("pageTracker._initData()", None),
            ("this.src='//www.google-analytics.com/x.gif'", Some("ga")),
            (
                "var s=document.createElement('script');s.src='https://www.google-analytics.com/ga.js'",
                Some("ga"),
            ),
            ("go()", None),
        ] {
            assert_eq!(judge_handler(code, &Known), expected, "{code}");
        }
    }

    proptest! {
        #[test]
        fn no_code_panics_and_none_is_lost(
            code in "(fbq\\('init'\\)|own\\(\\)|;|\n|'|\"|`|\\$\\{|\\}|\\{|\\(|\\)|/|\\*|//|/\\*|\\*/|\\\\|if|else|var a=|,|\u{e5}| |<!--|-->){0,40}"
        ) {
            match judge(&code, Kind::Classic, &Known) {
                Verdict::Parted { runs, held, .. } => {
                    prop_assert!(!runs.contains("fbq('init')") || calls::masked(&runs, &["fbq"]) == runs);
                    prop_assert!(runs.len() + held.len() >= code.len());
                }
                Verdict::Runs => prop_assert!(!code.contains("fbq('init')")),
                Verdict::Held(..) => {}
            }
        }
    }
}
