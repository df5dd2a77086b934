//! Each element of a page: what its addresses belong to, and whether it may act.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use lol_html::html_content::ContentType;

use super::anonymize::Change;
use super::code::{self, Catalogue};
use super::embeds::{self, Standing};
use super::places::{self, Holds};
use super::scripts::{self, Kept, Reading};
use super::unjudged::Reason;
use super::{State, Syntax, address, anonymize, css, locked, references, skim, stubs};
use crate::filter::judge::{Judgement, judge};
use crate::filter::own_csp;
use crate::services::Service;

/// An element as the rewriter hands it over.
pub(super) type Element<'r, 't> = lol_html::send::Element<'r, 't>;

/// What a handler answers.
pub(super) type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Judges one element, holds or strips it, and inserts what belongs there.
pub(super) fn element(shared: &Arc<Mutex<State>>, element: &mut Element<'_, '_>) -> Outcome {
    let mut state = locked(shared);
    let tag = element.tag_name();
    watch_end(shared, &mut state, element, &tag);
    match tag.as_str() {
        "base" => base(&mut state, element),
        "noscript" | "script" | "style" => read(shared, &mut state, element, &tag),
        "iframe" => srcdoc(&mut state, element)?,
        "meta" => policy(&state, element),
        "link" if is_hint_to_strangers(&state, element) => element.remove(),
        _ => {}
    }
    embeds::announce(&state, element, &tag);
    let held = if element.removed() { Held::Yes } else { judge_places(&mut state, element, &tag) };
    if tag == "script" && !element.removed() {
        script(&mut state, element, held);
    }
    state.is_gone = element.removed();
    Ok(())
}

/// Whose text comes next. In SVG it may be cut in pieces by comments and elements, and ends with the element.
fn read(shared: &Arc<Mutex<State>>, state: &mut State, element: &mut Element<'_, '_>, tag: &str) {
    let is_svg = element.namespace_uri() == SVG;
    state.reading = match tag {
        "noscript" if !is_svg => Reading::NoScript,
        "style" => Reading::Style,
        _ => Reading::Nothing,
    };
    state.is_in_pieces = false;
    let Some(handlers) = element.end_tag_handlers().filter(|_| is_svg && tag != "noscript") else { return };
    state.is_in_pieces = true;
    let shared = Arc::clone(shared);
    handlers.push(Box::new(move |_| {
        let mut state = locked(&shared);
        state.is_in_pieces = false;
        state.reading = Reading::Nothing;
        Ok(())
    }));
}

/// The first that has an address counts, but a late one, or one where browsers see none, must not hide anything.
fn base(state: &mut State, element: &Element<'_, '_>) {
    const MOST: usize = 8;
    let base = attribute(element, "href").and_then(|href| address::resolve(&href, &state.page.url));
    let Some(base) =
        base.filter(|base| state.bases().all(|known| known != base) && state.bases().count() < MOST)
    else {
        return;
    };
    state.is_host_known |= base.host_str().is_none_or(|host| state.settings.services.knows_host(host));
    state.bases.push(base);
}

/// The page's own policy, where it stands in the markup: what comes after it and is ours must be let in.
fn policy(state: &State, element: &mut Element<'_, '_>) {
    if !is_meta(element, "content-security-policy") {
        return;
    }
    let content = attribute(element, "content").unwrap_or_default();
    if let Some(amended) = own_csp::amended(&content, state.page.inserted(), state.page.nonce.as_deref()) {
        set(element, "content", &references::encode_markup(&amended));
    }
}

/// Whether a link makes the browser connect to strangers.
fn is_hint_to_strangers(state: &State, element: &Element<'_, '_>) -> bool {
    let rel = attribute(element, "rel").unwrap_or_default().to_ascii_lowercase();
    let href = element.get_attribute("href").filter(|_| places::hints(&rel));
    href.is_some_and(|href| stranger(state, &href).is_some())
}

/// The host that an address leads to, if nothing lives there which is known and may act. Browsers connect to it for
/// a hint or a frame, and no policy stops that: Chromium asks the policy for a frame when the connection stands.
fn stranger(state: &State, address: &str) -> Option<Box<str>> {
    let services = &state.settings.services;
    let may_connect =
        |host: &str| Some(host) == state.page.url.host_str() || state.page.scope.may_connect(host);
    address::candidates(address, state.bases())
        .filter(|url| services.identify_url(url).is_none())
        .find_map(|url| url.host_str().filter(|host| !may_connect(host)).map(Into::into))
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

/// The page inside an `iframe`, in a pass of its own. It is no answer of its own that would have a guard.
fn srcdoc(state: &mut State, element: &mut Element<'_, '_>) -> Outcome {
    /// Whoever asks a frame for its window has the guard of the page around it look after that.
    const GUARDED: &str = "try{frameElement.contentWindow}catch(e){}";
    let Some(value) = element.get_attribute("srcdoc") else { return Ok(()) };
    let syntax = state.page.syntax;
    let markup = syntax.read_value(&value);
    let is_guarded = markup.starts_with("<script data-consentry=\"frame\"");
    let runs = !state.page.granted.is_all() && !is_guarded && runs_code(&markup);
    // Whatever the page around it is, browsers read it as HTML.
    let page = super::Page { syntax: Syntax::Html, embeds: None, ..state.page.clone() };
    let guard = if runs { scripts::own("frame", GUARDED, &page) } else { String::new() };
    match scripts::nested(state, &markup, page)? {
        Kept::Whole if runs => element.set_attribute("srcdoc", &syntax.written_value(guard + &markup))?,
        Kept::Whole => {}
        Kept::Changed(rewritten) => {
            element.set_attribute("srcdoc", &syntax.written_value(guard + &rewritten))?
        }
        Kept::Nothing(reason) => {
            element.remove_attribute("srcdoc");
            set(element, "data-consentry-srcdoc", &value);
            mark_unknown(element, reason.as_str());
        }
    }
    Ok(())
}

/// Whether a page has scripts, or what looks like an attribute that is one.
fn runs_code(markup: &str) -> bool {
    let text = markup.to_ascii_lowercase();
    let handles = |(at, _): (usize, &str)| {
        let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + 2..).unwrap_or_default());
        let name = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        before.ends_with(|letter: char| letter.is_ascii_whitespace() || "\"'/".contains(letter))
            && name > 0
            && after.get(name..).is_some_and(|rest| rest.trim_ascii_start().starts_with('='))
    };
    text.contains("<script") || text.contains("javascript:") || text.match_indices("on").any(handles)
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
                set(element, "data-consentry-type", &kind.replace('&', "&amp;"));
            }
            set(element, "type", "text/plain");
        }
        (Held::No, Some(kind)) if !has_source(element) => {
            state.reading = Reading::Script { kind };
        }
        (Held::No, Some(_)) => anonymize::script(state, element),
        (Held::No, None) => {}
    }
}

/// Whether the browser runs what the script's address leads to, and not its text: an empty address counts, too.
fn has_source(element: &Element<'_, '_>) -> bool {
    let is_svg = element.namespace_uri() == SVG;
    element.has_attribute("src") && !is_svg
        || is_svg && (element.has_attribute("href") || element.has_attribute("xlink:href"))
}

const SVG: &str = "http://www.w3.org/2000/svg";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Yes,
    No,
}

/// Looks at every place of the element that browsers, or lazy loaders, load from.
fn judge_places(state: &mut State, element: &mut Element<'_, '_>, tag: &str) -> Held {
    /// More is no page's, and each costs a look at all the others.
    const MOST: usize = 256;
    let mut held = Held::No;
    let places = places_of(state.page.syntax, element, tag);
    let has_twins = state.page.syntax == Syntax::Xml && has_twins(element);
    if places.len() > MOST || has_twins {
        state.unjudged.note(Reason::TooMany);
        element.remove();
        return Held::Yes;
    }
    for (name, holds) in places {
        let Some(value) = element.get_attribute(&name) else { continue };
        // Borrowed apart from the state, which nested pages change.
        let settings = Arc::clone(&state.settings);
        let found = match worst(state, &settings.services, &value, holds) {
            Found::Nothing => match anonymize::change(state, &settings.services, &value, holds) {
                Change::Nothing => {
                    if places::is_frame(tag, holds)
                        && let Some(host) = stranger(state, &value)
                    {
                        state.settings.observed.saw_host(&host);
                        put_away(element, &name, &value, UNKNOWN_HOST);
                        held = Held::Yes;
                    }
                    continue;
                }
                Change::To(changed) => {
                    set(element, &name, &changed);
                    continue;
                }
                Change::Hold(service) => Fault { judgement: Judgement::Hold, service, instead: None },
            },
            Found::Unjudged(reason) => {
                put_away(element, &name, &value, reason.as_str());
                held = Held::Yes;
                continue;
            }
            Found::Service(found) => found,
        };
        let Fault { judgement, service, instead } = found;
        tracing::debug!(site = %settings.site, service = %service.id, tag, name, "held or stripped");
        if tag == "script" {
            stubs::before(state, element, service);
        }
        state.held_for.get_or_insert_with(|| service.id.clone());
        let is_code = holds == Holds::Code || holds == Holds::Style;
        match judgement {
            Judgement::Strip if places::is_nothing_but(tag, holds) => {
                element.remove();
                return Held::Yes;
            }
            Judgement::Strip => replace(element, &name, instead.as_deref()),
            Judgement::Hold | Judgement::Allow | Judgement::Anonymize => {
                let standing = if is_code {
                    Standing::Held
                } else {
                    embeds::treat(state, element, tag, &name, &value, service)
                };
                match standing {
                    Standing::Loaded => {}
                    Standing::Replaced => return Held::Yes,
                    Standing::Held => {
                        hold(element, &name, &value, service);
                        replace(element, &name, instead.as_deref());
                        held = if is_code { held } else { Held::Yes };
                    }
                }
            }
        }
    }
    held
}

/// Puts in an attribute's place what is left of it, if anything.
fn replace(element: &mut Element<'_, '_>, name: &str, instead: Option<&str>) {
    match instead {
        Some(value) => set(element, name, value),
        None => element.remove_attribute(name),
    }
}

/// Whether the names of two attributes differ in case alone: in XML both count, and the parser knows the first.
fn has_twins(element: &Element<'_, '_>) -> bool {
    let mut names = HashSet::new();
    !element.attributes().iter().all(|attribute| names.insert(attribute.name()))
}

/// The names of the attributes that hold an address or code; of two of one name, the first counts.
fn places_of(syntax: Syntax, element: &Element<'_, '_>, tag: &str) -> Vec<(String, Holds)> {
    let mut places: Vec<(String, Holds)> = Vec::new();
    let mut known = HashSet::new();
    for attribute in element.attributes() {
        let name = attribute.name();
        let known_as = match syntax {
            // Whatever prefix the page has for XLink.
            Syntax::Xml if name.ends_with(":href") => "xlink:href",
            Syntax::Xml | Syntax::Html => &name,
        };
        let Some(holds) = places::of(tag.as_bytes(), known_as.as_bytes()) else { continue };
        let counts = match (tag, holds) {
            ("link", Holds::Address) => loads(element),
            ("meta", Holds::Refresh) => is_meta(element, "refresh"),
            ("param", _) => is_address(element),
            _ => true,
        };
        if counts && known.insert(name.clone()) {
            places.push((name, holds));
        }
    }
    places
}

/// Whether a `link` makes the browser load something or open a connection.
fn loads(element: &Element<'_, '_>) -> bool {
    places::loads(&attribute(element, "rel").unwrap_or_default().to_ascii_lowercase())
}

/// Whether a plug-in is told an address by this parameter.
fn is_address(element: &Element<'_, '_>) -> bool {
    let name = attribute(element, "name").unwrap_or_default().to_ascii_lowercase();
    matches!(name.as_str(), "src" | "movie" | "url" | "data" | "code" | "filename" | "flashvars")
}

fn is_meta(element: &Element<'_, '_>, kind: &str) -> bool {
    attribute(element, "http-equiv").is_some_and(|name| name.trim().eq_ignore_ascii_case(kind))
}

/// What a place leads to.
enum Found<'s> {
    /// To nothing that is to be held.
    Nothing,
    /// To something that cannot be judged.
    Unjudged(Reason),
    Service(Fault<'s>),
}

/// A service that may not act, and what is put in the place of the attribute, if not nothing.
struct Fault<'s> {
    judgement: Judgement,
    service: &'s Service,
    instead: Option<String>,
}

impl<'s> From<Option<(Judgement, &'s Service)>> for Found<'s> {
    fn from(found: Option<(Judgement, &'s Service)>) -> Self {
        match found {
            None => Found::Nothing,
            Some((judgement, service)) => Found::Service(Fault { judgement, service, instead: None }),
        }
    }
}

/// The service in a value that may not act, if any; one that may be agreed to wins.
fn worst<'s>(state: &mut State, services: &'s crate::services::Set, value: &str, holds: Holds) -> Found<'s> {
    match holds {
        Holds::Address => Lookup { state, services }.one(value).into(),
        Holds::Document => {
            if let Some(found) = (Lookup { state, services }).one(value) {
                return Some(found).into();
            }
            scripts::document(state, services, &references::decode(value)).map_or(Found::Nothing, |kept| {
                match kept {
                    Ok((judgement, service)) => Some((judgement, service)).into(),
                    Err(reason) => Found::Unjudged(reason),
                }
            })
        }
        Holds::Refresh => {
            let decoded = references::decode(value);
            address::of_refresh(&decoded).and_then(|address| Lookup { state, services }.one(address)).into()
        }
        Holds::List | Holds::Words => Lookup { state, services }.many(value).into(),
        Holds::Lazy => {
            let lookup = Lookup { state, services };
            let found = lookup.one(value).or_else(|| lookup.many(value));
            found.or_else(|| Some(lookup.style(&references::decode(value), "")?.0)).into()
        }
        Holds::Style => match (Lookup { state, services }).style(&references::decode(value), "") {
            None => Found::Nothing,
            Some(((judgement, service), rules)) => {
                let rules = references::encode_markup(&rules);
                Found::Service(Fault { judgement, service, instead: Some(rules) })
            }
        },
        Holds::Mark(_) => Found::Nothing,
        Holds::Code => {
            let found = code::judge_handler(&references::decode(value), &Lookup { state, services });
            found.into()
        }
    }
}

/// What the visitor of a page may be shown of services.
pub(super) struct Lookup<'a, 's> {
    pub(super) state: &'a State,
    pub(super) services: &'s crate::services::Set,
}

impl<'s> Lookup<'_, 's> {
    fn judged(&self, service: &'s Service) -> Option<(Judgement, &'s Service)> {
        self.state.settings.observed.saw_service(&service.id);
        let judgement = judge(self.services, service, &self.state.page.granted);
        matches!(judgement, Judgement::Hold | Judgement::Strip).then_some((judgement, service))
    }

    /// Of one address.
    pub(super) fn one(&self, address: &str) -> Option<(Judgement, &'s Service)> {
        let found = address::identified(self.state, self.services, address)
            .filter_map(|(service, _)| self.judged(service));
        found.min_by_key(|(judgement, _)| matches!(judgement, Judgement::Strip))
    }

    /// Of a list, whatever parts it.
    fn many(&self, list: &str) -> Option<(Judgement, &'s Service)> {
        let decoded = references::decode(list);
        let found = address::of_list(&decoded).filter_map(|address| self.one(address));
        found.min_by_key(|(judgement, _)| matches!(judgement, Judgement::Strip))
    }

    /// Of style rules; and the rules without what may not be loaded, `mark` in its place.
    pub(super) fn style(&self, rules: &str, mark: &str) -> Option<((Judgement, &'s Service), String)> {
        let (mut worst, mut places) = (None, Vec::new());
        for (place, address) in css::addresses(rules) {
            if let Some(found) = self.one(&address) {
                places.push(place);
                worst = Some(match worst {
                    Some(before @ (Judgement::Hold, _)) => before,
                    _ => found,
                });
            }
        }
        let (judgement, service) = worst?;
        let mark = mark.replace("ID", &service.id);
        Some(((judgement, service), css::without(rules, &places, &mark)))
    }
}

impl<'s> Catalogue for Lookup<'_, 's> {
    type Service = (Judgement, &'s Service);

    fn find(&self, code: &str) -> Vec<Self::Service> {
        let found = self.services.identify_script(code.as_bytes());
        let mut found: Vec<_> = found.into_iter().filter_map(|service| self.judged(service)).collect();
        // Held rather than stripped: the site's own code in it comes back with agreement.
        found.sort_by_key(|(judgement, _)| matches!(judgement, Judgement::Strip));
        found
    }

    fn globals(&self, (_, service): Self::Service) -> Vec<&str> {
        // A call may run where a stub answers it.
        let has_stubs = stubs::are_there_for(&self.state.page, service);
        service.globals.iter().filter(|_| has_stubs).map(AsRef::as_ref).collect()
    }

    fn leads_to_held(&self, address: &str) -> bool {
        self.one(address).is_some()
    }
}

/// Moves an address to where no browser looks, and marks the element.
pub(super) fn hold(element: &mut Element<'_, '_>, name: &str, value: &str, service: &Service) {
    element.remove_attribute(name);
    set(element, &kept_name(name), value);
    set(element, "data-consentry-service", &service.id);
    set(element, "data-consentry-category", service.category.as_str());
}

/// Where the value of an attribute is kept while it is held.
fn kept_name(name: &str) -> String {
    format!("data-consentry-{}", name.replace(':', "-"))
}

/// The reason of what leads to a host that nobody knows.
const UNKNOWN_HOST: &str = "unknown-host";

/// Moves an address to where no browser looks, and marks the element: nobody can tell what it loads.
fn put_away(element: &mut Element<'_, '_>, name: &str, value: &str, reason: &str) {
    element.remove_attribute(name);
    set(element, &kept_name(name), value);
    mark_unknown(element, reason);
}

fn mark_unknown(element: &mut Element<'_, '_>, reason: &str) {
    set(element, "data-consentry-reason", reason);
    set(element, "data-consentry-category", Reason::CATEGORY.as_str());
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
    element.get_attribute(name).map(|value| references::decode(&value))
}
