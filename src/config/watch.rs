//! Tells when files of the settings may have changed. Whether they have, and what they say now, is for a reading
//! to find out.

mod points;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::{ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until};

use super::seen::Seen;
use points::Points;

/// Files are written in several steps, so a change counts when nothing has followed it for this long,
const QUIET: Duration = Duration::from_millis(200);
/// or when changes have not ended for this long.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often to look where the system does not tell of changes.
const EVERY: Duration = Duration::from_secs(10);

/// A watch over the files of the settings.
#[derive(Debug)]
pub struct Watch {
    eyes: Eyes,
    told: Arc<Told>,
    pending: Option<Pending>,
}

/// How it learns of changes.
#[derive(Debug)]
enum Eyes {
    /// The system tells, of these folders.
    System(RecommendedWatcher, BTreeSet<PathBuf>),
    /// By looking from time to time.
    Clock(Interval),
}

/// What the system's thread and the watch share.
#[derive(Debug, Default)]
struct Told {
    points: Mutex<Points>,
    /// Folders that were moved or removed: what stands in their place is not watched yet.
    gone: Mutex<BTreeSet<PathBuf>>,
    bell: Notify,
}

/// Changes that have not come to rest.
#[derive(Clone, Copy, Debug)]
struct Pending {
    first: Instant,
    latest: Instant,
}

impl Watch {
    /// Begins to watch what a reading has seen. Must be called inside a Tokio runtime.
    pub fn start(seen: &Seen) -> Self {
        let told = Arc::<Told>::default();
        let ears = Arc::clone(&told);
        let eyes = match notify::recommended_watcher(move |event| ears.hear(event)) {
            Ok(watcher) => Eyes::System(watcher, BTreeSet::new()),
            Err(error) => clock(&error),
        };
        let mut watch = Watch { eyes, told, pending: None };
        watch.follow(seen);
        watch
    }

    /// Watches what the latest reading has seen, and nothing else.
    pub fn follow(&mut self, seen: &Seen) {
        let Eyes::System(watcher, watched) = &mut self.eyes else { return };
        let points = Points::of(seen);
        let folders = points.folders().clone();
        // First, so that nothing of what is watched from now on goes unheard.
        *self.told.points() = points;
        for gone in std::mem::take(&mut *self.told.gone()) {
            forget(watcher, watched, &gone);
        }
        let idle: Vec<_> = watched.difference(&folders).cloned().collect();
        idle.iter().for_each(|folder| forget(watcher, watched, folder));
        for folder in folders {
            if watched.contains(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => _ = watched.insert(folder),
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                Err(error) => {
                    self.eyes = clock(&error);
                    return;
                }
            }
            // It may have changed between the reading and this moment.
            self.told.bell.notify_one();
        }
    }

    /// Waits until files may have changed and have come to rest. Losing this future loses no change.
    pub async fn changed(&mut self) {
        if let Eyes::Clock(interval) = &mut self.eyes {
            interval.tick().await;
            return;
        }
        while !self.is_at_rest().await {}
        self.pending = None;
    }

    async fn is_at_rest(&mut self) -> bool {
        let rest = self.pending.map(|pending| (pending.latest + QUIET).min(pending.first + PATIENCE));
        tokio::select! {
            () = self.told.bell.notified() => {
                let now = Instant::now();
                let first = self.pending.map_or(now, |pending| pending.first);
                self.pending = Some(Pending { first, latest: now });
                false
            }
            () = sleep_until(rest.unwrap_or_else(Instant::now)), if rest.is_some() => true,
        }
    }
}

fn forget(watcher: &mut RecommendedWatcher, watched: &mut BTreeSet<PathBuf>, folder: &Path) {
    watched.remove(folder);
    if let Err(error) = watcher.unwatch(folder) {
        tracing::debug!(%error, "the folder is not watched any more");
    }
}

fn clock(error: &notify::Error) -> Eyes {
    tracing::warn!(
        %error,
        "the system does not tell of changed files (fs.inotify.max_user_watches?): they are looked at every {} seconds",
        EVERY.as_secs(),
    );
    let mut interval = interval_at(Instant::now() + EVERY, EVERY);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Eyes::Clock(interval)
}

impl Told {
    /// One word of the system.
    fn hear(&self, event: notify::Result<Event>) {
        if self.concerns(&event) {
            self.bell.notify_one();
        }
    }

    fn concerns(&self, event: &notify::Result<Event>) -> bool {
        // A word that was lost may have been of any file.
        let Ok(event) = event else { return true };
        if event.need_rescan() {
            return true;
        }
        // Reading the files is one, too.
        if event.kind.is_access() {
            return false;
        }
        let points = self.points();
        for path in event.paths.iter().filter(|path| points.folders().contains(*path)) {
            self.gone().insert(path.clone());
        }
        event.paths.iter().any(|path| points.concern(path))
    }

    fn points(&self) -> MutexGuard<'_, Points> {
        self.points.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> MutexGuard<'_, BTreeSet<PathBuf>> {
        self.gone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
