//! What an entry of the ledger says: who decided what, how, and before which wording.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::hexadecimal;
use super::record::{Record, Whose};
use crate::clock::Timestamp;
use crate::consent::{Acceptance, Categories, Subject};

/// How a decision reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The banner, whose script sent it.
    Banner,
    /// The banner in a browser that ran no script: its form came as a navigation.
    WithoutScripts,
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
    /// A signal of the browser (Global Privacy Control, Do Not Track), which takes back what was agreed to before.
    Signal,
}

/// Who decided, as far as the ledger knows: what an erasure takes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// The random id from the visitor's cookie.
    pub subject: Subject,
    /// A keyed hash of who they are to the application, where the site ties acceptances to that.
    pub identity: Option<[u8; 32]>,
}

impl From<Subject> for Person {
    fn from(subject: Subject) -> Self {
        Person { subject, identity: None }
    }
}

/// What a visitor decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The site's name.
    pub site: Box<str>,
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

/// A choice, an acceptance, or a decline. In the ledger it is JSON: a field more changes no table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Action {
    /// A choice: what is agreed to; nothing at all is a refusal.
    Choice {
        /// The categories agreed to.
        #[serde(with = "words")]
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
        #[serde(with = "hexadecimal::hash")]
        text: [u8; 32],
    },
    /// A document that was not accepted.
    Decline {
        /// The document's name in the YAML.
        document: Box<str>,
        /// The version of the front matter.
        version: Box<str>,
        /// The SHA-256 of the Markdown source of the declined text.
        #[serde(with = "hexadecimal::hash")]
        text: [u8; 32],
    },
}

impl Action {
    /// The word by which entries of this kind are found.
    pub fn kind(&self) -> &'static str {
        match self {
            Action::Choice { .. } => "choice",
            Action::Acceptance { .. } => "acceptance",
            Action::Decline { .. } => "decline",
        }
    }

    /// The document that it is about.
    pub fn document(&self) -> Option<&str> {
        match self {
            Action::Choice { .. } => None,
            Action::Acceptance { document, .. } | Action::Decline { document, .. } => Some(document),
        }
    }
}

/// What an acceptance says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    pub content: Arc<str>,
}

/// What the visitor gets for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The entry's id, a UUID of version 7: the receipt.
    pub id: Uuid,
    /// When it was recorded.
    pub at: Timestamp,
}

/// An entry as it stands in the ledger, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What was decided.
    pub decision: Decision,
    /// The row that says so.
    pub record: Record,
}

impl Entry {
    /// Its id, a UUID of version 7.
    pub fn id(&self) -> Uuid {
        self.record.id
    }

    /// When it was recorded, to the millisecond.
    pub fn at(&self) -> Timestamp {
        Timestamp::from_millisecond(self.record.at).unwrap_or_default()
    }

    /// Who decided; nobody that anybody knows, after an erasure.
    pub fn person(&self) -> Option<Person> {
        match self.record.whose {
            Whose::Known { person, .. } => Some(person),
            Whose::Erased { .. } => None,
        }
    }

    /// The acceptance that it records, as a visitor's cookie would carry it.
    pub fn acceptance(&self) -> Option<Acceptance> {
        let Action::Acceptance { document, text, .. } = &self.decision.action else { return None };
        Some(Acceptance {
            document: document.clone(),
            version: *text.first_chunk()?,
            receipt: self.id(),
            // Cookies know seconds.
            accepted_at: Timestamp::from_second(self.at().as_second()).ok()?,
        })
    }
}

/// What a row says of a decision beside what it is searched by.
#[derive(Serialize, Deserialize)]
struct Body {
    #[serde(flatten)]
    action: Action,
    method: Method,
    language: Box<str>,
    #[serde(with = "hexadecimal::epoch")]
    epoch: u64,
}

impl Decision {
    /// The part of a decision that rows hold as JSON.
    pub(super) fn to_body(&self) -> String {
        let Decision { action, method, language, epoch, .. } = self.clone();
        serde_json::to_string(&Body { action, method, language, epoch }).unwrap_or_default()
    }
}

impl Record {
    /// The entry that a row holds; nothing where this program cannot read it.
    pub fn read(self) -> Option<Entry> {
        let Body { action, method, language, epoch } = serde_json::from_str(&self.body).ok()?;
        let valid_until = match self.valid_until {
            Some(at) => Some(Timestamp::from_millisecond(at).ok()?),
            None => None,
        };
        let decision = Decision { site: self.site.clone(), action, method, language, epoch, valid_until };
        Some(Entry { decision, record: self })
    }
}

/// Categories as a list of their words.
mod words {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::consent::{Categories, Category};

    pub(super) fn serialize<S: Serializer>(set: &Categories, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(set.iter())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Categories, D::Error> {
        Ok(Vec::<Category>::deserialize(deserializer)?.into_iter().collect())
    }
}
