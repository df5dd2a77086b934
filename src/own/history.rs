//! Versions of a document beside the present one: what changed, from when it holds, and what held before.
//!
//! Earlier versions come from files beside the present one, so that they stay readable without a ledger, at an
//! address that stays: `?version=VERSION`. Nobody is asked to accept one.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Call, documents};
use crate::documents::{Document, Tables, Text};
use crate::filter::Body;
use crate::web::language::Language;
use crate::web::page::Message;
use crate::web::texts::direction;

/// `GET` a document's path with `?version=`, where that is not the present version.
pub(super) fn show(call: &Call<'_>, document: &Document, version: &str) -> Response<Body> {
    let asked = call.query.one("lang").and_then(|tag| Language::parse(tag).ok());
    let Some(text) = document.earlier(version, asked.as_ref(), &call.visit.wishes) else {
        return call.message(StatusCode::NOT_FOUND, Message::NotFound);
    };
    let texts = call.look().texts(&text.language);
    let languages: Vec<_> = document
        .earlier
        .iter()
        .filter(|other| other.version == text.version)
        .map(|other| documents::entry(document, other, text, &[("version", &text.version)]))
        .collect();
    let values = json!({
        "html": &*documents::html_with(call.site, text, Tables::Left),
        "version": text.version,
        "text_lang": text.language.as_str(),
        "text_dir": direction(text.language.as_str()),
        "languages": languages,
        "about": about(call, text, Age::Earlier),
        "present": { "href": document.path.as_str(), "text": texts.get("document_to_present") },
        "earlier": [],
        "accepted": Value::Null,
        "form": Value::Null,
        "held": Value::Null,
        "contact": documents::contact(call.site),
        // Search engines keep the version that holds.
        "indexed": false,
    });
    documents::page(call, text, values)
}

/// Whether a text is the present one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// It is.
    Present,
    /// It held before.
    Earlier,
}

/// What is said of a version above its text.
pub(super) fn about(call: &Call<'_>, text: &Text, age: Age) -> Vec<String> {
    let texts = call.look().texts(&text.language);
    let mut about = Vec::new();
    if age == Age::Earlier {
        about.push(texts.get("document_is_earlier").to_owned());
    }
    if let Some(date) = text.effective {
        let is_to_come = text.effective_at().is_some_and(|at| at > call.visit.arrival.now);
        let key = if is_to_come { "document_not_yet" } else { "document_effective" };
        about.push(texts.fill(key, &[("date", &texts.day(date))]));
    }
    if let Some(changes) = &text.changes {
        about.push(texts.fill("document_changes", &[("changes", changes)]));
    }
    about
}

/// The earlier versions for a reader of `present`: each once, in its language where there is a text in it.
pub(super) fn earlier(call: &Call<'_>, document: &Document, present: &Text) -> Vec<Value> {
    let texts = call.look().texts(&present.language);
    let mut versions: Vec<&str> = document.earlier.iter().map(|text| &*text.version).collect();
    versions.dedup();
    let entry = |version: &str| {
        let text = document.earlier(version, Some(&present.language), &call.visit.wishes)?;
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("version", version).append_pair("lang", text.language.as_str());
        let about = [
            text.effective.map(|date| texts.fill("document_effective", &[("date", &texts.day(date))])),
            text.changes.as_ref().map(|changes| texts.fill("document_changes", &[("changes", changes)])),
        ];
        Some(json!({
            "href": format!("{}?{}", document.path, query.finish()),
            "name": texts.fill("document_version", &[("version", version)]),
            "about": about.into_iter().flatten().collect::<Vec<_>>(),
            "lang": text.language.as_str(),
        }))
    };
    versions.into_iter().filter_map(entry).collect()
}
