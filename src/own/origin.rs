//! Who sent a form: a page of this very origin, or one of another (CWE-352).

use http::HeaderMap;
use http::header::{ORIGIN, REFERER};

use crate::visit::Arrival;

/// Where a form was sent from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// A page of this origin, or a program: no browser of today leaves all three headers out.
    Here,
    /// A page of another origin, or one that hides it.
    Elsewhere,
}

/// Reads who sent a form: `Sec-Fetch-Site` (Fetch Metadata), else `Origin`, else `Referer`.
pub(super) fn sender(headers: &HeaderMap, arrival: &Arrival) -> Sender {
    let text = |name| headers.get(name).map(|value: &http::HeaderValue| value.to_str().unwrap_or_default());
    let origin = text(ORIGIN.as_str());
    // `none`: the person themselves, such as a form sent again from the history.
    let is_here = match (text("sec-fetch-site"), origin, text(REFERER.as_str())) {
        (Some("same-origin"), ..) => true,
        (Some("none"), origin, _) => origin.is_none_or(|origin| is_origin(origin, arrival)),
        (Some(_), ..) => false,
        (None, Some(origin), _) => is_origin(origin, arrival),
        (None, None, Some(referer)) => is_below_origin(referer, arrival),
        (None, None, None) => true,
    };
    if is_here { Sender::Here } else { Sender::Elsewhere }
}

fn is_origin(written: &str, arrival: &Arrival) -> bool {
    let here = here(arrival);
    written == here || url::Url::parse(&here).is_ok_and(|here| written == here.origin().ascii_serialization())
}

fn is_below_origin(address: &str, arrival: &Arrival) -> bool {
    let origins = (url::Url::parse(address), url::Url::parse(&here(arrival)));
    matches!(origins, (Ok(there), Ok(here)) if there.origin() == here.origin())
}

/// This origin, as the client wrote it.
fn here(arrival: &Arrival) -> String {
    format!("{}://{}", arrival.scheme.as_str(), arrival.authority.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::clock::Timestamp;
    use crate::visit::Scheme;

    fn sent(authority: &str, headers: &[(&'static str, &str)]) -> Sender {
        let arrival = Arrival {
            host: "www.example.se".into(),
            authority: authority.into(),
            scheme: Scheme::Https,
            client: Ipv4Addr::LOCALHOST.into(),
            now: Timestamp::UNIX_EPOCH,
        };
        let headers = headers.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), http::HeaderValue::from_str(value).unwrap())
        });
        sender(&headers.collect(), &arrival)
    }

    #[test]
    fn only_pages_of_this_origin_may_send_forms() {
        use Sender::{Elsewhere, Here};
        for (headers, expected) in [
            (&[("sec-fetch-site", "same-origin")][..], Here),
            // A page without a referrer hides its origin, too, and fetch metadata still tells.
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")], Here),
            (&[("sec-fetch-site", "same-site")], Elsewhere),
            (&[("sec-fetch-site", "cross-site")], Elsewhere),
            (&[("sec-fetch-site", "cross-site"), ("origin", "https://www.example.se")], Elsewhere),
            (&[("sec-fetch-site", "none")], Here),
            (&[("sec-fetch-site", "none"), ("origin", "https://e.example")], Elsewhere),
            (&[("sec-fetch-site", "")], Elsewhere),
            (&[("origin", "https://www.example.se")], Here),
            (&[("origin", "http://www.example.se")], Elsewhere),
            (&[("origin", "https://example.se")], Elsewhere),
            (&[("origin", "https://www.example.se:8443")], Elsewhere),
            (&[("origin", "https://www.example.se.e.example")], Elsewhere),
            (&[("origin", "null")], Elsewhere),
            (&[("origin", "")], Elsewhere),
            (&[("origin", "https://e.example"), ("referer", "https://www.example.se/")], Elsewhere),
            (&[("referer", "https://www.example.se/a?b")], Here),
            (&[("referer", "https://e.example/?https://www.example.se/")], Elsewhere),
            (&[("referer", "https://www.example.se@e.example/")], Elsewhere),
            (&[("referer", "")], Elsewhere),
            (&[], Here),
        ] {
            assert_eq!(sent("www.example.se", headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn the_standard_port_may_be_written_or_not() {
        for authority in ["www.example.se", "www.example.se:443", "WWW.Example.SE"] {
            assert_eq!(sent(authority, &[("origin", "https://www.example.se")]), Sender::Here);
            assert_eq!(sent(authority, &[("referer", "https://www.example.se/a")]), Sender::Here);
        }
        let port = [("origin", "https://www.example.se:8443")];
        assert_eq!(sent("www.example.se:8443", &port), Sender::Here);
    }
}
