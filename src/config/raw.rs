//! `consentry.yaml` as it is written: the keys and the types of their values, and nothing else.
//!
//! Absent keys stay absent here; `resolve` knows what holds then.

pub(super) mod site;
pub(super) mod words;

use serde::Deserialize;

use crate::telemetry::LogFormat;
use crate::visit::ClientAddress;
pub(super) use site::Site;
use words::{Size, Time};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Main {
    pub(super) listen: Option<Vec<Listener>>,
    pub(super) admin: Option<Admin>,
    pub(super) trusted_proxies: Vec<String>,
    pub(super) secrets: Option<String>,
    pub(super) ledger: Ledger,
    pub(super) log: Log,
    pub(super) timeouts: Timeouts,
    pub(super) limits: Limits,
    pub(super) sites: Option<String>,
    /// Decoded here so that its mistakes are reported once, and not once a site.
    #[serde(rename = "defaults")]
    pub(super) _defaults: Site,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    pub(super) address: String,
    pub(super) tls: Option<Tls>,
    /// Whether each connection must begin with a PROXY protocol header, complete within `timeouts.request_header`.
    #[serde(default)]
    pub(super) proxy_protocol: bool,
    #[serde(default)]
    pub(super) redirect_to_https: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) certificates: Vec<Certificate>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    pub(super) certificate: String,
    pub(super) key: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    pub(super) address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Ledger {
    pub(super) sqlite: Option<String>,
    pub(super) postgres: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    pub(super) format: LogFormat,
    pub(super) client_address: Option<ClientAddress>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Timeouts {
    pub(super) tls_handshake: Option<Time>,
    pub(super) request_header: Option<Time>,
    pub(super) request_body: Option<Time>,
    pub(super) upstream_connect: Option<Time>,
    pub(super) upstream_response: Option<Time>,
    pub(super) idle: Option<Time>,
    pub(super) drain: Option<Time>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) connections: Option<usize>,
    pub(super) connections_per_address: Option<usize>,
    pub(super) request_header: Option<Size>,
    pub(super) request_body: Option<Size>,
    pub(super) html_token: Option<Size>,
}
