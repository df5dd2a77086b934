//! Pages that repeat: what they were rewritten to, found again by all that shapes it and by the very bytes that came.
//!
//! A page is remembered when it comes for the second time, so that pages of which each is another cost a quick hash
//! and no memory.

use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use foldhash::fast::RandomState;
use sha2::{Digest, Sha256};

use super::Settings;
use super::body::Forms;
use super::html::{Embeds, Findings, Inserts, Page};

/// What all pages that are remembered may weigh together.
const BYTES: u64 = 64 << 20;

/// How many pages that came once are kept in mind, each by a hash.
const ONCE: usize = 16_384;

/// A number that nothing else in this process has, not even a copy of what it belongs to.
#[derive(Debug)]
pub struct Identity(u64);

impl Default for Identity {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Identity(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

impl Clone for Identity {
    /// A copy may be changed afterwards.
    fn clone(&self) -> Self {
        Identity::default()
    }
}

/// All that shapes a rewritten page, but for its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(Vec<u8>);

/// What tells a page from every other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

/// What a page was rewritten to.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// As it leaves, encoded.
    pub body: Bytes,
    /// What was found in it.
    pub findings: Findings,
}

static PAGES: LazyLock<moka::sync::Cache<Key, Remembered, RandomState>> = LazyLock::new(|| {
    moka::sync::Cache::builder()
        .max_capacity(BYTES)
        .weigher(|_: &Key, page: &Remembered| u32::try_from(page.body.len() + 256).unwrap_or(u32::MAX))
        .build_with_hasher(RandomState::default())
});

static CAME_ONCE: [AtomicU64; ONCE] = [const { AtomicU64::new(0) }; ONCE];

static QUICK: LazyLock<RandomState> = LazyLock::new(RandomState::default);

impl Shape {
    /// The shape of a page; none of one that never comes again.
    pub fn of(settings: &Settings, page: &Page, forms: Forms) -> Option<Self> {
        let Page { url, granted, inserts, embeds, nonce, scope } = page;
        // A nonce is used once; so is a visitor's leave to load a single embed.
        if nonce.is_some() || embeds.as_ref().is_some_and(|embeds| !embeds.once.services().is_empty()) {
            return None;
        }
        let mut shape = Shape(Vec::with_capacity(256));
        shape.number(settings.identity.0);
        shape.number(scope.identity.0);
        // What a page shows is noted again each day.
        shape.number(u64::from(settings.observed.today().cast_unsigned()));
        shape.number(settings.observed.generation());
        shape.part(&[granted.categories().bits(), forms.from as u8, forms.to as u8]);
        shape.part(forms.charset.map_or("", |charset| charset.name()).as_bytes());
        shape.part(url.as_str().as_bytes());
        granted.services().for_each(|service| shape.part(service.as_bytes()));
        shape.inserts(inserts);
        if let Some(Embeds { language, asks, page, once: _ }) = embeds {
            shape.part(language.as_str().as_bytes());
            shape.part(&[*asks as u8]);
            shape.part(page.as_bytes());
        }
        Some(shape)
    }

    fn inserts(&mut self, inserts: &Inserts) {
        match inserts {
            Inserts::Nothing => self.part(b"nothing"),
            // The guard is the scope's.
            Inserts::Guard(_) => self.part(b"guard"),
            Inserts::Xml { banner, undecided, signal, language, fixed, return_to } => {
                self.part(b"xml");
                self.part(&[*banner as u8, u8::from(*undecided), *signal as u8]);
                self.part(language.as_str().as_bytes());
                self.part(fixed.as_ref().map_or("", |fixed| fixed.as_str()).as_bytes());
                self.part(return_to.as_bytes());
            }
            Inserts::Page {
                guard: _,
                banner,
                note,
                undecided,
                signal,
                language,
                fixed,
                return_to,
                request,
                presumed,
            } => {
                self.part(b"page");
                self.part(&[
                    *banner as u8,
                    u8::from(*undecided),
                    *signal as u8,
                    *request as u8,
                    u8::from(*presumed),
                ]);
                self.part(note.as_ref().map_or("", |note| &note.document).as_bytes());
                self.part(language.as_str().as_bytes());
                self.part(fixed.as_ref().map_or("", |fixed| fixed.as_str()).as_bytes());
                self.part(return_to.as_bytes());
            }
        }
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    /// A part behind its length, so that no two shapes run together into the same bytes.
    fn part(&mut self, part: &[u8]) {
        self.number(part.len() as u64);
        self.0.extend_from_slice(part);
    }

    /// The key of a page of this shape; none when it comes for the first time, as far as is known.
    pub fn key<'a>(&self, pieces: impl Iterator<Item = &'a Bytes> + Clone) -> Option<Key> {
        let quick =
            pieces.clone().fold(QUICK.hash_one(&*self.0), |hash, piece| QUICK.hash_one((hash, &**piece)));
        let slot = CAME_ONCE.get(usize::try_from(quick).unwrap_or_default() % ONCE)?;
        if slot.swap(quick, Ordering::Relaxed) != quick {
            return None;
        }
        // What one page was rewritten to must never stand in for another, even where somebody chooses their bytes.
        let mut hash = Sha256::new();
        hash.update((self.0.len() as u64).to_be_bytes());
        hash.update(&self.0);
        pieces.for_each(|piece| hash.update(piece));
        Some(Key(hash.finalize().into()))
    }
}

/// What a page was rewritten to before.
pub fn recall(key: &Key) -> Option<Remembered> {
    PAGES.get(key)
}

/// Remembers what a page was rewritten to.
pub fn remember(key: Key, page: Remembered) {
    PAGES.insert(key, page);
}
