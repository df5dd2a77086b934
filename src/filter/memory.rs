//! Pages that repeat: what they were rewritten to, found again by all that shapes it and by the very bytes that came.
//!
//! A page is remembered when it comes for the second time, so that pages of which each is another cost a quick hash
//! and no memory. What came is kept beside what left, and compared byte by byte: what one page was rewritten to never
//! stands in for another, even where somebody chooses their bytes.

use std::hash::{BuildHasher, Hash};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use foldhash::fast::RandomState;

use super::Settings;
use super::body::Forms;
use super::html::{Embeds, Findings, Inserts, Page};

/// What all pages that are remembered may weigh together.
const BYTES: u64 = 64 << 20;

/// How many things that came once are kept in mind, each by a hash.
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

impl Identity {
    /// The number.
    pub fn number(&self) -> u64 {
        self.0
    }
}

/// What came once, as far as is known: each thing by a hash, and a later one in the place of an earlier.
#[derive(Debug)]
pub struct CameOnce([AtomicU64; ONCE]);

impl CameOnce {
    /// Nothing has come.
    pub const fn new() -> Self {
        CameOnce([const { AtomicU64::new(0) }; ONCE])
    }

    /// Whether this had come before; it has now.
    pub fn had(&self, thing: impl Hash) -> bool {
        let hash = QUICK.hash_one(thing);
        let slot = self.0.get(usize::try_from(hash).unwrap_or_default() % ONCE);
        slot.is_some_and(|slot| slot.swap(hash, Ordering::Relaxed) == hash)
    }
}

impl Default for CameOnce {
    fn default() -> Self {
        CameOnce::new()
    }
}

/// All that shapes a rewritten page, but for its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape(Vec<u8>);

/// What a page was rewritten to.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// As it leaves, encoded.
    pub body: Bytes,
    /// What was found in it.
    pub findings: Findings,
}

/// A page that came before and is not remembered yet.
#[derive(Debug)]
pub struct Sighting {
    quick: u64,
    shape: Shape,
    came: Box<[u8]>,
}

/// What is known of a page.
#[derive(Debug)]
pub enum Look {
    /// Nothing: it comes for the first time, as far as is known.
    New,
    /// It came before.
    Again(Sighting),
    /// What it was rewritten to.
    Known(Remembered),
}

#[derive(Debug)]
struct Kept {
    shape: Shape,
    came: Box<[u8]>,
    page: Remembered,
}

static PAGES: LazyLock<moka::sync::Cache<u64, Arc<Kept>, RandomState>> = LazyLock::new(|| {
    moka::sync::Cache::builder()
        .max_capacity(BYTES)
        .weigher(|_: &u64, kept: &Arc<Kept>| {
            let bytes = kept.shape.0.len() + kept.came.len() + kept.page.body.len();
            u32::try_from(bytes + 256).unwrap_or(u32::MAX)
        })
        .build_with_hasher(RandomState::default())
});

static CAME_ONCE: CameOnce = CameOnce::new();

static QUICK: LazyLock<RandomState> = LazyLock::new(RandomState::default);

impl Shape {
    /// The shape of a page; none of one that never comes again.
    pub fn of(settings: &Settings, page: &Page, forms: Forms) -> Option<Self> {
        let Page { url, granted, syntax, inserts, embeds, nonce, scope } = page;
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
        shape.part(url.as_written().as_bytes());
        granted.services().for_each(|service| shape.part(service.as_bytes()));
        shape.part(&[*syntax as u8]);
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

    /// What is known of a page of this shape, which came in these pieces.
    pub fn look<'a>(self, pieces: impl Iterator<Item = &'a Bytes> + Clone) -> Look {
        let quick =
            pieces.clone().fold(QUICK.hash_one(&*self.0), |hash, piece| QUICK.hash_one((hash, &**piece)));
        if let Some(kept) = PAGES.get(&quick).filter(|kept| kept.is_of(&self, pieces.clone())) {
            return Look::Known(kept.page.clone());
        }
        if !CAME_ONCE.had(quick) {
            return Look::New;
        }
        let mut came = Vec::with_capacity(pieces.clone().map(Bytes::len).sum());
        pieces.for_each(|piece| came.extend_from_slice(piece));
        Look::Again(Sighting { quick, shape: self, came: came.into() })
    }
}

impl Kept {
    fn is_of<'a>(&self, shape: &Shape, pieces: impl Iterator<Item = &'a Bytes>) -> bool {
        let mut rest = Some(&*self.came);
        for piece in pieces {
            rest = rest.and_then(|rest| rest.strip_prefix(&**piece));
        }
        self.shape == *shape && rest.is_some_and(<[u8]>::is_empty)
    }
}

impl Sighting {
    /// Remembers what the page was rewritten to.
    pub fn remember(self, page: Remembered) {
        let Sighting { quick, shape, came } = self;
        PAGES.insert(quick, Arc::new(Kept { shape, came, page }));
    }
}
