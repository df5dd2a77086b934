//! The policy that the browser enforces, built from what may act for this visitor.
//!
//! It is a second Content-Security-Policy beside the page's own, so it only tightens. It holds what the rewriter
//! cannot see: scripts that scripts load, beacons, workers, redirects.
//!
//! With `third_parties: { unknown: allow }` there is none: a policy names what may load, and cannot name the
//! unknown. Neither is there one for a visitor who agreed to everything.

use std::collections::BTreeSet;

use http::HeaderValue;

use super::judge::{Judgement, judge};
use super::{Settings, UnknownThirdParties};
use crate::consent::Granted;
use crate::services::UrlPattern;

/// The policy for visitors who granted this; none where nothing is to be tightened.
pub fn policy(settings: &Settings, granted: &Granted) -> Option<HeaderValue> {
    if granted.is_all() {
        return None;
    }
    let open = match settings.unknown_third_parties {
        UnknownThirdParties::Allow => return None,
        UnknownThirdParties::BlockActive => OPEN,
        UnknownThirdParties::Block => "",
    };
    let mut policy = String::from(
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' data: blob: filesystem: mediastream:",
    );
    for source in sources(settings, granted) {
        policy.push(' ');
        policy.push_str(&source);
    }
    policy.push_str(open);
    HeaderValue::from_str(&policy).ok()
}

/// What `block-active` leaves alone. All else falls back to `default-src`: scripts, frames, connections,
/// workers, plug-ins, prefetches. One list instead of six, as it grows with what a visitor agreed to.
const OPEN: &str = "; img-src * data: blob: filesystem:; style-src * 'unsafe-inline' data: blob: filesystem:; \
    font-src * data: blob: filesystem:; media-src * data: blob: filesystem: mediastream:; \
    manifest-src * data: blob:";

/// Host sources of the site's own hosts and of the services that may act.
fn sources(settings: &Settings, granted: &Granted) -> BTreeSet<String> {
    let mut sources = BTreeSet::new();
    for host in &settings.hosts {
        // `'self'` covers the page's own port and its WebSockets, not those of the site's other hosts.
        sources.insert(format!("{host}:*"));
        sources.insert(format!("ws://{host}:*"));
        sources.insert(format!("wss://{host}:*"));
    }
    for service in settings.services.iter() {
        match judge(&settings.services, service, granted) {
            Judgement::Allow | Judgement::Anonymize => {
                sources.extend(service.urls.iter().flat_map(source));
            }
            Judgement::Hold | Judgement::Strip => {}
        }
    }
    sources
}

/// A pattern as host sources. A policy cannot say "any host, but this path": a service that is known by its path
/// alone acts from the site's own hosts, or from hosts that the site names.
fn source(pattern: &UrlPattern) -> Vec<String> {
    let path = folder(&pattern.path);
    let below = pattern.host.strip_prefix("*.");
    let host = below.unwrap_or(&pattern.host);
    if !is_host(host) {
        return Vec::new();
    }
    // Patterns know no ports, so the policy allows any.
    let itself = format!("{host}:*{path}");
    if below.is_some() { vec![format!("*.{itself}"), itself] } else { vec![itself] }
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
    use crate::services::Rule;

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
        policy(&site(unknown), granted).map(|value| value.to_str().unwrap().to_owned())
    }

    fn statistics() -> Granted {
        Granted::new(Categories::NONE.with(Category::Statistics), Default::default())
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
        assert_eq!(text(UnknownThirdParties::Allow, &granted), None);
        let active = text(UnknownThirdParties::BlockActive, &granted).unwrap();
        assert!(active.starts_with("default-src 'self' ") && active.contains("; img-src * "));
        let all = text(UnknownThirdParties::Block, &granted).unwrap();
        assert!(all.starts_with("default-src 'self' ") && !all.contains("img-src"));
    }

    #[test]
    fn who_agreed_to_all_gets_no_policy() {
        for unknown in [UnknownThirdParties::BlockActive, UnknownThirdParties::Block] {
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
            assert!(source(&pattern).is_empty(), "{host}");
        }
    }
}
