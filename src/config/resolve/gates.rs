//! The gates of a site: who must have accepted which document, and which wordings count.

use std::sync::Arc;

use super::documents::Documents;
use super::{Scope, at};
use crate::clock::Timestamp;
use crate::config::decode::suggest;
use crate::config::raw::site::{Crawlers, Gate as Raw, Site};
use crate::config::raw::words::CookieName;
use crate::consent::cookie;
use crate::documents::{Document, Kind, Shelf};
use crate::gate::{self, Gate, Names, Relation, Rules, Valid};
use crate::visit::Naming;
use crate::visit::path::{CanonicalPath, Clarity};
use crate::web::Note;

/// Resolves `gates`; a site whose privacy document is not filled in asks nobody for anything.
pub(super) fn resolve(scope: &mut Scope<'_>, raw: &Site, documents: &Documents) -> Rules {
    let mut gates: Vec<Gate> = Vec::new();
    for (index, written) in raw.gates.iter().enumerate() {
        check(scope, index, written, &gates);
        let Some(document) = document(scope, index, written, documents) else { continue };
        if document.texts.is_empty() && documents.is_filled_in {
            let message = format!("the gate stands open: `{}` is not filled in, in no language", document.id);
            scope.warn(at!["gates", index, "document"], message, "fill the document in");
        }
        let gate = gate(written, document);
        check_logout(scope, index, &gate);
        gates.push(gate);
    }
    gates.retain(|gate| {
        let publishes = |document: &Document| document.id == gate.document && !document.texts.is_empty();
        documents.is_filled_in && documents.shelf.documents.iter().any(publishes)
    });
    Rules { gates, crawlers: crawlers(raw), names: names(raw) }
}

/// How the application says who somebody is.
pub(super) fn naming(scope: &mut Scope<'_>, raw: &Site) -> Option<Naming> {
    let raw = raw.identity.as_ref()?;
    match (&raw.cookie, &raw.header) {
        (Some(cookie), None) => {
            if !cookie.0.whole {
                let help = "write one name in full";
                scope.error(at!["identity", "cookie"], "this is not one cookie but many", help);
            } else if is_own(cookie) {
                let help = "name the cookie by which the application knows who somebody is";
                scope.error(at!["identity", "cookie"], "this is a cookie of the proxy itself", help);
            }
            Some(Naming::Cookie(cookie.0.start.clone()))
        }
        (None, Some(header)) => Some(Naming::Header(header.0.clone())),
        (cookie, _) => {
            let is_lost = scope.tree.has_lost(at!["identity", "cookie"])
                || scope.tree.has_lost(at!["identity", "header"]);
            if cookie.is_some() || !is_lost {
                let help = "write `identity: { header: X-User }` (safer: the application says it), or `{ cookie: NAME }`";
                scope.error(
                    at!["identity"],
                    "exactly one of `cookie` and `header` says who somebody is",
                    help,
                );
            }
            None
        }
    }
}

/// The documents with a new version that is not asked for yet.
pub(super) fn notes(rules: &Rules, shelf: &Shelf) -> Vec<Arc<Note>> {
    let note = |gate: &Gate| {
        let document = shelf.find(&gate.document)?;
        let titles = document.texts.iter().map(|text| (text.language.clone(), text.title.clone()));
        Some(Arc::new(Note {
            document: gate.document.clone(),
            path: gate.document_path.as_str().into(),
            from: gate.lenient_until?,
            titles: titles.collect(),
        }))
    };
    let mut notes: Vec<Arc<Note>> = Vec::new();
    for note in rules.gates.iter().filter_map(note) {
        if notes.iter().all(|other| other.document != note.document) {
            notes.push(note);
        }
    }
    notes
}

fn names(raw: &Site) -> Names {
    match raw.identity.as_ref().and_then(|identity| identity.header.as_ref()) {
        Some(_) => Names::WithTheAnswer,
        None => Names::WithTheRequest,
    }
}

fn is_own(name: &CookieName) -> bool {
    [cookie::CHOICES, cookie::ACCEPTED, cookie::ONCE, cookie::SIGNAL].iter().any(|own| name.0.covers(own))
}

/// What `crawlers` means to gates and banner.
pub(super) fn crawlers(raw: &Site) -> gate::Crawlers {
    match raw.crawlers {
        Crawlers::Pass => gate::Crawlers::Pass,
        Crawlers::Treat => gate::Crawlers::Treat,
    }
}

fn check(scope: &mut Scope<'_>, index: usize, raw: &Raw, before: &[Gate]) {
    if before.iter().any(|other| *other.name == *raw.name) {
        let message = format!("a second gate is called `{}`", raw.name);
        scope.error(at!["gates", index, "name"], message, "give each gate a name of its own");
    }
    let lost = ["cookie", "paths", "upstream_header"].iter().any(|key| {
        scope.tree.has_lost(at!["gates", index, *key]) || scope.tree.has_lost(at!["gates", index, *key, 0])
    });
    if raw.cookie.is_none() && raw.upstream_header.is_none() && raw.paths.is_empty() && !lost {
        let help =
            "add `cookie: NAME` for sessions, or `paths: [\"/admin/*\"]`; `paths: [\"/*\"]` closes all";
        scope.error(at!["gates", index], "the gate says neither whom it stops nor where", help);
    }
    if raw.cookie.as_ref().is_some_and(is_own) {
        let help = "name the cookie by which the application knows a session";
        scope.error(at!["gates", index, "cookie"], "this is a cookie of the proxy itself", help);
    }
}

/// Who declines must be able to leave.
fn check_logout(scope: &mut Scope<'_>, index: usize, gate: &Gate) {
    let Some(logout) = &gate.logout else { return };
    let path = CanonicalPath::of(logout.split('?').next().unwrap_or_default());
    let at = at!["gates", index, "logout"];
    if !logout.starts_with('/') || logout.starts_with("//") || path.clarity() != Clarity::Clear {
        scope.error(at, format!("`{logout}` is not a path of the site"), "write a path, such as /logout");
    } else if gate.closes(&path) {
        let message = format!("who declines cannot log out: this very gate closes `{logout}`");
        scope.error(at, message, format!("add {path} to the gate's `except`"));
    }
}

fn document<'a>(
    scope: &mut Scope<'_>,
    index: usize,
    raw: &Raw,
    documents: &'a Documents,
) -> Option<&'a Document> {
    let found = documents.shelf.find(&raw.document);
    if found.is_none() && !scope.tree.has_lost(at!["documents", raw.document.as_str()]) {
        let known: Vec<&str> = documents.shelf.documents.iter().map(|document| &*document.id).collect();
        let message = format!("no document is called `{}`", raw.document);
        scope.error(at!["gates", index, "document"], message, suggest("document", &raw.document, &known));
    }
    found
}

fn gate(raw: &Raw, document: &Document) -> Gate {
    // Languages that disagree ask again: too much is a nuisance, too little is no proof.
    let is_correction = document.texts.iter().all(|text| !text.reacceptance);
    let hashes = document.texts.iter().filter_map(|text| text.hash.first_chunk().copied());
    Gate {
        name: raw.name.as_str().into(),
        document: raw.document.as_str().into(),
        document_path: document.path.clone(),
        cookie: raw.cookie.as_ref().map(|name| name.0.clone()),
        upstream_header: raw.upstream_header.as_ref().map(|name| name.0.clone()),
        methods: raw.methods.iter().map(|method| method.0.clone()).collect(),
        paths: raw.paths.iter().map(|path| path.0.clone()).collect(),
        except: raw.except.iter().map(|path| path.0.clone()).collect(),
        lenient_until: lenient_until(document),
        relation: match document.kind {
            Kind::Notice => Relation::PrivacyPolicy,
            Kind::Agreement => Relation::TermsOfService,
        },
        logout: raw.logout.as_deref().map(Into::into),
        valid: if is_correction { Valid::Any } else { Valid::OneOf(hashes.collect()) },
    }
}

/// Until when acceptances of earlier wordings count: to the end of the time of grace after the day from which the present
/// one holds. Where languages disagree, the earliest of them.
fn lenient_until(document: &Document) -> Option<Timestamp> {
    let until = document.texts.iter().map(|text| {
        let effective = text.effective_at()?;
        Some(effective.checked_add(text.grace.unwrap_or_default()).unwrap_or(Timestamp::MAX))
    });
    until.min().flatten()
}
