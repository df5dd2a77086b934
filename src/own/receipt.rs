//! A receipt for its visitor: as a sentence of the settings page, and as a file.

use serde_json::{Value, json};

use crate::ledger::Entry;
use crate::ledger::entry::{Action, Method, Verb};
use crate::ledger::export::hexadecimal;
use crate::site::Site;
use crate::web::language::{Language, Wishes};
use crate::web::texts::Texts;

/// What was decided, in words.
pub(super) fn sentence(entry: &Entry, site: &Site, texts: &Texts<'_>, language: &Language) -> String {
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
                | Method::Settings
                | Method::Placeholder
                | Method::Document
                | Method::Program => "receipt_choice",
            };
            texts.fill(key, &[("title", &names.join(", "))])
        }
        Action::Acceptance { document, verb, version, .. } => {
            let text = site.documents.find(document);
            let text = text.and_then(|document| document.text(Some(language), &Wishes::default()));
            let title = text.map_or(&**document, |text| &text.title);
            let key = match verb {
                Verb::Acknowledged => "receipt_acknowledged",
                Verb::Accepted => "receipt_accepted",
            };
            texts.fill(key, &[("title", title), ("version", version)])
        }
    }
}

/// The whole entry, for the visitor to keep.
pub(super) fn file(entry: &Entry, site: &Site) -> Value {
    let decision = &entry.decision;
    json!({
        "receipt": entry.id,
        "recorded_at": entry.at.to_string(),
        "site": decision.site,
        "controller": site.controller,
        "processor": site.processor,
        "subject": decision.subject.to_string(),
        "decision": action(&decision.action),
        "method": decision.method,
        "language": decision.language,
        "valid_until": decision.valid_until.map(|until| until.to_string()),
        "shown_sha256": hexadecimal(&entry.shown),
        "previous_sha256": hexadecimal(&entry.previous),
        "entry_sha256": hexadecimal(&entry.hash),
    })
}

fn action(action: &Action) -> Value {
    match action {
        Action::Choice { categories, services, withdraws, under_signal } => json!({
            "kind": "choice",
            "categories": categories.iter().map(|category| category.as_str()).collect::<Vec<_>>(),
            "services": services,
            "withdraws": withdraws,
            "global_privacy_control": under_signal,
        }),
        Action::Acceptance { document, verb, version, text } => json!({
            "kind": "acceptance",
            "document": document,
            "verb": verb,
            "version": version,
            "text_sha256": hexadecimal(text),
        }),
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::tests::site;
    use super::*;
    use crate::clock::Timestamp;
    use crate::consent::{Categories, Subject};
    use crate::ledger::Decision;

    fn entry(action: Action) -> Entry {
        Entry {
            id: Uuid::from_u128(1),
            at: Timestamp::UNIX_EPOCH,
            decision: Decision {
                site: "shop".into(),
                subject: Subject(Uuid::from_u128(2)),
                action,
                method: Method::Banner,
                language: "sv".into(),
                epoch: 1,
                valid_until: None,
            },
            shown: [1; 32],
            previous: [0; 32],
            hash: [2; 32],
        }
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
            (choice(0b10, &["acme-stats"]), "You agreed to: Statistics, Acme Stats"),
            (choice(0, &[]), "You rejected everything that is not necessary"),
            (
                acceptance(Verb::Acknowledged),
                "You confirmed that you have read “Cookies and privacy”, version 2",
            ),
            (acceptance(Verb::Accepted), "You accepted “Cookies and privacy”, version 2"),
        ] {
            assert_eq!(sentence(&entry(action), &site, &texts, &language), expected);
        }
    }

    #[test]
    fn the_file_says_who_what_when_and_to_which_wording() {
        let file = file(&entry(acceptance(Verb::Acknowledged)), &site());
        assert_eq!(file["decision"]["verb"], "acknowledged");
        assert_eq!(file["decision"]["text_sha256"], "07".repeat(32));
        assert_eq!(file["controller"]["name"], "Exempelbyrån AB");
        assert_eq!(file["recorded_at"], "1970-01-01T00:00:00Z");
    }
}
