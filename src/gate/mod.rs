//! May this request reach the upstream? A pure decision; only it can make a [`Permit`].

use crate::services::NamePattern;
use crate::visit::path::{CanonicalPath, Clarity, Letters, PathPattern};
use crate::visit::{Crawler, Purpose, Visit};

/// The gates of one site. Empty while the site asks nobody for anything.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// In the order of the YAML; the first that closes decides.
    pub gates: Vec<Gate>,
    /// Whether known crawlers pass.
    pub crawlers: Crawlers,
}

/// Whether known crawlers are gated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Crawlers {
    /// They pass every gate.
    #[default]
    Pass,
    /// They are treated as anybody else.
    Treat,
}

/// A rule that sends requests without a valid acceptance to a document.
#[derive(Clone, Debug)]
pub struct Gate {
    /// Its name in the YAML, for logs and metrics.
    pub name: Box<str>,
    /// The document's name in the YAML.
    pub document: Box<str>,
    /// Where the document is published.
    pub document_path: CanonicalPath,
    /// It applies to visitors with such a cookie; none: to visitors with and without.
    pub cookie: Option<NamePattern>,
    /// It applies to these paths; empty: to all.
    pub paths: Vec<PathPattern>,
    /// It never applies to these.
    pub except: Vec<PathPattern>,
    /// What counts as accepted.
    pub valid: Valid,
    /// Where who declines can log out.
    pub logout: Option<Box<str>>,
}

/// Which acceptances of a document are valid now.
#[derive(Clone, Debug)]
pub enum Valid {
    /// Those of one of these wordings (the first 128 bits of their SHA-256): one a language.
    OneOf(Vec<[u8; 16]>),
    /// Those of any wording: the present one is a small correction (`reacceptance: false`).
    Any,
}

/// Leave to send a request to the upstream. Nothing else can make one.
#[derive(Debug)]
pub struct Permit(());

/// What a gate says.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// Go on.
    Admit(Permit),
    /// Send the person to the document of this gate, and back afterwards.
    ShowDocument(&'a Gate),
    /// Keep the posted form, and deliver it after the document of this gate is accepted.
    HoldForm(&'a Gate),
    /// Tell the program which document is missing.
    Refuse(&'a Gate),
}

impl Verdict<'_> {
    /// The word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Verdict::Admit(_) => "admitted",
            Verdict::ShowDocument(_) => "shown",
            Verdict::HoldForm(_) => "held",
            Verdict::Refuse(_) => "refused",
        }
    }
}

/// Decides about one visit.
pub fn decide<'a>(rules: &'a Rules, visit: &Visit) -> Verdict<'a> {
    let Some(gate) = closed(rules, visit) else { return Verdict::Admit(Permit(())) };
    match visit.purpose {
        Purpose::Page | Purpose::PresumedPage | Purpose::Frame if is_read_only(visit) => {
            Verdict::ShowDocument(gate)
        }
        Purpose::Page | Purpose::PresumedPage | Purpose::Frame => Verdict::HoldForm(gate),
        Purpose::Resource => Verdict::Refuse(gate),
    }
}

/// Leave for a site whose `mode` is `off` or `observe`: gates close nothing there.
pub fn stand_aside() -> Permit {
    Permit(())
}

/// The first gate that is closed for this visit, if any.
pub fn closed<'a>(rules: &'a Rules, visit: &Visit) -> Option<&'a Gate> {
    if visit.crawler == Crawler::Known && rules.crawlers == Crawlers::Pass || is_public(visit) {
        return None;
    }
    rules.gates.iter().find(|gate| gate.applies(visit) && !gate.is_accepted(visit))
}

impl Gate {
    fn applies(&self, visit: &Visit) -> bool {
        let concerned =
            self.cookie.as_ref().is_none_or(|name| visit.cookies.iter().any(|cookie| name.covers(cookie)));
        concerned && self.closes(&visit.path)
    }

    /// Whether it closes a path to those whom it concerns.
    pub fn closes(&self, path: &CanonicalPath) -> bool {
        // Servers read an ambiguous path differently, so it is taken for one that the gate closes.
        if path.clarity() == Clarity::Ambiguous {
            return true;
        }
        let inside =
            self.paths.is_empty() || self.paths.iter().any(|rule| rule.covers(path, Letters::AnyCase));
        inside && !self.except.iter().any(|rule| rule.covers(path, Letters::Exact))
    }

    /// Whether the visitor has accepted what this gate asks for.
    pub fn is_accepted(&self, visit: &Visit) -> bool {
        visit.acceptances.iter().any(|acceptance| {
            acceptance.document == self.document
                && match &self.valid {
                    Valid::Any => true,
                    Valid::OneOf(versions) => versions.contains(&acceptance.version),
                }
        })
    }
}

fn is_read_only(visit: &Visit) -> bool {
    visit.method == http::Method::GET || visit.method == http::Method::HEAD
}

/// What must be reachable for programs and for every page's looks: images, styles, scripts, fonts, feeds,
/// `/robots.txt` and `/.well-known/` (RFC 8615).
fn is_public(visit: &Visit) -> bool {
    // Many old applications answer a page under any name, so a picture's name opens nothing for a navigation.
    const ASSETS: [&str; 19] = [
        "css",
        "js",
        "mjs",
        "map",
        "png",
        "jpg",
        "jpeg",
        "gif",
        "webp",
        "avif",
        "svg",
        "ico",
        "bmp",
        "woff",
        "woff2",
        "ttf",
        "otf",
        "eot",
        "webmanifest",
    ];
    const FEEDS: [&str; 3] = ["rss", "atom", "rdf"];
    if visit.path.clarity() == Clarity::Ambiguous || !is_read_only(visit) {
        return false;
    }
    let path = visit.path.as_str();
    let extension =
        path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
    let is_one_of = |known: &[&str]| {
        extension.is_some_and(|extension| known.iter().any(|name| extension.eq_ignore_ascii_case(name)))
    };
    path == "/robots.txt"
        || path.starts_with("/.well-known/")
        || is_one_of(&FEEDS)
        || visit.purpose == Purpose::Resource && is_one_of(&ASSETS)
}

#[cfg(test)]
mod tests;
