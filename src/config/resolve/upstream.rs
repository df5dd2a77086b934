//! The application behind a site.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use url::{Host, Url};

use super::{Scope, at};
use crate::config::raw::site::{Site, Target};
use crate::config::tree::Step;
use crate::upstream::{self, Trust};

/// Resolves `upstream`; `listeners` are the proxy's own addresses, which it must not lead to.
pub(super) fn resolve(scope: &mut Scope<'_>, raw: &Site, listeners: &[SocketAddr]) -> upstream::Settings {
    let mut targets = Vec::new();
    match &raw.upstream {
        None => scope.missing(
            at!["upstream"],
            "write where the application listens: `upstream: http://127.0.0.1:3000`",
        ),
        Some(upstream) => {
            if upstream.targets.is_empty() && !scope.tree.has_lost(at!["upstream", 0]) {
                scope.error(at!["upstream"], "no address", "write one address at least");
            }
            for (index, target) in upstream.targets.iter().enumerate() {
                let path: &[Step<'_>] =
                    if upstream.is_list { at!["upstream", index] } else { at!["upstream"] };
                targets.extend(resolve_target(scope, path, target, listeners));
            }
        }
    }
    upstream::Settings { targets, client_address: raw.client_address }
}

fn resolve_target(
    scope: &mut Scope<'_>,
    path: &[Step<'_>],
    raw: &Target,
    listeners: &[SocketAddr],
) -> Option<upstream::Target> {
    let inner = |key| [path, &[Step::Key(key)]].concat();
    let url_path = if raw.is_short { path.to_vec() } else { inner("url") };
    let text = scope.look_up(&url_path, &raw.url)?;
    let url = match parse(&text) {
        Ok(url) => url,
        Err((message, help)) => {
            scope.error(&url_path, message, help);
            return None;
        }
    };
    if listeners.iter().any(|listener| leads_to(&url, *listener)) {
        let help = "write the address of the application itself";
        scope.error(&url_path, format!("`{text}` is this proxy itself: requests would go in circles"), help);
    }
    let trust = match (raw.verify, &raw.ca) {
        (Some(false), Some(_)) => {
            scope.error(
                &inner("verify"),
                "`verify: false` and `ca` contradict each other",
                "keep one of them",
            );
            Trust::Anything
        }
        (Some(false), None) => Trust::Anything,
        (_, Some(file)) => Trust::Authority(scope.existing(&inner("ca"), file)),
        (_, None) => Trust::System,
    };
    if url.scheme() == "http" && trust != Trust::System {
        let key = if raw.ca.is_some() { "ca" } else { "verify" };
        scope.warn(&inner(key), format!("`{key}` does nothing for http"), "write https, or take it out");
    }
    Some(upstream::Target { url, trust })
}

/// An address with scheme, host and port alone.
fn parse(text: &str) -> Result<Url, (String, String)> {
    const HELP: &str = "write scheme, host and port, such as http://127.0.0.1:3000";
    let bad = |why: &str, help: &str| (format!("`{text}` {why}"), help.to_owned());
    let url = Url::parse(text).map_err(|_| bad("is not a URL", HELP))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("is neither http nor https", HELP));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("carries a user's name", "take it out: the application asks visitors for it"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(bad("has a path", "take it out: paths reach the application as visitors ask for them"));
    }
    if url.port_or_known_default() == Some(0) {
        return Err(bad("has port 0", HELP));
    }
    Ok(url)
}

/// Whether requests to `url` come back to `listener`, as far as one can tell without asking for names.
fn leads_to(url: &Url, listener: SocketAddr) -> bool {
    let ip = match url.host() {
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
        Some(Host::Domain("localhost")) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Some(Host::Domain(_)) | None => return false,
    };
    let same_host = ip == listener.ip() || listener.ip().is_unspecified() && ip.is_loopback();
    same_host && url.port_or_known_default() == Some(listener.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_scheme_host_and_port() {
        for text in ["http://127.0.0.1:3000", "https://app.internal", "http://[::1]:80/"] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in
            ["127.0.0.1:3000", "ftp://a", "http://", "http://a/x", "http://a?x", "http://u:p@a", "http://a:0"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_proxy_never_talks_to_itself() {
        for (url, listener, expected) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", true),
            ("http://localhost:8080", "0.0.0.0:8080", true),
            ("http://127.0.0.1", "0.0.0.0:80", true),
            ("http://127.0.0.1:3000", "127.0.0.1:8080", false),
            ("http://10.0.0.2:8080", "0.0.0.0:8080", false),
        ] {
            assert_eq!(leads_to(&url.parse().unwrap(), listener.parse().unwrap()), expected, "{url}");
        }
    }
}
