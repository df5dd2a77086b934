//! The language of what is put into a page, and of our own pages, where the site's settings fix it.

use super::Settings;
use crate::visit::Visit;
use crate::visit::path::{Letters, PathPattern};
use crate::web::language::Language;

/// A part of the site that speaks one language, whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its host, or `*.` and what it lies below; none: every host of the site.
    pub host: Option<Box<str>>,
    /// Its paths; none: all.
    pub path: Option<PathPattern>,
    /// One of the site's languages.
    pub language: Language,
}

impl Rule {
    fn covers(&self, visit: &Visit) -> bool {
        let host = &*visit.arrival.host;
        let is_host = self.host.as_deref().is_none_or(|name| match name.strip_prefix("*.") {
            Some(below) => host.strip_suffix(below).is_some_and(|start| start.ends_with('.')),
            None => host == name,
        });
        is_host && self.path.as_ref().is_none_or(|path| path.covers(&visit.path, Letters::Exact))
    }
}

impl Settings {
    /// The language that the site's settings fix for a page: by the first rule that covers it.
    pub fn fixed_language(&self, visit: &Visit) -> Option<&Language> {
        self.language_rules.iter().find(|rule| rule.covers(visit)).map(|rule| &rule.language)
    }

    /// The language of a page that says none itself: the fixed one, else by the visitor's wishes, else the site's
    /// first.
    pub fn language(&self, visit: &Visit) -> &Language {
        self.fixed_language(visit).unwrap_or_else(|| self.look.language(&visit.wishes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::tests::{set, settings, visit};

    #[test]
    fn the_first_rule_that_covers_a_page_fixes_its_language() {
        let language = |tag| Language::parse(tag).unwrap();
        let rule = |host: Option<&str>, path: Option<&str>, tag| Rule {
            host: host.map(Into::into),
            path: path.map(|path| PathPattern::parse(path).unwrap()),
            language: language(tag),
        };
        let mut site = settings(set(Vec::new(), &[]));
        site.language_rules = vec![
            rule(None, Some("/en/*"), "en"),
            rule(Some("ar.example.se"), None, "ar"),
            rule(Some("*.example.fi"), Some("/*"), "fi"),
        ];
        for (host, path, expected) in [
            ("www.example.se", "/en/shop", Some("en")),
            ("www.example.se", "/en", Some("en")),
            ("www.example.se", "/english", None),
            ("ar.example.se", "/", Some("ar")),
            ("ar.example.se", "/en/", Some("en")),
            ("shop.example.fi", "/", Some("fi")),
            ("example.fi", "/", None),
            ("badexample.fi", "/", None),
        ] {
            let mut visit = visit(path, &[]);
            visit.arrival.host = host.into();
            let fixed = site.fixed_language(&visit).map(Language::as_str);
            assert_eq!(fixed, expected, "{host}{path}");
        }
        assert_eq!(site.language(&visit("/", &[])), site.look.language(&visit("/", &[]).wishes));
    }
}
