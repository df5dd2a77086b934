//! What an operator should look at, by name: for the text of `/readyz`, and as JSON for programs.

use std::fmt::Write;

use serde::Serialize;

/// How many are named one by one; of more, only the number is told.
const NAMED: usize = 20;

/// What an operator should look at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Concerns {
    /// The sites that ask nobody for anything, because their privacy document is not filled in.
    pub sites_not_filled_in: Vec<Box<str>>,
    /// The texts that are not filled in, of whatever document and language.
    pub texts_not_filled_in: Vec<Missing>,
    /// The sites that run on older settings than those on disk, because these have errors.
    pub sites_outdated: Vec<Box<str>>,
}

/// A text of a document that is not filled in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Missing {
    /// The site.
    pub site: Box<str>,
    /// The document.
    pub document: Box<str>,
    /// The language.
    pub language: Box<str>,
    /// The file to fill in; none: the site names none for this language.
    pub file: Option<Box<str>>,
}

impl Concerns {
    /// In alphabetical order, the first of each alone.
    pub(super) fn shortened(mut self) -> Self {
        self.sites_not_filled_in.sort();
        self.texts_not_filled_in.sort();
        self.sites_outdated.sort();
        self.sites_not_filled_in.truncate(NAMED);
        self.texts_not_filled_in.truncate(NAMED);
        self.sites_outdated.truncate(NAMED);
        self
    }

    /// One line each.
    pub(super) fn write(&self, text: &mut String) {
        // Writing into a String does not fail.
        for site in &self.sites_not_filled_in {
            let _ = writeln!(text, "not_filled_in {site}");
        }
        for Missing { site, document, language, file } in &self.texts_not_filled_in {
            let file = file.as_deref().unwrap_or("no file");
            let _ = writeln!(text, "text_not_filled_in {site} {document} {language} {file}");
        }
        for site in &self.sites_outdated {
            let _ = writeln!(text, "outdated {site}");
        }
    }
}
