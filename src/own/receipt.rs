//! A receipt for its visitor: as a sentence of the settings page, and as a file.

use serde_json::{Value, json};

use crate::ledger::Entry;
use crate::ledger::entry::{Action, Method, Verb};
use crate::ledger::export;
use crate::site::Site;
use crate::web::language::{Language, Wishes};
use crate::web::texts::Texts;

/// What was decided, in words; and by what, where it was not the visitor themselves who said so.
pub(super) fn sentence(entry: &Entry, site: &Site, texts: &Texts<'_>, language: &Language) -> String {
    let decided = decided(entry, site, texts, language);
    match entry.decision.method {
        // Names, which no language translates; the receipt's own page says which of them it was.
        Method::Signal => format!("Global Privacy Control / Do Not Track: {decided}"),
        _ => decided,
    }
}

fn decided(entry: &Entry, site: &Site, texts: &Texts<'_>, language: &Language) -> String {
    match &entry.decision.action {
        Action::Choice { categories, services, .. } => {
            let services = services.iter().map(|id| {
                site.filter
                    .services
                    .find(id)
                    .map_or_else(|| id.to_string(), |service| service.name.to_string())
            });
            let categories = categories.iter().map(|category| texts.get(category.as_str()).to_owned());
            let names: Vec<_> = categories.chain(services).collect();
            if names.is_empty() {
                return texts.get("receipt_refusal").into();
            }
            let key = match entry.decision.method {
                Method::PlaceholderOnce => "receipt_once",
                Method::Banner
                | Method::WithoutScripts
                | Method::Settings
                | Method::Placeholder
                | Method::Document
                | Method::Program
                | Method::Signal => "receipt_choice",
            };
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            texts.fill(key, &[("title", &texts.list(&names))])
        }
        Action::Acceptance { document, verb, version, .. } => {
            let key = match verb {
                Verb::Acknowledged => "receipt_acknowledged",
                Verb::Accepted => "receipt_accepted",
            };
            texts.fill(key, &[("title", title(document, site, language)), ("version", version)])
        }
        Action::Decline { document, version, .. } => texts
            .fill("receipt_declined", &[("title", title(document, site, language)), ("version", version)]),
    }
}

/// The title of a document, or its name where it is not there any more.
fn title<'a>(document: &'a str, site: &'a Site, language: &Language) -> &'a str {
    let text = site.documents.find(document);
    let text = text.and_then(|document| document.text(Some(language), &Wishes::default()));
    text.map_or(document, |text| &text.title)
}

/// The whole entry, for the visitor to keep. With it, they can prove that an entry is theirs also when the ledger
/// does not know it any more.
pub(super) fn file(entry: &Entry, site: &Site) -> Value {
    let mut receipt = export::record(entry);
    if let Value::Object(fields) = &mut receipt {
        fields.insert("controller".into(), json!(site.controller));
        fields.insert("processor".into(), json!(site.processor));
    }
    receipt
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::tests::site;
    use super::*;
    use crate::consent::{Categories, Subject};
    use crate::ledger::Decision;
    use crate::ledger::record::{Record, Whose};

    fn entry(action: Action) -> Entry {
        let decision = Decision {
            site: "shop".into(),
            action,
            method: Method::Banner,
            language: "sv".into(),
            epoch: 1,
            valid_until: None,
        };
        let record = Record {
            chain: Uuid::from_u128(9),
            sequence: 1,
            id: Uuid::from_u128(1),
            at: 0,
            site: "shop".into(),
            kind: decision.action.kind().into(),
            document: None,
            valid_until: None,
            body: "{}".into(),
            whose: Whose::Known { person: Subject(Uuid::from_u128(2)).into(), salt: [3; 16] },
            digest: [4; 32],
            shown: [1; 32],
            previous: [0; 32],
            hash: [2; 32],
            seal: [5; 20],
        };
        Entry { decision, record }
    }

    fn choice(bits: u8, services: &[&str]) -> Action {
        Action::Choice {
            categories: Categories::from_bits(bits),
            services: services.iter().map(|id| Box::from(*id)).collect(),
            withdraws: false,
            under_signal: false,
        }
    }

    fn acceptance(verb: Verb) -> Action {
        Action::Acceptance { document: "privacy".into(), verb, version: "2".into(), text: [7; 32] }
    }

    #[test]
    fn every_receipt_is_a_sentence_of_its_visitors_language() {
        let site = site();
        let language = Language::parse("en").unwrap();
        let texts = site.filter.look.texts(&language);
        for (action, expected) in [
            (choice(0b10, &["acme-stats"]), "You agreed to: Statistics and Acme Stats"),
            (choice(0, &[]), "You rejected everything that is not necessary"),
            (
                acceptance(Verb::Acknowledged),
                "You confirmed that you have read “Cookies and privacy”, version 2",
            ),
            (acceptance(Verb::Accepted), "You accepted “Cookies and privacy”, version 2"),
            (
                Action::Decline { document: "privacy".into(), version: "2".into(), text: [7; 32] },
                "You did not accept “Cookies and privacy”, version 2",
            ),
        ] {
            assert_eq!(sentence(&entry(action), &site, &texts, &language), expected);
        }
    }

    #[test]
    fn the_file_says_who_what_when_and_to_which_wording() {
        let file = file(&entry(acceptance(Verb::Acknowledged)), &site());
        assert_eq!(file["event_state"], "acknowledged");
        assert_eq!(file["text_sha256"], "07".repeat(32));
        assert_eq!(file["controller"]["name"], "Exempelbyrån AB");
        assert_eq!(file["event_time"], "1970-01-01T00:00:00Z");
    }
}
