//! Entries as JSON or CSV, with all that is needed to follow the chain.
//!
//! Names that ISO/IEC TS 27560 has for the fields of a consent record are used: `record_id`, `schema_version`,
//! `pii_principal_id` (the random subject), `pii_controller` (here the site), `event_time`, `event_type`,
//! `event_state`, `validity_duration` (here its end, `valid_until`). The others are the ledger's own.

use serde_json::{Value, json};

use super::chain::word;
use super::entry::{Action, Entry};

/// The columns of a CSV export, in order; the keys of a JSON one.
pub const FIELDS: [&str; 22] = [
    "schema_version",
    "sequence",
    "record_id",
    "event_time",
    "pii_controller",
    "pii_principal_id",
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
    "previous_hash",
    "hash",
    "hash_encoding",
];

/// One entry as a JSON object with the keys of [`FIELDS`].
pub fn record(sequence: Option<i64>, entry: &Entry) -> Value {
    let decision = &entry.decision;
    let mut record = json!({
        "schema_version": "1",
        "sequence": sequence,
        "record_id": entry.id,
        "event_time": entry.at.to_string(),
        "pii_controller": decision.site,
        "pii_principal_id": decision.subject.to_string(),
        "method": word(&decision.method),
        "language": decision.language,
        "settings_epoch": format!("{:016x}", decision.epoch),
        "valid_until": decision.valid_until.map(|time| time.to_string()),
        "shown_sha256": hexadecimal(&entry.shown),
        "previous_hash": hexadecimal(&entry.previous),
        "hash": hexadecimal(&entry.hash),
        "hash_encoding": "1",
    });
    let Value::Object(fields) = &mut record else { return record };
    let mut set = |key: &str, value: Value| fields.insert(key.to_owned(), value);
    match &decision.action {
        Action::Choice { categories, services, withdraws, under_signal } => {
            let state = match (withdraws, categories.bits() == 0 && services.is_empty()) {
                (true, _) => "withdrawn",
                (false, true) => "refused",
                (false, false) => "given",
            };
            set("event_type", json!("choice"));
            set("event_state", json!(state));
            set("categories", json!(categories.iter().map(|category| category.as_str()).collect::<Vec<_>>()));
            set("services", json!(services));
            set("under_signal", json!(under_signal));
        }
        Action::Acceptance { document, verb, version, text } => {
            set("event_type", json!("acceptance"));
            set("event_state", json!(word(verb)));
            set("document", json!(document));
            set("version", json!(version));
            set("text_sha256", json!(hexadecimal(text)));
        }
    }
    record
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

/// Bytes in hexadecimal, as records write hashes.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
