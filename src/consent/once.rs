//! Agreement to one embedded thing on one page, for a short while: "load this one".
//!
//! It stands beside the choices and never becomes one: other pages, and the rest of the same service on this page,
//! stay held.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Granted, Subject};
use crate::clock::Timestamp;

/// How long "load this one" holds: long enough to come back to a film, too short to be a choice.
pub const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// The most that one visitor's cookie holds; the oldest goes first.
const MOST: usize = 16;

/// A short name for a page, or for one thing embedded in it: the beginning of a SHA-256, so that the cookie keeps no
/// list of what was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Name([u8; 8]);

/// A text that is no [`Name`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not sixteen hexadecimal digits")]
pub struct NotAName;

impl Name {
    /// The name of a page, by its path and query on the site.
    pub fn of_page(target: &str) -> Self {
        Self::of(&["page", target])
    }

    /// The name of what a service shows at this address.
    pub fn of_embed(service: &str, address: &str) -> Self {
        Self::of(&["embed", service, address])
    }

    fn of(parts: &[&str]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let mut name = [0; 8];
        name.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        Name(name)
    }

    pub(super) fn from_bytes(bytes: [u8; 8]) -> Self {
        Name(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Name {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let is_name = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_name);
        number.map(|number| Name(number.to_be_bytes())).ok_or(NotAName)
    }
}

/// What a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One embedded thing.
    Embed(Name),
    /// All that the service shows on the page: where a script of it draws them, they cannot be told apart.
    Page,
}

/// One agreement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The service, by id.
    pub service: Box<str>,
    /// The page.
    pub page: Name,
    /// What of the service on that page.
    pub extent: Extent,
    /// Until when it holds.
    pub until: Timestamp,
}

/// The agreements of one visitor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// Who agreed.
    pub subject: Subject,
    /// To what, the oldest first.
    pub grants: Vec<Grant>,
}

impl Once {
    /// Those that still hold.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        self.grants.retain(|grant| now < grant.until);
        self
    }

    /// The same with one more; one to the same thing is renewed.
    #[must_use]
    pub fn with(mut self, grant: Grant) -> Self {
        let is_same =
            |own: &Grant| (&own.service, own.page, own.extent) == (&grant.service, grant.page, grant.extent);
        self.grants.retain(|own| !is_same(own));
        self.grants.push(grant);
        let surplus = self.grants.len().saturating_sub(MOST);
        self.grants.drain(..surplus);
        self
    }
}

/// What was agreed to once on one page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnPage(Vec<Grant>);

impl OnPage {
    /// Those of `once` that are for the page of this path and query.
    pub fn of(once: Option<&Once>, target: &str) -> Self {
        let Some(once) = once else { return OnPage::default() };
        let page = Name::of_page(target);
        OnPage(once.grants.iter().filter(|grant| grant.page == page).cloned().collect())
    }

    /// Whether nothing was loaded once.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the services that may act on the whole page.
    #[must_use]
    pub fn add_to(&self, granted: Granted) -> Granted {
        let whole = self.0.iter().filter(|grant| grant.extent == Extent::Page);
        whole.fold(granted, |granted, grant| granted.with_service(&grant.service))
    }

    /// Whether this one thing was agreed to.
    pub fn covers(&self, service: &str, embed: Name) -> bool {
        self.0.iter().any(|grant| &*grant.service == service && grant.extent == Extent::Embed(embed))
    }

    /// The services of which single things were agreed to, each once, in order.
    pub fn services(&self) -> std::collections::BTreeSet<&str> {
        let single = self.0.iter().filter(|grant| grant.extent != Extent::Page);
        single.map(|grant| &*grant.service).collect()
    }

    /// The single things that were agreed to.
    pub fn embeds(&self) -> impl Iterator<Item = Name> {
        self.0.iter().filter_map(|grant| match grant.extent {
            Extent::Embed(name) => Some(name),
            Extent::Page => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::consent::Category;

    fn grant(service: &str, page: &str, extent: Extent, until: i64) -> Grant {
        let until = Timestamp::from_second(until).unwrap();
        Grant { service: service.into(), page: Name::of_page(page), extent, until }
    }

    fn once(grants: Vec<Grant>) -> Once {
        Once { subject: Subject(Uuid::nil()), grants }
    }

    #[test]
    fn a_name_is_written_as_hexadecimal_digits_and_read_again() {
        let name = Name::of_embed("youtube", "https://www.youtube.com/embed/a");
        assert_eq!(name.to_string().parse(), Ok(name));
        assert_eq!(name.to_string().len(), 16);
        for text in ["", "12", "+123456789abcdef", "0123456789abcdeg", "0123456789abcdef0"] {
            assert_eq!(text.parse::<Name>(), Err(NotAName), "{text}");
        }
    }

    #[test]
    fn no_two_things_share_a_name() {
        let names = [
            Name::of_page("/a"),
            Name::of_page("/b"),
            Name::of_embed("/a", ""),
            Name::of_embed("", "/a"),
            Name::of_embed("/", "a"),
        ];
        for (index, name) in names.iter().enumerate() {
            assert!(!names[index + 1..].contains(name));
        }
    }

    #[test]
    fn what_was_loaded_once_is_loaded_on_its_own_page_and_for_its_time_alone() {
        let film = Name::of_embed("youtube", "https://www.youtube.com/embed/a");
        let once = once(vec![grant("youtube", "/a?b", Extent::Embed(film), 60)]);
        let covers = |target, second, embed| {
            let once = once.clone().at(Timestamp::from_second(second).unwrap());
            OnPage::of(Some(&once), target).covers("youtube", embed)
        };
        assert!(covers("/a?b", 59, film));
        assert!(!covers("/a?b", 60, film));
        assert!(!covers("/a", 0, film));
        assert!(!covers("/a?b", 0, Name::of_embed("youtube", "https://www.youtube.com/embed/b")));
    }

    #[test]
    fn one_thing_does_not_let_the_whole_service_act() {
        let film = Name::of_embed("youtube", "https://www.youtube.com/embed/a");
        let once = once(vec![
            grant("youtube", "/", Extent::Embed(film), 60),
            grant("instagram", "/", Extent::Page, 60),
        ]);
        let here = OnPage::of(Some(&once), "/");
        let granted = here.add_to(Granted::default());
        assert!(!granted.covers("youtube", Category::Marketing));
        assert!(granted.covers("instagram", Category::Marketing));
        assert_eq!(here.services().into_iter().collect::<Vec<_>>(), ["youtube"]);
        assert_eq!(OnPage::of(None, "/"), OnPage::default());
    }

    #[test]
    fn the_list_stays_short_and_names_each_thing_once() {
        let mut all = once(Vec::new());
        for index in 0..40 {
            let extent = Extent::Embed(Name::of_embed("youtube", &(index % 20).to_string()));
            all = all.with(grant("youtube", "/", extent, index));
        }
        assert_eq!(all.grants.len(), MOST);
        assert_eq!(all.grants.last().unwrap().until.as_second(), 39);
    }
}
