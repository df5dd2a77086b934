//! The durable record of choices and acceptances: who agreed to what, when, and to which wording.
//!
//! An entry is acknowledged only when it is on disk; all that wait when a commit starts share its fsync.

pub mod carry;
pub mod chain;
pub mod checkpoint;
pub mod entry;
pub mod erase;
pub mod export;
pub mod hexadecimal;
pub mod record;
pub mod retention;
pub mod seal;
pub mod store;
pub mod tls;
pub mod verify;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::clock::{Clock, Timestamp};
use crate::consent::{Acceptance, Identity, Subject};
use crate::telemetry::{Metrics, count};
use checkpoint::{Checkpoints, Tellers};
use retention::{OfSites, Purged};
use seal::Keys;
use store::{Append, Mend, Read, StoreFailure, postgres, sqlite};
use writer::Queue;

pub use store::Sending;

pub use entry::{Decision, Entry, Method, Person, Recorded, Shown};

/// Where the ledger is kept, and what is told of it elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where it is kept.
    pub place: Place,
    /// Where it is told how far it has come.
    pub checkpoints: Option<Checkpoints>,
}

/// Where a ledger is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file of this machine.
    Sqlite(PathBuf),
    /// In a PostgreSQL database, which several proxies may share.
    Postgres(postgres::Address),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Sqlite(path) => path.display().fmt(f),
            Place::Postgres(address) => address.fmt(f),
        }
    }
}

impl Place {
    /// Opens it to add to it; it is made where there is none.
    pub fn append(&self, keys: &Keys, clock: &Clock) -> Result<Box<dyn Append>, StoreFailure> {
        match self {
            Place::Sqlite(path) => Ok(Box::new(sqlite::Appender::open(path, keys, clock.now())?)),
            Place::Postgres(address) => Ok(Box::new(postgres::Appender::open(address, keys, clock.now())?)),
        }
    }

    /// Opens a ledger that exists, to read it.
    pub fn read(&self) -> Result<Arc<dyn Read>, StoreFailure> {
        match self {
            Place::Sqlite(path) => Ok(Arc::new(sqlite::Access::read(path)?)),
            Place::Postgres(address) => Ok(Arc::new(postgres::Access::open(address)?)),
        }
    }

    /// Makes a new ledger to fill it from another, or opens one that may be empty.
    fn create(&self, keys: &Keys) -> Result<Arc<dyn Mend>, StoreFailure> {
        match self {
            Place::Sqlite(path) => Ok(Arc::new(sqlite::Access::create(path, keys)?)),
            Place::Postgres(address) => Ok(Arc::new(postgres::Access::create(address)?)),
        }
    }

    /// Opens a ledger that exists, to erase and to purge.
    pub fn mend(&self) -> Result<Arc<dyn Mend>, StoreFailure> {
        match self {
            Place::Sqlite(path) => Ok(Arc::new(sqlite::Access::mend(path)?)),
            Place::Postgres(address) => Ok(Arc::new(postgres::Access::open(address)?)),
        }
    }
}

/// How long a decision waits for its commit before the visitor is told to try again. It may still be recorded
/// afterwards; without its receipt nothing was promised.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a page waits for what its visitor has accepted elsewhere.
const PATIENCE_OF_PAGES: Duration = Duration::from_secs(1);

/// A handle to the ledger; clones share one writer.
#[derive(Clone)]
pub struct Ledger {
    place: Place,
    queue: Arc<Queue>,
    reader: Arc<dyn Read>,
    keys: Arc<ArcSwap<Keys>>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ledger({})", self.place)
    }
}

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the ledger {place} cannot be opened")]
pub struct OpenFailure {
    /// Where it is kept.
    place: Place,
    /// The cause.
    #[source]
    source: StoreFailure,
}

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The database refused, or the disk is full.
    #[error("the ledger could not be used")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// More entries wait than the queue holds, or the commit takes too long.
    #[error("the ledger does not keep up")]
    Busy,
    /// The ledger has been closed.
    #[error("the ledger is closed")]
    Closed,
}

impl Ledger {
    /// Opens the ledger, makes it where there is none, and starts its writer.
    pub fn open(
        settings: &Settings,
        keys: Keys,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenFailure> {
        Self::open_with(settings, keys, clock, metrics, |opened| opened.map(Some))
    }

    /// The same, where the process that this one replaces may still write: decisions wait until it has ended.
    pub fn inherit(
        settings: &Settings,
        keys: Keys,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<Self, OpenFailure> {
        Self::open_with(settings, keys, clock, metrics, |opened| match opened {
            Err(StoreFailure::InUse) => Ok(None),
            other => other.map(Some),
        })
    }

    fn open_with(
        settings: &Settings,
        keys: Keys,
        clock: Clock,
        metrics: Arc<Metrics>,
        accept: impl FnOnce(
            Result<Box<dyn Append>, StoreFailure>,
        ) -> Result<Option<Box<dyn Append>>, StoreFailure>,
    ) -> Result<Self, OpenFailure> {
        let place = settings.place.clone();
        let failed = |source| OpenFailure { place: place.clone(), source };
        let store = accept(place.append(&keys, &clock)).map_err(failed)?;
        let reader = place.read().map_err(failed)?;
        let keys = Arc::new(ArcSwap::from_pointee(keys));
        let tellers = settings.checkpoints.as_ref().map(|settings| Tellers::start(settings, &metrics));
        let tellers = tellers.transpose().map_err(|error| failed(error.into()))?.unwrap_or_default();
        let parts = (place.clone(), Arc::clone(&keys), clock.clone(), Arc::clone(&metrics));
        let queue = Queue::start(store, parts, tellers).map_err(|error| failed(error.into()))?;
        metrics.ledger_works.set(1);
        Ok(Ledger { place, queue: Arc::new(queue), reader, keys, clock, metrics })
    }

    /// Seals with other keys from the next commit on.
    pub fn change_keys(&self, keys: Keys) {
        self.keys.store(Arc::new(keys));
    }

    /// Records what somebody decided and returns once it is on disk. `shown` is kept once for each wording.
    pub async fn record(
        &self,
        person: impl Into<Person>,
        decision: Decision,
        shown: Shown,
    ) -> Result<Recorded, Failure> {
        let outcome = match self.queue.put(person.into(), decision, shown) {
            Ok(answer) => match tokio::time::timeout(PATIENCE, answer).await {
                // A writer that answers has counted its failure itself.
                Ok(Ok(answer)) => return answer,
                Ok(Err(_)) => Failure::Closed,
                Err(_) => Failure::Busy,
            },
            Err(failure) => failure,
        };
        let reason = if matches!(outcome, Failure::Closed) { "closed" } else { "busy" };
        count(&self.metrics.ledger_failures, reason);
        // Until a commit ends well again.
        self.metrics.ledger_works.set(0);
        Err(outcome)
    }

    /// What one visitor of one site decided, the newest first, at most 100.
    pub async fn receipts(&self, site: &str, subject: Subject) -> Result<Vec<Entry>, Failure> {
        let site = Box::<str>::from(site);
        let read = move |reader: &dyn Read| {
            let records = reader.of(&site, subject)?;
            let entries = records.into_iter().map(|record| {
                let sequence = record.sequence;
                record.read().ok_or(StoreFailure::Damaged(sequence))
            });
            entries.collect()
        };
        self.reading(read).await
    }

    /// What somebody whom the application of a site knows accepted, on whatever device: of each document what they
    /// accepted last. A visitor's page waits for it, so it is given up early.
    pub async fn accepted_by(&self, site: &str, who: &Identity) -> Result<Vec<Acceptance>, Failure> {
        let site = Box::<str>::from(site);
        let codes: Vec<_> = who.codes().copied().collect();
        let read = move |reader: &dyn Read| {
            let mut found: Vec<Acceptance> = Vec::new();
            for record in reader.accepted_by(&site, &codes)? {
                let sequence = record.sequence;
                let entry = record.read().ok_or(StoreFailure::Damaged(sequence))?;
                let Some(acceptance) = entry.acceptance() else { continue };
                if found.iter().all(|newer| newer.document != acceptance.document) {
                    found.push(acceptance);
                }
            }
            Ok(found)
        };
        self.reading_within(PATIENCE_OF_PAGES, read).await
    }

    /// Notes that a held form is sent on, and says how far it had come before. It is on disk when this returns, so that
    /// neither a restart nor another proxy with this ledger sends it a second time.
    pub async fn begin_form(&self, form: [u8; 16], lifetime: Duration) -> Result<Sending, Failure> {
        let lifetime = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        self.noting(move |store, now| {
            let now = now.as_millisecond();
            store.begin_form(&form, now.saturating_add(lifetime), now)
        })
        .await
    }

    /// Notes that the application has answered a held form.
    pub async fn end_form(&self, form: [u8; 16]) -> Result<(), Failure> {
        self.noting(move |store, _| store.end_form(&form)).await
    }

    /// Notes that nothing of a held form has left: it may be sent on once more.
    pub async fn return_form(&self, form: [u8; 16]) -> Result<(), Failure> {
        self.noting(move |store, _| store.return_form(&form)).await
    }

    /// Keeps a text that is shown now, for what may be decided before it later.
    pub async fn keep(&self, text: Arc<str>) -> Result<(), Failure> {
        let hash = Sha256::digest(text.as_bytes()).into();
        self.noting(move |store, _| store.adopt(&[], &[(hash, text.to_string())])).await
    }

    async fn noting<T: Send + 'static>(
        &self,
        note: impl FnOnce(&dyn Mend, Timestamp) -> Result<T, StoreFailure> + Send + 'static,
    ) -> Result<T, Failure> {
        let noting = self.mending(move |store, _, now| note(store, now));
        tokio::time::timeout(PATIENCE, noting).await.unwrap_or(Err(Failure::Busy))
    }

    /// One entry, if it is this visitor's.
    pub async fn receipt(&self, site: &str, subject: Subject, id: Uuid) -> Result<Option<Entry>, Failure> {
        let site = Box::<str>::from(site);
        let read = move |reader: &dyn Read| {
            let Some(record) = reader.find(id)? else { return Ok(None) };
            let sequence = record.sequence;
            let entry = record.read().ok_or(StoreFailure::Damaged(sequence))?;
            let is_theirs = entry.person().is_some_and(|person| person.subject == subject);
            Ok((is_theirs && entry.decision.site == site).then_some(entry))
        };
        self.reading(read).await
    }

    /// The very text that an entry's visitor was shown.
    pub async fn wording(&self, hash: record::Hash) -> Result<Option<String>, Failure> {
        self.reading(move |reader| reader.shown(&hash)).await
    }

    /// Takes one visitor of a site out of all their entries, and says from how many (GDPR art. 17).
    pub async fn erase(&self, site: &str, subject: Subject) -> Result<usize, Failure> {
        let site = Box::<str>::from(site);
        let erasing =
            self.mending(move |store, keys, now| erase::erase(store, subject, Some(&site), now, keys));
        // What is under way then goes on; whoever asks again is told what is left to do.
        tokio::time::timeout(PATIENCE, erasing).await.unwrap_or(Err(Failure::Busy))
    }

    /// Purges every entry whose time is over.
    pub async fn purge(&self, retention: OfSites) -> Result<Purged, Failure> {
        self.mending(move |store, keys, now| retention::purge(store, &retention, now, keys, |_| {})).await
    }

    async fn mending<T: Send + 'static>(
        &self,
        mend: impl FnOnce(&dyn Mend, &Keys, Timestamp) -> Result<T, StoreFailure> + Send + 'static,
    ) -> Result<T, Failure> {
        let (place, keys, now) = (self.place.clone(), self.keys.load_full(), self.clock.now());
        let mending = tokio::task::spawn_blocking(move || mend(&*place.mend()?, &keys, now));
        match mending.await {
            Ok(outcome) => outcome.map_err(|error| Failure::Store(error.into())),
            Err(error) => Err(Failure::Store(error.into())),
        }
    }

    /// Reads where blocking is allowed, and no longer than a visitor waits.
    async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn Read) -> Result<T, StoreFailure> + Send + 'static,
    ) -> Result<T, Failure> {
        self.reading_within(PATIENCE, read).await
    }

    async fn reading_within<T: Send + 'static>(
        &self,
        patience: Duration,
        read: impl FnOnce(&dyn Read) -> Result<T, StoreFailure> + Send + 'static,
    ) -> Result<T, Failure> {
        let reader = Arc::clone(&self.reader);
        let reading = tokio::task::spawn_blocking(move || read(&*reader));
        match tokio::time::timeout(patience, reading).await {
            Ok(Ok(outcome)) => outcome.map_err(|error| Failure::Store(error.into())),
            Ok(Err(error)) => Err(Failure::Store(error.into())),
            Err(_) => Err(Failure::Busy),
        }
    }

    /// Whether the last commit went well.
    pub fn works(&self) -> bool {
        self.metrics.ledger_works.get() == 1
    }

    /// Where it is kept.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Waits until all that was accepted for recording is on disk, and closes the store.
    pub async fn close(&self) {
        self.queue.close().await;
    }
}

#[cfg(test)]
mod tests;
