//! The filter as a whole: a request's head in, an answer through it. What other tests of the filter build on.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use http::header::{CONTENT_SECURITY_POLICY, COOKIE, ETAG, IF_NONE_MATCH, LOCATION, SET_COOKIE, VARY};
use http_body::Frame;
use http_body_util::BodyExt;

use super::encoding::Coding;
use super::*;
use crate::consent::cookie::{self, Secrets};
use crate::consent::signal::{DoNotTrack, GlobalPrivacyControl};
use crate::consent::{Categories, Category, Choices, Granted, Subject};
use crate::services::{CookieInfo, NamePattern, Rule, Service, Set, Texts, UrlPattern};
use crate::telemetry::Metrics;
use crate::visit::{self, Arrival, Purpose, Scheme};
use crate::web::language::Language;

/// A service, held until agreed to unless it is necessary. Addresses are written `host/path`.
pub(crate) fn service(id: &str, category: Category, urls: &[&str], cookies: &[&str]) -> Service {
    Service {
        urls: urls
            .iter()
            .map(|url| {
                let (host, path) = url.split_once('/').unwrap();
                UrlPattern { host: host.into(), path: format!("/{path}").into() }
            })
            .collect(),
        cookies: cookies
            .iter()
            .map(|name| CookieInfo {
                name: NamePattern::parse(name).unwrap(),
                lifetime: "2y".into(),
                purpose: Texts::default(),
            })
            .collect(),
        default: Rule::CONSENT,
        ..Service::new(id, category)
    }
}

/// A site's services, with rules of its own by id.
pub(crate) fn set(own: Vec<Service>, rules: &[(&str, Rule)]) -> Set {
    Set::new(own, HashMap::new(), rules.iter().map(|(id, rule)| ((*id).into(), *rule)).collect())
}

/// A site `www.example.se` with these services.
pub(crate) fn settings(services: Set) -> Settings {
    Settings {
        site: "example".into(),
        services,
        hosts: vec!["www.example.se".into()],
        unknown_third_parties: UnknownThirdParties::BlockActive,
        cookies: cookies::Settings::default(),
        look: Arc::new(web::Look {
            languages: vec![Language::parse("sv").unwrap(), Language::parse("en").unwrap()],
            controller: "Exempelbyrån AB".into(),
            notice_path: None,
            own_path: "/_consent/".into(),
            position: web::Position::Bottom,
            theme: web::Theme::default(),
            texts: HashMap::new(),
            prepared: Default::default(),
        }),
        banner: Banner::Shown,
        crawlers: crate::gate::Crawlers::Pass,
        upstream_origins: vec!["http://127.0.0.1:3000".into()],
        html_token: 4 << 20,
        language_rules: Vec::new(),
        observed: Arc::default(),
        gate: Arc::default(),
        notes: Vec::new(),
        identity: memory::Identity::default(),
        epoch: 7,
    }
}

/// A visit to `www.example.se` over TLS, by a browser that navigates.
pub(crate) fn visit(target: &str, headers: &[(&str, &str)]) -> Visit {
    let mut request = Request::get(target).header("sec-fetch-dest", "document");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let settings = visit::Settings {
        site: "example".into(),
        secrets: Arc::new(Secrets::parse(&"s".repeat(32)).unwrap()),
        global_privacy_control: GlobalPrivacyControl::Respect,
        do_not_track: DoNotTrack::Ignore,
        naming: None,
    };
    let arrival = Arrival {
        host: "www.example.se".into(),
        authority: "www.example.se".into(),
        scheme: Scheme::Https,
        client: std::net::Ipv4Addr::LOCALHOST.into(),
        now: "2026-11-24T12:00:00Z".parse().unwrap(),
    };
    Visit::read(&settings, &parts, arrival)
}

/// A body that gives these frames and then pauses, breaks off or ends.
pub(crate) struct Script(pub(crate) VecDeque<Act>);

/// What a scripted body does when it is asked for a frame.
pub(crate) enum Act {
    Data(Bytes),
    Trailers,
    Pause,
    /// Nothing comes, and nobody is told when something does.
    Stall,
    BreakOff,
}

impl Script {
    pub(crate) fn of(frames: &[&[u8]]) -> Self {
        Script(frames.iter().map(|frame| Act::Data(Bytes::copy_from_slice(frame))).collect())
    }
}

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        match self.0.pop_front() {
            Some(Act::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Act::Trailers) => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new())))),
            Some(Act::BreakOff) => Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into()))),
            Some(Act::Stall) => Poll::Pending,
            Some(Act::Pause) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }
}

/// The site, the request and the answer of one exchange.
struct Exchange {
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
}

impl Exchange {
    fn new(settings: Settings) -> Self {
        Exchange { settings: Arc::new(settings), metrics: Arc::new(Metrics::default()) }
    }

    fn prepared(&self, visit: &Visit, headers: &[(http::HeaderName, &str)]) -> (HeaderMap, Plan) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let plan = prepare(&self.settings, visit, &mut map);
        (map, plan)
    }

    fn answer(&self, visit: &Visit, plan: Plan, headers: &[(&str, &str)], body: &[u8]) -> Response<Body> {
        let mut answer = Response::builder();
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        apply(&self.settings, visit, plan, answer.body(Script::of(&[body])).unwrap(), self.report())
    }

    fn report(&self) -> body::Report {
        body::Report::new(&self.settings, &self.metrics)
    }

    fn counted(&self, line: &str) -> bool {
        self.metrics.render().contains(line)
    }
}

fn shop() -> Exchange {
    let services = vec![
        service("acme", Category::Marketing, &["t.acme.example/"], &["_acme*"]),
        service("our-cdn", Category::Necessary, &["cdn.example.net/"], &[]),
    ];
    Exchange::new(settings(set(services, &[])))
}

async fn bytes(answer: Response<Body>) -> Bytes {
    answer.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_page_leaves_with_its_policy_its_caching_and_its_coding() {
    let shop = shop();
    let visit = visit("/", &[]);
    let (request, plan) = shop.prepared(&visit, &[(ACCEPT_ENCODING, "gzip, dcb")]);
    assert_eq!(request[ACCEPT_ENCODING], "gzip");
    let mut gzip = encoding::Encoder::new(Coding::Gzip).unwrap();
    gzip.write(b"<!doctype html><p>hej").unwrap();
    let answer = shop.answer(
        &visit,
        plan,
        &[
            ("content-type", "text/html"),
            ("content-encoding", "gzip"),
            ("content-length", "77"),
            ("cache-control", "public, max-age=60"),
            ("etag", "\"abc\""),
            ("location", "http://127.0.0.1:3000/x"),
            ("speculation-rules", "\"/rules.json\""),
            ("link", "<https://t.acme.example>; rel=preconnect, <https://cdn.example.net>; rel=preconnect"),
        ],
        &gzip.finish().unwrap(),
    );
    let headers = answer.headers();
    assert_eq!(headers[CACHE_CONTROL], "private, no-cache");
    assert_eq!(headers[LOCATION], "https://www.example.se/x");
    assert_eq!(headers["link"], "<https://cdn.example.net>; rel=preconnect");
    assert!(!headers.contains_key("content-length") && !headers.contains_key("speculation-rules"));
    let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.contains("cdn.example.net") && !policy.contains("acme"), "{policy}");
    assert_eq!(headers["content-encoding"], "gzip");
    let coded = bytes(answer).await;
    let mut decoder = encoding::Decoder::new(Coding::Gzip).unwrap();
    let (mut rest, mut decoded) = (&coded[..], Vec::new());
    while !rest.is_empty() {
        let (step, piece) = decoder.step(rest).unwrap();
        rest = &rest[step.consumed..];
        decoded.extend_from_slice(piece);
    }
    assert!(decoded.ends_with(b"hej"));
    assert!(shop.counted("pages_total{reason=\"rewritten\"} 1"));
}

#[tokio::test]
async fn a_page_is_confirmed_only_to_who_would_get_it_alike() {
    let shop = shop();
    let undecided = visit("/", &[]);
    let (_, plan) = shop.prepared(&undecided, &[]);
    let first = shop.answer(&undecided, plan, &[("content-type", "text/html"), ("etag", "\"abc\"")], b"<p>");
    let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
    assert!(tag.starts_with("\"abc-cs"));

    let (request, plan) = shop.prepared(&undecided, &[(IF_NONE_MATCH, &tag)]);
    assert_eq!(request[IF_NONE_MATCH], "\"abc\"");
    let mut answer = Response::builder().status(304).header(ETAG, "\"abc\"").body(Script::of(&[])).unwrap();
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
    let confirmed = apply(&shop.settings, &undecided, plan, answer, shop.report());
    assert_eq!(confirmed.headers()[ETAG], *tag);
    assert_eq!(confirmed.headers()[CACHE_CONTROL], "private, no-cache");
    assert!(confirmed.headers().contains_key(CONTENT_SECURITY_POLICY));

    let mut agreed = undecided.clone();
    agreed.granted = Granted::all();
    let mut english = visit("/", &[("accept-language", "en")]);
    let mut framed = undecided.clone();
    framed.purpose = Purpose::Frame;
    english.purpose = Purpose::Page;
    for other in [agreed, english, framed] {
        let (request, _) = shop.prepared(&other, &[(IF_NONE_MATCH, &tag)]);
        assert!(!request.contains_key(IF_NONE_MATCH), "{other:?}");
    }
}

#[tokio::test]
async fn what_is_no_page_passes_byte_for_byte() {
    let shop = shop();
    let visit = visit("/a.zip", &[]);
    for (headers, body, reason) in [
        (
            &[("content-type", "application/zip"), ("content-length", "4"), ("etag", "\"a\"")][..],
            &b"PK\x03\x04"[..],
            "not-html",
        ),
        (&[("content-type", "text/html"), ("content-disposition", "attachment")], b"<p>", "attachment"),
        (&[("content-type", "text/html")], b" {\"json\": \"<p>\"}", "not-markup"),
        (&[("content-type", "text/html")], b" \n", "empty"),
    ] {
        let (_, plan) = shop.prepared(&visit, &[]);
        let answer = shop.answer(&visit, plan, headers, body);
        assert_eq!(answer.headers().get("content-length").is_some(), reason == "not-html");
        assert_eq!(bytes(answer).await, body, "{reason}");
        assert!(shop.counted(&format!("pages_total{{reason=\"{reason}\"}} 1")), "{reason}");
    }
}

#[tokio::test]
async fn a_document_that_is_xml_keeps_its_bytes_and_obeys_the_policy_where_it_is_shown() {
    let shop = shop();
    let tagged = [("etag", "\"abc\""), ("cache-control", "max-age=60"), ("content-length", "6")];
    let with = |kind: &'static str| [&[("content-type", kind)][..], &tagged].concat();
    let shown = visit("/logo.svg", &[]);
    for kind in [
        "image/svg+xml",
        "text/xml; charset=utf-8",
        "Application/XML",
        "application/atom+xml",
        "text/xsl",
        "*/*",
        "html",
    ] {
        let (_, plan) = shop.prepared(&shown, &[]);
        let answer = shop.answer(&shown, plan, &with(kind), b"<svg/>");
        // Pictures, too: nobody has read what it loads.
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("cdn.example.net") && !policy.contains("img-src"), "{kind}: {policy}");
        assert_eq!(answer.headers()[CACHE_CONTROL], "private, no-cache", "{kind}");
        assert_eq!(answer.headers()["content-length"], "6");
        assert!(!answer.headers().contains_key(ETAG), "{kind}");
        assert_eq!(bytes(answer).await, &b"<svg/>"[..]);
    }
    let (_, plan) = shop.prepared(&shown, &[]);
    let untyped = shop.answer(&shown, plan, &tagged, b"<svg/>");
    assert!(untyped.headers().contains_key(CONTENT_SECURITY_POLICY), "browsers look what it is");
    let (_, plan) = shop.prepared(&shown, &[]);
    let moved = Response::builder().status(301).header(CACHE_CONTROL, "max-age=60");
    let moved =
        apply(&shop.settings, &shown, plan, moved.body(Script::of(&[b"<svg/>"])).unwrap(), shop.report());
    assert_eq!(moved.headers()[CACHE_CONTROL], "max-age=60");

    let picture = Visit { purpose: Purpose::Resource, ..shown.clone() };
    for (control, varies) in [("max-age=60", true), ("no-store", false)] {
        let (_, plan) = shop.prepared(&picture, &[]);
        let headers = [("content-type", "image/svg+xml"), ("cache-control", control), ("vary", "Accept")];
        let answer = shop.answer(&picture, plan, &headers, b"<svg/>");
        let vary: Vec<_> = answer.headers().get_all(VARY).iter().collect();
        assert_eq!(vary.contains(&&HeaderValue::from_static("Sec-Fetch-Dest")), varies, "{vary:?}");
    }
    let saved = [("content-disposition", "attachment"), ("content-type", "text/xml")];
    for (visit, headers) in [
        (&picture, with("image/svg+xml")),
        (&shown, [&saved[..], &tagged].concat()),
        (&shown, with("image/png")),
    ] {
        let (_, plan) = shop.prepared(visit, &[]);
        let answer = shop.answer(visit, plan, &headers, b"<svg/>");
        assert!(!answer.headers().contains_key(CONTENT_SECURITY_POLICY), "{headers:?}");
        assert_eq!(
            (&answer.headers()[CACHE_CONTROL], &answer.headers()[ETAG]),
            (&"max-age=60".parse().unwrap(), &"\"abc\"".parse().unwrap())
        );
    }
}

// COMPLIANCE C48.
#[tokio::test]
async fn c48_a_page_in_an_unknown_coding_is_refused() {
    let shop = shop();
    let visit = visit("/", &[]);
    let (_, plan) = shop.prepared(&visit, &[]);
    let headers = [("content-type", "text/html"), ("content-encoding", "dcb"), ("server", "secret/1.0")];
    let answer = shop.answer(&visit, plan, &headers, b"????");
    assert_eq!(answer.status(), 502);
    assert!(!answer.headers().contains_key("server"));
    assert!(shop.counted("cut_off_total{reason=\"unknown-coding\"} 1"));
}

#[tokio::test]
async fn a_policy_of_the_page_lets_the_guard_in_by_its_nonce() {
    let shop = shop();
    let visit = visit("/", &[]);
    let (_, plan) = shop.prepared(&visit, &[]);
    let policy = ("content-security-policy", "script-src 'nonce-abc'; form-action https://pay.example");
    let answer = shop.answer(&visit, plan, &[("content-type", "text/html"), policy], b"<p>");
    let policies: Vec<_> = answer.headers().get_all(CONTENT_SECURITY_POLICY).iter().collect();
    assert_eq!(policies[0], "script-src 'nonce-abc'; form-action https://pay.example 'self'");
    assert_eq!(policies.len(), 2);
}

#[test]
fn the_upstream_never_sees_our_own_cookies() {
    let shop = shop();
    let visit = visit("/", &[]);
    let (request, _) =
        shop.prepared(&visit, &[(COOKIE, "a=1; consentry=x; consentry_accepted=y; PHPSESSID=z")]);
    assert_eq!(request[COOKIE], "a=1; PHPSESSID=z");
}

#[tokio::test]
async fn filtering_headers_twice_equals_once() {
    let shop = shop();
    let visit = visit("/", &[]);
    let headers = [
        ("content-type", "text/html"),
        ("etag", "W/\"abc\""),
        ("vary", "Accept-Language"),
        ("location", "http://127.0.0.1:3000/"),
        ("content-security-policy", "default-src 'self'"),
        ("set-cookie", "consentry=forged"),
        ("set-cookie", "PHPSESSID=1; HttpOnly"),
        ("refresh", "1; url=//127.0.0.1:3000/a"),
    ];
    let (_, plan) = shop.prepared(&visit, &[]);
    let once = shop.answer(&visit, plan, &headers, b"<p>");
    let mut again = Response::builder();
    for (name, value) in once.headers() {
        again = again.header(name, value);
    }
    let (_, plan) = shop.prepared(&visit, &[]);
    let twice =
        apply(&shop.settings, &visit, plan, again.body(Script::of(&[b"<p>"])).unwrap(), shop.report());
    assert_eq!(once.headers(), twice.headers());
    assert_eq!(once.headers()[SET_COOKIE], "PHPSESSID=1; HttpOnly");
}

#[tokio::test]
async fn each_header_that_matters_is_filtered_where_it_comes_alone() {
    let shop = shop();
    let visit = visit("/", &[]);
    for (name, value, left) in [
        ("alt-svc", "h3=\":443\"", None),
        ("location", "http://127.0.0.1:3000/x", Some("https://www.example.se/x")),
        ("content-location", "http://127.0.0.1:3000/x", Some("https://www.example.se/x")),
        ("refresh", "1; url=//127.0.0.1:3000/a", Some("1; url=//www.example.se/a")),
        ("link", "<https://t.acme.example>; rel=preconnect", None),
        ("set-cookie", "consentry=forged", None),
        ("speculation-rules", "\"/rules.json\"", None),
    ] {
        let (_, plan) = shop.prepared(&visit, &[]);
        let answer = shop.answer(&visit, plan, &[("content-type", "text/plain"), (name, value)], b"");
        assert_eq!(answer.headers().get(name).map(|value| value.to_str().unwrap()), left, "{name}");
    }
}

const SHEET: &[u8] =
    b"@import url(https://t.acme.example/a.css);\xe5{background:url('//t.\\61 cme.example/b.gif') red}\
    c{background:url(//cdn.example.net/c.gif) url(d.gif)}";

async fn sheet(shop: &Exchange, visit: &Visit, headers: &[(&str, &str)], body: &[u8]) -> Response<Body> {
    let (_, plan) = shop.prepared(visit, &[(ACCEPT_ENCODING, "gzip")]);
    let mut upstream = Response::builder();
    for (name, value) in headers {
        upstream = upstream.header(*name, *value);
    }
    let upstream = upstream.body(Script::of(&[body])).unwrap();
    answer(&shop.settings, visit, plan, upstream, shop.report()).await
}

// COMPLIANCE C35.
#[tokio::test]
async fn c35_a_style_sheet_of_the_site_loads_nothing_of_held_services() {
    let shop = shop();
    let headers = [
        ("content-type", "text/css; charset=iso-8859-1"),
        ("cache-control", "public, max-age=86400"),
        ("etag", "\"7\""),
    ];
    let answer = sheet(&shop, &visit("/a/own.css", &[("sec-fetch-dest", "style")]), &headers, SHEET).await;
    assert_eq!(answer.headers()[CACHE_CONTROL], "private, no-cache");
    assert!(answer.headers()[ETAG].to_str().unwrap().starts_with("\"7"));
    assert_ne!(answer.headers()[ETAG], "\"7\"");
    assert!(shop.settings.observed.snapshot().services().any(|service| service.name == "acme"));
    let held = &b"@import none/* held */;\xe5{background:none/* held */ red}    \
        c{background:url(//cdn.example.net/c.gif) url(d.gif)}"[..];
    let squeezed = |bytes: &[u8]| bytes.iter().copied().filter(|byte| *byte != b' ').collect::<Vec<_>>();
    assert_eq!(squeezed(&bytes(answer).await), squeezed(held));
}

#[tokio::test]
async fn a_style_sheet_that_anybody_may_load_leaves_as_it_came_and_is_kept_by_caches() {
    let shop = shop();
    let visit = visit("/own.css", &[("sec-fetch-dest", "style")]);
    let headers = [
        ("content-type", "text/css"),
        ("content-encoding", "gzip"),
        ("cache-control", "public, max-age=86400"),
        ("etag", "\"7\""),
    ];
    let harmless =
        gzipped(b"a{background:url(b.gif) url(//cdn.example.net/c.gif) url(//nobody.example/d.gif)}");
    let answer = sheet(&shop, &visit, &headers, &harmless).await;
    for (name, value) in headers {
        assert_eq!(answer.headers()[name], value);
    }
    assert_eq!(&bytes(answer).await[..], &harmless[..]);
    let held = sheet(&shop, &visit, &headers, &gzipped(SHEET)).await;
    assert_eq!(held.headers()["content-encoding"], "gzip");
    assert!(!bytes(held).await.is_empty());
    // More than may be kept of it, and what cannot be decoded, does not pass.
    for body in [&gzipped(&vec![b' '; 5 << 20])[..], b"no gzip"] {
        let (report, (_, plan)) = (shop.report(), shop.prepared(&visit, &[]));
        let upstream =
            Response::builder().header("content-type", "text/css").header("content-encoding", "gzip");
        let upstream = upstream.body(Script::of(&[body])).unwrap();
        let refused = super::answer(&shop.settings, &visit, plan, upstream, report.clone()).await;
        assert_eq!(refused.status(), StatusCode::BAD_GATEWAY);
        assert_eq!(report.fate().reason(), Some("style-sheet"));
    }
}

async fn worker(
    shop: &Exchange,
    headers: &[(&str, &str)],
    status: StatusCode,
    body: &[u8],
) -> Response<Body> {
    let visit = visit("/sw.js", &[("sec-fetch-dest", "serviceworker"), ("service-worker", "script")]);
    let visit = Visit { purpose: Purpose::Resource, worker: Some(Worker::Service), ..visit };
    let (_, plan) = shop.prepared(&visit, &[(ACCEPT_ENCODING, "gzip")]);
    let mut upstream = Response::builder().status(status);
    for (name, value) in headers {
        upstream = upstream.header(*name, *value);
    }
    answer(&shop.settings, &visit, plan, upstream.body(Script::of(&[body])).unwrap(), shop.report()).await
}

// COMPLIANCE C4.
#[tokio::test]
async fn c4_a_service_worker_begins_with_what_was_chosen_and_differs_when_that_does() {
    let shop = shop();
    let script = b"addEventListener('push', show);";
    let headers =
        [("content-type", "text/javascript"), ("cache-control", "max-age=86400"), ("etag", "\"7\"")];
    let plain = worker(&shop, &headers, StatusCode::OK, script).await;
    assert_eq!(plain.headers()[CACHE_CONTROL], "private, no-cache");
    assert_ne!(plain.headers()[ETAG], "\"7\"");
    let policy = plain.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
    let text = String::from_utf8(bytes(plain).await.to_vec()).unwrap();
    assert!(text.ends_with("addEventListener('push', show);") && text.contains(&policy), "{text}");
    let packed = [headers[0], ("content-encoding", "gzip")];
    let packed = worker(&shop, &packed, StatusCode::OK, &gzipped(script)).await;
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let mut unpacked = String::new();
    let coded = bytes(packed).await;
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&coded[..]), &mut unpacked).unwrap();
    assert_eq!(unpacked, text);
    // It obeys another policy once the site is seen to use another service.
    shop.settings.observed.saw_service("jsdelivr");
    let later = bytes(worker(&shop, &headers, StatusCode::OK, script).await).await;
    assert_ne!(&later[..], text.as_bytes());
}

#[tokio::test]
async fn what_is_no_script_of_a_service_worker_is_left_alone_and_what_cannot_be_read_does_not_pass() {
    let shop = shop();
    for (content_type, status) in [("text/plain", StatusCode::OK), ("text/javascript", StatusCode::NOT_FOUND)]
    {
        let answer = worker(&shop, &[("content-type", content_type)], status, b"missing").await;
        assert_eq!(&bytes(answer).await[..], b"missing");
    }
    for (coding, body) in [("identity", &vec![b' '; 5 << 20][..]), ("gzip", b"no gzip"), ("acme", b"?")] {
        let headers = [("content-type", "application/javascript"), ("content-encoding", coding)];
        assert_eq!(
            worker(&shop, &headers, StatusCode::OK, body).await.status(),
            StatusCode::BAD_GATEWAY,
            "{coding}"
        );
    }
}

// COMPLIANCE C4.
#[tokio::test]
async fn c4_a_refused_cookie_of_one_folder_ends_with_the_next_page_of_that_folder() {
    let shop = shop();
    let refused = Choices {
        subject: Subject(uuid::Uuid::nil()),
        categories: Categories::NONE,
        services: Default::default(),
        made_at: "2026-11-24T11:00:00Z".parse().unwrap(),
        receipt: None,
        under_signal: false,
    };
    let secrets = Secrets::parse(&"s".repeat(32)).unwrap();
    let expires = "2026-11-25T12:00:00Z".parse().unwrap();
    let choices = secrets.sign(cookie::CHOICES, "example", expires, &refused.to_payload());
    let sent = format!("consentry={choices}; _acme_id=1; PHPSESSID=2");
    for (cookies, content_type, expected) in [
        (&*sent, "text/html", 12),
        // Nobody has refused anything yet; and what is no page may be kept by caches that many share.
        ("_acme_id=1; PHPSESSID=2", "text/html", 0),
        (&*sent, "text/css", 0),
    ] {
        let visit = visit("/shop/bild?id=6", &[("cookie", cookies)]);
        let (_, plan) = shop.prepared(&visit, &[]);
        let answer = shop.answer(&visit, plan, &[("content-type", content_type)], b"<p>");
        let lines: Vec<_> =
            answer.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect();
        assert!(lines.iter().all(|line| line.starts_with("_acme_id=; Path=/")), "{lines:?}");
        assert_eq!(lines.len(), expected, "{content_type} {lines:?}");
    }
}

#[tokio::test]
async fn what_a_page_loads_and_which_cookies_it_sets_is_observed_whatever_becomes_of_them() {
    let shop = shop();
    let observed = Arc::clone(&shop.settings.observed);
    let visit = visit("/", &[]);
    observed.note_time(visit.arrival.now);
    let headers = [
        ("content-type", "text/html"),
        ("set-cookie", "cart_81723=1; Max-Age=2592000"),
        ("set-cookie", "_ga=1; Max-Age=63072000"),
        ("set-cookie", "old=; Max-Age=0"),
        ("set-cookie", "consentry=x"),
    ];
    let (_, plan) = shop.prepared(&visit, &[]);
    let page = b"<!doctype html><body><script src=//t.acme.example/t.js></script>";
    bytes(shop.answer(&visit, plan, &headers, page)).await;
    let snapshot = observed.snapshot();
    let services: Vec<_> = snapshot.services().map(|seen| seen.name.to_owned()).collect();
    assert_eq!(services, ["acme", "google-analytics"]);
    let cookies: Vec<_> = snapshot.cookies().collect();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert_eq!((cookies[0].name, cookies[0].lifetime.unwrap().written()), ("cart_*", "30d".to_owned()));
    assert_eq!(cookies[0].first, crate::observed::day(visit.arrival.now));
}

#[tokio::test]
async fn a_site_that_is_only_observed_gets_its_bytes_and_its_services_are_noted() {
    let page: Vec<u8> =
        [b"<!doctype html><body><script src=//t.acme.example/t.js></script>", &[b' '; 70_000][..]].concat();
    for (coding, sent) in [
        (Coding::Identity, page.clone()),
        (Coding::Gzip, gzipped(&page)),
        (Coding::Gzip, b"no gzip".to_vec()),
    ] {
        let shop = shop();
        let visit = visit("/", &[]);
        let mut answer =
            Response::builder().header("content-type", "text/html").header("set-cookie", "cart=1");
        if coding != Coding::Identity {
            answer = answer.header("content-encoding", coding.as_str());
        }
        let frames: Vec<&[u8]> = sent.chunks(1_000).collect();
        let answer = watch(&shop.settings, &visit, answer.body(Script::of(&frames)).unwrap());
        let headers = answer.headers().clone();
        assert_eq!(bytes(answer).await, sent, "every byte passes");
        assert!(headers.contains_key("set-cookie") && !headers.contains_key(CONTENT_SECURITY_POLICY));
        let snapshot = shop.settings.observed.snapshot();
        assert_eq!(snapshot.cookies().count(), 1);
        assert_eq!(snapshot.services().count(), usize::from(sent != b"no gzip"));
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
