//! `sites/NAME.yaml` as it is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::ledger::Retention;
use super::service::OwnService;
use super::upstream::{Health, Upstream};
use super::words::{
    Colour, CookieName, Header, Host, Letters, MethodWord, PathRule, Pixels, Tag, Text, Time,
};
use crate::consent::signal::{DoNotTrack, GlobalPrivacyControl};
use crate::documents::Kind;
use crate::filter::{UnknownThirdParties, cookies};
use crate::services::{Rule, Treatment};
use crate::visit::ClientAddress;
use crate::web::Position;

/// One site, or the defaults of all.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Consentry: a site")]
pub(in crate::config) struct Site {
    /// The names by which visitors reach the site; `*` is every name that no other site has.
    pub(in crate::config) hosts: Option<Vec<Host>>,
    /// The application: one address, or a list of them.
    pub(in crate::config) upstream: Option<Upstream>,
    /// How the addresses of the application are checked beside the requests of visitors; without it, requests tell.
    pub(in crate::config) health: Option<Health>,
    /// Whether the site is treated.
    #[schemars(extend("default" = "enforce"))]
    pub(in crate::config) mode: Mode,
    /// The languages of the site; the first is the fallback.
    pub(in crate::config) languages: Option<Vec<Tag>>,
    /// Parts of the site that speak one language, whoever asks and whatever the page says; the first that fits counts.
    pub(in crate::config) languages_by: Vec<LanguageBy>,
    /// Who answers for the personal data; banner and documents name them.
    pub(in crate::config) controller: Option<Party>,
    /// Who processes the personal data for them.
    pub(in crate::config) processor: Option<Party>,
    /// What the site publishes, by name; `privacy` is its cookies and privacy information.
    pub(in crate::config) documents: Named<Document>,
    /// Which requests go to a document first, until it is acknowledged or accepted.
    pub(in crate::config) gates: Vec<Gate>,
    /// How the application says who somebody is, so that what they accepted on one device counts on the others; without it, acceptances belong to a browser.
    pub(in crate::config) identity: Option<Identity>,
    /// The question for agreement.
    pub(in crate::config) banner: Banner,
    /// How a category, or one service by its name, is treated; the service wins.
    #[schemars(schema_with = "crate::config::schema::services")]
    pub(in crate::config) services: Named<Treated>,
    /// What the built-in catalogue does not know.
    pub(in crate::config) own_services: Vec<OwnService>,
    /// Third parties that no catalogue knows.
    pub(in crate::config) third_parties: ThirdParties,
    /// The site's own cookies.
    pub(in crate::config) cookies: Cookies,
    /// How long the ledger keeps what visitors decided.
    pub(in crate::config) retention: Retention,
    /// What the application learns of visitors' addresses.
    #[schemars(extend("default" = "full"))]
    pub(in crate::config) client_address: ClientAddress,
    /// Whether the proxy names itself in `Via`, to the application and to visitors.
    pub(in crate::config) via: bool,
    /// The folder of the proxy's own pages.
    #[schemars(extend("default" = "/_consent/"))]
    pub(in crate::config) own_path: Option<String>,
    /// Whether known crawlers see gates and banner.
    #[schemars(extend("default" = "pass"))]
    pub(in crate::config) crawlers: Crawlers,
    /// A page of the site that its documents stand in; without it, they have a layout of their own.
    pub(in crate::config) layout: Option<Layout>,
    /// Tells browsers, over HTTPS, to come over HTTPS alone; without it, what the application says passes.
    pub(in crate::config) hsts: Option<Hsts>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Mode {
    /// Everything holds.
    #[default]
    Enforce,
    /// Nothing changes; the log says what would have.
    Observe,
    /// A proxy that leaves everything as it is.
    Off,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Crawlers {
    /// They see neither gate nor banner; services stay held.
    #[default]
    Pass,
    /// They are visitors as all others.
    Treat,
}

/// A page of the site as the frame of its documents. Nothing of it runs there, and nothing comes from others.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Layout {
    /// The page's path, such as /; it is fetched as by nobody, and kept for five minutes.
    #[schemars(regex(pattern = "^/"))]
    pub(in crate::config) page: String,
    /// The CSS selector of the element whose content the document takes the place of, such as "#content".
    pub(in crate::config) selector: Text,
}

/// That browsers are to come over HTTPS alone (RFC 6797).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Hsts {
    /// How long browsers remember it after each answer, such as 365d; 0 has them forget it.
    pub(in crate::config) max_age: Time,
    /// Whether it holds for every name below the hosts, too.
    #[serde(default)]
    pub(in crate::config) include_subdomains: bool,
    /// Whether the hosts may be put into the list that comes with browsers.
    #[serde(default)]
    pub(in crate::config) preload: bool,
}

/// A company or an authority.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Party {
    /// Its full name.
    pub(in crate::config) name: Text,
    /// The number under which it is registered.
    pub(in crate::config) organisation_number: Option<Text>,
    /// Its postal address.
    pub(in crate::config) address: Option<Text>,
    /// Where visitors reach it about their data.
    pub(in crate::config) email: Option<Text>,
}

/// A part of the site that speaks one language.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct LanguageBy {
    /// One of the site's hosts, or "*.example.se" for all below it; without it, all of them.
    pub(in crate::config) host: Option<Host>,
    /// A path, or with a `*` at its end all that begin so; without it, all of them.
    pub(in crate::config) path: Option<PathRule>,
    /// One of the site's languages.
    pub(in crate::config) language: Tag,
}

/// A text that the site publishes in one or more languages.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Document {
    /// Whether its readers acknowledge or accept it.
    pub(in crate::config) kind: Kind,
    /// Where visitors read it, such as /privacy.
    #[schemars(regex(pattern = "^/"))]
    pub(in crate::config) path: String,
    /// A file of Markdown for each language.
    pub(in crate::config) files: Named<String>,
}

/// Requests that need a valid acceptance of a document: those to which all that is written here applies.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Gate {
    /// What the log calls it.
    pub(in crate::config) name: String,
    /// The document that is shown.
    pub(in crate::config) document: String,
    /// The cookie by which the application knows its users.
    pub(in crate::config) cookie: Option<CookieName>,
    /// A header of the application's answers by which it says that somebody is logged in, such as X-User; pages that carry it with a value are kept back.
    pub(in crate::config) upstream_header: Option<Header>,
    /// The paths that the gate closes; all of them, where none is given.
    #[serde(default)]
    pub(in crate::config) paths: Vec<PathRule>,
    /// The methods that it closes, such as POST; all of them, where none is given.
    #[serde(default)]
    pub(in crate::config) methods: Vec<MethodWord>,
    /// The paths that it leaves open.
    #[serde(default)]
    pub(in crate::config) except: Vec<PathRule>,
    /// Where who declines the document can log out, such as /logout; `except` must leave it open.
    #[schemars(regex(pattern = "^/"))]
    pub(in crate::config) logout: Option<String>,
}

/// How the application says who somebody is: one of the two. What it says is kept as a keyed hash alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Identity {
    /// A cookie whose value is the same on every device of a person, and which nobody can guess; no session cookie.
    pub(in crate::config) cookie: Option<CookieName>,
    /// A header of the application's answers that names who is logged in, such as X-User; empty when nobody is. A page that is only read is asked for before a gate closes, and kept back unless the answer names somebody who has accepted.
    pub(in crate::config) header: Option<Header>,
}

/// The question for agreement, and the pages that look like it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Banner {
    /// Whether it is shown; services are held all the same.
    #[schemars(extend("default" = true))]
    pub(in crate::config) enabled: Option<bool>,
    /// Where it stands.
    #[schemars(extend("default" = "bottom"))]
    pub(in crate::config) position: Position,
    /// Its colours; text needs a contrast of 4.5 at least.
    pub(in crate::config) theme: Theme,
    /// Texts in place of the built-in ones, by language.
    #[schemars(schema_with = "crate::config::schema::banner_texts")]
    pub(in crate::config) texts: Named<Named<Text>>,
    /// After how long visitors are asked again.
    pub(in crate::config) lifetime: Lifetime,
    /// What `Sec-GPC: 1` of a browser means.
    #[schemars(extend("default" = "respect"))]
    pub(in crate::config) global_privacy_control: GlobalPrivacyControl,
    /// What `DNT: 1` of a browser means: the same as `Sec-GPC: 1`, or nothing.
    #[schemars(extend("default" = "ignore"))]
    pub(in crate::config) do_not_track: DoNotTrack,
}

/// The looks of the banner.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Theme {
    /// Buttons and links.
    #[schemars(extend("default" = "#0b57d0"))]
    pub(in crate::config) accent: Option<Colour>,
    /// What they stand on.
    #[schemars(extend("default" = "#ffffff"))]
    pub(in crate::config) background: Option<Colour>,
    /// The text.
    #[schemars(extend("default" = "#1f1f1f"))]
    pub(in crate::config) text: Option<Colour>,
    /// The same colours for visitors who want it dark; without them, the default theme has a dark one of its own, and
    /// any other stays as it is.
    pub(in crate::config) dark: Option<Colours>,
    /// How round corners are: 0px to 40px.
    #[schemars(extend("default" = "8px"))]
    pub(in crate::config) radius: Option<Pixels>,
    /// system, inherit (the page's own), or families as CSS lists them.
    #[schemars(extend("default" = "system"))]
    pub(in crate::config) font: Option<Letters>,
    /// A picture above the text: a file of SVG, PNG, JPEG or WebP, 64KiB at most, which the proxy serves itself.
    pub(in crate::config) logo: Option<String>,
}

/// Three colours.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Colours {
    /// Buttons and links.
    pub(in crate::config) accent: Colour,
    /// What they stand on.
    pub(in crate::config) background: Colour,
    /// The text.
    pub(in crate::config) text: Colour,
}

/// After how long visitors are asked again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Lifetime {
    /// After they agreed: 365d at most.
    #[schemars(extend("default" = "180d"))]
    pub(in crate::config) agreed: Option<Time>,
    /// After they refused: 180d to 400d.
    #[schemars(extend("default" = "180d"))]
    pub(in crate::config) refused: Option<Time>,
}

/// Third parties that no catalogue knows.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ThirdParties {
    /// What happens to them until the visitor agrees to everything.
    #[schemars(extend("default" = "block-active"))]
    pub(in crate::config) unknown: UnknownThirdParties,
}

/// The site's own cookies.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Cookies {
    /// Those that the site cannot do without.
    pub(in crate::config) necessary: Vec<CookieName>,
    /// What happens to those that nobody names, until the visitor agrees to everything.
    #[schemars(extend("default" = "allow"))]
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

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<T>() })
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

/// How a category or a service is treated: a word, or a treatment before and one after agreement.
#[derive(Clone, Copy, Debug, JsonSchema)]
#[schemars(with = "WordOrBoth")]
pub(in crate::config) struct Treated(pub(in crate::config) Rule);

/// How a category or a service is treated.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RuleWord {
    /// It never runs.
    Strip,
    /// It runs once the visitor has agreed.
    Consent,
    /// It always runs, without what identifies a visitor.
    Anonymize,
    /// It always runs.
    Allow,
}

/// What happens to a service.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TreatmentWord {
    /// It does not run.
    Block,
    /// It runs without what identifies a visitor.
    Anonymize,
    /// It runs.
    Allow,
}

/// A word for both, or one before and one after agreement.
#[expect(dead_code, reason = "`Either` reads it with better errors; the schema is made from this")]
#[derive(JsonSchema)]
#[schemars(untagged)]
enum WordOrBoth {
    Word(RuleWord),
    Both(BeforeAndAfter),
}

/// A treatment before and one after agreement.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BeforeAndAfter {
    /// Until the visitor has agreed.
    without_consent: TreatmentWord,
    /// From then on.
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
