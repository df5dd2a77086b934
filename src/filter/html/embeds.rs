//! Embeds: what stands in the page in place of a held film, map or post, and what was loaded once.

use std::borrow::Cow;

use url::Url;

use super::elements::Element;
use super::{State, address, links};
use crate::consent::once::{Name, OnPage};
use crate::services::Service;
use crate::web::language::{Language, Wishes};
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
    value: &str,
    service: &Service,
) -> Standing {
    let Some(embeds) = &state.page.embeds else { return Standing::Held };
    if !shows(service) || !matches!(tag, "iframe" | "embed" | "object") || !is_visible(element) {
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
    let kept = kept(element, tag, value, &anchor);
    let title = element.get_attribute("title").unwrap_or_default();
    let name = embed.to_string();
    element.replace(
        &placeholder(
            state,
            embeds,
            service,
            Shape {
                attributes: &kept,
                title: &raw(&title),
                link: &links::of(&url),
                embed: Some(&name),
                anchor: &anchor,
            },
        ),
        lol_html::html_content::ContentType::Html,
    );
    Standing::Replaced
}

/// Whether a service shows something to the visitor.
fn shows(service: &Service) -> bool {
    matches!(&*service.id, "youtube" | "vimeo" | "google-maps")
}

/// What differs between the placeholders of a page.
struct Shape<'a> {
    attributes: &'a str,
    title: &'a str,
    link: &'a Url,
    embed: Option<&'a str>,
    anchor: &'a str,
}

fn placeholder(state: &State, embeds: &Embeds, service: &Service, shape: Shape<'_>) -> String {
    let look = &state.settings.look;
    let language = language(look, state.language.as_ref(), &embeds.language);
    let page = Name::of_page(&embeds.page).to_string();
    let return_to = format!("{}#{}", embeds.page, shape.anchor);
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
    let link = raw(shape.link.as_str()).replace('&', "&amp;");
    look.embed(
        service,
        language,
        Embed { attributes: shape.attributes, title: shape.title, link: &link, offer },
    )
}

/// The language of what is put into a page: the page's own, where the site speaks it (`sv-SE` is met by `sv`).
pub(super) fn language<'a>(look: &'a Look, own: Option<&Language>, wished: &'a Language) -> &'a Language {
    let wishes = own.map(|own| Wishes::default().led_by(own.clone()));
    wishes.as_ref().and_then(|wishes| wishes.choose(look.languages.iter())).unwrap_or(wished)
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
        (width, height) => {
            let rule = |name, length| match length {
                None => String::new(),
                Some(Pixels(pixels)) => format!("{name}:{pixels}px;"),
                Some(Percent(percent)) => format!("{name}:{percent}%;"),
            };
            rule("width", width) + &rule("height", height)
        }
    }
}

/// The attributes of the element that its placeholder keeps, so that the page's layout and scripts find it, and the
/// address, where no browser looks.
fn kept(element: &Element<'_, '_>, tag: &str, value: &str, anchor: &str) -> String {
    let mut style = size(length(element, "width"), length(element, "height"));
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
    keep("data-consentry-tag", tag);
    keep("data-consentry-src", value);
    kept
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
