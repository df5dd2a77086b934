//! Scripts, styles and titles that come again, whatever page they stand in: they leave as they left before, and the
//! parser never sees them.
//!
//! An element is found again by its very bytes and by all else that shapes it, what was done before it on its page
//! included.

use std::sync::{Arc, LazyLock};

use foldhash::fast::RandomState;
use moka::sync::Cache;

use super::{State, Syntax, skim, stubs};
use crate::filter::memory::CameOnce;

/// What all elements that are remembered may weigh together.
const BYTES: u64 = 16 << 20;

/// The longest element that is remembered: longer ones hold what each page has of its own.
const LONGEST: usize = 16 * 1024;

/// An element, and all that shapes what becomes of it.
pub(super) struct Key(Arc<[u8]>);

/// What became of an element, and what its page knows behind it.
pub(super) struct Became {
    /// How long it was when it came.
    pub(super) length: usize,
    bytes: Box<[u8]>,
    told: Vec<Box<str>>,
    stubbed: Vec<Box<str>>,
    held_for: Option<Box<str>>,
}

/// What is known of an element.
pub(super) enum Look {
    /// Nothing: it comes for the first time, as far as is known, or is none that is remembered.
    New,
    /// It came before.
    Again(Key),
    /// What became of it.
    Known(Arc<Became>),
}

static ELEMENTS: LazyLock<Cache<Arc<[u8]>, Arc<Became>, RandomState>> = LazyLock::new(|| {
    Cache::builder()
        .max_capacity(BYTES)
        .weigher(|key: &Arc<[u8]>, became: &Arc<Became>| {
            u32::try_from(key.len() + became.weight()).unwrap_or(u32::MAX)
        })
        .build_with_hasher(RandomState::default())
});

static CAME_ONCE: CameOnce = CameOnce::new();

/// The element that `page` begins with, whose start tag has this length; none where its end is not at hand, or it is
/// none of those that are remembered.
pub(super) fn element<'a>(page: &'a [u8], tag: usize, name: &str) -> Option<&'a [u8]> {
    // Into these alone nothing is put that knows more of the page than its key.
    if !matches!(name, "script" | "style" | "title") {
        return None;
    }
    let (content, may_end) = skim::before_end(page.get(tag..)?, name);
    page.get(..tag + content).filter(|element| may_end && element.len() <= LONGEST)
}

/// Looks for an element on the page that has come so far.
pub(super) fn look(state: &State, element: &[u8]) -> Look {
    let Some(key) = Key::of(state, element) else { return Look::New };
    match ELEMENTS.get(&key.0) {
        Some(became) => Look::Known(became),
        None if CAME_ONCE.had(&key.0) => Look::Again(key),
        None => Look::New,
    }
}

impl Key {
    /// None of an element that is another on each page.
    fn of(state: &State, element: &[u8]) -> Option<Self> {
        let page = &state.page;
        // Where services act from the host itself, what an address leads to depends on the page's own.
        let is_alike = !state.is_host_known && state.bases.is_empty() && state.depth == 0;
        if !is_alike || page.syntax == Syntax::Xml || page.nonce.is_some() {
            return None;
        }
        let mut key = Vec::with_capacity(element.len() + 256);
        let numbers = [
            state.settings.identity.number(),
            page.scope.identity.number(),
            // What a page names is noted again each day.
            u64::from(state.settings.observed.today().cast_unsigned()),
            state.settings.observed.generation(),
            u64::from(page.granted.categories().bits()),
            u64::from(stubs::has_guard(page)),
        ];
        numbers.iter().for_each(|number| key.extend_from_slice(&number.to_be_bytes()));
        list(&mut key, page.granted.services());
        list(&mut key, state.told.iter().map(AsRef::as_ref));
        list(&mut key, state.stubbed.iter().map(AsRef::as_ref));
        list(&mut key, state.held_for.as_deref().into_iter());
        list(&mut key, std::iter::once(page.url.origin_as_written()));
        key.extend_from_slice(element);
        Some(Key(key.into()))
    }

    /// Remembers what became of it, so long when it came, and what its page knows behind it.
    pub(super) fn learn(self, length: usize, bytes: &[u8], state: &State) {
        let (told, stubbed) = (state.told.clone(), state.stubbed.clone());
        let became = Became { length, bytes: bytes.into(), told, stubbed, held_for: state.held_for.clone() };
        ELEMENTS.insert(self.0, Arc::new(became));
    }
}

/// Adds texts to a key, so that no two lists of them are written alike.
fn list<'a>(key: &mut Vec<u8>, texts: impl Iterator<Item = &'a str>) {
    for text in texts {
        key.extend_from_slice(&(text.len() as u64).to_be_bytes());
        key.extend_from_slice(text.as_bytes());
    }
    // No text has this length.
    key.extend_from_slice(&u64::MAX.to_be_bytes());
}

impl Became {
    /// Writes it once more.
    pub(super) fn write(&self, state: &mut State, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes);
        state.told.clone_from(&self.told);
        state.stubbed.clone_from(&self.stubbed);
        state.held_for.clone_from(&self.held_for);
    }

    fn weight(&self) -> usize {
        let texts = self.told.iter().chain(&self.stubbed).chain(&self.held_for);
        self.bytes.len() + texts.map(|text| text.len() + 16).sum::<usize>() + 256
    }
}
