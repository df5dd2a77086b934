//! The application behind a site.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};

use super::certificates::pair;
use super::{Scope, at};
use crate::config::raw::site::Site;
use crate::config::raw::upstream::{Health, Identity, Target as RawTarget};
use crate::config::tree::Step;
use crate::listener::CertificateFiles;
use crate::upstream::{
    self, Check, Endpoint, Malformed, Protocol, Target, Thresholds, Tls, Trust, Via, Weighted,
};

/// What `sun_path` holds beside its end (unix(7)).
const LONGEST_SOCKET: usize = 107;

/// Resolves `upstream` and `health`; `listeners` are the proxy's own addresses, which it must not lead to.
pub(super) fn resolve(scope: &mut Scope<'_>, raw: &Site, listeners: &[SocketAddr]) -> upstream::Settings {
    let mut targets: Vec<Weighted> = Vec::new();
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
                let Some(resolved) = resolve_target(scope, path, target, listeners) else { continue };
                if targets.iter().any(|other| other.target.endpoint == resolved.target.endpoint) {
                    let message = format!("`{}` stands here a second time", target.url);
                    scope.error(path, message, "name each address once; `weight` makes it take more");
                }
                targets.push(resolved);
            }
        }
    }
    let check = raw.health.as_ref().and_then(|health| check(scope, health));
    let mut settings = upstream::Settings::new(targets, check, raw.client_address);
    if raw.via {
        settings.via = Via::Written;
    }
    settings
}

fn resolve_target(
    scope: &mut Scope<'_>,
    path: &[Step<'_>],
    raw: &RawTarget,
    listeners: &[SocketAddr],
) -> Option<Weighted> {
    let inner = |key| [path, &[Step::Key(key)]].concat();
    let url_path = if raw.is_short { path.to_vec() } else { inner("url") };
    let text = scope.look_up(&url_path, &raw.url)?;
    let mut target: Target = match text.parse() {
        Ok(target) => target,
        Err(why) => {
            scope.error(&url_path, format!("`{text}` {why}"), remedy(why));
            return None;
        }
    };
    if listeners.iter().any(|listener| leads_to(&target, *listener)) {
        let help = "write the address of the application itself";
        scope.error(&url_path, format!("`{text}` is this proxy itself: requests would go in circles"), help);
    }
    if let Endpoint::Unix(socket) = &mut target.endpoint {
        *socket = scope.folder(&url_path).join(&*socket);
        if socket.as_os_str().len() > LONGEST_SOCKET {
            let message = format!("the path of the socket is too long: {}", socket.display());
            scope.error(&url_path, message, "the system takes 107 bytes: put the socket nearer to the root");
        }
    }
    let tls = tls(scope, path, raw);
    match &mut target.protocol {
        Protocol::Tls(found) => *found = tls,
        Protocol::Http | Protocol::Http2 => {
            for (key, is_written) in [
                ("verify", raw.verify == Some(false) && raw.ca.is_none()),
                ("ca", raw.ca.is_some()),
                ("client_certificate", raw.client_certificate.is_some()),
            ] {
                if is_written {
                    let message = format!("`{key}` does nothing without TLS");
                    scope.warn(&inner(key), message, "write https, or take it out");
                }
            }
        }
    }
    target.connections = raw.connections.unwrap_or(0);
    let weight = raw.weight.unwrap_or(1);
    if weight == 0 {
        let help = "write 1 or more, or take the address out";
        scope.error(&inner("weight"), "an address without any weight would get no requests", help);
    }
    Some(Weighted { target, weight: weight.max(1) })
}

fn tls(scope: &mut Scope<'_>, path: &[Step<'_>], raw: &RawTarget) -> Tls {
    let inner = |key| [path, &[Step::Key(key)]].concat();
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
        (_, Some(file)) => authority(scope, &inner("ca"), file),
        (_, None) => Trust::System,
    };
    let identity = raw.client_certificate.as_ref();
    Tls { trust, identity: identity.map(|identity| client_certificate(scope, path, identity)) }
}

/// A certificate or a key, which connections are made with: where it changes, they are made anew.
fn existing(scope: &mut Scope<'_>, path: &[Step<'_>], name: &str) -> PathBuf {
    let file = scope.existing(path, name);
    scope.files.seen.note_certificate(&file);
    file
}

fn authority(scope: &mut Scope<'_>, path: &[Step<'_>], file: &str) -> Trust {
    let file = existing(scope, path, file);
    let exists = file.is_file();
    let trust = Trust::Authority(file);
    if exists && let Err(error) = trust.check() {
        let message = format!("nothing can be verified with this file: {error}");
        scope.error(path, message, "name a PEM file of certificate authorities");
    }
    trust
}

fn client_certificate(scope: &mut Scope<'_>, path: &[Step<'_>], raw: &Identity) -> CertificateFiles {
    let whole = [path, at!["client_certificate"]].concat();
    let inner = |key| [whole.as_slice(), &[Step::Key(key)]].concat();
    let files = CertificateFiles {
        certificate: existing(scope, &inner("certificate"), &raw.certificate),
        key: existing(scope, &inner("key"), &raw.key),
    };
    pair(scope, &whole, &files, "the application refuses");
    files
}

fn remedy(why: Malformed) -> &'static str {
    match why {
        Malformed::NotAUrl | Malformed::Scheme | Malformed::NoHost | Malformed::Port => {
            "write scheme, host and port, such as http://127.0.0.1:3000"
        }
        Malformed::User => "take it out: the application asks visitors for it",
        Malformed::Path => "take it out: paths reach the application as visitors ask for them",
        Malformed::NoSocket => "write the path of the application's socket, such as unix:/run/app.sock",
    }
}

/// Whether requests to `target` come back to `listener`, as far as one can tell without asking for names.
fn leads_to(target: &Target, listener: SocketAddr) -> bool {
    target.socket().is_some_and(|(ip, port)| {
        let same_host = ip == listener.ip() || listener.ip().is_unspecified() && ip.is_loopback();
        same_host && port == listener.port()
    })
}

/// Active checks, by default every ten seconds.
fn check(scope: &mut Scope<'_>, raw: &Health) -> Option<Check> {
    let path = raw
        .path
        .parse::<PathAndQuery>()
        .ok()
        .filter(|_| raw.path.starts_with('/') && !raw.path.contains('#'));
    if path.is_none() {
        let help = "write a path that begins with a slash, such as /healthz";
        scope.error(at!["health", "path"], format!("`{}` is not a path", raw.path), help);
    }
    let host = raw.host.as_ref().map(|host| {
        let parsed = host.parse::<Authority>().ok().filter(|host| !host.as_str().contains('@'));
        if parsed.is_none() {
            let help = "write the name that the application knows itself by, such as www.example.se";
            scope.error(at!["health", "host"], format!("`{host}` is not a host"), help);
        }
        parsed
    });
    let interval = span(scope, "interval", raw.interval.map(|time| time.0), Duration::from_secs(10));
    let most = raw.interval.map_or(Duration::MAX, |_| interval);
    let timeout = span(scope, "timeout", raw.timeout.map(|time| time.0), Duration::from_secs(5).min(most));
    if timeout > interval {
        let help = "give each check less time than there is between two";
        scope.error(at!["health", "timeout"], "checks would run into each other", help);
    }
    let thresholds = Thresholds {
        healthy: times(scope, "healthy", raw.healthy, 2),
        unhealthy: times(scope, "unhealthy", raw.unhealthy, 3),
    };
    Some(Check { path: path?, host: host.flatten(), interval, timeout, thresholds })
}

fn span(scope: &mut Scope<'_>, key: &str, written: Option<Duration>, default: Duration) -> Duration {
    match written {
        Some(Duration::ZERO) => {
            let help = format!("{}s is the default", default.as_secs());
            scope.error(at!["health", key], format!("no time at all for `{key}`"), help);
            default
        }
        Some(written) => written,
        None => default,
    }
}

fn times(scope: &mut Scope<'_>, key: &str, written: Option<u32>, default: u32) -> u32 {
    if written == Some(0) {
        let help = format!("write how many checks in a row it takes; {default} is the default");
        scope.error(at!["health", key], "no check at all changes nothing", help);
    }
    written.unwrap_or(default).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

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
