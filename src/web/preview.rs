//! The frame around what `consentry preview` shows: an index of all states, and a page for the banner to stand on.

use serde_json::json;

use super::language::Language;
use super::{Look, templates};

/// An index of states, each in a narrow and a wide window. `hint` is what its reader should know before.
pub fn index(look: &Look, site: &str, language: &Language, states: &[String], hint: &str) -> String {
    let languages: Vec<&str> = look.languages.iter().map(Language::as_str).collect();
    let values = json!({
        "site": site,
        "language": language.as_str(),
        "languages": languages,
        "states": states,
        "hint": hint,
    });
    templates::render("preview.html", &values)
}

/// A page of a site that has something of ours in it.
pub fn behind(language: &Language, inserted: &str) -> String {
    templates::render("behind.html", &json!({ "lang": language.as_str(), "inserted": inserted }))
}
