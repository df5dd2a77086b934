//! The tables of a document: which services and cookies the site uses, and what for.
//!
//! They are made from the catalogue, the site's YAML, and what its traffic really showed. What was seen and nobody has
//! described stands there, too, and says so.

use std::collections::HashSet;

use serde_json::json;

use crate::consent::{Category, cookie};
use crate::observed::{Seen, Snapshot};
use crate::services::{NamePattern, Rule, Service, Set, catalogue_text};
use crate::web::templates;
use crate::web::texts::Texts;

/// What the tables are made from.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) services: &'a Set,
    /// Cookies that the site itself cannot do without.
    pub(super) necessary: &'a [NamePattern],
    /// What the site's traffic showed.
    pub(super) seen: &'a Snapshot,
    pub(super) controller: &'a str,
    pub(super) texts: Texts<'a>,
    /// How long our own cookies live, in days: choices and acceptances.
    pub(super) own_lifetimes: [u64; 2],
}

struct Row {
    name: String,
    cells: Vec<Cell>,
}

/// What stands in a cell, and its language where that is not the table's.
struct Cell {
    text: String,
    lang: Option<&'static str>,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell { text: text.into(), lang: None }
    }
}

/// The services that the site uses: those that it names, then those that its traffic showed, without those that it
/// keeps out for ever.
pub(crate) fn used<'a>(services: &'a Set, seen: &'a Snapshot) -> impl Iterator<Item = &'a Service> {
    const NEVER: Rule = Rule::STRIP;
    let unnamed = undeclared(services, seen);
    services.named().chain(unnamed).filter(|service| services.rule(service) != NEVER)
}

/// The services that the traffic showed and the site's YAML does not name, in alphabetical order.
pub fn undeclared<'a>(services: &'a Set, seen: &'a Snapshot) -> impl Iterator<Item = &'a Service> {
    let named: HashSet<&str> = services.named().map(|service| &*service.id).collect();
    let found = seen.services().filter(move |service| !named.contains(service.name));
    found.filter_map(|service| services.find(service.name))
}

/// The cookies that the site sets and that nobody has described: no service has them, and the site's own settings do
/// not name them.
pub fn undescribed<'a>(
    services: &'a Set,
    necessary: &'a [NamePattern],
    seen: &'a Snapshot,
) -> impl Iterator<Item = Seen<'a>> {
    seen.cookies().filter(|cookie| {
        let name = example(cookie.name);
        !necessary.iter().any(|pattern| pattern.covers(name)) && services.identify_cookie(name).is_none()
    })
}

/// A name that fits the pattern under which a cookie was seen.
fn example(seen: &str) -> &str {
    seen.strip_suffix('*').unwrap_or(seen)
}

impl Facts<'_> {
    /// The services as an accessible table, or a sentence where there are none.
    pub(super) fn services_table(&self) -> String {
        let rows: Vec<Row> = used(self.services, self.seen).map(|service| self.service(service)).collect();
        if rows.is_empty() {
            return format!("<p>{}</p>", self.texts.get("services_none"));
        }
        self.table(
            "services_caption",
            &["column_service", "column_category", "column_purpose", "column_provider", "column_country"],
            &rows,
        )
    }

    /// The cookies as an accessible table: ours and the site's necessary ones first, then those of services.
    pub(super) fn cookies_table(&self) -> String {
        let [choices, accepted] = self.own_lifetimes;
        let mut rows = vec![
            self.own(cookie::CHOICES, "own_choices_purpose", choices),
            self.own(cookie::ACCEPTED, "own_accepted_purpose", accepted),
            self.necessary_row(cookie::ONCE.into(), "own_once_purpose", self.texts.lifetime("1h")),
            self.necessary_row(cookie::SIGNAL.into(), "own_signal_purpose", self.texts.lifetime("session")),
        ];
        rows.extend(
            self.necessary.iter().map(|name| {
                self.necessary_row(name.to_string(), "site_cookie_purpose", self.lifetime_of(name))
            }),
        );
        rows.extend(used(self.services, self.seen).flat_map(|service| {
            let cookies = service.cookies.iter().chain(&service.foreign_cookies).map(|cookie| Row {
                name: cookie.name.to_string(),
                cells: vec![
                    self.texts.get("kind_cookie").into(),
                    self.texts.get(service.category.as_str()).into(),
                    self.purpose(&cookie.purpose),
                    self.by(service).into(),
                    self.texts.lifetime(&cookie.lifetime).into(),
                ],
            });
            // What it is for is known of the service alone.
            let stored = service.storage.iter().map(|key| Row {
                name: key.to_string(),
                cells: vec![
                    self.texts.get("kind_storage").into(),
                    self.texts.get(service.category.as_str()).into(),
                    self.purpose(&service.purpose),
                    self.by(service).into(),
                    self.texts.get("lifetime_storage").into(),
                ],
            });
            cookies.chain(stored)
        }));
        rows.extend(
            undescribed(self.services, self.necessary, self.seen).map(|seen| self.undescribed(&seen)),
        );
        self.table(
            "cookies_caption",
            &[
                "column_cookie",
                "column_kind",
                "column_category",
                "column_purpose",
                "column_provider",
                "column_lifetime",
            ],
            &rows,
        )
    }

    fn service(&self, service: &Service) -> Row {
        Row {
            name: service.name.as_ref().into(),
            cells: vec![
                self.texts.get(service.category.as_str()).into(),
                self.purpose(&service.purpose),
                self.texts.provider(service, self.controller).into(),
                self.texts.country(&service.country).into(),
            ],
        }
    }

    fn by(&self, service: &Service) -> String {
        match self.texts.provider(service, self.controller) {
            "" => service.name.to_string(),
            provider => format!("{} ({provider})", service.name),
        }
    }

    fn purpose(&self, written: &crate::services::Texts) -> Cell {
        let (text, lang) = catalogue_text(written, self.texts.language());
        Cell { text: text.to_owned(), lang }
    }

    /// A cookie of the site's own that nobody has described yet.
    fn undescribed(&self, seen: &Seen<'_>) -> Row {
        let lifetime = seen.lifetime.map_or_else(
            || self.texts.get("lifetime_site").to_owned(),
            |lifetime| self.texts.lifetime(&lifetime.written()),
        );
        Row {
            name: seen.name.to_owned(),
            cells: vec![
                self.texts.get("kind_cookie").into(),
                self.texts.get("category_unknown").into(),
                self.texts.get("undescribed_purpose").into(),
                self.controller.into(),
                lifetime.into(),
            ],
        }
    }

    /// The longest life that the site was seen to give to cookies of these names.
    fn lifetime_of(&self, name: &NamePattern) -> String {
        let lives = self.seen.cookies().filter(|seen| name.covers(example(seen.name)));
        let longest = lives.filter_map(|seen| seen.lifetime).max();
        longest.map_or_else(
            || self.texts.get("lifetime_site").to_owned(),
            |lifetime| self.texts.lifetime(&lifetime.written()),
        )
    }

    fn own(&self, name: &str, purpose: &str, days: u64) -> Row {
        self.necessary_row(name.into(), purpose, self.texts.lifetime(&format!("{days}d")))
    }

    fn necessary_row(&self, name: String, purpose: &str, lifetime: String) -> Row {
        let category = self.texts.get(Category::Necessary.as_str()).into();
        let (kind, purpose) = (self.texts.get("kind_cookie").into(), self.texts.get(purpose).into());
        let cells = vec![kind, category, purpose, self.controller.into(), lifetime.into()];
        Row { name, cells }
    }

    fn table(&self, caption: &str, columns: &[&str], rows: &[Row]) -> String {
        let columns: Vec<&str> = columns.iter().map(|key| self.texts.get(key)).collect();
        let labels = columns.get(1..).unwrap_or_default();
        let row = |row: &Row| {
            let cells = labels.iter().zip(&row.cells);
            let cells: Vec<_> = cells
                .map(|(label, cell)| json!({ "label": label, "text": cell.text, "lang": cell.lang }))
                .collect();
            json!({ "name": row.name, "cells": cells })
        };
        let rows: Vec<_> = rows.iter().map(row).collect();
        let caption = self.texts.get(caption);
        let values = json!({ "caption": caption, "columns": columns, "rows": rows });
        let table = templates::render("tables.html", &values);
        // Markdown ends a block of HTML at an empty line.
        table.lines().filter(|line| !line.trim().is_empty()).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::services::{self, CookieInfo};
    use crate::web::language::Language;

    /// A set with one service of the site's own.
    pub(in crate::documents) fn services(rule: Rule) -> Set {
        let texts = |en: &str, sv: &str| services::Texts { en: en.into(), sv: sv.into() };
        let service = Service {
            name: "Acme <Stats>".into(),
            provider: "Acme Inc.".into(),
            country: "US".into(),
            purpose: texts("Counts visits", "Räknar besök"),
            cookies: vec![CookieInfo {
                name: NamePattern { start: "_acme".into(), whole: false },
                lifetime: "2y".into(),
                purpose: texts("Tells visitors apart", "Skiljer besökare åt"),
            }],
            storage: vec![NamePattern { start: "acme.".into(), whole: false }],
            ..Service::new("acme-stats", Category::Statistics)
        };
        Set::new(vec![service], HashMap::new(), HashMap::from([("acme-stats".into(), rule)]))
    }

    fn tables(set: &Set, tag: &str) -> [String; 2] {
        tables_of(set, tag, &Snapshot::default())
    }

    fn tables_of(set: &Set, tag: &str, seen: &Snapshot) -> [String; 2] {
        let language = Language::parse(tag).unwrap();
        let facts = Facts {
            services: set,
            necessary: &[NamePattern { start: "PHPSESSID".into(), whole: true }],
            seen,
            controller: "Byrån AB",
            texts: Texts::new(&language, None),
            own_lifetimes: [180, 400],
        };
        [facts.services_table(), facts.cookies_table()]
    }

    #[test]
    fn a_service_is_listed_in_the_language_of_the_page() {
        for (tag, words) in [
            ("sv", ["Statistik", "Räknar besök", "USA", "2 år", "Skiljer besökare åt"]),
            ("en", ["Statistics", "Counts visits", "USA", "2 years", "Tells visitors apart"]),
        ] {
            let tables = tables(&services(Rule::CONSENT), tag).concat();
            for word in words.iter().chain(&["Acme &lt;Stats&gt;", "_acme*"]) {
                assert!(tables.contains(word), "{tag}: {word}\n{tables}");
            }
            assert!(
                tables.contains("<caption>") && tables.contains("<th scope=\"col\" role=\"columnheader\">")
            );
            assert!(!tables.contains("\n\n"));
        }
    }

    // COMPLIANCE C36: who gets the data, and in which country they are; C41: what is in another language says so.
    #[test]
    fn c36_c41_each_recipient_is_named_with_its_country_and_a_foreign_purpose_is_marked() {
        for (tag, country, purpose) in [
            ("sv", "USA", ">Räknar besök</td>"),
            ("de", "USA", "><span lang=\"en\" dir=\"ltr\">Counts visits</span></td>"),
            ("ar", "الولايات المتحدة", "><span lang=\"en\" dir=\"ltr\">Counts visits</span></td>"),
        ] {
            let [services, cookies] = tables(&services(Rule::CONSENT), tag);
            let row = row(&services, "Acme &lt;Stats&gt;").unwrap();
            assert!(row.contains("Acme Inc.") && row.contains(country) && row.contains(purpose), "{row}");
            assert!(cookies.contains(purpose), "{tag}: the purpose of what is stored: {cookies}");
        }
    }

    #[test]
    fn a_provider_without_a_name_is_told_in_the_language_of_the_page() {
        let rules = ["matomo", "prebid"].map(|id| (id.into(), Rule::CONSENT));
        let set = Set::new(Vec::new(), HashMap::new(), HashMap::from(rules));
        let [services, _] = tables(&set, "de");
        assert!(row(&services, "Matomo").unwrap().contains("Der Betreiber des Messservers"), "{services}");
        assert!(row(&services, "Prebid").unwrap().contains("Byrån AB"), "{services}");
    }

    #[test]
    fn c15_each_cookie_and_each_storage_key_says_of_what_kind_it_is_and_what_for() {
        for (tag, cookie, storage) in [
            ("en", "Cookie", ["session storage)", "Counts visits", "Acme Inc.", "until it is deleted"]),
            ("sv", "Kaka", ["session storage)", "Räknar besök", "Acme Inc.", "tills den raderas"]),
        ] {
            let [_, cookies] = tables(&services(Rule::CONSENT), tag);
            for name in ["consentry", "consentry_accepted", "consentry_once", "PHPSESSID", "_acme*"] {
                let kind = format!(">{cookie}</td>");
                assert!(
                    row(&cookies, name).is_some_and(|row| row.contains(&kind)),
                    "{tag} {name}: {cookies}"
                );
            }
            let stored = row(&cookies, "acme.*").unwrap();
            assert!(storage.iter().all(|part| stored.contains(part)), "{stored}");
            assert!(cookies.lines().all(|line| line.matches("<td").count() % 5 == 0), "every cell is filled");
        }
    }

    #[test]
    fn what_the_site_keeps_out_for_ever_is_not_listed() {
        let [services, cookies] = tables(&services(Rule::STRIP), "sv");
        assert!(services.starts_with("<p>Webbplatsen använder inga"));
        assert!(!cookies.contains("_acme"));
    }

    #[test]
    fn c15_our_own_cookies_and_the_necessary_ones_are_always_listed() {
        let [_, cookies] = tables(&Set::default(), "en");
        for row in [
            "consentry",
            "consentry_accepted",
            "consentry_once",
            "consentry_gpc",
            "PHPSESSID",
            "180 days",
            "400 days",
            "1 hour",
            "Byrån AB",
        ] {
            assert!(cookies.contains(row), "{row}");
        }
    }

    fn row<'a>(table: &'a str, name: &str) -> Option<&'a str> {
        table.lines().find(|line| line.contains(&format!(">{name}</th>")))
    }

    #[test]
    fn c15_c31_what_the_traffic_showed_is_listed_and_says_when_nobody_has_described_it() {
        use crate::observed::{Lifetime, Observed};
        let month = || Some(Lifetime::rounded(std::time::Duration::from_secs(30 * 86_400)));
        let observed = Observed::default();
        observed.saw_service("matomo");
        observed.saw_service("no-such-service");
        observed.saw_cookie("PHPSESSID", || Some(Lifetime::Session));
        observed.saw_cookie("_acme_12345", month);
        observed.saw_cookie("theme", month);
        let seen = observed.snapshot();
        let [listed, cookies] = tables_of(&services(Rule::CONSENT), "en", &seen);
        assert!(row(&listed, "Matomo").is_some(), "{listed}");
        assert!(row(&cookies, "_pk_id*").is_some_and(|row| row.contains("13 months")), "{cookies}");
        let session = row(&cookies, "PHPSESSID").unwrap();
        assert!(session.contains("until the browser is closed"), "the life that was seen: {session}");
        let theme = row(&cookies, "theme").unwrap();
        assert!(theme.contains("Not described yet") && theme.contains("30 days"), "{theme}");
        assert!(row(&cookies, "_acme*").is_some() && !cookies.contains("_acme_"), "{cookies}");
        let stripped = Set::new(Vec::new(), HashMap::new(), HashMap::from([("matomo".into(), Rule::STRIP)]));
        let [listed, cookies] = tables_of(&stripped, "en", &seen);
        assert!(!listed.contains("Matomo") && !cookies.contains("_pk_id"));
    }

    #[test]
    fn a_narrow_window_can_name_each_cell() {
        let [table, _] = tables(&services(Rule::CONSENT), "sv");
        assert!(table.contains("data-label=\"Ändamål\">Räknar besök</td>"), "{table}");
    }
}
