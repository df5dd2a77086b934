//! Passages of pages that passed the look-ahead before: most of a page stands in others of its site, too, and bytes are
//! compared in a small part of the time that it takes to look at them.
//!
//! A passage is found again by what it begins with, and compared whole: what is not the very same is looked at.

use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};

use arc_swap::ArcSwapOption;
use foldhash::fast::RandomState;

use super::Syntax;
use super::places::Known;
use super::skim::{self, Next, Place, SHORTEST, Tells};
use crate::filter::memory::{CameOnce, Identity};

/// How many are kept, a later one in the place of an earlier: some 4 MB of pages, 16 at most.
const MOST: usize = 4_096;

/// What is shorter is looked at as quickly as it is found.
const WORTH_IT: usize = 64;

/// The longest that is kept: one tag, or the rules of one style, may be longer than all else.
const LONGEST: usize = 8 * SHORTEST;

/// All that decides what passes, but for the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Grounds {
    settings: u64,
    is_host_known: bool,
}

impl Grounds {
    /// The settings of a site, and whether services act from the host that relative addresses lead to.
    pub(super) fn new(settings: &Identity, is_host_known: bool) -> Self {
        Grounds { settings: settings.number(), is_host_known }
    }
}

struct Passage {
    grounds: Grounds,
    bytes: Box<[u8]>,
}

static PASSAGES: LazyLock<Box<[ArcSwapOption<Passage>]>> =
    LazyLock::new(|| (0..MOST).map(|_| ArcSwapOption::empty()).collect());

static CAME_ONCE: CameOnce = CameOnce::new();

static QUICK: LazyLock<RandomState> = LazyLock::new(RandomState::default);

/// What [`skim::skim`] tells of what the parser must read.
pub(super) fn skim(
    grounds: Grounds,
    place: &mut Place,
    page: &[u8],
    is_harmless: impl Fn(&[u8]) -> bool,
    marks: impl Fn(Known, &[u8]) -> bool,
) -> (usize, Next) {
    let mut at = 0;
    loop {
        let rest = page.get(at..).unwrap_or_default();
        let before = *place;
        if before == Place::Text
            && let Some(length) = recall(grounds, rest)
        {
            at += length;
            continue;
        }
        let (passes, next) = skim::skim(Syntax::Html, place, rest, Tells::WhatIsRead, &is_harmless, &marks);
        at += passes;
        // What has come ends like a passage, if it ends between two tags.
        let is_passage = next == Next::Passage || passes == rest.len() && *place == Place::Text;
        if before == Place::Text && is_passage {
            learn(grounds, rest.get(..passes).unwrap_or_default());
        }
        if next != Next::Passage {
            return (at, next);
        }
    }
}

/// How long the passage is that passed before and that `page`, between its tags, begins with.
fn recall(grounds: Grounds, page: &[u8]) -> Option<usize> {
    let known = slot(grounds, page)?.load();
    let passage = known.as_ref().filter(|passage| passage.grounds == grounds)?;
    page.starts_with(&passage.bytes).then_some(passage.bytes.len())
}

/// Keeps a passage that comes for the second time: of pages that are never the same, nothing is kept.
fn learn(grounds: Grounds, passage: &[u8]) {
    if (WORTH_IT..=LONGEST).contains(&passage.len())
        && CAME_ONCE.had((grounds, passage))
        && let Some(slot) = slot(grounds, passage)
    {
        slot.store(Some(Arc::new(Passage { grounds, bytes: passage.into() })));
    }
}

/// Where a passage is kept that `page` begins with; all that is left of a page may be shorter than others.
fn slot(grounds: Grounds, page: &[u8]) -> Option<&'static ArcSwapOption<Passage>> {
    let beginning = page.get(..SHORTEST).unwrap_or(page);
    if beginning.len() < WORTH_IT {
        return None;
    }
    let hash = QUICK.hash_one((grounds, beginning));
    PASSAGES.get(usize::try_from(hash).unwrap_or_default() % MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passage_is_known_by_its_very_bytes_and_on_its_own_grounds_alone() {
        let grounds = Grounds::new(&Identity::default(), false);
        let passage = b"<p>A text of some length.</p>".repeat(30);
        let page = [&passage, b"<p>Another".as_slice()].concat();
        learn(grounds, &passage);
        assert_eq!(recall(grounds, &page), None, "it came once");
        learn(grounds, &passage);
        assert_eq!(recall(grounds, &page), Some(passage.len()));
        assert_eq!(recall(grounds, &page[..passage.len() - 1]), None, "half of it");
        for at in 0..passage.len() {
            let mut other = page.clone();
            other[at] ^= 1;
            assert_eq!(recall(grounds, &other), None, "{at}");
        }
        assert_eq!(recall(Grounds { is_host_known: true, ..grounds }, &page), None);
        assert_eq!(recall(Grounds::new(&Identity::default(), false), &page), None);
    }

    #[test]
    fn what_has_come_is_known_to_its_last_byte_when_it_comes_for_the_third_time() {
        let page =
            [b"<p>Another row of a table</p>".repeat(60).as_slice(), b"<img src=//a.example/x> the end"]
                .concat();
        let grounds = Grounds::new(&Identity::default(), false);
        let looked_at = |page: &[u8]| {
            let addresses = std::cell::Cell::new(0);
            let is_harmless = |_: &[u8]| {
                addresses.set(addresses.get() + 1);
                true
            };
            let mut place = Place::default();
            let skimmed = skim(grounds, &mut place, page, is_harmless, |_, _| false);
            assert_eq!((skimmed, place), ((page.len(), Next::Unfinished), Place::Text));
            addresses.get()
        };
        assert_eq!([looked_at(&page), looked_at(&page), looked_at(&page)], [1, 1, 0]);
        let goes_on = [&page, b"<img src=//a.example/z>".as_slice()].concat();
        assert_eq!(looked_at(&goes_on), 1, "what is new in it");
        let stops_before = page.get(..page.len() - 1).unwrap();
        assert_eq!(looked_at(stops_before), 1, "another passage");
    }

    #[test]
    fn what_stops_within_a_tag_or_a_comment_is_no_passage() {
        let rows = b"<p>A row</p>".repeat(20);
        for (rest, end) in [("<a hre", Place::Text), ("<!-- a", Place::Comment), ("<", Place::Text)] {
            let page = [&rows, rest.as_bytes()].concat();
            let grounds = Grounds::new(&Identity::default(), false);
            for _ in 0..3 {
                let mut place = Place::default();
                let (passes, _) = skim(grounds, &mut place, &page, |_| true, |_, _| false);
                assert_eq!(place, end, "{rest}");
                assert!(passes < page.len(), "{rest}");
                assert_eq!(recall(grounds, &page[..passes]), None, "{rest}");
            }
        }
    }
}
