//! The fate of each cookie, by the service that sets it: on its way to the upstream, and on its way back.

use std::time::Duration;

use http::header::{COOKIE, HeaderMap, HeaderValue, SET_COOKIE};

use super::judge::{Judgement, judge};
use crate::clock::Timestamp;
use crate::consent::cookie::{ACCEPTED, CHOICES, ONCE, SIGNAL};
use crate::consent::{Category, Granted};
use crate::observed::Lifetime;
use crate::services::{NamePattern, Service, Set};

/// The longest life of a cookie that measures: 13 months (CNIL, deliberation 2020-091, article 5).
const MEASURING: Duration = Duration::from_secs(395 * 24 * 60 * 60);

/// What a site says of cookies.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Cookies that the site cannot do without; they always pass.
    pub necessary: Vec<NamePattern>,
    /// What happens to cookies that nobody knows.
    pub unknown: Unknown,
}

/// What happens to cookies that neither the site nor the catalogue names, until the visitor agrees to all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unknown {
    /// They pass.
    #[default]
    Allow,
    /// They are dropped.
    Block,
}

/// What happens to a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate<'a> {
    /// It passes as it is.
    Keep,
    /// It passes, and lives no longer than this.
    Shorten(Duration),
    /// It does not pass.
    Drop(Cause<'a>),
}

/// Why a cookie does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// It is the proxy's own: the upstream neither sees it nor sets it.
    Own,
    /// It belongs to this service, which may not act, or only without identifiers.
    Service(&'a str),
    /// Nobody knows it, and the site lets no such cookie pass.
    Unknown,
}

/// The fate of a cookie of this name. `identify` says which service sets such cookies.
pub fn fate<'a>(
    settings: &Settings,
    services: &'a Set,
    granted: &Granted,
    name: &str,
    identify: impl Fn(&str) -> Option<&'a Service>,
) -> Fate<'a> {
    if matches!(name, CHOICES | ACCEPTED | ONCE | SIGNAL) {
        return Fate::Drop(Cause::Own);
    }
    if is_necessary(settings, name) {
        return Fate::Keep;
    }
    let Some(service) = identify(name) else {
        return match settings.unknown {
            Unknown::Block if !granted.is_all() => Fate::Drop(Cause::Unknown),
            Unknown::Allow | Unknown::Block => Fate::Keep,
        };
    };
    match judge(services, service, granted) {
        Judgement::Allow if service.category == Category::Statistics => Fate::Shorten(MEASURING),
        Judgement::Allow => Fate::Keep,
        // A cookie is an identifier: who acts without identifiers sets and reads none.
        Judgement::Anonymize | Judgement::Hold | Judgement::Strip => Fate::Drop(Cause::Service(&service.id)),
    }
}

/// Whether the upstream sees a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It does.
    Passes,
    /// It does not.
    Stops,
}

/// Takes out of a request's cookies what the upstream must not see, and joins what HTTP/2 split
/// (RFC 9113 section 8.2.3). What stays keeps its order and its bytes.
pub fn filter_request(headers: &mut HeaderMap, passage: impl Fn(&str) -> Passage) {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut is_whole = headers.get_all(COOKIE).iter().nth(1).is_none();
    for header in headers.get_all(COOKIE) {
        for pair in header.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
            match passage(&name(pair)) {
                Passage::Passes if !pair.is_empty() => kept.push(pair),
                Passage::Passes => {}
                Passage::Stops => is_whole = false,
            }
        }
    }
    if is_whole {
        return;
    }
    // The bytes stood in a header before, so they can stand in one again.
    let joined = HeaderValue::from_bytes(&kept.join(&b"; "[..])).ok();
    headers.remove(COOKIE);
    if let Some(joined) = joined.filter(|value| !value.is_empty()) {
        headers.insert(COOKIE, joined);
    }
}

/// Drops and shortens the cookies that an answer sets.
pub fn filter_answer<'a>(headers: &mut HeaderMap, now: Timestamp, fate: impl Fn(&str) -> Fate<'a>) {
    if !headers.contains_key(SET_COOKIE) {
        return;
    }
    let kept: Vec<HeaderValue> =
        headers.get_all(SET_COOKIE).into_iter().filter_map(|value| filtered(value, now, &fate)).collect();
    headers.remove(SET_COOKIE);
    for value in kept {
        headers.append(SET_COOKIE, value);
    }
}

/// Notes which cookies an answer sets, whatever becomes of them for this visitor: documents list them.
pub fn observe(settings: &super::Settings, headers: &HeaderMap, now: Timestamp) {
    for value in headers.get_all(SET_COOKIE) {
        let pair = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        let name = name(pair.trim_ascii());
        if matches!(&*name, CHOICES | ACCEPTED | ONCE | SIGNAL) || life(value, now) == Some(Duration::ZERO) {
            continue;
        }
        match settings.services.identify_cookie(&name) {
            Some(service) if !is_necessary(&settings.cookies, &name) => {
                settings.observed.saw_service(&service.id)
            }
            _ => settings
                .observed
                .saw_cookie(&name, || Some(life(value, now).map_or(Lifetime::Session, Lifetime::rounded))),
        }
    }
}

fn is_necessary(settings: &Settings, name: &str) -> bool {
    settings.necessary.iter().any(|pattern| pattern.covers(name))
}

fn filtered<'a>(value: &HeaderValue, now: Timestamp, fate: impl Fn(&str) -> Fate<'a>) -> Option<HeaderValue> {
    let pair = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    match fate(&name(pair.trim_ascii())) {
        Fate::Keep => Some(value.clone()),
        Fate::Drop(Cause::Own) => None,
        // A site that takes a refused cookie back does what the visitor wants.
        Fate::Drop(_) => (life(value, now) == Some(Duration::ZERO)).then(|| value.clone()),
        Fate::Shorten(most) => match life(value, now) {
            Some(life) if life > most => shortened(value, most),
            Some(_) | None => Some(value.clone()),
        },
    }
}

/// The name of a pair; empty where there is no `=`, as browsers read it.
fn name(pair: &[u8]) -> std::borrow::Cow<'_, str> {
    let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(0);
    String::from_utf8_lossy(pair.get(..end).unwrap_or_default().trim_ascii_end())
}

/// How long a cookie is to live; none: until the browser is closed. `Max-Age` wins (RFC 6265 section 5.3).
fn life(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = String::from_utf8_lossy(value.as_bytes());
    let cookie = cookie::Cookie::parse(text.as_ref()).ok()?;
    let seconds = match (cookie.max_age(), cookie.expires_datetime()) {
        (Some(age), _) => age.whole_seconds(),
        (None, Some(expires)) => expires.unix_timestamp().saturating_sub(now.as_second()),
        (None, None) => return None,
    };
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// The cookie with a `Max-Age` in place of what it said of its life.
fn shortened(value: &HeaderValue, most: Duration) -> Option<HeaderValue> {
    let mut attributes = value.as_bytes().split(|byte| *byte == b';');
    let mut kept = attributes.next().unwrap_or_default().to_vec();
    for attribute in attributes {
        let name = attribute.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        if !name.eq_ignore_ascii_case(b"max-age") && !name.eq_ignore_ascii_case(b"expires") {
            kept.push(b';');
            kept.extend_from_slice(attribute);
        }
    }
    kept.extend_from_slice(format!("; Max-Age={}", most.as_secs()).as_bytes());
    HeaderValue::from_bytes(&kept).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::Categories;
    use crate::filter::tests::{service, set};
    use crate::services::{Anonymize, Rule};

    const NOW: &str = "2026-11-24T12:00:00Z";

    fn services() -> Set {
        let mut ga = service("google-analytics", Category::Statistics, &[], &["_ga", "_ga_*"]);
        ga.anonymize = Some(Anonymize { script: Some("window.x=1".into()), ..Anonymize::default() });
        let pixel = service("meta-pixel", Category::Marketing, &[], &["_fbp"]);
        set(vec![ga, pixel], &[("google-analytics", Rule::CONSENT)])
    }

    fn fate_of<'a>(unknown: Unknown, services: &'a Set, granted: &Granted, name: &str) -> Fate<'a> {
        let necessary = ["PHPSESSID", "cart*"].iter().filter_map(|text| NamePattern::parse(text)).collect();
        let identify = |name: &str| {
            services.iter().find(|service| service.cookies.iter().any(|cookie| cookie.name.covers(name)))
        };
        fate(&Settings { necessary, unknown }, services, granted, name, identify)
    }

    #[test]
    fn a_cookie_shares_the_fate_of_its_service() {
        let services = services();
        let nothing = Granted::default();
        let statistics = Granted::new(Categories::NONE.with(Category::Statistics), Default::default());
        use Unknown::{Allow, Block};
        let ga = Fate::Drop(Cause::Service("google-analytics"));
        for (unknown, granted, name, expected) in [
            (Allow, &nothing, "_ga", ga),
            (Allow, &nothing, "_ga_ABC", ga),
            (Allow, &nothing, "_gallery", Fate::Keep),
            (Allow, &statistics, "_ga", Fate::Shorten(MEASURING)),
            (Allow, &statistics, "_fbp", Fate::Drop(Cause::Service("meta-pixel"))),
            (Allow, &Granted::all(), "_fbp", Fate::Keep),
            (Block, &nothing, "theme", Fate::Drop(Cause::Unknown)),
            (Block, &statistics, "theme", Fate::Drop(Cause::Unknown)),
            (Block, &Granted::all(), "theme", Fate::Keep),
            (Block, &nothing, "PHPSESSID", Fate::Keep),
            (Block, &nothing, "cart_7", Fate::Keep),
            (Allow, &Granted::all(), "consentry", Fate::Drop(Cause::Own)),
            (Allow, &Granted::all(), "consentry_accepted", Fate::Drop(Cause::Own)),
        ] {
            assert_eq!(fate_of(unknown, &services, granted, name), expected, "{name} {unknown:?}");
        }
    }

    #[test]
    fn a_service_without_identifiers_has_no_cookies() {
        let mut ga = service("google-analytics", Category::Statistics, &[], &["_ga"]);
        ga.anonymize = Some(Anonymize { script: Some("window.x=1".into()), ..Anonymize::default() });
        let services = set(vec![ga], &[("google-analytics", Rule::ANONYMIZE)]);
        let dropped = Fate::Drop(Cause::Service("google-analytics"));
        assert_eq!(fate_of(Unknown::Allow, &services, &Granted::all(), "_ga"), dropped);
    }

    fn sent(lines: &[&str]) -> Option<HeaderValue> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        let keeps = |name: &str| match name {
            "_ga" | "consentry" => Passage::Stops,
            _ => Passage::Passes,
        };
        filter_request(&mut headers, keeps);
        let once = headers.clone();
        filter_request(&mut headers, keeps);
        assert_eq!(once, headers, "twice");
        assert!(headers.get_all(COOKIE).iter().count() <= 1);
        headers.get(COOKIE).cloned()
    }

    #[test]
    fn the_upstream_sees_the_other_cookies_byte_for_byte_and_in_order() {
        for (lines, expected) in [
            (&["a=1; _ga=GA1.2; b=x=y"][..], Some("a=1; b=x=y")),
            (&["a=1", "b=2", "_ga=3", "c=4"], Some("a=1; b=2; c=4")),
            (&["a=1; a=2;a=\"q\""], Some("a=1; a=2;a=\"q\"")),
            (&["name=å; _ga=1"], Some("name=å")),
            (&["flag; _ga=1"], Some("flag")),
            (&["_ga"], Some("_ga")),
            (&["consentry=x; _ga = 1"], None),
            (&["_ga=1; ;"], None),
            (&[], None),
        ] {
            let expected = expected.map(|text| HeaderValue::from_bytes(text.as_bytes()).unwrap());
            assert_eq!(sent(lines), expected, "{lines:?}");
        }
    }

    fn set_cookie(line: &str, fate: Fate<'_>) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.append(SET_COOKIE, HeaderValue::from_str(line).unwrap());
        let now = NOW.parse().unwrap();
        filter_answer(&mut headers, now, |_| fate);
        let once = headers.clone();
        filter_answer(&mut headers, now, |_| fate);
        assert_eq!(once, headers, "twice");
        headers.get(SET_COOKIE).map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_refused_cookie_may_only_be_taken_back() {
        let drop = Fate::Drop(Cause::Service("google-analytics"));
        for (line, passes) in [
            ("_ga=1", false),
            ("_ga=1; Max-Age=3600; Path=/", false),
            ("_ga=1; Expires=Fri, 31 Dec 2038 23:59:59 GMT", false),
            ("_ga=; Max-Age=0; Path=/", true),
            ("_ga=; max-age=-1", true),
            ("_ga=deleted; expires=Thu, 01-Jan-1970 00:00:01 GMT; Max-Age=0; path=/", true),
            ("_ga=deleted; expires=Thu, 01 Jan 1970 00:00:01 GMT", true),
            ("_ga=; Expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=60", false),
        ] {
            assert_eq!(set_cookie(line, drop).is_some(), passes, "{line}");
        }
        assert_eq!(set_cookie("consentry=; Max-Age=0", Fate::Drop(Cause::Own)), None);
    }

    #[test]
    fn c30_a_cookie_that_measures_lives_thirteen_months_at_most() {
        let cap = Fate::Shorten(MEASURING);
        for (line, expected) in [
            ("_ga=1; Path=/; Max-Age=63072000; Secure", "_ga=1; Path=/; Secure; Max-Age=34128000"),
            ("_ga=1; expires=Fri, 31 Dec 2038 23:59:59 GMT; path=/", "_ga=1; path=/; Max-Age=34128000"),
            ("_ga=1; Max-Age=3600", "_ga=1; Max-Age=3600"),
            ("_ga=1; Path=/", "_ga=1; Path=/"),
        ] {
            assert_eq!(set_cookie(line, cap).as_deref(), Some(expected));
        }
    }
}
