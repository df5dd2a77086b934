//! Embeds: what stands in the page in place of a held film, map or post, and what was loaded once.

use std::borrow::Cow;

use url::Url;

use super::elements::Element;
use super::places::{self, Holds, Known};
use super::{State, Syntax, address, links};
use crate::consent::once::{Name, OnPage};
use crate::filter::judge::{Judgement, judge};
use crate::services::{Service, Set};
use crate::web::language::Language;
use crate::web::{Embed, Look, Offer};

/// What the placeholders of one page must know of it and of its visitor.
#[derive(Clone, Debug)]
pub struct Embeds {
    /// The language of the visitor's wishes; the page's own `lang` wins where the site speaks it.
    pub language: Language,
    /// Whether visitors may be asked.
    pub asks: Asks,
    /// Path and query of the page: what a grant is bound to, and where the forms lead back to.
    pub page: Box<str>,
    /// What was loaded once on this page.
    pub once: OnPage,
}

/// Whether visitors may be asked to agree to anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks {
    /// They may.
    Yes,
    /// Nobody may: the site has not said yet what it does (its privacy document is not filled in).
    Nobody,
}

/// What becomes of a held element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is nothing that shows itself: it is held like any other.
    Held,
    /// The visitor loaded this one.
    Loaded,
    /// A placeholder stands in its place.
    Replaced,
}

/// Treats an element whose address in the attribute `name` may not be loaded.
pub(super) fn treat(
    state: &State,
    element: &mut Element<'_, '_>,
    tag: &str,
    name: &str,
    value: &str,
    service: &Service,
) -> Standing {
    let Some(embeds) = &state.page.embeds else { return Standing::Held };
    if service.embed.is_none() || !matches!(tag, "iframe" | "embed" | "object") || !is_visible(element) {
        return Standing::Held;
    }
    let Some(url) = address::resolve(value, state.base().unwrap_or(&state.page.url)) else {
        return Standing::Held;
    };
    let embed = Name::of_embed(&service.id, url.as_str());
    let anchor = anchor(element, embed);
    if embeds.once.covers(&service.id, embed) {
        // The way back leads to it, and so does the next step of the Tab key.
        if element.get_attribute("id").is_none_or(|id| id.is_empty()) {
            super::elements::set(element, "id", &anchor);
        }
        return Standing::Loaded;
    }
    let attributes = kept(state.page.syntax, element, &url, &anchor);
    let title = element.get_attribute("title").unwrap_or_default();
    let embed = embed.to_string();
    let held = held(element, tag, name, service);
    element.replace(
        &placeholder(
            state,
            embeds,
            service,
            Shape {
                attributes: &attributes,
                element: &held,
                title: &raw(&title),
                link: Some(&links::of(&url)),
                embed: Some(&embed),
                anchor: Some(&anchor),
            },
        ),
        lol_html::html_content::ContentType::Html,
    );
    Standing::Replaced
}

/// The service that fills elements which are known by this word.
pub(super) fn is_mark<'s>(services: &'s Set, known: Known, word: &[u8]) -> Option<&'s Service> {
    let word = std::str::from_utf8(word).ok()?;
    match known {
        Known::Class => services.identify_class(word),
        Known::Id => services.identify_element(word),
    }
}

/// Puts a placeholder before an element that a held script would fill, such as `<blockquote class="instagram-media">`.
/// What its author wrote in it stays: it is the post's own text, or nothing.
pub(super) fn announce(state: &State, element: &mut Element<'_, '_>, tag: &str) {
    let Some(embeds) = &state.page.embeds else { return };
    let services = &state.settings.services;
    let marks = ["class", "id"].into_iter().flat_map(|name| {
        let known = match places::of(tag.as_bytes(), name.as_bytes()) {
            Some(Holds::Mark(known)) => Some(known),
            _ => None,
        };
        let value = element.get_attribute(name).filter(|_| known.is_some()).unwrap_or_default();
        let words = value.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>();
        known.into_iter().flat_map(move |known| words.clone().into_iter().map(move |word| (known, word)))
    });
    let held = { marks }
        .filter_map(|(known, word)| is_mark(services, known, word.as_bytes()))
        .find(|service| judge(services, service, &state.page.granted) == Judgement::Hold);
    let Some(service) = held else { return };
    let link = shown_at(state, element);
    let placeholder = placeholder(
        state,
        embeds,
        service,
        Shape {
            attributes: " data-consentry-extent=\"page\"",
            element: "",
            title: "",
            link: link.as_ref(),
            embed: None,
            anchor: None,
        },
    );
    element.before(&placeholder, lol_html::html_content::ContentType::Html);
}

/// Where the provider shows what a marked element stands for, if its author says so.
fn shown_at(state: &State, element: &Element<'_, '_>) -> Option<Url> {
    const NAMES: [&str; 5] = ["data-instgrm-permalink", "cite", "data-href", "data-url", "href"];
    let base = state.base().unwrap_or(&state.page.url);
    NAMES.iter().find_map(|name| address::resolve(&element.get_attribute(name)?, base))
}

/// What differs between the placeholders of a page.
struct Shape<'a> {
    attributes: &'a str,
    element: &'a str,
    title: &'a str,
    link: Option<&'a Url>,
    embed: Option<&'a str>,
    anchor: Option<&'a str>,
}

fn placeholder(state: &State, embeds: &Embeds, service: &Service, shape: Shape<'_>) -> String {
    let look = &state.settings.look;
    let language = language(look, state.language.as_ref(), &embeds.language);
    let page = Name::of_page(&embeds.page).to_string();
    let return_to = match shape.anchor {
        Some(anchor) => format!("{}#{anchor}", embeds.page),
        None => embeds.page.to_string(),
    };
    // A `<base>` would lead the form elsewhere.
    let origin = state.base().map(|_| state.page.url.origin().ascii_serialization());
    let offer = match embeds.asks {
        Asks::Nobody => Offer::None,
        Asks::Yes => Offer::Form {
            origin: origin.as_deref().unwrap_or_default(),
            page: &page,
            embed: shape.embed,
            return_to: &return_to,
        },
    };
    let link = shape.link.map(|link| raw(link.as_str()).replace('&', "&amp;"));
    let nonce = state.page.nonce.as_ref();
    let nonce =
        nonce.map_or_else(String::new, |nonce| format!(" nonce=\"{}\"", nonce.replace('"', "&quot;")));
    let embed = Embed {
        attributes: shape.attributes,
        title: shape.title,
        link: link.as_deref(),
        element: shape.element,
        script: (!state.has_embed_script.replace(true)).then_some(&*nonce),
        offer,
    };
    match state.page.syntax {
        Syntax::Html => look.embed(service, language, embed),
        Syntax::Xml => look.embed_in_xml(service, language, embed),
    }
}

/// The language of what is put into a page: the page's own, where the site speaks it (`sv-SE` is met by `sv`).
pub(super) fn language<'a>(look: &'a Look, own: Option<&Language>, wished: &'a Language) -> &'a Language {
    own.and_then(|own| own.met_by(look.languages.iter())).unwrap_or(wished)
}

/// Whether a visitor sees the element at all: frames of a pixel are there for their request alone.
fn is_visible(element: &Element<'_, '_>) -> bool {
    let style = element.get_attribute("style").unwrap_or_default().to_ascii_lowercase();
    let style: String = style.split_ascii_whitespace().collect();
    let is_point = |name| matches!(length(element, name), Some(Length::Pixels(0 | 1)));
    let hides = ["display:none", "visibility:hidden", "width:0;", "width:0px", "height:0;", "height:0px"];
    !element.has_attribute("hidden")
        && !is_point("width")
        && !is_point("height")
        && !hides.iter().any(|word| format!("{style};").contains(word))
}

/// A size as an attribute gives it (HTML section 2.3.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Pixels(u32),
    Percent(u32),
}

fn length(element: &Element<'_, '_>, name: &str) -> Option<Length> {
    let value = element.get_attribute(name)?;
    let value = value.trim_start();
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = value.split_at(digits);
    let number: u32 = number.parse().ok()?;
    let rest = rest.trim_start_matches(|letter: char| letter == '.' || letter.is_ascii_digit());
    Some(if rest.starts_with('%') { Length::Percent(number) } else { Length::Pixels(number) })
}

/// The size of the element as rules of a `style` attribute; its own rules come behind and win.
fn size(width: Option<Length>, height: Option<Length>) -> String {
    use Length::{Percent, Pixels};
    match (width, height) {
        // A narrower place than the author thought of makes it lower, too, as responsive wrappers do.
        (Some(Pixels(width)), Some(Pixels(height))) => {
            format!("width:{width}px;height:auto;aspect-ratio:{width}/{height};")
        }
        (None, None) => String::new(),
        (width, height) => {
            let rule = |name, length| match length {
                None => String::new(),
                Some(Pixels(pixels)) => format!("{name}:{pixels}px;"),
                Some(Percent(percent)) => format!("{name}:{percent}%;"),
            };
            // What a frame has that says nothing of it (CSS 2.2, section 10.3.2).
            rule("width", width.or(Some(Pixels(300)))) + &rule("height", height.or(Some(Pixels(150))))
        }
    }
}

/// The attributes of the element that its placeholder keeps, so that the page's layout and scripts find it, and the
/// whole address, where no browser looks.
fn kept(syntax: Syntax, element: &Element<'_, '_>, address: &Url, anchor: &str) -> String {
    // What the placeholder's own style sheet says elsewhere.
    const IN_XML: &str =
        "display:inline-block;box-sizing:border-box;max-width:100%;overflow:auto;vertical-align:bottom;";
    let mut style = if syntax == Syntax::Xml { IN_XML.to_owned() } else { String::new() };
    style += &size(length(element, "width"), length(element, "height"));
    let align = element.get_attribute("align").unwrap_or_default().to_ascii_lowercase();
    if matches!(&*align, "left" | "right") {
        style.push_str(&format!("float:{align};"));
    }
    style.push_str(&element.get_attribute("style").unwrap_or_default());
    let mut kept = String::new();
    let mut keep = |name: &str, value: &str| {
        if !value.is_empty() {
            kept.push_str(&format!(" {name}=\"{}\"", value.replace('"', "&quot;")));
        }
    };
    keep("id", anchor);
    keep("class", &element.get_attribute("class").unwrap_or_default());
    keep("style", &style);
    keep("data-consentry-src", &address.as_str().replace('&', "&amp;"));
    kept
}

/// The element itself with its address held, where no browser looks: what is loaded in place of the placeholder.
fn held(element: &mut Element<'_, '_>, tag: &str, name: &str, service: &Service) -> String {
    let value = element.get_attribute(name).unwrap_or_default();
    super::elements::hold(element, name, &value, service);
    let attributes = element.attributes().iter();
    let attributes: String = attributes
        .map(|attribute| {
            format!(" {}=\"{}\"", attribute.name_preserve_case(), attribute.value().replace('"', "&quot;"))
        })
        .collect();
    // What an `embed` or an `object` holds is of no use to a frame.
    format!("<{tag}{attributes}></{tag}>")
}

/// The `id` by which the way back finds the element: its own, or one made of what it shows.
fn anchor(element: &Element<'_, '_>, embed: Name) -> String {
    let own = element.get_attribute("id").filter(|id| !id.trim().is_empty());
    own.unwrap_or_else(|| format!("consentry-embed-{embed}"))
}

/// Text of the page that must not end the attribute or begin a tag; its references stay as they are.
fn raw(text: &str) -> Cow<'_, str> {
    if text.contains(['"', '<', '>']) {
        return text.replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;").into();
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::consent::{Category, Granted};
    use crate::filter::html::{Inserts, Page, Rewriter};
    use crate::filter::tests::{service, set, settings};
    use crate::services::{Embed, EmbedKind, Mark};

    fn embeds(asks: Asks) -> Embeds {
        let language = Language::parse("sv").unwrap();
        Embeds { language, asks, page: "/a?b&c".into(), once: OnPage::default() }
    }

    fn rewritten(html: &str, embeds: Option<Embeds>) -> String {
        rewritten_by(Vec::new(), Granted::default(), html, embeds)
    }

    fn rewritten_by(own: Vec<Service>, granted: Granted, html: &str, embeds: Option<Embeds>) -> String {
        let settings = Arc::new(settings(set(own, &[])));
        let url = "https://www.example.se/a".parse().unwrap();
        let scope = crate::filter::scope::Scope::of_granted(&settings, &granted);
        let page = Page {
            url,
            granted,
            syntax: Syntax::Html,
            inserts: Inserts::Nothing,
            embeds,
            nonce: None,
            scope,
        };
        let mut rewriter = Rewriter::new(&settings, page);
        let mut out = Vec::new();
        // A letter a byte, as the rewriter reads it: what is not ours comes out as it went in.
        rewriter.write(html.as_bytes(), &mut out).unwrap();
        rewriter.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn placeholder(attributes: &str) -> String {
        let html = format!("a<iframe {attributes} src=//www.youtube.com/embed/x>b</iframe>c");
        rewritten(&html, Some(embeds(Asks::Yes)))
    }

    fn start_tag(page: &str) -> &str {
        page.strip_prefix('a').unwrap().split_once('>').unwrap().0
    }

    #[test]
    fn a_placeholder_has_the_size_and_the_names_of_what_it_stands_for() {
        for (attributes, expected) in [
            ("width=560 height=315", " style=\"width:560px;height:auto;aspect-ratio:560/315;\""),
            ("width='100%' height=\"400px\"", " style=\"width:100%;height:400px;\""),
            ("height=200", " style=\"width:300px;height:200px;\""),
            ("width=50%", " style=\"width:50%;height:150px;\""),
            (
                "width=560 height=315 style=\"width:9em;border:0\"",
                " style=\"width:560px;height:auto;aspect-ratio:560/315;width:9em;border:0\"",
            ),
            ("align=RIGHT", " style=\"float:right;\""),
            ("class='a b' id=film", " id=\"film\" class=\"a b\""),
            ("id=\"\"", " id=\"consentry-embed-"),
        ] {
            let page = placeholder(attributes);
            assert!(start_tag(&page).contains(expected), "{attributes}: {page}");
            assert!(page.ends_with("</consentry-embed>c"), "{page}");
        }
        assert!(!start_tag(&placeholder("")).contains(" style="));
    }

    #[test]
    fn what_nobody_sees_gets_no_placeholder() {
        for attributes in [
            "width=0 height=0",
            "width=1 height=1",
            "height=0",
            "hidden",
            "style=\"display: none\"",
            "style='VISIBILITY:hidden'",
            "style=width:0;height:0",
        ] {
            let page = placeholder(attributes);
            assert!(page.starts_with("a<iframe ") && page.contains("data-consentry-src"), "{page}");
        }
    }

    #[test]
    fn the_pages_own_letters_stay_its_own_and_ours_are_ascii() {
        let page = placeholder("title='Så \"här\" &amp; där <b>' class=å");
        assert!(page.contains("lang=\"\">Så &quot;här&quot; &amp; där &lt;b&gt;</p>"), "{page}");
        assert!(page.contains("class=\"å\"") && page.contains("Visa alltid fr&#229;n YouTube"));
    }

    #[test]
    fn every_element_that_shows_something_is_replaced_wherever_it_stands() {
        for html in [
            "<iframe src=https://www.youtube.com/embed/x></iframe>",
            "<iframe class=lazy data-src=https://www.youtube.com/embed/x></iframe>",
            "<embed src=https://www.youtube.com/v/x type=application/x-shockwave-flash>",
            "<object data=https://www.youtube.com/v/x><param name=a><p>no Flash</p></object>",
            "<object><param name=movie value=x><embed src=https://www.youtube.com/v/x></object>",
            "<noscript><iframe src=https://www.youtube.com/embed/x></iframe></noscript>",
            "<IFRAME SRC=' https://www.YouTube.com/embed/x '></IFRAME>",
        ] {
            let page = rewritten(&format!("{html}<p>after"), Some(embeds(Asks::Yes)));
            assert_eq!(page.matches("<consentry-embed ").count(), 1, "{page}");
            assert!(
                page.contains("https://www.youtube.com/watch?v=x") && page.ends_with("<p>after"),
                "{page}"
            );
            // The element itself stands in a template, without its address.
            let outside = page.split("<template data-consentry").next().unwrap().to_lowercase();
            assert!(!outside.contains("<iframe") && !outside.contains("<embed"), "{page}");
            assert!(!page.to_lowercase().contains(" src=\"http") && !page.contains(" data="), "{page}");
        }
    }

    #[test]
    fn the_form_leads_to_this_site_and_back_to_the_placeholder() {
        let page = placeholder("id=film");
        assert!(page.contains("action=\"/_consent/choices\""), "{page}");
        assert!(page.contains("name=\"return\" value=\"/a?b&amp;c#film\""), "{page}");
        let html = "<base href=//cdn.example/><iframe src=//www.youtube.com/embed/x></iframe>";
        let page = rewritten(html, Some(embeds(Asks::Yes)));
        assert!(page.contains("action=\"https://www.example.se/_consent/choices\""), "{page}");
    }

    /// A service whose script fills what is marked.
    fn posts() -> Service {
        let marks = [".acme-post", "#acme_thread"].map(|mark| Mark::parse(mark).unwrap()).to_vec();
        let embed = Some(Embed { kind: EmbedKind::Post, marks });
        Service {
            name: "Acme".into(),
            embed,
            ..service("acme", Category::Marketing, &["acme.example/"], &[])
        }
    }

    #[test]
    fn what_a_held_script_would_fill_is_announced_and_keeps_its_own_text() {
        for (html, link) in [
            (
                "<blockquote class=\"x acme-post\" cite='https://acme.example/1'>a post</blockquote>",
                Some("https://acme.example/1"),
            ),
            ("<div id=acme_thread data-url=//acme.example/t></div>", Some("https://acme.example/t")),
            ("<a href=/here class='acme-post'>x</a>", Some("https://www.example.se/here")),
            ("<section class=acme-post></section>", None),
        ] {
            let page = rewritten_by(vec![posts()], Granted::default(), html, Some(embeds(Asks::Yes)));
            assert!(page.starts_with("<consentry-embed data-consentry-extent=\"page\" "), "{page}");
            assert!(page.ends_with(html), "{page}");
            assert!(
                page.contains("Visa p&#229; den h&#228;r sidan") && !page.contains("name=\"embed\""),
                "{page}"
            );
            match link {
                Some(link) => assert!(page.contains(&format!("<a href=\"{link}\"")), "{page}"),
                None => assert!(!page.contains("<a "), "{page}"),
            }
            let granted = Granted::default().with_service("acme");
            assert_eq!(rewritten_by(vec![posts()], granted, html, Some(embeds(Asks::Yes))), html);
        }
        for html in ["<p class=acme-post>", "<div class=acme-posts>", "<div id=acme-post>"] {
            let page = rewritten_by(vec![posts()], Granted::default(), html, Some(embeds(Asks::Yes)));
            assert_eq!(page, html);
        }
    }

    #[test]
    fn where_nobody_may_be_asked_there_is_no_form() {
        let page = rewritten("<iframe src=//www.youtube.com/embed/x></iframe>", Some(embeds(Asks::Nobody)));
        assert!(page.contains("<consentry-embed ") && !page.contains("<form") && !page.contains("<button"));
    }

    #[test]
    fn a_page_in_a_frame_of_its_own_holds_its_embeds_without_placeholder() {
        let html = "<iframe srcdoc='<iframe src=https://www.youtube.com/embed/x></iframe>'></iframe>";
        let page = rewritten(html, Some(embeds(Asks::Yes)));
        assert!(!page.contains("consentry-embed") && page.contains("data-consentry-src"), "{page}");
    }
}
