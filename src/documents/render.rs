//! A document's Markdown to the HTML of its page: names filled in, tables put in, everything sanitized.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use moka::sync::Cache;
use pulldown_cmark::{Options, Parser, html};

use super::tables::Facts;
use super::{Shelf, Text, markdown, variables};
use crate::observed::Snapshot;
use crate::services::{NamePattern, Set};
use crate::web::Look;

/// What all rendered documents may weigh together.
const CACHE_BYTES: u64 = 64 << 20;

/// One wording of a document, with all that its page is made from.
#[derive(Clone, Copy, Debug)]
pub struct Wording<'a> {
    /// The site's name.
    pub site: &'a str,
    /// The epoch of the site's settings.
    pub epoch: u64,
    /// The settings that `{{ … }}` may name.
    pub shelf: &'a Shelf,
    /// The text.
    pub text: &'a Text,
    /// What becomes of the tables.
    pub tables: Tables,
    /// The site's services, for the tables.
    pub services: &'a Set,
    /// The cookies that the site cannot do without, for the tables.
    pub necessary: &'a [NamePattern],
    /// What the site's traffic showed, for the tables.
    pub seen: &'a Snapshot,
    /// How the site's pages look and speak.
    pub look: &'a Look,
    /// How many days choices and acceptances are remembered, for the tables.
    pub own_lifetimes: [u64; 2],
}

/// What becomes of `{{ services }}` and `{{ cookies }}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tables {
    /// They list what the site uses.
    Filled,
    /// A sentence stands in their place: what is used today says nothing of an earlier version.
    Left,
}

/// The hash of the variables stands for a reload that changes nothing else.
type Key = (Box<str>, u64, u64, [u8; 32], Box<str>);

static PAGES: LazyLock<Cache<Key, Arc<str>>> = LazyLock::new(|| {
    let weight = |_: &Key, page: &Arc<str>| u32::try_from(page.len() + 256).unwrap_or(u32::MAX);
    Cache::builder().max_capacity(CACHE_BYTES).weigher(weight).build()
});

static SANITIZER: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
    let mut sanitizer = ammonia::Builder::default();
    crate::web::shown::allow_tables(&mut sanitizer);
    // An address that no browser shows and nothing checks.
    for tag in ["blockquote", "del", "ins", "q"] {
        sanitizer.rm_tag_attributes(tag, ["cite"]);
    }
    sanitizer
});

impl Wording<'_> {
    /// The text as sanitized HTML; rendered once for each wording and settings.
    pub fn html(&self) -> Arc<str> {
        let mut hasher = DefaultHasher::new();
        self.shelf.variables.to_string().hash(&mut hasher);
        self.own_lifetimes.hash(&mut hasher);
        self.seen.generation().hash(&mut hasher);
        self.tables.hash(&mut hasher);
        let language = self.text.language.as_str().into();
        let key = (self.site.into(), self.epoch, hasher.finish(), self.text.hash, language);
        PAGES.get_with(key, || self.render().into())
    }

    fn render(&self) -> String {
        let tables = Facts {
            services: self.services,
            necessary: self.necessary,
            seen: self.seen,
            controller: &self.look.controller,
            texts: self.look.texts(&self.text.language),
            own_lifetimes: self.own_lifetimes,
        };
        let markdown = variables::substitute(&self.text.markdown, |name| match name {
            "services" | "cookies" if self.tables == Tables::Left => {
                format!("\n\n*{}*\n\n", tables.texts.get("table_in_present"))
            }
            "services" => format!("\n\n{}\n\n", tables.services_table()),
            "cookies" => format!("\n\n{}\n\n", tables.cookies_table()),
            _ => self.value(name),
        });
        to_html(&markdown)
    }

    fn value(&self, name: &str) -> String {
        variables::value(name, &self.shelf.variables).map_or_else(
            || {
                let title = &*self.text.title;
                tracing::warn!(site = self.site, document = title, name, "a document names no setting");
                String::new()
            },
            |value| variables::literal(&value),
        )
    }
}

/// Markdown, or HTML inside it, to HTML that can format and not script.
fn to_html(text: &str) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut rendered = String::with_capacity(text.len() * 2);
    html::push_html(&mut rendered, markdown::with_readable_tables(Parser::new_ext(text, options)));
    SANITIZER.clean(&rendered).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use sha2::{Digest, Sha256};

    use super::super::tables::tests::services;
    use super::*;
    use crate::services::Rule;
    use crate::web::language::Language;
    use crate::web::{Position, Prepared, Theme};

    fn look() -> Look {
        Look {
            languages: vec![Language::parse("sv").unwrap()],
            controller: "Byrån AB".into(),
            notice_path: None,
            own_path: "/_consent/".into(),
            position: Position::default(),
            theme: Theme::default(),
            texts: Default::default(),
            prepared: Prepared::default(),
        }
    }

    fn text(markdown: &str) -> Text {
        Text {
            language: Language::parse("sv").unwrap(),
            title: "T".into(),
            version: "1".into(),
            hash: Sha256::digest(markdown).into(),
            reacceptance: true,
            effective: None,
            grace: None,
            changes: None,
            markdown: markdown.into(),
        }
    }

    fn shelf() -> Shelf {
        let variables = json!({"controller": {"name": "A & B <i>*x*</i>", "email": "a@b.se"}});
        Shelf { variables: Arc::new(variables), ..Shelf::default() }
    }

    /// What becomes of a wording on a site with one service.
    fn with<T>(
        site: &str,
        shelf: &Shelf,
        text: &Text,
        seen: &Snapshot,
        what: impl Fn(&Wording<'_>) -> T,
    ) -> T {
        what(&Wording {
            site,
            epoch: 1,
            shelf,
            text,
            tables: Tables::Filled,
            services: &services(Rule::CONSENT),
            necessary: &[],
            seen,
            look: &look(),
            own_lifetimes: [180, 400],
        })
    }

    fn render(markdown: &str) -> String {
        with("shop", &shelf(), &text(markdown), &Snapshot::default(), |wording| wording.render())
    }

    #[test]
    fn a_document_is_rendered_once_and_served_from_the_cache_until_something_in_it_changes() {
        let (one, other) = (text("Once {{ cookies }}"), text("Twice {{ cookies }}"));
        let (shelf, nothing) = (shelf(), Snapshot::default());
        let html =
            |text: &Text, seen: &Snapshot| with("cached", &shelf, text, seen, |wording| wording.html());
        let first = html(&one, &nothing);
        assert!(Arc::ptr_eq(&first, &html(&one, &nothing)), "it is the same page");
        assert!(!Arc::ptr_eq(&first, &html(&other, &nothing)));
        let observed = crate::observed::Observed::default();
        observed.saw_cookie("theme", || None);
        let seen = html(&one, &observed.snapshot());
        assert!(seen.contains("theme") && !first.contains("theme"), "the table has changed");
        let moved = Shelf { variables: Arc::new(json!({"controller": {"name": "C"}})), ..Shelf::default() };
        assert!(!Arc::ptr_eq(&first, &with("cached", &moved, &one, &nothing, |wording| wording.html())));
        assert!(Arc::ptr_eq(&first, &html(&one, &nothing)));
    }

    #[test]
    fn what_a_document_from_the_cache_costs_does_not_grow_with_its_length() {
        let (shelf, seen) = (shelf(), Snapshot::default());
        let taken = [1, 1_000].map(|paragraphs| {
            let text = text(&"Vi *använder* kakor.\n\n".repeat(paragraphs));
            with("long", &shelf, &text, &seen, |wording| {
                wording.html();
                allocation_counter::measure(|| _ = wording.html()).bytes_total
            })
        });
        assert_eq!(taken[0], taken[1]);
    }

    #[test]
    fn an_author_can_format() {
        let html = render("# A\n\n**b** [c](/d) ~~e~~\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n- z");
        for part in [
            "<h1>A</h1>",
            "<strong>b</strong>",
            "href=\"/d\"",
            "<del>e</del>",
            "<td role=\"cell\" data-label=\"x\">1</td>",
            "<li>z",
        ] {
            assert!(html.contains(part), "{part}\n{html}");
        }
    }

    /// One text a line, each a JSON string; the browser tests load the same ones.
    fn scripting() -> Vec<String> {
        let corpus = include_str!("../../tests/fixtures/documents/scripting.jsonl");
        corpus.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn an_author_cannot_script() {
        let here = url::Url::parse("https://www.example.se/privacy").unwrap();
        let corpus = scripting();
        assert!(corpus.len() >= 200, "{}", corpus.len());
        for markdown in corpus {
            let html = render(&markdown);
            for (tag, attributes) in elements(&html) {
                assert!(FORMATS.contains(&tag.as_str()), "{tag}: {markdown} -> {html}");
                for (name, value) in attributes {
                    let is_plain = ATTRIBUTES.contains(&name.as_str());
                    let value = value.replace("&nbsp;", "\u{a0}").replace("&amp;", "&");
                    let leads = !matches!(name.as_str(), "href" | "src")
                        || here.join(&value).is_ok_and(|to| SCHEMES.contains(&to.scheme()));
                    assert!(is_plain && leads, "{name}={value}: {markdown} -> {html}");
                }
            }
        }
    }

    /// What the texts above may leave.
    const FORMATS: [&str; 40] = [
        "a",
        "abbr",
        "b",
        "blockquote",
        "br",
        "center",
        "code",
        "dd",
        "del",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "figure",
        "h1",
        "h2",
        "hr",
        "i",
        "img",
        "ins",
        "li",
        "map",
        "area",
        "ol",
        "p",
        "pre",
        "q",
        "span",
        "strong",
        "summary",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "tr",
        "ul",
        "caption",
        "wbr",
    ];
    const ATTRIBUTES: [&str; 13] = [
        "href",
        "rel",
        "src",
        "alt",
        "title",
        "class",
        "data-label",
        "open",
        "role",
        "scope",
        "align",
        "lang",
        "colspan",
    ];
    const SCHEMES: [&str; 3] = ["http", "https", "mailto"];

    type Attributes = Vec<(String, String)>;

    /// The elements of a page as a parser reads them, with their attributes.
    fn elements(html: &str) -> Vec<(String, Attributes)> {
        let mut found = Vec::new();
        let every = lol_html::element!("*", |element| {
            let attributes = element.attributes().iter().map(|one| (one.name(), one.value()));
            found.push((element.tag_name(), attributes.collect()));
            Ok(())
        });
        let settings = lol_html::RewriteStrSettings::new().append_element_content_handler(every);
        lol_html::rewrite_str(html, settings).unwrap();
        found
    }

    #[test]
    fn every_cell_of_an_authors_table_says_what_it_is() {
        let html = render("| Vad & <b>hur</b> \"x\" | `n` |\n|---|--:|\n| *a* | 1 |\n| b |\n\nEfter");
        for part in [
            "<div class=\"scroll stack\"><table role=\"table\"><thead role=\"rowgroup\"><tr role=\"row\">",
            "<th scope=\"col\" role=\"columnheader\">Vad &amp; <b>hur</b> \"x\"</th>",
            "<td role=\"cell\" data-label=\"Vad &amp; hur &quot;x&quot;\"><em>a</em></td>",
            "<td role=\"cell\" data-label=\"n\" align=\"right\">1</td>",
            "</tbody></table></div>",
            "<p>Efter</p>",
        ] {
            assert!(html.contains(part), "{part}\n{html}");
        }
    }

    #[test]
    fn a_setting_is_text_and_an_unknown_name_is_left_out() {
        let html = render("{{ controller.name }} <{{ controller.email }}> {{ no.such }}|");
        assert!(html.contains("A &amp; B &lt;i&gt;*x*&lt;/i&gt;"), "{html}");
        assert!(html.contains("href=\"mailto:a@b.se\"") && html.contains(" |"), "{html}");
    }

    #[test]
    fn tables_keep_what_makes_them_readable_aloud() {
        let html = render("Före {{ services }}  {{ cookies }}\n\nEfter **allt**.");
        for part in [
            "<caption>",
            "scope=\"col\"",
            "scope=\"row\"",
            "role=\"rowheader\"",
            "_acme*",
            "<strong>allt</strong>",
        ] {
            assert!(html.contains(part), "{part}\n{html}");
        }
        assert_eq!(html.matches("class=\"scroll stack\"").count(), 2);
    }

    proptest! {
        #[test]
        fn no_markdown_panics_or_scripts(markdown in "[<>a-z/=\"' `*_|{}\\[\\]()\n-]{0,80}") {
            let html = render(&markdown);
            prop_assert!(!html.contains("<script"));
        }
    }
}
