//! The proxy's own endpoints: choices, acceptances, settings, documents, assets.
//!
//! What a visitor decides is recorded in the ledger before the answer says so (GDPR art. 7(1)). Agreeing needs
//! a ledger that works; refusing and withdrawing do not.

mod acceptances;
pub mod answer;
mod assets;
mod choices;
mod declined;
mod documents;
mod embed;
mod form;
mod heard;
pub mod held;
mod history;
mod once;
mod origin;
mod persons;
pub mod preview;
mod receipt;
mod receipts;
pub mod reports;
pub mod return_to;
mod settings;
mod shown;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use http::header::REFERER;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};

use crate::clock::Clock;
use crate::consent::Subject;
use crate::consent::signal::GlobalPrivacyControl;
use crate::documents::Document;
use crate::filter::Body;
use crate::ledger::Ledger;
use crate::site::Site;
use crate::telemetry::Metrics;
use crate::visit::Visit;
use crate::visit::path::{CanonicalPath, Clarity};
use crate::web::language::Language;
use crate::web::page::Message;
use form::Form;

pub use persons::{Persons, Recognised};
pub use shown::ShownTexts;

/// One of the proxy's own addresses on a site.
#[derive(Clone, Copy, Debug)]
pub enum Endpoint<'a> {
    /// `/_consent/choices`
    Choices,
    /// `/_consent/acceptances`
    Acceptances,
    /// `/_consent/declined`
    Declined,
    /// `/_consent/settings`
    Settings,
    /// `/_consent/receipts`
    Receipts,
    /// `/_consent/reports`
    Reports,
    /// `/_consent/embed`
    Embed,
    /// `/_consent/assets/NAME.HASH.EXT`
    Asset(&'a str),
    /// A document, at its own path.
    Document(&'a Document),
    /// `/.well-known/gpc.json`
    GlobalPrivacyControl,
    /// Anything else below `/_consent/`: 404, and never the upstream's.
    Unknown,
}

/// Which of the proxy's own addresses `path` is, if any.
pub fn route<'a>(site: &'a Site, path: &'a CanonicalPath) -> Option<Endpoint<'a>> {
    if let Some(document) = site.documents.at(path).filter(|document| !document.texts.is_empty()) {
        return Some(Endpoint::Document(document));
    }
    let text = path.as_str();
    let gpc = site.visit.global_privacy_control;
    if text == "/.well-known/gpc.json" && gpc == GlobalPrivacyControl::Respect {
        return Some(Endpoint::GlobalPrivacyControl);
    }
    let Some(rest) = text.strip_prefix(&*site.own_path) else {
        return is_ours_disguised(site, path).then_some(Endpoint::Unknown);
    };
    Some(match rest {
        "choices" => Endpoint::Choices,
        "acceptances" => Endpoint::Acceptances,
        "declined" => Endpoint::Declined,
        "settings" => Endpoint::Settings,
        "receipts" => Endpoint::Receipts,
        "reports" => Endpoint::Reports,
        "embed" => Endpoint::Embed,
        _ => rest.strip_prefix("assets/").map_or(Endpoint::Unknown, Endpoint::Asset),
    })
}

/// Whether a server that decodes once more, or forgives a missing slash, would take `path` for one of ours.
fn is_ours_disguised(site: &Site, path: &CanonicalPath) -> bool {
    if path.as_str() == site.own_path.trim_end_matches('/') {
        return true;
    }
    let mut path = path.clone();
    // Each round takes one layer of encoding off; a path with more layers than this is no server's.
    for _ in 0..4 {
        if path.clarity() == Clarity::Clear {
            return false;
        }
        let decoded = percent_encoding::percent_decode_str(path.as_str()).decode_utf8_lossy().into_owned();
        path = CanonicalPath::of(&decoded);
        let is_document = site.documents.at(&path).is_some_and(|document| !document.texts.is_empty());
        if is_document || path.as_str().starts_with(&*site.own_path) {
            return true;
        }
    }
    false
}

/// What the endpoints act with.
#[derive(Clone, Debug)]
pub struct Own {
    /// Where decisions are recorded.
    pub ledger: Ledger,
    /// The time.
    pub clock: Clock,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Where forms are held.
    pub desk: held::Desk,
    /// What persons have accepted, on whatever device.
    pub persons: Persons,
    /// The texts that were shown to be accepted.
    pub shown: ShownTexts,
    /// What is remembered of reports.
    pub reports: reports::Intake,
}

/// One request to one of the proxy's own addresses.
struct Call<'a> {
    own: &'a Own,
    site: &'a Site,
    visit: &'a Visit,
    head: &'a Parts,
    query: Form,
    language: Language,
}

impl Own {
    /// Endpoints that remember nothing yet.
    pub fn new(ledger: Ledger, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Own {
            ledger,
            clock,
            metrics,
            desk: held::Desk::default(),
            persons: Persons::default(),
            shown: ShownTexts::default(),
            reports: Default::default(),
        }
    }

    /// Answers a request to one of the proxy's own addresses.
    pub async fn answer(
        &self,
        endpoint: Endpoint<'_>,
        site: &Site,
        visit: &Visit,
        request: Request<Body>,
    ) -> Response<Body> {
        let (head, body) = request.into_parts();
        let query = Form::parse(head.uri.query().unwrap_or_default().as_bytes());
        let language = language(site, visit, query.one("lang"));
        let call = Call { own: self, site, visit, head: &head, query, language };
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        let posts = head.method == Method::POST;
        match endpoint {
            Endpoint::Choices if posts => choices::make(&call, body).await,
            Endpoint::Choices if reads => choices::tell(&call),
            Endpoint::Choices => call.wrong_method("GET, HEAD, POST"),
            Endpoint::Acceptances if posts => acceptances::answer(&call, body).await,
            Endpoint::Acceptances if reads => acceptances::look(&call),
            Endpoint::Acceptances => call.wrong_method("GET, HEAD, POST"),
            Endpoint::Receipts if posts => receipts::erase(&call, body).await,
            Endpoint::Receipts if reads => receipts::show(&call).await,
            Endpoint::Receipts => call.wrong_method("GET, HEAD, POST"),
            Endpoint::Reports if posts => reports::take(&call, body).await,
            Endpoint::Reports => call.wrong_method("POST"),
            Endpoint::Unknown => call.message(StatusCode::NOT_FOUND, Message::NotFound),
            _ if !reads => call.wrong_method("GET, HEAD"),
            Endpoint::Declined => declined::show(&call),
            Endpoint::Settings => settings::show(&call).await,
            Endpoint::Embed => embed::show(&call),
            Endpoint::Asset(name) => assets::send(&call, name),
            Endpoint::Document(document) => documents::show(&call, document),
            Endpoint::GlobalPrivacyControl => assets::global_privacy_control(),
        }
    }
}

impl Call<'_> {
    fn look(&self) -> &crate::web::Look {
        &self.site.filter.look
    }

    /// Where a form or page leads back to: what it says itself, else the page of this site that led to it.
    fn return_to(&self, written: Option<&str>) -> Box<str> {
        let arrival = &self.visit.arrival;
        let referer = || self.head.headers.get(REFERER)?.to_str().ok();
        let written = written.filter(|written| !written.is_empty());
        let found = match written {
            Some(written) => return_to::local(written),
            None => referer()
                .and_then(|page| return_to::within(page, arrival.scheme.as_str(), &arrival.authority))
                // Its own pages lead back to themselves otherwise.
                .filter(|page| page.split('?').next() != Some(self.visit.path.as_str())),
        };
        found.unwrap_or_else(|| "/".into())
    }

    /// Who decides: the subject of the visitor's cookies, else a new one; none where no random number is had.
    fn subject(&self) -> Option<Subject> {
        self.visit.subject.or_else(new_subject)
    }
}

/// A subject that nobody has had before.
fn new_subject() -> Option<Subject> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).ok()?;
    Some(Subject(uuid::Builder::from_random_bytes(random).into_uuid()))
}

/// The language of our pages: the one asked for by name, else the one that the site's settings fix, else by the
/// visitor's wishes, else the site's first.
fn language(site: &Site, visit: &Visit, asked: Option<&str>) -> Language {
    let asked = asked.and_then(|tag| Language::parse(tag).ok());
    let Some(asked) = asked else { return site.filter.language(visit).clone() };
    site.filter.look.language(&visit.wishes.clone().led_by(asked)).clone()
}
