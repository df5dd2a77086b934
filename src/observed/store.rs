//! What was seen, in a small file beside the ledger: read at the start, written now and then, and at the end.
//!
//! It is a convenience, never a condition: a file that is absent, broken or not writable costs what was learnt before.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Day, Kind, Lifetime, MOST, Observed, Snapshot, Thing};

/// After how many days without a sight something is forgotten.
pub const FORGOTTEN_AFTER: Day = 90;

/// A larger file is not this program's.
const LARGEST: u64 = 64 << 20;

/// Where what was seen is kept.
#[derive(Debug)]
pub struct Store {
    file: Option<PathBuf>,
    /// Sites that have been given what the file holds of them.
    adopted: Mutex<HashSet<Box<str>>>,
}

/// The file as it is written.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Saved {
    sites: BTreeMap<Box<str>, SavedSite>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct SavedSite {
    services: BTreeMap<Box<str>, SavedThing>,
    cookies: BTreeMap<Box<str>, SavedThing>,
    hosts: BTreeMap<Box<str>, SavedThing>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct SavedThing {
    first: Day,
    last: Day,
    #[serde(default, skip_serializing_if = "is_zero")]
    lifetime: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Store {
    /// A store in `file`, which need not exist; without one, nothing outlives the process.
    pub fn new(file: Option<PathBuf>) -> Self {
        Store { file, adopted: Mutex::default() }
    }

    /// Gives sites that are new to this process what was seen of them before.
    pub fn adopt<'a>(&self, sites: impl IntoIterator<Item = (&'a str, &'a Observed)>) {
        let mut adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<_> = sites.into_iter().filter(|(name, _)| adopted.insert((*name).into())).collect();
        if new.is_empty() {
            return;
        }
        let saved = self.read();
        for (name, observed) in new {
            if let Some(site) = saved.sites.get(name) {
                observed.add(site.things());
                observed.has_changed.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Writes what was seen, where anything changed, and forgets what is long gone. What another process wrote
    /// meanwhile stays.
    pub fn save<'a>(&self, sites: impl IntoIterator<Item = (&'a str, &'a Observed)>, today: Day) {
        let oldest = today - FORGOTTEN_AFTER;
        let mut changed = Vec::new();
        for (name, observed) in sites {
            observed.forget_before(oldest);
            if observed.has_changed.swap(false, Ordering::Relaxed) {
                changed.push((name, observed));
            }
        }
        let Some(file) = self.file.as_deref().filter(|_| !changed.is_empty()) else { return };
        let mut saved = self.read();
        for (name, observed) in &changed {
            saved.sites.entry((*name).into()).or_default().join(&observed.snapshot());
        }
        saved.forget_before(oldest);
        if let Err(error) = write(file, &saved) {
            tracing::warn!(file = %file.display(), %error, "what the traffic showed cannot be kept on disk");
            for (_, observed) in changed {
                observed.has_changed.store(true, Ordering::Relaxed);
            }
        }
    }

    /// What the file holds, site by site.
    pub fn saved(&self) -> HashMap<Box<str>, Arc<Snapshot>> {
        let sites = self.read().sites;
        let snapshot = |site: &SavedSite| {
            let observed = Observed::default();
            observed.add(site.things());
            observed.snapshot()
        };
        sites.into_iter().map(|(name, site)| (name, snapshot(&site))).collect()
    }

    fn read(&self) -> Saved {
        let Some(file) = &self.file else { return Saved::default() };
        let length = match std::fs::metadata(file) {
            Ok(found) => found.len(),
            Err(_) => return Saved::default(),
        };
        let text = if length <= LARGEST {
            std::fs::read(file)
        } else {
            Err(std::io::ErrorKind::FileTooLarge.into())
        };
        let read = text.and_then(|text| serde_json::from_slice(&text).map_err(Into::into));
        read.unwrap_or_else(|error| {
            let file = file.display();
            tracing::warn!(%file, %error, "what the traffic showed before cannot be read, and is learnt anew");
            Saved::default()
        })
    }
}

impl Saved {
    fn forget_before(&mut self, day: Day) {
        for site in self.sites.values_mut() {
            for kind in Kind::ALL {
                site.of_mut(kind).retain(|_, thing| thing.last >= day);
            }
        }
        self.sites.retain(|_, site| Kind::ALL.iter().any(|kind| !site.of(*kind).is_empty()));
    }
}

impl SavedSite {
    /// All that it holds, as far as it may be believed: anybody can edit the file.
    fn things(&self) -> impl Iterator<Item = (Kind, Box<str>, Thing)> {
        Kind::ALL.into_iter().flat_map(|kind| {
            let named = self.of(kind).iter().filter(|(name, _)| !name.is_empty() && name.len() <= 253);
            named.take(MOST).map(move |(name, saved)| {
                let thing = Thing::new(saved.first.min(saved.last), saved.last, saved.lifetime.max(0));
                (kind, name.clone(), thing)
            })
        })
    }

    fn join(&mut self, snapshot: &Snapshot) {
        for kind in Kind::ALL {
            let saved = self.of_mut(kind);
            for seen in snapshot.all(kind) {
                let lifetime = seen.lifetime.map_or(0, Lifetime::to_number);
                let new = SavedThing { first: seen.first, last: seen.last, lifetime };
                let thing = saved.entry(seen.name.into()).or_insert(new);
                thing.first = thing.first.min(new.first);
                thing.last = thing.last.max(new.last);
                thing.lifetime = thing.lifetime.max(new.lifetime);
            }
        }
    }

    fn of(&self, kind: Kind) -> &BTreeMap<Box<str>, SavedThing> {
        match kind {
            Kind::Service => &self.services,
            Kind::Cookie => &self.cookies,
            Kind::Host => &self.hosts,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut BTreeMap<Box<str>, SavedThing> {
        match kind {
            Kind::Service => &mut self.services,
            Kind::Cookie => &mut self.cookies,
            Kind::Host => &mut self.hosts,
        }
    }
}

/// Writes beside the file and renames, so that nobody ever reads half of it.
fn write(file: &Path, saved: &Saved) -> std::io::Result<()> {
    let text = serde_json::to_vec(saved)?;
    let beside = file.with_extension(format!("{}.new", std::process::id()));
    let written = std::fs::File::create(&beside).and_then(|mut new| {
        new.write_all(&text)?;
        new.sync_all()
    });
    let renamed = written.and_then(|()| std::fs::rename(&beside, file));
    if renamed.is_err() {
        // What is left of it is of no use; the first error is the one to tell.
        let _ = std::fs::remove_file(&beside);
    }
    renamed
}
