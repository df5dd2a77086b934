//! The texts of each language, one YAML file a language, and a site's own texts over them.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::language::Language;

type Table = HashMap<Box<str>, Box<str>>;

struct Builtin {
    language: Language,
    table: Table,
}

/// The built-in languages; the last is what every other language falls back to.
static BUILTIN: LazyLock<[Builtin; 2]> = LazyLock::new(|| {
    let read = |tag, yaml| Builtin {
        language: Language::parse(tag).expect("a language tag"),
        table: serde_yaml::from_str(yaml).expect("the built-in texts are read by a test"),
    };
    [read("sv", include_str!("texts/sv.yaml")), read("en", include_str!("texts/en.yaml"))]
});

/// The texts for one visitor of one site.
#[derive(Clone, Copy)]
pub struct Texts<'a> {
    builtin: &'static Builtin,
    /// The site's own, for the language asked for.
    own: Option<&'a Table>,
    asked: &'a Language,
}

/// Whether there is a text of this name, so that a site may put its own in its place.
pub fn is_known(key: &str) -> bool {
    fallback().table.contains_key(key)
}

/// The names of all texts, in no order.
pub fn keys() -> impl Iterator<Item = &'static str> {
    fallback().table.keys().map(AsRef::as_ref)
}

/// The languages that are built in.
pub fn languages() -> impl Iterator<Item = &'static Language> + Clone {
    BUILTIN.iter().map(|builtin| &builtin.language)
}

/// The language that every other one falls back to.
pub fn english() -> &'static Language {
    &fallback().language
}

fn fallback() -> &'static Builtin {
    let [_, english] = &*BUILTIN;
    english
}

impl<'a> Texts<'a> {
    /// The texts of `language`, with the site's `own` over the built-in ones; a language that is not built in
    /// falls back to its shorter tag (`de-at`, `de`), then to English.
    pub fn new(language: &'a Language, own: Option<&'a Table>) -> Self {
        let primary = language.as_str().split('-').next().unwrap_or_default();
        let builtin =
            BUILTIN.iter().find(|builtin| builtin.language.as_str() == primary).unwrap_or(fallback());
        Texts { builtin, own, asked: language }
    }

    /// The text of this name.
    pub fn get(&self, key: &str) -> &'a str {
        let own = self.own.and_then(|own| own.get(key));
        let text = own.or_else(|| self.builtin.table.get(key));
        debug_assert!(text.is_some(), "there is no text named {key}");
        text.map(AsRef::as_ref).unwrap_or_default()
    }

    /// The text of this name if there is one: for names that are made from data, such as `country_se`.
    pub fn find(&self, key: &str) -> Option<&'a str> {
        self.own.and_then(|own| own.get(key)).or_else(|| self.builtin.table.get(key)).map(AsRef::as_ref)
    }

    /// The text of this name with `{name}` replaced by its value.
    pub fn fill(&self, key: &str, values: &[(&str, &str)]) -> String {
        values
            .iter()
            .fold(self.get(key).to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// The language that the texts are really in, for `lang` (WCAG 3.1.1).
    pub fn language(&self) -> &'a str {
        let same = self.own.is_some_and(|own| own.contains_key("title"))
            || self.asked.as_str().split('-').next() == Some(self.builtin.language.as_str());
        if same { self.asked.as_str() } else { self.builtin.language.as_str() }
    }

    /// The way the language is written, for `dir`.
    pub fn direction(&self) -> &'static str {
        direction(self.language())
    }

    /// All texts, for a page's template.
    pub fn all(&self) -> HashMap<&'a str, &'a str> {
        let own = self.own.into_iter().flatten();
        self.builtin.table.iter().chain(own).map(|(key, text)| (key.as_ref(), text.as_ref())).collect()
    }

    /// A lifetime of the catalogue, such as `2y`, `6mo`, `30m` or `session`, in words.
    pub fn lifetime(&self, written: &str) -> String {
        let digits = written.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = written.split_at(digits);
        let unit = match unit.trim() {
            "s" => "second",
            "m" | "min" => "minute",
            "h" => "hour",
            "d" => "day",
            "mo" => "month",
            "y" => "year",
            "session" | "sess" if number.is_empty() => return self.get("lifetime_session").into(),
            _ => return written.into(),
        };
        let form = if number == "1" { "one" } else { "other" };
        self.fill(&format!("{unit}_{form}"), &[("n", number)])
    }

    /// The name of a country, by its ISO 3166-1 code.
    pub fn country(&self, code: &str) -> String {
        let name = self.find(&format!("country_{}", code.to_ascii_lowercase()));
        name.map_or_else(|| code.to_owned(), str::to_owned)
    }
}

/// `rtl` for the scripts that run from right to left, else `ltr`.
pub fn direction(tag: &str) -> &'static str {
    match tag.split('-').next().unwrap_or_default() {
        "ar" | "dv" | "fa" | "he" | "ps" | "ur" | "yi" => "rtl",
        _ => "ltr",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn language(tag: &str) -> Language {
        Language::parse(tag).unwrap()
    }

    #[test]
    fn every_language_has_every_text_with_the_same_places_to_fill() {
        let places = |text: &str| {
            let found = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
            found.map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>()
        };
        for builtin in BUILTIN.iter() {
            let keys: BTreeSet<_> = builtin.table.keys().collect();
            assert_eq!(keys, fallback().table.keys().collect(), "{}", builtin.language);
            for (key, text) in &builtin.table {
                assert!(!text.trim().is_empty(), "{}: {key}", builtin.language);
                assert_eq!(places(text), places(&fallback().table[key]), "{}: {key}", builtin.language);
            }
        }
    }

    #[test]
    fn a_sites_own_text_wins() {
        let own = HashMap::from([("title".into(), "Kakor?".into())]);
        let swedish = language("sv");
        let texts = Texts::new(&swedish, Some(&own));
        assert_eq!((texts.get("title"), texts.get("save")), ("Kakor?", "Spara mina val"));
        assert_eq!(texts.all()["title"], "Kakor?");
    }

    #[test]
    fn a_language_that_is_not_built_in_says_which_it_fell_back_to() {
        for (tag, title, real) in
            [("sv-fi", "Får vi använda kakor?", "sv-fi"), ("ar", "May we use cookies?", "en")]
        {
            let tag = language(tag);
            let texts = Texts::new(&tag, None);
            assert_eq!((texts.get("title"), texts.language(), texts.direction()), (title, real, "ltr"));
        }
        assert_eq!(direction("ar-eg"), "rtl");
    }

    #[test]
    fn lifetimes_and_countries_are_said_in_words() {
        let (swedish, english) = (language("sv"), language("en"));
        let (sv, en) = (Texts::new(&swedish, None), Texts::new(&english, None));
        for (written, swedish, english) in [
            ("2y", "2 år", "2 years"),
            ("1d", "1 dag", "1 day"),
            ("6mo", "6 månader", "6 months"),
            ("30m", "30 minuter", "30 minutes"),
            ("session", "tills webbläsaren stängs", "until the browser is closed"),
            ("varies", "varies", "varies"),
            ("", "", ""),
        ] {
            assert_eq!((sv.lifetime(written), en.lifetime(written)), (swedish.into(), english.into()));
        }
        assert_eq!((sv.country("SE"), en.country("XK")), ("Sverige".into(), "XK".into()));
    }

    #[test]
    fn every_country_of_the_catalogue_has_a_name() {
        let (swedish, english) = (language("sv"), language("en"));
        for service in crate::services::Catalogue::builtin().iter().filter(|one| !one.country.is_empty()) {
            for language in [&swedish, &english] {
                assert_ne!(
                    Texts::new(language, None).country(&service.country),
                    *service.country,
                    "{}",
                    service.id
                );
            }
        }
    }
}
