//! The hash that chains each entry to the one before (DESIGN: a changed, missing or reordered entry shows).

use sha2::{Digest, Sha256};

use super::entry::{Action, Entry};

/// The version of the encoding below; a change of it starts a new schema.
const ENCODING: u8 = 1;

/// The hash of an entry: SHA-256 over an unambiguous encoding of all its fields and of the hash before.
pub fn hash(entry: &Entry) -> [u8; 32] {
    let mut sha = Sha256::new();
    let mut part = |bytes: &[u8]| {
        // Lengths go first, so that no two lists of fields run together into the same bytes.
        sha.update((bytes.len() as u64).to_be_bytes());
        sha.update(bytes);
    };
    part(&[ENCODING]);
    part(&entry.previous);
    part(entry.id.as_bytes());
    part(&entry.at.as_millisecond().to_be_bytes());
    part(&entry.shown);
    let decision = &entry.decision;
    part(decision.site.as_bytes());
    part(decision.subject.0.as_bytes());
    part(word(&decision.method).as_bytes());
    part(decision.language.as_bytes());
    part(&decision.epoch.to_be_bytes());
    part(&decision.valid_until.map_or(i64::MIN, |time| time.as_millisecond()).to_be_bytes());
    match &decision.action {
        Action::Choice { categories, services, withdraws, under_signal } => {
            part(b"choice");
            part(&[categories.bits(), u8::from(*withdraws), u8::from(*under_signal)]);
            for service in services {
                part(service.as_bytes());
            }
        }
        Action::Acceptance { document, verb, version, text } => {
            part(b"acceptance");
            part(document.as_bytes());
            part(word(verb).as_bytes());
            part(version.as_bytes());
            part(text);
        }
    }
    sha.finalize().into()
}

/// The word by which an enum of the ledger is written.
pub(super) fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The value of a word that [`word`] wrote.
pub(super) fn value<T: serde::de::DeserializeOwned>(word: String) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word)).ok()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::clock::Timestamp;
    use crate::consent::{Categories, Subject};
    use crate::ledger::entry::{Decision, Method, Verb};

    fn entry() -> Entry {
        Entry {
            id: Uuid::from_u128(1),
            at: Timestamp::from_second(5).unwrap(),
            decision: Decision {
                site: "shop".into(),
                subject: Subject(Uuid::from_u128(2)),
                action: Action::Choice {
                    categories: Categories::ALL,
                    services: vec!["ab".into(), "c".into()],
                    withdraws: false,
                    under_signal: false,
                },
                method: Method::Banner,
                language: "sv".into(),
                epoch: 3,
                valid_until: None,
            },
            shown: [4; 32],
            previous: [0; 32],
            hash: [0; 32],
        }
    }

    #[test]
    fn every_field_changes_the_hash() {
        let changes: [fn(&mut Entry); 12] = [
            |e| e.id = Uuid::from_u128(9),
            |e| e.at = Timestamp::from_second(6).unwrap(),
            |e| e.shown = [5; 32],
            |e| e.previous = [1; 32],
            |e| e.decision.site = "other".into(),
            |e| e.decision.subject = Subject(Uuid::from_u128(8)),
            |e| e.decision.method = Method::Settings,
            |e| e.decision.language = "en".into(),
            |e| e.decision.epoch = 4,
            |e| e.decision.valid_until = Some(Timestamp::UNIX_EPOCH),
            |e| {
                e.decision.action = Action::Choice {
                    categories: Categories::ALL,
                    services: vec!["a".into(), "bc".into()],
                    withdraws: false,
                    under_signal: false,
                }
            },
            |e| {
                e.decision.action = Action::Acceptance {
                    document: "privacy".into(),
                    verb: Verb::Accepted,
                    version: "1".into(),
                    text: [0; 32],
                }
            },
        ];
        let mut seen = std::collections::HashSet::from([hash(&entry())]);
        for change in changes {
            let mut changed = entry();
            change(&mut changed);
            assert!(seen.insert(hash(&changed)));
        }
    }
}
