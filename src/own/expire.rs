//! The end of cookies whose services may no longer act: what the browser sent is expired, wherever it was set.

use std::net::IpAddr;

use http::HeaderValue;

use crate::consent::Granted;
use crate::filter;
use crate::filter::judge::{Judgement, judge};

/// The most `Set-Cookie` lines of one answer: servers in front refuse headers without end.
const MOST: usize = 90;

/// `Set-Cookie` lines that end every cookie of `names` whose service may not act under `granted`, on the host
/// itself and on each domain above it (RFC 6265 section 5.3).
pub(super) fn lines<'a>(
    settings: &'a filter::Settings,
    granted: &'a Granted,
    host: &'a str,
    names: &'a [Box<str>],
) -> impl Iterator<Item = HeaderValue> + 'a {
    let doomed = names.iter().filter(|name| is_doomed(settings, granted, name));
    doomed
        .flat_map(move |name| {
            std::iter::once(line(name, None)).chain(domains(host).map(|at| line(name, Some(at))))
        })
        .flatten()
        .take(MOST)
}

/// Whether a cookie belongs to a service that may not act, or not with identifiers.
fn is_doomed(settings: &filter::Settings, granted: &Granted, name: &str) -> bool {
    let is_necessary = settings.cookies.necessary.iter().any(|necessary| necessary.covers(name));
    !is_necessary
        && settings
            .services
            .identify_cookie(name)
            .is_some_and(|service| judge(&settings.services, service, granted) != Judgement::Allow)
}

fn line(name: &str, domain: Option<&str>) -> Option<HeaderValue> {
    let domain = domain.map(|domain| format!("; Domain={domain}")).unwrap_or_default();
    let line = format!("{name}=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{domain}");
    HeaderValue::from_str(&line).ok()
}

/// The host and every domain above it, down to the registrable one; none for an address or a single label.
fn domains(host: &str) -> impl Iterator<Item = &str> {
    let registrable = match host.parse::<IpAddr>() {
        Ok(_) => None,
        Err(_) => psl::domain_str(host).filter(|domain| domain.contains('.')),
    };
    let longest = registrable.map(|_| host);
    std::iter::successors(longest, |domain| domain.split_once('.').map(|(_, above)| above))
        .take_while(move |domain| registrable.is_some_and(|registrable| domain.len() >= registrable.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_ended_on_each_domain_up_to_the_registrable_one() {
        for (host, expected) in [
            ("www.shop.example.se", &["www.shop.example.se", "shop.example.se", "example.se"][..]),
            ("example.se", &["example.se"]),
            ("www.example.co.uk", &["www.example.co.uk", "example.co.uk"]),
            ("user.github.io", &["user.github.io"]),
            ("localhost", &[]),
            ("127.0.0.1", &[]),
            ("[::1]", &[]),
            ("se", &[]),
            ("", &[]),
        ] {
            assert_eq!(domains(host).collect::<Vec<_>>(), expected, "{host}");
        }
    }

    #[test]
    fn a_line_ends_the_cookie_for_every_browser() {
        let line = line("_ga", Some("example.se")).unwrap();
        assert_eq!(line, "_ga=; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Domain=example.se");
        assert_eq!(super::line("a\r\nb", None), None);
    }
}
