//! One service, and how it may be treated.

use std::fmt;

use super::UrlChange;
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

/// A text of the catalogue for a page in `language`, and the language that it is really in where that is another
/// (WCAG 3.1.2).
pub fn catalogue_text<'a>(text: &'a Texts, language: &str) -> (&'a str, Option<&'static str>) {
    match language.split('-').next().unwrap_or_default() {
        "sv" if !text.sv.is_empty() => (&text.sv, None),
        "en" => (&text.en, None),
        _ => (&text.en, Some("en")),
    }
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

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.start, if self.whole { "" } else { "*" })
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
    /// Reads `host/path`, `*.host/path`, or of any host `*/file`, `*/folder/file`, `*/folder/` (anywhere in the path)
    /// and `*/?id=` (a folder with a query that begins so); nothing for a text without a host.
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

    /// Whether an address fits, a host that is written `*` aside.
    pub fn covers(&self, url: &url::Url) -> bool {
        self.rest(url).is_some()
    }

    /// What path and query of an address that fits go on with.
    pub fn rest<'u>(&self, url: &'u url::Url) -> Option<&'u str> {
        let host = url.host_str()?;
        let fits = match self.host.strip_prefix("*.") {
            Some(name) => {
                host.strip_suffix(name).is_some_and(|below| below.is_empty() || below.ends_with('.'))
            }
            None => host == &*self.host,
        };
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        target.strip_prefix(&*self.path).filter(|_| fits)
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

/// How a service is made to run without identifiers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anonymize {
    /// JavaScript to run before the service's own; none where its addresses say enough, or it needs nothing.
    pub script: Option<Box<str>>,
    /// What becomes of its addresses. With changes and no script, an address that none of them knows is held.
    pub urls: Vec<UrlChange>,
    /// Attributes that its script element gets.
    pub attributes: Vec<(Box<str>, Box<str>)>,
}

/// What a service is told of the visitor's choices, before anything of its own runs.
///
/// JavaScript in which a category or the id of a service, in braces, stands for `granted` or `denied`:
/// `{statistics}`, `{google-ads}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Where the visitor agreed to it.
    pub granted: Option<Box<str>>,
    /// Where it runs without identifiers.
    pub refused: Option<Box<str>>,
}

impl Service {
    /// Where it acts from without identifiers: where its addresses are changed to, if that is how it is anonymized.
    pub fn anonymous_urls(&self) -> Vec<&UrlPattern> {
        match &self.anonymize {
            Some(means) if means.script.is_none() && !means.urls.is_empty() => {
                means.urls.iter().map(|change| change.to.as_ref().unwrap_or(&change.from)).collect()
            }
            _ => self.urls.iter().collect(),
        }
    }
}

/// What a service is to the proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A service like any other.
    #[default]
    Ordinary,
    /// A consent tool of others: it is never held, and two dialogs on one page are one too many.
    ConsentTool,
}

/// That a service shows something in the page, for which a placeholder stands while it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Embed {
    /// What it shows, for the placeholder's words.
    pub kind: EmbedKind,
    /// The elements of a page that its script fills, beside `iframe`, `embed` and `object` with its addresses.
    pub marks: Vec<Mark>,
}

/// What an embed shows.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Deserialize, serde::Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum EmbedKind {
    /// A film or a stream.
    Video,
    /// A map.
    Map,
    /// A post of a social network, or a list of them.
    Post,
    /// Music or speech.
    Audio,
    /// What visitors write below a page.
    Comments,
    /// Somebody to write to.
    Chat,
    /// Something to fill in, a calendar to book in.
    Form,
    /// Anything else.
    Other,
}

/// By what an element of a page is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Mark {
    /// One of the words of its `class`.
    Class(Box<str>),
    /// Its `id`.
    Id(Box<str>),
}

impl Mark {
    /// Reads `.instagram-media` or `#disqus_thread`.
    pub fn parse(text: &str) -> Option<Self> {
        let is_word = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        let class = text.strip_prefix('.').filter(|name| is_word(name)).map(|name| Mark::Class(name.into()));
        class
            .or_else(|| text.strip_prefix('#').filter(|name| is_word(name)).map(|name| Mark::Id(name.into())))
    }
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
    /// Its cookies on the site's own hosts.
    pub cookies: Vec<CookieInfo>,
    /// Its cookies on hosts of its own: the proxy never sees them, and documents name them.
    pub foreign_cookies: Vec<CookieInfo>,
    /// How a site treats it that says nothing about it or its category.
    pub default: Rule,
    /// Keys of local and session storage that it writes.
    pub storage: Vec<NamePattern>,
    /// How it is made to run without identifiers; none: it cannot be.
    pub anonymize: Option<Anonymize>,
    /// What it is told of the visitor's choices.
    pub calls: Calls,
    /// Set where it shows something in the page.
    pub embed: Option<Embed>,
    /// Why a third party that follows nobody is needed; empty where its purpose says enough.
    pub reason: Texts,
    /// What it is to the proxy.
    pub role: Role,
    /// Globals that pages call and that need a stub while it is held, such as `ga` or `_gaq`.
    pub globals: Vec<Box<str>>,
    /// When its provider switched it off, as a year and month, so that it can be stripped without loss.
    pub dead_since: Option<Box<str>>,
}

impl Service {
    /// How the catalogue writes that a service runs where the site does.
    pub const PROVIDED_BY_SITE: &str = "The site itself";

    /// How the catalogue writes that a service runs wherever somebody has set it up.
    pub const PROVIDED_BY_SERVER: &str = "The operator of the collecting server";

    /// A service of which nothing is known but its id and why it is there.
    pub fn new(id: &str, category: Category) -> Self {
        Service {
            id: id.into(),
            name: id.into(),
            provider: "".into(),
            country: "".into(),
            category,
            purpose: Texts::default(),
            urls: Vec::new(),
            inline: Vec::new(),
            cookies: Vec::new(),
            foreign_cookies: Vec::new(),
            storage: Vec::new(),
            default: if category == Category::Necessary { Rule::ALLOW } else { Rule::CONSENT },
            anonymize: None,
            calls: Calls::default(),
            embed: None,
            reason: Texts::default(),
            role: Role::Ordinary,
            globals: Vec::new(),
            dead_since: None,
        }
    }
}
