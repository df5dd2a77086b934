//! The site's own services, its treatments, and the cookies it calls necessary.

use std::collections::HashMap;

use super::{Scope, at};
use crate::config::decode::nearest;
use crate::config::raw::service::{self, OwnService, Words};
use crate::config::raw::site::Site;
use crate::consent::Category;
use crate::filter::cookies;
use crate::services::{
    Anonymize, Calls, Catalogue, CookieInfo, Embed, Mark, NamePattern, Rule, Service, Set, Texts, Treatment,
    UrlChange, UrlPattern, is_lifetime,
};

/// Resolves `own_services` and `services`.
pub(super) fn resolve(scope: &mut Scope<'_>, raw: &Site) -> Set {
    let own = own_services(scope, &raw.own_services);
    let mut categories = HashMap::new();
    let mut services: HashMap<Box<str>, Rule> = HashMap::new();
    for (name, treated) in &raw.services.0 {
        check_order(scope, name, treated.0);
        if let Ok(category) = name.parse() {
            check_category(scope, category, treated.0);
            categories.insert(category, treated.0);
        } else if let Some(service) = find(&own, name) {
            check_service(scope, service, treated.0);
            services.insert(name.as_str().into(), treated.0);
        } else if !scope.tree.has_lost(at!["own_services", 0]) {
            let help = match nearest(name, &known(&own)) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => {
                    "name a category or a service of the catalogue, or describe it in `own_services`".into()
                }
            };
            scope.error_key(at!["services", name.as_str()], format!("no service is called `{name}`"), help);
        }
    }
    Set::new(own, categories, services)
}

fn find<'a>(own: &'a [Service], id: &str) -> Option<&'a Service> {
    own.iter().find(|service| &*service.id == id).or_else(|| Catalogue::builtin().find(id))
}

fn known(own: &[Service]) -> Vec<&str> {
    let mut known: Vec<&str> = own.iter().map(|service| &*service.id).collect();
    known.extend(Catalogue::builtin().iter().map(|service| &*service.id));
    known.extend(Category::OPTIONAL.map(Category::as_str));
    known
}

fn check_order(scope: &mut Scope<'_>, name: &str, rule: Rule) {
    if rule.with_consent < rule.without_consent {
        let message = format!("`{name}` may do less with consent than without");
        scope.error(at!["services", name], message, "exchange the two, or write one word for both");
    }
}

fn check_category(scope: &mut Scope<'_>, category: Category, rule: Rule) {
    let path = at!["services", category.as_str()];
    if category == Category::Necessary {
        let help = "take the line out; a single service may still have a line of its own";
        scope.error_key(path, "necessary services need no consent, and always run", help);
    } else if rule.without_consent == Treatment::Allow {
        warn_unasked(scope, category.as_str(), category);
    }
}

fn check_service(scope: &mut Scope<'_>, service: &Service, rule: Rule) {
    let id = &*service.id;
    let anonymizes = [rule.without_consent, rule.with_consent].contains(&Treatment::Anonymize);
    if anonymizes && service.anonymize.is_none() {
        let message = format!("`{id}` cannot be anonymized: it is held where it would have to be");
        scope.warn(at!["services", id], message, "write `consent` or `strip`");
    }
    if rule.without_consent == Treatment::Allow && service.category != Category::Necessary {
        warn_unasked(scope, id, service.category);
    }
}

/// ePrivacy directive, article 5(3).
fn warn_unasked(scope: &mut Scope<'_>, name: &str, category: Category) {
    let message = format!("`{name}` runs before anybody has agreed to {category}");
    scope.warn(
        at!["services", name],
        message,
        "the ePrivacy directive, article 5(3), asks for consent first: write `consent`",
    );
}

fn own_services(scope: &mut Scope<'_>, raw: &[OwnService]) -> Vec<Service> {
    let mut services: Vec<Service> = Vec::new();
    for (index, own) in raw.iter().enumerate() {
        let path = at!["own_services", index, "name"];
        if !is_id(&own.name) || own.name.parse::<Category>().is_ok() {
            let help = "write lower-case letters, digits and hyphens, and not the word of a category";
            scope.error(path, format!("`{}` cannot name a service", own.name), help);
        } else if Catalogue::builtin().find(&own.name).is_some() {
            let help = format!("treat it in `services: {{ {}: … }}`, or choose another name", own.name);
            scope.error(path, format!("the catalogue knows `{}` already", own.name), help);
        } else if services.iter().any(|other| *other.id == *own.name) {
            scope.error(path, format!("`{}` stands here a second time", own.name), "choose another name");
        }
        if own.urls.is_empty() && own.inline.is_empty() && own.cookies.is_empty() {
            let message = format!("nothing tells how to know `{}`", own.name);
            let lost = ["urls", "inline", "cookies"].iter().any(|key| {
                scope.tree.has_lost(at!["own_services", index, *key])
                    || scope.tree.has_lost(at!["own_services", index, *key, 0])
            });
            if !lost {
                scope.error(at!["own_services", index], message, "add `urls`, `inline` or `cookies`");
            }
        }
        check_inline(scope, index, &own.inline);
        check_facts(scope, index, own);
        services.push(service(own));
    }
    services
}

fn check_inline(scope: &mut Scope<'_>, index: usize, inline: &[String]) {
    for (item, text) in inline.iter().enumerate() {
        // Shorter texts stand in scripts of every kind; others than ASCII differ with the page's character set.
        if text.len() < 4 || !text.is_ascii() {
            let path = at!["own_services", index, "inline", item];
            let help = "write four characters of ASCII at least that stand in this service's scripts alone";
            scope.error(path, format!("`{text}` does not tell a script from others"), help);
        }
    }
}

fn is_id(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn service(raw: &OwnService) -> Service {
    let text = |text: &Option<crate::config::raw::words::Text>| text.as_ref().map(|text| text.0.clone());
    Service {
        name: text(&raw.title).unwrap_or_else(|| raw.name.as_str().into()),
        provider: text(&raw.provider).unwrap_or_default(),
        country: raw.country.as_deref().unwrap_or_default().to_ascii_uppercase().into(),
        purpose: texts(raw.purpose.as_ref()),
        reason: texts(raw.reason.as_ref()),
        urls: patterns(raw),
        inline: raw.inline.iter().map(|text| text.as_str().into()).collect(),
        cookies: raw.cookies.iter().map(cookie).collect(),
        storage: raw.storage.iter().filter_map(|key| NamePattern::parse(key)).collect(),
        anonymize: raw.anonymize.as_ref().map(anonymize),
        calls: Calls {
            granted: raw.calls.granted.as_deref().map(Into::into),
            refused: raw.calls.refused.as_deref().map(Into::into),
        },
        embed: raw.embed.map(|kind| Embed {
            kind,
            marks: raw.marks.iter().filter_map(|mark| Mark::parse(mark)).collect(),
        }),
        globals: raw.globals.iter().map(|name| name.as_str().into()).collect(),
        ..Service::new(&raw.name, raw.category.0)
    }
}

/// Its own addresses, and those that its own changes lead to.
fn patterns(raw: &OwnService) -> Vec<UrlPattern> {
    let own = raw.urls.iter().map(|location| location.0.clone());
    let changes = raw.anonymize.iter().flat_map(|anonymize| &anonymize.urls);
    own.chain(changes.filter_map(|change| change.to.as_ref()).map(|to| to.0.clone())).collect()
}

fn texts(words: Option<&Words>) -> Texts {
    match words {
        None => Texts::default(),
        Some(Words::One(text)) => Texts { en: text.as_str().into(), sv: text.as_str().into() },
        Some(Words::Each(each)) => {
            Texts { en: each.en.as_str().into(), sv: each.sv.as_deref().unwrap_or_default().into() }
        }
    }
}

fn cookie(raw: &service::Cookie) -> CookieInfo {
    match raw {
        service::Cookie::Name(name) => {
            CookieInfo { name: name.0.clone(), lifetime: "".into(), purpose: Texts::default() }
        }
        service::Cookie::Described(cookie) => CookieInfo {
            name: cookie.name.0.clone(),
            lifetime: cookie.lifetime.as_deref().unwrap_or_default().into(),
            purpose: texts(cookie.purpose.as_ref()),
        },
    }
}

fn anonymize(raw: &service::Anonymize) -> Anonymize {
    let pair =
        |(name, value): &(String, crate::config::raw::words::Text)| (name.as_str().into(), value.0.clone());
    Anonymize {
        script: raw.script.as_deref().map(Into::into),
        urls: raw
            .urls
            .iter()
            .map(|change| UrlChange {
                from: change.from.0.clone(),
                to: change.to.as_ref().map(|to| to.0.clone()),
                parameters: change.set.0.iter().map(pair).collect(),
            })
            .collect(),
        attributes: raw.attributes.0.iter().map(pair).collect(),
    }
}

/// What of a service cannot be told from its form alone.
fn check_facts(scope: &mut Scope<'_>, index: usize, raw: &OwnService) {
    if raw
        .country
        .as_deref()
        .is_some_and(|code| code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_alphabetic()))
    {
        scope.error(
            at!["own_services", index, "country"],
            "this is not a country",
            "write its two letters of ISO 3166-1, such as SE",
        );
    }
    for (item, one) in raw.cookies.iter().enumerate() {
        let service::Cookie::Described(cookie) = one else { continue };
        if let Some(lifetime) = cookie.lifetime.as_deref().filter(|lifetime| !is_lifetime(lifetime)) {
            let path = at!["own_services", index, "cookies", item, "lifetime"];
            let message = format!("`{lifetime}` is not a lifetime");
            scope.error(path, message, "write session, 30m, 24h, 90d, 6mo or 2y");
        }
    }
    for (item, key) in raw.storage.iter().enumerate().filter(|(_, key)| NamePattern::parse(key).is_none()) {
        let path = at!["own_services", index, "storage", item];
        let help = "write a key such as acme, or \"acme*\" for all that begin so";
        scope.error(path, format!("`{key}` is not a key of the storage"), help);
    }
    for (item, mark) in raw.marks.iter().enumerate().filter(|(_, mark)| Mark::parse(mark).is_none()) {
        let path = at!["own_services", index, "marks", item];
        scope.error(
            path,
            format!("`{mark}` is neither a class nor an id"),
            "write \".acme-widget\" or \"#acme\"",
        );
    }
    if !raw.marks.is_empty() && raw.embed.is_none() {
        scope.error(
            at!["own_services", index, "marks"],
            "it shows nothing",
            "say what it shows with `embed`, such as `embed: other`",
        );
    }
    if let Some(means) = &raw.anonymize {
        let has_means = means.script.is_some() || !means.urls.is_empty() || !means.attributes.0.is_empty();
        if !has_means && !means.as_it_is {
            let help = "add `script`, `urls` or `attributes`, or `as_it_is: true` where it keeps no identifiers anyhow";
            scope.error(at!["own_services", index, "anonymize"], "nothing says how it is anonymized", help);
        }
        let is_vague = |change: &service::Change| change.to.is_none() && change.set.0.is_empty();
        for (item, _) in means.urls.iter().enumerate().filter(|(_, change)| is_vague(change)) {
            let path = at!["own_services", index, "anonymize", "urls", item];
            scope.error(path, "nothing says what these addresses become", "add `to` or `set`");
        }
    }
}

/// Resolves `cookies`: what a tracker sets cannot be called necessary (ePrivacy directive, article 5(3)).
pub(super) fn cookies(scope: &mut Scope<'_>, raw: &Site, services: &Set) -> cookies::Settings {
    let necessary: Vec<NamePattern> = raw.cookies.necessary.iter().map(|name| name.0.clone()).collect();
    for (index, pattern) in necessary.iter().enumerate() {
        let tracker = services.iter().find(|service| {
            service.category != Category::Necessary
                && service.cookies.iter().any(|cookie| overlap(&cookie.name, pattern))
        });
        if let Some(service) = tracker {
            let path = at!["cookies", "necessary", index];
            let message = format!("{} sets this cookie, for {}", service.name, service.category);
            scope.error(path, message, "take it out: what visitors must agree to is not necessary");
        }
    }
    cookies::Settings { necessary, unknown: raw.cookies.unknown }
}

/// Whether some name fits both patterns.
fn overlap(one: &NamePattern, other: &NamePattern) -> bool {
    one.covers(&other.start) || other.covers(&one.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_overlap_where_one_name_fits_both() {
        for (one, other, expected) in [
            ("_ga", "_ga", true),
            ("_ga*", "_ga_X", true),
            ("_ga_X", "_ga*", true),
            ("_*", "_ga*", true),
            ("_ga*", "_*", true),
            ("_ga", "_gid", false),
            ("_ga", "_gat*", false),
            ("cart*", "_ga*", false),
        ] {
            let pattern = |text| NamePattern::parse(text).unwrap();
            assert_eq!(overlap(&pattern(one), &pattern(other)), expected, "{one} {other}");
        }
    }
}
