//! A service of the site's own, in the shape of the built-in catalogue. Most of it may be left out.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::site::Named;
use super::words::{CategoryWord, CookieName, Location, Text};
use crate::services::EmbedKind;

/// A service that the built-in catalogue does not know.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct OwnService {
    /// By which `services` knows it.
    pub(in crate::config) name: String,
    /// Why it is there.
    pub(in crate::config) category: CategoryWord,
    /// The name that visitors read; `name` where it is left out.
    pub(in crate::config) title: Option<Text>,
    /// The company behind it.
    pub(in crate::config) provider: Option<Text>,
    /// The country of that company, by two letters (ISO 3166-1): SE.
    #[schemars(regex(pattern = "^[A-Za-z]{2}$"))]
    pub(in crate::config) country: Option<String>,
    /// What it does, for visitors.
    pub(in crate::config) purpose: Option<Words>,
    /// Why it is needed, where it follows nobody.
    pub(in crate::config) reason: Option<Words>,
    /// Where it is loaded from: host and path, without a scheme.
    #[serde(default)]
    pub(in crate::config) urls: Vec<Location>,
    /// Text by which its inline scripts are known.
    #[serde(default)]
    pub(in crate::config) inline: Vec<String>,
    /// The cookies that it sets: names, or names with lifetime and purpose.
    #[serde(default)]
    pub(in crate::config) cookies: Vec<Cookie>,
    /// The keys of local and session storage that it writes; a `*` at the end covers all that begin so.
    #[serde(default)]
    pub(in crate::config) storage: Vec<String>,
    /// How it is made to run without identifiers.
    pub(in crate::config) anonymize: Option<Anonymize>,
    /// What it is told of the visitor's choices.
    #[serde(default)]
    pub(in crate::config) calls: Calls,
    /// What it shows in the page, so that a placeholder stands there while it is held.
    pub(in crate::config) embed: Option<EmbedKind>,
    /// Classes and ids of elements that its script fills: ".acme-widget", "#acme".
    #[serde(default)]
    pub(in crate::config) marks: Vec<String>,
    /// Globals that pages call, and that need a stub while it is held.
    #[serde(default)]
    pub(in crate::config) globals: Vec<String>,
}

/// A text for all languages, or one in Swedish and one in English.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
#[schemars(extend("type" = ["string", "object"]))]
pub(in crate::config) enum Words {
    /// For all languages.
    One(String),
    /// By language.
    Each(ByLanguage),
}

/// A text by language.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct ByLanguage {
    /// English: for all other languages, too.
    pub(in crate::config) en: String,
    /// Swedish.
    pub(in crate::config) sv: Option<String>,
}

/// A cookie by its name alone, or with what documents tell of it.
#[derive(Debug, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Cookie {
    /// A name, or with a `*` at its end all that begin so.
    Name(CookieName),
    /// With lifetime and purpose.
    Described(DescribedCookie),
}

/// A cookie as documents tell of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct DescribedCookie {
    /// A name, or with a `*` at its end all that begin so.
    pub(in crate::config) name: CookieName,
    /// How long it lives: session, 30m, 24h, 90d, 6mo, 2y.
    #[schemars(regex(pattern = "^(session|[0-9]{1,5}(s|m|h|d|mo|y))$"))]
    pub(in crate::config) lifetime: Option<String>,
    /// What it is for.
    pub(in crate::config) purpose: Option<Words>,
}

/// How a service is made to run without identifiers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Anonymize {
    /// JavaScript to run before its own.
    pub(in crate::config) script: Option<String>,
    /// Changes of its addresses.
    pub(in crate::config) urls: Vec<Change>,
    /// Attributes that its script element gets.
    pub(in crate::config) attributes: Named<Text>,
    /// It keeps no identifiers anyhow.
    pub(in crate::config) as_it_is: bool,
}

/// A change of addresses.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Change {
    /// Which addresses.
    pub(in crate::config) from: Location,
    /// What they begin with instead.
    pub(in crate::config) to: Option<Location>,
    /// Parameters of their query.
    #[serde(default)]
    pub(in crate::config) set: Named<Text>,
}

/// What a service is told: JavaScript in which `'{marketing}'` stands for `'granted'` or `'denied'`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Calls {
    /// Where the visitor agreed to it.
    pub(in crate::config) granted: Option<String>,
    /// Where it runs without identifiers.
    pub(in crate::config) refused: Option<String>,
}

/// Reads a text, or a mapping in its place.
macro_rules! text_or_mapping {
    ($($name:ident: $text:expr, $mapping:expr, $expected:literal;)*) => {
        $(impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Either;
                impl<'de> Visitor<'de> for Either {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: Error>(self, text: &str) -> Result<$name, E> {
                        $text(text).map_err(E::custom)
                    }

                    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<$name, A::Error> {
                        Deserialize::deserialize(MapAccessDeserializer::new(map)).map($mapping)
                    }
                }
                deserializer.deserialize_any(Either)
            }
        })*
    };
}

text_or_mapping! {
    Words: |text: &str| Ok::<_, String>(Words::One(text.into())), Words::Each, "a text, or { en: …, sv: … }";
    Cookie: |text: &str| text.parse().map(Cookie::Name), Cookie::Described, "a cookie's name, or { name: …, lifetime: …, purpose: … }";
}
