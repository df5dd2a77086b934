//! `upstream` and `health` of a site as they are written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::words::Time;

/// One address of the application, or several.
#[derive(Debug, JsonSchema)]
#[schemars(with = "OneOrSeveral")]
pub(in crate::config) struct Upstream {
    pub(in crate::config) targets: Vec<Target>,
    /// Whether it is written as a list, which the paths of problems follow.
    pub(in crate::config) is_list: bool,
}

/// One address of the application, its share of the work, and who is who behind TLS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Target {
    /// Scheme, host and port, such as https://10.0.0.5 or h2c://10.0.0.5:3000, or a socket, unix:/run/app.sock; or
    /// `env:NAME`, `file:PATH`.
    pub(in crate::config) url: String,
    /// Its share of the work, in proportion to those of the others.
    #[schemars(range(min = 1), extend("default" = 1))]
    pub(in crate::config) weight: Option<u16>,
    /// How many connections it may have at once; requests beyond wait. 0: no limit. Requests over HTTP/2 share one, and
    /// each WebSocket has one of its own: beside them, 2 at least.
    #[schemars(extend("default" = 0))]
    pub(in crate::config) connections: Option<usize>,
    /// Whether its certificate is verified.
    #[schemars(extend("default" = true))]
    pub(in crate::config) verify: Option<bool>,
    /// A file of the authorities that its certificate is verified with, in PEM.
    pub(in crate::config) ca: Option<String>,
    /// What is shown to it where it asks for a certificate.
    pub(in crate::config) client_certificate: Option<Identity>,
    /// Whether it is a mapping, which the paths of problems follow.
    #[serde(skip)]
    pub(in crate::config) is_short: bool,
}

/// One address of the application, or several.
#[expect(dead_code, reason = "`Targets` reads it with better errors; the schema is made from this")]
#[derive(JsonSchema)]
#[schemars(untagged)]
enum OneOrSeveral {
    One(AddressOrTarget),
    Several(#[schemars(length(min = 1))] Vec<AddressOrTarget>),
}

/// One address of the application, alone or with how its certificate is verified.
#[expect(dead_code, reason = "`One` reads it with better errors; the schema is made from this")]
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
enum AddressOrTarget {
    /// Scheme, host and port, such as http://127.0.0.1:3000, or a socket, unix:/run/app.sock; or `env:NAME`,
    /// `file:PATH`.
    Address(String),
    Target(Target),
}

/// What is shown to an application that asks for a certificate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Identity {
    /// A file with the certificate, its chain after it, in PEM.
    pub(in crate::config) certificate: String,
    /// A file with the private key, in PEM.
    pub(in crate::config) key: String,
}

/// Active checks of every address of the application.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Health {
    /// What is asked for, such as /healthz; an answer 2xx or 3xx is a good one.
    pub(in crate::config) path: String,
    /// The `Host` that is asked for; without it, the address's own.
    pub(in crate::config) host: Option<String>,
    /// From one check to the next.
    #[schemars(extend("default" = "10s"))]
    pub(in crate::config) interval: Option<Time>,
    /// How long an answer may take.
    #[schemars(extend("default" = "5s"))]
    pub(in crate::config) timeout: Option<Time>,
    /// So many good answers in a row bring an address back.
    #[schemars(range(min = 1), extend("default" = 2))]
    pub(in crate::config) healthy: Option<u32>,
    /// So many bad ones in a row take it out.
    #[schemars(range(min = 1), extend("default" = 3))]
    pub(in crate::config) unhealthy: Option<u32>,
}

struct Targets;

impl<'de> Visitor<'de> for Targets {
    type Value = Upstream;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an address such as http://127.0.0.1:3000, a list of them, or { url: …, verify: false }")
    }

    fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<Upstream, E> {
        Ok(Upstream { targets: vec![Target::short(url)], is_list: false })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Upstream, A::Error> {
        let mut targets = Vec::new();
        while let Some(OneTarget(target)) = items.next_element()? {
            targets.push(target);
        }
        Ok(Upstream { targets, is_list: true })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Upstream, A::Error> {
        let target = Target::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Upstream { targets: vec![target], is_list: false })
    }
}

impl<'de> Deserialize<'de> for Upstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Targets)
    }
}

impl Target {
    fn short(url: &str) -> Self {
        Target {
            url: url.into(),
            weight: None,
            connections: None,
            verify: None,
            ca: None,
            client_certificate: None,
            is_short: true,
        }
    }
}

struct OneTarget(Target);

impl<'de> Deserialize<'de> for OneTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct One;
        impl<'de> Visitor<'de> for One {
            type Value = OneTarget;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an address such as http://127.0.0.1:3000, or { url: …, verify: false }")
            }

            fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<OneTarget, E> {
                Ok(OneTarget(Target::short(url)))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OneTarget, A::Error> {
                Target::deserialize(MapAccessDeserializer::new(map)).map(OneTarget)
            }
        }
        deserializer.deserialize_any(One)
    }
}
