//! May this request reach the upstream? A pure decision; only it can make a [`Permit`].

use http::{HeaderMap, HeaderName, Method};

use crate::clock::Timestamp;
use crate::consent::Acceptance;
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
    /// When it is known at the latest who a visitor is.
    pub names: Names,
}

/// When it is known who a visitor is, where acceptances are tied to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// With the request, or never.
    #[default]
    WithTheRequest,
    /// With the upstream's answer: a page that is only read is asked for before the gate closes, and kept back where
    /// the answer does not name somebody who has accepted.
    WithTheAnswer,
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
    /// It applies to visitors for whom the upstream's answer carries this header with a value, such as the one by which
    /// it says who is logged in; none: to visitors with and without.
    pub upstream_header: Option<HeaderName>,
    /// It applies to these paths; empty: to all.
    pub paths: Vec<PathPattern>,
    /// It applies to these methods; empty: to all.
    pub methods: Vec<Method>,
    /// It never applies to these.
    pub except: Vec<PathPattern>,
    /// What counts as accepted.
    pub valid: Valid,
    /// Until when acceptances of any wording count, beside those: the present one is announced, or has been for a short
    /// time only (`effective`, `grace`).
    pub lenient_until: Option<Timestamp>,
    /// What the document is to programs.
    pub relation: Relation,
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

/// What a document is to programs: a link relation (RFC 6903).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// A notice.
    PrivacyPolicy,
    /// An agreement.
    TermsOfService,
}

impl Relation {
    /// As it stands in a `Link` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Relation::PrivacyPolicy => "privacy-policy",
            Relation::TermsOfService => "terms-of-service",
        }
    }
}

impl Valid {
    fn covers(&self, acceptance: &Acceptance) -> bool {
        match self {
            Valid::Any => true,
            Valid::OneOf(versions) => versions.contains(&acceptance.version),
        }
    }
}

/// Leave to send a request to the upstream. Nothing else can make one.
#[derive(Debug)]
pub struct Permit(());

/// What a gate says.
#[derive(Debug)]
pub enum Verdict<'a> {
    /// Go on.
    Admit(Permit),
    /// Go on, and let [`review`] decide by what the answer says of the visitor.
    AskWho(&'a Gate, Permit),
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
            Verdict::AskWho(..) => "asked",
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
            match rules.names {
                Names::WithTheRequest => Verdict::ShowDocument(gate),
                // Whoever was here last may not be who is logged in now.
                Names::WithTheAnswer => Verdict::AskWho(gate, Permit(())),
            }
        }
        Purpose::Page | Purpose::PresumedPage | Purpose::Frame => Verdict::HoldForm(gate),
        Purpose::Resource => Verdict::Refuse(gate),
    }
}

/// Leave for a site whose `mode` is `off` or `observe`: gates close nothing there.
pub fn stand_aside() -> Permit {
    Permit(())
}

/// What a gate says to an answer of the upstream.
#[derive(Debug)]
pub enum Review<'a> {
    /// It goes to the visitor.
    Pass,
    /// The person is sent to the document of this gate instead.
    ShowDocument(&'a Gate),
    /// The program is told which document is missing instead.
    Refuse(&'a Gate),
}

impl Review<'_> {
    /// The word for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Review::Pass => "admitted",
            Review::ShowDocument(_) => "shown",
            Review::Refuse(_) => "refused",
        }
    }
}

/// Decides about an answer, by what the upstream says of the visitor in its headers.
///
/// The upstream has acted by then. What was only read is kept from the visitor; what was done must be told, so answers
/// to other methods pass, and the next page meets the gate.
pub fn review<'a>(rules: &'a Rules, visit: &Visit, answer: &HeaderMap) -> Review<'a> {
    let says = |name: &HeaderName| answer.get(name).is_some_and(|value| !value.is_empty());
    // Where the answer says who the visitor is, what was decided before is decided once more.
    let is_due = |gate: &&Gate| match &gate.upstream_header {
        Some(name) => says(name),
        None => rules.names == Names::WithTheAnswer,
    };
    let mut gates = rules.gates.iter().filter(is_due);
    match (gates.find(|gate| gate.stops(visit)), visit.purpose) {
        (None, _) => Review::Pass,
        (Some(_), _) if !is_read_only(visit) || passes(rules, visit) => Review::Pass,
        (Some(gate), Purpose::Resource) => Review::Refuse(gate),
        (Some(gate), Purpose::Page | Purpose::PresumedPage | Purpose::Frame) => Review::ShowDocument(gate),
    }
}

/// The first gate that is closed for this visit, if any, as far as its request tells.
pub fn closed<'a>(rules: &'a Rules, visit: &Visit) -> Option<&'a Gate> {
    let mut gates = rules.gates.iter().filter(|gate| gate.upstream_header.is_none());
    let gate = gates.find(|gate| gate.stops(visit))?;
    (!passes(rules, visit)).then_some(gate)
}

/// The first gate whose document has a new version that this visitor has yet to accept, and is not asked for yet.
pub fn announced<'a>(rules: &'a Rules, visit: &Visit) -> Option<&'a Gate> {
    // Without acceptances there is no earlier one that counts.
    if visit.acceptances.is_empty() || visit.crawler == Crawler::Known {
        return None;
    }
    rules
        .gates
        .iter()
        .find(|gate| gate.lenient_until.is_some() && gate.concerns(visit) && gate.is_accepted_for_now(visit))
}

/// Whether something that a gate asks of this visit is not accepted, whatever the answer will say.
pub fn is_wanting(rules: &Rules, visit: &Visit) -> bool {
    !passes(rules, visit) && rules.gates.iter().any(|gate| gate.stops(visit))
}

fn passes(rules: &Rules, visit: &Visit) -> bool {
    visit.crawler == Crawler::Known && rules.crawlers == Crawlers::Pass || is_public(visit)
}

impl Gate {
    /// Whether it applies and is not accepted. What most sessions have accepted is asked first: it costs the least, and
    /// spares the paths of every gate.
    fn stops(&self, visit: &Visit) -> bool {
        !self.is_accepted(visit) && self.applies(visit)
    }

    fn applies(&self, visit: &Visit) -> bool {
        let method = self.methods.is_empty() || self.methods.contains(&visit.method);
        self.concerns(visit) && method && self.closes(&visit.path)
    }

    /// Whether the visitor is one of those whom it stops, as far as their request tells.
    fn concerns(&self, visit: &Visit) -> bool {
        self.cookie.as_ref().is_none_or(|name| visit.cookies.iter().any(|cookie| name.covers(cookie)))
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
        let is_lenient = self.lenient_until.is_some_and(|until| visit.arrival.now < until);
        self.acceptances(visit).any(|acceptance| is_lenient || self.valid.covers(acceptance))
    }

    /// Whether the visitor has accepted an earlier wording, which counts for a while yet.
    pub fn is_accepted_for_now(&self, visit: &Visit) -> bool {
        self.is_accepted(visit) && !self.acceptances(visit).any(|acceptance| self.valid.covers(acceptance))
    }

    fn acceptances<'a>(&'a self, visit: &'a Visit) -> impl Iterator<Item = &'a Acceptance> {
        visit.acceptances.iter().filter(|acceptance| acceptance.document == self.document)
    }
}

fn is_read_only(visit: &Visit) -> bool {
    visit.method == Method::GET || visit.method == Method::HEAD
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
    const PROGRAMS: [&str; 19] = [
        "php", "php3", "php4", "php5", "php7", "phtml", "asp", "aspx", "ashx", "asmx", "jsp", "jspx", "do",
        "cgi", "fcgi", "pl", "py", "cfm", "dll",
    ];
    if visit.path.clarity() == Clarity::Ambiguous || visit.path.is_forgiven() || !is_read_only(visit) {
        return false;
    }
    let path = visit.path.as_str();
    let (folder, name) = path.rsplit_once('/').unwrap_or_default();
    // `/account.php/x.css` is a page of `account.php`: what follows is a word to it (RFC 3875 section 4.1.5).
    let is_word_to_program = || folder.split('/').any(|segment| has_extension(segment, &PROGRAMS));
    let is_one_of = |known: &[&str]| has_extension(name, known) && !is_word_to_program();
    path == "/robots.txt"
        || path.starts_with("/.well-known/")
        || is_one_of(&FEEDS)
        || visit.purpose == Purpose::Resource && is_one_of(&ASSETS)
}

fn has_extension(name: &str, known: &[&str]) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    extension.is_some_and(|extension| known.iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests;
