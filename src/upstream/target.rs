//! What an address of an upstream is, and how it is written. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::str::FromStr;

use url::{Host, Url};

use crate::listener::CertificateFiles;

/// One address of an upstream, and what is spoken there.
///
/// Written as `http://HOST:PORT`, `https://HOST:PORT`, `h2c://HOST:PORT` (HTTP/2 in clear text, without asking
/// first), or `unix:PATH` (HTTP/1.1 over a Unix socket).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// What it speaks.
    pub protocol: Protocol,
    /// The most connections that are open at one time (`connections`); 0: no limit.
    pub connections: usize,
}

/// Where an upstream listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A port of a host.
    Tcp {
        /// A name that is looked up for each new connection, or an IP address; IPv6 in its brackets.
        host: Box<str>,
        /// The port.
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

/// What an upstream speaks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1 in clear text.
    Http,
    /// HTTP/2 in clear text with prior knowledge (RFC 9113 section 3.3).
    Http2,
    /// HTTP/2 or HTTP/1.1 over TLS, as both agree (RFC 7301).
    Tls(Tls),
}

/// How both sides of a TLS connection are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// How the upstream's certificate is verified.
    pub trust: Trust,
    /// What the proxy shows of itself (`client_certificate`).
    pub identity: Option<CertificateFiles>,
}

/// How an upstream's certificate is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Against the machine's certificate authorities.
    #[default]
    System,
    /// Against the authorities of this PEM file (`ca: FILE`).
    Authority(PathBuf),
    /// Not at all (`verify: false`).
    Anything,
}

/// Why a text is no address of an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It cannot be read at all.
    #[error("is not a URL")]
    NotAUrl,
    /// It has a scheme that upstreams do not have.
    #[error("is not http, https, h2c or unix")]
    Scheme,
    /// It has no host.
    #[error("names no host")]
    NoHost,
    /// It names a user.
    #[error("carries a user's name")]
    User,
    /// It has a path, a query or a fragment.
    #[error("has a path")]
    Path,
    /// It has port 0, or is `h2c` without a port.
    #[error("has no port to connect to")]
    Port,
    /// It is `unix:` alone.
    #[error("names no socket")]
    NoSocket,
}

impl FromStr for Target {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        if let Some(path) = text.strip_prefix("unix:") {
            // `unix:///run/app.sock` is what some write for `unix:/run/app.sock`.
            let path = path.strip_prefix("//").unwrap_or(path);
            let endpoint = Endpoint::Unix(path.into());
            return match path {
                "" | "/" => Err(Malformed::NoSocket),
                _ => Ok(Target { endpoint, protocol: Protocol::Http, connections: 0 }),
            };
        }
        // Only the schemes of the web have their hosts read as the web reads them.
        let (known, is_prior) = match text.strip_prefix("h2c://") {
            Some(rest) => (format!("http://{rest}"), true),
            None => (text.to_owned(), false),
        };
        let url = Url::parse(&known).map_err(|_| Malformed::NotAUrl)?;
        let protocol = match url.scheme() {
            "http" if is_prior => Protocol::Http2,
            "http" => Protocol::Http,
            "https" => Protocol::Tls(Tls::default()),
            _ => return Err(Malformed::Scheme),
        };
        Ok(Target { endpoint: tcp(&url)?, protocol, connections: 0 })
    }
}

fn tcp(url: &Url) -> Result<Endpoint, Malformed> {
    let host = url.host_str().ok_or(Malformed::NoHost)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Malformed::User);
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(Malformed::Path);
    }
    match url.port_or_known_default() {
        Some(port @ 1..) => Ok(Endpoint::Tcp { host: host.into(), port }),
        Some(0) | None => Err(Malformed::Port),
    }
}

impl fmt::Display for Endpoint {
    /// As logs and metrics write it: `HOST:PORT` or `unix:PATH`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp { host, port } => write!(f, "{host}:{port}"),
            Endpoint::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Target {
    /// The scheme of the requests that it gets.
    pub fn scheme(&self) -> &'static str {
        match self.protocol {
            Protocol::Http | Protocol::Http2 => "http",
            Protocol::Tls(_) => "https",
        }
    }

    /// The web origin that the application may know itself by (RFC 6454); a Unix socket has none.
    pub fn origin(&self) -> Option<String> {
        let Endpoint::Tcp { host, port } = &self.endpoint else { return None };
        Some(match (self.scheme(), port) {
            (scheme @ "http", 80) | (scheme @ "https", 443) => format!("{scheme}://{host}"),
            (scheme, port) => format!("{scheme}://{host}:{port}"),
        })
    }

    /// The IP address and port it names, as far as one can tell without asking for names.
    pub fn socket(&self) -> Option<(IpAddr, u16)> {
        let Endpoint::Tcp { host, port } = &self.endpoint else { return None };
        let ip = match Host::parse(host).ok()? {
            Host::Ipv4(ip) => IpAddr::V4(ip),
            Host::Ipv6(ip) => IpAddr::V6(ip),
            Host::Domain(name) if name == "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            Host::Domain(_) => return None,
        };
        Some((ip, *port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_scheme_host_and_port_or_a_socket() {
        for (text, address, origin) in [
            ("http://127.0.0.1:3000", "127.0.0.1:3000", Some("http://127.0.0.1:3000")),
            ("https://App.internal", "app.internal:443", Some("https://app.internal")),
            ("http://[::1]:80/", "[::1]:80", Some("http://[::1]")),
            ("h2c://app:8080", "app:8080", Some("http://app:8080")),
            ("unix:/run/app.sock", "unix:/run/app.sock", None),
            ("unix:///run/app.sock", "unix:/run/app.sock", None),
            ("unix:app.sock", "unix:app.sock", None),
        ] {
            let target: Target = text.parse().unwrap();
            assert_eq!(target.endpoint.to_string(), address);
            assert_eq!(target.origin().as_deref(), origin, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_says_why() {
        for (text, why) in [
            ("127.0.0.1:3000", Malformed::NotAUrl),
            ("ftp://a", Malformed::Scheme),
            ("http://", Malformed::NotAUrl),
            ("http://a/x", Malformed::Path),
            ("http://a?x", Malformed::Path),
            ("h2c://a/x", Malformed::Path),
            ("http://u:p@a", Malformed::User),
            ("http://a:0", Malformed::Port),
            ("unix:", Malformed::NoSocket),
            ("unix:///", Malformed::NoSocket),
        ] {
            assert_eq!(text.parse::<Target>(), Err(why), "{text}");
        }
    }
}
