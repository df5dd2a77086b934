//! Scripts, styles and titles that come again, whatever page they stand in: they leave as they left before, and the
//! parser never sees them.
//!
//! An element is found again by its very bytes and by all else that shapes it, what was done before it on its page
//! included.

use std::sync::{Arc, LazyLock};

use super::recollection::{LONGEST, Recollection, list, shape};
use super::{State, Syntax, skim};

/// What all elements that are remembered may weigh together.
const BYTES: u64 = 16 << 20;

/// An element, and all that shapes what becomes of it.
pub(super) struct Key(Vec<u8>);

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

static ELEMENTS: LazyLock<Recollection<Became>> = LazyLock::new(|| Recollection::new(BYTES, Became::weight));

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
    match ELEMENTS.of(&key.0) {
        Some(became) => Look::Known(became),
        None if ELEMENTS.came_before(&key.0) => Look::Again(key),
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
        let mut key = shape(state, element.len());
        list(&mut key, state.told.iter().map(AsRef::as_ref));
        list(&mut key, state.stubbed.iter().map(AsRef::as_ref));
        list(&mut key, state.held_for.as_deref().into_iter());
        list(&mut key, std::iter::once(page.url.origin_as_written()));
        key.extend_from_slice(element);
        Some(Key(key))
    }

    /// Remembers what became of it, so long when it came, and what its page knows behind it.
    pub(super) fn learn(self, length: usize, bytes: &[u8], state: &State) {
        let (told, stubbed) = (state.told.clone(), state.stubbed.clone());
        let became = Became { length, bytes: bytes.into(), told, stubbed, held_for: state.held_for.clone() };
        ELEMENTS.keep(self.0, became);
    }
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
