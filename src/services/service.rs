//! One service, and how it may be treated.

use crate::consent::Category;

/// What happens to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Treatment {
    /// It does not run.
    Block,
    /// It runs without identifiers.
    Anonymize,
    /// It runs as its author wrote it.
    Allow,
}

/// How a site treats a service before and after agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rule {
    /// For visitors who have not agreed to it.
    pub without_consent: Treatment,
    /// For visitors who have.
    pub with_consent: Treatment,
}

impl Rule {
    /// Never.
    pub const STRIP: Rule = Rule { without_consent: Treatment::Block, with_consent: Treatment::Block };
    /// Held until agreed to: what holds where a site says nothing.
    pub const CONSENT: Rule = Rule { without_consent: Treatment::Block, with_consent: Treatment::Allow };
    /// Always, without identifiers.
    pub const ANONYMIZE: Rule =
        Rule { without_consent: Treatment::Anonymize, with_consent: Treatment::Anonymize };
    /// Always.
    pub const ALLOW: Rule = Rule { without_consent: Treatment::Allow, with_consent: Treatment::Allow };
}

/// A text in the languages of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// English: what every other language falls back to.
    pub en: Box<str>,
    /// Swedish.
    pub sv: Box<str>,
}

/// A name, or with a `*` at its end every name that begins so.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamePattern {
    /// What the name begins with, or all of it.
    pub start: Box<str>,
    /// Whether nothing may follow.
    pub whole: bool,
}

impl NamePattern {
    /// Reads `PHPSESSID` or `_ga_*`; nothing for an empty text or a `*` anywhere but at the end.
    pub fn parse(text: &str) -> Option<Self> {
        let (start, whole) = text.strip_suffix('*').map_or((text, true), |start| (start, false));
        (!text.is_empty() && !start.contains('*')).then(|| NamePattern { start: start.into(), whole })
    }

    /// Whether `name` fits.
    pub fn covers(&self, name: &str) -> bool {
        if self.whole { name == &*self.start } else { name.starts_with(&*self.start) }
    }
}

/// Where a service is loaded from: a host with all below it, and what the path begins with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UrlPattern {
    /// The host in lower case. `example.com` is that host; `*.example.com` is it and all below it; `*` is any.
    pub host: Box<str>,
    /// What the path (with its query) begins with; `/` for all of the host.
    pub path: Box<str>,
}

impl UrlPattern {
    /// Reads `host/path`, `*.host/path` or `*/file`; nothing for a text without a host.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, path) = text.split_once('/').unwrap_or((text, ""));
        let name = host.strip_prefix("*.").unwrap_or(host);
        let is_host = host == "*" && !path.is_empty()
            || !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b':'));
        // `stats.example/*` is how admins write "all of it".
        let path = path.strip_suffix('*').unwrap_or(path);
        is_host
            .then(|| UrlPattern { host: host.to_ascii_lowercase().into(), path: format!("/{path}").into() })
    }
}

/// A cookie that a service sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieInfo {
    /// Its name or how it begins.
    pub name: NamePattern,
    /// How long it lives, in words of the catalogue such as `2y`, `30m` or `session`.
    pub lifetime: Box<str>,
    /// What it is for.
    pub purpose: Texts,
}

/// One service of the catalogue, or one of a site's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The word by which YAML, forms and the ledger name it.
    pub id: Box<str>,
    /// The name that visitors know.
    pub name: Box<str>,
    /// The company behind it.
    pub provider: Box<str>,
    /// The country of that company, as ISO 3166-1 alpha-2; empty where it is unknown.
    pub country: Box<str>,
    /// Why sites use it.
    pub category: Category,
    /// What it does, for visitors.
    pub purpose: Texts,
    /// Where it is loaded from and reports to.
    pub urls: Vec<UrlPattern>,
    /// Text by which an inline script of it is known; ASCII, compared with case.
    pub inline: Vec<Box<str>>,
    /// Its cookies.
    pub cookies: Vec<CookieInfo>,
    /// How a site treats it that says nothing about it or its category.
    pub default: Rule,
    /// JavaScript to run before its own, which makes it run without identifiers; none: it cannot be anonymized.
    pub anonymize: Option<Box<str>>,
    /// Globals that pages call and that need a stub while it is held, such as `ga` or `_gaq`.
    pub globals: Vec<Box<str>>,
    /// When its provider switched it off, as a year and month, so that it can be stripped without loss.
    pub dead_since: Option<Box<str>>,
}
