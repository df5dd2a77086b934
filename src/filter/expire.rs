//! The end of cookies that may no longer be there. A browser does not say for which domain and path one was set, so each
//! that would have been sent is ended everywhere it may be (RFC 6265 section 5.3).

use std::collections::BTreeSet;
use std::net::IpAddr;

use http::header::{HeaderMap, HeaderValue, SET_COOKIE};

use super::cookies::{self, Cause, Fate};
use super::{Settings, case};
use crate::consent::Granted;
use crate::visit::Visit;

/// The most bytes of `Set-Cookie` lines on an answer to a choice: servers in front read no headers of any size.
const ON_A_CHOICE: usize = 3 * 1024;

/// The most on a page, which has a policy to carry, too.
const ON_A_PAGE: usize = 1024;

/// `Set-Cookie` lines that end every cookie of `names` that may not be kept under `granted`: those for all of the site
/// first, then those for the folders that lead to `target`.
pub fn lines(
    settings: &Settings,
    granted: &Granted,
    host: &str,
    target: &str,
    names: &[Box<str>],
) -> Vec<HeaderValue> {
    let identify = |name: &str| settings.services.identify_cookie(name);
    let fate = |name: &str| cookies::fate(&settings.cookies, &settings.services, granted, name, identify);
    let doomed = doomed(names, fate);
    within(ON_A_CHOICE, every_line(&doomed, host, target)).collect()
}

/// Ends what a visitor who has chosen still sends to this page: what stands at its path was not sent along when they
/// chose, and a signal of their browser may have taken back what they had agreed to.
pub(super) fn on_page(settings: &Settings, visit: &Visit, headers: &mut HeaderMap) {
    if visit.choices.is_none() {
        return;
    }
    let doomed = doomed(&visit.cookies, |name| case::fate(settings, visit, name));
    let mut lines: Vec<_> = every_line(&doomed, &visit.arrival.host, &visit.target).collect();
    if lines.is_empty() {
        return;
    }
    // Where there is no room for all, each page ends others.
    let second = usize::try_from(visit.arrival.now.as_second()).unwrap_or(0);
    let first = second % lines.len();
    if lines.iter().map(HeaderValue::len).sum::<usize>() > ON_A_PAGE {
        lines.rotate_left(first);
    }
    for line in within(ON_A_PAGE, lines.into_iter()) {
        headers.append(SET_COOKIE, line);
    }
}

/// Those of `names` that may not be kept. One name comes as often as it was set for different places.
fn doomed<'a, 'b>(names: &'a [Box<str>], fate: impl Fn(&str) -> Fate<'b>) -> BTreeSet<&'a str> {
    let names = names.iter().map(|name| &**name);
    names.filter(|name| matches!(fate(name), Fate::Drop(Cause::Service(_) | Cause::Unknown))).collect()
}

fn within(most: usize, lines: impl Iterator<Item = HeaderValue>) -> impl Iterator<Item = HeaderValue> {
    lines
        .scan(0, |sum, line| {
            *sum += line.len();
            Some((*sum, line))
        })
        .take_while(move |(sum, _)| *sum <= most)
        .map(|(_, line)| line)
}

fn every_line(names: &BTreeSet<&str>, host: &str, target: &str) -> impl Iterator<Item = HeaderValue> {
    paths(target).flat_map(move |path| {
        names.iter().flat_map(move |name| {
            let everywhere = std::iter::once(None).chain(domains(host).map(Some));
            everywhere.filter_map(move |domain| line(name, path, domain))
        })
    })
}

fn line(name: &str, path: &str, domain: Option<&str>) -> Option<HeaderValue> {
    let domain = domain.map(|domain| format!("; Domain={domain}")).unwrap_or_default();
    // Names that begin so are taken only with it (RFC 6265bis section 4.1.3).
    let is_prefixed =
        |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let secure = if is_prefixed("__Secure-") || is_prefixed("__Host-") { "; Secure" } else { "" };
    HeaderValue::from_str(&format!("{name}=; Path={path}; Max-Age=0{domain}{secure}")).ok()
}

/// Every path whose cookies are sent to `target`, the shortest first (RFC 6265 section 5.1.4).
fn paths(target: &str) -> impl Iterator<Item = &str> {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    let slashes = path.match_indices('/').map(|(at, _)| at).filter(|at| *at > 0);
    let folders = slashes.flat_map(|at| [path.get(..at), path.get(..=at)]).flatten();
    let whole = (!path.ends_with('/') && path.len() > 1).then_some(path);
    // A semicolon ends the attribute: no cookie has such a path.
    std::iter::once("/").chain(folders.chain(whole).filter(|path| *path != "/" && !path.contains(';')))
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
    fn a_cookie_is_ended_at_each_path_that_leads_to_the_page() {
        for (target, expected) in [
            ("/", &["/"][..]),
            ("", &["/"]),
            ("/shop", &["/", "/shop"]),
            ("/shop/", &["/", "/shop", "/shop/"]),
            (
                "/shop/sv/bild.html?id=/1",
                &["/", "/shop", "/shop/", "/shop/sv", "/shop/sv/", "/shop/sv/bild.html"],
            ),
            ("//shop", &["/", "//", "//shop"]),
            ("/a;b/c", &["/"]),
            ("/%C3%A5?/", &["/", "/%C3%A5"]),
        ] {
            assert_eq!(paths(target).collect::<Vec<_>>(), expected, "{target}");
        }
    }

    #[test]
    fn a_line_ends_the_cookie_of_its_domain_and_path() {
        for (name, domain, expected) in [
            ("_ga", None, "_ga=; Path=/shop; Max-Age=0"),
            ("_ga", Some("example.se"), "_ga=; Path=/shop; Max-Age=0; Domain=example.se"),
            ("__secure-x", None, "__secure-x=; Path=/shop; Max-Age=0; Secure"),
        ] {
            assert_eq!(line(name, "/shop", domain).unwrap(), expected);
        }
        assert_eq!(line("a\r\nb", "/", None), None);
    }

    #[test]
    fn what_is_for_all_of_the_site_ends_first_and_no_answer_is_all_cookies() {
        let deep = "/a".repeat(400);
        let all: Vec<_> =
            within(ON_A_CHOICE, every_line(&BTreeSet::from(["_ga", "_gid"]), "www.example.se", &deep))
                .collect();
        assert!(all[..6].iter().all(|line| line.to_str().unwrap().contains("Path=/;")), "{all:?}");
        assert!(all[6].to_str().unwrap().contains("Path=/a;"));
        assert!((2_000..=ON_A_CHOICE).contains(&all.iter().map(HeaderValue::len).sum::<usize>()));
    }
}
