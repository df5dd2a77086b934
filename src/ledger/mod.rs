//! The durable record of choices and acceptances: who agreed to what, when, and to which wording.
//!
//! An entry is acknowledged only when it is on disk; all that wait when a commit starts share its fsync.

pub mod chain;
pub mod entry;
pub mod export;
pub mod sqlite;
pub mod verify;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use uuid::Uuid;

use crate::clock::Clock;
use crate::consent::Subject;
use crate::telemetry::{Metrics, count};
use sqlite::{Reader, Store, StoreFailure};
use writer::Queue;

pub use entry::{Decision, Entry, Method, Recorded, Shown};

/// Where the ledger is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    /// In a file of this machine.
    Sqlite(PathBuf),
}

/// How long a decision waits for its commit before the visitor is told to try again. It may still be recorded
/// afterwards; without its receipt nothing was promised.
const PATIENCE: Duration = Duration::from_secs(5);

/// A handle to the ledger; clones share one writer.
#[derive(Clone, Debug)]
pub struct Ledger {
    path: PathBuf,
    queue: Arc<Queue>,
    reader: Arc<Mutex<Reader>>,
    metrics: Arc<Metrics>,
}

/// Why the ledger cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenFailure {
    /// The file or its folder cannot be used.
    #[error("the ledger {path} cannot be opened")]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
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
    pub fn open(settings: &Settings, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, OpenFailure> {
        Self::open_with(settings, clock, metrics, |path| Store::open(path).map(Some))
    }

    /// The same, where the process that this one replaces may still write: decisions wait until it has ended.
    pub fn inherit(settings: &Settings, clock: Clock, metrics: Arc<Metrics>) -> Result<Self, OpenFailure> {
        Self::open_with(settings, clock, metrics, |path| match Store::open(path) {
            Err(StoreFailure::InUse) => Ok(None),
            other => other.map(Some),
        })
    }

    fn open_with(
        settings: &Settings,
        clock: Clock,
        metrics: Arc<Metrics>,
        open: impl FnOnce(&Path) -> Result<Option<Store>, StoreFailure>,
    ) -> Result<Self, OpenFailure> {
        let Settings::Sqlite(path) = settings;
        let failed = |source| OpenFailure::Open { path: path.clone(), source };
        let store = open(path).map_err(|error| failed(error.into()))?;
        let reader = Reader::open(path).map_err(|error| failed(error.into()))?;
        let queue = Queue::start(store, path.clone(), clock, Arc::clone(&metrics))
            .map_err(|error| failed(error.into()))?;
        let reader = Arc::new(Mutex::new(reader));
        metrics.ledger_works.set(1);
        Ok(Ledger { path: path.clone(), queue: Arc::new(queue), reader, metrics })
    }

    /// Records a decision and returns once it is on disk. `shown` is kept once for each wording.
    pub async fn record(&self, decision: Decision, shown: Shown) -> Result<Recorded, Failure> {
        let outcome = match self.queue.put(decision, shown) {
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
        let (reader, site) = (Arc::clone(&self.reader), Box::<str>::from(site));
        let read = move || reader.lock().unwrap_or_else(PoisonError::into_inner).of(&site, subject);
        match tokio::task::spawn_blocking(read).await {
            Ok(entries) => entries.map_err(|error| Failure::Store(error.into())),
            Err(error) => Err(Failure::Store(error.into())),
        }
    }

    /// One entry, if it is this visitor's.
    pub async fn receipt(&self, site: &str, subject: Subject, id: Uuid) -> Result<Option<Entry>, Failure> {
        let receipts = self.receipts(site, subject).await?;
        Ok(receipts.into_iter().find(|entry| entry.id == id))
    }

    /// Where it is kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until all that was accepted for recording is on disk, and closes the store.
    pub async fn close(&self) {
        self.queue.close().await;
    }
}

#[cfg(test)]
mod tests;
