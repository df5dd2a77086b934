//! What becomes of things that stand on page after page of a site, found again by their very bytes and by all else that
//! shapes it.

use std::sync::Arc;

use foldhash::fast::RandomState;
use moka::sync::Cache;

use super::{State, stubs};
use crate::filter::memory::CameOnce;

/// The longest thing that is remembered: longer ones hold what each page has of its own.
pub(super) const LONGEST: usize = 16 * 1024;

/// What became of things, each from the second time on that it comes.
pub(super) struct Recollection<V> {
    cache: Cache<Arc<[u8]>, Arc<V>, RandomState>,
    came_once: Box<CameOnce>,
}

impl<V: Send + Sync + 'static> Recollection<V> {
    /// Nothing has come. All that is remembered weighs `most` bytes together, each by its key and `weigh`.
    pub(super) fn new(most: u64, weigh: fn(&V) -> usize) -> Self {
        let weight = move |key: &Arc<[u8]>, value: &Arc<V>| {
            u32::try_from(key.len() + weigh(value)).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().max_capacity(most).weigher(weight);
        Recollection { cache: cache.build_with_hasher(RandomState::default()), came_once: Box::default() }
    }

    /// What became of it, if that is remembered.
    pub(super) fn of(&self, key: &[u8]) -> Option<Arc<V>> {
        self.cache.get(key)
    }

    /// Whether it had come before; it has now.
    pub(super) fn came_before(&self, key: &[u8]) -> bool {
        self.came_once.had(key)
    }

    /// Remembers what became of it.
    pub(super) fn keep(&self, key: Vec<u8>, value: V) {
        self.cache.insert(key.into(), Arc::new(value));
    }
}

/// What shapes everything on a page, as the beginning of a key with so much room for what follows.
pub(super) fn shape(state: &State, room: usize) -> Vec<u8> {
    let page = &state.page;
    let mut key = Vec::with_capacity(room + 256);
    let numbers = [
        state.settings.identity.number(),
        page.scope.identity.number(),
        // What a page names is noted again each day.
        u64::from(state.settings.observed.today().cast_unsigned()),
        state.settings.observed.generation(),
    ];
    numbers.iter().for_each(|number| key.extend_from_slice(&number.to_be_bytes()));
    key.extend([page.granted.categories().bits(), u8::from(stubs::has_guard(page))]);
    list(&mut key, page.granted.services());
    key
}

/// Adds texts to a key, so that no two lists of them are written alike.
pub(super) fn list<'a>(key: &mut Vec<u8>, texts: impl Iterator<Item = &'a str>) {
    for text in texts {
        key.extend_from_slice(&(text.len() as u64).to_be_bytes());
        key.extend_from_slice(text.as_bytes());
    }
    // No text has this length.
    key.extend_from_slice(&u64::MAX.to_be_bytes());
}
