//! The endpoints as a browser meets them, with a ledger that does not work: what must hold even then.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http_body_util::BodyExt;
use serde_json::json;

use super::*;
use crate::consent::cookie::{self, Secrets};
use crate::consent::signal::DoNotTrack;
use crate::consent::{Acceptance, Categories, Category, Choices};
use crate::documents::{Kind, Shelf, Text};
use crate::filter::{self, Banner, body};
use crate::gate::{self, Crawlers, Gate, Rules, Valid};
use crate::ledger;
use crate::services::{CookieInfo, NamePattern, Service, Set};
use crate::site::{Lifetime, Mode, Party};
use crate::visit::{self, Arrival, ClientAddress, Scheme};
use crate::web::{Look, Position, Prepared, Theme};
use crate::{clock::Timestamp, upstream};

const DAY: Duration = Duration::from_secs(86_400);
const NOW: i64 = 1_800_000_000;

fn texts(en: &str, sv: &str) -> crate::services::Texts {
    crate::services::Texts { en: en.into(), sv: sv.into() }
}

/// One service of the site's own, with a cookie.
pub(super) fn services() -> Set {
    let service = Service {
        name: "Acme Stats".into(),
        provider: "Acme Inc.".into(),
        country: "US".into(),
        purpose: texts("Counts visits and pages", "Räknar besök och sidor"),
        cookies: vec![CookieInfo {
            name: NamePattern::parse("_acme*").unwrap(),
            lifetime: "2y".into(),
            purpose: texts("Tells visitors apart", "Skiljer besökare åt"),
        }],
        ..Service::new("acme-stats", Category::Statistics)
    };
    Set::new(vec![service], HashMap::new(), HashMap::new())
}

const SWEDISH: &str = "Personuppgiftsansvarig är {{ controller.name }}.\n\n## Vad vi samlar in\n\nBeställningar, adresser och det du laddar upp. Vi sparar dem så länge du är kund, och i sju år därefter enligt bokföringslagen.\n\n## Tjänster och kakor\n\n{{ services }}\n\n{{ cookies }}\n\n## Dina rättigheter\n\nDu kan begära att få se, rätta och radera dina uppgifter. Skriv till {{ controller.email }}.";
const ENGLISH: &str = "The controller is {{ controller.name }}.\n\n{{ services }}\n\n{{ cookies }}";

fn text(tag: &str, title: &str, markdown: &str, hash: u8) -> Text {
    Text {
        language: Language::parse(tag).unwrap(),
        title: title.into(),
        version: "2018-05-25".into(),
        hash: [hash; 32],
        reacceptance: true,
        effective: None,
        grace: None,
        changes: None,
        markdown: markdown.into(),
    }
}

fn shelf() -> Shelf {
    let privacy = Document {
        id: "privacy".into(),
        kind: Kind::Notice,
        earlier: Vec::new(),
        path: CanonicalPath::of("/cldoc/privacy.htm"),
        texts: vec![
            text("sv", "Cookies och integritetsinformation", SWEDISH, 1),
            text("en", "Cookies and privacy", ENGLISH, 2),
        ],
    };
    let draft = Document {
        earlier: Vec::new(),
        id: "draft".into(),
        kind: Kind::Agreement,
        path: CanonicalPath::of("/draft"),
        texts: Vec::new(),
    };
    let variables = json!({"controller": {"name": "Exempelbyrån AB", "email": "dataskydd@example.se"}});
    Shelf { documents: vec![privacy, draft], variables: Arc::new(variables), gaps: Vec::new() }
}

fn look() -> Look {
    Look {
        languages: ["sv", "en"].map(|tag| Language::parse(tag).unwrap()).to_vec(),
        controller: "Exempelbyrån AB".into(),
        notice_path: Some("/cldoc/privacy.htm".into()),
        own_path: "/_consent/".into(),
        position: Position::default(),
        theme: Theme::default(),
        texts: HashMap::new(),
        prepared: Prepared::default(),
    }
}

/// A site with a gate before its privacy document.
pub(super) fn site() -> Site {
    let gate = Gate {
        name: "customers".into(),
        document: "privacy".into(),
        document_path: CanonicalPath::of("/cldoc/privacy.htm"),
        cookie: NamePattern::parse("PHPSESSID"),
        paths: Vec::new(),
        except: Vec::new(),
        upstream_header: None,
        methods: Vec::new(),
        lenient_until: None,
        relation: gate::Relation::PrivacyPolicy,
        logout: None,
        valid: Valid::OneOf(vec![[1; 16], [2; 16]]),
    };
    let filter = filter::Settings {
        identity: filter::memory::Identity::default(),
        language_rules: Vec::new(),
        observed: Arc::default(),
        gate: Arc::default(),
        notes: Vec::new(),
        site: "shop".into(),
        services: services(),
        hosts: Vec::new(),
        unknown_third_parties: filter::UnknownThirdParties::default(),
        cookies: filter::cookies::Settings::default(),
        look: Arc::new(look()),
        banner: Banner::Shown,
        crawlers: Crawlers::Pass,
        upstream_origins: Vec::new(),
        html_token: 1 << 20,
        epoch: 1,
    };
    Site {
        name: "shop".into(),
        mode: Mode::Enforce,
        own_path: "/_consent/".into(),
        visit: visit::Settings {
            site: "shop".into(),
            secrets: Arc::new(Secrets::parse("0123456789abcdef0123456789abcdef").unwrap()),
            global_privacy_control: GlobalPrivacyControl::Respect,
            do_not_track: DoNotTrack::Ignore,
            naming: None,
        },
        gate: Arc::new(Rules {
            gates: vec![gate],
            crawlers: gate::Crawlers::Pass,
            names: gate::Names::WithTheRequest,
        }),
        documents: shelf(),
        filter: Arc::new(filter),
        upstream: upstream::Settings::new(Vec::new(), None, ClientAddress::Full),
        controller: Party {
            name: "Exempelbyrån AB".into(),
            organisation_number: None,
            address: Some("Storgatan 1, 111 11 Stockholm".into()),
            email: Some("dataskydd@example.se".into()),
        },
        processor: None,
        retention: ledger::retention::Retention::default(),
        lifetime: Lifetime { agreed: 180 * DAY, refused: 180 * DAY },
        hsts: None,
        layout: None,
    }
}

/// Endpoints with a new ledger in a folder.
pub(super) fn own(folder: &std::path::Path) -> Own {
    let metrics = Arc::new(Metrics::default());
    let place = ledger::Place::Sqlite(folder.join("ledger.sqlite"));
    let keys = ledger::seal::Keys::new(&Secrets::parse(&"s".repeat(32)).unwrap());
    let settings = ledger::Settings { place, checkpoints: None };
    let ledger = Ledger::open(&settings, keys, Clock::fixed(NOW), Arc::clone(&metrics)).unwrap();
    Own::new(ledger, Clock::fixed(NOW), metrics)
}

struct Browser {
    site: Site,
    own: Own,
    cookie: Option<String>,
}

struct Answer {
    status: u16,
    headers: http::HeaderMap,
    body: String,
}

impl Answer {
    fn header(&self, name: impl http::header::AsHeaderName) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect()
    }
}

impl Browser {
    /// A browser before a site whose ledger is closed.
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = own(folder.path());
        own.ledger.close().await;
        Browser { site: site(), own, cookie: None }
    }

    async fn send(&self, request: http::request::Builder, body: &str) -> Answer {
        let mut request = request;
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let request = request.body(body::full(body.to_owned())).unwrap();
        let (head, body) = request.into_parts();
        let arrival = Arrival {
            host: "www.example.se".into(),
            authority: "www.example.se".into(),
            scheme: Scheme::Https,
            client: Ipv4Addr::LOCALHOST.into(),
            now: Timestamp::from_second(NOW).unwrap(),
        };
        let visit = Visit::read(&self.site.visit, &head, arrival);
        let endpoint = route(&self.site, &visit.path).expect("an address of the proxy's own");
        let answer = self.own.answer(endpoint, &self.site, &visit, Request::from_parts(head, body)).await;
        let (head, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
        }
    }

    async fn get(&self, target: &str) -> Answer {
        self.send(Request::get(target), "").await
    }

    async fn post(&self, target: &str, form: &str) -> Answer {
        let request = Request::post(target)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin");
        self.send(request, form).await
    }

    fn with_choices(mut self, categories: Categories) -> Self {
        let choices = Choices {
            subject: crate::consent::Subject(uuid::Uuid::from_u128(7)),
            categories,
            services: Default::default(),
            made_at: Timestamp::from_second(NOW - 86_400).unwrap(),
            receipt: Some(uuid::Uuid::from_u128(8)),
            under_signal: false,
        };
        let expires = Timestamp::from_second(NOW + 86_400).unwrap();
        let secrets = &self.site.visit.secrets;
        let value = secrets.sign(cookie::CHOICES, "shop", expires, &choices.to_payload());
        self.cookie = Some(format!("consentry={value}; _acme_id=1; PHPSESSID=2; other=3"));
        self
    }

    fn with_acceptance(mut self, version: u8) -> Self {
        let acceptance = Acceptance {
            document: "privacy".into(),
            version: [version; 16],
            receipt: uuid::Uuid::from_u128(9),
            accepted_at: Timestamp::from_second(NOW).unwrap(),
        };
        let subject = crate::consent::Subject(uuid::Uuid::from_u128(7));
        let payload = cookie::acceptances_to_payload(subject, None, &[acceptance]);
        let expires = Timestamp::from_second(NOW + 86_400).unwrap();
        let value = self.site.visit.secrets.sign(cookie::ACCEPTED, "shop", expires, &payload);
        self.cookie = Some(format!("consentry_accepted={value}"));
        self
    }
}

fn routed(path: &str) -> Option<String> {
    let site = site();
    let path = CanonicalPath::of(path);
    route(&site, &path).map(|endpoint| match endpoint {
        Endpoint::Document(document) => format!("document {}", document.id),
        Endpoint::Asset(name) => format!("asset {name}"),
        other => format!("{other:?}"),
    })
}

#[test]
fn no_spelling_of_an_own_address_reaches_the_upstream() {
    for (path, expected) in [
        ("/_consent/choices", Some("Choices")),
        ("/_consent/acceptances", Some("Acceptances")),
        ("/_consent/settings", Some("Settings")),
        ("/_consent/assets/page.css", Some("asset page.css")),
        ("/_consent/%63hoices", Some("Choices")),
        ("//_consent//choices;x=1", Some("Choices")),
        ("/x/../_consent/choices", Some("Choices")),
        ("/_consent/choices/", Some("Unknown")),
        ("/_consent/", Some("Unknown")),
        ("/_consent", Some("Unknown")),
        ("/_consent/admin", Some("Unknown")),
        ("/_consent%2fchoices", Some("Unknown")),
        ("/%5cx/..%2f..%2f_consent/choices", Some("Unknown")),
        ("/_consent%252fchoices", Some("Unknown")),
        ("/cldoc/privacy.htm", Some("document privacy")),
        ("/cldoc%2fprivacy.htm", Some("Unknown")),
        ("/.well-known/gpc.json", Some("GlobalPrivacyControl")),
        ("/draft", None),
        ("/", None),
        ("/_consentx", None),
        ("/a%2fb", None),
        ("/100%", None),
    ] {
        assert_eq!(routed(path).as_deref(), expected, "{path}");
    }
}

#[test]
fn a_site_that_ignores_the_signal_does_not_claim_to_respect_it() {
    let mut site = site();
    site.visit.global_privacy_control = GlobalPrivacyControl::Ignore;
    assert!(route(&site, &CanonicalPath::of("/.well-known/gpc.json")).is_none());
}

#[tokio::test]
async fn agreeing_needs_a_ledger_that_works() {
    let browser = Browser::new().await;
    for form in ["choice=accept-all", "choice=save&category=statistics"] {
        let answer = browser.post("/_consent/choices", form).await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "30"));
        assert!(answer.set_cookies().is_empty() && answer.header("consentry-receipt").is_empty());
        assert!(answer.body.contains("Ditt val kunde inte sparas"));
    }
}

#[tokio::test]
async fn c49_refusing_is_honoured_without_a_ledger() {
    let browser = Browser::new().await;
    let answer = browser.post("/_consent/choices", "choice=reject-all&return=/a%3Fb").await;
    assert_eq!((answer.status, answer.header(LOCATION)), (303, "/a?b"));
    assert_eq!(answer.header(CACHE_CONTROL), "no-store");
    assert!(answer.header("consentry-receipt").is_empty());
    let cookies = answer.set_cookies();
    assert_eq!(cookies.len(), 1);
    assert!(cookies[0].starts_with("consentry="));
    assert!(cookies[0].ends_with("; Path=/; Max-Age=15552000; HttpOnly; SameSite=Lax; Secure"));
}

// COMPLIANCE C4.
#[tokio::test]
async fn withdrawing_holds_at_once_and_ends_what_was_there() {
    let browser = Browser::new().await.with_choices(Categories::ALL);
    let answer = browser.post("/_consent/choices", "choice=save&category=preferences&return=/shop/").await;
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("clear-site-data"), "\"cache\"");
    let cookies = answer.set_cookies();
    // What is left lives no longer than the agreement it is left of, which is a day old.
    assert!(cookies[0].contains("; Max-Age=15465600;"), "{}", cookies[0]);
    assert!(cookies.iter().all(|line| !line.contains("PHPSESSID") && !line.contains("other=")));
    let ended: Vec<_> = cookies.iter().filter_map(|line| line.strip_prefix("_acme_id=; ")).collect();
    let everywhere: Vec<_> = ["/", "/shop", "/shop/"]
        .iter()
        .flat_map(|path| {
            ["", "; Domain=www.example.se", "; Domain=example.se"]
                .map(|domain| format!("Path={path}; Max-Age=0{domain}"))
        })
        .collect();
    assert_eq!(ended, everywhere);
}

#[tokio::test]
async fn a_program_gets_the_choices_as_json() {
    let browser = Browser::new().await;
    let request = Request::post("/_consent/choices")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "application/json");
    let answer = browser.send(request, "choice=reject-all").await;
    assert_eq!((answer.status, answer.header(CONTENT_TYPE)), (200, "application/json"));
    let told: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&told["decided"], &told["categories"]["statistics"]), (&json!(true), &json!(false)));
    assert_eq!(told["valid_until"], "2027-07-14T08:00:00Z");
    let request = Request::post("/_consent/choices").header("accept", "application/json");
    let answer = browser.send(request, "").await;
    assert_eq!((answer.status, answer.header(CONTENT_TYPE)), (400, "application/problem+json"));
}

#[tokio::test]
async fn the_present_choices_are_told() {
    let browser = Browser::new().await.with_choices(Categories::NONE.with(Category::Statistics));
    let told: serde_json::Value = serde_json::from_str(&browser.get("/_consent/choices").await.body).unwrap();
    assert_eq!(told["categories"]["statistics"], true);
    assert_eq!(told["categories"]["marketing"], false);
    assert_eq!(told["receipt"], uuid::Uuid::from_u128(8).to_string());
}

// COMPLIANCE C45.
#[tokio::test]
async fn a_form_of_another_origin_changes_nothing() {
    let browser = Browser::new().await;
    for path in ["/_consent/choices", "/_consent/acceptances"] {
        let request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("origin", "https://e.example");
        let answer = browser.send(request, "choice=reject-all").await;
        assert_eq!(answer.status, 403);
        assert!(answer.set_cookies().is_empty());
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_one() {
    let browser = Browser::new().await;
    for (path, allowed) in [
        ("/_consent/choices", "GET, HEAD, POST"),
        ("/_consent/acceptances", "GET, HEAD, POST"),
        ("/_consent/settings", "GET, HEAD"),
        ("/cldoc/privacy.htm", "GET, HEAD"),
        ("/.well-known/gpc.json", "GET, HEAD"),
    ] {
        let answer = browser.send(Request::delete(path), "").await;
        assert_eq!((answer.status, answer.header(ALLOW)), (405, allowed), "{path}");
    }
    assert_eq!(browser.get("/_consent/nothing").await.status, 404);
    assert_eq!(browser.send(Request::head("/_consent/settings"), "").await.status, 200);
}

#[tokio::test]
async fn a_form_leads_back_to_the_page_it_was_sent_from_and_never_off_the_site() {
    let browser = Browser::new().await;
    for (field, referer, expected) in [
        ("/a", "https://www.example.se/b", "/a"),
        ("", "https://www.example.se/b?c=d", "/b?c=d"),
        ("", "https://e.example/b", "/"),
        ("//e.example", "https://www.example.se/b", "/"),
    ] {
        let request = Request::post("/_consent/choices")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("sec-fetch-site", "same-origin")
            .header("referer", referer);
        let answer = browser.send(request, &format!("choice=reject-all&return={field}")).await;
        assert_eq!((answer.status, answer.header(LOCATION)), (303, expected), "{field} {referer}");
    }
}

#[tokio::test]
async fn the_document_is_shown_in_the_visitors_language_with_its_form() {
    let browser = Browser::new().await;
    for (target, language, title, button) in [
        ("/cldoc/privacy.htm", "sv", "Cookies och integritetsinformation", "Jag har läst informationen"),
        (
            "/cldoc/privacy.htm?lang=en&return=/konto",
            "en",
            "Cookies and privacy",
            "I have read the information",
        ),
    ] {
        let answer = browser.get(target).await;
        assert_eq!((answer.status, answer.header("content-language")), (200, language));
        assert_eq!(answer.header(CACHE_CONTROL), "private, no-cache");
        assert!(answer.header(CONTENT_SECURITY_POLICY).contains("frame-ancestors 'self'"));
        for part in [title, button, "Exempelbyrån AB", "<caption>", "consentry_accepted", "name=\"token\""] {
            assert!(answer.body.contains(part), "{part}");
        }
    }
}

// COMPLIANCE C24.
#[tokio::test]
async fn c24_an_accepted_document_says_when_and_asks_no_more_until_it_changes() {
    let browser = Browser::new().await.with_acceptance(2);
    let page = browser.get("/cldoc/privacy.htm").await.body;
    assert!(
        page.contains("Du bekräftade den 15 januari 2027, 08:00 UTC") && !page.contains("name=\"token\"")
    );
    let browser = Browser::new().await.with_acceptance(3);
    let page = browser.get("/cldoc/privacy.htm").await.body;
    assert!(!page.contains("Du bekräftade den") && page.contains("name=\"token\""));
}

fn field<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
    rest.split_once('"').unwrap().0
}

#[tokio::test]
async fn only_a_form_of_ours_for_a_present_wording_is_an_acceptance() {
    let browser = Browser::new().await;
    let page = browser.get("/cldoc/privacy.htm?return=/konto").await.body;
    let (version, token) = (field(&page, "version"), field(&page, "token"));
    assert_eq!((version, field(&page, "return")), ("01".repeat(16).as_str(), "/konto"));
    let good = format!("document=privacy&version={version}&token={token}&return=/konto");
    // It is good, so that only the ledger stands in its way.
    let answer = browser.post("/_consent/acceptances", &good).await;
    assert_eq!((answer.status, answer.set_cookies().len()), (503, 0));
    for bad in [
        good.replace(version, &"02".repeat(16)),
        good.replace(version, &"03".repeat(16)),
        good.replace(version, "zz"),
        good.replace(token, ""),
        good.replace("document=privacy", "document=draft"),
        good.replace("document=privacy", "document=other"),
        String::new(),
    ] {
        let answer = browser.post("/_consent/acceptances", &bad).await;
        assert_eq!((answer.status, answer.set_cookies().len()), (400, 0), "{bad}");
    }
}

#[tokio::test]
async fn the_settings_page_shows_the_choices_and_a_form_that_needs_no_script() {
    let browser = Browser::new().await.with_choices(Categories::NONE.with(Category::Statistics));
    let answer = browser.get("/_consent/settings?lang=en&return=/konto").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header(CONTENT_SECURITY_POLICY).contains("frame-ancestors 'none'"));
    for part in [
        "You chose on 14 January 2027, 08:00 UTC.",
        "value=\"statistics\" checked",
        "name=\"service\" value=\"acme-stats\">",
        "action=\"/_consent/choices\"",
        "name=\"return\" value=\"/konto\"",
        "value=\"reject-all\"",
    ] {
        assert!(answer.body.contains(part), "{part}\n{}", answer.body);
    }
    assert!(!answer.body.contains("<script") && !answer.body.contains("value=\"marketing\" checked"));
}

// COMPLIANCE C7.
#[tokio::test]
async fn nothing_is_ticked_for_the_undecided() {
    let page = Browser::new().await.get("/_consent/settings").await.body;
    assert!(!page.contains(" checked") && page.contains("Du har inte valt än."));
}

#[tokio::test]
async fn a_receipt_of_nobody_is_not_found() {
    let browser = Browser::new().await;
    for id in ["x", "00000000-0000-0000-0000-000000000008"] {
        assert_eq!(browser.get(&format!("/_consent/settings?receipt={id}")).await.status, 404);
    }
}

#[tokio::test]
async fn the_style_sheet_never_changes_under_its_name() {
    let browser = Browser::new().await;
    let page = browser.get("/_consent/settings").await.body;
    let (_, rest) = page.split_once("rel=\"stylesheet\" href=\"").unwrap();
    let answer = browser.get(rest.split_once('"').unwrap().0).await;
    assert_eq!((answer.status, answer.header(CONTENT_TYPE)), (200, "text/css; charset=utf-8"));
    assert!(answer.header(CACHE_CONTROL).ends_with("immutable"));
    assert_eq!(browser.get("/_consent/assets/page.0.css").await.status, 404);
    assert_eq!(browser.get("/.well-known/gpc.json").await.body, "{\"gpc\":true}");
}
