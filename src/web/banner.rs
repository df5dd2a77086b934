//! Banner and settings link: ASCII markup for pages of any character set, prepared once and filled per request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use moka::sync::Cache;
use serde_json::json;

use super::language::Language;
use super::{Look, Position, Theme, ascii, contrast, templates};
use crate::consent::Category;

/// What stands where a form's way back is filled in.
const RETURN_TO: &str = "consentry-return-to";
/// What prepared banners may weigh together.
const CACHE_BYTES: u64 = 32 << 20;

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

/// What is inserted into pages of one look in one language.
#[derive(Debug)]
struct Inserted {
    /// The banner up to its way back.
    before: Box<str>,
    /// The banner from there on.
    after: Box<str>,
    /// The link to the settings.
    link: Box<str>,
}

static INSERTED: LazyLock<Cache<(u64, Language), Arc<Inserted>>> = LazyLock::new(|| {
    let weight = |_: &_, inserted: &Arc<Inserted>| {
        let size = inserted.before.len() + inserted.after.len() + inserted.link.len() + 128;
        u32::try_from(size).unwrap_or(u32::MAX)
    };
    Cache::builder().max_capacity(CACHE_BYTES).weigher(weight).build()
});

static LINK_STYLE: LazyLock<String> = LazyLock::new(|| ascii::squeeze(include_str!("link.css"), ""));

impl Look {
    /// The banner in one language, as ASCII markup: `<consentry-banner>` with a declarative shadow root, whose
    /// form leads back to `return_to` (a path with its query, on this site). Where `return_to` is empty, such
    /// as for a page that was posted, the form leads back to the page it was sent from, and the guard does
    /// not load that page again.
    pub fn banner(&self, language: &Language, return_to: &str) -> String {
        let inserted = self.inserted(language);
        let return_to = ascii::text(return_to);
        let mut banner =
            String::with_capacity(inserted.before.len() + return_to.len() + inserted.after.len());
        banner.push_str(&inserted.before);
        banner.push_str(&return_to);
        banner.push_str(&inserted.after);
        banner
    }

    /// The link to the settings that stands on every page, as ASCII markup.
    pub fn settings_link(&self, language: &Language) -> String {
        self.inserted(language).link.to_string()
    }

    /// The text of the banner's only style element: a page with a policy of its own must be told its hash.
    pub fn banner_style(&self) -> &str {
        self.prepared.style.get_or_init(|| style(&self.theme, self.position).into())
    }

    /// The text of the settings link's only style element, the same for every site.
    pub fn link_style() -> &'static str {
        &LINK_STYLE
    }

    fn inserted(&self, language: &Language) -> Arc<Inserted> {
        let key = (self.prepared.id, language.clone());
        INSERTED.get_with(key, || Arc::new(self.prepare(language)))
    }

    fn prepare(&self, language: &Language) -> Inserted {
        let (before, after) = self.prepare_banner(language);
        Inserted { before, after, link: self.prepare_link(language) }
    }

    fn prepare_link(&self, language: &Language) -> Box<str> {
        let texts = self.texts(language);
        let values = json!({
            "lang": texts.language(),
            "dir": texts.direction(),
            "t": texts.all(),
            "own_path": self.own_path,
            "style": Look::link_style(),
        });
        ascii::markup(&templates::render("link.html", &values)).into()
    }

    fn prepare_banner(&self, language: &Language) -> (Box<str>, Box<str>) {
        let texts = self.texts(language);
        let categories: Vec<_> = Category::OPTIONAL
            .iter()
            .map(|category| {
                json!({
                    "id": category.as_str(),
                    "name": texts.get(category.as_str()),
                    "purpose": texts.get(&format!("{category}_purpose")),
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
            "return_to": RETURN_TO,
            "categories": categories,
        });
        let banner = ascii::markup(&templates::render("banner.html", &values));
        let (before, after) = banner.split_once(RETURN_TO).unwrap_or((&banner, ""));
        (before.into(), after.into())
    }
}

fn style(theme: &Theme, position: Position) -> String {
    let place = match position {
        Position::Bottom => "inset:auto 0 0!important;",
        Position::Top => "inset:0 0 auto!important;",
        Position::Center => {
            "inset:0!important;margin:auto!important;height:fit-content!important;width:min(40em,96vw)!important;"
        }
    };
    // In the wide the buttons stand beside the text, unless the banner is a narrow box.
    let wide = match position {
        Position::Bottom | Position::Top => {
            "form{flex-direction:row;align-items:center;gap:2em}.info{flex:1;max-height:calc(92vh - 2em)}.choose{grid-template-columns:1fr;min-width:13em}"
        }
        Position::Center => "",
    };
    let dark = if *theme == Theme::default() { coloured(DARK_RULES, &Theme::dark()) } else { String::new() };
    let rules = ascii::squeeze(include_str!("banner.css"), "");
    coloured(&rules.replace("$place", place).replace("$wide", wide), theme).replace("$dark", &dark)
}

const DARK_RULES: &str = "@media(prefers-color-scheme:dark){:host{color:$text!important;background:$background!important;border-color:$text!important}a,summary{color:$accent}input{accent-color:$accent}button{background:$accent;border-color:$accent;color:$background}:focus-visible{outline-color:$text}}";

/// Rules with the theme's colours; what is no colour never gets into a style element.
fn coloured(rules: &str, theme: &Theme) -> String {
    let standard = Theme::default();
    [
        ("$accent", &theme.accent, &standard.accent),
        ("$background", &theme.background, &standard.background),
        ("$text", &theme.text, &standard.text),
    ]
    .iter()
    .fold(rules.to_owned(), |rules, (name, colour, standard)| {
        rules.replace(name, if contrast(colour, colour).is_some() { colour } else { standard })
    })
}

impl Theme {
    /// The default theme on dark ground.
    fn dark() -> Self {
        Theme { accent: "#8ab4f8".into(), background: "#1f1f1f".into(), text: "#e3e3e3".into() }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::look;
    use super::*;

    fn language(tag: &str) -> Language {
        Language::parse(tag).unwrap()
    }

    fn banner(tag: &str) -> String {
        look().banner(&language(tag), "/a?b=1&c=\"><script>")
    }

    #[test]
    fn banner_and_link_are_ascii_in_every_language() {
        for tag in ["sv", "en", "de"] {
            assert!(banner(tag).is_ascii());
            assert!(look().settings_link(&language(tag)).is_ascii());
        }
    }

    #[test]
    fn the_way_back_is_escaped_and_the_only_thing_that_varies() {
        assert!(banner("sv").contains("name=\"return\" value=\"/a?b=1&amp;c=&quot;&gt;&lt;script&gt;\""));
        let look = look();
        let other = look.banner(&language("sv"), "/x");
        assert_eq!(look.banner(&language("sv"), "").replace("value=\"\"", "value=\"/x\""), other);
    }

    // COMPLIANCE C5, C6, C8: refusing is on the first layer, and looks like agreeing.
    #[test]
    fn accept_and_reject_are_the_same_element_in_the_same_place() {
        let banner = banner("en");
        let (_, choose) = banner.split_once("<div class=\"choose\">").unwrap();
        let rest = choose.replace("reject-all", "accept-all").replace("Reject all", "Accept all");
        let buttons: Vec<_> = rest.lines().filter(|line| line.contains("<button")).collect();
        assert_eq!(buttons.len(), 2);
        assert_eq!(buttons[0], buttons[1]);
    }

    // COMPLIANCE C7. The first button of a form is what the Enter key presses, and it must not agree to all.
    #[test]
    fn nothing_is_ticked_before_and_enter_saves_what_is_ticked() {
        let banner = banner("en");
        assert!(!banner.contains("checked"));
        assert_eq!(banner.matches("type=\"checkbox\"").count(), 3);
        assert!(banner.find("value=\"save\"").unwrap() < banner.find("value=\"accept-all\"").unwrap());
    }

    // COMPLIANCE C12, C13, C14.
    #[test]
    fn the_first_layer_says_who_what_why_and_how_to_withdraw_in_every_language() {
        for (tag, words) in [
            (
                "sv",
                [
                    "Exempelbyr&#229;n AB",
                    "statistik",
                    "marknadsf&#246;ring",
                    "ta tillbaka",
                    "/privacy?lang=sv",
                ],
            ),
            ("en", ["Exempelbyr&#229;n AB", "statistics", "marketing", "withdraw", "/privacy?lang=en"]),
        ] {
            let banner = banner(tag);
            let (first_layer, _) = banner.split_once("<details>").unwrap();
            for word in words {
                assert!(first_layer.contains(word), "{tag}: {word}");
            }
        }
    }

    // COMPLIANCE C41.
    #[test]
    fn a_language_without_texts_is_marked_as_the_one_it_is_really_in() {
        assert!(banner("de").starts_with("<consentry-banner lang=\"en\" dir=\"ltr\">"));
    }

    #[test]
    fn the_style_stands_in_the_banner_byte_for_byte_and_only_once() {
        let look = look();
        for (markup, style) in [
            (look.banner(&language("sv"), ""), look.banner_style()),
            (look.settings_link(&language("sv")), Look::link_style()),
        ] {
            assert!(markup.contains(&format!("<style>{style}</style>")));
            assert_eq!(markup.matches("<style").count(), 1);
            assert!(style.is_ascii() && !style.contains(['$', '<']), "{style}");
        }
    }

    #[test]
    fn what_is_no_colour_does_not_reach_the_style() {
        let theme = Theme { accent: "red}</style><script>".into(), ..Theme::default() };
        let style = style(&theme, Position::Center);
        assert!(!style.contains("script") && style.contains("#0b57d0"));
    }

    #[test]
    fn a_changed_clone_shows_its_own_texts() {
        let one = look();
        let before = one.banner(&language("sv"), "");
        let mut other = one.clone();
        other.controller = "Annan AB".into();
        assert!(other.banner(&language("sv"), "").contains("Annan AB"));
        assert_eq!(one.banner(&language("sv"), ""), before);
    }

    #[test]
    fn both_themes_of_ours_have_contrast_enough() {
        for theme in [Theme::default(), Theme::dark()] {
            for colour in [&theme.accent, &theme.text] {
                assert!(contrast(colour, &theme.background).unwrap() >= 4.5);
            }
        }
    }

    // DESIGN section 4: it comes with every page of the undecided.
    #[test]
    fn the_banner_weighs_at_most_five_kilobytes_packed() {
        use std::io::Write;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        packer.write_all(banner("sv").as_bytes()).unwrap();
        let size = packer.finish().unwrap().len();
        assert!(size <= 5 * 1024, "{size}");
    }
}
