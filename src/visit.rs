//! One request of a visitor, as the facts that decisions may use. Read once, pure, and changed by nobody.

pub mod path;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use aho_corasick::AhoCorasick;
use http::header::AsHeaderName;
use http::header::{ACCEPT, ACCEPT_LANGUAGE, COOKIE, DNT, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::clock::Timestamp;
use crate::consent::cookie::{self, Secrets};
use crate::consent::once::{OnPage, Once};
use crate::consent::signal::{self, DoNotTrack, GlobalPrivacyControl, Signal};
use crate::consent::{Acceptance, Accepted, Choices, Granted, Identity, Subject};
use crate::web::language::Wishes;
use path::CanonicalPath;

/// What the reading of a visit needs to know of its site.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The site's name, to which its cookies are bound.
    pub site: Box<str>,
    /// The keys that sign the proxy's cookies.
    pub secrets: Arc<Secrets>,
    /// Whether `Sec-GPC: 1` takes marketing back.
    pub global_privacy_control: GlobalPrivacyControl,
    /// Whether `DNT: 1` does so, too.
    pub do_not_track: DoNotTrack,
    /// How the application says who somebody is; none: acceptances belong to a browser.
    pub naming: Option<Naming>,
}

/// How the application says who somebody is, the same on each of their devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Naming {
    /// By the value of this cookie.
    Cookie(Box<str>),
    /// By this header of its answers; the proxy's cookie remembers it.
    Header(HeaderName),
}

/// How the request came in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The canonical host, without a port, in lower case.
    pub host: Box<str>,
    /// The host as the client wrote it, with its port: what absolute addresses of the site begin with.
    pub authority: Box<str>,
    /// Whether the visitor's own connection is encrypted.
    pub scheme: Scheme,
    /// Who is calling, after `trusted_proxies`.
    pub client: IpAddr,
    /// When.
    pub now: Timestamp,
}

/// What others learn of a visitor's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientAddress {
    /// All of it.
    #[default]
    Full,
    /// An IPv4 network of 24 bits, an IPv6 network of 48.
    Anonymized,
    /// Nothing.
    None,
}

impl ClientAddress {
    /// What may be said of `address`.
    pub fn shown(self, address: IpAddr) -> Option<IpAddr> {
        match (self, address) {
            (ClientAddress::None, _) => None,
            (ClientAddress::Full, address) => Some(address),
            (ClientAddress::Anonymized, IpAddr::V4(v4)) => {
                Some(Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 8)).into())
            }
            (ClientAddress::Anonymized, IpAddr::V6(v6)) => Some(match v6.to_ipv4_mapped() {
                Some(v4) => Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 8)).into(),
                None => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80)).into(),
            }),
        }
    }
}

/// How the visitor reaches the site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// In clear text.
    Http,
    /// Over TLS, here or at a trusted proxy in front.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// What the browser will do with the answer (Fetch Metadata, `Sec-Fetch-Dest`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A page that a person navigates to; the browser says so.
    Page,
    /// Probably a page: a client without fetch metadata that takes HTML and names no script library; or a service worker
    /// that passes on what somebody navigates to, be it a page or a frame.
    PresumedPage,
    /// A frame inside a page.
    Frame,
    /// A fragment, data, a script, a picture: everything that no person navigates to.
    Resource,
}

/// A kind of worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worker {
    /// It ends with the pages that started it.
    OfPages,
    /// It stays, and stands between pages and the network.
    Service,
}

impl Purpose {
    /// Whether a person navigates to it, as far as one can tell.
    pub fn is_navigation(self) -> bool {
        matches!(self, Purpose::Page | Purpose::PresumedPage)
    }

    /// Whether browsers show it, as a page or in a frame, as far as one can tell.
    pub fn is_shown(self) -> bool {
        self != Purpose::Resource
    }
}

/// The facts of one request.
#[derive(Clone, Debug)]
pub struct Visit {
    /// How the request came in.
    pub arrival: Arrival,
    /// The method, as sent.
    pub method: Method,
    /// The path that decisions are made on.
    pub path: CanonicalPath,
    /// Path and query as sent: what the upstream gets, and what `return` leads back to.
    pub target: Box<str>,
    /// What the browser will do with the answer.
    pub purpose: Purpose,
    /// Whose script the answer is, where it is that of a worker, which has a policy of its own.
    pub worker: Option<Worker>,
    /// What the visitor chose, if their cookie is valid.
    pub choices: Option<Choices>,
    /// What may act now: the choices, less what a signal takes back, and what was agreed to once for this page.
    pub granted: Granted,
    /// What the visitor loaded once, on any page, if their cookie is valid.
    pub once: Option<Once>,
    /// What of it is for this page.
    pub once_here: OnPage,
    /// Whether the browser opted out for its user, and the site listens.
    pub signal: Signal,
    /// What the visitor accepted, if their cookie is valid; not what somebody else accepted with this browser.
    pub acceptances: Vec<Acceptance>,
    /// Who the visitor is to the application, where the site ties acceptances to that and it is known.
    pub identity: Option<Identity>,
    /// Whether the acceptances are those of the visitor before they logged in.
    pub is_unclaimed: bool,
    /// Who the visitor is to the ledger, if any of their cookies says so.
    pub subject: Option<Subject>,
    /// The names of all cookies that the browser sent, the proxy's own left out.
    pub cookies: Vec<Box<str>>,
    /// The languages the browser asks for.
    pub wishes: Wishes,
    /// Whether it is a known crawler.
    pub crawler: Crawler,
}

/// Whether a request comes from a known crawler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crawler {
    /// Its `User-Agent` names one.
    Known,
    /// A person, or a program that does not say what it is.
    No,
}

impl Visit {
    /// Reads the facts out of a request's head. Whatever is missing or forged counts as absent.
    pub fn read(settings: &Settings, parts: &Parts, arrival: Arrival) -> Self {
        let mut choices = None;
        let mut accepted = None;
        let mut once = None;
        let mut is_told = false;
        let mut cookies = Vec::new();
        for (name, value) in pairs(&parts.headers) {
            let open = |name| settings.secrets.verify(name, &settings.site, arrival.now, value);
            match name {
                // A forged twin beside a good cookie must not hide it: the first that verifies counts.
                cookie::CHOICES => {
                    choices = choices.or_else(|| Choices::from_payload(&open(cookie::CHOICES)?));
                }
                cookie::ACCEPTED => {
                    accepted =
                        accepted.or_else(|| cookie::acceptances_from_payload(&open(cookie::ACCEPTED)?));
                }
                cookie::SIGNAL => is_told |= value == b"1",
                cookie::ONCE => once = once.or_else(|| Once::from_payload(&open(cookie::ONCE)?)),
                _ => cookies.push(name.into()),
            }
        }
        let signal = signal_of(&parts.headers, is_told, settings);
        let subject = choices
            .as_ref()
            .map(|choices| choices.subject)
            .or(accepted.as_ref().map(|accepted| accepted.subject))
            .or(once.as_ref().map(|once| once.subject));
        let identity = identity(settings, &parts.headers, accepted.as_ref());
        let accepted =
            accepted.filter(|accepted| settings.naming.is_none() || is_of(accepted, identity.as_ref()));
        let is_unclaimed =
            identity.is_some() && accepted.as_ref().is_some_and(|accepted| accepted.person.is_none());
        let once = once.map(|once| once.at(arrival.now));
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let once_here = OnPage::of(once.as_ref(), target);
        Visit {
            method: parts.method.clone(),
            path: CanonicalPath::of(parts.uri.path()),
            target: target.into(),
            purpose: purpose(&parts.method, &parts.headers),
            worker: worker(&parts.headers),
            granted: once_here.add_to(signal::granted(choices.as_ref(), signal)),
            once,
            once_here,
            choices,
            signal,
            acceptances: accepted.map(|accepted| accepted.acceptances).unwrap_or_default(),
            identity,
            is_unclaimed,
            subject,
            cookies,
            wishes: wishes(&parts.headers),
            crawler: crawler(text(&parts.headers, USER_AGENT).unwrap_or_default()),
            arrival,
        }
    }
}

/// Who the visitor is to the application, as far as the request tells.
fn identity(settings: &Settings, headers: &HeaderMap, accepted: Option<&Accepted>) -> Option<Identity> {
    match settings.naming.as_ref()? {
        Naming::Cookie(name) => {
            let (_, value) = pairs(headers).find(|(found, _)| **found == **name)?;
            settings.secrets.identity(&settings.site, value)
        }
        Naming::Header(_) => accepted?.person.map(Identity::of),
    }
}

/// Whether acceptances count for somebody: their own, and those of a browser with which nobody had logged in.
fn is_of(accepted: &Accepted, identity: Option<&Identity>) -> bool {
    accepted.person.is_none_or(|person| identity.is_some_and(|identity| identity.covers(&person)))
}

/// The name and value of every cookie that a request carries, as sent. A value may be any bytes: one that is no ASCII
/// must not hide the cookies beside it.
pub fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    let lines = headers.get_all(COOKIE).into_iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.split(|byte| *byte == b';')).filter_map(|pair| {
        let pair = pair.trim_ascii();
        let (name, value) = pair.split_at_checked(memchr::memchr(b'=', pair)?)?;
        Some((std::str::from_utf8(name).ok()?, value.get(1..)?))
    })
}

/// The comma-separated values of all lines of a header (RFC 9110 section 5.6.1), in their order. One that is no text is
/// an empty one: it must not hide those beside it.
pub fn values(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    lines
        .flat_map(|line| line.split(|byte| *byte == b','))
        .map(|value| std::str::from_utf8(value).unwrap_or_default().trim())
}

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SERVICE_WORKER: HeaderName = HeaderName::from_static("service-worker");
const SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");

/// What script libraries send that fetch fragments.
const FRAGMENTS: [HeaderName; 5] = [
    HeaderName::from_static("x-requested-with"),
    HeaderName::from_static("hx-request"),
    HeaderName::from_static("turbo-frame"),
    HeaderName::from_static("x-pjax"),
    HeaderName::from_static("x-up-target"),
];

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn signal_of(headers: &HeaderMap, is_told: bool, settings: &Settings) -> Signal {
    let listens = settings.global_privacy_control == GlobalPrivacyControl::Respect;
    if listens && (is_told || text(headers, SEC_GPC) == Some("1")) {
        return Signal::GlobalPrivacyControl;
    }
    if settings.do_not_track == DoNotTrack::Respect && text(headers, DNT) == Some("1") {
        return Signal::DoNotTrack;
    }
    if listens { Signal::Absent } else { Signal::Ignored }
}

/// The languages that a browser asks for.
pub fn wishes(headers: &HeaderMap) -> Wishes {
    text(headers, ACCEPT_LANGUAGE).map(Wishes::from_header).unwrap_or_default()
}

/// What the browser will do with the answer.
pub fn purpose(method: &Method, headers: &HeaderMap) -> Purpose {
    if !matches!(*method, Method::GET | Method::HEAD | Method::POST) {
        return Purpose::Resource;
    }
    match text(headers, SEC_FETCH_DEST) {
        Some("document") => Purpose::Page,
        Some("iframe" | "frame" | "embed" | "object" | "fencedframe") => Purpose::Frame,
        // No script can make a request of this mode, but a service worker can pass one on (Fetch: constructor of `Request`).
        Some("empty") if text(headers, SEC_FETCH_MODE) == Some("navigate") => Purpose::PresumedPage,
        Some(_) => Purpose::Resource,
        // They send no `Sec-Fetch-Mode: navigate`, but old browsers send none at all.
        None if FRAGMENTS.iter().any(|name| headers.contains_key(name)) => Purpose::Resource,
        None => match text(headers, ACCEPT) {
            Some(accept) if accept.contains("text/html") || accept.contains("application/xhtml+xml") => {
                Purpose::PresumedPage
            }
            _ => Purpose::Resource,
        },
    }
}

/// Which worker asks for its script, if one does (Fetch, section 2.2.5: `destination`; Service Workers, section 6.3).
fn worker(headers: &HeaderMap) -> Option<Worker> {
    match text(headers, SEC_FETCH_DEST) {
        Some("worker" | "sharedworker") => Some(Worker::OfPages),
        Some("serviceworker") => Some(Worker::Service),
        _ => (text(headers, SERVICE_WORKER) == Some("script")).then_some(Worker::Service),
    }
}

fn crawler(user_agent: &str) -> Crawler {
    if CRAWLERS.is_match(user_agent) { Crawler::Known } else { Crawler::No }
}

/// The words by which the large search engines and link previews name themselves.
static CRAWLERS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    let names = [
        "Googlebot",
        "bingbot",
        "DuckDuckBot",
        "Baiduspider",
        "YandexBot",
        "Applebot",
        "Slurp",
        "facebookexternalhit",
        "Twitterbot",
        "LinkedInBot",
        "Qwantbot",
        "SeznamBot",
        "PetalBot",
        "archive.org_bot",
    ];
    AhoCorasick::new(names).expect("a few words")
});

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn purpose_of(headers: &[(&str, &str)]) -> Purpose {
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        purpose(&Method::GET, request.body(()).unwrap().headers())
    }

    #[test]
    fn a_page_is_what_a_person_navigates_to() {
        for (headers, expected) in [
            (&[("sec-fetch-dest", "document")][..], Purpose::Page),
            (&[("sec-fetch-dest", "iframe"), ("accept", "text/html")], Purpose::Frame),
            (&[("sec-fetch-dest", "empty"), ("accept", "text/html")], Purpose::Resource),
            (&[("sec-fetch-dest", "empty"), ("sec-fetch-mode", "cors")], Purpose::Resource),
            (&[("sec-fetch-dest", "empty"), ("sec-fetch-mode", "navigate")], Purpose::PresumedPage),
            (&[("accept", "text/html,*/*;q=0.8")], Purpose::PresumedPage),
            (&[("accept", "text/html"), ("x-requested-with", "XMLHttpRequest")], Purpose::Resource),
            (&[("accept", "text/html"), ("hx-request", "true")], Purpose::Resource),
            (&[("accept", "*/*")], Purpose::Resource),
            (&[], Purpose::Resource),
        ] {
            assert_eq!(purpose_of(headers), expected, "{headers:?}");
        }
    }

    #[test]
    fn an_anonymized_address_keeps_its_network_alone() {
        for (address, expected) in [
            ("192.0.2.77", "192.0.2.0"),
            ("2001:db8:1:2::7", "2001:db8:1::"),
            ("::ffff:192.0.2.77", "192.0.2.0"),
        ] {
            let shown = ClientAddress::Anonymized.shown(address.parse().unwrap());
            assert_eq!(shown.unwrap().to_string(), expected);
        }
        assert_eq!(ClientAddress::None.shown("192.0.2.77".parse().unwrap()), None);
    }

    // COMPLIANCE C25.
    #[test]
    fn c25_header_or_cookie_opts_out_where_the_site_listens() {
        use Signal::{Absent, Ignored};
        let signal = |gpc, is_told, dnt, listens: (GlobalPrivacyControl, DoNotTrack)| {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-gpc", gpc), ("dnt", dnt)] {
                if let Some(value) = value {
                    headers.insert(name, http::HeaderValue::from_static(value));
                }
            }
            let settings = Settings {
                site: "shop".into(),
                secrets: Arc::new(Secrets::parse(&"s".repeat(32)).unwrap()),
                global_privacy_control: listens.0,
                do_not_track: listens.1,
                naming: None,
            };
            signal_of(&headers, is_told, &settings)
        };
        let gpc_alone = (GlobalPrivacyControl::Respect, DoNotTrack::Ignore);
        let both = (GlobalPrivacyControl::Respect, DoNotTrack::Respect);
        let dnt_alone = (GlobalPrivacyControl::Ignore, DoNotTrack::Respect);
        let neither = (GlobalPrivacyControl::Ignore, DoNotTrack::Ignore);
        for (gpc, is_told, dnt, listens, expected) in [
            (Some("1"), false, None, gpc_alone, Signal::GlobalPrivacyControl),
            (None, true, None, gpc_alone, Signal::GlobalPrivacyControl),
            (Some("0"), false, None, gpc_alone, Absent),
            (None, false, Some("1"), gpc_alone, Absent),
            (Some("1"), true, Some("1"), neither, Ignored),
            (Some("1"), false, Some("1"), both, Signal::GlobalPrivacyControl),
            (None, false, Some("1"), both, Signal::DoNotTrack),
            (None, false, Some("0"), both, Absent),
            (Some("1"), false, Some("1"), dnt_alone, Signal::DoNotTrack),
            (Some("1"), true, Some("unset"), dnt_alone, Ignored),
        ] {
            assert_eq!(signal(gpc, is_told, dnt, listens), expected, "{gpc:?} {is_told} {dnt:?} {listens:?}");
        }
    }

    #[test]
    fn cookies_of_all_lines_are_seen_whatever_their_bytes() {
        let request = Request::get("/")
            .header("cookie", "a=1; b=2")
            .header("cookie", "c=x=y;d")
            .header("cookie", b"e=\xe5; \xe5=1; f=\xc3\xa5; g=3".as_slice())
            .body(())
            .unwrap();
        let found: Vec<_> = pairs(request.headers()).collect();
        let expected: [(&str, &[u8]); 6] =
            [("a", b"1"), ("b", b"2"), ("c", b"x=y"), ("e", b"\xe5"), ("f", b"\xc3\xa5"), ("g", b"3")];
        assert_eq!(found, expected);
    }
}
