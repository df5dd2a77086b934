//! The words of the YAML files that are more than text: durations, sizes, hosts, colours, patterns.
//!
//! Each reads itself or says what was expected, with the remedy on a second line.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;
use std::time::Duration;

use http::{HeaderName, Method};
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::consent::Category;
use crate::services::{NamePattern, UrlPattern};
use crate::site::HostPattern;
use crate::visit::path::PathPattern;
use crate::web::Font;
use crate::web::language::Language;

/// A duration such as `30s`, `10m`, `2h`, `180d` or `2y`, which is 730 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^[0-9]+[smhdy]$"))]
pub(in crate::config) struct Time(pub(in crate::config) Duration);

impl FromStr for Time {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit) = split_number(text);
        let seconds = match unit {
            "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3_600),
            "d" => Some(86_400),
            "y" => Some(365 * 86_400),
            _ => None,
        };
        seconds
            .zip(digits.parse::<u64>().ok())
            .and_then(|(seconds, number)| number.checked_mul(seconds))
            .map(|seconds| Time(Duration::from_secs(seconds)))
            .ok_or_else(|| {
                format!(
                    "`{text}` is not a duration\nwrite a number and s, m, h, d or y, such as 30s, 10m or 180d"
                )
            })
    }
}

/// A number of bytes such as `64KiB` or `8MiB`; 0 may stand without a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("type" = ["string", "integer"], "pattern" = "^(0|[0-9]+(B|KiB|MiB|GiB))$", "maximum" = 0, "minimum" = 0))]
pub(in crate::config) struct Size(pub(in crate::config) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (digits, unit) = split_number(text);
        let bytes = match unit {
            "" if digits == "0" => Some(1),
            "B" => Some(1),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            "GiB" => Some(1 << 30),
            _ => None,
        };
        bytes
            .zip(digits.parse::<u64>().ok())
            .and_then(|(bytes, number): (u64, u64)| number.checked_mul(bytes))
            .map(Size)
            .ok_or_else(|| {
                format!(
                    "`{text}` is not a size\nwrite a number and B, KiB, MiB or GiB, such as 64KiB or 8MiB"
                )
            })
    }
}

fn split_number(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// A host name, `*.` and a host name, or `*`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = r"^(\*|(\*\.)?[^\[\]*/:@?#% ]+|\[[0-9A-Fa-f:.]+\])$"))]
pub(in crate::config) struct Host(pub(in crate::config) HostPattern);

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_host =
            |name: &str| !name.is_empty() && !name.contains(['*', '/', ':', '@', '?', '#', '%', ' ']);
        let canonical = |name: &str| {
            // An IPv6 address stands in brackets, with the only colons that a host may have.
            let is_v6 = name.starts_with('[') && name.ends_with(']');
            (is_v6 || is_host(name)).then(|| url::Host::parse(name.trim_end_matches('.')).ok()).flatten()
        };
        let pattern = match text.strip_prefix("*.") {
            _ if text == "*" => Some(HostPattern::Any),
            Some(name) => canonical(name).and_then(|host| match host {
                url::Host::Domain(name) => Some(HostPattern::Below(name.into())),
                url::Host::Ipv4(_) | url::Host::Ipv6(_) => None,
            }),
            None => canonical(text).map(|host| HostPattern::Exact(host.to_string().into())),
        };
        pattern.map(Host).ok_or_else(|| {
            format!(
                "`{text}` is not a host\n\
                 write a name without scheme, port or path, such as www.example.se, \"*.example.se\" or \"*\""
            )
        })
    }
}

/// A language tag.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$"))]
pub(in crate::config) struct Tag(pub(in crate::config) Language);

impl FromStr for Tag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Language::parse(text).map(Tag).map_err(|error| format!("`{text}` is {error}\nwrite such a tag"))
    }
}

/// A colour as `#rgb` or `#rrggbb`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})$"))]
pub(in crate::config) struct Colour(pub(in crate::config) Box<str>);

impl FromStr for Colour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix('#').unwrap_or_default();
        if matches!(digits.len(), 3 | 6) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Colour(text.to_ascii_lowercase().into()));
        }
        Err(format!("`{text}` is not a colour\nwrite it as \"#0b57d0\" or \"#fff\", in quotes"))
    }
}

/// A number of pixels such as `8px`, 40 at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = "^[0-9]{1,2}px$"))]
pub(in crate::config) struct Pixels(pub(in crate::config) u8);

impl FromStr for Pixels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix("px").and_then(|digits| digits.parse::<u8>().ok());
        number
            .filter(|number| *number <= 40)
            .map(Pixels)
            .ok_or_else(|| format!("`{text}` is no roundness\nwrite 0px to 40px, such as 8px"))
    }
}

/// The letters of the banner.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = r#"^[A-Za-z0-9 ,"'_-]+$"#))]
pub(in crate::config) struct Letters(pub(in crate::config) Font);

impl FromStr for Letters {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_sound = |text: &str| {
            let even = |quote| text.matches(quote).count().is_multiple_of(2);
            let known = |c: char| c.is_ascii_alphanumeric() || " ,\"'_-".contains(c);
            !text.trim().is_empty() && text.chars().all(known) && even('"') && even('\'')
        };
        match text {
            "system" => Ok(Letters(Font::System)),
            "inherit" => Ok(Letters(Font::Inherit)),
            _ if is_sound(text) => Ok(Letters(Font::Given(text.into()))),
            _ => Err(format!(
                "`{text}` is no font\nwrite system, inherit (that of the page), or families such as Georgia, serif"
            )),
        }
    }
}

/// A path, or with a `*` at its end all that begin so.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(with = "String", extend("pattern" = r"^/[^*]*\*?$"))]
pub(in crate::config) struct PathRule(pub(in crate::config) PathPattern);

impl FromStr for PathRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = "write a path that begins with a slash, with at most one `*`, at its end: \"/admin/*\"";
        PathPattern::parse(text).map(PathRule).map_err(|_| format!("`{text}` is not a path pattern\n{help}"))
    }
}

/// The name of a cookie, or with a `*` at its end all that begin so.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(with = "String", extend("type" = ["string", "integer"], "pattern" = r"^(\*|[!#$%&'+\-.^_`|~0-9A-Za-z]+\*?)$"))]
pub(in crate::config) struct CookieName(pub(in crate::config) NamePattern);

impl FromStr for CookieName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // RFC 6265 section 4.1.1: a cookie's name is a token.
        let is_token = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte))
        };
        NamePattern::parse(text).filter(|_| is_token(text)).map(CookieName).ok_or_else(|| {
            format!("`{text}` is not a cookie's name\nwrite a name such as PHPSESSID, or \"cart*\" for all that begin so")
        })
    }
}

/// The name of a header.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = r"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$"))]
pub(in crate::config) struct Header(pub(in crate::config) HeaderName);

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = "write a name such as X-User";
        HeaderName::try_from(text).map(Header).map_err(|_| format!("`{text}` is not a header's name\n{help}"))
    }
}

/// A method of HTTP.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = r"^[A-Z]+$"))]
pub(in crate::config) struct MethodWord(pub(in crate::config) Method);

impl FromStr for MethodWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Methods tell capitals from small letters (RFC 9110 section 9.1), and all that anybody uses are in capitals.
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase());
        let method = Method::try_from(text).ok().filter(|_| is_plain);
        method.map(MethodWord).ok_or_else(|| format!("`{text}` is not a method\nwrite it in capitals: POST"))
    }
}

/// Where a service is loaded from: host and path, without a scheme.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("pattern" = r"^(\*/[^*]|(\*\.)?[^*/:@?#% ]+(/|$))[^*]*\*?$"))]
pub(in crate::config) struct Location(pub(in crate::config) UrlPattern);

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, path) = text.split_once('/').unwrap_or((text, "*"));
        let path = path.strip_suffix('*').unwrap_or(path);
        let host: Option<Box<str>> = match host.parse().ok().map(|Host(pattern)| pattern) {
            Some(HostPattern::Exact(name)) => Some(name),
            Some(HostPattern::Below(name)) => Some(format!("*.{name}").into()),
            Some(HostPattern::Any) => Some("*".into()),
            None => None,
        };
        // Every address of the web would belong to the service.
        let is_everything = host.as_deref() == Some("*") && path.is_empty();
        host.filter(|_| !is_everything && !path.contains('*'))
            .map(|host| Location(UrlPattern { host, path: format!("/{path}").into() }))
            .ok_or_else(|| {
                format!(
                    "`{text}` is not an address pattern\n\
                     write host and path without a scheme, such as \"cdn.example.net/*\" or \"*.example.net/track\""
                )
            })
    }
}

/// A category.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("enum" = Category::ALL.map(Category::as_str)))]
pub(in crate::config) struct CategoryWord(pub(in crate::config) Category);

impl FromStr for CategoryWord {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = Category::ALL.map(Category::as_str);
        text.parse().map(CategoryWord).map_err(|_| {
            format!(
                "`{text}` is not a category\n{}",
                crate::config::decode::suggest("category", text, &names)
            )
        })
    }
}

/// Text that may look like a number, such as an organisation number.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", extend("type" = ["string", "integer"], "pattern" = r"\S"))]
pub(in crate::config) struct Text(pub(in crate::config) Box<str>);

impl FromStr for Text {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("an empty text\nwrite it, or take the line out".into());
        }
        Ok(Text(text.into()))
    }
}

/// A day such as `2018-05-25`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Day(pub(in crate::config) Date);

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = "write year, month and day, such as 2018-05-25";
        text.parse().map(Day).map_err(|_| format!("`{text}` is not a date\n{help}"))
    }
}

/// Reads a word out of a text or a whole number.
struct Words<T> {
    expected: &'static str,
    word: PhantomData<T>,
}

impl<T: FromStr<Err = String>> Visitor<'_> for Words<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

macro_rules! words {
    ($($word:ty: $expected:literal),* $(,)?) => {
        $(impl<'de> Deserialize<'de> for $word {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Words { expected: $expected, word: PhantomData })
            }
        })*
    };
}

words! {
    Time: "a duration such as 30s, 10m or 180d",
    Size: "a size such as 64KiB or 8MiB",
    Host: "a host such as www.example.se",
    Tag: "a language tag such as sv",
    Colour: "a colour such as \"#0b57d0\", in quotes",
    Pixels: "a number of pixels such as 8px",
    Letters: "a font such as inherit",
    PathRule: "a path such as \"/admin/*\"",
    CookieName: "a cookie's name",
    Header: "a header's name such as X-User",
    MethodWord: "a method such as POST",
    Location: "an address such as \"cdn.example.net/*\"",
    CategoryWord: "a category",
    Text: "a text",
    Day: "a date such as 2018-05-25",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_have_a_unit() {
        for (text, seconds) in [("30s", 30), ("10m", 600), ("2h", 7_200), ("180d", 15_552_000), ("0s", 0)] {
            assert_eq!(text.parse(), Ok(Time(Duration::from_secs(seconds))), "{text}");
        }
        for text in
            ["", "30", "s", "1.5h", "-3s", "30 s", "1w", "99999999999999999999d", "999999999999999999d"]
        {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
        for (text, bytes) in [("64KiB", 65_536), ("8MiB", 8 << 20), ("1GiB", 1 << 30), ("12B", 12), ("0", 0)]
        {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["64", "64KB", "64kib", "KiB", "99999999999999GiB"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_names_alone_in_one_spelling() {
        for (text, expected) in [
            ("WWW.Example.se", HostPattern::Exact("www.example.se".into())),
            ("räksmörgås.se", HostPattern::Exact("xn--rksmrgs-5wao1o.se".into())),
            ("*.example.se", HostPattern::Below("example.se".into())),
            ("*", HostPattern::Any),
            ("127.0.0.1", HostPattern::Exact("127.0.0.1".into())),
            ("[::1]", HostPattern::Exact("[::1]".into())),
            ("example.se.", HostPattern::Exact("example.se".into())),
        ] {
            assert_eq!(text.parse(), Ok(Host(expected)), "{text}");
        }
        for text in [
            "",
            "http://a.se",
            "a.se:80",
            "a.se/x",
            "a*.se",
            "*.",
            "*.*.se",
            "*.10.0.0.1",
            "a b",
            "u@a.se",
            "::1",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text}");
        }
    }

    #[test]
    fn address_patterns_split_into_host_and_path() {
        for (text, host, path) in [
            ("stats.acme.example/*", "stats.acme.example", "/"),
            ("CDN.example.net", "cdn.example.net", "/"),
            ("*.example.net/track?id=*", "*.example.net", "/track?id="),
            ("*/matomo.js", "*", "/matomo.js"),
        ] {
            let expected = UrlPattern { host: host.into(), path: path.into() };
            assert_eq!(text.parse(), Ok(Location(expected)), "{text}");
        }
        for text in ["", "*", "*/*", "/track", "https://a.se/x", "a.se/*/b", "//a.se"] {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }

    #[test]
    fn colours_are_hexadecimal() {
        assert_eq!("#FFF".parse(), Ok(Colour("#fff".into())));
        for text in ["fff", "#ff", "#ggg", "red", "#0b57d0ff", "#fff;x"] {
            assert!(text.parse::<Colour>().is_err(), "{text}");
        }
    }
}
