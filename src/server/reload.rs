//! Reading the settings again while the proxy runs, and what is told of it: each problem once, however often the
//! files are looked at.

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::Server;
use crate::config::{self, Problem, Reread, Seen};
use crate::telemetry::count;

/// Why the settings are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// An operator asks for it: everything is told again.
    Asked,
    /// Files may have changed: where they have not, nothing happens, and what has been told is not repeated.
    FilesChanged,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No file has changed.
    Unchanged,
    /// The settings on disk are in force, all of them.
    Applied,
    /// They are, but for what has errors, which stays as it was, or for an address that could not be listened on.
    Partly,
    /// Everything stays as it was.
    Refused,
}

/// What came of reading the settings again.
#[derive(Debug)]
pub struct Reload {
    /// What became of the settings.
    pub outcome: Outcome,
    /// The problems to tell.
    pub news: Vec<Problem>,
    /// How many errors there are, those told before among them.
    pub errors: usize,
    /// How many sites run on settings older than those on disk.
    pub outdated: usize,
    /// The files that matter from here on.
    pub seen: Arc<Seen>,
}

/// The last reading, so that the next one tells only what is new.
#[derive(Debug)]
pub(super) struct Last(Mutex<(Arc<Seen>, Vec<Problem>)>);

impl Last {
    pub(super) fn of(settings: &config::Settings) -> Self {
        Last(Mutex::new((Arc::clone(settings.seen()), settings.warnings().to_vec())))
    }
}

impl Server {
    /// Reads the settings again and swaps them in between two requests. A file with an error leaves what it
    /// describes as it was.
    ///
    /// Listeners come and go, and what still runs on those that go, WebSockets too, has `timeouts.drain` to end; a
    /// listener with a certificate that cannot be used keeps those it has. Timeouts and limits hold for the
    /// connections that come from here on. The ledger, the admin listener and the format of the log are those of the
    /// start: what of them has changed is named in the log and waits for a restart. Must be called inside a Tokio
    /// runtime.
    pub fn reload(&self, path: &Path, occasion: Occasion) -> Reload {
        // Held to the end, so that two readings never overtake each other.
        let mut last = self.last.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Reread { settings, mut problems, outdated, seen } = config::reload(path, &self.settings.load());
        if occasion == Occasion::FilesChanged && *seen == *last.0 {
            let outdated = outdated.len();
            return Reload { outcome: Outcome::Unchanged, news: Vec::new(), errors: 0, outdated, seen };
        }
        let is_refused = settings.is_none();
        self.outdated.store(Arc::new(outdated));
        match settings {
            Some(settings) => self.apply(settings),
            None => self.note_settings(),
        }
        let outdated = self.outdated.load().len();
        let errors = problems.iter().filter(|problem| problem.is_error()).count();
        let (outcome, word) = match errors {
            _ if is_refused => (Outcome::Refused, "refused"),
            0 if !self.misses_listeners() => (Outcome::Applied, "applied"),
            _ => (Outcome::Partly, "partly"),
        };
        count(&self.metrics.reloads, word);
        self.metrics.settings_refused.set(i64::from(errors > 0));
        let told: HashSet<&Problem> = match occasion {
            Occasion::Asked => HashSet::new(),
            Occasion::FilesChanged => last.1.iter().collect(),
        };
        let news = problems.iter().filter(|problem| !told.contains(problem)).cloned().collect();
        if is_refused {
            // What is doubtful in the settings in force has been told, and will be no news when they are mended.
            problems.extend_from_slice(self.settings.load().warnings());
        }
        *last = (Arc::clone(&seen), problems);
        Reload { outcome, news, errors, outdated, seen }
    }
}
