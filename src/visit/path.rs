//! The form of a path that decisions are made on, so that no spelling of it slips past a rule.

use std::fmt;

/// A path with its spellings taken out (RFC 3986 section 6.2.2): percent-encoded printable characters decoded,
/// `\` read as `/`, repeated slashes joined, `;parameters` dropped and dot segments resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath {
    path: Box<str>,
    clarity: Clarity,
    /// As the most forgiving of servers read it, where that differs: for rules that close.
    forgiven: Option<Box<str>>,
}

/// Whether every server would read a path as we do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clarity {
    /// One meaning.
    Clear,
    /// An encoded slash, backslash, percent sign or control character: servers differ, so it counts as gated.
    Ambiguous,
}

impl CanonicalPath {
    /// The canonical form of a request's path, which is given without its query.
    pub fn of(path: &str) -> Self {
        if is_plain(path) {
            return CanonicalPath { path: path.into(), clarity: Clarity::Clear, forgiven: None };
        }
        CanonicalPath::resolved(path)
    }

    fn resolved(path: &str) -> Self {
        let (decoded, clarity) = decode(path);
        let (path, leads_up) = resolve(&decoded);
        let forgiven = forgiven(&decoded, &path).map(Into::into);
        let clarity = if leads_up { Clarity::Ambiguous } else { clarity };
        CanonicalPath { forgiven, path: path.into(), clarity }
    }

    /// The path; it begins with a slash.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// Whether some servers would forgive a spelling in it, and take it for another.
    pub fn is_forgiven(&self) -> bool {
        self.forgiven.is_some()
    }

    /// Whether every server would read it as we do.
    pub fn clarity(&self) -> Clarity {
        self.clarity
    }
}

impl fmt::Display for CanonicalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// Whether a path has no other spelling, as most have none: letters, digits, `-`, `_`, `~`, and dots within names, between
/// single slashes.
fn is_plain(path: &str) -> bool {
    let mut before = None;
    let is_plain = path.bytes().all(|byte| {
        let goes_on = match byte {
            b'/' => !matches!(before, Some(b'/' | b'.')),
            // A name begins with something else.
            b'.' => !matches!(before, Some(b'/')),
            _ => before.is_some() && (byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~')),
        };
        before = Some(byte);
        goes_on
    });
    is_plain && path.starts_with('/') && !path.ends_with('.')
}

/// Resolves a decoded path, and says whether a part of it leads up on some servers alone: `...` and `.. `.
fn resolve(decoded: &str) -> (String, bool) {
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = decoded.split(['/', '\\']).peekable();
    let (mut is_folder, mut leads_up) = (false, false);
    while let Some(part) = parts.next() {
        let part = part.split(';').next().unwrap_or_default();
        is_folder = parts.peek().is_none() && matches!(part, "" | "." | "..");
        match part {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => {
                leads_up |= part.trim_end_matches(['.', ' ']).is_empty();
                segments.push(part);
            }
        }
    }
    let mut path = String::with_capacity(decoded.len() + 1);
    for segment in &segments {
        path.push('/');
        path.push_str(segment);
    }
    if is_folder || segments.is_empty() {
        path.push('/');
    }
    (path, leads_up)
}

/// A path as the most forgiving of servers read it: without dots and blanks at the end of a segment (Windows), without
/// what follows a decoded `?` or `#`, and with wide letters as narrow ones. Nothing where that is `resolved` itself.
fn forgiven(decoded: &str, resolved: &str) -> Option<String> {
    let is_wide = |letter: char| ('\u{ff01}'..='\u{ff5e}').contains(&letter);
    let is_spelt = decoded.contains(|letter| matches!(letter, '?' | '#') || is_wide(letter));
    let is_padded = resolved.split('/').any(|part| part.ends_with(['.', ' ']));
    if !is_spelt && !is_padded {
        return None;
    }
    let narrow = |letter: char| match u32::from(letter).checked_sub(0xfee0).and_then(char::from_u32) {
        Some(narrow) if is_wide(letter) => narrow,
        _ => letter,
    };
    let narrowed: String = decoded.chars().map(narrow).collect();
    let (path, _) = resolve(narrowed.split(['?', '#']).next().unwrap_or_default());
    let segments: Vec<&str> = path.split('/').map(|part| part.trim_end_matches(['.', ' '])).collect();
    Some(segments.join("/"))
}

/// Decodes what has one meaning; keeps, and reports, what has not.
fn decode(path: &str) -> (String, Clarity) {
    let mut decoded = Vec::with_capacity(path.len());
    let mut clarity = Clarity::Clear;
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let encoded = (byte == b'%')
            .then(|| {
                after.get(..2).and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok())
            })
            .flatten();
        match encoded {
            Some(b'/' | b'\\' | b'%' | b';' | 0..=0x1f | 0x7f) => {
                clarity = Clarity::Ambiguous;
                decoded.push(byte);
            }
            Some(value) => {
                decoded.push(value);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                // A percent sign that begins no escape, or a control character.
                if byte == b'%' || byte.is_ascii_control() {
                    clarity = Clarity::Ambiguous;
                }
                decoded.push(byte);
            }
        }
    }
    // Overlong and broken UTF-8 is read differently by different servers.
    match String::from_utf8(decoded) {
        Ok(decoded) => (decoded, clarity),
        Err(broken) => (String::from_utf8_lossy(broken.as_bytes()).into_owned(), Clarity::Ambiguous),
    }
}

/// A path, or with a `*` at its end all paths that begin so, as a gate's YAML writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    start: Box<str>,
    whole: bool,
}

/// A pattern that could never match.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a path begins with / and may end with *, such as /logout or /api/*")]
pub struct NotAPathPattern;

impl PathPattern {
    /// Reads `/logout` (this path) or `/api/*` (all paths that begin with `/api/`, and `/api` itself).
    pub fn parse(text: &str) -> Result<Self, NotAPathPattern> {
        let (start, whole) = text.strip_suffix('*').map_or((text, true), |start| (start, false));
        if !start.starts_with('/') || start.contains('*') {
            return Err(NotAPathPattern);
        }
        Ok(PathPattern { start: start.into(), whole })
    }

    /// Whether the pattern covers `path`.
    pub fn covers(&self, path: &CanonicalPath, letters: Letters) -> bool {
        let covers = |path: &str| self.covers_text(path, letters);
        let forgiven = path.forgiven.as_deref();
        match letters {
            Letters::AnyCase => covers(&path.path) || forgiven.is_some_and(covers),
            // What opens must be open however a server reads it.
            Letters::Exact => covers(&path.path) && forgiven.is_none_or(covers),
        }
    }

    fn covers_text(&self, path: &str, letters: Letters) -> bool {
        let same = |one: &[u8], other: &[u8]| match letters {
            Letters::AnyCase => one.eq_ignore_ascii_case(other),
            Letters::Exact => one == other,
        };
        let path = path.as_bytes();
        let start = self.start.as_bytes();
        if self.whole {
            return same(path, start);
        }
        path.get(..start.len()).is_some_and(|head| same(head, start))
            || start.strip_suffix(b"/").is_some_and(|folder| same(path, folder))
    }
}

/// How letters compare. Some servers read paths without case, and forgive dots and blanks, so a rule that closes
/// compares so, too; one that opens does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letters {
    /// `/Admin` is `/admin`.
    AnyCase,
    /// `/Admin` is another path.
    Exact,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_a_path_has_one_canonical_form() {
        for spelling in [
            "/admin/users",
            "//admin//users",
            "/./admin/./users",
            "/x/../admin/users",
            "/../admin/users",
            "/%61dmin/users",
            "/%2e/admin/users",
            "/x/%2e%2e/admin/users",
            "/admin;v=1/users;jsessionid=2",
            "\\admin\\users",
            "/admin/x/..;/users",
        ] {
            let path = CanonicalPath::of(spelling);
            assert_eq!((path.as_str(), path.clarity()), ("/admin/users", Clarity::Clear), "{spelling}");
        }
    }

    #[test]
    fn what_servers_read_differently_is_ambiguous() {
        for spelling in
            ["/a%2fb", "/a%5Cb", "/a%00", "/a%252f", "/a%", "/a%zz", "/a%0d", "/a%c0%af", "/a%3bx"]
        {
            assert_eq!(CanonicalPath::of(spelling).clarity(), Clarity::Ambiguous, "{spelling}");
        }
    }

    #[test]
    fn what_only_some_servers_forgive_closes_and_does_not_open() {
        let rules = ["/admin", "/admin/*"].map(|rule| PathPattern::parse(rule).unwrap());
        for spelling in [
            "/admin.",
            "/admin...",
            "/admin%20",
            "/admin. .",
            "/ADMIN%20.",
            "/admin%3fx",
            "/admin%23x",
            "/admin%3F/x",
            "/%EF%BD%81dmin",
            "/%ef%bd%81%ef%bd%84min%20",
        ] {
            let path = CanonicalPath::of(spelling);
            assert!(rules.iter().any(|rule| rule.covers(&path, Letters::AnyCase)), "{spelling}");
            assert!(rules.iter().all(|rule| !rule.covers(&path, Letters::Exact)), "{spelling}");
        }
        for spelling in ["/admin./users", "/admin%20/users", "/admin%23/users", "/x/../admin%20/users"] {
            assert!(rules[1].covers(&CanonicalPath::of(spelling), Letters::AnyCase), "{spelling}");
        }
        for spelling in ["/a/...", "/a/.%20./b", "/a/..%20/b", "/a/%20/b", "/a/....//b"] {
            assert_eq!(CanonicalPath::of(spelling).clarity(), Clarity::Ambiguous, "{spelling}");
        }
        let open = PathPattern::parse("/api/*").unwrap();
        for (spelling, expected) in [
            ("/api/C%23", true),
            ("/api/R.E.M./songs", true),
            ("/api/..%3f/konto", false),
            ("/api/..%23/konto", false),
            ("/api/..%ef%bc%8fkonto", false),
            ("/api/%ef%bc%8e%ef%bc%8e/konto", false),
        ] {
            assert_eq!(open.covers(&CanonicalPath::of(spelling), Letters::Exact), expected, "{spelling}");
        }
        // Names with dots and blanks of their own stay clear.
        for spelling in ["/R.E.M./songs", "/a%20b", "/.htaccess", "/a.b.c", "/C%23"] {
            assert_eq!(CanonicalPath::of(spelling).clarity(), Clarity::Clear, "{spelling}");
        }
    }

    #[test]
    fn the_slash_at_the_end_is_kept() {
        for (spelling, expected) in
            [("/a/", "/a/"), ("/a", "/a"), ("/a/b/..", "/a/"), ("/", "/"), ("", "/"), ("*", "/*")]
        {
            assert_eq!(CanonicalPath::of(spelling).as_str(), expected, "{spelling}");
        }
    }

    #[test]
    fn a_pattern_covers_its_path_or_all_below_it() {
        for (pattern, path, expected) in [
            ("/logout", "/logout", true),
            ("/logout", "/logout/x", false),
            ("/api/*", "/api/v1", true),
            ("/api/*", "/api", true),
            ("/api/*", "/apiary", false),
            ("/register*", "/register.php", true),
            ("/*", "/", true),
        ] {
            let covers =
                PathPattern::parse(pattern).unwrap().covers(&CanonicalPath::of(path), Letters::Exact);
            assert_eq!(covers, expected, "{pattern} {path}");
        }
        let logout = PathPattern::parse("/logout").unwrap();
        assert!(logout.covers(&CanonicalPath::of("/LogOut"), Letters::AnyCase));
        assert!(!logout.covers(&CanonicalPath::of("/LogOut"), Letters::Exact));
        for pattern in ["", "logout", "/a*b", "*"] {
            assert_eq!(PathPattern::parse(pattern), Err(NotAPathPattern), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_path_is_what_resolving_it_gives(path in "/[/a-zA-Z.~_0-9-]{0,12}") {
            if is_plain(&path) {
                prop_assert_eq!(CanonicalPath::of(&path), CanonicalPath::resolved(&path));
            }
        }

        #[test]
        fn the_canonical_form_of_a_clear_path_is_its_own(path in "[/a-z.%0-9;\\\\-]{0,40}") {
            let once = CanonicalPath::of(&path);
            if once.clarity() == Clarity::Clear && !once.as_str().contains('%') {
                let twice = CanonicalPath::of(once.as_str());
                prop_assert_eq!(twice.as_str(), once.as_str());
            }
            prop_assert!(once.as_str().starts_with('/'));
        }
    }
}
