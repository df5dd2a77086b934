//! The note that a document has a new version, before it is asked for: static, in the flow of the page, over nothing.

use std::sync::LazyLock;

use serde_json::json;

use super::language::Language;
use super::{Look, Place, ascii, templates};
use crate::clock::Timestamp;

static STYLE: LazyLock<String> = LazyLock::new(|| ascii::squeeze(include_str!("note.css"), ""));

/// A document with a new version that is not asked for yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The document's name in the YAML.
    pub document: Box<str>,
    /// Where it is published.
    pub path: Box<str>,
    /// From when it is asked for.
    pub from: Timestamp,
    /// Its titles; the first is the fallback.
    pub titles: Vec<(Language, Box<str>)>,
}

impl Note {
    fn title(&self, language: &Language) -> &str {
        let chosen = language.met_by(self.titles.iter().map(|(language, _)| language));
        let found = self.titles.iter().find(|(language, _)| Some(language) == chosen);
        found.or(self.titles.first()).map(|(_, title)| &**title).unwrap_or_default()
    }
}

impl Look {
    /// The note, as ASCII markup.
    pub fn note(&self, language: &Language, note: &Note, place: Place<'_>) -> String {
        let texts = self.texts(language);
        let title = note.title(language);
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("lang", language.as_str())
            .append_pair("return", if place.return_to.is_empty() { "/" } else { place.return_to })
            .finish();
        let values = json!({
            "lang": texts.language(),
            "dir": texts.direction(),
            "style": Look::note_style(),
            "title": title,
            "text": texts.fill("grace_note", &[("title", title), ("date", &texts.date(note.from))]),
            "href": format!("{}{}?{query}", place.origin, note.path),
            "link": texts.get("grace_note_link"),
        });
        ascii::markup(&templates::render("note.html", &values))
    }

    /// The text of the note's only style element, the same for every site.
    pub fn note_style() -> &'static str {
        &STYLE
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::look;
    use super::*;

    fn language(tag: &str) -> Language {
        Language::parse(tag).unwrap()
    }

    fn note() -> Note {
        Note {
            document: "privacy".into(),
            path: "/privacy.htm".into(),
            from: "2026-03-01T00:00:00Z".parse().unwrap(),
            titles: vec![(language("sv"), "Kakor <b>".into()), (language("en"), "Cookies".into())],
        }
    }

    #[test]
    fn it_says_what_when_and_where_in_the_language_of_the_page() {
        let place = Place { origin: "https://www.example.se", return_to: "/a?b=\"><script>" };
        for (tag, parts) in [
            ("sv", ["Kakor &lt;b&gt;", "1 mars 2026", "lang=sv", "L&#228;s den nya"]),
            ("en", ["Cookies", "1 March 2026", "lang=en", "Read the new"]),
            ("de", ["Kakor &lt;b&gt;", "1. M&#228;rz 2026", "lang=de", "Die neue Version"]),
            ("vo", ["Kakor &lt;b&gt;", "2026", "lang=vo", "Read the new"]),
        ] {
            let shown = look().note(&language(tag), &note(), place);
            assert!(shown.is_ascii() && !shown.contains("<script") && !shown.contains("<b>"), "{shown}");
            for part in parts.iter().chain(&["href=\"https:", "/privacy.htm?", "role=\"region\""]) {
                assert!(shown.contains(part), "{tag}: {part}: {shown}");
            }
            assert_eq!(shown.matches("<style").count(), 1);
            assert!(shown.contains(&format!("<style>{}</style>", Look::note_style())));
        }
    }
}
