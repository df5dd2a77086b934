//! Entries as JSON or CSV, with all that is needed to compute each hash anew.
//!
//! Names that ISO/IEC TS 27560 has for the fields of a consent record are used: `record_id`, `schema_version`,
//! `pii_principal_id` (the random subject), `pii_controller` (here the site), `event_time`, `event_type`,
//! `event_state`, `validity_duration` (here its end, `valid_until`). The others are the ledger's own.

use serde_json::{Value, json};

use super::entry::{Action, Entry, Verb};
use super::hexadecimal;
use super::record::Whose;
use crate::clock::Timestamp;

/// The columns of a CSV export, in order; the keys of a JSON one.
pub const FIELDS: [&str; 29] = [
    "schema_version",
    "chain",
    "sequence",
    "record_id",
    "event_time",
    "pii_controller",
    "pii_principal_id",
    "identity",
    "event_type",
    "event_state",
    "categories",
    "services",
    "under_signal",
    "document",
    "version",
    "text_sha256",
    "method",
    "language",
    "settings_epoch",
    "valid_until",
    "shown_sha256",
    "erased_at",
    "salt",
    "principal_digest",
    "previous_hash",
    "hash",
    "hash_encoding",
    "seal",
    "body",
];

/// One entry as a JSON object with the keys of [`FIELDS`].
pub fn record(entry: &Entry) -> Value {
    let Entry { decision, record: row } = entry;
    let mut record = json!({
        "schema_version": "2",
        "chain": row.chain,
        "sequence": row.sequence,
        "record_id": row.id,
        "event_time": entry.at().to_string(),
        "pii_controller": decision.site,
        "method": decision.method,
        "language": decision.language,
        "settings_epoch": format!("{:016x}", decision.epoch),
        "valid_until": decision.valid_until.map(|time| time.to_string()),
        "shown_sha256": hexadecimal::of(&row.shown),
        "principal_digest": hexadecimal::of(&row.digest),
        "previous_hash": hexadecimal::of(&row.previous),
        "hash": hexadecimal::of(&row.hash),
        "hash_encoding": "2",
        "seal": hexadecimal::of(&row.seal),
        "body": row.body,
    });
    let Value::Object(fields) = &mut record else { return record };
    let mut set = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    match &row.whose {
        Whose::Known { person, salt } => {
            set("pii_principal_id", json!(person.subject.to_string()));
            set("identity", json!(person.identity.map(|identity| hexadecimal::of(&identity))));
            set("salt", json!(hexadecimal::of(salt)));
        }
        Whose::Erased { at, .. } => {
            set("erased_at", json!(Timestamp::from_millisecond(*at).unwrap_or_default().to_string()));
        }
    }
    set("event_type", json!(decision.action.kind()));
    set("event_state", json!(state(&decision.action)));
    match &decision.action {
        Action::Choice { categories, services, under_signal, .. } => {
            set("categories", json!(categories.iter().map(|category| category.as_str()).collect::<Vec<_>>()));
            set("services", json!(services));
            set("under_signal", json!(under_signal));
        }
        Action::Acceptance { document, version, text, .. } | Action::Decline { document, version, text } => {
            set("document", json!(document));
            set("version", json!(version));
            set("text_sha256", json!(hexadecimal::of(text)));
        }
    }
    record
}

/// The word for what an entry did.
pub fn state(action: &Action) -> &'static str {
    match action {
        Action::Choice { withdraws: true, .. } => "withdrawn",
        Action::Choice { categories, services, .. } if categories.bits() == 0 && services.is_empty() => {
            "refused"
        }
        Action::Choice { .. } => "given",
        Action::Acceptance { verb: Verb::Acknowledged, .. } => "acknowledged",
        Action::Acceptance { verb: Verb::Accepted, .. } => "accepted",
        Action::Decline { .. } => "declined",
    }
}

/// A record as one line of CSV (RFC 4180), fields in the order of [`FIELDS`].
pub fn csv(record: &Value) -> String {
    let field = |name: &&str| match record.get(*name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => quoted(text),
        Some(Value::Array(words)) => {
            quoted(&words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
        }
        Some(other) => quoted(&other.to_string()),
    };
    FIELDS.iter().map(field).collect::<Vec<_>>().join(",")
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}
