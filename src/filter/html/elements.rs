//! Each element of a page: what its addresses belong to, and whether it may act.

use std::sync::{Arc, Mutex};

use lol_html::html_content::ContentType;
use url::Url;

use super::embeds::{self, Standing};
use super::scripts::{self, Reading};
use super::{State, address, knows_host, locked, skim};
use crate::filter::judge::{Judgement, judge};
use crate::services::Service;

/// An element as the rewriter hands it over.
pub(super) type Element<'r, 't> = lol_html::send::Element<'r, 't>;

/// What a handler answers.
pub(super) type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// How an attribute holds addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    /// One.
    One,
    /// A list with sizes.
    List,
    /// One, behind a delay.
    Refresh,
}

/// Judges one element, holds or strips it, and inserts what belongs there.
pub(super) fn element(shared: &Arc<Mutex<State>>, element: &mut Element<'_, '_>) -> Outcome {
    let mut state = locked(shared);
    let tag = element.tag_name();
    watch_end(shared, &mut state, element, &tag);
    match tag.as_str() {
        // The first that has an address counts (HTML section 4.2.3).
        "base" if state.base.is_none() => {
            state.base = attribute(element, "href").and_then(|href| address::resolve(&href, &state.page.url));
            if let Some(base) = &state.base {
                state.is_host_known = knows_host(&state.settings, base);
            }
        }
        "noscript" => state.reading = Reading::NoScript,
        "iframe" => srcdoc(&state, element)?,
        _ => {}
    }
    let held = judge_addresses(&state, element, &tag);
    if tag == "script" && !element.removed() {
        script(&mut state, element, held);
    }
    Ok(())
}

/// Notes that an element is open, until its end tag comes.
fn watch_end(shared: &Arc<Mutex<State>>, state: &mut State, element: &mut Element<'_, '_>, tag: &str) {
    if state.is_inside || !skim::is_read_to_its_end(tag) {
        return;
    }
    let Some(handlers) = element.end_tag_handlers() else { return };
    state.is_inside = true;
    let shared = Arc::clone(shared);
    handlers.push(Box::new(move |_| {
        locked(&shared).is_inside = false;
        Ok(())
    }));
}

/// The page inside an `iframe`, in a pass of its own.
fn srcdoc(state: &State, element: &mut Element<'_, '_>) -> Outcome {
    let Some(value) = element.get_attribute("srcdoc") else { return Ok(()) };
    let markup = address::decode(&value);
    let rewritten = scripts::nested(state, &markup, None)?;
    if rewritten != markup {
        element.set_attribute("srcdoc", &rewritten.replace('&', "&amp;").replace('"', "&quot;"))?;
    }
    Ok(())
}

/// A script that is still there: whether its text is read, and what its type becomes.
fn script(state: &mut State, element: &mut Element<'_, '_>, held: Held) {
    let kind = attribute(element, "type");
    if kind.as_deref().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("speculationrules")) {
        // Rules make the browser load pages of others, and no policy stops it (DESIGN: measured).
        if !state.page.granted.is_all() {
            element.remove();
        }
        return;
    }
    let runs = scripts::runs(kind.as_deref(), element.get_attribute("language").as_deref());
    match (held, runs) {
        (Held::Yes, _) => {
            if let Some(kind) = kind.filter(|kind| !kind.is_empty()) {
                set(element, "data-consentry-type", &kind);
            }
            set(element, "type", "text/plain");
        }
        (Held::No, Some(module)) if !element.has_attribute("src") => {
            state.reading = Reading::Script { module }
        }
        (Held::No, _) => {}
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Yes,
    No,
}

/// Looks at every attribute of the element that browsers, or lazy loaders, load from.
fn judge_addresses(state: &State, element: &mut Element<'_, '_>, tag: &str) -> Held {
    let mut held = Held::No;
    for (name, holds) in attributes(tag, element) {
        let Some(value) = element.get_attribute(name) else { continue };
        let Some((judgement, service)) = worst(state, &value, *holds) else { continue };
        tracing::debug!(site = %state.settings.site, service = %service.id, tag, "held or stripped");
        match judgement {
            Judgement::Strip if holds_content(tag) => element.remove_attribute(name),
            Judgement::Strip => {
                element.remove();
                return Held::Yes;
            }
            Judgement::Hold | Judgement::Allow | Judgement::Anonymize => {
                match embeds::treat(state, element, tag, &value, service) {
                    Standing::Loaded => {}
                    Standing::Replaced => return Held::Yes,
                    Standing::Held => {
                        hold(element, name, &value, service);
                        held = Held::Yes;
                    }
                }
            }
        }
    }
    held
}

/// Whether an element is more than what it loads: only its address is taken out of it.
fn holds_content(tag: &str) -> bool {
    matches!(tag, "body" | "table" | "td" | "th" | "video" | "audio" | "input")
}

fn attributes(tag: &str, element: &Element<'_, '_>) -> &'static [(&'static str, Holds)] {
    use Holds::{List, One, Refresh};
    match tag {
        "script" => &[("src", One), ("href", One), ("xlink:href", One), ("data-src", One)],
        "iframe" | "frame" | "embed" | "track" => &[("src", One), ("data-src", One), ("data-lazy-src", One)],
        "img" => &[
            ("src", One),
            ("srcset", List),
            ("data-src", One),
            ("data-srcset", List),
            ("data-lazy-src", One),
            ("lowsrc", One),
        ],
        "source" => &[("src", One), ("srcset", List), ("data-src", One), ("data-srcset", List)],
        "video" | "audio" => &[("src", One), ("poster", One), ("data-src", One)],
        "input" => &[("src", One)],
        "object" => &[("data", One), ("classid", One), ("codebase", One)],
        "image" | "use" | "feimage" => &[("href", One), ("xlink:href", One)],
        "body" | "table" | "td" | "th" => &[("background", One)],
        "link" if loads(element) => &[("href", One), ("imagesrcset", List)],
        "meta" if is_refresh(element) => &[("content", Refresh)],
        _ => &[],
    }
}

/// Whether a `link` makes the browser load something or open a connection.
fn loads(element: &Element<'_, '_>) -> bool {
    const LOADING: [&str; 11] = [
        "stylesheet",
        "preload",
        "modulepreload",
        "prefetch",
        "prerender",
        "preconnect",
        "dns-prefetch",
        "icon",
        "apple-touch-icon",
        "manifest",
        "import",
    ];
    let rel = attribute(element, "rel").unwrap_or_default().to_ascii_lowercase();
    rel.split_ascii_whitespace().any(|word| LOADING.contains(&word))
}

fn is_refresh(element: &Element<'_, '_>) -> bool {
    attribute(element, "http-equiv").is_some_and(|name| name.trim().eq_ignore_ascii_case("refresh"))
}

/// The service among the addresses of a value that may not act, if any; one that may be agreed to wins.
fn worst<'s>(state: &'s State, value: &str, holds: Holds) -> Option<(Judgement, &'s Service)> {
    let services = &state.settings.services;
    let look = |url: Url| {
        let service = services.identify_url(&url)?;
        state.settings.observed.saw_service(&service.id);
        let judgement = judge(services, service, &state.page.granted);
        matches!(judgement, Judgement::Hold | Judgement::Strip).then_some((judgement, service))
    };
    let base = state.base.as_ref().unwrap_or(&state.page.url);
    let resolved = |value: &str| address::resolve(value, base);
    match holds {
        Holds::One => look(resolved(value)?),
        Holds::Refresh => look(resolved(address::of_refresh(&address::decode(value))?)?),
        Holds::List => address::of_srcset(value)
            .filter_map(|address| look(resolved(address)?))
            .min_by_key(|(judgement, _)| matches!(judgement, Judgement::Strip)),
    }
}

/// Moves an address to where no browser looks, and marks the element.
fn hold(element: &mut Element<'_, '_>, name: &str, value: &str, service: &Service) {
    element.remove_attribute(name);
    set(element, &format!("data-consentry-{}", name.replace(':', "-")), value);
    set(element, "data-consentry-service", &service.id);
    set(element, "data-consentry-category", service.category.as_str());
}

/// A value as the page wrote it, references and all, so it is put back without being escaped twice.
pub(super) fn set(element: &mut Element<'_, '_>, name: &str, value: &str) {
    if let Err(error) = element.set_attribute(name, value) {
        // Names are made of the program's own words; if one were refused, the element must not run.
        tracing::error!(%error, name, "an element could not be marked and is taken out");
        element.replace("", ContentType::Html);
    }
}

fn attribute(element: &Element<'_, '_>, name: &str) -> Option<String> {
    element.get_attribute(name).map(|value| address::decode(&value))
}
