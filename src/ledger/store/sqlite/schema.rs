//! The tables in SQLite, and how older ones are brought up to date: in one transaction, or not at all.

use rusqlite::{Connection, Transaction, params};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::{SCHEMA, StoreFailure};
use super::{immediate, insert, put_head};
use crate::clock::Timestamp;
use crate::consent::{Categories, Subject};
use crate::ledger::chain::{self, Draft};
use crate::ledger::entry::{Action, Decision, Method, Verb};
use crate::ledger::seal::Keys;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS shown (hash BLOB PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE entries (
        chain BLOB NOT NULL, sequence INTEGER NOT NULL, id BLOB NOT NULL UNIQUE, at INTEGER NOT NULL,
        site TEXT NOT NULL, kind TEXT NOT NULL, document TEXT, valid_until INTEGER, body TEXT NOT NULL,
        subject BLOB, identity BLOB, salt BLOB, digest BLOB NOT NULL,
        shown BLOB NOT NULL REFERENCES shown (hash), previous BLOB NOT NULL, hash BLOB NOT NULL,
        seal BLOB NOT NULL, erased_at INTEGER, erased_seal BLOB,
        PRIMARY KEY (chain, sequence)) WITHOUT ROWID;
    CREATE INDEX of_subject ON entries (subject, id) WHERE subject IS NOT NULL;
    CREATE INDEX of_identity ON entries (identity, id) WHERE identity IS NOT NULL;
    CREATE TABLE chains (
        chain BLOB NOT NULL UNIQUE, sequence INTEGER NOT NULL, hash BLOB NOT NULL, at INTEGER NOT NULL,
        seal BLOB NOT NULL);
    CREATE TABLE tombstones (
        chain BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, before BLOB NOT NULL,
        after BLOB NOT NULL, at INTEGER NOT NULL, seal BLOB NOT NULL,
        PRIMARY KEY (chain, first)) WITHOUT ROWID;";

/// Which held forms were sent on. No entry depends on it, and programs that do not know it get along.
const FORMS: &str = "
    CREATE TABLE IF NOT EXISTS forms (
        id BLOB PRIMARY KEY, has_arrived INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;";

/// Brings the tables up to date, or makes them.
pub(super) fn migrate(connection: &mut Connection, keys: &Keys) -> Result<(), StoreFailure> {
    match version(connection)? {
        SCHEMA => {
            expect_current(connection)?;
            Ok(connection.execute_batch(FORMS)?)
        }
        0 => {
            let transaction = immediate(connection)?;
            transaction.execute_batch(TABLES)?;
            transaction.execute_batch(FORMS)?;
            stamp(transaction)
        }
        1 => from_1(connection, keys),
        newer => Err(StoreFailure::Newer(newer)),
    }
}

/// Refuses what is not of this version, or only says that it is.
pub(super) fn expect_current(connection: &Connection) -> Result<(), StoreFailure> {
    match version(connection)? {
        SCHEMA => {}
        0 => return Err(StoreFailure::Missing),
        older if older < SCHEMA => return Err(StoreFailure::Older(older)),
        newer => return Err(StoreFailure::Newer(newer)),
    }
    for sql in [
        &format!("SELECT {} FROM entries LIMIT 0", super::super::COLUMNS),
        "SELECT hash, content FROM shown LIMIT 0",
        "SELECT chain, sequence, hash, at, seal FROM chains LIMIT 0",
        "SELECT chain, first, last, before, after, at, seal FROM tombstones LIMIT 0",
    ] {
        connection.prepare(sql).map_err(|error| match error {
            rusqlite::Error::SqlInputError { msg, .. } => StoreFailure::HalfMigrated(SCHEMA, msg),
            // SQLITE_ERROR: it does not know the table or the column.
            rusqlite::Error::SqliteFailure(error, Some(message)) if error.extended_code == 1 => {
                StoreFailure::HalfMigrated(SCHEMA, message)
            }
            other => other.into(),
        })?;
    }
    Ok(())
}

fn version(connection: &Connection) -> Result<i64, StoreFailure> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn stamp(transaction: Transaction<'_>) -> Result<(), StoreFailure> {
    transaction.pragma_update(None, "user_version", SCHEMA)?;
    Ok(transaction.commit()?)
}

/// Schema 1 chained the subject itself, so that nobody could be erased. Its chain is verified on the way, and its
/// entries are chained anew.
fn from_1(connection: &mut Connection, keys: &Keys) -> Result<(), StoreFailure> {
    let transaction = immediate(connection)?;
    transaction.execute_batch("DROP INDEX IF EXISTS of_subject; ALTER TABLE entries RENAME TO entries_1;")?;
    transaction.execute_batch(TABLES)?;
    transaction.execute_batch(FORMS)?;
    let mut head = chain::begin(Uuid::new_v4(), Timestamp::UNIX_EPOCH, keys);
    {
        let mut found = transaction.prepare("SELECT * FROM entries_1 ORDER BY sequence")?;
        let mut rows = found.query([])?;
        let mut last = [0; 32];
        while let Some(row) = rows.next()? {
            let sequence: i64 = row.get("sequence")?;
            let old = Old::read(row).ok_or(StoreFailure::Damaged(sequence))?;
            if old.previous != last || old.hash() != old.hash {
                return Err(StoreFailure::OldChainBroken(sequence));
            }
            last = old.hash;
            let mut salt = [0; 16];
            getrandom::fill(&mut salt).map_err(|_| StoreFailure::NoRandom)?;
            let draft = Draft {
                id: old.id,
                at: old.at,
                person: old.subject.into(),
                decision: &old.decision,
                shown: old.shown,
                salt,
            };
            let (records, next) = chain::link(&head, keys, &[draft]);
            records.iter().try_for_each(|record| insert(&transaction, record))?;
            head = next;
        }
        let (entries, end): (i64, [u8; 32]) =
            transaction
                .query_row("SELECT entries, last FROM state", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if entries != head.sequence || end != last {
            return Err(StoreFailure::OldChainBroken(head.sequence + 1));
        }
    }
    transaction.execute_batch("DROP TABLE entries_1; DROP TABLE state;")?;
    put_head(&transaction, &head)?;
    transaction.execute("DELETE FROM chains WHERE chain <> ?", params![head.chain.as_bytes()])?;
    stamp(transaction)
}

/// An entry of schema 1.
struct Old {
    id: Uuid,
    at: Timestamp,
    subject: Subject,
    decision: Decision,
    shown: [u8; 32],
    previous: [u8; 32],
    hash: [u8; 32],
}

impl Old {
    fn read(row: &rusqlite::Row<'_>) -> Option<Self> {
        let text = |name: &str| row.get::<_, String>(name).ok();
        let flags: u8 = row.get("flags").ok()?;
        let action = if text("kind")? == "choice" {
            Action::Choice {
                categories: Categories::from_bits(row.get("categories").ok()?),
                services: text("services")?.split(',').filter(|id| !id.is_empty()).map(Into::into).collect(),
                withdraws: flags & 1 != 0,
                under_signal: flags & 2 != 0,
            }
        } else {
            Action::Acceptance {
                document: text("document")?.into(),
                verb: value::<Verb>(text("verb")?)?,
                version: text("version")?.into(),
                text: row.get("text").ok()?,
            }
        };
        let valid_until = match row.get::<_, Option<i64>>("valid_until").ok()? {
            Some(at) => Some(Timestamp::from_millisecond(at).ok()?),
            None => None,
        };
        Some(Old {
            id: Uuid::from_bytes(row.get("id").ok()?),
            at: Timestamp::from_millisecond(row.get("at").ok()?).ok()?,
            subject: Subject(Uuid::from_bytes(row.get("subject").ok()?)),
            decision: Decision {
                site: text("site")?.into(),
                action,
                method: value::<Method>(text("method")?)?,
                language: text("language")?.into(),
                epoch: u64::from_be_bytes(row.get("epoch").ok()?),
                valid_until,
            },
            shown: row.get("shown").ok()?,
            previous: row.get("previous").ok()?,
            hash: row.get("hash").ok()?,
        })
    }

    /// The hash as schema 1 made it.
    fn hash(&self) -> [u8; 32] {
        let mut sha = Sha256::new();
        let mut part = |bytes: &[u8]| {
            sha.update((bytes.len() as u64).to_be_bytes());
            sha.update(bytes);
        };
        part(&[1]);
        part(&self.previous);
        part(self.id.as_bytes());
        part(&self.at.as_millisecond().to_be_bytes());
        part(&self.shown);
        let decision = &self.decision;
        part(decision.site.as_bytes());
        part(self.subject.0.as_bytes());
        part(word(&decision.method).as_bytes());
        part(decision.language.as_bytes());
        part(&decision.epoch.to_be_bytes());
        part(&decision.valid_until.map_or(i64::MIN, |time| time.as_millisecond()).to_be_bytes());
        match &decision.action {
            Action::Choice { categories, services, withdraws, under_signal } => {
                part(b"choice");
                part(&[categories.bits(), u8::from(*withdraws), u8::from(*under_signal)]);
                services.iter().for_each(|service| part(service.as_bytes()));
            }
            Action::Acceptance { document, verb, version, text } => {
                part(b"acceptance");
                part(document.as_bytes());
                part(word(verb).as_bytes());
                part(version.as_bytes());
                part(text);
            }
            // Schema 1 knew none.
            Action::Decline { .. } => {}
        }
        sha.finalize().into()
    }
}

fn word<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn value<T: serde::de::DeserializeOwned>(word: String) -> Option<T> {
    serde_json::from_value(serde_json::Value::String(word)).ok()
}
