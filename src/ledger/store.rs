//! Where entries are kept: what a store must be able to do, and why it may fail. SQLite and PostgreSQL do it alike;
//! one suite of tests holds both to it.

pub mod postgres;
pub mod sqlite;

use std::ops::ControlFlow;

use uuid::Uuid;

use super::record::{Hash, Head, Record, Tombstone};
use super::seal::{Keys, Seal};
use crate::clock::Timestamp;
use crate::consent::Subject;

/// The version of the tables that this program reads and writes.
pub const SCHEMA: i64 = 2;

/// The columns of an entry, in the order in which both stores read and write them.
const COLUMNS: &str = "chain, sequence, id, at, site, kind, document, valid_until, body, subject, identity, salt, \
                       digest, shown, previous, hash, seal, erased_at, erased_seal";

/// How many records are read at a time: enough to be fast, and little to keep in memory.
const PAGE: usize = 2_000;

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreFailure {
    /// SQLite's own word.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL's own word, with its cause: one without the other says little.
    #[error("PostgreSQL: {}", told(.0))]
    Postgres(tokio_postgres::Error),
    /// The server took too long.
    #[error("PostgreSQL gave no answer within {0:?}")]
    TooSlow(std::time::Duration),
    /// The file system's own word.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// There is none yet.
    #[error("there is no ledger yet: the proxy makes it at its first start")]
    Missing,
    /// Its file was deleted, or another one put in its place, while it was open.
    #[error("its file is not there any more, or another one stands in its place: a new one is begun")]
    Gone,
    /// Another process writes to it.
    #[error("another process writes to it: two proxies cannot share one SQLite ledger")]
    InUse,
    /// A newer program made it.
    #[error("it has schema {0}, and this program knows schema {SCHEMA}: use the newer program")]
    Newer(i64),
    /// An older program made it, and it is only read here.
    #[error(
        "it has schema {0}, and this program knows schema {SCHEMA}: the proxy brings it up to date at its next start"
    )]
    Older(i64),
    /// Its version promises what its tables do not hold.
    #[error(
        "it says schema {0}, but not all of its tables are there ({1}): an upgrade was broken off, or it is no ledger; restore the backup that was made before"
    )]
    HalfMigrated(i64, String),
    /// The chain of the older schema does not hold, so that it cannot be carried over as proof.
    #[error(
        "entry {0} of the older schema does not fit its hash: it is not brought up to date, so that nothing is covered up; look at it with the older program"
    )]
    OldChainBroken(i64),
    /// A row does not hold what it must.
    #[error("entry {0} is damaged")]
    Damaged(i64),
    /// Somebody else moved the end of this writer's chain.
    #[error("the end of the chain was moved by somebody else")]
    HeadMoved,
    /// No random bits are to be had.
    #[error("the system gives no random bits")]
    NoRandom,
}

impl From<tokio_postgres::Error> for StoreFailure {
    fn from(error: tokio_postgres::Error) -> Self {
        StoreFailure::Postgres(error)
    }
}

/// An error with its cause, which says what matters, and what can be done about it.
fn told(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}{}", postgres::remedy(cause)),
        None => error.to_string(),
    }
}

/// What is written together, in one transaction.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The records, in order.
    pub records: &'a [Record],
    /// The wordings that they name, each with its hash.
    pub wordings: &'a [(Hash, &'a str)],
    /// The head that they make.
    pub head: &'a Head,
}

/// A store with the right to add to one chain. It is its only writer.
pub trait Append: Send {
    /// Where its chain ends.
    fn head(&self) -> &Head;

    /// Writes a batch, and returns once it is on disk. After a failure the store is not to be used again.
    fn append(&mut self, batch: &Batch<'_>) -> Result<(), StoreFailure>;
}

/// Which records are meant: those that fit everything that is given.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this site.
    pub site: Option<String>,
    /// Of this visitor.
    pub subject: Option<Subject>,
    /// About this document.
    pub document: Option<String>,
    /// Recorded at this moment or later.
    pub since: Option<Timestamp>,
    /// Recorded before this moment.
    pub until: Option<Timestamp>,
}

/// Where a record stands.
pub type Place = (Uuid, i64);

/// How many entries there are of one site and kind, and when the first and the last were recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The site.
    pub site: String,
    /// The kind.
    pub kind: String,
    /// How many.
    pub entries: i64,
    /// How many of them do not say any more who decided.
    pub erased: i64,
    /// When the first was recorded, in milliseconds since the Unix epoch.
    pub first: i64,
    /// When the last was recorded.
    pub last: i64,
}

/// A store that is read. It never waits behind a commit, and works while a proxy runs.
pub trait Read: Send + Sync {
    /// The next records that are meant, in the order of their chains, after a place; at most `most`.
    fn page(&self, filter: &Filter, after: Option<Place>, most: usize) -> Result<Vec<Record>, StoreFailure>;

    /// What one visitor of one site decided, the newest first, at most 100.
    fn of(&self, site: &str, subject: Subject) -> Result<Vec<Record>, StoreFailure>;

    /// What somebody whom the application of a site knows by these codes accepted, the newest first, at most 100.
    fn accepted_by(&self, site: &str, codes: &[Hash]) -> Result<Vec<Record>, StoreFailure>;

    /// One record by its id.
    fn find(&self, id: Uuid) -> Result<Option<Record>, StoreFailure>;

    /// A text as shown, by its hash.
    fn shown(&self, hash: &Hash) -> Result<Option<String>, StoreFailure>;

    /// Where each chain ends, in the order of their ids.
    fn heads(&self) -> Result<Vec<Head>, StoreFailure>;

    /// What was purged, in the order of the chains.
    fn tombstones(&self) -> Result<Vec<Tombstone>, StoreFailure>;

    /// How many entries there are, by site and kind.
    fn counts(&self) -> Result<Vec<Count>, StoreFailure>;

    /// How many entries are meant.
    fn count(&self, filter: &Filter) -> Result<u64, StoreFailure>;

    /// How many bytes it takes.
    fn size(&self) -> Result<u64, StoreFailure>;
}

/// How far a form that was held at a gate has come, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending {
    /// Nobody has sent it on; whoever is told so does, and nobody else.
    Begins,
    /// Somebody began to, and has not said how it ended.
    Begun,
    /// The application has answered it.
    Arrived,
}

/// An erasure of one entry.
#[derive(Clone, Copy, Debug)]
pub struct Erasure {
    /// Where the entry stands.
    pub place: Place,
    /// When it is erased.
    pub at: i64,
    /// The seal on that.
    pub seal: Seal,
}

/// A store in which entries may be erased, purged, and brought from another store, also while a proxy runs.
pub trait Mend: Read {
    /// Notes that a form is sent on, unless that was noted before; `until` is when it can be forgotten, in
    /// milliseconds since the Unix epoch. What is over by `now` is forgotten.
    fn begin_form(&self, form: &[u8; 16], until: i64, now: i64) -> Result<Sending, StoreFailure>;

    /// Notes that the application has answered a form.
    fn end_form(&self, form: &[u8; 16]) -> Result<(), StoreFailure>;

    /// Notes that nothing of a form has left: it may be sent on once more.
    fn return_form(&self, form: &[u8; 16]) -> Result<(), StoreFailure>;

    /// Takes out who decided. Who is erased already stays as they are.
    fn erase(&self, erasures: &[Erasure]) -> Result<(), StoreFailure>;

    /// Puts tombstones in the place of all records and tombstones within their bounds.
    fn bury(&self, tombstones: &[Tombstone]) -> Result<(), StoreFailure>;

    /// Removes wordings that no entry names any more, and says how many.
    fn forget_wordings(&self) -> Result<u64, StoreFailure>;

    /// Sees to it that what was taken out is not left on the disk, as far as the store can.
    fn scrub(&self) -> Result<(), StoreFailure>;

    /// Takes over records of another store as they are.
    fn adopt(&self, records: &[Record], wordings: &[(Hash, String)]) -> Result<(), StoreFailure>;

    /// Takes over the ends of chains, and what was purged, as they are.
    fn adopt_chains(&self, heads: &[Head], tombstones: &[Tombstone]) -> Result<(), StoreFailure>;
}

/// Hands over each record that is meant, in the order of their chains, until `take` says that it is enough.
pub fn each<E: From<StoreFailure>>(
    reader: &(impl Read + ?Sized),
    filter: &Filter,
    mut take: impl FnMut(Record) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let mut after = None;
    loop {
        let page = reader.page(filter, after, PAGE)?;
        let is_last = page.len() < PAGE;
        for record in page {
            after = Some((record.chain, record.sequence));
            if take(record)?.is_break() {
                return Ok(());
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

/// What a writer may do with the head that it found.
pub(super) enum Found {
    /// Go on from here.
    Goes(Head),
    /// It does not fit its seal or the entry that it names: it is left as it is, so that `verify` still tells, and
    /// a new chain begins.
    Doubtful,
}

/// Decides whether a chain may be gone on with. `last` is the hash of the last entry or tombstone, with its place.
pub(super) fn judge(head: Head, last: Option<(i64, Hash)>, keys: &Keys) -> Found {
    use super::seal::{Proof, Statement};
    let (sequence, hash) = last.unwrap_or_else(|| (0, super::chain::root(head.chain)));
    let fits = sequence == head.sequence && hash == head.hash;
    match keys.check(&head.seal, Statement::Head(&head)) {
        Proof::Genuine if fits => Found::Goes(head),
        _ => Found::Doubtful,
    }
}

#[cfg(test)]
mod tests;
