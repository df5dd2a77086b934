//! `consentry.yaml` as it is written: the keys and the types of their values, and nothing else.
//!
//! Absent keys stay absent here; `resolve` knows what holds then. What stands above a key in `///` is what editors
//! tell of it: `schema` is made from these types.

pub(super) mod front_matter;
mod ledger;
pub(super) mod service;
pub(super) mod site;
pub(super) mod upstream;
pub(super) mod words;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::telemetry::LogFormat;
use crate::visit::ClientAddress;
pub(super) use ledger::{Checkpoints, Ledger, Postgres};
pub(super) use site::Site;
use words::{Size, Time};

/// The settings of the proxy: listeners, secrets, ledger, limits, and what holds for every site.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Consentry: consentry.yaml", extend("required" = ["listen"]))]
pub(super) struct Main {
    /// Where visitors are listened to.
    #[schemars(length(min = 1))]
    pub(super) listen: Option<Vec<Listener>>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served; never where visitors reach it.
    pub(super) admin: Option<Admin>,
    /// Networks whose `X-Forwarded-*` and `Forwarded` are believed, such as 10.0.0.0/8; `env:NAME` and `file:PATH` may bring several.
    pub(super) trusted_proxies: Vec<String>,
    /// What signs cookies: `file:PATH` or `env:NAME`, one a line, newest first. The first signs, all verify; the file is made at the first start.
    #[schemars(extend("default" = "file:../data/secrets"))]
    pub(super) secrets: Option<String>,
    /// The record of choices and acceptances.
    pub(super) ledger: Ledger,
    /// What the log says, and how.
    pub(super) log: Log,
    /// How long clients and upstreams may take.
    pub(super) timeouts: Timeouts,
    /// How much clients may take; 0 is no limit.
    pub(super) limits: Limits,
    /// The files of the sites; `*` stands for any text of a name.
    #[schemars(extend("default" = "sites/*.yaml"))]
    pub(super) sites: Option<String>,
    /// Any key of a site; a site's own value wins.
    // Decoded here so that its mistakes are reported once, and not once a site.
    #[serde(rename = "defaults")]
    pub(super) _defaults: Site,
}

/// One address to listen on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listener {
    /// An IP address and a port, such as 0.0.0.0:443 or `[::]:443`; or `env:NAME`, `file:PATH`.
    pub(super) address: String,
    /// HTTPS; without it, this address speaks HTTP.
    pub(super) tls: Option<Tls>,
    /// Whether each connection must begin with a PROXY protocol header, complete within `timeouts.request_header`.
    #[serde(default)]
    pub(super) proxy_protocol: bool,
    /// Whether every request is answered with its address over HTTPS.
    #[serde(default)]
    pub(super) redirect_to_https: bool,
}

/// TLS of a listener.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// The certificates, chosen by the name that the browser asks for.
    #[schemars(length(min = 1))]
    pub(super) certificates: Vec<Certificate>,
}

/// A certificate and its key, each a file in PEM.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Certificate {
    /// The file of the certificate, followed by those above it.
    pub(super) certificate: String,
    /// The file of its private key.
    pub(super) key: String,
}

/// The listener of operators.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Admin {
    /// An IP address and a port that visitors cannot reach, such as 127.0.0.1:9090.
    pub(super) address: String,
    /// Whether answers are counted for each site by itself; with thousands of sites that is a lot to store.
    #[serde(default)]
    pub(super) count_by_site: bool,
}

/// What the log says, and how.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Log {
    /// Lines for people or for programs.
    #[schemars(extend("default" = "text"))]
    pub(super) format: LogFormat,
    /// What the log says of visitors' addresses.
    #[schemars(extend("default" = "anonymized"))]
    pub(super) client_address: Option<ClientAddress>,
}

/// How long clients and upstreams may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Timeouts {
    /// From the connection to the end of the TLS handshake.
    #[schemars(extend("default" = "10s"))]
    pub(super) tls_handshake: Option<Time>,
    /// From the first byte of a request to the end of its head.
    #[schemars(extend("default" = "10s"))]
    pub(super) request_header: Option<Time>,
    /// Between two pieces of a body that a client sends.
    #[schemars(extend("default" = "60s"))]
    pub(super) request_body: Option<Time>,
    /// To connect to an upstream.
    #[schemars(extend("default" = "5s"))]
    pub(super) upstream_connect: Option<Time>,
    /// From the end of a request to the head of the upstream's answer.
    #[schemars(extend("default" = "60s"))]
    pub(super) upstream_response: Option<Time>,
    /// Between two pieces of the upstream's answer; one that is silent for longer is cut off.
    #[schemars(extend("default" = "10m"))]
    pub(super) upstream_body: Option<Time>,
    /// How long a connection without a request, or a silent WebSocket, stays open.
    #[schemars(extend("default" = "60s"))]
    pub(super) idle: Option<Time>,
    /// What requests under way get when the proxy stops.
    #[schemars(extend("default" = "30s"))]
    pub(super) drain: Option<Time>,
}

/// How much clients may take; 0 is no limit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Limits {
    /// Connections at a time; more of them wait. Never more than the process may have files for.
    #[schemars(extend("default" = 10000))]
    pub(super) connections: Option<usize>,
    /// Connections of one client address at a time; more of them are closed.
    #[schemars(extend("default" = 0))]
    pub(super) connections_per_address: Option<usize>,
    /// The head of a request; 8KiB at least.
    #[schemars(extend("default" = "32KiB"))]
    pub(super) request_header: Option<Size>,
    /// The body of a request.
    #[schemars(extend("default" = "512MiB"))]
    pub(super) request_body: Option<Size>,
    /// A form that is posted into a gate, files included: it is kept while the document is read, and then sent on.
    #[schemars(extend("default" = "8MiB"))]
    pub(super) held_form: Option<Size>,
    /// The longest tag or script of a page.
    #[schemars(extend("default" = "4MiB"))]
    pub(super) html_token: Option<Size>,
}
