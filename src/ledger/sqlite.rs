//! The ledger in a SQLite file: WAL, and a commit returns only when it is on disk (`synchronous=FULL`).

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::chain::{self, value, word};
use super::entry::{Action, Decision, Entry, Shown};
use crate::clock::Timestamp;
use crate::consent::{Categories, Subject};

const SCHEMA: i64 = 1;

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreFailure {
    /// SQLite's own word.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The file system's own word.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Another process writes to it.
    #[error("another process writes to it: two proxies cannot share one SQLite ledger")]
    InUse,
    /// A newer program made it.
    #[error("it has schema {0}, and this program knows schema {SCHEMA}: use the newer program")]
    Newer(i64),
    /// A row does not hold what it must.
    #[error("entry {0} is damaged")]
    Damaged(i64),
}

/// The store with the right to write.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    /// Held while the store is open, so that two processes cannot fork the chain.
    _lock: File,
    last: [u8; 32],
}

impl Store {
    /// Opens the file, makes it (readable by its owner alone) where there is none.
    pub fn open(path: &Path) -> Result<Self, StoreFailure> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let lock = private(&lock_path(path))?;
        lock.try_lock().map_err(|error| match error {
            std::fs::TryLockError::WouldBlock => StoreFailure::InUse,
            std::fs::TryLockError::Error(error) => StoreFailure::Io(error),
        })?;
        private(path)?;
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        migrate(&connection)?;
        let last = connection
            .query_row("SELECT hash FROM entries ORDER BY sequence DESC LIMIT 1", [], |row| row.get(0))
            .optional()?
            .unwrap_or([0; 32]);
        Ok(Store { connection, _lock: lock, last })
    }

    /// Writes all of `waiting` in one transaction, and returns their entries once they are on disk.
    pub fn write(&mut self, waiting: &[(Uuid, Timestamp, &Decision, &Shown)]) -> Result<(), StoreFailure> {
        let transaction = self.connection.transaction()?;
        let mut last = self.last;
        for (id, at, decision, shown) in waiting {
            let content: [u8; 32] = Sha256::digest(shown.content.as_bytes()).into();
            transaction
                .prepare_cached("INSERT OR IGNORE INTO shown (hash, content) VALUES (?, ?)")?
                .execute(params![content, &*shown.content])?;
            let mut entry = Entry {
                id: *id,
                at: *at,
                decision: (*decision).clone(),
                shown: content,
                previous: last,
                hash: [0; 32],
            };
            entry.hash = chain::hash(&entry);
            insert(&transaction, &entry)?;
            last = entry.hash;
        }
        transaction
            .prepare_cached("UPDATE state SET entries = entries + ?, last = ?")?
            .execute(params![i64::try_from(waiting.len()).unwrap_or(i64::MAX), last])?;
        transaction.commit()?;
        self.last = last;
        Ok(())
    }
}

fn insert(connection: &Connection, entry: &Entry) -> Result<(), StoreFailure> {
    let decision = &entry.decision;
    let (kind, categories, services, flags, document, verb, version, text) = match &decision.action {
        Action::Choice { categories, services, withdraws, under_signal } => {
            let flags = u8::from(*withdraws) | u8::from(*under_signal) << 1;
            ("choice", categories.bits(), services.join(","), flags, None, None, None, None)
        }
        Action::Acceptance { document, verb, version, text } => (
            "acceptance",
            0,
            String::new(),
            0,
            Some(&**document),
            Some(word(verb)),
            Some(&**version),
            Some(text),
        ),
    };
    connection
        .prepare_cached(
            "INSERT INTO entries (id, at, site, subject, kind, categories, services, flags, document, verb, \
             version, text, method, language, epoch, valid_until, shown, previous, hash) \
             VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        )?
        .execute(params![
            entry.id.as_bytes(),
            entry.at.as_millisecond(),
            &*decision.site,
            decision.subject.0.as_bytes(),
            kind,
            categories,
            services,
            flags,
            document,
            verb,
            version,
            text,
            word(&decision.method),
            &*decision.language,
            decision.epoch.to_be_bytes(),
            decision.valid_until.map(|time| time.as_millisecond()),
            entry.shown,
            entry.previous,
            entry.hash,
        ])?;
    Ok(())
}

/// The store with the right to read: it never waits behind a commit, and works while a proxy runs.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

const COLUMNS: &str = "sequence, id, at, site, subject, kind, categories, services, flags, document, verb, \
                       version, text, method, language, epoch, valid_until, shown, previous, hash";

impl Reader {
    /// Opens a ledger that exists.
    pub fn open(path: &Path) -> Result<Self, StoreFailure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.pragma_update(None, "query_only", true)?;
        match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
            SCHEMA => Ok(Reader { connection }),
            other => Err(StoreFailure::Newer(other)),
        }
    }

    /// Hands over each entry with its place in the chain, in order, until `take` says that it is enough.
    pub fn each(
        &self,
        site: Option<&str>,
        mut take: impl FnMut(i64, Entry) -> std::ops::ControlFlow<()>,
    ) -> Result<(), StoreFailure> {
        let mut rows = self.connection.prepare(&format!(
            "SELECT {COLUMNS} FROM entries WHERE ?1 IS NULL OR site = ?1 ORDER BY sequence"
        ))?;
        let mut rows = rows.query([site])?;
        while let Some(row) = rows.next()? {
            let (sequence, entry) = read(row)?;
            if take(sequence, entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// What one visitor of one site decided, the newest first, at most 100.
    pub fn of(&self, site: &str, subject: Subject) -> Result<Vec<Entry>, StoreFailure> {
        let mut found = self.connection.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM entries WHERE site = ? AND subject = ? ORDER BY sequence DESC LIMIT 100"
        ))?;
        let mut rows = found.query(params![site, subject.0.as_bytes()])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            entries.push(read(row)?.1);
        }
        Ok(entries)
    }

    /// The text as shown, by its hash.
    pub fn shown(&self, hash: &[u8; 32]) -> Result<Option<String>, StoreFailure> {
        let mut found = self.connection.prepare_cached("SELECT content FROM shown WHERE hash = ?")?;
        Ok(found.query_row([hash], |row| row.get(0)).optional()?)
    }

    /// How many entries there should be, and the hash of the last.
    pub fn state(&self) -> Result<(i64, [u8; 32]), StoreFailure> {
        let query = "SELECT entries, last FROM state";
        Ok(self.connection.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }
}

fn read(row: &Row<'_>) -> Result<(i64, Entry), StoreFailure> {
    let sequence: i64 = row.get("sequence")?;
    let damaged = || StoreFailure::Damaged(sequence);
    let time = |at: i64| Timestamp::from_millisecond(at).map_err(|_| damaged());
    let flags: u8 = row.get("flags")?;
    let action = if row.get::<_, String>("kind")? == "choice" {
        let services: String = row.get("services")?;
        Action::Choice {
            categories: Categories::from_bits(row.get("categories")?),
            services: services.split(',').filter(|id| !id.is_empty()).map(Into::into).collect(),
            withdraws: flags & 1 != 0,
            under_signal: flags & 2 != 0,
        }
    } else {
        Action::Acceptance {
            document: row.get::<_, String>("document")?.into(),
            verb: value(row.get("verb")?).ok_or_else(damaged)?,
            version: row.get::<_, String>("version")?.into(),
            text: row.get("text")?,
        }
    };
    let decision = Decision {
        site: row.get::<_, String>("site")?.into(),
        subject: Subject(Uuid::from_bytes(row.get("subject")?)),
        action,
        method: value(row.get("method")?).ok_or_else(damaged)?,
        language: row.get::<_, String>("language")?.into(),
        epoch: u64::from_be_bytes(row.get("epoch")?),
        valid_until: row.get::<_, Option<i64>>("valid_until")?.map(time).transpose()?,
    };
    let entry = Entry {
        id: Uuid::from_bytes(row.get("id")?),
        at: time(row.get("at")?)?,
        decision,
        shown: row.get("shown")?,
        previous: row.get("previous")?,
        hash: row.get("hash")?,
    };
    Ok((sequence, entry))
}

fn migrate(connection: &Connection) -> Result<(), StoreFailure> {
    match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
        SCHEMA => Ok(()),
        0 => Ok(connection.execute_batch(&format!(
            "BEGIN;
             CREATE TABLE shown (hash BLOB PRIMARY KEY, content TEXT NOT NULL) WITHOUT ROWID;
             CREATE TABLE entries (
                 sequence INTEGER PRIMARY KEY AUTOINCREMENT, id BLOB NOT NULL UNIQUE, at INTEGER NOT NULL,
                 site TEXT NOT NULL, subject BLOB NOT NULL, kind TEXT NOT NULL, categories INTEGER NOT NULL,
                 services TEXT NOT NULL, flags INTEGER NOT NULL, document TEXT, verb TEXT, version TEXT,
                 text BLOB, method TEXT NOT NULL, language TEXT NOT NULL, epoch BLOB NOT NULL,
                 valid_until INTEGER, shown BLOB NOT NULL REFERENCES shown (hash), previous BLOB NOT NULL,
                 hash BLOB NOT NULL);
             CREATE INDEX of_subject ON entries (site, subject, sequence);
             CREATE TABLE state (entries INTEGER NOT NULL, last BLOB NOT NULL);
             INSERT INTO state VALUES (0, zeroblob(32));
             PRAGMA user_version = {SCHEMA};
             COMMIT;"
        ))?),
        newer => Err(StoreFailure::Newer(newer)),
    }
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

/// Opens a file, and makes it readable by its owner alone where there is none.
fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
