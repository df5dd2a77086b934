//! A document's page: the text in the visitor's language, and the form where a gate asks for acceptance.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use super::held::Held;
use super::history::{self, Age};
use super::{Call, acceptances, answer};
use crate::documents::{Document, Kind, Tables, Text, Wording};
use crate::filter::frame::{self, Frame};
use crate::filter::{Body, body};
use crate::gate::Gate;
use crate::site::Site;
use crate::web::language::Language;
use crate::web::page::{self, Message};
use crate::web::texts::direction;

/// The text is sanitized, so the policy is the second lock. Pictures may come from the site itself.
///
/// There is no `form-action`: Chromium holds it against every redirect that follows a form, so a visitor whose
/// way back leads on to another host, such as a login, would be stuck here. The sanitizer leaves no forms.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'self'";

/// The sanitized HTML of one wording, without its page.
pub(super) fn html(site: &Site, text: &Text) -> Arc<str> {
    html_with(site, text, Tables::Filled)
}

/// The same, of any version.
pub(super) fn html_with(site: &Site, text: &Text, tables: Tables) -> Arc<str> {
    let days = |lifetime: std::time::Duration| lifetime.as_secs() / 86_400;
    Wording {
        site: &site.name,
        epoch: site.filter.epoch,
        shelf: &site.documents,
        text,
        tables,
        services: &site.filter.services,
        necessary: &site.filter.cookies.necessary,
        seen: &site.filter.observed.snapshot(),
        look: &site.filter.look,
        own_lifetimes: [days(site.lifetime.agreed.max(site.lifetime.refused)), acceptances::DAYS],
    }
    .html()
}

/// `GET` a document's path
pub(super) fn show(call: &Call<'_>, document: &Document) -> Response<Body> {
    let asked = call.query.one("lang").and_then(|tag| Language::parse(tag).ok());
    let Some(text) = document.text(asked.as_ref(), &call.visit.wishes) else {
        return call.message(StatusCode::NOT_FOUND, Message::NotFound);
    };
    if let Some(version) = call.query.one("version").filter(|version| **version != *text.version) {
        return history::show(call, document, version);
    }
    let return_to = call.return_to(call.query.one("return"));
    page_of(call, document, text, Way::Back(&return_to))
}

/// The same, with a form that was posted into a gate kept in its page.
pub(super) fn show_held(call: &Call<'_>, document: &Document, held: &Held<'_>) -> Response<Body> {
    let Some(text) = document.text(Some(&call.language), &call.visit.wishes) else {
        return call.message(StatusCode::NOT_FOUND, Message::NotFound);
    };
    let mut page = page_of(call, document, text, Way::Held(held));
    // Programs beside the page are told, too, that nothing has been done.
    page.headers_mut().insert(CACHE_CONTROL, answer::NO_STORE);
    page
}

/// A page that keeps a form which the application could not be given.
pub(super) fn undelivered(call: &Call<'_>, target: &str, sealed: &str) -> String {
    let texts = call.look().texts(&call.language);
    let values = json!({ "target": target, "sealed": sealed });
    page::held(call.look(), &call.language, texts.get("held_undelivered_title"), values)
}

/// How one gets on from a document.
#[derive(Clone, Copy)]
enum Way<'a> {
    /// Back to where one came from.
    Back(&'a str),
    /// With the form that waits.
    Held(&'a Held<'a>),
}

fn page_of(call: &Call<'_>, document: &Document, text: &Text, way: Way<'_>) -> Response<Body> {
    let texts = call.look().texts(&text.language);
    let asks = match way {
        Way::Back(_) => asks(call, document),
        Way::Held(_) => Asks::Now,
    };
    let return_to = match way {
        Way::Back(return_to) => return_to,
        Way::Held(_) => "/",
    };
    let held = match way {
        Way::Back(_) => None,
        Way::Held(held) => Some(json!({
            "target": held.target,
            "sealed": held.sealed,
            "text": texts.get(held.notice.key()),
        })),
    };
    let accepted = acceptances::accepted_at(call, document).filter(|_| asks == Asks::NoMore).map(|at| {
        let key = match document.kind {
            Kind::Notice => "acknowledged_at",
            Kind::Agreement => "accepted_at",
        };
        texts.fill(key, &[("date", &texts.moment(at))])
    });
    let values = json!({
        "html": &*html(call.site, text),
        "version": text.version,
        "text_lang": text.language.as_str(),
        "text_dir": direction(text.language.as_str()),
        "languages": languages(document, text, return_to),
        "about": history::about(call, text, Age::Present),
        "present": Value::Null,
        "earlier": history::earlier(call, document, text),
        "accepted": accepted,
        "form": (asks == Asks::Now).then(|| form(call, document, text, return_to)),
        "held": held,
        "contact": contact(call.site),
    });
    let mut answer = page(call, text, values);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    answer
}

/// The page of a text: in a page of the site, where there is one for it, else in a layout of its own.
pub(super) fn page(call: &Call<'_>, text: &Text, values: Value) -> Response<Body> {
    let look = call.look();
    let mut answer = match call.head.extensions.get::<Arc<Frame>>() {
        Some(frame) => {
            let (title, main) = page::framed_document(look, &text.language, &text.title, values);
            let mut answer = answer::page(StatusCode::OK, frame::POLICY, String::new());
            *answer.body_mut() = body::full(frame.around(&title, &main));
            answer.headers_mut().insert(CONTENT_TYPE, frame.content_type().clone());
            answer
        }
        None => {
            answer::page(StatusCode::OK, POLICY, page::document(look, &text.language, &text.title, values))
        }
    };
    if let Ok(language) = HeaderValue::from_str(text.language.as_str()) {
        answer.headers_mut().insert(CONTENT_LANGUAGE, language);
    }
    answer
}

/// Whether acceptance of a document is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// No gate names it.
    Never,
    /// A gate names it, and the visitor has not accepted it in a version that is valid.
    Now,
    /// The visitor has.
    NoMore,
}

fn asks(call: &Call<'_>, document: &Document) -> Asks {
    let mut gates = call.site.gate.gates.iter().filter(|gate| gate.document == document.id);
    let Some(first) = gates.next() else { return Asks::Never };
    // Who has accepted an earlier wording may accept the present one before it is asked for.
    let is_done = |gate: &Gate| gate.is_accepted(call.visit) && !gate.is_accepted_for_now(call.visit);
    let is_accepted = std::iter::once(first).chain(gates).all(is_done);
    if is_accepted { Asks::NoMore } else { Asks::Now }
}

fn form(call: &Call<'_>, document: &Document, text: &Text, return_to: &str) -> Value {
    let texts = call.look().texts(&text.language);
    let [heading, explanation, button, decline] = match document.kind {
        Kind::Notice => ["acknowledge_heading", "acknowledge_text", "acknowledge", "acknowledge_not"],
        Kind::Agreement => ["accept_heading", "accept_text", "accept", "accept_not"],
    };
    let version = acceptances::version(text);
    let shown = call.own.shown.remember(&call.own.ledger, &html(call.site, text));
    json!({
        "heading": texts.get(heading),
        "text": texts.get(explanation),
        "button": texts.get(button),
        "decline": texts.get(decline),
        "document": document.id,
        "token": acceptances::token(call, &document.id, &version, &shown),
        "version": version,
        "return_to": return_to,
    })
}

fn languages(document: &Document, present: &Text, return_to: &str) -> Vec<Value> {
    document.texts.iter().map(|text| entry(document, text, present, &[("return", return_to)])).collect()
}

/// One language of the switcher; `more` goes into its address, `return` only there, not into what search engines keep.
pub(super) fn entry(document: &Document, text: &Text, present: &Text, more: &[(&str, &str)]) -> Value {
    let tag = text.language.as_str();
    let address = |more: &mut dyn Iterator<Item = &(&str, &str)>| {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("lang", tag);
        more.for_each(|(name, value)| _ = query.append_pair(name, value));
        // The whole path: inside a page of the site, addresses are relative to that.
        format!("{}?{}", document.path, query.finish())
    };
    json!({
        "tag": tag,
        "name": endonym(tag),
        "href": address(&mut more.iter()),
        "alternate": address(&mut more.iter().filter(|(name, _)| *name != "return")),
        "is_present": text.language == present.language,
    })
}

pub(super) fn contact(site: &Site) -> String {
    let party = &site.controller;
    [Some(&party.name), party.address.as_ref(), party.email.as_ref()]
        .into_iter()
        .flatten()
        .map(|part| &**part)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A language's name in that language; its tag where we do not know it.
pub(super) fn endonym(tag: &str) -> &str {
    match tag.split('-').next().unwrap_or_default() {
        "ar" => "العربية",
        "bg" => "Български",
        "cs" => "Čeština",
        "da" => "Dansk",
        "de" => "Deutsch",
        "el" => "Ελληνικά",
        "en" => "English",
        "es" => "Español",
        "et" => "Eesti",
        "fi" => "Suomi",
        "fr" => "Français",
        "ga" => "Gaeilge",
        "hr" => "Hrvatski",
        "hu" => "Magyar",
        "is" => "Íslenska",
        "it" => "Italiano",
        "lt" => "Lietuvių",
        "lv" => "Latviešu",
        "mt" => "Malti",
        "nb" | "no" => "Norsk bokmål",
        "nl" => "Nederlands",
        "nn" => "Norsk nynorsk",
        "pl" => "Polski",
        "pt" => "Português",
        "ro" => "Română",
        "se" => "Davvisámegiella",
        "sk" => "Slovenčina",
        "sl" => "Slovenščina",
        "sv" => "Svenska",
        "tr" => "Türkçe",
        "uk" => "Українська",
        _ => tag,
    }
}
