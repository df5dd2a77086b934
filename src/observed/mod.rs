//! What a site's traffic really showed: services, cookies and unknown third parties, with the days on which they were
//! first and last seen. It holds no personal data: what looks like an identifier in a cookie's name is cut off.
//!
//! Seeing what is known already costs a look-up: no lock, no allocation. [`Store`] keeps it across restarts.

mod lifetime;
mod name;
mod store;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;

pub use lifetime::Lifetime;
pub use name::pattern;
pub use store::{FORGOTTEN_AFTER, Store};

/// The most that is remembered of each kind: more is noise, or somebody who makes names up.
const MOST: usize = 256;

/// Names longer than this are cut off.
const LONGEST: usize = 80;

/// A day, counted from the Unix epoch.
pub type Day = i32;

/// The day of a moment, in UTC.
pub fn day(at: Timestamp) -> Day {
    Day::try_from(at.as_second().div_euclid(86_400)).unwrap_or(0)
}

/// What was seen on one site. It outlives every reload of the site's settings.
#[derive(Debug, Default)]
pub struct Observed {
    /// The day of the request last noted: the hot paths that see things have no clock.
    today: AtomicI32,
    known: ArcSwap<Snapshot>,
    /// Held by who adds or forgets; who only sees never takes it.
    adding: Mutex<()>,
    /// Whether something changed since it was last saved.
    has_changed: AtomicBool,
}

/// All that was seen up to a moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    services: Things,
    cookies: Things,
    hosts: Things,
    generation: u64,
}

type Things = BTreeMap<Box<str>, Arc<Thing>>;

/// When something was seen, and for a cookie how long it lives.
#[derive(Debug)]
struct Thing {
    first: AtomicI32,
    last: AtomicI32,
    /// [`Lifetime::to_number`].
    lifetime: AtomicI64,
}

/// One thing that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The id of a service, the name of a cookie, or a host.
    pub name: &'a str,
    /// The first day.
    pub first: Day,
    /// The last day so far.
    pub last: Day,
    /// The longest life that a cookie was given; services and hosts have none.
    pub lifetime: Option<Lifetime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Service,
    Cookie,
    Host,
}

impl Observed {
    /// Notes what day it is, for what is seen from here on.
    pub fn note_time(&self, now: Timestamp) {
        let today = day(now);
        if self.today.load(Ordering::Relaxed) != today {
            self.today.store(today, Ordering::Relaxed);
        }
    }

    /// The day that was noted last.
    pub fn today(&self) -> Day {
        self.today.load(Ordering::Relaxed)
    }

    /// A service of the catalogue, or of the site's own, stands in a page, or sets a cookie.
    pub fn saw_service(&self, id: &str) {
        self.saw(Kind::Service, id, || None);
    }

    /// A cookie was set. `lifetime` is asked for when the name is new, and once a day.
    pub fn saw_cookie(&self, name: &str, lifetime: impl FnOnce() -> Option<Lifetime>) {
        if !name.is_empty() {
            self.saw(Kind::Cookie, &name::pattern(name), lifetime);
        }
    }

    /// A page reaches for a host that no service of the site explains.
    pub fn saw_host(&self, host: &str) {
        let is_host = host.len() <= 253
            && host.contains(['.', ':'])
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte));
        if is_host {
            self.saw(Kind::Host, host, || None);
        }
    }

    /// All that was seen so far.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.known.load_full()
    }

    /// A number that changes only when something new is seen, or something old forgotten. It is made from what is
    /// known, so that it is the same after a restart and on every instance that has seen the same.
    pub fn generation(&self) -> u64 {
        self.known.load().generation
    }

    fn saw(&self, kind: Kind, name: &str, lifetime: impl FnOnce() -> Option<Lifetime>) {
        let today = self.today.load(Ordering::Relaxed);
        let is_longer = {
            let known = self.known.load();
            match known.of(kind).get(name) {
                Some(thing) if thing.last.load(Ordering::Relaxed) >= today => return,
                Some(thing) => {
                    thing.last.store(today, Ordering::Relaxed);
                    self.has_changed.store(true, Ordering::Relaxed);
                    let lifetime = lifetime().map_or(0, Lifetime::to_number);
                    (lifetime > thing.lifetime.load(Ordering::Relaxed)).then_some(lifetime)
                }
                None if known.of(kind).len() >= MOST => return,
                None => Some(lifetime().map_or(0, Lifetime::to_number)),
            }
        };
        if let Some(lifetime) = is_longer {
            self.add([(kind, name.into(), Thing::new(today, today, lifetime))]);
        }
    }

    /// Adds things, or widens what is known of them.
    fn add(&self, things: impl IntoIterator<Item = (Kind, Box<str>, Thing)>) {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = Snapshot::clone(&self.known.load());
        for (kind, name, thing) in things {
            let known = next.of_mut(kind);
            match known.get(&name) {
                Some(before) => _ = known.insert(name, Arc::new(before.joined(&thing))),
                None if known.len() < MOST => _ = known.insert(name, Arc::new(thing)),
                None => {}
            }
        }
        self.put(next);
    }

    /// Forgets what was last seen before `day`.
    fn forget_before(&self, day: Day) {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.known.load();
        let is_old = |thing: &Arc<Thing>| thing.last.load(Ordering::Relaxed) < day;
        if !Kind::ALL.iter().any(|kind| known.of(*kind).values().any(is_old)) {
            return;
        }
        let mut next = Snapshot::clone(&known);
        for kind in Kind::ALL {
            next.of_mut(kind).retain(|_, thing| !is_old(thing));
        }
        self.put(next);
    }

    fn put(&self, mut next: Snapshot) {
        next.generation = next.fingerprint();
        self.known.store(Arc::new(next));
        self.has_changed.store(true, Ordering::Relaxed);
    }
}

impl Snapshot {
    /// The services by their ids, in alphabetical order.
    pub fn services(&self) -> impl Iterator<Item = Seen<'_>> {
        self.all(Kind::Service)
    }

    /// The cookies by their names; `NAME*` stands for all names that begin so.
    pub fn cookies(&self) -> impl Iterator<Item = Seen<'_>> {
        self.all(Kind::Cookie)
    }

    /// Third parties that no service explains.
    pub fn hosts(&self) -> impl Iterator<Item = Seen<'_>> {
        self.all(Kind::Host)
    }

    /// What [`Observed::generation`] was.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn all(&self, kind: Kind) -> impl Iterator<Item = Seen<'_>> {
        self.of(kind).iter().map(move |(name, thing)| Seen {
            name,
            first: thing.first.load(Ordering::Relaxed),
            last: thing.last.load(Ordering::Relaxed),
            lifetime: match kind {
                Kind::Cookie => Lifetime::of_number(thing.lifetime.load(Ordering::Relaxed)),
                Kind::Service | Kind::Host => None,
            },
        })
    }

    fn of(&self, kind: Kind) -> &Things {
        match kind {
            Kind::Service => &self.services,
            Kind::Cookie => &self.cookies,
            Kind::Host => &self.hosts,
        }
    }

    fn of_mut(&mut self, kind: Kind) -> &mut Things {
        match kind {
            Kind::Service => &mut self.services,
            Kind::Cookie => &mut self.cookies,
            Kind::Host => &mut self.hosts,
        }
    }

    /// Changes with every name and every lifetime, and with no day.
    fn fingerprint(&self) -> u64 {
        if Kind::ALL.iter().all(|kind| self.of(*kind).is_empty()) {
            return 0;
        }
        let mut hash = Sha256::new();
        for kind in Kind::ALL {
            hash.update((self.of(kind).len() as u64).to_be_bytes());
            for (name, thing) in self.of(kind) {
                hash.update((name.len() as u64).to_be_bytes());
                hash.update(name.as_bytes());
                hash.update(thing.lifetime.load(Ordering::Relaxed).to_be_bytes());
            }
        }
        hash.finalize().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Service, Kind::Cookie, Kind::Host];
}

impl Thing {
    fn new(first: Day, last: Day, lifetime: i64) -> Self {
        Thing { first: first.into(), last: last.into(), lifetime: lifetime.into() }
    }

    fn joined(&self, other: &Thing) -> Thing {
        let of = |thing: &Thing| {
            (
                thing.first.load(Ordering::Relaxed),
                thing.last.load(Ordering::Relaxed),
                thing.lifetime.load(Ordering::Relaxed),
            )
        };
        let (a, b) = (of(self), of(other));
        Thing::new(a.0.min(b.0), a.1.max(b.1), a.2.max(b.2))
    }
}

#[cfg(test)]
mod tests;
