//! `consentry.yaml` as it is meant, without the sites.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::secrets::{self, Keys};
use super::{Scope, at};
use crate::config::FirstStart;
use crate::config::raw::words::{Size, Time};
use crate::config::raw::{self, Main};
use crate::config::tree::Step;
use crate::listener::{self, CertificateFiles, ProxyProtocol, Transport};
use crate::visit::ClientAddress;
use crate::{ledger, upstream};

/// Everything of `consentry.yaml` but the sites.
pub(in crate::config) struct Proxy {
    pub(in crate::config) listeners: Vec<listener::Settings>,
    pub(in crate::config) admin: Option<SocketAddr>,
    pub(in crate::config) trusted_proxies: Vec<IpNet>,
    pub(in crate::config) keys: Option<Keys>,
    pub(in crate::config) ledger: ledger::Settings,
    pub(in crate::config) log_client_address: ClientAddress,
    pub(in crate::config) timeouts: listener::Timeouts,
    pub(in crate::config) upstream_timeouts: upstream::Timeouts,
    pub(in crate::config) limits: listener::Limits,
    /// The largest form that is held, in bytes.
    pub(in crate::config) held_form: usize,
    /// The most that the rewriter keeps of one page, in bytes.
    pub(in crate::config) html_token: usize,
}

/// Resolves it.
pub(in crate::config) fn proxy(scope: &mut Scope<'_>, raw: &Main, first_start: FirstStart) -> Proxy {
    let listeners = listeners(scope, raw);
    Proxy {
        admin: admin(scope, raw, &listeners),
        trusted_proxies: trusted_proxies(scope, &raw.trusted_proxies),
        keys: secrets::resolve(scope, raw.secrets.as_deref(), first_start),
        ledger: super::ledger::ledger(scope, &raw.ledger),
        log_client_address: raw.log.client_address.unwrap_or(ClientAddress::Anonymized),
        timeouts: timeouts(scope, &raw.timeouts),
        upstream_timeouts: upstream_timeouts(scope, &raw.timeouts),
        limits: limits(scope, &raw.limits),
        held_form: bytes(raw.limits.held_form, 8 << 20),
        html_token: bytes(raw.limits.html_token, 4 << 20),
        listeners,
    }
}

/// A size; 0 is no limit.
fn bytes(written: Option<Size>, default: u64) -> usize {
    match written.map_or(default, |size| size.0) {
        0 => usize::MAX,
        bytes => usize::try_from(bytes).unwrap_or(usize::MAX),
    }
}

fn listeners(scope: &mut Scope<'_>, raw: &Main) -> Vec<listener::Settings> {
    const HELP: &str = "write where to listen: `listen: [{ address: 127.0.0.1:8080 }]`";
    let mut listeners: Vec<listener::Settings> = Vec::new();
    let Some(list) = &raw.listen else {
        scope.missing(at!["listen"], HELP);
        return listeners;
    };
    if list.is_empty() && !scope.tree.has_lost(at!["listen", 0]) {
        scope.error(at!["listen"], "nowhere to listen", HELP);
    }
    for (index, listener) in list.iter().enumerate() {
        let transport = transport(scope, index, listener);
        let path = at!["listen", index, "address"];
        let Some(address) = address(scope, path, &listener.address) else { continue };
        // Port 0 is a new port each time.
        if address.port() != 0 && listeners.iter().any(|other| other.address == address) {
            scope.error(path, format!("{address} stands here a second time"), "keep one listener an address");
        }
        let proxy_protocol =
            if listener.proxy_protocol { ProxyProtocol::Required } else { ProxyProtocol::Unused };
        listeners.push(listener::Settings { address, transport, proxy_protocol });
    }
    listeners
}

fn transport(scope: &mut Scope<'_>, index: usize, listener: &raw::Listener) -> Transport {
    match &listener.tls {
        Some(_) if listener.redirect_to_https => {
            let help = "redirect from a listener without `tls`, such as port 80";
            scope.error(
                at!["listen", index, "redirect_to_https"],
                "this listener speaks HTTPS already",
                help,
            );
            Transport::RedirectToHttps
        }
        Some(tls) => Transport::Tls(certificates(scope, index, &tls.certificates)),
        None if listener.redirect_to_https => Transport::RedirectToHttps,
        None => Transport::Clear,
    }
}

fn certificates(scope: &mut Scope<'_>, index: usize, raw: &[raw::Certificate]) -> Vec<CertificateFiles> {
    let list = at!["listen", index, "tls", "certificates"];
    if raw.is_empty() && !scope.tree.has_lost(at!["listen", index, "tls", "certificates", 0]) {
        scope.error(list, "no certificate", "add `- { certificate: FILE, key: FILE }`");
    }
    raw.iter()
        .enumerate()
        .map(|(item, files)| {
            let path = |key| [list.as_slice(), &[Step::from(item), Step::Key(key)]].concat();
            CertificateFiles {
                certificate: scope.locate(&path("certificate"), &files.certificate),
                key: scope.locate(&path("key"), &files.key),
            }
        })
        .collect()
}

fn address(scope: &mut Scope<'_>, path: &[Step<'_>], written: &str) -> Option<SocketAddr> {
    let text = scope.look_up(path, written)?;
    let address = text.parse().ok();
    if address.is_none() {
        let help = "write an IP address and a port: 127.0.0.1:8080, 0.0.0.0:443 or \"[::]:443\"";
        scope.error(path, format!("`{text}` is not an address to listen on"), help);
    }
    address
}

/// The admin listener, which must be none of the public ones.
pub(in crate::config) fn admin(
    scope: &mut Scope<'_>,
    raw: &Main,
    listeners: &[listener::Settings],
) -> Option<SocketAddr> {
    let path = at!["admin", "address"];
    let admin = address(scope, path, &raw.admin.as_ref()?.address)?;
    let collides = |listener: &listener::Settings| {
        let is_any = listener.address.ip().is_unspecified() || admin.ip().is_unspecified();
        admin.port() != 0
            && listener.address.port() == admin.port()
            && (is_any || listener.address.ip() == admin.ip())
    };
    if listeners.iter().any(collides) {
        let help = "give it a port of its own that visitors cannot reach";
        scope.error(path, format!("{admin} is a public listener, too"), help);
    }
    Some(admin)
}

/// Networks, or single addresses; `env:` and `file:` may bring several.
fn trusted_proxies(scope: &mut Scope<'_>, raw: &[String]) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (index, written) in raw.iter().enumerate() {
        let path = at!["trusted_proxies", index];
        let Some(text) = scope.look_up(path, written) else { continue };
        for word in text.split([',', ' ', '\n', '\r', '\t']).filter(|word| !word.is_empty()) {
            let network = word.parse().ok().or_else(|| word.parse::<IpAddr>().ok().map(IpNet::from));
            match network {
                Some(network) => networks.push(network),
                None => {
                    let help = "write an address or a network, such as 10.0.0.0/8 or 2001:db8::/32";
                    scope.error(path, format!("`{word}` is not a network"), help);
                }
            }
        }
    }
    networks
}

fn timeouts(scope: &mut Scope<'_>, raw: &raw::Timeouts) -> listener::Timeouts {
    listener::Timeouts {
        tls_handshake: timeout(scope, "tls_handshake", raw.tls_handshake, 10),
        request_header: timeout(scope, "request_header", raw.request_header, 10),
        request_body: timeout(scope, "request_body", raw.request_body, 60),
        idle: timeout(scope, "idle", raw.idle, 60),
        // Without grace, requests under way are cut off: an operator may want that.
        drain: raw.drain.map_or(Duration::from_secs(30), |time| time.0),
    }
}

fn upstream_timeouts(scope: &mut Scope<'_>, raw: &raw::Timeouts) -> upstream::Timeouts {
    upstream::Timeouts {
        connect: timeout(scope, "upstream_connect", raw.upstream_connect, 5),
        response: timeout(scope, "upstream_response", raw.upstream_response, 60),
        // A stream of events may have nothing to say for minutes.
        body: timeout(scope, "upstream_body", raw.upstream_body, 600),
        idle: raw.idle.map_or(Duration::from_secs(60), |time| time.0),
    }
}

fn timeout(scope: &mut Scope<'_>, key: &str, written: Option<Time>, seconds: u64) -> Duration {
    let duration = written.map_or(Duration::from_secs(seconds), |time| time.0);
    if duration.is_zero() {
        let help = format!("every timeout has an end; {seconds}s is the default");
        scope.error(at!["timeouts", key], format!("no time at all for `{key}`"), help);
    }
    duration
}

fn limits(scope: &mut Scope<'_>, raw: &raw::Limits) -> listener::Limits {
    // What hyper takes as the least for a buffer.
    const LEAST_HEADER: u64 = 8 << 10;
    let request_header = raw.request_header.unwrap_or(Size(32 << 10)).0;
    if (1..LEAST_HEADER).contains(&request_header) {
        let message = "too small: ordinary requests would be refused";
        scope.error(at!["limits", "request_header"], message, "allow 8KiB at least, or 0 for no limit");
    }
    listener::Limits {
        connections: raw.connections.unwrap_or(listener::Limits::CONNECTIONS),
        connections_per_address: raw.connections_per_address.unwrap_or(0),
        request_header: usize::try_from(request_header).unwrap_or(usize::MAX),
        request_body: raw.request_body.map_or(512 << 20, |size| size.0),
    }
}
