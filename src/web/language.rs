//! Languages: which a visitor wishes for, and which of those that exist they get (RFC 4647 section 3.4).

use std::fmt;
use std::sync::OnceLock;

/// A language tag in lower case, such as `sv` or `de-at` (BCP 47).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Language(Box<str>);

/// A word that is no language tag.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a language tag such as sv or de-AT")]
pub struct NotALanguage;

impl Language {
    /// Reads a tag: letters and digits in parts of one to eight, the first of two or three letters.
    pub fn parse(tag: &str) -> Result<Self, NotALanguage> {
        let mut parts = tag.split('-');
        let primary = parts.next().unwrap_or_default();
        let well_formed = (2..=3).contains(&primary.len())
            && primary.bytes().all(|byte| byte.is_ascii_alphabetic())
            && parts.all(|part| {
                (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
            });
        if well_formed { Ok(Language(tag.to_ascii_lowercase().into())) } else { Err(NotALanguage) }
    }

    /// The tag, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tag's first part: `de` of `de-at`.
    pub fn primary(&self) -> &str {
        self.0.split('-').next().unwrap_or_default()
    }

    /// The languages whose readers read this one as easily, the nearest first. `no` is Norwegian of either form, and
    /// who writes it means bokmål.
    pub fn sisters(&self) -> &'static [&'static str] {
        match self.primary() {
            "no" => &["nb", "nn"],
            "nb" => &["no", "nn"],
            "nn" => &["nb", "no"],
            _ => &[],
        }
    }

    /// Which of `available` meets the wish for this one: itself, shortened part by part (RFC 4647 section 3.4), else a
    /// sister.
    pub fn met_by<'a>(&self, available: impl Iterator<Item = &'a Language> + Clone) -> Option<&'a Language> {
        let find = |tag: &str| available.clone().find(|language| language.as_str() == tag);
        std::iter::successors(Some(self.as_str()), |tag| tag.rsplit_once('-').map(|(head, _)| head))
            .find_map(find)
            .or_else(|| self.sisters().iter().copied().find_map(find))
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The languages that a visitor wishes for. They are read where somebody asks: most answers are in no language.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    header: Box<str>,
    /// The dearest first.
    read: OnceLock<Vec<Language>>,
}

impl Wishes {
    /// The wishes of an `Accept-Language` header (RFC 9110 section 12.5.4); what is no tag, or has `q=0`, is skipped.
    pub fn from_header(header: &str) -> Self {
        Wishes { header: header.into(), read: OnceLock::new() }
    }

    fn all(&self) -> &[Language] {
        self.read.get_or_init(|| Self::read(&self.header))
    }

    fn read(header: &str) -> Vec<Language> {
        let mut weighted: Vec<(f32, Language)> = header
            .split(',')
            .take(32)
            .filter_map(|item| {
                let (tag, parameters) = item.split_once(';').unwrap_or((item, ""));
                let weight = match parameters.trim().strip_prefix("q=") {
                    Some(q) => q.trim().parse().ok().filter(|q: &f32| (0.0..=1.0).contains(q))?,
                    None => 1.0,
                };
                (weight > 0.0).then_some((weight, Language::parse(tag.trim()).ok()?))
            })
            .collect();
        weighted.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        weighted.into_iter().map(|(_, language)| language).collect()
    }

    /// The wishes with `language` put before all others.
    #[must_use]
    pub fn led_by(self, language: Language) -> Self {
        let all: Vec<_> = std::iter::once(language).chain(self.all().iter().cloned()).collect();
        Wishes { header: self.header, read: OnceLock::from(all) }
    }

    /// The first wish that `available` can meet, each as [`Language::met_by`] says.
    pub fn choose<'a>(&self, available: impl Iterator<Item = &'a Language> + Clone) -> Option<&'a Language> {
        self.all().iter().find_map(|wish| wish.met_by(available.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(header: &str, available: &[&str]) -> Option<String> {
        let available: Vec<_> = available.iter().map(|tag| Language::parse(tag).unwrap()).collect();
        Wishes::from_header(header).choose(available.iter()).map(ToString::to_string)
    }

    #[test]
    fn the_dearest_wish_that_can_be_met_is_chosen() {
        for (header, available, expected) in [
            ("sv", &["en", "sv"][..], Some("sv")),
            ("de-AT, en;q=0.5", &["sv", "de"], Some("de")),
            ("en;q=0.4, sv;q=0.9", &["en", "sv"], Some("sv")),
            ("sv;q=0, en", &["sv", "en"], Some("en")),
            ("SV-se", &["sv"], Some("sv")),
            ("pt-BR", &["en", "pt"], Some("pt")),
            ("no", &["en", "nb"], Some("nb")),
            ("nb-NO", &["en", "no"], Some("no")),
            ("nn-NO, en;q=0.8", &["en", "nb"], Some("nb")),
            ("no, nn;q=0.9", &["nn", "nb"], Some("nb")),
            ("fr", &["sv", "en"], None),
            ("*", &["sv"], None),
            ("", &["sv"], None),
            ("sv;q=high", &["sv"], None),
        ] {
            assert_eq!(choose(header, available).as_deref(), expected, "{header}");
        }
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for tag in ["", "s", "svenska", "sv_SE", "sv-", "s1", "sv-åland"] {
            assert_eq!(Language::parse(tag), Err(NotALanguage), "{tag}");
        }
    }
}
