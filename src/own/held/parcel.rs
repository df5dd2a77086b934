//! A form that waits for an acceptance, with all that the upstream would have learnt of it when it was sent.

use bytes::Bytes;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, ORIGIN, REFERER, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::super::origin::{self, Sender};
use crate::clock::Timestamp;
use crate::visit::{self, Visit};

const FORMAT: u8 = 1;

/// What tells the upstream who sent a form and what is in it. A form of another origin stays one of another origin
/// however it is sent on: its own words stand, not those of the request that brought the acceptance (CWE-352).
const FACTS: [HeaderName; 9] = [
    CONTENT_TYPE,
    CONTENT_ENCODING,
    ORIGIN,
    REFERER,
    HeaderName::from_static("sec-fetch-site"),
    HeaderName::from_static("sec-fetch-mode"),
    HeaderName::from_static("sec-fetch-dest"),
    HeaderName::from_static("sec-fetch-user"),
    HeaderName::from_static("upgrade-insecure-requests"),
];

/// A form as it was posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parcel {
    /// After this it cannot be sent on.
    pub(super) expires: Timestamp,
    /// Path and query to which it was posted.
    pub(super) target: Box<str>,
    facts: Vec<(HeaderName, HeaderValue)>,
    /// The names of the cookies that came with a form of another origin: `SameSite` held the others back.
    cookies: Option<Vec<Box<str>>>,
    /// Byte for byte.
    pub(super) body: Bytes,
}

impl Parcel {
    pub(super) fn pack(head: &Parts, visit: &Visit, body: Bytes, expires: Timestamp) -> Self {
        let facts = FACTS.into_iter().flat_map(|name| {
            let values = head.headers.get_all(&name).into_iter().cloned().collect::<Vec<_>>();
            values.into_iter().map(move |value| (name.clone(), value))
        });
        let cookies = match origin::sender(&head.headers, &visit.arrival) {
            Sender::Here => None,
            Sender::Elsewhere => Some(visit::pairs(&head.headers).map(|(name, _)| name.into()).collect()),
        };
        Parcel { expires, target: visit.target.clone(), facts: facts.collect(), cookies, body }
    }

    /// The head of the request that it was, where the rest is as in `now`: the cookies that the browser has today,
    /// the languages, the connection.
    pub(super) fn head(&self, now: &Parts) -> Option<Parts> {
        let mut head = now.clone();
        head.method = Method::POST;
        head.uri = self.target.parse().ok()?;
        let headers = &mut head.headers;
        for name in FACTS.iter().chain([&EXPECT, &TRANSFER_ENCODING]) {
            headers.remove(name);
        }
        for (name, value) in &self.facts {
            headers.append(name, value.clone());
        }
        headers.insert(CONTENT_LENGTH, HeaderValue::from(self.body.len()));
        if let Some(known) = &self.cookies {
            keep_cookies(headers, known);
        }
        Some(head)
    }

    /// Where the form stood, if it says so.
    pub(super) fn referer(&self) -> Option<&str> {
        self.facts.iter().find(|(name, _)| *name == REFERER).and_then(|(_, value)| value.to_str().ok())
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.body.len() + 1024);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&self.expires.as_second().to_be_bytes());
        push(&mut bytes, self.target.as_bytes());
        push_count(&mut bytes, self.facts.len());
        for (name, value) in &self.facts {
            push(&mut bytes, name.as_str().as_bytes());
            push(&mut bytes, value.as_bytes());
        }
        bytes.push(u8::from(self.cookies.is_some()));
        let cookies = self.cookies.as_deref().unwrap_or_default();
        push_count(&mut bytes, cookies.len());
        for name in cookies {
            push(&mut bytes, name.as_bytes());
        }
        bytes.extend_from_slice(&self.body);
        bytes
    }

    pub(super) fn decode(bytes: Vec<u8>) -> Option<Self> {
        let mut rest = Reader(Bytes::from(bytes));
        if rest.take(1)?.first() != Some(&FORMAT) {
            return None;
        }
        let expires = i64::from_be_bytes(rest.take(8)?.as_ref().try_into().ok()?);
        let target = rest.text()?;
        let mut facts = Vec::new();
        for _ in 0..rest.count()? {
            let name = HeaderName::from_bytes(&rest.part()?).ok()?;
            facts.push((name, HeaderValue::from_bytes(&rest.part()?).ok()?));
        }
        let is_restricted = rest.take(1)?.first() == Some(&1);
        let mut cookies = Vec::new();
        for _ in 0..rest.count()? {
            cookies.push(rest.text()?);
        }
        let cookies = is_restricted.then_some(cookies);
        let expires = Timestamp::from_second(expires).ok()?;
        Some(Parcel { expires, target, facts, cookies, body: rest.0 })
    }
}

fn keep_cookies(headers: &mut HeaderMap, known: &[Box<str>]) {
    let kept: Vec<Vec<u8>> = visit::pairs(headers)
        .filter(|(name, _)| known.iter().any(|known| **known == **name))
        .map(|(name, value)| [name.as_bytes(), b"=", value].concat())
        .collect();
    headers.remove(COOKIE);
    if let (false, Ok(line)) = (kept.is_empty(), HeaderValue::try_from(kept.join(&b"; "[..]))) {
        headers.insert(COOKIE, line);
    }
}

fn push(bytes: &mut Vec<u8>, part: &[u8]) {
    push_count(bytes, part.len());
    bytes.extend_from_slice(part);
}

fn push_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes());
}

struct Reader(Bytes);

impl Reader {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }

    fn count(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.take(4)?.as_ref().try_into().ok()?)).ok()
    }

    fn part(&mut self) -> Option<Bytes> {
        let length = self.count()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<Box<str>> {
        std::str::from_utf8(&self.part()?).ok().map(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use http::Request;
    use proptest::prelude::*;

    use super::*;
    use crate::consent::cookie::Secrets;
    use crate::consent::signal::{DoNotTrack, GlobalPrivacyControl};
    use crate::visit::{Arrival, Scheme};

    fn parts(target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::post(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn packed(head: &Parts) -> Parcel {
        let settings = visit::Settings {
            site: "shop".into(),
            secrets: Arc::new(Secrets::parse(&"s".repeat(32)).unwrap()),
            global_privacy_control: GlobalPrivacyControl::Respect,
            do_not_track: DoNotTrack::Ignore,
            naming: None,
        };
        let arrival = Arrival {
            host: "www.example.se".into(),
            authority: "www.example.se".into(),
            scheme: Scheme::Https,
            client: Ipv4Addr::LOCALHOST.into(),
            now: Timestamp::UNIX_EPOCH,
        };
        let visit = Visit::read(&settings, head, arrival);
        Parcel::pack(head, &visit, Bytes::from_static(b"a=1&\xff\r\n"), Timestamp::UNIX_EPOCH)
    }

    const CARRIER: &[(&str, &str)] = &[
        ("content-type", "multipart/form-data; boundary=x"),
        ("content-length", "99999"),
        ("origin", "https://www.example.se"),
        ("sec-fetch-site", "same-origin"),
        ("referer", "https://www.example.se/register?a=%20"),
        ("cookie", "PHPSESSID=new; lang=sv; consentry_accepted=x"),
        ("user-agent", "now"),
    ];

    #[test]
    fn a_form_of_this_site_is_sent_on_as_it_was_with_the_cookies_of_today() {
        let posted = parts(
            "/register?a=%20",
            &[
                ("content-type", "application/x-www-form-urlencoded; charset=iso-8859-1"),
                ("origin", "https://www.example.se"),
                ("referer", "https://www.example.se/form"),
                ("cookie", "PHPSESSID=old"),
            ],
        );
        let parcel = Parcel::decode(packed(&posted).encode()).unwrap();
        assert_eq!(parcel, packed(&posted));
        let sent = parcel.head(&parts("/elsewhere", CARRIER)).unwrap();
        let header = |name: &str| sent.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((sent.method, sent.uri.to_string()), (Method::POST, "/register?a=%20".to_owned()));
        assert_eq!(header("content-type"), Some("application/x-www-form-urlencoded; charset=iso-8859-1"));
        assert_eq!(header("content-length"), Some("7"));
        assert_eq!(header("referer"), Some("https://www.example.se/form"));
        assert_eq!(header("sec-fetch-site"), None, "nothing is said that was not said then");
        assert_eq!(header("user-agent"), Some("now"));
        assert_eq!(header("cookie"), Some("PHPSESSID=new; lang=sv; consentry_accepted=x"));
    }

    #[test]
    fn a_form_of_another_origin_is_not_laundered() {
        let posted = parts(
            "/transfer",
            &[
                ("content-type", "text/plain"),
                ("origin", "https://evil.example"),
                ("sec-fetch-site", "cross-site"),
                ("cookie", "lang=sv"),
            ],
        );
        let sent = packed(&posted).head(&parts("/transfer", CARRIER)).unwrap();
        let header = |name: &str| sent.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("origin"), Some("https://evil.example"));
        assert_eq!(header("sec-fetch-site"), Some("cross-site"));
        assert_eq!(header("referer"), None);
        // What `SameSite` kept back then is kept back now.
        assert_eq!(header("cookie"), Some("lang=sv"));
        let none = packed(&parts("/transfer", &[("origin", "null")]));
        assert!(!none.head(&parts("/transfer", CARRIER)).unwrap().headers.contains_key("cookie"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Parcel::decode(bytes.clone());
            let _ = Parcel::decode([vec![FORMAT], bytes].concat());
        }
    }
}
