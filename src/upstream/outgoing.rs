//! The request as the upstream sees it, and the answer as the visitor may: what belongs to one connection goes
//! out, what the upstream should know of the visitor comes in. Pure.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, EXPECT, FORWARDED, HOST, TE, TRAILER, VIA};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version};

use crate::filter::headers::remove_where;
use crate::visit::{Arrival, ClientAddress, values};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Turns the visitor's headers into those of the proxy's own request.
pub(super) fn rewrite(headers: &mut HeaderMap, arrival: &Arrival, shown: ClientAddress) {
    let takes_trailers = values(headers, TE).any(|coding| coding.eq_ignore_ascii_case("trailers"));
    remove_listed(headers);
    let says_where = |name: &str| shown != ClientAddress::Full && is_claim(name);
    remove_where(headers, |name| is_hop_by_hop(name) || is_forgeable(name) || says_where(name));
    join_cookies(headers);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    introduce(headers, arrival, shown);
}

/// Adds the proxy to those that a message has passed through; it came to here in this version.
pub(super) fn sign(headers: &mut HeaderMap, version: Version) {
    let entry = match version {
        Version::HTTP_10 => "1.0 consentry",
        Version::HTTP_2 => "2 consentry",
        _ => "1.1 consentry",
    };
    headers.append(VIA, HeaderValue::from_static(entry));
}

/// Removes what belongs to one connection only: the names that `Connection` lists and those it ought to list
/// (RFC 9110 section 7.6.1), and whatever is meant for proxies.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    remove_listed(headers);
    remove_where(headers, is_hop_by_hop);
}

fn remove_listed(headers: &mut HeaderMap) {
    // Most lines say one of these alone, and the first is no header.
    let is_usual = |line: &HeaderValue| {
        [&b"close"[..], b"keep-alive"].iter().any(|usual| line.as_bytes().eq_ignore_ascii_case(usual))
    };
    if headers.get_all(CONNECTION).into_iter().all(is_usual) {
        return;
    }
    let listed: Vec<HeaderName> = values(headers, CONNECTION).filter_map(|name| name.parse().ok()).collect();
    for name in listed.into_iter().filter(|name| *name != TRAILER) {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "te" | "transfer-encoding" | "upgrade")
        || name.starts_with("proxy-")
}

/// A request of HTTP/1.1 as HTTP/2 writes it: the host is `:authority`, and nothing is said of the connection
/// (RFC 9113 sections 8.2.2 and 8.3.1).
pub(super) fn as_http2<B>(mut request: Request<B>, scheme: &str) -> Result<Request<B>, http::Error> {
    let host = request.headers_mut().remove(HOST);
    let authority = Authority::try_from(host.as_ref().map_or(b"".as_slice(), HeaderValue::as_bytes))?;
    request.headers_mut().remove(CONNECTION);
    // The body goes at once: streams have a flow control of their own.
    request.headers_mut().remove(EXPECT);
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    *request.uri_mut() = Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build()?;
    *request.version_mut() = Version::HTTP_2;
    Ok(request)
}

/// Joins `Cookie` lines into one: HTTP/2 may split them, and HTTP/1 has one (RFC 9113 section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).into_iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(b"; ".as_slice())) {
        headers.insert(COOKIE, joined);
    }
}

/// Removes all that a visitor may not say of themselves, or that says where they are.
pub(super) fn remove_claims(headers: &mut HeaderMap) {
    remove_where(headers, |name| is_forgeable(name) || is_claim(name));
}

/// What a visitor may not say of themselves: only the proxy knows how the request came in.
fn is_forgeable(name: &str) -> bool {
    let known = dashed(name);
    FORGEABLE.contains(&&*known)
        || known.starts_with("x-forwarded-")
        || matches!(known, Cow::Owned(_)) && FRAMING.contains(&&*known)
}

fn is_claim(name: &str) -> bool {
    ADDRESSES.contains(&&*dashed(name))
}

/// CGI makes `X_Forwarded_For` and `X-Forwarded-For` one variable.
fn dashed(name: &str) -> Cow<'_, str> {
    let is_dashed = memchr::memchr(b'_', name.as_bytes()).is_none();
    if is_dashed { name.into() } else { name.replace('_', "-").into() }
}

/// Headers that applications believe, of a proxy or of the server that runs them. The two `-url` make some of them
/// serve another path than the one that the gates have judged; `proxy` becomes `HTTP_PROXY` (CVE-2016-5385).
const FORGEABLE: [&str; 5] = ["forwarded", "x-forwarded", "x-original-url", "x-rewrite-url", "proxy"];

/// Headers that say where a body ends. Only their true names are read here; an application behind CGI cannot tell
/// `Content_Length` from them.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];

/// Headers in which proxies in front write the visitor's address. They stand only where the upstream may know
/// it: the proxies in front wrote them for the upstream before this one came.
const ADDRESSES: [&str; 10] = [
    "x-real-ip",
    "x-client-ip",
    "client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "fastly-client-ip",
    "forwarded-for",
];

/// Writes how the request came in: `Host`, `X-Forwarded-*` and `Forwarded` (RFC 7239).
fn introduce(headers: &mut HeaderMap, arrival: &Arrival, shown: ClientAddress) {
    let scheme = arrival.scheme.as_str();
    let mut forwarded = Vec::with_capacity(128);
    let address = shown.shown(arrival.client).map(|address| write_node(&mut forwarded, address));
    forwarded.extend_from_slice(b"host=\"");
    let host = forwarded.len()..forwarded.len() + arrival.authority.len();
    forwarded.extend_from_slice(arrival.authority.as_bytes());
    forwarded.extend_from_slice(b"\";proto=");
    forwarded.extend_from_slice(scheme.as_bytes());
    // It says all that the others say: they are parts of the same memory.
    let forwarded = Bytes::from(forwarded);
    let value = |part: Bytes| HeaderValue::from_maybe_shared(part).ok();
    if let Some(value) = address.and_then(|place| value(forwarded.slice(place))) {
        headers.insert(X_FORWARDED_FOR, value);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    if let Some(authority) = value(forwarded.slice(host)) {
        headers.insert(X_FORWARDED_HOST, authority.clone());
        headers.insert(HOST, authority);
    }
    if let Some(value) = value(forwarded) {
        headers.insert(FORWARDED, value);
    }
}

/// Writes who is calling, as `Forwarded` says it, and gives the place of the address alone.
fn write_node(forwarded: &mut Vec<u8>, address: IpAddr) -> Range<usize> {
    let (before, after) = match address {
        IpAddr::V4(_) => ("for=", ";"),
        IpAddr::V6(_) => ("for=\"[", "]\";"),
    };
    forwarded.extend_from_slice(before.as_bytes());
    let start = forwarded.len();
    match address {
        IpAddr::V4(v4) => write_dotted(forwarded, v4),
        IpAddr::V6(v6) => forwarded.extend_from_slice(v6.to_string().as_bytes()),
    }
    let place = start..forwarded.len();
    forwarded.extend_from_slice(after.as_bytes());
    place
}

/// As its `Display`, which takes ten times as long: it is written for each request.
fn write_dotted(text: &mut Vec<u8>, address: Ipv4Addr) {
    for (index, octet) in address.octets().into_iter().enumerate() {
        if index > 0 {
            text.push(b'.');
        }
        if octet >= 100 {
            text.push(b'0' + octet / 100);
        }
        if octet >= 10 {
            text.push(b'0' + octet / 10 % 10);
        }
        text.push(b'0' + octet % 10);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Timestamp;
    use crate::visit::Scheme;

    fn arrival(client: &str) -> Arrival {
        Arrival {
            host: "shop.example".into(),
            authority: "Shop.example:8443".into(),
            scheme: Scheme::Https,
            client: client.parse().unwrap(),
            now: Timestamp::UNIX_EPOCH,
        }
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        headers
    }

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    #[test]
    fn what_belongs_to_one_connection_goes_out() {
        let mut headers = headers(&[
            ("connection", "close, X-Once"),
            ("connection", "keep-alive"),
            ("x-once", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("proxy-authorization", "Basic x"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("trailer", "x-sum"),
            ("content-type", "text/plain"),
        ]);
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "trailer"]);
    }

    #[test]
    fn the_upstream_learns_how_the_request_came_in_from_the_proxy_alone() {
        let mut headers = headers(&[
            ("host", "shop.example"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x-forwarded-port", "1"),
            ("forwarded", "for=6.6.6.6"),
            ("x-original-url", "/admin"),
            ("x-rewrite-url", "/admin"),
            ("proxy", "http://evil.example"),
            ("connection", "x-forwarded-proto, forwarded"),
            ("x-real-ip", "192.0.2.1"),
        ]);
        rewrite(&mut headers, &arrival("192.0.2.1"), ClientAddress::Full);
        for (name, expected) in [
            ("host", "Shop.example:8443"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-host", "Shop.example:8443"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=192.0.2.1;host=\"Shop.example:8443\";proto=https"),
            ("x-real-ip", "192.0.2.1"),
        ] {
            assert_eq!(text(&headers, name), [expected], "{name}");
        }
        assert_eq!(headers.len(), 6, "{headers:?}");
    }

    #[test]
    fn no_more_of_the_address_is_told_than_the_site_allows() {
        for (shown, client, plain, forwarded) in [
            (ClientAddress::Anonymized, "192.0.2.77", vec!["192.0.2.0"], "for=192.0.2.0;"),
            (ClientAddress::Anonymized, "2001:db8:1:2::3", vec!["2001:db8:1::"], "for=\"[2001:db8:1::]\";"),
            (ClientAddress::None, "192.0.2.77", vec![], ""),
        ] {
            let mut headers = headers(&[("x-real-ip", client), ("CF-Connecting-IP", client)]);
            rewrite(&mut headers, &arrival(client), shown);
            assert_eq!(text(&headers, "x-forwarded-for"), plain);
            let expected = format!("{forwarded}host=\"Shop.example:8443\";proto=https");
            assert_eq!(text(&headers, "forwarded"), [expected]);
            assert!(!format!("{headers:?}").contains(client));
        }
    }

    #[test]
    fn addresses_are_written_as_everybody_writes_them() {
        for octet in 0..=255 {
            let address = Ipv4Addr::new(octet, 255 - octet, 0, octet / 2);
            let mut text = Vec::new();
            write_dotted(&mut text, address);
            assert_eq!(text, address.to_string().as_bytes());
        }
    }

    #[test]
    fn cookie_crumbs_are_joined_in_their_order() {
        let mut headers = headers(&[("cookie", "a=1"), ("cookie", "b=2; c=3"), ("cookie", "d=4")]);
        rewrite(&mut headers, &arrival("192.0.2.1"), ClientAddress::Full);
        assert_eq!(text(&headers, "cookie"), ["a=1; b=2; c=3; d=4"]);
    }

    #[test]
    fn trailers_are_asked_for_where_the_visitor_takes_them() {
        let mut headers = headers(&[("te", "gzip, Trailers")]);
        rewrite(&mut headers, &arrival("192.0.2.1"), ClientAddress::Full);
        assert_eq!((text(&headers, "te"), text(&headers, "connection")), (vec!["trailers"], vec!["te"]));
    }

    #[test]
    fn http2_names_the_host_in_its_authority_and_keeps_the_target_byte_for_byte() {
        for target in ["/", "/a/../b//c%2f%zz;d?e=%20&f", "/?", "*"] {
            let request = Request::options(target)
                .header("host", "Shop.example:81")
                .header("connection", "te")
                .header("te", "trailers")
                .body(())
                .unwrap();
            let request = as_http2(request, "https").unwrap();
            assert_eq!(request.uri().authority().unwrap(), "Shop.example:81");
            assert_eq!(request.uri().path_and_query().unwrap(), target);
            assert_eq!(request.headers().keys().collect::<Vec<_>>(), ["te"]);
        }
        assert!(as_http2(Request::new(()), "http").is_err());
    }

    proptest! {
        #[test]
        fn rewriting_twice_is_rewriting_once(
            lines in prop::collection::vec(("[a-z][a-z_-]{0,12}", "[ -~]{0,20}"), 0..8),
            connection in "[a-z, -]{0,20}",
        ) {
            let mut lines: Vec<(&str, &str)> =
                lines.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            lines.push(("connection", &connection));
            let mut once = headers(&lines);
            rewrite(&mut once, &arrival("192.0.2.1"), ClientAddress::Full);
            let mut twice = once.clone();
            rewrite(&mut twice, &arrival("192.0.2.1"), ClientAddress::Full);
            prop_assert_eq!(once, twice);
        }
    }
}
