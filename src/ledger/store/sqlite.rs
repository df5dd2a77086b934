//! The ledger in a SQLite file: WAL, and a commit returns only when it is on disk (`synchronous=FULL`).

mod schema;

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, params, params_from_iter};
use uuid::Uuid;

use super::{
    Append, Batch, COLUMNS, Count, Erasure, Filter, Found, Mend, Place, Read, Sending, StoreFailure, judge,
};
use crate::clock::Timestamp;
use crate::consent::Subject;
use crate::ledger::chain;
use crate::ledger::entry::Person;
use crate::ledger::record::{Hash, Head, Record, Tombstone, Whose};
use crate::ledger::seal::Keys;

/// How long a statement waits for another process: less than a visitor's patience.
const PATIENCE: Duration = Duration::from_secs(3);

/// The file with the right to add.
#[derive(Debug)]
pub struct Appender {
    connection: Connection,
    path: PathBuf,
    file: FileId,
    /// Held while the store is open, so that two processes cannot fork the chain.
    _lock: Lock,
    head: Head,
}

impl Appender {
    /// Opens the file, makes it (readable by its owner alone) where there is none, and brings it up to date.
    pub fn open(path: &Path, keys: &Keys, now: Timestamp) -> Result<Self, StoreFailure> {
        let lock = lock(path)?;
        let mut connection = connect_to_write(path)?;
        schema::migrate(&mut connection, keys)?;
        let head = match newest_head(&connection)? {
            None => None,
            Some(head) => match judge(head.clone(), last_of(&connection, head.chain)?, keys) {
                Found::Goes(head) => Some(head),
                Found::Doubtful => {
                    tracing::error!(
                        chain = %head.chain,
                        "the ledger's chain does not end as it was left: a new one begins, and `consentry ledger verify` \
                         tells of the old one"
                    );
                    None
                }
            },
        };
        // With a seal of the newest secret, so that older ones can be taken away one day.
        let head = match head {
            Some(head) => chain::sealed(head, keys),
            None => chain::begin(Uuid::new_v4(), now, keys),
        };
        put_head(&connection, &head)?;
        let (path, file) = (path.to_owned(), FileId::of(path)?);
        Ok(Appender { connection, path, file, _lock: lock, head })
    }
}

impl Append for Appender {
    fn head(&self) -> &Head {
        &self.head
    }

    fn append(&mut self, batch: &Batch<'_>) -> Result<(), StoreFailure> {
        // SQLite goes on writing to a file that was deleted, and nobody would ever read it.
        if FileId::of(&self.path).ok() != Some(self.file) {
            return Err(StoreFailure::Gone);
        }
        let transaction = self.connection.transaction()?;
        {
            let mut wording =
                transaction.prepare_cached("INSERT OR IGNORE INTO shown (hash, content) VALUES (?, ?)")?;
            for (hash, content) in batch.wordings {
                wording.execute(params![hash, content])?;
            }
        }
        for record in batch.records {
            insert(&transaction, record)?;
        }
        let moved = transaction
            .prepare_cached(
                "UPDATE chains SET sequence = ?, hash = ?, at = ?, seal = ? WHERE chain = ? AND sequence = ?",
            )?
            .execute(params![
                batch.head.sequence,
                batch.head.hash,
                batch.head.at,
                batch.head.seal,
                batch.head.chain.as_bytes(),
                self.head.sequence,
            ])?;
        if moved != 1 {
            return Err(StoreFailure::HeadMoved);
        }
        transaction.commit()?;
        self.head = batch.head.clone();
        Ok(())
    }
}

/// The file as it is read and mended, beside the one process that adds to it.
#[derive(Debug)]
pub struct Access {
    connection: Mutex<Connection>,
    path: PathBuf,
}

impl Access {
    /// Opens a ledger that exists, to read it.
    pub fn read(path: &Path) -> Result<Self, StoreFailure> {
        let access = Self::open(path)?;
        access.connection().pragma_update(None, "query_only", true)?;
        Ok(access)
    }

    /// Opens a ledger that exists, to erase and to purge.
    pub fn mend(path: &Path) -> Result<Self, StoreFailure> {
        let access = Self::open(path)?;
        {
            let connection = access.connection();
            connection.pragma_update(None, "foreign_keys", true)?;
            // What is erased is overwritten with zeros, not only marked as free.
            connection.pragma_update(None, "secure_delete", true)?;
        }
        Ok(access)
    }

    /// Makes a new ledger without any chain, to be filled from another; a file that is there already is refused.
    pub fn create(path: &Path, keys: &Keys) -> Result<Self, StoreFailure> {
        if path.exists() {
            return Err(std::io::Error::from(std::io::ErrorKind::AlreadyExists).into());
        }
        let mut connection = connect_to_write(path)?;
        schema::migrate(&mut connection, keys)?;
        Ok(Access { connection: Mutex::new(connection), path: path.to_owned() })
    }

    fn open(path: &Path) -> Result<Self, StoreFailure> {
        if !path.exists() {
            return Err(StoreFailure::Missing);
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        schema::expect_current(&connection)?;
        Ok(Access { connection: Mutex::new(connection), path: path.to_owned() })
    }

    /// Writes a copy of all of it to a new file, as it is at one moment, also while a proxy runs.
    pub fn copy_to(&self, path: &Path) -> Result<(), StoreFailure> {
        let name = path.to_string_lossy().into_owned();
        self.connection().execute("VACUUM INTO ?", [name])?;
        // A backup that is lost with the power was none.
        File::open(path)?.sync_all()?;
        Ok(())
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Read for Access {
    fn page(&self, filter: &Filter, after: Option<Place>, most: usize) -> Result<Vec<Record>, StoreFailure> {
        let (mut conditions, mut values) = conditions(filter);
        if let Some((chain, sequence)) = after {
            conditions.push("(chain, sequence) > (?, ?)");
            values.extend([Value::from(chain.as_bytes().to_vec()), Value::from(sequence)]);
        }
        values.push(Value::from(i64::try_from(most).unwrap_or(i64::MAX)));
        let sql =
            format!("SELECT {COLUMNS} FROM entries{} ORDER BY chain, sequence LIMIT ?", all_of(&conditions));
        records(&self.connection(), &sql, params_from_iter(values))
    }

    fn of(&self, site: &str, subject: Subject) -> Result<Vec<Record>, StoreFailure> {
        let sql = format!(
            "SELECT {COLUMNS} FROM entries WHERE subject = ? AND site = ? ORDER BY id DESC LIMIT 100"
        );
        records(&self.connection(), &sql, params![subject.0.as_bytes(), site])
    }

    fn accepted_by(&self, site: &str, codes: &[Hash]) -> Result<Vec<Record>, StoreFailure> {
        let places = vec!["?"; codes.len()].join(",");
        let sql = format!(
            "SELECT {COLUMNS} FROM entries WHERE identity IN ({places}) AND site = ? AND kind = 'acceptance' \
             ORDER BY id DESC LIMIT 100"
        );
        let codes = codes.iter().map(|code| Value::from(code.to_vec()));
        let values = codes.chain([Value::from(site.to_owned())]);
        records(&self.connection(), &sql, params_from_iter(values))
    }

    fn find(&self, id: Uuid) -> Result<Option<Record>, StoreFailure> {
        let sql = format!("SELECT {COLUMNS} FROM entries WHERE id = ?");
        Ok(records(&self.connection(), &sql, params![id.as_bytes()])?.pop())
    }

    fn shown(&self, hash: &Hash) -> Result<Option<String>, StoreFailure> {
        let connection = self.connection();
        let mut found = connection.prepare_cached("SELECT content FROM shown WHERE hash = ?")?;
        Ok(found.query_row([hash], |row| row.get(0)).optional()?)
    }

    fn heads(&self) -> Result<Vec<Head>, StoreFailure> {
        let connection = self.connection();
        let mut found =
            connection.prepare_cached("SELECT chain, sequence, hash, at, seal FROM chains ORDER BY chain")?;
        let heads = found.query_map([], head)?;
        Ok(heads.collect::<Result<_, _>>()?)
    }

    fn tombstones(&self) -> Result<Vec<Tombstone>, StoreFailure> {
        let connection = self.connection();
        let mut found = connection.prepare_cached(
            "SELECT chain, first, last, before, after, at, seal FROM tombstones ORDER BY chain, first",
        )?;
        let tombstones = found.query_map([], |row| {
            Ok(Tombstone {
                chain: Uuid::from_bytes(row.get(0)?),
                first: row.get(1)?,
                last: row.get(2)?,
                before: row.get(3)?,
                after: row.get(4)?,
                at: row.get(5)?,
                seal: row.get(6)?,
            })
        })?;
        Ok(tombstones.collect::<Result<_, _>>()?)
    }

    fn counts(&self) -> Result<Vec<Count>, StoreFailure> {
        let connection = self.connection();
        let mut found = connection.prepare_cached(
            "SELECT site, kind, count(*), count(erased_at), min(at), max(at) FROM entries \
             GROUP BY site, kind ORDER BY site, kind",
        )?;
        let counts = found.query_map([], |row| {
            Ok(Count {
                site: row.get(0)?,
                kind: row.get(1)?,
                entries: row.get(2)?,
                erased: row.get(3)?,
                first: row.get(4)?,
                last: row.get(5)?,
            })
        })?;
        Ok(counts.collect::<Result<_, _>>()?)
    }

    fn count(&self, filter: &Filter) -> Result<u64, StoreFailure> {
        let (conditions, values) = conditions(filter);
        let sql = format!("SELECT count(*) FROM entries{}", all_of(&conditions));
        let count: i64 = self.connection().query_row(&sql, params_from_iter(values), |row| row.get(0))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn size(&self) -> Result<u64, StoreFailure> {
        Ok(std::fs::metadata(&self.path)?.len())
    }
}

impl Mend for Access {
    fn begin_form(&self, form: &[u8; 16], until: i64, now: i64) -> Result<Sending, StoreFailure> {
        let mut connection = self.connection();
        let transaction = immediate(&mut connection)?;
        transaction.prepare_cached("DELETE FROM forms WHERE until < ?")?.execute([now])?;
        let begins = transaction
            .prepare_cached("INSERT OR IGNORE INTO forms (id, has_arrived, until) VALUES (?, 0, ?)")?
            .execute(params![form, until])?;
        let has_arrived: bool = transaction
            .prepare_cached("SELECT has_arrived FROM forms WHERE id = ?")?
            .query_row([form], |row| row.get(0))?;
        transaction.commit()?;
        Ok(match (begins, has_arrived) {
            (1, _) => Sending::Begins,
            (_, false) => Sending::Begun,
            (_, true) => Sending::Arrived,
        })
    }

    fn end_form(&self, form: &[u8; 16]) -> Result<(), StoreFailure> {
        self.connection().execute("UPDATE forms SET has_arrived = 1 WHERE id = ?", [form])?;
        Ok(())
    }

    fn return_form(&self, form: &[u8; 16]) -> Result<(), StoreFailure> {
        self.connection().execute("DELETE FROM forms WHERE id = ?", [form])?;
        Ok(())
    }

    fn erase(&self, erasures: &[Erasure]) -> Result<(), StoreFailure> {
        let mut connection = self.connection();
        let transaction = immediate(&mut connection)?;
        for Erasure { place: (chain, sequence), at, seal } in erasures {
            transaction
                .prepare_cached(
                    "UPDATE entries SET subject = NULL, identity = NULL, salt = NULL, erased_at = ?, \
                     erased_seal = ? WHERE chain = ? AND sequence = ? AND erased_at IS NULL",
                )?
                .execute(params![at, seal, chain.as_bytes(), sequence])?;
        }
        Ok(transaction.commit()?)
    }

    fn bury(&self, tombstones: &[Tombstone]) -> Result<(), StoreFailure> {
        let mut connection = self.connection();
        let transaction = immediate(&mut connection)?;
        for tombstone in tombstones {
            let bounds = params![tombstone.chain.as_bytes(), tombstone.first, tombstone.last];
            transaction
                .prepare_cached("DELETE FROM tombstones WHERE chain = ? AND first >= ? AND last <= ?")?
                .execute(bounds)?;
            transaction
                .prepare_cached("DELETE FROM entries WHERE chain = ? AND sequence BETWEEN ? AND ?")?
                .execute(bounds)?;
            put_tombstone(&transaction, tombstone)?;
        }
        Ok(transaction.commit()?)
    }

    fn forget_wordings(&self) -> Result<u64, StoreFailure> {
        let sql = "DELETE FROM shown WHERE hash NOT IN (SELECT DISTINCT shown FROM entries)";
        let count = self.connection().execute(sql, [])?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn scrub(&self) -> Result<(), StoreFailure> {
        // The log of changes holds the pages as they were before. Where a reader keeps it in use, the next
        // checkpoint of the proxy does it.
        let connection = self.connection();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }

    fn adopt(&self, adopted: &[Record], wordings: &[(Hash, String)]) -> Result<(), StoreFailure> {
        let mut connection = self.connection();
        let transaction = immediate(&mut connection)?;
        for (hash, content) in wordings {
            transaction
                .prepare_cached("INSERT OR IGNORE INTO shown (hash, content) VALUES (?, ?)")?
                .execute(params![hash, content])?;
        }
        for record in adopted {
            insert(&transaction, record)?;
        }
        Ok(transaction.commit()?)
    }

    fn adopt_chains(&self, heads: &[Head], tombstones: &[Tombstone]) -> Result<(), StoreFailure> {
        let mut connection = self.connection();
        let transaction = immediate(&mut connection)?;
        for head in heads {
            put_head(&transaction, head)?;
        }
        for tombstone in tombstones {
            put_tombstone(&transaction, tombstone)?;
        }
        Ok(transaction.commit()?)
    }
}

fn immediate(connection: &mut Connection) -> Result<rusqlite::Transaction<'_>, rusqlite::Error> {
    connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
}

/// What a filter asks for, as conditions and the values that they wait for.
fn conditions(filter: &Filter) -> (Vec<&'static str>, Vec<Value>) {
    let mut conditions = Vec::new();
    let mut values = Vec::new();
    let mut ask = |condition, value: Option<Value>| {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(value);
        }
    };
    ask("subject = ?", filter.subject.map(|subject| subject.0.as_bytes().to_vec().into()));
    ask("site = ?", filter.site.clone().map(Value::from));
    ask("document = ?", filter.document.clone().map(Value::from));
    ask("at >= ?", filter.since.map(|at| at.as_millisecond().into()));
    ask("at < ?", filter.until.map(|at| at.as_millisecond().into()));
    (conditions, values)
}

fn all_of(conditions: &[&str]) -> String {
    if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) }
}

fn records(
    connection: &Connection,
    sql: &str,
    values: impl rusqlite::Params,
) -> Result<Vec<Record>, StoreFailure> {
    let mut found = connection.prepare_cached(sql)?;
    let mut rows = found.query(values)?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(read(row)?);
    }
    Ok(records)
}

fn insert(connection: &Connection, record: &Record) -> Result<(), StoreFailure> {
    let (person, salt, erased) = match &record.whose {
        Whose::Known { person, salt } => (Some(person), Some(salt), None),
        Whose::Erased { at, seal } => (None, None, Some((at, seal))),
    };
    connection
        .prepare_cached(&format!(
            "INSERT INTO entries ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
        ))?
        .execute(params![
            record.chain.as_bytes(),
            record.sequence,
            record.id.as_bytes(),
            record.at,
            &*record.site,
            &*record.kind,
            record.document.as_deref(),
            record.valid_until,
            &*record.body,
            person.map(|person| *person.subject.0.as_bytes()),
            person.and_then(|person| person.identity),
            salt,
            record.digest,
            record.shown,
            record.previous,
            record.hash,
            record.seal,
            erased.map(|(at, _)| at),
            erased.map(|(_, seal)| seal),
        ])?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Record, StoreFailure> {
    let sequence: i64 = row.get(1)?;
    let damaged = |_| StoreFailure::Damaged(sequence);
    read_row(row).map_err(|error| match error {
        // What is not of its type is the row's fault; everything else is the database's.
        rusqlite::Error::InvalidColumnType(..) | rusqlite::Error::FromSqlConversionFailure(..) => {
            damaged(error)
        }
        other => other.into(),
    })
}

fn read_row(row: &Row<'_>) -> Result<Record, rusqlite::Error> {
    let subject: Option<[u8; 16]> = row.get(9)?;
    let whose = match subject {
        Some(subject) => Whose::Known {
            person: Person { subject: Subject(Uuid::from_bytes(subject)), identity: row.get(10)? },
            salt: row.get(11)?,
        },
        // Without its seal it counts as forged.
        None => Whose::Erased {
            at: row.get::<_, Option<i64>>(17)?.unwrap_or_default(),
            seal: row.get::<_, Option<_>>(18)?.unwrap_or_default(),
        },
    };
    Ok(Record {
        chain: Uuid::from_bytes(row.get(0)?),
        sequence: row.get(1)?,
        id: Uuid::from_bytes(row.get(2)?),
        at: row.get(3)?,
        site: row.get::<_, String>(4)?.into(),
        kind: row.get::<_, String>(5)?.into(),
        document: row.get::<_, Option<String>>(6)?.map(Into::into),
        valid_until: row.get(7)?,
        body: row.get::<_, String>(8)?.into(),
        whose,
        digest: row.get(12)?,
        shown: row.get(13)?,
        previous: row.get(14)?,
        hash: row.get(15)?,
        seal: row.get(16)?,
    })
}

fn head(row: &Row<'_>) -> Result<Head, rusqlite::Error> {
    Ok(Head {
        chain: Uuid::from_bytes(row.get(0)?),
        sequence: row.get(1)?,
        hash: row.get(2)?,
        at: row.get(3)?,
        seal: row.get(4)?,
    })
}

/// The chain that was begun last: after a doubtful one, the one that took its place.
fn newest_head(connection: &Connection) -> Result<Option<Head>, StoreFailure> {
    let sql = "SELECT chain, sequence, hash, at, seal FROM chains ORDER BY rowid DESC LIMIT 1";
    Ok(connection.query_row(sql, [], head).optional()?)
}

/// The last entry of a chain, or the tombstone that stands there, with its place.
fn last_of(connection: &Connection, chain: Uuid) -> Result<Option<(i64, Hash)>, StoreFailure> {
    let sql = "SELECT sequence, hash FROM (SELECT sequence, hash FROM entries WHERE chain = ?1 \
               ORDER BY sequence DESC LIMIT 1) \
               UNION ALL SELECT last, after FROM tombstones WHERE chain = ?1 ORDER BY 1 DESC LIMIT 1";
    Ok(connection.query_row(sql, [chain.as_bytes()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

fn put_head(connection: &Connection, head: &Head) -> Result<(), StoreFailure> {
    connection.execute(
        "INSERT INTO chains (chain, sequence, hash, at, seal) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (chain) DO UPDATE SET sequence = ?2, hash = ?3, at = ?4, seal = ?5",
        params![head.chain.as_bytes(), head.sequence, head.hash, head.at, head.seal],
    )?;
    Ok(())
}

fn put_tombstone(connection: &Connection, tombstone: &Tombstone) -> Result<(), StoreFailure> {
    connection
        .prepare_cached(
            "INSERT INTO tombstones (chain, first, last, before, after, at, seal) VALUES (?,?,?,?,?,?,?)",
        )?
        .execute(params![
            tombstone.chain.as_bytes(),
            tombstone.first,
            tombstone.last,
            tombstone.before,
            tombstone.after,
            tombstone.at,
            tombstone.seal,
        ])?;
    Ok(())
}

fn connect_to_write(path: &Path) -> Result<Connection, StoreFailure> {
    private(path)?;
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Which file stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    fn of(path: &Path) -> std::io::Result<Self> {
        let file = std::fs::metadata(path)?;
        Ok(FileId { device: file.dev(), inode: file.ino() })
    }
}

/// Takes the right to add to a ledger.
fn lock(path: &Path) -> Result<Lock, StoreFailure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let lock = private(Path::new(&name))?;
    lock.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => StoreFailure::InUse,
        std::fs::TryLockError::Error(error) => StoreFailure::Io(error),
    })?;
    Ok(Lock(lock))
}

/// The right to add to a ledger. Closing the file would not give it back for sure: a program that is just being
/// started has a copy of it until it runs.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the lock of the ledger could not be given back");
        }
    }
}

/// Opens a file, and makes it readable by its owner alone where there is none.
fn private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
