//! Where guard and banner go: once a document, whatever tags its author left out.

use lol_html::html_content::ContentType;

use super::elements::Element;
use super::{Inserts, State};
use crate::filter::Banner;
use crate::web::language::Language;

/// How far the insertion has come.
#[derive(Debug, Default)]
pub(super) struct Insertion {
    guard: bool,
    banner: bool,
    /// The page's own `lang`.
    language: Option<Language>,
    /// How many `template` elements are open: what stands in them is no part of the page yet.
    pub(super) templates: usize,
    /// Whether something has begun inside of which tags mean other things (SVG, MathML), or which is taken out: only
    /// the parser knows where it ends.
    pub(super) entangled: bool,
    settled: bool,
}

impl Insertion {
    /// Where a page's insertion begins.
    pub(super) fn of(inserts: &Inserts) -> Self {
        Insertion { settled: matches!(inserts, Inserts::Nothing), ..Insertion::default() }
    }

    /// Whether all is inserted, and what follows can be read as if a page began there.
    pub(super) fn is_settled(&self) -> bool {
        self.settled
    }
}

/// Elements after whose start tag comes plain markup, wherever they stand.
const PLAIN: [&str; 20] = [
    "body", "div", "p", "table", "center", "span", "ul", "ol", "dl", "h1", "h2", "h3", "h4", "h5", "h6", "b",
    "i", "small", "strong", "hr",
];

/// Elements that may stand before the body begins (HTML section 13.2.6.4.4).
const HEAD: [&str; 10] =
    ["html", "head", "title", "base", "link", "meta", "script", "style", "noscript", "template"];

/// Inserts what belongs before or into this element.
pub(super) fn insert(state: &mut State, element: &mut Element<'_, '_>, tag: &str) {
    state.insertion.entangled |= matches!(tag, "svg" | "math");
    if state.insertion.templates > 0 {
        return;
    }
    put(state, element, tag);
    let Insertion { guard, banner, entangled, .. } = state.insertion;
    let is_whole = guard && (banner || matches!(state.page.inserts, Inserts::Guard(_)));
    state.insertion.settled = is_whole && !entangled && PLAIN.contains(&tag);
}

fn put(state: &mut State, element: &mut Element<'_, '_>, tag: &str) {
    if tag == "html" {
        state.insertion.language =
            element.get_attribute("lang").and_then(|lang| Language::parse(lang.trim()).ok());
        return;
    }
    if !state.insertion.guard {
        state.insertion.guard = true;
        if let Some(guard) = guard(state) {
            if tag == "head" || tag == "body" {
                element.prepend(&guard, ContentType::Html);
            } else {
                element.before(&guard, ContentType::Html);
            }
        }
    }
    if state.insertion.banner || HEAD.contains(&tag) {
        return;
    }
    state.insertion.banner = true;
    // A frameset page has no body: its frames are pages of their own, and the settings page stays reachable.
    if tag == "frameset" {
        return;
    }
    if let Some(markup) = banner(state) {
        if tag == "body" {
            element.prepend(&markup, ContentType::Html);
        } else {
            element.before(&markup, ContentType::Html);
        }
    }
}

fn guard(state: &State) -> Option<String> {
    let (Inserts::Guard(guard) | Inserts::Page { guard, .. }) = &state.page.inserts else { return None };
    let nonce = state.page.nonce.as_ref().map(|nonce| format!(" nonce=\"{}\"", nonce.replace('"', "&quot;")));
    Some(format!("<script data-consentry=\"guard\"{}>{guard}</script>", nonce.unwrap_or_default()))
}

fn banner(state: &State) -> Option<String> {
    let Inserts::Page { banner, undecided, language, return_to, .. } = &state.page.inserts else {
        return None;
    };
    let look = &state.settings.look;
    let own = state.insertion.language.as_ref();
    // `sv-SE` of a page is met by the site's `sv`.
    let wishes = own.cloned().map(|own| crate::web::language::Wishes::default().led_by(own));
    let language =
        wishes.and_then(|wishes| wishes.choose(look.languages.iter()).cloned()).unwrap_or(language.clone());
    let mut markup = match banner {
        Banner::NothingToAsk => return None,
        Banner::Shown if *undecided => look.banner(&language, return_to),
        Banner::Shown | Banner::Off => String::new(),
    };
    markup.push_str(&look.settings_link(&language));
    Some(markup)
}
