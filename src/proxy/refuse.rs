//! What a proxy must not pass: requests that the two servers in a row could read differently. Pure.
//!
//! hyper has refused or mended some of it before: of `Content-Length` beside `Transfer-Encoding` it drops the
//! former and closes the connection afterwards (RFC 9112 section 6.1), and it cuts a target off at `#`.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri, Version};

use crate::listener::Peer;
use crate::visit::values;

/// Which host a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// In lower case, without a port and without the dot of a fully qualified name; IPv6 in its brackets.
    pub canonical: Box<str>,
    /// As the client wrote it, with its port.
    pub authority: Box<str>,
}

/// Why a request goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It names no host.
    NoHost,
    /// It has more than one `Host` line.
    SeveralHosts,
    /// Its host holds user information, blanks, or what no host name is made of.
    MalformedHost,
    /// Absolute target or `:authority` name another host than `Host`.
    AuthorityDisagrees,
    /// The TLS handshake named another host (RFC 9110 section 7.4).
    ServerNameDisagrees,
    /// A transfer coding other than `chunked`.
    TransferCoding,
    /// `Content-Length` beside `Transfer-Encoding`.
    TwoLengths,
    /// A target that is neither a path nor a web address, or that has a fragment.
    MalformedTarget,
    /// CONNECT: this is no forward proxy.
    Connect,
    /// `Upgrade: h2c`: behind it, requests would pass unseen.
    UpgradeToHttp2,
}

impl Refusal {
    /// The status to answer with.
    pub fn status(self) -> StatusCode {
        match self {
            Refusal::ServerNameDisagrees => StatusCode::MISDIRECTED_REQUEST,
            Refusal::TransferCoding | Refusal::Connect => StatusCode::NOT_IMPLEMENTED,
            Refusal::NoHost
            | Refusal::SeveralHosts
            | Refusal::MalformedHost
            | Refusal::AuthorityDisagrees
            | Refusal::TwoLengths
            | Refusal::MalformedTarget
            | Refusal::UpgradeToHttp2 => StatusCode::BAD_REQUEST,
        }
    }

    /// Whether nobody can tell where the request ends, so that nothing after it counts (RFC 9112 section 11.2).
    pub fn ends_connection(self) -> bool {
        matches!(self, Refusal::TransferCoding | Refusal::TwoLengths)
    }

    /// The word for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::NoHost => "no-host",
            Refusal::SeveralHosts => "several-hosts",
            Refusal::MalformedHost => "malformed-host",
            Refusal::AuthorityDisagrees => "authority-disagrees",
            Refusal::ServerNameDisagrees => "server-name-disagrees",
            Refusal::TransferCoding => "transfer-coding",
            Refusal::TwoLengths => "two-lengths",
            Refusal::MalformedTarget => "malformed-target",
            Refusal::Connect => "connect",
            Refusal::UpgradeToHttp2 => "upgrade-to-http2",
        }
    }
}

/// The host of a request that may pass, or why it may not.
pub fn refuse(parts: &Parts, peer: &Peer) -> Result<Host, Refusal> {
    if parts.method == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    check_target(parts)?;
    check_framing(&parts.headers)?;
    if values(&parts.headers, UPGRADE).any(|token| token.eq_ignore_ascii_case("h2c")) {
        return Err(Refusal::UpgradeToHttp2);
    }
    let host = host(parts)?;
    match peer.server_name.as_deref() {
        Some(name) if name.strip_suffix('.').unwrap_or(name) != &*host.canonical => {
            Err(Refusal::ServerNameDisagrees)
        }
        Some(_) | None => Ok(host),
    }
}

/// RFC 9112 section 3.2: origin form, absolute form of a web address, and `*` for OPTIONS alone.
fn check_target(parts: &Parts) -> Result<(), Refusal> {
    let uri = &parts.uri;
    let is_path = uri.path().starts_with('/') || uri.path() == "*" && parts.method == Method::OPTIONS;
    let is_web = match uri.scheme_str() {
        Some(scheme) => scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"),
        // An authority alone is the form of CONNECT.
        None => uri.authority().is_none() || parts.version == Version::HTTP_2,
    };
    let has_fragment = uri.path_and_query().is_some_and(|target| target.as_str().contains('#'));
    if is_path && is_web && !has_fragment { Ok(()) } else { Err(Refusal::MalformedTarget) }
}

/// Whatever makes two servers disagree on where a body ends (RFC 9112 section 11.2).
fn check_framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).into_iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(_), _) if headers.contains_key(CONTENT_LENGTH) => Err(Refusal::TwoLengths),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        (Some(_), _) => Err(Refusal::TransferCoding),
    }
}

fn host(parts: &Parts) -> Result<Host, Refusal> {
    let mut hosts = parts.headers.get_all(HOST).into_iter();
    let (header, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Refusal::SeveralHosts);
    }
    let header = match header {
        Some(value) => Some(value.to_str().map_err(|_| Refusal::MalformedHost)?),
        None => None,
    };
    let written = match (parts.uri.authority(), header) {
        (Some(authority), Some(header)) if !is_same(&parts.uri, authority.as_str(), header)? => {
            return Err(Refusal::AuthorityDisagrees);
        }
        (Some(authority), _) => authority.as_str(),
        (None, Some(header)) => header,
        (None, None) => return Err(Refusal::NoHost),
    };
    let (canonical, _) = split(written)?;
    Ok(Host { canonical: canonical.into(), authority: written.into() })
}

/// Whether two authorities are one; the default port of the scheme may be left out.
fn is_same(uri: &Uri, one: &str, other: &str) -> Result<bool, Refusal> {
    let default = match uri.scheme_str() {
        Some(scheme) if scheme.eq_ignore_ascii_case("https") => 443,
        Some(_) | None => 80,
    };
    let ((one, port), (other, other_port)) = (split(one)?, split(other)?);
    Ok(one == other && port.unwrap_or(default) == other_port.unwrap_or(default))
}

/// The canonical host and the port of an authority.
fn split(authority: &str) -> Result<(String, Option<u16>), Refusal> {
    let (host, port) = match authority.bytes().rposition(|byte| byte == b':') {
        Some(colon) if !authority.ends_with(']') => {
            let (host, port) = authority.split_at(colon);
            (host, port.get(1..).unwrap_or_default())
        }
        Some(_) | None => (authority, ""),
    };
    let port = match port {
        "" => None,
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| Refusal::MalformedHost)?)
        }
        _ => return Err(Refusal::MalformedHost),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    match host {
        "" => Err(Refusal::NoHost),
        host if is_name(host) || is_ipv6(host) => Ok((host.to_ascii_lowercase(), port)),
        _ => Err(Refusal::MalformedHost),
    }
}

/// Letters, digits, hyphens and underscores between dots: what host names are made of in practice.
fn is_name(host: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let mut labels = host.as_bytes().split(|byte| *byte == b'.');
    host.len() <= 253 && labels.all(|label| !label.is_empty() && label.iter().copied().all(is_letter))
}

fn is_ipv6(host: &str) -> bool {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Request};
    use proptest::prelude::*;

    use super::*;
    use crate::visit::Scheme;

    fn refused(
        method: &str,
        target: &str,
        version: Version,
        headers: &[(&'static str, &[u8])],
        server_name: Option<&str>,
    ) -> Result<Host, Refusal> {
        let mut request = Request::builder().method(method).uri(target).version(version).body(()).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        let peer = Peer {
            address: [127, 0, 0, 1].into(),
            scheme: Scheme::Http,
            server_name: server_name.map(Into::into),
            port: 80,
        };
        refuse(&request.into_parts().0, &peer)
    }

    #[test]
    fn the_host_is_read_in_its_canonical_form() {
        for (written, canonical) in [
            ("example.se", "example.se"),
            ("WWW.Example.SE:8443", "www.example.se"),
            ("example.se.", "example.se"),
            ("example.se.:80", "example.se"),
            ("example.se:", "example.se"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("[::1]:8080", "[::1]"),
            ("127.0.0.1:8080", "127.0.0.1"),
            ("my_shop.example.se", "my_shop.example.se"),
        ] {
            let host = refused("GET", "/", Version::HTTP_11, &[("host", written.as_bytes())], None).unwrap();
            assert_eq!((&*host.canonical, &*host.authority), (canonical, written));
        }
    }

    #[test]
    fn hosts_that_servers_read_differently_are_refused() {
        use Refusal::{MalformedHost, NoHost, SeveralHosts};
        for (headers, refusal) in [
            (vec![], NoHost),
            (vec![("host", b"".as_slice())], NoHost),
            (vec![("host", b":80")], NoHost),
            (vec![("host", b"a.se"), ("host", b"a.se")], SeveralHosts),
            (vec![("host", b"a.se"), ("host", b"b.se")], SeveralHosts),
            (vec![("host", b"user@a.se")], MalformedHost),
            (vec![("host", b"a.se b.se")], MalformedHost),
            (vec![("host", b"a.se,b.se")], MalformedHost),
            (vec![("host", b"a.se/x")], MalformedHost),
            (vec![("host", b"a.se\\x")], MalformedHost),
            (vec![("host", b"a..se")], MalformedHost),
            (vec![("host", b"a.se..")], MalformedHost),
            (vec![("host", b"a.se:80x")], MalformedHost),
            (vec![("host", b"a.se:99999")], MalformedHost),
            (vec![("host", b"a.se:80:80")], MalformedHost),
            (vec![("host", b"a%2ese")], MalformedHost),
            (vec![("host", b"[::1")], MalformedHost),
            (vec![("host", b"[fe80::1%25eth0]")], MalformedHost),
            (vec![("host", b"\xe5.se")], MalformedHost),
        ] {
            assert_eq!(refused("GET", "/", Version::HTTP_11, &headers, None), Err(refusal), "{headers:?}");
        }
    }

    #[test]
    fn target_and_host_must_agree() {
        for (target, host, version, agrees) in [
            ("http://a.se/x", Some("a.se"), Version::HTTP_11, true),
            ("http://a.se/x", Some("A.se:80"), Version::HTTP_11, true),
            ("https://a.se/x", Some("a.se:443"), Version::HTTP_2, true),
            ("https://a.se/x", None, Version::HTTP_2, true),
            ("http://a.se/x", Some("b.se"), Version::HTTP_11, false),
            ("http://a.se/x", Some("a.se:8080"), Version::HTTP_11, false),
            ("https://a.se/x", Some("b.se"), Version::HTTP_2, false),
        ] {
            let headers: Vec<_> = host.iter().map(|host| ("host", host.as_bytes())).collect();
            let outcome = refused("GET", target, version, &headers, None);
            let expected = if agrees { Ok("a.se") } else { Err(Refusal::AuthorityDisagrees) };
            assert_eq!(outcome.as_ref().map(|host| &*host.canonical), expected.as_ref().map(|host| *host));
        }
    }

    #[test]
    fn the_name_of_the_handshake_must_be_the_host() {
        for (server_name, host, agrees) in [
            (None, "a.se", true),
            (Some("a.se"), "A.se:8443", true),
            (Some("a.se"), "a.se.", true),
            (Some("b.se"), "a.se", false),
            (Some("www.a.se"), "a.se", false),
        ] {
            let headers = [("host", host.as_bytes())];
            let outcome = refused("GET", "/", Version::HTTP_11, &headers, server_name);
            assert_eq!(outcome.is_ok(), agrees, "{server_name:?} {host}");
            assert!(agrees || outcome == Err(Refusal::ServerNameDisagrees));
        }
        assert_eq!(Refusal::ServerNameDisagrees.status(), 421);
    }

    #[test]
    fn forms_and_framings_that_hide_a_second_request_are_refused() {
        let host = ("host", b"a.se".as_slice());
        for (method, target, header, refusal) in [
            ("CONNECT", "a.se:443", host, Some(Refusal::Connect)),
            ("GET", "a.se", host, Some(Refusal::MalformedTarget)),
            ("GET", "*", host, Some(Refusal::MalformedTarget)),
            ("GET", "ftp://a.se/", host, Some(Refusal::MalformedTarget)),
            ("OPTIONS", "*", host, None),
            ("GET", "/", ("upgrade", b"h2c"), Some(Refusal::UpgradeToHttp2)),
            ("GET", "/", ("upgrade", b"websocket, H2C"), Some(Refusal::UpgradeToHttp2)),
            ("GET", "/", ("upgrade", b"websocket"), None),
            ("POST", "/", ("transfer-encoding", b"chunked"), None),
            ("POST", "/", ("transfer-encoding", b"Chunked"), None),
            ("POST", "/", ("transfer-encoding", b"gzip, chunked"), Some(Refusal::TransferCoding)),
            ("POST", "/", ("transfer-encoding", b"chunked, chunked"), Some(Refusal::TransferCoding)),
        ] {
            let headers = if header == host { vec![host] } else { vec![host, header] };
            let outcome = refused(method, target, Version::HTTP_11, &headers, None);
            assert_eq!(outcome.err(), refusal, "{method} {target} {headers:?}");
        }
        let two = [host, ("transfer-encoding", b"chunked"), ("content-length", b"3")];
        assert_eq!(refused("POST", "/", Version::HTTP_11, &two, None), Err(Refusal::TwoLengths));
        let twice = [host, ("transfer-encoding", b"chunked"), ("transfer-encoding", b"chunked")];
        assert_eq!(refused("POST", "/", Version::HTTP_11, &twice, None), Err(Refusal::TransferCoding));
    }

    proptest! {
        #[test]
        fn no_host_panics_and_what_passes_is_clean(written in "[ -~]{0,40}") {
            if let Ok(host) = refused("GET", "/", Version::HTTP_11, &[("host", written.as_bytes())], None) {
                prop_assert!(!host.canonical.contains(['@', ' ', '/', '\\', '%', '?', '#', ',']));
                prop_assert_eq!(host.canonical.to_ascii_lowercase(), &*host.canonical);
            }
        }
    }
}
