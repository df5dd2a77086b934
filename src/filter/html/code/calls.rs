//! Calls that only tell a service something: its stub takes them while it is held, and the page goes on.

use std::borrow::Cow;
use std::ops::Range;

/// What may be called of one global.
struct Calls {
    global: &'static str,
    /// The first argument of the function, or of what is pushed.
    words: &'static [&'static str],
    /// Its methods.
    methods: &'static [&'static str],
}

/// A word that ends in `*` covers all that begin so.
const CALLS: &[Calls] = &[
    Calls { global: "ga", words: &["send", "set", "require", "provide", "remove", "e*:*"], methods: &[] },
    Calls { global: "__gaTracker", words: &["send", "set", "require"], methods: &[] },
    Calls { global: "gtag", words: &["event", "set", "consent", "get"], methods: &[] },
    Calls {
        global: "_gaq",
        words: &[
            "_track*",
            "_link*",
            "_add*",
            "_delete*",
            "_setCustomVar",
            "_setDomainName",
            "_setAllow*",
            "_gat.*",
            "_anonymizeIp",
            "_setSiteSpeedSampleRate",
            "_set",
        ],
        methods: &[],
    },
    Calls { global: "pageTracker", words: &[], methods: &["_track*", "_link*", "_add*", "_set*", "_init*"] },
    Calls { global: "fbq", words: &["track*", "consent", "set"], methods: &[] },
    Calls {
        global: "_paq",
        words: &[
            "track*",
            "enable*",
            "disable*",
            "add*",
            "clear*",
            "remember*",
            "forget*",
            "require*",
            "delete*",
            "setCustom*",
            "setDocumentTitle",
            "setEcommerceView",
            "setUserId",
            "resetUserId",
            "setDoNotTrack",
            "setConsentGiven",
            "setCookieConsentGiven",
            "optUserOut",
        ],
        methods: &[],
    },
    Calls { global: "ttq", words: &[], methods: &["track*", "identify", "page"] },
    Calls { global: "pintrk", words: &["track", "page", "set"], methods: &[] },
    Calls { global: "twq", words: &["track", "event"], methods: &[] },
    Calls { global: "snaptr", words: &["track"], methods: &[] },
    Calls { global: "rdt", words: &["track"], methods: &[] },
    Calls { global: "lintrk", words: &["track"], methods: &[] },
    Calls { global: "uetq", words: &["event", "consent", "set"], methods: &[] },
    Calls { global: "clarity", words: &["set", "event", "identify", "consent*", "upgrade"], methods: &[] },
    Calls {
        global: "hj",
        words: &["event", "stateChange", "trigger", "tagRecording", "vpv", "identify"],
        methods: &[],
    },
    Calls {
        global: "ym",
        words: &["reachGoal", "hit", "params", "userParams", "extLink", "file"],
        methods: &[],
    },
    Calls { global: "Intercom", words: &["update", "show*", "hide", "trackEvent", "shutdown"], methods: &[] },
    Calls { global: "plausible", words: &["*"], methods: &[] },
    Calls { global: "umami", words: &[], methods: &["track", "identify"] },
    Calls {
        global: "mixpanel",
        words: &[],
        methods: &["track*", "identify", "register*", "time_event", "alias"],
    },
    Calls {
        global: "amplitude",
        words: &[],
        methods: &["track", "logEvent", "identify", "setUser*", "revenue"],
    },
    Calls { global: "posthog", words: &[], methods: &["capture", "identify", "register", "group"] },
    Calls {
        global: "heap",
        words: &[],
        methods: &["track", "identify", "addUserProperties", "addEventProperties"],
    },
    Calls { global: "analytics", words: &[], methods: &["track*", "page", "identify", "group", "alias"] },
    Calls {
        global: "FS",
        words: &["trackEvent", "setProperties", "setIdentity"],
        methods: &["event", "identify", "setUserVars"],
    },
    Calls { global: "_hsq", words: &["track*", "identify", "setPath"], methods: &[] },
    Calls { global: "_learnq", words: &["track", "identify", "viewed*"], methods: &[] },
];

/// `code` with such calls of these globals, and with empty queues for them, made blank: what is left loads or creates.
pub(super) fn masked<'a>(code: &'a str, globals: &[&str]) -> Cow<'a, str> {
    let mut places: Vec<Range<usize>> = globals.iter().flat_map(|global| calls_of(code, global)).collect();
    if places.is_empty() {
        return code.into();
    }
    places.sort_by_key(|place| place.start);
    let (mut masked, mut at) = (String::with_capacity(code.len()), 0);
    for place in places {
        // Of two that overlap, the first is blank already.
        let start = place.start.max(at);
        masked.push_str(code.get(at..start).unwrap_or_default());
        masked.extend(std::iter::repeat_n(' ', place.end.saturating_sub(start)));
        at = place.end.max(at);
    }
    masked.push_str(code.get(at..).unwrap_or_default());
    masked.into()
}

/// Where the heads of such calls of one global stand.
fn calls_of<'a>(code: &'a str, global: &'a str) -> impl Iterator<Item = Range<usize>> + 'a {
    let calls = CALLS.iter().find(|calls| calls.global == global);
    code.match_indices(global).filter_map(move |(at, _)| {
        let before = code.get(..at).and_then(|before| before.chars().next_back());
        if before.is_some_and(is_of_name) {
            return None;
        }
        let rest = code.get(at + global.len()..)?;
        let length = calls.and_then(|calls| calls.head(rest)).or_else(|| empty_queue(rest, global))?;
        Some(at..at + global.len() + length)
    })
}

impl Calls {
    /// How long the head of a call is that `rest` begins with, behind the global's name.
    fn head(&self, rest: &str) -> Option<usize> {
        let mut left = rest.trim_start();
        if let Some(after) = left.strip_prefix('.') {
            let method = name(after);
            left = after.get(method.len()..)?.trim_start().strip_prefix('(')?;
            if method != "push" {
                return covers(self.methods, method).then(|| rest.len() - left.len());
            }
        } else {
            left = left.strip_prefix('(')?;
        }
        left = left.trim_start();
        left = left.strip_prefix('[').unwrap_or(left).trim_start();
        // Some want the number of their counter first.
        let digits = left.trim_start_matches(|letter: char| letter.is_ascii_digit());
        if digits.len() < left.len() {
            left = digits.trim_start().strip_prefix(',')?.trim_start();
        }
        let quote = left.chars().next().filter(|letter| matches!(letter, '"' | '\''))?;
        let (word, after) = left.get(1..)?.split_once(quote)?;
        // `other._trackEvent` tells it to another tracker.
        let last = word.rsplit('.').next().unwrap_or(word);
        (covers(self.words, word) || covers(self.words, last)).then(|| rest.len() - after.len())
    }
}

fn covers(words: &[&str], word: &str) -> bool {
    words.iter().any(|known| match known.split_once('*') {
        None => *known == word,
        Some((start, end)) => {
            let end = end.trim_end_matches('*');
            word.strip_prefix(start).is_some_and(|rest| rest.contains(end))
        }
    })
}

/// How long ` = window.name || []` is, if `rest` begins with it.
fn empty_queue(rest: &str, global: &str) -> Option<usize> {
    let value = rest.trim_start().strip_prefix('=')?.trim_start();
    let value = value.strip_prefix("window.").unwrap_or(value).strip_prefix(global)?;
    let value = value.trim_start().strip_prefix("||")?.trim_start().strip_prefix('[')?;
    let left = value.trim_start().strip_prefix(']')?;
    Some(rest.len() - left.len())
}

fn name(text: &str) -> &str {
    let end = text.find(|letter| !is_of_name(letter)).unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '_' | '$')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_blank_and_all_else_stays() {
        for (code, expected) in [
            ("ga('send','pageview')", "         ,'pageview')"),
            ("ga ( \"b.set\" , 1)", "             , 1)"),
            ("ga('ecommerce:addItem',x)", "                      ,x)"),
            ("ga('create','UA-1')", "ga('create','UA-1')"),
            ("saga('send')", "saga('send')"),
            ("ga.q", "ga.q"),
        ] {
            assert_eq!(masked(code, &["ga"]), expected, "{code}");
        }
        assert_eq!(masked("ym(12, 'hit')", &["ym"]), "            )");
        assert_eq!(masked("ym(12, 'init')", &["ym"]), "ym(12, 'init')");
        assert_eq!(masked("var _x = _x || [];", &["_x"]), "var              ;");
        assert_eq!(masked("ttq.load('1');ttq.page()", &["ttq"]), "ttq.load('1');         )");
        assert_eq!(masked("plausible('Buy')", &["plausible"]), "               )");
    }

    #[test]
    fn each_global_stands_in_the_table_once() {
        let names: std::collections::HashSet<_> = CALLS.iter().map(|calls| calls.global).collect();
        assert_eq!(names.len(), CALLS.len());
    }
}
