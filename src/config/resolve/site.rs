//! One site as it is meant.

use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderValue;
use sha2::{Digest, Sha256};

use super::documents::{self, Documents, Library};
use super::{Scope, at, gates, look, services, upstream};
use crate::config::files::Spot;
use crate::config::raw::site::{Mode, Party, Site as Raw};
use crate::config::tree::{Node, Value};
use crate::consent::cookie::Secrets;
use crate::filter::frame::Layout;
use crate::filter::{self, Banner};
use crate::observed::Observed;
use crate::site::{self, HostPattern, Site};
use crate::visit;
use crate::visit::path::{CanonicalPath, Clarity};
use crate::web::language::Language;

/// A site, and what only the whole of the sites can judge.
pub(in crate::config) struct Resolved {
    pub(in crate::config) site: Arc<Site>,
    /// Its hosts, and where they are written.
    pub(in crate::config) hosts: Vec<(HostPattern, Spot)>,
    /// Whether its privacy document is filled in.
    pub(in crate::config) is_filled_in: bool,
}

/// What sites share.
pub(in crate::config) struct Shared<'a> {
    pub(in crate::config) secrets: &'a Arc<Secrets>,
    pub(in crate::config) listeners: &'a [SocketAddr],
    pub(in crate::config) html_token: usize,
    /// What the site's traffic has shown so far.
    pub(in crate::config) observed: &'a Arc<Observed>,
}

/// Resolves one site.
pub(in crate::config) fn site(
    scope: &mut Scope<'_>,
    raw: &Raw,
    name: &str,
    shared: &Shared<'_>,
    library: &mut Library,
) -> Resolved {
    let hosts = hosts(scope, raw);
    let languages = languages(scope, raw);
    let own_path = own_path(scope, raw);
    let controller = controller(scope, raw, name);
    let processor = raw.processor.as_ref().map(party);
    let host_names: Vec<String> = hosts.iter().filter_map(|(host, _)| host_source(host)).collect();
    let variables =
        documents::variables(name, &controller, processor.as_ref(), &host_names, &languages, &own_path);
    let documents = documents::resolve(scope, raw, &languages, variables, &own_path, library);
    check_filled_in(scope, raw, &documents, &languages);
    let look = look::resolve(scope, raw, &languages, &controller.name, &own_path, &documents);
    let upstream = upstream::resolve(scope, raw, shared.listeners);
    let gate = Arc::new(gates::resolve(scope, raw, &documents));
    let filter = filter(scope, raw, name, shared, look, host_names, &documents, &upstream, &gate);
    let site = Site {
        name: name.into(),
        mode: mode(raw),
        visit: visit::Settings {
            site: name.into(),
            secrets: Arc::clone(shared.secrets),
            global_privacy_control: raw.banner.global_privacy_control,
            do_not_track: raw.banner.do_not_track,
            naming: gates::naming(scope, raw),
        },
        gate,
        lifetime: look::lifetime(scope, raw),
        retention: super::ledger::retention(scope, raw),
        filter: Arc::new(filter),
        documents: documents.shelf,
        own_path,
        upstream,
        controller,
        processor,
        layout: layout(scope, raw),
        hsts: hsts(scope, raw),
    };
    Resolved { site: Arc::new(site), hosts, is_filled_in: documents.is_filled_in }
}

fn mode(raw: &Raw) -> site::Mode {
    match raw.mode {
        Mode::Enforce => site::Mode::Enforce,
        Mode::Observe => site::Mode::Observe,
        Mode::Off => site::Mode::Off,
    }
}

fn hosts(scope: &mut Scope<'_>, raw: &Raw) -> Vec<(HostPattern, Spot)> {
    const HELP: &str = "write the names by which visitors reach the site: `hosts: [www.example.se]`";
    let Some(written) = &raw.hosts else {
        scope.missing(at!["hosts"], HELP);
        return Vec::new();
    };
    if written.is_empty() && !scope.tree.has_lost(at!["hosts", 0]) {
        scope.error(at!["hosts"], "no host", HELP);
    }
    let spots = (0..written.len()).map(|index| scope.tree.spot(at!["hosts", index]));
    written.iter().map(|host| host.0.clone()).zip(spots).collect()
}

/// A host as policies and documents name it; `*` names none.
fn host_source(host: &HostPattern) -> Option<String> {
    match host {
        HostPattern::Exact(name) => Some(name.to_string()),
        HostPattern::Below(name) => Some(format!("*.{name}")),
        HostPattern::Any => None,
    }
}

/// Never empty: without a word of the site, the languages that are built in.
fn languages(scope: &mut Scope<'_>, raw: &Raw) -> Vec<Language> {
    let mut languages: Vec<Language> = Vec::new();
    for (index, tag) in raw.languages.iter().flatten().enumerate() {
        if languages.contains(&tag.0) {
            let message = format!("`{}` stands here a second time", tag.0);
            scope.error(at!["languages", index], message, "name each language once");
        } else {
            languages.push(tag.0.clone());
        }
    }
    if languages.is_empty() {
        if raw.languages.is_some() && !scope.tree.has_lost(at!["languages", 0]) {
            scope.error(at!["languages"], "no language", "name one at least; the first is the fallback");
        }
        languages.extend(crate::web::texts::languages().cloned());
    }
    languages
}

/// The parts of the site that speak one language.
fn language_rules(scope: &mut Scope<'_>, raw: &Raw) -> Vec<filter::language::Rule> {
    let mut rules = Vec::new();
    for (index, rule) in raw.languages_by.iter().enumerate() {
        let language = &rule.language.0;
        if let Some(spoken) =
            raw.languages.as_ref().filter(|spoken| spoken.iter().all(|tag| tag.0 != *language))
        {
            let spoken: Vec<&str> = spoken.iter().map(|tag| tag.0.as_str()).collect();
            let message = format!("the site does not speak `{language}`");
            let help = format!("write one of {}, or add it to `languages`", spoken.join(", "));
            scope.error(at!["languages_by", index, "language"], message, help);
        }
        if rule.host.is_none() && rule.path.is_none() {
            let help = "add `path:` or `host:`, or name this language alone in `languages`";
            scope.error(at!["languages_by", index], "this fixes the language of the whole site", help);
        }
        let host = rule.host.as_ref().and_then(|host| host_source(&host.0)).map(Into::into);
        let path = rule.path.as_ref().map(|path| path.0.clone());
        rules.push(filter::language::Rule { host, path, language: language.clone() });
    }
    rules
}

fn own_path(scope: &mut Scope<'_>, raw: &Raw) -> Box<str> {
    let written = raw.own_path.as_deref().unwrap_or("/_consent/");
    let path = CanonicalPath::of(written);
    let is_plain =
        path.as_str() == written && path.clarity() == Clarity::Clear && !written.contains(['?', '#', '*']);
    if !is_plain || written == "/" || !written.ends_with('/') {
        let help = "write a folder with a slash at both ends, such as /_consent/";
        scope.error(
            at!["own_path"],
            format!("`{written}` cannot be the folder of the proxy's own pages"),
            help,
        );
    }
    written.into()
}

/// The page that documents stand in.
fn layout(scope: &mut Scope<'_>, raw: &Raw) -> Option<Layout> {
    let raw = raw.layout.as_ref()?;
    let layout = Layout { page: raw.page.as_str().into(), selector: raw.selector.0.clone() };
    let is_address = raw.page.starts_with('/')
        && !raw.page.starts_with("//")
        && raw.page.parse::<http::uri::PathAndQuery>().is_ok();
    if !is_address {
        let message = format!("`{}` is not the path of a page", raw.page);
        scope.error(at!["layout", "page"], message, "write a path that begins with a slash, such as /");
    }
    if let Some(fault) = layout.fault() {
        let message = format!("`{}` is not a selector: {fault}", layout.selector);
        scope.error(
            at!["layout", "selector"],
            message,
            "write a CSS selector, such as \"#content\" or \"main > article\"",
        );
    }
    Some(layout)
}

/// `Strict-Transport-Security` as the site wants it (RFC 6797 section 6.1).
fn hsts(scope: &mut Scope<'_>, raw: &Raw) -> Option<HeaderValue> {
    // What the browsers' common list asks for (hstspreload.org); they take no site that sends less.
    const LEAST_TO_PRELOAD: u64 = 365 * 86_400;
    let hsts = raw.hsts.as_ref()?;
    let age = hsts.max_age.0.as_secs();
    if hsts.preload && !(hsts.include_subdomains && age >= LEAST_TO_PRELOAD) {
        let help =
            "browsers preload `{ max_age: 365d, include_subdomains: true, preload: true }` at the least";
        scope.error(at!["hsts", "preload"], "no browser preloads this", help);
    }
    let subdomains = if hsts.include_subdomains { "; includeSubDomains" } else { "" };
    let preload = if hsts.preload { "; preload" } else { "" };
    HeaderValue::try_from(format!("max-age={age}{subdomains}{preload}")).ok()
}

fn party(raw: &Party) -> site::Party {
    site::Party {
        name: raw.name.0.clone(),
        organisation_number: raw.organisation_number.as_ref().map(|text| text.0.clone()),
        address: raw.address.as_ref().map(|text| text.0.clone()),
        email: raw.email.as_ref().map(|text| text.0.clone()),
    }
}

/// Who answers for the data must be named (GDPR article 13(1)(a)); until then, the site's name stands there.
fn controller(scope: &mut Scope<'_>, raw: &Raw, name: &str) -> site::Party {
    match &raw.controller {
        Some(controller) => party(controller),
        None => {
            if raw.mode != Mode::Off && !scope.tree.has_lost(at!["controller"]) {
                let message = "nobody is named who answers for the personal data (GDPR article 13(1)(a))";
                scope.warn(at!["controller"], message, "add `controller: { name: …, email: … }`");
            }
            site::Party { name: name.into(), ..site::Party::default() }
        }
    }
}

fn check_filled_in(scope: &mut Scope<'_>, raw: &Raw, documents: &Documents, languages: &[Language]) {
    if documents.is_filled_in || raw.mode == Mode::Off {
        return;
    }
    let language = languages.first().map(Language::as_str).unwrap_or_default();
    const SO: &str = "the site asks for no acceptance and shows no banner, and its services stay held";
    match &documents.privacy {
        Some(id) => scope.warn(
            at!["documents", &**id],
            format!("`{id}` is not filled in for `{language}`: {SO}"),
            format!("fill in the file of `{language}`, the site's first language"),
        ),
        None if scope.tree.has_lost(at!["documents"]) => {}
        None => scope.warn(
            at!["documents"],
            format!("the site has no cookies and privacy information: {SO}"),
            "add `documents: { privacy: { kind: notice, path: …, files: … } }`",
        ),
    }
}

#[expect(clippy::too_many_arguments, reason = "the filters are told of every other part of the site")]
fn filter(
    scope: &mut Scope<'_>,
    raw: &Raw,
    name: &str,
    shared: &Shared<'_>,
    look: crate::web::Look,
    hosts: Vec<String>,
    documents: &Documents,
    upstream: &crate::upstream::Settings,
    gate: &Arc<crate::gate::Rules>,
) -> filter::Settings {
    let services = services::resolve(scope, raw);
    let origins = upstream.targets.iter().filter_map(|weighted| weighted.target.origin().map(Into::into));
    filter::Settings {
        site: name.into(),
        cookies: services::cookies(scope, raw, &services),
        services,
        hosts: hosts.into_iter().map(Into::into).collect(),
        unknown_third_parties: raw.third_parties.unknown,
        look: Arc::new(look),
        banner: match raw.banner.enabled {
            _ if !documents.is_filled_in => Banner::NothingToAsk,
            Some(false) => Banner::Off,
            Some(true) | None => Banner::Shown,
        },
        crawlers: gates::crawlers(raw),
        upstream_origins: origins.collect(),
        html_token: shared.html_token,
        language_rules: language_rules(scope, raw),
        observed: Arc::clone(shared.observed),
        gate: Arc::clone(gate),
        notes: gates::notes(gate, &documents.shelf),
        identity: filter::memory::Identity::default(),
        epoch: epoch(scope.tree, documents, shared.html_token),
    }
}

/// Changes with everything that shapes the site's pages, and with nothing else: not with the place of a line.
fn epoch(tree: &Node, documents: &Documents, html_token: usize) -> u64 {
    let mut hash = Sha256::new();
    hash.update(env!("CARGO_PKG_VERSION"));
    hash.update((html_token as u64).to_be_bytes());
    feed(&mut hash, tree);
    for text in documents.shelf.documents.iter().flat_map(|document| &document.texts) {
        hash.update(text.hash);
    }
    hash.finalize().first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

fn feed(hash: &mut Sha256, node: &Node) {
    // A letter and a length before each part, so that no two trees run together into the same bytes.
    let mut part = |kind: u8, length: usize, bytes: &[u8]| {
        hash.update([kind]);
        hash.update((length as u64).to_be_bytes());
        hash.update(bytes);
    };
    match &node.value {
        Value::Switch(switch) => part(b's', 1, &[u8::from(*switch)]),
        Value::Integer(number) => part(b'n', 8, &number.to_be_bytes()),
        Value::Text(text) => part(b't', text.len(), text.as_bytes()),
        Value::List(items) => {
            part(b'l', items.len(), &[]);
            items.iter().for_each(|item| feed(hash, item));
        }
        Value::Map(entries) => {
            part(b'm', entries.len(), &[]);
            for entry in entries {
                hash.update((entry.key.len() as u64).to_be_bytes());
                hash.update(entry.key.as_bytes());
                feed(hash, &entry.node);
            }
        }
    }
}

/// A site with the defaults put under it: a site's own value wins, and what is below these keys is merged
/// key by key; everything else is replaced whole, so that no half of a party or an upstream is inherited.
pub(in crate::config) fn with_defaults(mut site: Node, defaults: &Node) -> Node {
    const MERGED: [&str; 5] = ["documents", "banner", "services", "third_parties", "cookies"];
    let Value::Map(entries) = &mut site.value else { return site };
    for default in defaults.entries() {
        match entries.iter_mut().find(|entry| entry.key == default.key) {
            None if site.lost.contains(&default.key) => {}
            None => entries.push(default.clone()),
            Some(own) if MERGED.contains(&&*default.key) => merge(&mut own.node, &default.node),
            Some(_) => {}
        }
    }
    site
}

fn merge(own: &mut Node, default: &Node) {
    let Value::Map(entries) = &mut own.value else { return };
    for inherited in default.entries() {
        let is_own = entries.iter().any(|entry| entry.key == inherited.key);
        if !is_own && !own.lost.contains(&inherited.key) {
            entries.push(inherited.clone());
        }
    }
}
