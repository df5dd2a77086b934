//! Gates as visitors, programs and crawlers meet them: who is stopped, how, and by which version of a document.

use consentry::filter::body::full;
use consentry::server::{Occasion, Outcome};
use http::{Request, Response};

use crate::support::browser::{Answer, Browser};
use crate::support::upstream::Upstream;
use crate::support::whole::{CUSTOMERS, NOTICE, Store, Whole, site};

/// An application that says who is logged in, by a header, and keeps the session going.
async fn application() -> Upstream {
    Upstream::answering(|seen| {
        let is_session = seen.header("cookie").is_some_and(|cookies| cookies.contains("PHPSESSID"));
        let mut answer = Response::builder().header("content-type", "text/html");
        if is_session {
            answer = answer.header("x-user", "kund").header("set-cookie", "PHPSESSID=next; path=/");
        } else {
            answer = answer.header("x-user", "");
        }
        answer.body(full("<html><body>secret</body></html>")).unwrap()
    })
    .await
}

const BY_HEADER: &str =
    "gates:\n  - { name: users, document: privacy, upstream_header: X-User, except: [/logout] }\n";

/// Reads the form of a document's page.
fn form_of(html: &str) -> Vec<(String, String)> {
    html.split("<input ")
        .skip(1)
        .map(|rest| {
            let value = |name: &str| {
                let value = rest.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
                value.replace("&amp;", "&").replace("&#x2f;", "/")
            };
            (value("name"), value("value"))
        })
        .collect()
}

/// Goes to a document that a gate leads to, and accepts or declines it.
pub async fn decide(visitor: &mut Browser, from: &Answer, decision: &str) -> Answer {
    assert_eq!(from.status, 303);
    let page = visitor.navigate(from.header("location").unwrap()).await;
    let mut fields = form_of(&page.text());
    fields.push(("decision".into(), decision.into()));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    visitor.post_form("/_consent/acceptances", &fields).await
}

#[tokio::test]
async fn a_cookie_that_is_no_ascii_opens_no_gate_and_hides_no_choice() {
    let upstream = Upstream::page("text/html", "<html><body>secret</body></html>").await;
    let whole = Whole::start(&site(&upstream.url(), CUSTOMERS)).await;
    let asks = |cookies: &[u8]| {
        Request::get("/")
            .header("sec-fetch-dest", "document")
            .header("cookie", cookies)
            .body(full(""))
            .unwrap()
    };
    for cookies in [
        "PHPSESSID=first".as_bytes(),
        "town=Malmö; PHPSESSID=first".as_bytes(),
        "PHPSESSID=first; town=Malmö".as_bytes(),
        b"town=Malm\xf6; PHPSESSID=first",
        b"PHPSESSID=\xf6",
    ] {
        let answer = whole.visitor().send(asks(cookies)).await;
        assert_eq!(answer.status, 303, "{}", String::from_utf8_lossy(cookies));
    }
    let mut visitor = whole.visitor();
    let asked = visitor.navigate("/").await.text();
    visitor.post_form("/_consent/choices", &[("choice", "save"), ("category", "statistics")]).await;
    let chosen = visitor.navigate("/").await.text();
    assert_ne!(chosen, asked, "who has chosen is asked no more");
    let with_another = visitor.send(asks("town=Malmö".as_bytes())).await.text();
    assert_eq!(with_another, chosen);
}

#[tokio::test]
async fn a_page_for_somebody_whom_the_application_knows_is_kept_back_until_the_document_is_read() {
    let upstream = application().await;
    let whole = Whole::start(&site(&upstream.url(), BY_HEADER)).await;
    let mut stranger = whole.visitor();
    assert!(stranger.navigate("/").await.text().contains("secret"), "nobody is logged in");
    let mut visitor = whole.visitor();
    visitor.set_cookie("PHPSESSID", "first");
    let stopped = visitor.navigate("/konto?a=1").await;
    assert_eq!(stopped.header("location"), Some(format!("{NOTICE}?return=/konto%3Fa%3D1").as_str()));
    assert!(!stopped.text().contains("secret"));
    assert_eq!(visitor.cookie("PHPSESSID"), Some("next"), "the session goes on");
    // What was done must be told; what is not read by a person is refused.
    let posted = visitor.post_form("/konto", &[("a", "1")]).await;
    assert_eq!((posted.status.as_u16(), posted.text().contains("secret")), (200, true));
    let program = visitor.get("/konto.json").await;
    assert_eq!((program.status.as_u16(), program.text().contains("secret")), (403, false));
    assert!(visitor.navigate("/logout").await.text().contains("secret"));
    let accepted = decide(&mut visitor, &stopped, "accept").await;
    assert_eq!(accepted.header("location"), Some("/konto?a=1"));
    assert!(visitor.navigate("/konto?a=1").await.text().contains("secret"));
    whole.server.stop().await;
}

#[tokio::test]
async fn a_gate_of_one_method_leaves_the_others_alone() {
    let upstream = application().await;
    let gate = "gates:\n  - { name: g, document: privacy, paths: [\"/order*\"], methods: [POST] }\n";
    let whole = Whole::start(&site(&upstream.url(), gate)).await;
    let mut visitor = whole.visitor();
    assert_eq!(visitor.navigate("/order").await.status, 200);
    assert_eq!(visitor.post_form("/order", &[("a", "1")]).await.status, 403);
    assert_eq!(visitor.post_form("/search", &[("a", "1")]).await.status, 200);
    whole.server.stop().await;
}

#[tokio::test]
async fn programs_are_told_in_words_they_can_read_and_what_is_public_passes() {
    let upstream = application().await;
    let whole = Whole::start(&site(&upstream.url(), CUSTOMERS)).await;
    let mut visitor = whole.visitor();
    visitor.set_cookie("PHPSESSID", "a");
    let websocket = [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
    let fetch = [("sec-fetch-dest", "empty"), ("accept", "*/*")];
    let library = [("x-requested-with", "XMLHttpRequest"), ("accept", "text/html")];
    for (method, target, headers) in [
        ("GET", "/data.json", &fetch[..]),
        ("POST", "/data.json", &fetch),
        ("DELETE", "/data.json", &fetch),
        ("GET", "/fragment", &library),
        ("GET", "/socket", &websocket),
        ("GET", "/api/..%2fdata.json", &fetch),
    ] {
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = visitor.send(request.body(full("")).unwrap()).await;
        assert_eq!(answer.status, 403, "{method} {target}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{method} {target}");
        assert_eq!(answer.header("consentry-document"), Some(NOTICE));
        assert_eq!(answer.header("link"), Some(format!("<{NOTICE}>; rel=\"privacy-policy\"").as_str()));
        let problem: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
        assert_eq!(problem["document_path"], NOTICE);
    }
    assert!(upstream.seen().is_empty());
    for target in
        ["/robots.txt", "/.well-known/acme", "/news.rss", "/style.css", "/api/webhook", "/logout", NOTICE]
    {
        let request = Request::get(target).header("sec-fetch-dest", "empty").body(full("")).unwrap();
        assert_eq!(visitor.send(request).await.status, 200, "{target}");
    }
    let mut crawler = whole.visitor().always("user-agent", "Mozilla/5.0 (compatible; Googlebot/2.1)");
    crawler.set_cookie("PHPSESSID", "a");
    assert!(crawler.navigate("/").await.text().contains("secret"));
    whole.server.stop().await;
}

/// The document of both languages anew.
async fn publish(whole: &Whole, version: &str, more: &str, text: &str) {
    for language in ["sv", "en"] {
        whole.write(
            &format!("documents/privacy.{language}.md"),
            &format!("---\ntitle: Privacy\nversion: {version}\n{more}---\n{text} ({language})\n"),
        );
    }
    let reload = whole.server.reload(&whole.settings(), Occasion::Asked);
    assert_eq!(reload.outcome, Outcome::Applied, "{:?}", reload.news);
}

#[tokio::test]
async fn c24_a_new_version_asks_again_when_it_must_and_not_before() {
    let upstream = application().await;
    let whole = Whole::start(&site(&upstream.url(), CUSTOMERS)).await;
    let mut visitor = whole.visitor();
    visitor.set_cookie("PHPSESSID", "a");
    let stopped = visitor.navigate("/").await;
    decide(&mut visitor, &stopped, "accept").await;
    // Languages count as one.
    let mut english = visitor;
    assert_eq!(english.navigate(&format!("{NOTICE}?lang=en")).await.status, 200);
    assert_eq!(english.navigate("/").await.status, 200);
    let mut newcomer = whole.visitor();
    newcomer.set_cookie("PHPSESSID", "b");
    for (version, more, expected) in [
        // A small correction.
        ("2", "reacceptance: false\n", 200),
        // Announced for a day to come: who is new reads it at once, who has accepted is not asked yet.
        ("3", "effective: 2999-01-01\ngrace: 14d\n", 200),
        // Its day has come, and the time of grace has not ended.
        ("4", "effective: 2020-01-01\ngrace: 99999d\n", 200),
        ("5", "effective: 2020-01-01\ngrace: 14d\n", 303),
        ("6", "effective: 2020-01-01\n", 303),
        ("7", "", 303),
    ] {
        publish(&whole, version, more, &format!("Text {version}")).await;
        assert_eq!(english.navigate("/").await.status, expected, "version {version}");
        assert_eq!(newcomer.navigate("/").await.status, 303, "version {version}, for who is new");
    }
    let stopped = english.navigate("/").await;
    decide(&mut english, &stopped, "accept").await;
    assert_eq!(english.navigate("/").await.status, 200);
    whole.server.stop().await;
}

#[tokio::test]
async fn a_note_says_what_is_coming_and_the_document_can_be_accepted_before() {
    let upstream = application().await;
    let whole = Whole::start(&site(&upstream.url(), CUSTOMERS)).await;
    let mut visitor = whole.visitor().always("accept-language", "en");
    visitor.set_cookie("PHPSESSID", "a");
    let stopped = visitor.navigate("/konto").await;
    decide(&mut visitor, &stopped, "accept").await;
    assert!(!visitor.navigate("/konto").await.text().contains("<consentry-note"));
    publish(&whole, "2", "effective: 2999-01-01\ngrace: 14d\n", "Text 2").await;
    let page = visitor.navigate("/konto?a=1").await;
    assert_eq!(page.status, 200);
    let html = page.text();
    assert!(html.contains("secret"));
    let note =
        html.split("<consentry-note").nth(1).expect("a note").split("</consentry-note>").next().unwrap();
    assert!(note.contains("15 January 2999") && note.contains("Privacy"), "{note}");
    assert!(html.find("<consentry-note") < html.find("<consentry-banner"), "before the banner, not in it");
    let href = note.split("href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    assert!(href.starts_with(NOTICE) && href.ends_with("return=%2Fkonto%3Fa%3D1"), "{href}");
    // Not in parts of pages, and not for those whom it does not concern.
    let frame = Request::get("/konto").header("sec-fetch-dest", "iframe").body(full("")).unwrap();
    assert!(!visitor.send(frame).await.text().contains("<consentry-note"));
    assert!(!whole.visitor().navigate("/").await.text().contains("<consentry-note"));
    let document = visitor.navigate(&href).await;
    let mut fields = form_of(&document.text());
    fields.push(("decision".into(), "accept".into()));
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let accepted = visitor.post_form("/_consent/acceptances", &fields).await;
    assert_eq!(accepted.header("location"), Some("/konto?a=1"));
    assert!(!visitor.navigate("/konto").await.text().contains("<consentry-note"), "it is done");
    whole.server.stop().await;
}

#[tokio::test]
async fn an_acceptance_is_of_the_text_that_was_shown_whatever_has_changed_since() {
    let upstream = Upstream::answering(|seen| {
        let answer = Response::builder().header("content-type", "text/html");
        let name = seen.target.trim_start_matches('/').to_owned();
        answer.header("set-cookie", format!("{name}=1; path=/")).body(full("<p>")).unwrap()
    })
    .await;
    for store in Store::each() {
        let gate = "gates:\n  - { name: g, document: privacy, paths: [\"/register*\"] }\n";
        let mut whole = store.start(&site(&upstream.url(), gate)).await;
        publish(&whole, "2", "", "{{ cookies }}").await;
        let shown = form_of(&whole.visitor().navigate(NOTICE).await.text());
        let hash = |fields: &[(String, String)]| {
            let (_, token) = fields.iter().find(|(name, _)| name == "token").unwrap().clone();
            token.split('.').next().unwrap().to_owned()
        };
        for turn in ["seen_later", "after_a_restart"] {
            if turn == "after_a_restart" {
                whole = whole.restarted().await;
            }
            whole.visitor().navigate(&format!("/{turn}")).await;
            let page = whole.visitor().navigate(NOTICE).await.text();
            assert!(page.contains(turn), "the table has changed");
            assert_ne!(hash(&form_of(&page)), hash(&shown));
            let fields: Vec<_> = shown.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let accepted = whole.visitor().post_form("/_consent/acceptances", &fields).await;
            assert_eq!(accepted.status, 303, "{}", accepted.text());
            let entries = whole.exported();
            assert_eq!(entries.last().unwrap()["shown_sha256"], hash(&shown).as_str(), "{turn}");
        }
        // A text that nobody knows, with a token of its own or another's.
        let forged = "0".repeat(64);
        for token in [format!("{forged}.AAAA"), hash(&shown), format!("{forged}."), ".".into()] {
            let change = |(name, value): &(String, String)| {
                (name.clone(), if name == "token" { token.clone() } else { value.clone() })
            };
            let fields: Vec<_> = shown.iter().map(change).collect();
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(
                whole.visitor().post_form("/_consent/acceptances", &fields).await.status,
                400,
                "{token}"
            );
        }
        assert_eq!(whole.exported().len(), 2);
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn a_browser_that_keeps_no_cookies_is_told_so_and_not_asked_in_a_circle() {
    let upstream = application().await;
    let gate = "gates:\n  - { name: g, document: privacy, paths: [\"/register*\"] }\n";
    let whole = Whole::start(&site(&upstream.url(), gate)).await;
    let mut visitor = whole.visitor();
    let stopped = visitor.navigate("/register").await;
    let accepted = decide(&mut visitor, &stopped, "accept").await;
    let by = accepted.header("location").unwrap().to_owned();
    visitor.forget_cookies();
    let told = visitor.navigate(&by).await;
    assert_eq!(told.status, 200);
    assert!(told.text().contains("href=\"/register\""), "{}", told.text());
    // Who keeps them goes on by the same way.
    let mut other = whole.visitor();
    let stopped = other.navigate("/register").await;
    let accepted = decide(&mut other, &stopped, "accept").await;
    let arrived = other.follow_on("/register", accepted).await;
    assert!(arrived.text().contains("secret"));
    whole.server.stop().await;
}

#[tokio::test]
async fn c10_c11_an_acknowledgement_agrees_to_no_service_and_no_choice_acknowledges_a_document() {
    for store in Store::each() {
        let upstream = application().await;
        let whole = store.start(&site(&upstream.url(), CUSTOMERS)).await;
        let mut visitor = whole.visitor();
        visitor.set_cookie("PHPSESSID", "a");
        visitor.post_form("/_consent/choices", &[("choice", "accept-all"), ("return", "/")]).await;
        let stopped = visitor.navigate("/").await;
        assert_eq!(stopped.status, 303, "the banner acknowledges nothing");
        let mut visitor = whole.visitor();
        visitor.set_cookie("PHPSESSID", "a");
        decide(&mut visitor, &stopped, "accept").await;
        assert_eq!(visitor.cookie("consentry"), None);
        let choices = visitor.get("/_consent/choices").await.text();
        let choices: serde_json::Value = serde_json::from_str(&choices).unwrap();
        assert!(!choices.to_string().contains("\"statistics\":true"), "{choices}");
        assert!(
            visitor.navigate("/").await.text().contains("<consentry-banner"),
            "the question is still open"
        );
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn a_decline_opens_nothing_and_leads_in_no_circle() {
    for store in Store::each() {
        let upstream = application().await;
        let gate = CUSTOMERS.replace("cookie: PHPSESSID", "cookie: PHPSESSID, logout: /logout");
        let whole = store.start(&site(&upstream.url(), &gate)).await;
        let mut visitor = whole.visitor();
        visitor.set_cookie("PHPSESSID", "a");
        let stopped = visitor.navigate("/konto").await;
        let declined = decide(&mut visitor, &stopped, "decline").await;
        let location = declined.header("location").unwrap().to_owned();
        let told = visitor.navigate(&location).await;
        assert_eq!(told.status, 200);
        assert!(told.text().contains("href=\"/logout\"") && told.text().contains("dataskydd@example.se"));
        assert!(!told.text().contains("href=\"/\""), "the start page is closed, too");
        assert_eq!(visitor.navigate("/konto").await.status, 303);
        assert_eq!(whole.exported().len(), 1);
        for query in ["", "?document=nothing", "?document=privacy&return=//e.example"] {
            let answer = visitor.navigate(&format!("/_consent/declined{query}")).await;
            assert!(!answer.text().contains("//e.example"), "{query}");
            assert_eq!(answer.status, if query.contains("privacy") { 200 } else { 404 });
        }
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn nothing_forged_is_recorded_and_no_way_back_leads_off_the_site() {
    for store in Store::each() {
        let upstream = application().await;
        let whole = store.start(&site(&upstream.url(), CUSTOMERS)).await;
        let mut visitor = whole.visitor();
        visitor.set_cookie("PHPSESSID", "a");
        let page = visitor.navigate(NOTICE).await;
        let honest = form_of(&page.text());
        let with = |name: &str, value: &str| -> Vec<(String, String)> {
            let changed = |(field, old): &(String, String)| {
                (field.clone(), if field == name { value.to_owned() } else { old.clone() })
            };
            honest.iter().map(changed).collect()
        };
        for fields in [
            with("token", ""),
            with("token", "AAAA"),
            with("version", "00000000000000000000000000000000"),
            with("version", "zz"),
            with("document", "agreement"),
            with("document", ""),
        ] {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let answer = visitor.post_form("/_consent/acceptances", &fields).await;
            assert_eq!(answer.status, 400, "{fields:?}");
            assert!(answer.header("set-cookie").is_none());
        }
        // Both buttons at once, or one that there is not.
        for words in [&["accept", "decline"][..], &["decline", "accept"], &["yes"], &[""]] {
            let mut fields: Vec<_> =
                honest.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            fields.extend(words.iter().map(|word| ("decision", *word)));
            let answer = visitor.post_form("/_consent/acceptances", &fields).await;
            assert_eq!(answer.status, 400, "{words:?}");
            assert!(answer.header("set-cookie").is_none() && answer.header("consentry-receipt").is_none());
        }
        assert!(whole.exported().is_empty());
        for elsewhere in
            ["//e.example", "https://e.example/", "/\\e.example", "/%09/e.example", "javascript:1", "\\\\e"]
        {
            let fields = with("return", elsewhere);
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let answer = visitor.post_form("/_consent/acceptances", &fields).await;
            assert_eq!(answer.header("location"), Some("/"), "{elsewhere}");
            let by = format!(
                "/_consent/acceptances?{}",
                url::form_urlencoded::Serializer::new(String::new())
                    .append_pair("return", elsewhere)
                    .finish()
            );
            assert_eq!(visitor.navigate(&by).await.header("location"), Some("/"), "{elsewhere}");
        }
        whole.server.stop().await;
    }
}
