//! The guard: a small inline script, first in the head, for what a header cannot say.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{ascii, pack};
use crate::clock::Timestamp;
use crate::consent::signal::Signal;
use crate::consent::{Category, Choices, Granted};
use crate::services::{Catalogue, Service, UrlPattern};

/// What the guard of one page must know. Built once for each combination of site settings and choices.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Where the proxy's own pages live.
    pub own_path: &'a str,
    /// The visitor's choices, for `window.consentry.choices`; none: undecided.
    pub choices: Option<serde_json::Value>,
    /// What pages and workers know each other's choices by; empty where the page has some of its own.
    pub choices_name: &'a str,
    /// Names of cookies that may not be written, a `*` at the end covers all that begin so.
    pub refused_cookies: Vec<&'a str>,
    /// Names of storage keys that may not be written, written in the same way.
    pub refused_storage: Vec<&'a str>,
    /// Where images and scripts may not be loaded from, as [`addresses`] packs it.
    pub refused_addresses: String,
    /// Whether scripts may make the browser connect to hosts that nobody knows.
    pub hints: Hints,
    /// Which services of [`known_script`] may act; none: the page comes without it.
    pub acting: Option<Acting<'a>>,
    /// What the browser has said so far.
    pub signal: Signal,
    /// Globals of held services that need a stub.
    pub globals: Vec<&'a str>,
    /// JavaScript that makes anonymized services run without identifiers, before anything of theirs.
    pub anonymize: Vec<&'a str>,
}

/// Which services of the built-in catalogue may act, in few words: most follow their category.
#[derive(Clone, Debug, Default)]
pub struct Acting<'a> {
    /// The categories that may act.
    pub categories: Vec<Category>,
    /// The services that do otherwise than their category.
    pub exceptions: Vec<&'a str>,
    /// The hosts that may act and that the list does not name, as [`hosts`] packs them.
    pub hosts: String,
}

/// Whether hints such as `preconnect` may name hosts that nobody knows; no policy reaches them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hints {
    /// They may.
    #[default]
    Free,
    /// Not until the visitor agrees.
    Held,
}

static GUARD: LazyLock<String> = LazyLock::new(|| pack::pack(include_str!("guard.js")));
static WAYS: LazyLock<String> = LazyLock::new(|| pack::pack(include_str!("ways.js")));
static API: LazyLock<String> = LazyLock::new(|| pack::pack(include_str!("api.js")));
static BANNER: LazyLock<String> = LazyLock::new(|| pack::pack(include_str!("banner.js")));

/// The guard's script, what the site's own scripts may ask, where something is held the other ways of loading it, and
/// for the undecided the banner's, without their tag; ASCII, and free of `</script`.
pub fn script(facts: &Facts<'_>) -> String {
    let banner = if facts.choices.is_none() { &**BANNER } else { "" };
    let ways = |acting: &Acting<'_>| {
        let hosts = (facts.hints == Hints::Held).then_some(&acting.hosts);
        with_facts(&WAYS, &json!({ "c": hosts }))
    };
    guard(facts)
        + &facts.acting.as_ref().map_or_else(String::new, ways)
        + &with_facts(
            &API,
            &json!({ "o": facts.own_path, "c": facts.choices, "d": facts.choices_name, "g": u8::from(facts.signal == Signal::Absent) }),
        )
        + banner
}

fn guard(facts: &Facts<'_>) -> String {
    let mut script = String::new();
    for snippet in &facts.anonymize {
        script.push_str(&apart(snippet));
    }
    let facts = json!({
        "k": facts.refused_cookies,
        "s": facts.refused_storage,
        "u": facts.refused_addresses,
        "h": u8::from(facts.hints == Hints::Held),
        "g": facts.globals,
        "w": u8::from(facts.acting.is_some()),
        "a": facts.acting.iter().flat_map(|acting| &acting.categories).fold("n".to_owned(), |all, one| all + letter(*one)),
        "x": facts.acting.as_ref().map(|acting| acting.exceptions.clone()).unwrap_or_default(),
    });
    script + &with_facts(&GUARD, &facts)
}

/// A script that may stand before others in a page: ASCII, free of `</script`, and one that fails stops no other.
pub fn apart(snippet: &str) -> String {
    format!("try{{{}\n}}catch(e){{}}\n", ascii::javascript(snippet))
}

/// What makes the guard stand in for the globals of services that a page turns out to hold.
pub fn held(globals: &[&str]) -> String {
    format!(
        "document.dispatchEvent(new CustomEvent('consentry:held',{{detail:{}}}));",
        ascii::script(&globals.into())
    )
}

/// A script with its facts in their place.
pub(super) fn with_facts(script: &str, facts: &Value) -> String {
    let (before, after) = script.rsplit_once("FACTS").unwrap_or((script, ""));
    format!("{before}{}{after}", ascii::script(facts))
}

/// The services whose snippets hide a page until they have come: `known.js` ends that for those that are held.
pub const HIDING: [&str; 5] = ["vwo", "adobe-target", "kameleoon", "ab-tasty", "google-tag-manager"];

/// Globals that no stub can stand in for: what they show has a placeholder.
const WITHOUT_STUB: [&str; 6] = ["FB", "YT", "google", "grecaptcha", "twttr", "L"];

/// The globals of a service that a stub can stand in for.
pub fn globals(service: &Service) -> impl Iterator<Item = &str> {
    service.globals.iter().map(AsRef::as_ref).filter(|name| !WITHOUT_STUB.contains(name))
}

static KNOWN: LazyLock<String> = LazyLock::new(|| {
    let all = || Catalogue::builtin().iter();
    let necessary: BTreeSet<String> = all()
        .filter(|service| service.category == Category::Necessary)
        .flat_map(|service| &service.urls)
        .filter_map(address)
        .collect();
    let services = all().filter(|service| service.category != Category::Necessary).map(|service| {
        let addresses: BTreeSet<_> = service.urls.iter().filter_map(address).collect();
        let addresses: String = addresses.difference(&necessary).map(|address| short_name(address)).collect();
        json!([
            letter(service.category),
            service.id,
            service.cookies.iter().map(|cookie| cookie.name.to_string()).collect::<Vec<_>>(),
            service.storage.iter().map(ToString::to_string).collect::<Vec<_>>(),
            addresses,
            globals(service).collect::<Vec<_>>(),
        ])
    });
    let necessary: String = necessary.iter().map(|address| short_name(address)).collect();
    let none: [&str; 0] = [];
    let services = services.chain([json!([letter(Category::Necessary), "", none, none, necessary, none])]);
    with_facts(&pack::pack(include_str!("known.js")), &Value::Array(services.collect()))
});

static KNOWN_NAME: LazyLock<String> = LazyLock::new(|| super::asset_name("known", &KNOWN, "js"));

/// The script that tells the guard of every service there is: the same for every site and visitor, so that browsers
/// keep it.
pub fn known_script() -> &'static str {
    &KNOWN
}

/// Its name below `assets/`; it changes with every change of the catalogue.
pub fn known_script_name() -> &'static str {
    &KNOWN_NAME
}

static KNOWN_SOURCE: LazyLock<String> = LazyLock::new(|| format!("'{}'", super::integrity(&KNOWN)));

/// Its hash, as a source of a policy; without the quotes it is the tag's `integrity`.
pub fn known_script_source() -> &'static str {
    &KNOWN_SOURCE
}

fn letter(category: Category) -> &'static str {
    match category {
        Category::Necessary => "n",
        Category::Preferences => "p",
        Category::Statistics => "s",
        Category::Marketing => "m",
    }
}

/// Packs where held services act from: a name of four letters for each pattern, so that hundreds of hosts weigh a
/// kilobyte. One in 60,000 foreign hosts shares a name with one of 300, and waits with it.
///
/// A pattern becomes a host (`host` for all below it, `=host` for it alone), with the first folder of its path where
/// it has one, or the last one or two folders of a path on any host. What an acting service shares is left out:
/// rewriter and policy tell those apart.
pub fn addresses<'a>(
    held: impl Iterator<Item = &'a UrlPattern>,
    acting: impl Iterator<Item = &'a UrlPattern>,
) -> String {
    let acting: BTreeSet<String> = acting.filter_map(address).collect();
    let held: BTreeSet<String> = held.filter_map(address).filter(|held| !acting.contains(held)).collect();
    held.iter().map(|address| short_name(address)).collect()
}

/// Packs hosts as sites and patterns write them (`example.com`, `*.example.com`) in the same way.
pub fn hosts<'a>(hosts: impl Iterator<Item = &'a str>) -> String {
    let named = |host: &str| match host.strip_prefix("*.") {
        Some(below) => short_name(below),
        None => short_name(&format!("={host}")),
    };
    hosts.map(named).collect()
}

fn address(pattern: &UrlPattern) -> Option<String> {
    let path = pattern.path.split('?').next().unwrap_or_default();
    if &*pattern.host == "*" {
        let file = path.trim_start_matches(['/', '*']);
        return (!file.is_empty() && file.matches('/').count() < 2).then(|| format!("/{file}"));
    }
    let host = match pattern.host.strip_prefix("*.") {
        Some(below) => below.to_owned(),
        None => format!("={}", pattern.host),
    };
    let folder = path.split('/').nth(1).filter(|folder| !folder.is_empty());
    Some(folder.map_or_else(|| host.clone(), |folder| format!("{host}/{folder}")))
}

/// The same as `isKnown` of `guard.js` makes of a text.
fn short_name(text: &str) -> String {
    let hash = text.encode_utf16().fold(5381_u32, |hash, unit| hash.wrapping_mul(33) ^ u32::from(unit));
    [0, 6, 12, 18].iter().map(|shift| char::from(63 + (hash >> shift & 63) as u8)).collect()
}

/// A visitor's choices as `GET /_consent/choices` and `window.consentry.choices` tell them: what may act now.
pub fn choices(
    choices: Option<&Choices>,
    granted: &Granted,
    signal: Signal,
    valid_until: Option<Timestamp>,
) -> Value {
    json!({
        "decided": choices.is_some(),
        "categories": categories(granted),
        "services": granted.services().collect::<Vec<_>>(),
        "made_at": choices.map(|choices| choices.made_at.to_string()),
        "receipt": choices.and_then(|choices| choices.receipt),
        "valid_until": choices.and(valid_until).map(|at| at.to_string()),
        "gpc": signal == Signal::GlobalPrivacyControl,
        "dnt": signal == Signal::DoNotTrack,
    })
}

/// Each category, and whether it may act now.
pub fn categories(granted: &Granted) -> Value {
    let each = Category::ALL.iter();
    each.map(|category| (category.to_string(), granted.categories().covers(*category).into()))
        .collect::<serde_json::Map<String, Value>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts<'static> {
        Facts {
            own_path: "/_consent/",
            choices: Some(json!({"note": "</script><!--å"})),
            choices_name: "0123",
            refused_cookies: vec!["_ga*"],
            refused_storage: vec!["mp_*"],
            refused_addresses: short_name("google-analytics.com"),
            hints: Hints::Held,
            signal: Signal::Absent,
            acting: Some(Acting::default()),
            globals: vec!["ga", "dataLayer"],
            anonymize: vec!["_paq.push(['disableCookies']);// </script> å"],
        }
    }

    #[test]
    fn the_script_is_ascii_and_cannot_end_its_element() {
        let script = script(&facts());
        assert!(script.is_ascii());
        assert!(!script.contains("</") && !script.contains("<!--"));
    }

    #[test]
    fn anonymizing_comes_before_the_guard_and_the_facts_reach_it() {
        let script = script(&facts());
        assert!(script.starts_with("try{_paq.push(['disableCookies']);"));
        assert!(script.contains(r#""k":["_ga*"]"#) && script.contains(r#""s":["mp_*"]"#));
        assert!(script.trim_end().ends_with("});") || script.trim_end().ends_with(");"));
    }

    #[test]
    fn a_pattern_is_packed_so_that_the_browser_finds_it_again() {
        for (pattern, expected) in [
            ("*.hotjar.com/", Some("hotjar.com")),
            ("www.facebook.com/tr", Some("=www.facebook.com/tr")),
            ("*.example.com/gtag/js?id=", Some("example.com/gtag")),
            ("*/ga.js", Some("/ga.js")),
            ("*/gtag/js", Some("/gtag/js")),
            ("*/a/b/c.js", None),
        ] {
            assert_eq!(address(&UrlPattern::parse(pattern).unwrap()).as_deref(), expected, "{pattern}");
        }
        // As Chromium computes it.
        assert_eq!(short_name("hotjar.com"), "?eZV");
    }

    #[test]
    fn what_an_acting_service_shares_is_not_held() {
        let of = |patterns: &[&str]| {
            patterns.iter().map(|text| UrlPattern::parse(text).unwrap()).collect::<Vec<_>>()
        };
        let (held, acting) = (of(&["www.google.com/maps", "a.example/"]), of(&["www.google.com/maps/api"]));
        assert_eq!(addresses(held.iter(), acting.iter()), short_name("=a.example"));
    }

    fn packed(script: &str) -> usize {
        use std::io::Write;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        packer.write_all(script.as_bytes()).unwrap();
        packer.finish().unwrap().len()
    }

    #[test]
    fn the_script_weighs_at_most_three_kilobytes_packed() {
        let size = packed(&guard(&facts()));
        assert!(size <= 3 * 1024, "{size}");
    }

    #[test]
    fn the_other_ways_weigh_at_most_five_and_a_half_kilobytes_packed_and_come_where_something_is_held() {
        let size = packed(&WAYS);
        assert!(size <= 11 * 512, "{size}");
        assert!(script(&facts()).contains("createContextualFragment"));
        assert!(!script(&Facts { acting: None, ..facts() }).contains("createContextualFragment"));
    }

    #[test]
    fn c43_the_script_of_the_banner_weighs_at_most_five_kilobytes_packed_and_comes_to_the_undecided_alone() {
        let undecided = Facts { choices: None, ..facts() };
        assert!(script(&undecided).contains("consentry-banner") && script(&undecided).contains("onChange"));
        assert!(!script(&facts()).contains("consentry-banner") && script(&facts()).contains("onChange"));
        let size = packed(&format!("{}{}", *API, *BANNER));
        assert!(size <= 5 * 1024, "{size}");
    }

    #[test]
    fn choices_are_told_as_what_may_act_now() {
        let undecided = choices(None, &Granted::default(), Signal::GlobalPrivacyControl, None);
        assert_eq!(
            undecided,
            json!({
                "decided": false,
                "categories": {"necessary": true, "preferences": false, "statistics": false, "marketing": false},
                "services": [],
                "made_at": null,
                "receipt": null,
                "valid_until": null,
                "gpc": true,
                "dnt": false,
            })
        );
    }
}
