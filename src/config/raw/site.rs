//! `sites/NAME.yaml` as it is written.

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::words::{CategoryWord, Colour, CookieName, Host, Location, PathRule, Tag, Text, Time};
use crate::consent::signal::GlobalPrivacyControl;
use crate::documents::Kind;
use crate::filter::{UnknownThirdParties, cookies};
use crate::services::{Rule, Treatment};
use crate::visit::ClientAddress;
use crate::web::Position;

/// The whole file, or `defaults` of `consentry.yaml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Site {
    pub(in crate::config) hosts: Option<Vec<Host>>,
    pub(in crate::config) upstream: Option<Upstream>,
    pub(in crate::config) mode: Mode,
    pub(in crate::config) languages: Option<Vec<Tag>>,
    pub(in crate::config) controller: Option<Party>,
    pub(in crate::config) processor: Option<Party>,
    pub(in crate::config) documents: Named<Document>,
    pub(in crate::config) gates: Vec<Gate>,
    pub(in crate::config) banner: Banner,
    pub(in crate::config) services: Named<Treated>,
    pub(in crate::config) own_services: Vec<OwnService>,
    pub(in crate::config) third_parties: ThirdParties,
    pub(in crate::config) cookies: Cookies,
    pub(in crate::config) client_address: ClientAddress,
    pub(in crate::config) own_path: Option<String>,
    pub(in crate::config) crawlers: Crawlers,
    pub(in crate::config) hsts: Option<Hsts>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Mode {
    #[default]
    Enforce,
    Observe,
    Off,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Crawlers {
    #[default]
    Pass,
    Treat,
}

/// That browsers are to come over HTTPS alone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Hsts {
    pub(in crate::config) max_age: Time,
    #[serde(default)]
    pub(in crate::config) include_subdomains: bool,
    #[serde(default)]
    pub(in crate::config) preload: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Party {
    pub(in crate::config) name: Text,
    pub(in crate::config) organisation_number: Option<Text>,
    pub(in crate::config) address: Option<Text>,
    pub(in crate::config) email: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Document {
    pub(in crate::config) kind: Kind,
    pub(in crate::config) path: String,
    pub(in crate::config) files: Named<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Gate {
    pub(in crate::config) name: String,
    pub(in crate::config) document: String,
    pub(in crate::config) cookie: Option<CookieName>,
    #[serde(default)]
    pub(in crate::config) paths: Vec<PathRule>,
    #[serde(default)]
    pub(in crate::config) except: Vec<PathRule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Banner {
    pub(in crate::config) enabled: Option<bool>,
    pub(in crate::config) position: Position,
    pub(in crate::config) theme: Theme,
    pub(in crate::config) texts: Named<Named<Text>>,
    pub(in crate::config) lifetime: Lifetime,
    pub(in crate::config) global_privacy_control: GlobalPrivacyControl,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Theme {
    pub(in crate::config) accent: Option<Colour>,
    pub(in crate::config) background: Option<Colour>,
    pub(in crate::config) text: Option<Colour>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Lifetime {
    pub(in crate::config) agreed: Option<Time>,
    pub(in crate::config) refused: Option<Time>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct OwnService {
    pub(in crate::config) name: String,
    pub(in crate::config) category: CategoryWord,
    #[serde(default)]
    pub(in crate::config) urls: Vec<Location>,
    #[serde(default)]
    pub(in crate::config) inline: Vec<String>,
    #[serde(default)]
    pub(in crate::config) cookies: Vec<CookieName>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ThirdParties {
    pub(in crate::config) unknown: UnknownThirdParties,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Cookies {
    pub(in crate::config) necessary: Vec<CookieName>,
    pub(in crate::config) unknown: cookies::Unknown,
}

/// A mapping whose keys are names, in the order of the file.
#[derive(Debug)]
pub(in crate::config) struct Named<T>(pub(in crate::config) Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a mapping: `name: value`")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }
        deserializer.deserialize_map(Entries(std::marker::PhantomData))
    }
}

/// One address of the application, or several.
#[derive(Debug)]
pub(in crate::config) struct Upstream {
    pub(in crate::config) targets: Vec<Target>,
    /// Whether it is written as a list, which the paths of problems follow.
    pub(in crate::config) is_list: bool,
}

/// One address of the application, and how its certificate is verified.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Target {
    pub(in crate::config) url: String,
    pub(in crate::config) verify: Option<bool>,
    pub(in crate::config) ca: Option<String>,
    /// Whether it is a mapping, which the paths of problems follow.
    #[serde(skip)]
    pub(in crate::config) is_short: bool,
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
        Target { url: url.into(), verify: None, ca: None, is_short: true }
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

/// How a category or a service is treated: a word, or a treatment before and one after agreement.
#[derive(Clone, Copy, Debug)]
pub(in crate::config) struct Treated(pub(in crate::config) Rule);

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RuleWord {
    Strip,
    Consent,
    Anonymize,
    Allow,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum TreatmentWord {
    Block,
    Anonymize,
    Allow,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BeforeAndAfter {
    without_consent: TreatmentWord,
    with_consent: TreatmentWord,
}

impl From<RuleWord> for Rule {
    fn from(word: RuleWord) -> Self {
        match word {
            RuleWord::Strip => Rule::STRIP,
            RuleWord::Consent => Rule::CONSENT,
            RuleWord::Anonymize => Rule::ANONYMIZE,
            RuleWord::Allow => Rule::ALLOW,
        }
    }
}

impl From<TreatmentWord> for Treatment {
    fn from(word: TreatmentWord) -> Self {
        match word {
            TreatmentWord::Block => Treatment::Block,
            TreatmentWord::Anonymize => Treatment::Anonymize,
            TreatmentWord::Allow => Treatment::Allow,
        }
    }
}

impl<'de> Deserialize<'de> for Treated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Treated;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("strip, consent, anonymize, allow, or { without_consent: …, with_consent: … }")
            }

            fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Treated, E> {
                let word: serde::de::value::StrDeserializer<'_, E> =
                    serde::de::IntoDeserializer::into_deserializer(word);
                RuleWord::deserialize(word).map(|word| Treated(word.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Treated, A::Error> {
                let both = BeforeAndAfter::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Treated(Rule {
                    without_consent: both.without_consent.into(),
                    with_consent: both.with_consent.into(),
                }))
            }
        }
        deserializer.deserialize_any(Either)
    }
}
