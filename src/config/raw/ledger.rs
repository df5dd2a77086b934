//! `ledger` of the proxy and `retention` of a site as they are written.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::words::Time;

/// Where the record of choices and acceptances is kept.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Ledger {
    /// A file, which is made at the first start.
    #[schemars(extend("default" = "../data/ledger.sqlite"))]
    pub(in crate::config) sqlite: Option<String>,
    /// A PostgreSQL database that several instances share.
    pub(in crate::config) postgres: Option<Postgres>,
    /// Where it is told, outside the ledger, how far it has come: proof against whoever can write the ledger.
    pub(in crate::config) checkpoints: Option<Checkpoints>,
}

/// A PostgreSQL database: its address, alone or with how its certificate is verified.
#[derive(Debug, JsonSchema)]
#[schemars(with = "AddressOrMapping")]
pub(in crate::config) struct Postgres {
    pub(in crate::config) written: Written,
    /// Whether it is a mapping, which the paths of problems follow.
    pub(in crate::config) is_mapping: bool,
}

/// A PostgreSQL database.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Written {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or `env:NAME`, `file:PATH`.
    pub(in crate::config) url: String,
    /// A file of the authorities that its certificate is verified with, in PEM; without it, those of the system.
    pub(in crate::config) ca: Option<String>,
}

/// A PostgreSQL database.
#[expect(dead_code, reason = "`Postgres` reads it with better errors; the schema is made from this")]
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
enum AddressOrMapping {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, or `env:NAME`, `file:PATH`.
    Address(String),
    Mapping(Written),
}

impl<'de> Deserialize<'de> for Postgres {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Postgres;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an address such as env:LEDGER_URL, or { url: …, ca: … }")
            }

            fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<Postgres, E> {
                Ok(Postgres { written: Written { url: url.to_owned(), ca: None }, is_mapping: false })
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Postgres, A::Error> {
                let written = Written::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Postgres { written, is_mapping: true })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// Where it is told how far the ledger has come: a file, an address, or both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Checkpoints {
    /// A file, best one that can only be added to; a line is added to it where there is news.
    pub(in crate::config) file: Option<String>,
    /// An address, `https://…`, that gets the same line as the body of a `POST`; `env:NAME` or `file:PATH`, too.
    pub(in crate::config) url: Option<String>,
    /// The value of the header `Authorization` of that `POST`, such as `env:CHECKPOINTS_AUTHORIZATION`.
    pub(in crate::config) authorization: Option<String>,
    /// A file of the authorities that the certificate of the address is verified with, in PEM; without it, those of
    /// the system.
    pub(in crate::config) ca: Option<String>,
    /// How often at most, `1m` where it is not said; at the end of the proxy in any case.
    pub(in crate::config) every: Option<Time>,
}

/// How long the ledger keeps what visitors of the site decided. What still holds is kept in any case.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Retention {
    /// Choices, refusals and withdrawals, from when they were made.
    #[schemars(extend("default" = "5y"))]
    pub(in crate::config) choices: Option<Time>,
    /// Acceptances and declines; at least 400d, as long as browsers remember them.
    #[schemars(extend("default" = "10y"))]
    pub(in crate::config) acceptances: Option<Time>,
}
