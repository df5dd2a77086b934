//! What a page holds that nobody can judge: it is held, counted by reason, and told of once a page.

use crate::consent::Category;

/// Why something could not be judged, or not in parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Pages within pages, deeper than anybody writes.
    TooDeep,
    /// A script or `noscript` longer than `limits.html_token`.
    TooLong,
    /// An element with more places for addresses than anybody writes.
    TooMany,
    /// A `data:` address that cannot be read.
    UnreadableData,
    /// A script of a service that cannot be parted from the site's own code, because it cannot be read.
    UnreadableScript,
    /// A script of a service whose statements and the site's own need each other.
    EntangledScript,
}

impl Reason {
    /// Whatever cannot be judged counts as marketing: the visitor never agreed to the unknown.
    pub const CATEGORY: Category = Category::Marketing;

    /// Every reason.
    pub const ALL: [Reason; 6] = [
        Reason::TooDeep,
        Reason::TooLong,
        Reason::TooMany,
        Reason::UnreadableData,
        Reason::UnreadableScript,
        Reason::EntangledScript,
    ];

    /// The word under which it is counted and told.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::TooDeep => "too-deep",
            Reason::TooLong => "too-long",
            Reason::TooMany => "too-many",
            Reason::UnreadableData => "unreadable-data",
            Reason::UnreadableScript => "unreadable-script",
            Reason::EntangledScript => "entangled-script",
        }
    }
}

/// How often each reason occurred in one page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unjudged([u32; Reason::ALL.len()]);

impl Unjudged {
    /// Notes one more.
    pub(super) fn note(&mut self, reason: Reason) {
        let place = Reason::ALL.iter().position(|known| *known == reason);
        if let Some(count) = place.and_then(|place| self.0.get_mut(place)) {
            *count = count.saturating_add(1);
        }
    }

    /// Adds what a page within the page had.
    pub(super) fn add(&mut self, other: &Unjudged) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
    }

    /// The reasons that occurred, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u32)> {
        Reason::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}
