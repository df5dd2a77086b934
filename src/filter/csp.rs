//! The policy that the browser enforces, built from what may act for this visitor.
//!
//! It is a second Content-Security-Policy beside the page's own, so it only tightens. It holds what the rewriter
//! cannot see: scripts that scripts load, beacons, workers, redirects. What it stops is reported to the proxy.
//!
//! With `third_parties: { unknown: allow }` it only reports: a policy names what may load, and cannot name the
//! unknown. There is none for a visitor who agreed to everything.

use std::collections::BTreeSet;

use http::header::{CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::judge::{Judgement, judge};
use super::{Settings, UnknownThirdParties};
use crate::consent::Granted;
use crate::services::{Service, UrlPattern};
use crate::visit::Scheme;

/// The most that sources may take, in bytes: servers in front of the proxy read no headers of any size.
const BUDGET: usize = 3 * 1024;

const REPORTING_ENDPOINTS: HeaderName = HeaderName::from_static("reporting-endpoints");

/// A policy, as headers.
#[derive(Clone, Debug)]
pub struct Policy {
    effect: Effect,
    /// Over HTTP: browsers take no reporting endpoints there.
    plain: HeaderValue,
    /// Over HTTPS.
    secure: HeaderValue,
    endpoints: HeaderValue,
    /// Of both, in this order: hashing kilobytes is nothing to do for each page.
    digests: [[u8; 32]; 2],
}

/// What a policy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It stops what it does not name.
    Enforces,
    /// It only reports it.
    Reports,
}

/// The policy for visitors who granted this; none where nothing is to be tightened.
pub fn policy(settings: &Settings, granted: &Granted) -> Option<Policy> {
    if granted.is_all() {
        return None;
    }
    let (effect, open) = match settings.unknown_third_parties {
        UnknownThirdParties::Allow => (Effect::Reports, ""),
        UnknownThirdParties::BlockActive => (Effect::Enforces, OPEN),
        UnknownThirdParties::Block => (Effect::Enforces, ""),
    };
    let sources = sources(settings, granted).join(" ");
    let to = format!("{}reports", settings.look.own_path);
    let plain = format!("{CLOSED} {sources}{open}; report-uri {to}");
    let secure = format!("{plain}; report-to {ENDPOINT}");
    Some(Policy {
        effect,
        digests: [&plain, &secure].map(|value| Sha256::digest(value).into()),
        secure: HeaderValue::from_str(&secure).ok()?,
        plain: HeaderValue::from_str(&plain).ok()?,
        endpoints: HeaderValue::from_str(&format!("{ENDPOINT}=\"{to}\"")).ok()?,
    })
}

impl Policy {
    /// Adds the policy to the headers of a page, once.
    pub fn write(&self, headers: &mut HeaderMap, scheme: Scheme) {
        self.write_as(self.effect, headers, scheme);
    }

    /// The same, with another effect: on a site that is only observed, it reports.
    pub fn write_as(&self, effect: Effect, headers: &mut HeaderMap, scheme: Scheme) {
        let name = match effect {
            Effect::Enforces => CONTENT_SECURITY_POLICY,
            Effect::Reports => CONTENT_SECURITY_POLICY_REPORT_ONLY,
        };
        add(headers, name, self.value(scheme));
        if scheme == Scheme::Https {
            add(headers, REPORTING_ENDPOINTS, &self.endpoints);
        }
    }

    /// What it says without anything that it leaves open and without where reports go, for what nobody has read: it stops
    /// what it does not name, whatever happens to third parties on pages.
    pub fn closed(&self) -> String {
        let text = self.plain.to_str().unwrap_or_default().replace(OPEN, "");
        text.split("; report-uri").next().unwrap_or_default().to_owned()
    }

    /// Adds the same, with where reports go, for documents.
    pub fn write_closed(&self, headers: &mut HeaderMap, scheme: Scheme) {
        let text = self.value(scheme).to_str().unwrap_or_default().replace(OPEN, "");
        if let Ok(value) = HeaderValue::from_str(&text) {
            add(headers, CONTENT_SECURITY_POLICY, &value);
        }
        if scheme == Scheme::Https {
            add(headers, REPORTING_ENDPOINTS, &self.endpoints);
        }
    }

    /// The policy itself, as it is written on pages of this scheme.
    pub fn value(&self, scheme: Scheme) -> &HeaderValue {
        match scheme {
            Scheme::Http => &self.plain,
            Scheme::Https => &self.secure,
        }
    }

    /// What it does.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// What the policy for pages of this scheme is known by, in short.
    pub fn digest(&self, scheme: Scheme) -> &[u8; 32] {
        let [plain, secure] = &self.digests;
        match scheme {
            Scheme::Http => plain,
            Scheme::Https => secure,
        }
    }

    /// How many bytes it takes, about.
    pub fn weight(&self) -> usize {
        self.plain.len() + self.secure.len() + self.endpoints.len() + size_of_val(&self.digests)
    }
}

/// What pages and workers know each other's choices by: those with one name obey one policy.
pub fn name(policy: Option<&Policy>) -> Box<str> {
    let Some(policy) = policy else { return "all".into() };
    policy.digest(Scheme::Http).iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

fn add(headers: &mut HeaderMap, name: HeaderName, value: &HeaderValue) {
    if !headers.get_all(&name).iter().any(|present| present == value) {
        headers.append(name, value.clone());
    }
}

/// The name of the endpoint that reports go to.
const ENDPOINT: &str = "consentry";

/// What is always open: the site itself, and what stands in the page.
const CLOSED: &str = "default-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' data: blob: filesystem: mediastream:";

/// What `block-active` leaves alone. All else falls back to `default-src`: scripts, frames, connections,
/// workers, plug-ins, prefetches. One list instead of six, as it grows with what a visitor agreed to.
const OPEN: &str = "; img-src * data: blob: filesystem:; style-src * 'unsafe-inline' data: blob: filesystem:; \
    font-src * data: blob: filesystem:; media-src * data: blob: filesystem: mediastream:; \
    manifest-src * data: blob:";

/// Host sources of the site's own hosts and of the services that may act: all that nobody can refuse, then those that
/// the site names or was seen to use, then others, while the budget lasts.
fn sources(settings: &Settings, granted: &Granted) -> Vec<String> {
    let mut sources: BTreeSet<String> = BTreeSet::new();
    for host in &settings.hosts {
        // `'self'` covers the page's own port and its WebSockets, not those of the site's other hosts.
        sources.extend(["", "ws://", "wss://"].map(|scheme| format!("{scheme}{host}:*")));
    }
    let used = settings.used();
    let acting = settings.services.iter().filter(|service| {
        matches!(judge(&settings.services, service, granted), Judgement::Allow | Judgement::Anonymize)
    });
    let mut acting: Vec<&Service> = acting.collect();
    acting.sort_by_key(|service| {
        (!used.contains(&service.id), service.category != crate::consent::Category::Necessary)
    });
    let mut length = 0;
    for service in acting {
        let is_used = used.contains(&service.id);
        let urls = match judge(&settings.services, service, granted) {
            Judgement::Anonymize => service.anonymous_urls(),
            _ => service.urls.iter().collect(),
        };
        let own: BTreeSet<String> = urls.into_iter().flat_map(|url| source(url, is_used)).collect();
        length += own.iter().map(|source| source.len() + 1).sum::<usize>();
        if !is_used && length > BUDGET {
            break;
        }
        sources.extend(own);
    }
    sources.into_iter().collect()
}

/// A pattern as host sources. A policy cannot say "any host, but this path": a service that is known by its path
/// alone acts from the site's own hosts, or from hosts that the site names. Sockets have a scheme of their own.
fn source(pattern: &UrlPattern, with_sockets: bool) -> Vec<String> {
    let path = folder(&pattern.path);
    let below = pattern.host.strip_prefix("*.");
    let host = below.unwrap_or(&pattern.host);
    if !is_host(host) {
        return Vec::new();
    }
    // Patterns of a site's own services know no ports, so the policy allows any.
    let mut sources = vec![format!("{host}:*{path}")];
    if below.is_some() {
        sources.push(format!("*.{host}:*{path}"));
    }
    if with_sockets {
        let sockets: Vec<String> = sources.iter().map(|source| format!("wss://{source}")).collect();
        sources.extend(sockets);
    }
    sources
}

fn is_host(host: &str) -> bool {
    !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

/// The folder that a path lies in, as a source's path must end with a slash to cover what is below it (CSP 3,
/// section 6.7.2.12); empty for the root, and for what a policy would read differently.
fn folder(path: &str) -> &str {
    let path = path.split(['?', '#', '*']).next().unwrap_or_default();
    let folder = path.rfind('/').and_then(|end| path.get(..=end)).unwrap_or_default();
    let is_plain = folder.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte));
    if is_plain && folder.starts_with('/') && folder != "/" { folder } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::{Categories, Category};
    use crate::filter::tests::{service, set, settings};
    use crate::services::{Rule, Set};

    fn site(unknown: UnknownThirdParties) -> Settings {
        let services = vec![
            service("ga", Category::Statistics, &["tags.example/gtag/js", "*.ga.example/"], &[]),
            service("pixel", Category::Marketing, &["pixel.example/"], &[]),
            service("cdn", Category::Necessary, &["cdn.example.net/lib/"], &[]),
            service("anywhere", Category::Statistics, &["*/acme.js"], &[]),
            service("gone", Category::Marketing, &["gone.example/"], &[]),
        ];
        let services = set(services, &[("gone", Rule::STRIP), ("pixel", Rule::CONSENT)]);
        Settings {
            unknown_third_parties: unknown,
            hosts: vec!["www.example.se".into(), "*.example.se".into()],
            ..settings(services)
        }
    }

    fn text(unknown: UnknownThirdParties, granted: &Granted) -> Option<String> {
        policy(&site(unknown), granted).map(|policy| policy.value(Scheme::Http).to_str().unwrap().to_owned())
    }

    fn statistics() -> Granted {
        Granted::new(Categories::NONE.with(Category::Statistics), Default::default())
    }

    #[test]
    fn a_film_without_identifiers_comes_from_no_host_that_sets_some() {
        let rules = [("youtube", Rule::ANONYMIZE), ("vimeo", Rule::ANONYMIZE)];
        let site = settings(set(Vec::new(), &rules));
        let policy = policy(&site, &Granted::default()).unwrap();
        let sources: Vec<&str> = policy.value(Scheme::Http).to_str().unwrap().split([' ', ';']).collect();
        let of = |word: &str| {
            let found = sources.iter().filter(|source| source.contains(word) && !source.starts_with("wss:"));
            found.copied().collect::<Vec<_>>()
        };
        assert_eq!(of("youtu"), ["www.youtube-nocookie.com:*/embed/"]);
        assert_eq!(of("vimeo"), ["player.vimeo.com:*/video/"]);
    }

    #[test]
    fn only_hosts_that_may_act_stand_in_the_policy() {
        let undecided = text(UnknownThirdParties::BlockActive, &Granted::default()).unwrap();
        let agreed = text(UnknownThirdParties::BlockActive, &statistics()).unwrap();
        for (source, before, after) in [
            (" www.example.se:*", true, true),
            (" *.example.se:* ", true, true),
            (" wss://www.example.se:*", true, true),
            (" cdn.example.net:*/lib/ ", true, true),
            (" tags.example:*/gtag/ ", false, true),
            (" ga.example:* ", false, true),
            (" *.ga.example:* ", false, true),
            ("acme", false, false),
            ("pixel.example", false, false),
            ("gone", false, false),
        ] {
            assert_eq!(undecided.contains(source), before, "{source} in {undecided}");
            assert_eq!(agreed.contains(source), after, "{source} in {agreed}");
        }
    }

    #[test]
    fn what_is_unknown_is_stopped_as_the_site_says() {
        let granted = Granted::default();
        assert_eq!(policy(&site(UnknownThirdParties::Allow), &granted).unwrap().effect, Effect::Reports);
        assert_eq!(policy(&site(UnknownThirdParties::Block), &granted).unwrap().effect, Effect::Enforces);
        let active = text(UnknownThirdParties::BlockActive, &granted).unwrap();
        assert!(active.starts_with("default-src 'self' ") && active.contains("; img-src * "));
        let all = text(UnknownThirdParties::Block, &granted).unwrap();
        assert!(all.starts_with("default-src 'self' ") && !all.contains("img-src"));
    }

    #[test]
    fn who_agreed_to_all_gets_no_policy() {
        for unknown in
            [UnknownThirdParties::Allow, UnknownThirdParties::BlockActive, UnknownThirdParties::Block]
        {
            assert_eq!(text(unknown, &Granted::all()), None);
        }
    }

    #[test]
    fn a_path_is_widened_to_its_folder_and_never_narrowed() {
        for (path, expected) in [
            ("/", ""),
            ("", ""),
            ("/gtm.js", ""),
            ("/gtag/js", "/gtag/"),
            ("/recaptcha/", "/recaptcha/"),
            ("/a/b?id=/c/", "/a/"),
            ("/a;b/c", ""),
            ("/a b/", ""),
        ] {
            assert_eq!(folder(path), expected, "{path}");
        }
    }

    #[test]
    fn a_pattern_cannot_smuggle_anything_into_the_policy() {
        for host in ["*", "", "a; script-src *", "a,b", "*.", "'unsafe-inline'", "http:"] {
            let pattern = UrlPattern { host: host.into(), path: "/".into() };
            assert!(source(&pattern, true).is_empty(), "{host}");
        }
    }

    #[test]
    fn what_is_stopped_is_reported_to_the_site_itself() {
        let policy = policy(&site(UnknownThirdParties::BlockActive), &Granted::default()).unwrap();
        for (scheme, end, endpoints) in [
            (Scheme::Http, "; report-uri /_consent/reports", None),
            (
                Scheme::Https,
                "; report-uri /_consent/reports; report-to consentry",
                Some("consentry=\"/_consent/reports\""),
            ),
        ] {
            let mut headers = HeaderMap::new();
            policy.write(&mut headers, scheme);
            policy.write(&mut headers, scheme);
            assert_eq!(headers.get_all(CONTENT_SECURITY_POLICY).iter().count(), 1);
            assert!(headers[CONTENT_SECURITY_POLICY].to_str().unwrap().ends_with(end));
            let found = headers.get(REPORTING_ENDPOINTS).map(|value| value.to_str().unwrap());
            assert_eq!(found, endpoints);
        }
    }

    #[test]
    fn a_policy_stays_small_and_keeps_what_the_site_uses() {
        let mut services: Vec<_> = (0..500)
            .map(|n| service(&format!("s{n}"), Category::Statistics, &[&format!("*.s{n}.example/")], &[]))
            .collect();
        services.push(service("last", Category::Statistics, &["*.last.example/"], &[]));
        services.push(service("cdn", Category::Necessary, &["cdn.example.net/"], &[]));
        let site = settings(set(services, &[("cdn", Rule::ALLOW)]));
        // All of a site's own are named by it, so they count as used: take the names away.
        let text = |site: &Settings| policy(site, &statistics()).unwrap().plain.to_str().unwrap().to_owned();
        assert!(text(&site).contains(" wss://*.s499.example:* "));
        let builtin = settings(Set::default());
        let small = text(&builtin);
        assert!(small.len() < BUDGET + 1024, "{} bytes", small.len());
        assert!(!small.contains("wss://*.google-analytics.com"));
        builtin.observed.saw_service("google-analytics");
        assert!(text(&builtin).contains(" wss://*.google-analytics.com:* "));
    }
}
