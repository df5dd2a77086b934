//! Banner and settings link: ASCII markup for pages of any character set, prepared once and filled per request.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use foldhash::fast::RandomState;
use moka::sync::Cache;
use serde_json::{Value, json};

use super::language::Language;
use super::texts::Texts;
use super::{Look, ascii, style, templates};
use crate::consent::Category;
use crate::consent::signal::Signal;
use crate::services::{Service, catalogue_text};

/// What prepared banners may weigh together.
const CACHE_BYTES: u64 = 32 << 20;

/// What a banner may weigh packed, less what a page fills in: it comes with every page of the undecided.
const MOST_PACKED: usize = 5 * 1024 - 256;

/// Without scripts nothing lifts the banner into the top layer, and a body that is transformed would take it along to
/// its own end (CSS Transforms 1, section 6).
pub const FIXED: &str = "<noscript><style>:root:not(#c#c)>body{transform:none!important;translate:none!important;\
    rotate:none!important;scale:none!important;filter:none!important;backdrop-filter:none!important;\
    perspective:none!important;contain:none!important;will-change:auto!important;container-type:normal!important}\
    </style></noscript>";

/// What a [`Look`] prepares when it is first asked.
#[derive(Debug)]
pub struct Prepared {
    /// Its name in the cache. Looks of other settings have other names, so nothing there ever grows stale.
    id: u64,
    style: OnceLock<Box<str>>,
}

impl Default for Prepared {
    fn default() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Prepared { id: NEXT.fetch_add(1, Ordering::Relaxed), style: OnceLock::new() }
    }
}

impl Clone for Prepared {
    /// A clone may be changed, so it prepares anew.
    fn clone(&self) -> Self {
        Prepared::default()
    }
}

/// What the banner of one visit asks about.
pub struct Asking<'a> {
    /// Changes whenever `services` gives others.
    pub generation: u64,
    /// Whether the visitor's browser opted out for them.
    pub signal: Signal,
    /// The services of the site for which agreeing changes something; asked for when the banner is prepared.
    pub services: &'a dyn Fn() -> Vec<&'a Service>,
}

/// Where on which page something of ours is put in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place<'a> {
    /// The origin before our addresses, where a `<base>` would lead them elsewhere; else empty.
    pub origin: &'a str,
    /// Where a form leads back to: a path with its query, on this site. Where it is empty, the form leads back to the
    /// page it was sent from.
    pub return_to: &'a str,
}

/// What is prepared for a look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Item {
    Banner { generation: u64, signal: Option<&'static str> },
    Link(Shows),
    Xml { shows: Shows, signal: Option<&'static str> },
}

/// When the link to the settings shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shows {
    /// At once.
    Now,
    /// When the banner, which has a link of its own, is gone.
    AfterTheBanner,
}

/// Markup of ours for one page; ASCII.
#[derive(Clone, Debug)]
pub struct Markup<'a> {
    pieces: Arc<Pieces>,
    origin: Cow<'a, str>,
    return_to: Cow<'a, str>,
}

impl Markup<'_> {
    /// All of it, part by part.
    pub fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        self.pieces.iter().flat_map(|(text, gap)| {
            let filled = gap.map(|gap| match gap {
                Gap::Origin => Part::Recurring(&self.origin),
                Gap::ReturnTo => Part::OfThePage(&self.return_to),
            });
            [Some(Part::Recurring(text)), filled].into_iter().flatten()
        })
    }
}

impl fmt::Display for Markup<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts().try_for_each(|part| match part {
            Part::Recurring(text) | Part::OfThePage(text) => f.write_str(text),
        })
    }
}

/// A part of markup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The same on other pages of the site.
    Recurring(&'a str),
    /// Another on each page: where a form leads back to.
    OfThePage(&'a str),
}

/// Markup with places that each page fills: a text, and what comes after it.
type Pieces = Box<[(Box<str>, Option<Gap>)]>;

#[derive(Clone, Copy, Debug)]
enum Gap {
    Origin,
    ReturnTo,
}

/// Whose it is, in which language, and what.
type Key = (u64, Language, Item);

static PREPARED: LazyLock<Cache<Key, Arc<Pieces>, RandomState>> = LazyLock::new(|| {
    let weight = |_: &_, pieces: &Arc<Pieces>| {
        let size: usize = pieces.iter().map(|(text, _)| text.len() + 32).sum();
        u32::try_from(size + 128).unwrap_or(u32::MAX)
    };
    Cache::builder().max_capacity(CACHE_BYTES).weigher(weight).build_with_hasher(RandomState::default())
});

static LINK_STYLE: LazyLock<String> = LazyLock::new(|| ascii::squeeze(include_str!("link.css"), ""));

impl Look {
    /// The banner in one language, as ASCII markup: `<consentry-banner>` with a declarative shadow root.
    pub fn banner<'a>(&self, language: &Language, asking: &Asking<'_>, place: Place<'a>) -> Markup<'a> {
        let item = Item::Banner { generation: asking.generation, signal: asking.signal.name() };
        self.fill_prepared(language, item, place, || self.prepare_banner(language, asking))
    }

    /// The link to the settings that stands on every page, as ASCII markup.
    pub fn settings_link<'a>(&self, language: &Language, shows: Shows, place: Place<'a>) -> Markup<'a> {
        self.fill_prepared(language, Item::Link(shows), place, || self.prepare_link(language, shows))
    }

    /// The text of the banner's only style element: a page with a policy of its own must be told its hash.
    pub fn banner_style(&self) -> &str {
        self.prepared.style.get_or_init(|| style::banner(&self.theme, self.position).into())
    }

    /// The text of the settings link's only style element, the same for every site.
    pub fn link_style() -> &'static str {
        &LINK_STYLE
    }

    pub(super) fn fill_prepared<'a>(
        &self,
        language: &Language,
        item: Item,
        place: Place<'a>,
        prepare: impl FnOnce() -> String,
    ) -> Markup<'a> {
        let key = (self.prepared.id, language.clone(), item);
        let pieces = PREPARED.get_with(key, || Arc::new(pieces(&prepare())));
        Markup { pieces, origin: ascii::text(place.origin), return_to: ascii::text(place.return_to) }
    }

    fn prepare_link(&self, language: &Language, shows: Shows) -> String {
        let texts = self.texts(language);
        let values = json!({
            "lang": texts.language(),
            "dir": texts.direction(),
            "asked": language.as_str(),
            "t": texts.all(),
            "own_path": self.own_path,
            "waits": if shows == Shows::AfterTheBanner { " data-waits" } else { "" },
            "style": Look::link_style(),
        });
        ascii::markup(&templates::render("link.html", &values))
    }

    /// With all that is known of each service where that is light enough, else with their names, else with the
    /// categories alone and a link to the settings page, which always tells all.
    fn prepare_banner(&self, language: &Language, asking: &Asking<'_>) -> String {
        let services = (asking.services)();
        let render = |detail| self.render_banner(language, asking.signal, &services, detail);
        [Detail::Whole, Detail::Named]
            .into_iter()
            .map(render)
            .find(|banner| packed(banner) <= MOST_PACKED)
            .unwrap_or_else(|| render(Detail::Categories))
    }

    fn render_banner(
        &self,
        language: &Language,
        signal: Signal,
        services: &[&Service],
        detail: Detail,
    ) -> String {
        let texts = self.texts(language);
        let categories: Vec<_> = Category::OPTIONAL
            .into_iter()
            .map(|category| {
                let of = services.iter().filter(|service| service.category == category);
                let of: Vec<_> = of.filter(|_| detail != Detail::Categories).collect();
                let names: Vec<&str> = of.iter().map(|service| &*service.name).collect();
                json!({
                    "id": category.as_str(),
                    "name": texts.get(category.as_str()),
                    "purpose": texts.get(&format!("{category}_purpose")),
                    "summary": texts.fill("services_of", &[("services", &texts.list(&names))]),
                    "services": of.iter().map(|service| self.about(service, &texts, detail)).collect::<Vec<_>>(),
                })
            })
            .collect();
        let values = json!({
            "lang": texts.language(),
            "dir": texts.direction(),
            "asked": language.as_str(),
            "t": texts.all(),
            "own_path": self.own_path,
            "notice_path": self.notice_path,
            "controller": self.controller,
            "style": self.banner_style(),
            "logo": self.theme.logo.as_ref().map(|logo| json!({
                "address": format!("{}assets/{}", self.own_path, logo.name),
                "alt": self.controller,
            })),
            "signal": signal.name(),
            "categories": categories,
            "is_whole": detail == Detail::Whole,
        });
        ascii::markup(&templates::render("banner.html", &values))
    }

    fn about(&self, service: &Service, texts: &Texts<'_>, detail: Detail) -> Value {
        let (purpose, lang) = catalogue_text(&service.purpose, texts.language());
        json!({
            "id": service.id,
            "name": service.name,
            "provider": texts.provider(service, &self.controller),
            "country": texts.country(&service.country),
            "purpose": purpose.trim_end_matches('.'),
            "lang": lang.map(|lang| format!(" lang=\"{lang}\" dir=\"ltr\"")).unwrap_or_default(),
            "cookies": if detail == Detail::Whole { texts.cookies(service) } else { String::new() },
        })
    }
}

/// How much the banner tells of each service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// Purpose, provider, country, and every cookie with its lifetime.
    Whole,
    /// All but the cookies.
    Named,
    /// Nothing: the categories alone.
    Categories,
}

fn packed(markup: &str) -> usize {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    // Writing into memory does not fail.
    let _ = packer.write_all(markup.as_bytes());
    packer.finish().map_or(usize::MAX, |packed| packed.len())
}

/// Splits markup at its gaps: `{[origin]}` and `{[return_to]}`.
fn pieces(markup: &str) -> Pieces {
    let mut pieces = Vec::new();
    let mut rest = markup;
    while let Some((before, after)) = rest.split_once("{[") {
        let Some((name, after)) = after.split_once("]}") else { break };
        let gap = if name == "origin" { Gap::Origin } else { Gap::ReturnTo };
        pieces.push((before.into(), Some(gap)));
        rest = after;
    }
    pieces.push((rest.into(), None));
    pieces.into()
}

#[cfg(test)]
mod tests {
    use super::super::tests::look;
    use super::*;
    use crate::services::Set;

    fn language(tag: &str) -> Language {
        Language::parse(tag).unwrap()
    }

    fn shown(look: &Look, tag: &str, return_to: &str) -> String {
        with_services(look, tag, &[], Signal::Absent, Place { origin: "", return_to })
    }

    fn with_services(look: &Look, tag: &str, ids: &[&str], signal: Signal, place: Place<'_>) -> String {
        let set = Set::default();
        let services = || set.optional(ids.iter().copied());
        let generation = ids.len() as u64;
        look.banner(&language(tag), &Asking { generation, signal, services: &services }, place).to_string()
    }

    fn banner(tag: &str) -> String {
        shown(&look(), tag, "/a?b=1&c=\"><script>")
    }

    #[test]
    fn banner_and_link_are_ascii_in_every_language() {
        for language in super::super::texts::languages() {
            assert!(banner(language.as_str()).is_ascii(), "{language}");
            assert!(
                look().settings_link(language, Shows::Now, Place::default()).to_string().is_ascii(),
                "{language}"
            );
        }
    }

    #[test]
    fn the_way_back_is_escaped_and_the_only_thing_that_varies() {
        assert!(banner("sv").contains("name=\"return\" value=\"/a?b=1&amp;c=&quot;&gt;&lt;script&gt;\""));
        let look = look();
        let other = shown(&look, "sv", "/x");
        assert_eq!(shown(&look, "sv", "").replace("value=\"\"", "value=\"/x\""), other);
    }

    #[test]
    fn a_base_leads_none_of_our_addresses_elsewhere() {
        let place = Place { origin: "https://www.example.se", return_to: "" };
        let look = look();
        let banner = with_services(&look, "sv", &[], Signal::Absent, place)
            + &look.settings_link(&language("sv"), Shows::Now, place).to_string();
        for address in
            banner.split(['"']).filter(|word| word.contains("/_consent/") || word.contains("/privacy"))
        {
            assert!(address.starts_with("https://www.example.se/"), "{address}");
        }
        assert_eq!(banner.matches("https://www.example.se/").count(), 4);
    }

    // COMPLIANCE C5, C6, C8, C37: refusing is on the first layer, and looks like agreeing.
    #[test]
    fn c5_c6_c8_c37_accept_and_reject_are_the_same_element_in_the_same_place() {
        let banner = banner("en");
        let (_, choose) = banner.split_once("<div class=\"choose\">").unwrap();
        let rest = choose.replace("reject-all", "accept-all").replace("Reject all", "Accept all");
        let buttons: Vec<_> = rest.lines().filter(|line| line.contains("<button")).collect();
        assert_eq!(buttons.len(), 2);
        assert_eq!(buttons[0], buttons[1]);
    }

    // COMPLIANCE C7. The first button of a form is what the Enter key presses, and it must not agree to all.
    #[test]
    fn c7_nothing_is_ticked_before_and_enter_saves_what_is_ticked() {
        let look = look();
        let banner = with_services(&look, "en", &["matomo", "meta-pixel"], Signal::Absent, Place::default());
        assert!(!banner.contains("checked"));
        assert_eq!(banner.matches("type=\"checkbox\"").count(), 5);
        assert!(banner.find("value=\"save\"").unwrap() < banner.find("value=\"accept-all\"").unwrap());
    }

    // COMPLIANCE C12, C13, C14.
    #[test]
    fn c12_c13_c14_the_first_layer_says_who_what_why_and_how_to_withdraw_in_every_language() {
        for (tag, words) in [
            (
                "sv",
                ["statistik", "marknadsf&#246;ring", "inst&#228;llningar", "ta tillbaka", "/privacy?lang=sv"],
            ),
            ("en", ["statistics", "marketing", "preferences", "withdraw", "/privacy?lang=en"]),
        ] {
            let banner = banner(tag);
            let (first_layer, _) = banner.split_once("<details").unwrap();
            for word in words.iter().chain(&["Exempelbyr&#229;n AB", "IP"]) {
                assert!(first_layer.contains(word), "{tag}: {word}");
            }
        }
        for language in super::super::texts::languages() {
            let (look, tag) = (look(), language.as_str());
            let texts = Texts::new(language, None);
            let banner = shown(&look, tag, "");
            let (first_layer, _) = banner.split_once("<details").unwrap();
            let withdraw = texts.fill("withdraw", &[("link", texts.get("settings_link"))]);
            for text in [texts.get("purposes"), &withdraw, texts.get("notice_link"), "Exempelbyrån AB"] {
                assert!(first_layer.contains(&*ascii::text(text)), "{tag}: {text}");
            }
        }
    }

    // COMPLIANCE C11, C15.
    #[test]
    fn c11_c15_each_service_of_the_site_is_asked_about_with_all_that_is_known_of_it() {
        let look = look();
        let place = Place::default();
        let banner = with_services(&look, "sv", &["matomo", "no-such-service"], Signal::Absent, place);
        for part in ["name=\"service\" value=\"matomo\">", "Matomo", "_pk_id", "Kakor:"] {
            assert!(banner.contains(part), "{part}: {banner}");
        }
        assert_eq!(banner.matches("name=\"service\"").count(), 1);
    }

    // COMPLIANCE C41.
    #[test]
    fn c41_what_is_in_another_language_is_marked_as_such() {
        assert!(banner("vo").starts_with("<consentry-banner lang=\"en\" dir=\"ltr\">"));
        assert!(banner("ar").starts_with("<consentry-banner lang=\"ar\" dir=\"rtl\">"));
        let arabic = with_services(&look(), "ar", &["matomo"], Signal::Absent, Place::default());
        assert!(arabic.contains("<span lang=\"en\" dir=\"ltr\">"), "{arabic}");
        let swedish = with_services(&look(), "sv", &["matomo"], Signal::Absent, Place::default());
        assert!(!swedish.contains("<span lang="));
    }

    #[test]
    fn a_signal_is_said_where_there_is_one() {
        for tag in super::super::texts::languages().map(Language::as_str) {
            let said = |signal| {
                let banner = with_services(&look(), tag, &[], signal, Place::default());
                (banner.contains("Global Privacy Control"), banner.contains("Do Not Track"))
            };
            assert_eq!(said(Signal::GlobalPrivacyControl), (true, false), "{tag}");
            assert_eq!(said(Signal::DoNotTrack), (false, true), "{tag}");
            assert_eq!(said(Signal::Absent), (false, false), "{tag}");
        }
    }

    #[test]
    fn the_style_stands_in_the_banner_byte_for_byte_and_only_once() {
        let look = look();
        for (markup, style) in [
            (shown(&look, "sv", ""), look.banner_style()),
            (
                look.settings_link(&language("sv"), Shows::Now, Place::default()).to_string(),
                Look::link_style(),
            ),
        ] {
            assert!(markup.contains(&format!("<style>{style}</style>")));
            assert_eq!(markup.matches("<style").count(), 1);
            assert!(style.is_ascii() && !style.contains(['$', '<']), "{style}");
        }
    }

    #[test]
    fn a_changed_clone_shows_its_own_texts() {
        let one = look();
        let before = shown(&one, "sv", "");
        let mut other = one.clone();
        other.controller = "Annan AB".into();
        assert!(shown(&other, "sv", "").contains("Annan AB"));
        assert_eq!(shown(&one, "sv", ""), before);
    }

    // DESIGN section 4: it comes with every page of the undecided.
    #[test]
    fn c43_the_banner_weighs_at_most_five_kilobytes_packed_however_many_services_there_are() {
        let set = Set::default();
        let all: Vec<&str> = set.iter().map(|service| &*service.id).collect();
        for tag in super::super::texts::languages().map(Language::as_str) {
            for count in [0, 3, 12, all.len()] {
                let banner = with_services(
                    &look(),
                    tag,
                    &all[..count],
                    Signal::GlobalPrivacyControl,
                    Place::default(),
                );
                assert!(packed(&banner) <= 5 * 1024, "{tag} {count}: {}", packed(&banner));
                assert!(
                    count > 3 || banner.matches("settings?lang=").count() == 1,
                    "{tag}: a few are told in full"
                );
            }
            let some = with_services(&look(), tag, &all[..3], Signal::Absent, Place::default());
            println!("{tag}: {} bytes packed with 3 services", packed(&some));
        }
    }
}
