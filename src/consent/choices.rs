//! What one visitor decided, and what follows from it once their browser's signals are heard.

use std::collections::BTreeSet;
use std::fmt;

use uuid::Uuid;

use super::{Categories, Category};
use crate::clock::Timestamp;

/// A visitor as the ledger knows them: 128 random bits from their cookie, tied to nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subject(pub Uuid);

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

/// What a visitor agreed to, as their signed cookie says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choices {
    /// Who decided.
    pub subject: Subject,
    /// The categories agreed to.
    pub categories: Categories,
    /// Single services agreed to, by id, beside those of the categories.
    pub services: BTreeSet<Box<str>>,
    /// When, to the second.
    pub made_at: Timestamp,
    /// The ledger's entry; none for a refusal that was honoured while the ledger did not work.
    pub receipt: Option<Uuid>,
    /// Whether the browser sent `Sec-GPC: 1` when the choice was made: then the choice outranks the signal.
    pub under_signal: bool,
}

impl Choices {
    /// Whether nothing at all was agreed to.
    pub fn is_refusal(&self) -> bool {
        self.categories == Categories::NONE && self.services.is_empty()
    }
}

/// What may act for this visitor now: their choices, less what a signal of the browser takes back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    categories: Categories,
    services: BTreeSet<Box<str>>,
}

impl Granted {
    /// Everything, as after "accept all".
    pub fn all() -> Self {
        Granted { categories: Categories::ALL, services: BTreeSet::new() }
    }

    /// What `categories` and `services` cover.
    pub fn new(categories: Categories, services: BTreeSet<Box<str>>) -> Self {
        Granted { categories, services }
    }

    /// The same with one more service.
    #[must_use]
    pub fn with_service(mut self, service: &str) -> Self {
        self.services.insert(service.into());
        self
    }

    /// Whether the visitor agreed to a service of this id and category.
    pub fn covers(&self, service: &str, category: Category) -> bool {
        self.categories.covers(category) || self.services.contains(service)
    }

    /// Whether every category is agreed to.
    pub fn is_all(&self) -> bool {
        self.categories == Categories::ALL
    }

    /// The categories agreed to.
    pub fn categories(&self) -> Categories {
        self.categories
    }

    /// The single services agreed to, by id.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(AsRef::as_ref)
    }
}

/// "I have read (a notice) / I accept (an agreement) this wording of this document."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The document's name in the site's YAML.
    pub document: Box<str>,
    /// The first 128 bits of the SHA-256 of the accepted wording.
    pub version: [u8; 16],
    /// The ledger's entry.
    pub receipt: Uuid,
    /// When, to the second.
    pub accepted_at: Timestamp,
}
