//! What the Unicode CLDR knows of a language: which form of a word goes with a number, how names are listed, how a
//! date is written, and which way the lines run.

use icu_calendar::{Date, Gregorian};
use icu_datetime::FixedCalendarDateTimeFormatter;
use icu_datetime::fieldsets::YMD;
use icu_list::ListFormatter;
use icu_list::options::{ListFormatterOptions, ListLength};
use icu_locale_core::Locale;
use icu_plurals::{PluralCategory, PluralRules};

use super::language::Language;
use crate::clock::Timestamp;

/// The locale of a language. Numbers are written in the digits that the texts around them use, and English that names
/// no country is that of Europe.
fn locale(language: &Language) -> Locale {
    let tag = if language.as_str() == "en" { "en-gb" } else { language.as_str() };
    format!("{tag}-u-nu-latn").parse().unwrap_or(Locale::UNKNOWN)
}

/// Which form of a word goes with `number`, as the end of a text's name: `one`, `few`, `other` …
pub(super) fn plural(language: &Language, number: u64) -> &'static str {
    let rules = PluralRules::try_new_cardinal(locale(language).into());
    form(rules.map_or(PluralCategory::Other, |rules| rules.category_for(number)))
}

/// Every form that words of the language have.
#[cfg(test)]
pub(super) fn plurals(language: &Language) -> Vec<&'static str> {
    let rules = PluralRules::try_new_cardinal(locale(language).into()).unwrap();
    rules.categories().map(form).collect()
}

fn form(category: PluralCategory) -> &'static str {
    match category {
        PluralCategory::Zero => "zero",
        PluralCategory::One => "one",
        PluralCategory::Two => "two",
        PluralCategory::Few => "few",
        PluralCategory::Many => "many",
        PluralCategory::Other => "other",
    }
}

/// Names as a sentence lists them: `a, b and c`.
pub(super) fn list(language: &Language, names: &[&str]) -> String {
    let options = ListFormatterOptions::default().with_length(ListLength::Wide);
    match ListFormatter::try_new_and(locale(language).into(), options) {
        Ok(formatter) => formatter.format(names.iter()).to_string(),
        Err(_) => names.join(", "),
    }
}

/// The day of a moment, in UTC.
pub(super) fn date(language: &Language, at: Timestamp) -> String {
    day(language, jiff::tz::Offset::UTC.to_datetime(at).date())
}

/// A day of the calendar.
pub(super) fn day(language: &Language, day: jiff::civil::Date) -> String {
    let written = || {
        let (month, of_month) = (u8::try_from(day.month()).ok()?, u8::try_from(day.day()).ok()?);
        let date = Date::try_new_gregorian(i32::from(day.year()), month, of_month).ok()?;
        let formatter =
            FixedCalendarDateTimeFormatter::<Gregorian, _>::try_new(locale(language).into(), YMD::long());
        Some(formatter.ok()?.format(&date).to_string())
    };
    written().unwrap_or_else(|| day.to_string())
}

/// The day and the time of a moment, in UTC.
pub(super) fn moment(language: &Language, at: Timestamp) -> String {
    // CLDR joins day and hour by more than a comma, in most languages with a word that asks for a case.
    let comma = if direction(language.as_str()) == "rtl" { "\u{60c}" } else { "," };
    format!("{}{comma} {}", date(language, at), at.strftime("%H:%M UTC"))
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
    use super::*;

    fn language(tag: &str) -> Language {
        Language::parse(tag).unwrap()
    }

    #[test]
    fn the_form_of_a_word_follows_the_rules_of_its_language() {
        for (tag, number, expected) in [
            ("sv", 1, "one"),
            ("sv", 2, "other"),
            ("fr", 0, "one"),
            ("pl", 3, "few"),
            ("pl", 5, "many"),
            ("pl", 22, "few"),
            ("ar", 0, "zero"),
            ("ar", 2, "two"),
            ("ar", 6, "few"),
            ("ar", 180, "many"),
            ("ar", 100, "other"),
            ("sl", 2, "two"),
            ("lt", 21, "one"),
            ("de-at", 1, "one"),
            ("xyz", 1, "other"),
        ] {
            assert_eq!(plural(&language(tag), number), expected, "{tag} {number}");
        }
        assert_eq!(plurals(&language("en")), ["one", "other"]);
    }

    #[test]
    fn names_are_listed_as_the_language_does() {
        for (tag, names, expected) in [
            ("en", &["a", "b", "c"][..], "a, b and c"),
            ("en-us", &["a", "b", "c"], "a, b, and c"),
            ("sv", &["a", "b", "c"], "a, b och c"),
            ("sv", &["a"], "a"),
            ("sv", &[], ""),
            ("ar", &["a", "b"], "a وb"),
        ] {
            assert_eq!(list(&language(tag), names), expected, "{tag}");
        }
    }

    #[test]
    fn a_day_is_written_as_the_language_does() {
        let at: Timestamp = "2026-11-05T23:30:00Z".parse().unwrap();
        for (tag, expected) in [
            ("sv", "5 november 2026, 23:30 UTC"),
            ("en", "5 November 2026, 23:30 UTC"),
            ("de", "5. November 2026, 23:30 UTC"),
            ("pl", "5 listopada 2026, 23:30 UTC"),
            ("ar", "5 نوفمبر 2026، 23:30 UTC"),
        ] {
            assert_eq!(moment(&language(tag), at), expected);
        }
    }

    #[test]
    fn arabic_and_hebrew_run_from_right_to_left() {
        assert_eq!(["ar-eg", "he", "sv"].map(direction), ["rtl", "rtl", "ltr"]);
    }
}
