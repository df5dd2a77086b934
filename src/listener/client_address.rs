//! Who is really calling, where trusted proxies stand in front (`trusted_proxies`). Pure.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::FORWARDED;
use ipnet::IpNet;

use super::Peer;
use crate::visit::{self, Scheme};

/// The visitor's address and scheme.
///
/// Headers count only if the peer is trusted, and then hop by hop from the right: whatever stands to the left
/// of the first address that is not trusted may be forged. `X-Forwarded-For` wins over `Forwarded` (RFC 7239),
/// because proxies that write the one often pass the other on as the visitor wrote it.
pub fn identify(peer: &Peer, headers: &HeaderMap, trusted: &[IpNet]) -> (IpAddr, Scheme) {
    let peer_address = peer.address.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    if !is_trusted(peer_address) {
        return (peer_address, peer.scheme);
    }
    let hops = if headers.contains_key(X_FORWARDED_FOR) { x_forwarded(headers) } else { forwarded(headers) };
    let mut believed = (peer_address, None);
    for hop in hops {
        // The scheme was seen by the same trusted proxy as the address, even if it hides the latter.
        believed.1 = hop.scheme;
        let Some(address) = hop.address else { break };
        believed.0 = address;
        if !is_trusted(address) {
            break;
        }
    }
    (believed.0, believed.1.unwrap_or(peer.scheme))
}

const X_FORWARDED_FOR: &str = "x-forwarded-for";
const X_FORWARDED_PROTO: &str = "x-forwarded-proto";

/// What one proxy says of the one before it.
struct Hop {
    address: Option<IpAddr>,
    scheme: Option<Scheme>,
}

/// The hops of `X-Forwarded-For`, the nearest first.
fn x_forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let schemes = nearest_first(headers, X_FORWARDED_PROTO);
    let addresses = nearest_first(headers, X_FORWARDED_FOR);
    // Proxies either append to both headers alike, or write the visitor's scheme once.
    let hop = |(depth, address): (usize, &&str)| Hop {
        address: address_of(address),
        scheme: schemes.get(depth).or(schemes.last()).and_then(|scheme| scheme_of(scheme)),
    };
    addresses.iter().enumerate().map(hop).collect()
}

/// The hops of `Forwarded`, or one without an address that says the scheme; the nearest first.
fn forwarded(headers: &HeaderMap) -> Vec<Hop> {
    if headers.contains_key(FORWARDED) {
        return nearest_first(headers, FORWARDED.as_str()).into_iter().map(element).collect();
    }
    let scheme = nearest_first(headers, X_FORWARDED_PROTO).first().and_then(|scheme| scheme_of(scheme));
    vec![Hop { address: None, scheme }]
}

/// One element of `Forwarded`, such as `for="[2001:db8::1]:4711";proto=https`.
fn element(text: &str) -> Hop {
    let mut hop = Hop { address: None, scheme: None };
    for (name, value) in text.split(';').filter_map(|pair| pair.trim().split_once('=')) {
        let value = value.trim_matches('"');
        if name.eq_ignore_ascii_case("for") {
            hop.address = address_of(value);
        } else if name.eq_ignore_ascii_case("proto") {
            hop.scheme = scheme_of(value);
        }
    }
    hop
}

/// The values of a header, the last first. The visitor may have written anything; trusted proxies wrote theirs behind it.
fn nearest_first<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let mut values: Vec<&str> = visit::values(headers, name).collect();
    values.reverse();
    values
}

/// An address with or without port and brackets; none for `unknown` and names of a proxy's own.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

fn scheme_of(text: &str) -> Option<Scheme> {
    if text.eq_ignore_ascii_case("https") {
        Some(Scheme::Https)
    } else if text.eq_ignore_ascii_case("http") {
        Some(Scheme::Http)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn identified(peer: &str, headers: &[(&'static str, &str)]) -> (String, Scheme) {
        let peer = Peer { address: peer.parse().unwrap(), scheme: Scheme::Http, server_name: None, port: 80 };
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
            })
            .collect();
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap()).into();
        let (address, scheme) = identify(&peer, &headers, &trusted);
        (address.to_string(), scheme)
    }

    #[test]
    fn headers_count_only_from_trusted_peers_and_only_up_to_the_first_stranger() {
        use Scheme::{Http, Https};
        const FOR: &str = X_FORWARDED_FOR;
        const PROTO: &str = X_FORWARDED_PROTO;
        for (peer, headers, address, scheme) in [
            ("203.0.113.9", vec![(FOR, "1.2.3.4"), (PROTO, "https")], "203.0.113.9", Http),
            ("10.0.0.1", vec![], "10.0.0.1", Http),
            ("10.0.0.1", vec![(PROTO, "https")], "10.0.0.1", Https),
            ("10.0.0.1", vec![(FOR, "203.0.113.9")], "203.0.113.9", Http),
            ("::ffff:10.0.0.1", vec![(FOR, "203.0.113.9")], "203.0.113.9", Http),
            ("10.0.0.1", vec![(FOR, "203.0.113.9"), (PROTO, "https")], "203.0.113.9", Https),
            ("10.0.0.1", vec![(FOR, "6.6.6.6, 203.0.113.9")], "203.0.113.9", Http),
            ("10.0.0.1", vec![(FOR, "6.6.6.6, 203.0.113.9, 10.0.0.2")], "203.0.113.9", Http),
            ("10.0.0.1", vec![(FOR, "10.0.0.3, 10.0.0.2")], "10.0.0.3", Http),
            ("10.0.0.1", vec![(FOR, "6.6.6.6, garbage, 10.0.0.2")], "10.0.0.2", Http),
            ("10.0.0.1", vec![(FOR, "sök, 203.0.113.9")], "203.0.113.9", Http),
            ("10.0.0.1", vec![(FOR, "203.0.113.9, sök")], "10.0.0.1", Http),
            ("10.0.0.1", vec![("forwarded", "for=\"sök\", for=203.0.113.9")], "203.0.113.9", Http),
            ("10.0.0.1", vec![(FOR, "")], "10.0.0.1", Http),
            ("10.0.0.1", vec![(FOR, "203.0.113.9"), (PROTO, "https, http")], "203.0.113.9", Http),
            ("10.0.0.1", vec![(FOR, "203.0.113.9, 10.0.0.2"), (PROTO, "https, http")], "203.0.113.9", Https),
            ("10.0.0.1", vec![(FOR, "203.0.113.9, 10.0.0.2"), (PROTO, "https")], "203.0.113.9", Https),
            ("10.0.0.1", vec![(FOR, "203.0.113.9:4711")], "203.0.113.9", Http),
            ("fd00::1", vec![(FOR, "[2001:db8::7]:4711")], "2001:db8::7", Http),
            ("fd00::1", vec![(FOR, "2001:db8::7")], "2001:db8::7", Http),
            ("10.0.0.1", vec![("forwarded", "for=203.0.113.9;proto=https")], "203.0.113.9", Https),
            ("10.0.0.1", vec![("forwarded", "For=\"[2001:db8::7]:47\"; Proto=HTTPS")], "2001:db8::7", Https),
            ("10.0.0.1", vec![("forwarded", "for=6.6.6.6, for=unknown;proto=https")], "10.0.0.1", Https),
            (
                "10.0.0.1",
                vec![("forwarded", "for=6.6.6.6;proto=https"), ("forwarded", "for=203.0.113.9")],
                "203.0.113.9",
                Http,
            ),
            ("10.0.0.1", vec![("forwarded", "for=6.6.6.6"), (FOR, "203.0.113.9")], "203.0.113.9", Http),
            ("10.0.0.1", vec![(PROTO, "gopher")], "10.0.0.1", Http),
        ] {
            assert_eq!(identified(peer, &headers), (address.to_owned(), scheme), "{peer} {headers:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_an_untrusted_peer_somebody_else(value in "[ -~]{0,60}") {
            let headers = [(X_FORWARDED_FOR, value.as_str()), ("forwarded", value.as_str())];
            prop_assert_eq!(identified("203.0.113.9", &headers).0, "203.0.113.9");
            identified("10.0.0.1", &headers);
        }

        #[test]
        fn nothing_that_a_visitor_writes_hides_what_a_trusted_proxy_writes_behind_it(
            written in proptest::collection::vec(b' '..=b'\xff', 0..40),
        ) {
            let line = [&*written, b", 203.0.113.9"].concat();
            // DEL stands in no header.
            prop_assume!(!written.contains(&0x7f));
            let peer =
                Peer { address: [10, 0, 0, 1].into(), scheme: Scheme::Http, server_name: None, port: 80 };
            let headers = HeaderMap::from_iter([
                (HeaderName::from_static(X_FORWARDED_FOR), HeaderValue::from_bytes(&line).unwrap()),
            ]);
            let (address, _) = identify(&peer, &headers, &["10.0.0.0/8".parse().unwrap()]);
            prop_assert_eq!(address.to_string(), "203.0.113.9");
        }
    }
}
