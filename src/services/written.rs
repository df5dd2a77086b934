//! The built-in catalogue as its files write it, and what it means.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Anonymize, Calls, CookieInfo, Embed, EmbedKind, Mark, NamePattern, Role, Rule, Service, Texts, UrlChange,
    UrlPattern,
};
use crate::consent::Category;

/// The files, in the order in which their services are looked through.
const FILES: [&str; 11] = [
    include_str!("catalogue/google.yaml"),
    include_str!("catalogue/statistics.yaml"),
    include_str!("catalogue/replay.yaml"),
    include_str!("catalogue/advertising.yaml"),
    include_str!("catalogue/mailings.yaml"),
    include_str!("catalogue/tags.yaml"),
    include_str!("catalogue/chat.yaml"),
    include_str!("catalogue/embeds.yaml"),
    include_str!("catalogue/regional.yaml"),
    include_str!("catalogue/neutral.yaml"),
    include_str!("catalogue/consent-tools.yaml"),
];

/// What is wrong with a catalogue.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// A file cannot be read as YAML of this shape.
    #[error("{0}")]
    Yaml(#[from] serde_yaml::Error),
    /// Something of a service means nothing.
    #[error("{service}: `{text}` is no {expected}")]
    Word { service: Box<str>, text: Box<str>, expected: &'static str },
}

/// Reads the built-in catalogue.
pub(super) fn builtin() -> Result<Vec<Service>, Fault> {
    let purposes = serde_yaml::from_str(include_str!("catalogue/purposes.yaml"))?;
    let mut services = Vec::new();
    for file in FILES {
        services.extend(read(file, &purposes)?);
    }
    Ok(services)
}

fn read(file: &str, purposes: &Purposes) -> Result<Vec<Service>, Fault> {
    let written: Vec<Written> = serde_yaml::from_str(file)?;
    written.into_iter().map(|service| service.read(purposes)).collect()
}

/// Texts that several services and cookies share, by a word.
type Purposes = BTreeMap<Box<str>, WrittenTexts>;

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTexts {
    en: Box<str>,
    sv: Box<str>,
}

impl From<WrittenTexts> for Texts {
    fn from(written: WrittenTexts) -> Self {
        Texts { en: written.en, sv: written.sv }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: Box<str>,
    name: Box<str>,
    provider: Box<str>,
    country: Box<str>,
    category: Category,
    purpose: Box<str>,
    #[serde(default)]
    reason: Option<WrittenTexts>,
    #[serde(default)]
    role: Role,
    urls: Vec<Box<str>>,
    #[serde(default)]
    inline: Vec<Box<str>>,
    /// Lifetime and purpose by the name: `_ga: 2y visitor`.
    #[serde(default)]
    cookies: BTreeMap<Box<str>, Box<str>>,
    /// The same of cookies that it sets on hosts of its own.
    #[serde(default)]
    third: BTreeMap<Box<str>, Box<str>>,
    #[serde(default)]
    storage: Vec<Box<str>>,
    #[serde(default)]
    anonymize: Option<WrittenAnonymize>,
    #[serde(default)]
    calls: WrittenCalls,
    #[serde(default)]
    embed: Option<WrittenEmbed>,
    #[serde(default)]
    globals: Vec<Box<str>>,
    #[serde(default)]
    dead_since: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenAnonymize {
    #[serde(default)]
    script: Option<Box<str>>,
    #[serde(default)]
    urls: Vec<WrittenChange>,
    #[serde(default)]
    attributes: BTreeMap<Box<str>, Box<str>>,
    /// It keeps no identifiers anyhow.
    #[serde(default)]
    as_it_is: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenChange {
    from: Box<str>,
    #[serde(default)]
    to: Option<Box<str>>,
    #[serde(default)]
    set: BTreeMap<Box<str>, Box<str>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCalls {
    #[serde(default)]
    granted: Option<Box<str>>,
    #[serde(default)]
    refused: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenEmbed {
    Kind(EmbedKind),
    Marked { kind: EmbedKind, marks: Vec<Box<str>> },
}

/// Makes faults of one service.
struct Of<'a>(&'a str);

impl Of<'_> {
    fn check<T>(&self, read: Option<T>, text: &str, expected: &'static str) -> Result<T, Fault> {
        read.ok_or_else(|| Fault::Word { service: self.0.into(), text: text.into(), expected })
    }

    fn urls(&self, written: &[Box<str>]) -> Result<Vec<UrlPattern>, Fault> {
        written.iter().map(|text| self.url(text)).collect()
    }

    fn url(&self, text: &str) -> Result<UrlPattern, Fault> {
        self.check(UrlPattern::parse(text), text, "address pattern")
    }

    fn name(&self, text: &str) -> Result<NamePattern, Fault> {
        self.check(NamePattern::parse(text), text, "name")
    }

    fn purpose(&self, word: &str, purposes: &Purposes) -> Result<Texts, Fault> {
        self.check(purposes.get(word).cloned().map(Into::into), word, "purpose")
    }

    fn cookies(
        &self,
        written: &BTreeMap<Box<str>, Box<str>>,
        purposes: &Purposes,
    ) -> Result<Vec<CookieInfo>, Fault> {
        let cookie = |name: &str, facts: &str| {
            let (lifetime, word) = self.check(facts.split_once(' '), facts, "lifetime with a purpose")?;
            let lifetime = self.check(is_lifetime(lifetime).then_some(lifetime), lifetime, "lifetime")?;
            Ok(CookieInfo {
                name: self.name(name)?,
                lifetime: lifetime.into(),
                purpose: self.purpose(word, purposes)?,
            })
        };
        written.iter().map(|(name, facts)| cookie(name, facts)).collect()
    }

    fn anonymize(&self, written: WrittenAnonymize) -> Result<Anonymize, Fault> {
        let means = written.script.is_some()
            || !written.urls.is_empty()
            || !written.attributes.is_empty()
            || written.as_it_is;
        self.check(means.then_some(()), "anonymize", "means to anonymize it")?;
        let change = |written: WrittenChange| {
            Ok(UrlChange {
                from: self.url(&written.from)?,
                to: written.to.map(|to| self.url(&to)).transpose()?,
                parameters: written.set.into_iter().collect(),
            })
        };
        Ok(Anonymize {
            script: written.script,
            urls: written.urls.into_iter().map(change).collect::<Result<_, Fault>>()?,
            attributes: written.attributes.into_iter().collect(),
        })
    }

    fn embed(&self, written: WrittenEmbed) -> Result<Embed, Fault> {
        let (kind, marks) = match written {
            WrittenEmbed::Kind(kind) => (kind, Vec::new()),
            WrittenEmbed::Marked { kind, marks } => (kind, marks),
        };
        let mark = |text: &str| self.check(Mark::parse(text), text, "class or id");
        Ok(Embed { kind, marks: marks.iter().map(|text| mark(text)).collect::<Result<_, Fault>>()? })
    }
}

impl Written {
    fn read(self, purposes: &Purposes) -> Result<Service, Fault> {
        let of = Of(&self.id);
        let default = match (self.category, &self.dead_since) {
            (_, Some(_)) => Rule::STRIP,
            (Category::Necessary, None) => Rule::ALLOW,
            (_, None) => Rule::CONSENT,
        };
        Ok(Service {
            name: self.name,
            provider: self.provider,
            country: self.country,
            purpose: of.purpose(&self.purpose, purposes)?,
            reason: self.reason.map(Into::into).unwrap_or_default(),
            role: self.role,
            urls: of.urls(&self.urls)?,
            inline: self.inline,
            cookies: of.cookies(&self.cookies, purposes)?,
            foreign_cookies: of.cookies(&self.third, purposes)?,
            storage: self.storage.iter().map(|key| of.name(key)).collect::<Result<_, Fault>>()?,
            default,
            anonymize: self.anonymize.map(|written| of.anonymize(written)).transpose()?,
            calls: Calls { granted: self.calls.granted, refused: self.calls.refused },
            embed: self.embed.map(|written| of.embed(written)).transpose()?,
            globals: self.globals,
            dead_since: self.dead_since,
            ..Service::new(&self.id, self.category)
        })
    }
}

/// Whether a text is a lifetime: a number with a unit, or `session`.
pub fn is_lifetime(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    match unit {
        "session" => number.is_empty(),
        "s" | "m" | "h" | "d" | "mo" | "y" => digits > 0 && digits < 6,
        _ => false,
    }
}
