//! One entry of the ledger: what was decided, and the hash that chains it to the entry before.

use uuid::Uuid;

use crate::clock::Timestamp;
use crate::consent::{Categories, Subject};

/// How a decision reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The banner.
    Banner,
    /// The settings page.
    Settings,
    /// A placeholder, for good: "always load from this service".
    Placeholder,
    /// A placeholder, for one thing on one page and until `valid_until`: the choice stands beside the others of the
    /// visitor and takes the place of none.
    PlaceholderOnce,
    /// The document's page, after a gate or on its own.
    Document,
    /// A script of the site, or another program.
    Program,
}

/// What a visitor decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The site's name.
    pub site: Box<str>,
    /// Who decided.
    pub subject: Subject,
    /// What.
    pub action: Action,
    /// How it reached us.
    pub method: Method,
    /// The language of what was shown, such as `sv`.
    pub language: Box<str>,
    /// The epoch of the site's settings.
    pub epoch: u64,
    /// Until when it holds; none: until it is withdrawn or a new version asks again.
    pub valid_until: Option<Timestamp>,
}

/// A choice or an acceptance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A choice: what is agreed to; nothing at all is a refusal.
    Choice {
        /// The categories agreed to.
        categories: Categories,
        /// The single services agreed to, by id, in order.
        services: Vec<Box<str>>,
        /// Whether the visitor had agreed to more before: then this withdraws the rest (GDPR art. 7(3)).
        withdraws: bool,
        /// Whether the browser sent Global Privacy Control.
        under_signal: bool,
    },
    /// An acceptance of a document.
    Acceptance {
        /// The document's name in the YAML.
        document: Box<str>,
        /// `acknowledged` for a notice, `accepted` for an agreement.
        verb: Verb,
        /// The version of the front matter.
        version: Box<str>,
        /// The SHA-256 of the Markdown source of the accepted text.
        text: [u8; 32],
    },
}

/// What an acceptance says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// "I have read this notice."
    Acknowledged,
    /// "I accept this agreement."
    Accepted,
}

/// The very wording that a visitor was shown: a banner, a settings page or a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The text or markup; the ledger keeps it once, by its SHA-256.
    pub content: std::sync::Arc<str>,
}

/// What the visitor gets for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The entry's id, a UUID of version 7: the receipt.
    pub id: Uuid,
    /// When it was recorded.
    pub at: Timestamp,
}

/// An entry as it stands in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id, a UUID of version 7.
    pub id: Uuid,
    /// When it was recorded, to the millisecond.
    pub at: Timestamp,
    /// What was decided.
    pub decision: Decision,
    /// The SHA-256 of what was shown.
    pub shown: [u8; 32],
    /// The hash of the entry before; zeros for the first.
    pub previous: [u8; 32],
    /// The hash of this entry, which covers all of the above.
    pub hash: [u8; 32],
}
