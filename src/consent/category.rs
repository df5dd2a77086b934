//! Why a service or a cookie exists.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a service or a cookie exists. `Necessary` needs no agreement (ePrivacy directive, article 5(3)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// What the visitor asked for cannot be given without it.
    Necessary,
    /// Comfort: language, layout, chat, embedded media.
    Preferences,
    /// Measuring how the site is used.
    Statistics,
    /// Advertising, and following visitors across sites.
    Marketing,
}

impl Category {
    /// The categories that need agreement, in the order in which visitors see them.
    pub const OPTIONAL: [Category; 3] = [Category::Preferences, Category::Statistics, Category::Marketing];

    /// All categories, in the order in which visitors see them.
    pub const ALL: [Category; 4] =
        [Category::Necessary, Category::Preferences, Category::Statistics, Category::Marketing];

    /// The word of the YAML files, forms, cookies and the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Category::Necessary => "necessary",
            Category::Preferences => "preferences",
            Category::Statistics => "statistics",
            Category::Marketing => "marketing",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no category.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a category: necessary, preferences, statistics or marketing")]
pub struct UnknownCategory;

impl FromStr for Category {
    type Err = UnknownCategory;

    fn from_str(word: &str) -> Result<Self, UnknownCategory> {
        Category::ALL.into_iter().find(|category| category.as_str() == word).ok_or(UnknownCategory)
    }
}

/// A set of optional categories; `Necessary` is always in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Categories(u8);

impl Categories {
    /// Nothing but what is necessary.
    pub const NONE: Categories = Categories(0);
    /// Every optional category.
    pub const ALL: Categories = Categories(0b111);

    /// The set with `category` added.
    #[must_use]
    pub fn with(self, category: Category) -> Self {
        Categories(self.0 | Self::bit(category))
    }

    /// The set with `category` taken out.
    #[must_use]
    pub fn without(self, category: Category) -> Self {
        Categories(self.0 & !Self::bit(category))
    }

    /// Whether `category` is in the set.
    pub fn covers(self, category: Category) -> bool {
        category == Category::Necessary || self.0 & Self::bit(category) != 0
    }

    /// The optional categories of the set, in the order in which visitors see them.
    pub fn iter(self) -> impl Iterator<Item = Category> {
        Category::OPTIONAL.into_iter().filter(move |category| self.covers(*category))
    }

    /// The set as the bits that the cookie carries.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// The set from the bits of a cookie; unknown bits are ignored.
    pub fn from_bits(bits: u8) -> Self {
        Categories(bits & Self::ALL.0)
    }

    fn bit(category: Category) -> u8 {
        match category {
            Category::Necessary => 0,
            Category::Preferences => 1,
            Category::Statistics => 2,
            Category::Marketing => 4,
        }
    }
}

impl FromIterator<Category> for Categories {
    fn from_iter<I: IntoIterator<Item = Category>>(categories: I) -> Self {
        categories.into_iter().fold(Categories::NONE, Categories::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn necessary_is_in_every_set_and_cannot_be_taken_out() {
        assert!(Categories::NONE.covers(Category::Necessary));
        assert!(Categories::ALL.without(Category::Necessary).covers(Category::Necessary));
    }

    #[test]
    fn bits_of_a_cookie_bring_back_the_same_set() {
        for bits in 0..=255u8 {
            let set = Categories::from_bits(bits);
            assert_eq!(Categories::from_bits(set.bits()), set);
            assert_eq!(set.iter().collect::<Categories>(), set);
        }
    }
}
