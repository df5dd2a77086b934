//! Notices and agreements: front matter, languages, filled in or not, rendering and sanitizing, the pages.

mod front_matter;
mod markdown;
mod render;
pub(crate) mod tables;
mod variables;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;

use crate::clock::Timestamp;
use crate::visit::path::CanonicalPath;
use crate::web::language::{Language, Wishes};

pub use front_matter::{Blank, FrontMatter, Parts, Problem, Read, plain, split, unknown_variables};
pub use render::{Tables, Wording};
pub use tables::{undeclared, undescribed};

/// Whether a document is acknowledged or accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Its readers acknowledge it (GDPR articles 13 and 14 ask for no agreement).
    Notice,
    /// Its readers accept it.
    Agreement,
}

/// One wording of a document in one language, filled in.
#[derive(Clone, Debug)]
pub struct Text {
    /// Its language.
    pub language: Language,
    /// The title of the front matter.
    pub title: Box<str>,
    /// The version of the front matter.
    pub version: Box<str>,
    /// The SHA-256 of the Markdown below the front matter.
    pub hash: [u8; 32],
    /// Whether acceptances of earlier wordings are void (`reacceptance`, default true).
    pub reacceptance: bool,
    /// From which day it holds (`effective`); none: since it was published.
    pub effective: Option<Date>,
    /// How long after that day earlier acceptances still do (`grace`).
    pub grace: Option<Duration>,
    /// What changed since the version before (`changes`), for its readers.
    pub changes: Option<Box<str>>,
    /// The Markdown below the front matter, with its `{{ … }}` not yet filled.
    pub markdown: Arc<str>,
}

impl Text {
    /// The moment from which it holds: the beginning of its day, in UTC.
    pub fn effective_at(&self) -> Option<Timestamp> {
        jiff::tz::TimeZone::UTC.to_timestamp(self.effective?.at(0, 0, 0, 0)).ok()
    }
}

/// A document of one site, in the languages in which it is filled in.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its name in the YAML.
    pub id: Box<str>,
    /// Whether it is acknowledged or accepted.
    pub kind: Kind,
    /// Where it is published.
    pub path: CanonicalPath,
    /// The texts that are filled in, the site's fallback language first; empty: nothing is published.
    pub texts: Vec<Text>,
    /// Texts of earlier versions, which stay readable; those of one version stand together, the newest first.
    pub earlier: Vec<Text>,
}

/// A text that is missing: who reads this language gets the document in another, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The document's name.
    pub document: Box<str>,
    /// The language.
    pub language: Language,
    /// The file that should be filled in; none: the site names no file for this language.
    pub file: Option<PathBuf>,
}

/// The documents of one site, and the settings that their `{{ … }}` may name.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    /// In the order of the YAML.
    pub documents: Vec<Document>,
    /// What of them is not filled in.
    pub gaps: Vec<Gap>,
    /// `controller`, `processor`, `site`, `hosts`. The tables `services` and `cookies` are made when a text is
    /// rendered, in its language.
    pub variables: Arc<serde_json::Value>,
}

impl Shelf {
    /// The document published at `path`.
    pub fn at(&self, path: &CanonicalPath) -> Option<&Document> {
        self.documents.iter().find(|document| document.path == *path)
    }

    /// The document of this name.
    pub fn find(&self, id: &str) -> Option<&Document> {
        self.documents.iter().find(|document| &*document.id == id)
    }
}

impl Document {
    /// The text for a visitor: in the language they asked for by name, else by their wishes, else the fallback.
    pub fn text(&self, asked: Option<&Language>, wishes: &Wishes) -> Option<&Text> {
        let available = self.texts.iter().map(|text| &text.language);
        let wished =
            asked.cloned().map_or_else(|| wishes.clone(), |language| wishes.clone().led_by(language));
        let chosen = wished.choose(available);
        self.texts.iter().find(|text| Some(&text.language) == chosen).or(self.texts.first())
    }

    /// The text of an earlier version, in the language asked for or wished, else in the first that it has.
    pub fn earlier(&self, version: &str, asked: Option<&Language>, wishes: &Wishes) -> Option<&Text> {
        let texts = || self.earlier.iter().filter(|text| &*text.version == version);
        let wished =
            asked.cloned().map_or_else(|| wishes.clone(), |language| wishes.clone().led_by(language));
        let chosen = wished.choose(texts().map(|text| &text.language));
        texts().find(|text| Some(&text.language) == chosen).or_else(|| texts().next())
    }

    /// The text of this wording, named by the first 128 bits of its hash.
    pub fn wording(&self, version: &[u8; 16]) -> Option<&Text> {
        self.texts.iter().find(|text| text.hash.starts_with(version))
    }
}
