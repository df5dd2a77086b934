//! The texts of each language, one YAML file a language, and a site's own texts over them.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::grammar;
pub use super::grammar::direction;
use super::language::Language;
use crate::clock::Timestamp;
use crate::services::Service;

type Table = HashMap<Box<str>, Box<str>>;

struct Builtin {
    language: Language,
    table: Table,
}

/// The languages with texts of their own, one file each: who adds a file adds its tag here. A site that names no
/// languages speaks all of them, and falls back to the first.
macro_rules! files {
    ($($tag:literal),+) => { [$(($tag, include_str!(concat!("texts/", $tag, ".yaml")))),+] };
}
const FILES: &[(&str, &str)] = &files![
    "sv", "en", "ar", "bg", "cs", "da", "de", "el", "es", "et", "fi", "fr", "ga", "hr", "hu", "is", "it",
    "lt", "lv", "mt", "nb", "nl", "pl", "pt", "ro", "sk", "sl", "tr", "uk"
];

static BUILTIN: LazyLock<Vec<Builtin>> = LazyLock::new(|| {
    let read = |(tag, yaml): &(&str, &str)| Builtin {
        language: Language::parse(tag).expect("a language tag"),
        table: serde_yaml::from_str(yaml).expect("the built-in texts are read by a test"),
    };
    FILES.iter().map(read).collect()
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
    builtin("en").expect("English is built in")
}

/// The texts that are built in for a language: its own, or those of its shorter tag (`de-at`, `de`), or of a sister
/// that its readers read as easily (`no`, `nb`).
pub fn is_built_in(language: &Language) -> bool {
    find(language).is_some()
}

fn find(language: &Language) -> Option<&'static Builtin> {
    builtin(language.primary()).or_else(|| builtin(language.sisters().first()?))
}

fn builtin(primary: &str) -> Option<&'static Builtin> {
    BUILTIN.iter().find(|builtin| builtin.language.as_str() == primary)
}

impl<'a> Texts<'a> {
    /// The texts of `language`, with the site's `own` over the built-in ones; a language that is not built in
    /// falls back to its shorter tag (`de-at`, `de`), then to a sister (`no`, `nb`), then to English.
    pub fn new(language: &'a Language, own: Option<&'a Table>) -> Self {
        Texts { builtin: find(language).unwrap_or_else(fallback), own, asked: language }
    }

    /// The text of this name.
    pub fn get(&self, key: &str) -> &'a str {
        let text = self.find(key);
        debug_assert!(text.is_some(), "there is no text named {key}");
        text.unwrap_or_default()
    }

    /// The text of this name if there is one: for names that are made from data, such as `country_se`.
    pub fn find(&self, key: &str) -> Option<&'a str> {
        let own = self.own.and_then(|own| own.get(key));
        let builtin = || self.builtin.table.get(key).or_else(|| fallback().table.get(key));
        own.or_else(builtin).map(AsRef::as_ref)
    }

    /// The text of this name with `{name}` replaced by its value.
    pub fn fill(&self, key: &str, values: &[(&str, &str)]) -> String {
        values
            .iter()
            .fold(self.get(key).to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }

    /// The language that the texts are really in, for `lang` (WCAG 3.1.1).
    pub fn language(&self) -> &'a str {
        self.real().as_str()
    }

    fn real(&self) -> &'a Language {
        let same = self.own.is_some_and(|own| own.contains_key("title"))
            || self.asked.primary() == self.builtin.language.as_str();
        if same { self.asked } else { &self.builtin.language }
    }

    /// The way the language is written, for `dir`.
    pub fn direction(&self) -> &'static str {
        direction(self.language())
    }

    /// All texts, for a page's template.
    pub fn all(&self) -> HashMap<&'a str, &'a str> {
        let own = self.own.into_iter().flatten();
        let builtin = fallback().table.iter().chain(&self.builtin.table);
        builtin.chain(own).map(|(key, text)| (key.as_ref(), text.as_ref())).collect()
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
        self.count(unit, number.parse().unwrap_or(u64::MAX))
    }

    /// A number of something: `unit` is how the names of its texts begin, such as `day` for `day_one` and `day_other`.
    pub fn count(&self, unit: &str, number: u64) -> String {
        let form = grammar::plural(self.real(), number);
        // A site's own texts may have fewer forms than the language.
        let key = format!("{unit}_{form}");
        let key = if self.find(&key).is_some() { key } else { format!("{unit}_other") };
        self.fill(&key, &[("n", &number.to_string())])
    }

    /// Names as a sentence lists them.
    pub fn list(&self, names: &[&str]) -> String {
        let names: Vec<String> = names.iter().map(|name| self.isolated(name)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        grammar::list(self.real(), &names)
    }

    /// A name from left to right that keeps its order in a line from right to left (UAX 9, section 2.6).
    fn isolated(&self, name: &str) -> String {
        if self.direction() == "rtl" { format!("\u{2068}{name}\u{2069}") } else { name.to_owned() }
    }

    /// The day of a moment, in UTC.
    pub fn date(&self, at: Timestamp) -> String {
        grammar::date(self.real(), at)
    }

    /// A day of the calendar.
    pub fn day(&self, day: jiff::civil::Date) -> String {
        grammar::day(self.real(), day)
    }

    /// The day and the time of a moment, in UTC.
    pub fn moment(&self, at: Timestamp) -> String {
        grammar::moment(self.real(), at)
    }

    /// The cookies of a service with their lifetimes, in a sentence; empty where it has none.
    pub fn cookies(&self, service: &Service) -> String {
        if service.cookies.is_empty() {
            return String::new();
        }
        let each = service.cookies.iter();
        let each: Vec<String> = each
            .map(|cookie| {
                let name = self.isolated(&cookie.name.to_string());
                format!("{name} ({})", self.lifetime(&cookie.lifetime))
            })
            .collect();
        let each: Vec<&str> = each.iter().map(String::as_str).collect();
        self.fill("service_cookies", &[("cookies", &self.list(&each))])
    }

    /// Who provides a service, for a site of `controller`: a name, which is the same everywhere, or in words.
    pub fn provider<'s>(&'s self, service: &'s Service, controller: &'s str) -> &'s str {
        match &*service.provider {
            Service::PROVIDED_BY_SITE => controller,
            Service::PROVIDED_BY_SERVER => self.get("provider_of_server"),
            name => name,
        }
    }

    /// The name of a country, by its ISO 3166-1 code.
    pub fn country(&self, code: &str) -> String {
        let name = self.find(&format!("country_{}", code.to_ascii_lowercase()));
        name.map_or_else(|| code.to_owned(), str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn language(tag: &str) -> Language {
        Language::parse(tag).unwrap()
    }

    /// What stands in for the forms of a word in names of texts: `day_one` and `day_few` are both `day_#`.
    fn without_form(key: &str) -> (String, Option<&str>) {
        const COUNTED: [&str; 6] = ["second_", "minute_", "hour_", "day_", "month_", "year_"];
        match COUNTED.iter().find_map(|unit| Some((unit, key.strip_prefix(unit)?))) {
            Some((unit, form)) => (format!("{unit}#"), Some(form)),
            None => (key.to_owned(), None),
        }
    }

    #[test]
    fn every_language_has_every_text_in_every_form_with_the_same_places_to_fill() {
        let places = |text: &str| {
            let found = text.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
            found.map(|(name, _)| name.to_owned()).collect::<BTreeSet<_>>()
        };
        let english: HashMap<String, BTreeSet<String>> =
            fallback().table.iter().map(|(key, text)| (without_form(key).0, places(text))).collect();
        for Builtin { language, table } in BUILTIN.iter() {
            for (key, text) in table {
                let (stem, form) = without_form(key);
                assert!(!text.trim().is_empty(), "{language}: {key}");
                let expected = english.get(&stem).unwrap_or_else(|| panic!("{language}: unknown text {key}"));
                let needed = form.is_none_or(|form| grammar::plurals(language).contains(&form));
                assert!(needed, "{language}: no number takes {key}");
                // "One day" and "two days" need no figure in some languages.
                let may_omit = form.is_some_and(|form| matches!(form, "zero" | "one" | "two"));
                let found = places(text);
                assert!(found == *expected || may_omit && found.is_empty(), "{language}: {key}: {found:?}");
            }
            for stem in english.keys() {
                let missing: Vec<String> = match stem.strip_suffix('#') {
                    Some(unit) => {
                        grammar::plurals(language).iter().map(|form| format!("{unit}{form}")).collect()
                    }
                    None => vec![stem.clone()],
                };
                let missing: Vec<_> =
                    missing.iter().filter(|key| !table.contains_key(key.as_str())).collect();
                assert!(missing.is_empty(), "{language}: {missing:?}");
            }
        }
    }

    fn files() -> Vec<(Language, &'static str)> {
        FILES.iter().map(|(tag, yaml)| (language(tag), *yaml)).collect()
    }

    #[test]
    fn every_official_language_of_the_union_is_spoken_and_every_file_is_in_use() {
        const UNION: [&str; 24] = [
            "bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fr", "ga", "hr", "hu", "it", "lt", "lv",
            "mt", "nl", "pl", "pt", "ro", "sk", "sl", "sv",
        ];
        let spoken: BTreeSet<&str> = languages().map(Language::as_str).collect();
        for tag in UNION.iter().chain(&["nb", "is", "uk", "ar", "tr"]) {
            assert!(spoken.contains(tag), "{tag}");
        }
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/texts");
        let found: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.trim_end_matches(".yaml").to_owned())
            .collect();
        assert_eq!(spoken, found.iter().map(String::as_str).collect());
    }

    // Who translates looks from one file to the other.
    #[test]
    fn every_file_has_its_texts_and_headings_in_the_order_of_the_english_one() {
        let lines = |yaml: &'static str| -> Vec<String> {
            let lines = yaml.lines().skip_while(|line| line.starts_with('#'));
            let mut lines: Vec<String> = lines
                .map(|line| match line.split_once(": ") {
                    Some((key, _)) if !line.starts_with('#') => without_form(key).0,
                    _ => line.to_owned(),
                })
                .filter(|line| !line.is_empty())
                .collect();
            lines.dedup();
            lines
        };
        let files = files();
        let english = files.iter().find(|(language, _)| language.as_str() == "en").unwrap().1;
        for (language, yaml) in &files {
            let (found, expected) = (lines(yaml), lines(english));
            let other = found.iter().zip(&expected).find(|(found, expected)| found != expected);
            assert!(other.is_none() && found.len() == expected.len(), "{language}: {other:?}");
        }
    }

    #[test]
    fn no_sentence_is_left_in_english() {
        let english = &fallback().table;
        for Builtin { language, table } in BUILTIN.iter().filter(|builtin| builtin.language.as_str() != "en")
        {
            for (key, text) in table.iter().filter(|(_, text)| text.split(' ').count() > 2) {
                assert_ne!(english.get(key), Some(text), "{language}: {key}");
            }
        }
    }

    // COMPLIANCE C5, C6: neither is praised, and neither takes more reading.
    #[test]
    fn c5_c6_accept_and_reject_are_of_one_shape_in_every_language() {
        for language in languages() {
            let texts = Texts::new(language, None);
            let [accept, reject] = ["accept_all", "reject_all"].map(|key| texts.get(key));
            let words = |text: &str| text.split(' ').count();
            // A verb may be two words, as in Turkish.
            assert!(words(accept).abs_diff(words(reject)) <= 1, "{language}: {accept} / {reject}");
            let is_capital = |text: &str| text.chars().next().is_some_and(char::is_uppercase);
            assert_eq!(is_capital(accept), is_capital(reject), "{language}");
            let length = |text: &str| text.chars().count();
            assert!(length(accept).abs_diff(length(reject)) <= 5, "{language}: {accept} / {reject}");
        }
    }

    // Some languages end a date with a full stop, which then ends the sentence, too.
    #[test]
    fn a_sentence_with_a_date_ends_with_one_full_stop() {
        let at: Timestamp = "2026-11-05T23:30:00Z".parse().unwrap();
        for language in languages() {
            let texts = Texts::new(language, None);
            let (date, moment) = (texts.date(at), texts.moment(at));
            for (key, value) in [
                ("decided_at", &moment),
                ("acknowledged_at", &moment),
                ("accepted_at", &moment),
                ("valid_until", &date),
                ("document_effective", &date),
                ("document_not_yet", &date),
                ("grace_note", &date),
            ] {
                let sentence = texts.fill(key, &[("date", value)]);
                assert!(sentence.ends_with('.') && !sentence.contains(".."), "{language}: {sentence}");
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
            [("sv-fi", "Får vi använda kakor?", "sv-fi"), ("vo", "May we use cookies?", "en")]
        {
            let tag = language(tag);
            let texts = Texts::new(&tag, None);
            assert_eq!((texts.get("title"), texts.language(), texts.direction()), (title, real, "ltr"));
        }
        for (tag, title, real) in [
            ("pt-br", "Podemos utilizar cookies?", "pt-br"),
            ("no", "Kan vi bruke informasjonskapsler?", "nb"),
            ("nn-no", "Kan vi bruke informasjonskapsler?", "nb"),
        ] {
            let tag = language(tag);
            let texts = Texts::new(&tag, None);
            assert_eq!((texts.get("title"), texts.language()), (title, real));
        }
        let arabic = language("ar-eg");
        let texts = Texts::new(&arabic, None);
        assert_eq!((texts.language(), texts.direction()), ("ar-eg", "rtl"));
    }

    #[test]
    fn lifetimes_and_countries_are_said_in_words() {
        let (swedish, english, arabic) = (language("sv"), language("en"), language("ar"));
        let ar = Texts::new(&arabic, None);
        assert_eq!(
            ["1d", "2d", "3d", "180d", "100d"].map(|days| ar.lifetime(days)),
            ["يوم واحد", "يومان", "3 أيام", "180 يومًا", "100 يوم"]
        );
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
        for service in crate::services::Catalogue::builtin().iter().filter(|one| !one.country.is_empty()) {
            for language in languages() {
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
