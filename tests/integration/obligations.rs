//! What the law and its supervisors ask of a gate, row by row over sockets: who is asked, who is not, what stays open, and
//! what the page of a document owes its readers.

use consentry::filter::body::full;
use consentry::server::{Occasion, Outcome};
use http::{Request, Response};
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::gates::decide;
use crate::support::browser::Browser;
use crate::support::soon;
use crate::support::upstream::Upstream;
use crate::support::whole::{CUSTOMERS, HOST, NOTICE, Whole, site};
use crate::support::wire::Wire;

const AGREEMENT: &str = "/cldoc/user-agreement.htm";

/// An application that answers every path with what it must not show, and knows a session by any cookie.
async fn application() -> Upstream {
    Upstream::answering(|seen| {
        let mut answer = Response::builder().header("content-type", "text/html");
        if seen.header("cookie").is_some() {
            answer = answer.header("x-user", "anna");
        }
        answer.body(full(format!("<html><body>secret at {}</body></html>", seen.target))).unwrap()
    })
    .await
}

/// A document more: the agreement of administrators.
fn with_agreement(upstream: &str, gates: &str) -> String {
    let agreement = format!(
        "  agreement:\n    kind: agreement\n    path: {AGREEMENT}\n    files: {{ sv: ../documents/terms.sv.md }}\n"
    );
    site(upstream, &format!("{agreement}{gates}"))
}

const TERMS: &str = "---\ntitle: Användaravtal\nversion: 1\n---\nVar snäll.\n";

#[tokio::test]
async fn who_is_logged_in_is_known_by_cookie_by_header_and_by_path_whatever_the_application() {
    let upstream = application().await;
    let by_cookie = |name: &str| format!("cookie: \"{name}\"");
    let detectors = [
        (by_cookie("PHPSESSID"), "PHPSESSID", "/"),
        (by_cookie("JSESSIONID"), "JSESSIONID", "/"),
        (by_cookie("ASP.NET_SessionId"), "ASP.NET_SessionId", "/"),
        (by_cookie("ASPSESSIONID*"), "ASPSESSIONIDQACBDRTA", "/"),
        (by_cookie("wordpress_logged_in_*"), "wordpress_logged_in_5e3f", "/"),
        (by_cookie("SESS*"), "SESS0cc175b9c0f1b6a831c399e269772661", "/"),
        (by_cookie("connect.sid"), "connect.sid", "/"),
        ("upstream_header: X-User".to_owned(), "any", "/"),
        ("paths: [\"/konto/*\"]".to_owned(), "any", "/konto/bilder"),
    ];
    for behind in [upstream.url(), upstream.h2c()] {
        for (detector, cookie, target) in &detectors {
            let gate = format!("gates:\n  - {{ name: g, document: privacy, {detector} }}\n");
            let whole = Whole::start(&site(&behind, &gate)).await;
            assert!(
                whole.visitor().navigate("/").await.text().contains("secret"),
                "{detector}: nobody is known"
            );
            let mut visitor = whole.visitor();
            visitor.set_cookie(cookie, "session-0815");
            let stopped = visitor.navigate(target).await;
            assert_eq!(
                stopped.header("location"),
                Some(format!("{NOTICE}?return={target}").as_str()),
                "{detector}"
            );
            assert_eq!(decide(&mut visitor, &stopped, "accept").await.header("location"), Some(*target));
            assert!(visitor.navigate(target).await.text().contains("secret"), "{detector}");
            // What tells who somebody is stays out of what is kept of them.
            let kept = format!("{:?}{:?}", whole.exported(), visitor.cookie("consentry_accepted"));
            assert!(!kept.contains("session-0815"), "{kept}");
            whole.server.stop().await;
        }
    }
}

#[tokio::test]
async fn new_customers_are_asked_at_the_page_of_registration_and_at_its_form() {
    let upstream = application().await;
    let gate = "gates:\n  - { name: new, document: privacy, paths: [\"/register*\"] }\n";
    let whole = Whole::start(&site(&upstream.url(), gate)).await;
    let mut visitor = whole.visitor();
    let stopped = visitor.navigate("/register?plan=1").await;
    assert_eq!(stopped.status, 303);
    let held = visitor.post_form("/register.php", &[("name", "Anna")]).await;
    assert_eq!(held.status, 403);
    assert!(held.text().contains("name=\"consentry_held\""), "the form waits in the page");
    assert!(upstream.seen().is_empty());
    decide(&mut visitor, &stopped, "accept").await;
    assert!(visitor.navigate("/register?plan=1").await.text().contains("secret"));
    assert_eq!(visitor.post_form("/register.php", &[("name", "Anna")]).await.status, 200);
    assert_eq!(upstream.seen().last().unwrap().body, "name=Anna");
    whole.server.stop().await;
}

#[tokio::test]
async fn c44_crawlers_and_monitors_get_what_a_customer_gets_who_has_accepted() {
    let upstream = application().await;
    let gates = format!("{CUSTOMERS}  - {{ name: new, document: privacy, paths: [\"/register*\"] }}\n");
    let whole = Whole::start(&site(&upstream.url(), &gates)).await;
    for agent in [
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
    ] {
        let mut crawler = whole.visitor().always("user-agent", agent);
        crawler.set_cookie("PHPSESSID", "a");
        for target in ["/", "/register", "/konto"] {
            let page = crawler.navigate(target).await;
            assert_eq!(page.status, 200, "{agent} {target}");
            assert!(
                page.text().contains(&format!("secret at {target}"))
                    && !page.text().contains("<consentry-banner")
            );
        }
    }
    // A monitor has no session, and a gate of sessions is none of its business.
    let mut monitor = whole.visitor().always("user-agent", "check_http/v2.3 (monitoring-plugins 2.3)");
    assert_eq!(monitor.get("/").await.status, 200);
    whole.server.stop().await;
}

#[tokio::test]
async fn c51_administrators_accept_their_agreement_and_each_new_version_and_nobody_else_is_asked() {
    let upstream = application().await;
    let gates = format!("{CUSTOMERS}  - {{ name: admins, document: agreement, paths: [\"/admin/*\"] }}\n");
    let yaml = with_agreement(&upstream.url(), &gates);
    let whole = Whole::start_with_files(&yaml, &[("documents/terms.sv.md", TERMS)]).await;
    let mut admin = whole.visitor();
    admin.set_cookie("PHPSESSID", "a");
    let stopped = admin.navigate("/admin/users").await;
    assert!(
        stopped.header("location").unwrap().starts_with(NOTICE),
        "each document is asked for once, in order"
    );
    decide(&mut admin, &stopped, "accept").await;
    assert!(
        admin.navigate("/konto").await.text().contains("secret"),
        "a customer is not asked for the agreement"
    );
    let stopped = admin.navigate("/admin/users").await;
    assert_eq!(stopped.header("location"), Some(format!("{AGREEMENT}?return=/admin/users").as_str()));
    decide(&mut admin, &stopped, "accept").await;
    assert!(admin.navigate("/admin/users").await.text().contains("secret"));

    let next = "---\ntitle: Användaravtal\nversion: 2\nchanges: Lösenordet är personligt.\n---\nVar snäll.\n\nDitt lösenord är ditt.\n";
    whole.write("documents/terms.sv.md", next);
    whole.write("documents/terms.sv.1.md", TERMS);
    assert_eq!(whole.server.reload(&whole.settings(), Occasion::Asked).outcome, Outcome::Applied);
    assert!(admin.navigate("/konto").await.text().contains("secret"));
    let stopped = admin.navigate("/admin/users").await;
    let page = admin.navigate(stopped.header("location").unwrap()).await.text();
    for part in ["Ditt lösenord är ditt.", "Lösenordet är personligt.", "version=1"] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    decide(&mut admin, &stopped, "accept").await;
    assert!(admin.navigate("/admin/users").await.text().contains("secret"));
    let entries = whole.exported();
    let said: Vec<_> =
        entries.iter().map(|entry| (entry["event_state"].as_str(), entry["version"].as_str())).collect();
    assert_eq!(
        said,
        [(Some("acknowledged"), Some("1")), (Some("accepted"), Some("1")), (Some("accepted"), Some("2"))],
        "a notice is acknowledged, an agreement accepted: {entries:?}"
    );
    whole.server.stop().await;
}

#[tokio::test]
async fn what_must_stay_open_is_open_while_every_gate_is_closed() {
    let upstream = application().await;
    let all = "gates:\n  - { name: all, document: privacy, paths: [\"/*\"], except: [/login, /logout, /contact, \"/hooks/*\"] }\n";
    let whole = Whole::start(&site(&upstream.url(), all)).await;
    let mut visitor = whole.visitor();
    assert_eq!(visitor.navigate("/").await.status, 303);
    for (target, is_own) in [
        (format!("{NOTICE}?lang=sv").as_str(), true),
        (&format!("{NOTICE}?lang=en"), true),
        ("/_consent/settings", true),
        ("/_consent/choices", true),
        ("/_consent/declined?document=privacy", true),
        ("/.well-known/gpc.json", true),
        ("/.well-known/security.txt", false),
        ("/robots.txt", false),
        ("/news.rss", false),
        ("/login", false),
        ("/logout", false),
        ("/contact", false),
        ("/hooks/payment", false),
    ] {
        let answer = visitor.navigate(target).await;
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.text().contains("secret"), !is_own, "{target}");
    }
    assert_eq!(visitor.post_form("/hooks/payment", &[("paid", "1")]).await.status, 200);
    let chosen = visitor.post_form("/_consent/choices", &[("choice", "reject-all")]).await;
    assert_eq!(chosen.status, 303, "whoever has accepted nothing can still refuse");
    drop(upstream);
    assert_eq!(
        visitor.navigate("/login").await.status,
        502,
        "pages that tell of errors are no pages behind a gate"
    );
    whole.server.stop().await;
}

#[tokio::test]
async fn the_page_of_a_document_has_what_its_readers_are_owed_and_nothing_of_others() {
    let upstream = application().await;
    let whole = Whole::start(&site(&upstream.url(), CUSTOMERS)).await;
    whole.write("documents/privacy.sv.1.md", "---\ntitle: Privacy\nversion: 1\n---\nFörr.\n");
    whole.write("documents/privacy.sv.md", "---\ntitle: Kakor\nversion: 2\n---\nVi använder {{ cookies }}\n");
    assert_eq!(whole.server.reload(&whole.settings(), Occasion::Asked).outcome, Outcome::Applied);
    let mut reader = whole.visitor().always("accept-language", "sv");
    let answer = reader.navigate(NOTICE).await;
    let page = answer.text();
    for (part, what) in [
        ("<html lang=\"sv\" dir=\"ltr\">", "language and direction"),
        ("<table role=\"table\">", "a table of its own of cookies"),
        ("consentry_accepted", "our own cookie in it"),
        ("data-consentry=\"settings\"", "the way to withdraw, and to the receipts"),
        ("Exempelbyrån AB", "the controller"),
        ("dataskydd@example.se", "whom to ask"),
        ("version=1", "versions of before"),
        ("lang=en", "the other language"),
        ("value=\"accept\"", "the form, which is plain HTML"),
        ("action=\"/_consent/acceptances\"", "where it goes"),
    ] {
        assert!(page.contains(part), "{what}: {part}\n{page}");
    }
    for part in ["<script", "<iframe", "http-equiv", "@import", "src=\"http", "href=\"http", "//"] {
        assert!(!page.contains(part), "{part}\n{page}");
    }
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(answer.header("x-dns-prefetch-control"), Some("off"));
    let style = page.split("<link rel=\"stylesheet\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    let style = style.replace("&#x2f;", "/");
    let style = reader.get(&style).await;
    assert_eq!(style.status, 200);
    assert!(style.text().contains("@media print"), "it can be printed");
    assert!(upstream.seen().is_empty(), "nothing of the application is needed for it");
    whole.server.stop().await;
}

#[tokio::test]
async fn a_document_wins_over_a_file_of_the_application_and_leaves_the_folder_to_it() {
    let upstream = application().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let mut reader = whole.visitor();
    assert!(reader.navigate(NOTICE).await.text().contains("Vi använder kakor."));
    assert!(upstream.seen().is_empty());
    for target in [
        "/cldoc/",
        "/cldoc/other.htm",
        "/cldoc/cookies-privacy-policies.html",
        "/cldoc/cookies-privacy-policies",
    ] {
        assert!(reader.navigate(target).await.text().contains(&format!("secret at {target}")), "{target}");
    }
    whole.server.stop().await;
}

fn corpus(lines: &str) -> Vec<String> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asks for a page with exactly these bytes in its request line; the status.
async fn ask(whole: &Whole, path: &str, cookie: &str) -> String {
    let mut wire = Wire::connect(whole.address()).await;
    wire.write(format!(
        "GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n\
         Sec-Fetch-Dest: document\r\n{cookie}Connection: close\r\n\r\n"
    ))
    .await;
    wire.read_to_end().await.split_ascii_whitespace().nth(1).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn no_spelling_of_a_closed_path_reaches_the_application() {
    let admins = "gates:\n  - { name: admins, document: privacy, paths: [\"/admin/*\"] }\n";
    for (gates, cookie, paths) in [
        (admins, "", include_str!("../fixtures/gates/closed-paths.jsonl")),
        (CUSTOMERS, "Cookie: PHPSESSID=1\r\n", include_str!("../fixtures/gates/opened-by-nothing.jsonl")),
    ] {
        let upstream = application().await;
        let whole = Whole::start(&site(&upstream.url(), gates)).await;
        for path in corpus(paths) {
            let status = ask(&whole, &path, cookie).await;
            assert!(["303", "400", "403"].contains(&status.as_str()), "{path}: {status}");
            assert_eq!(upstream.seen().len(), 0, "{path}");
        }
        assert_eq!(ask(&whole, "/logout", cookie).await, "200", "what is open is");
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn c45_no_way_back_leads_off_the_site() {
    let upstream = application().await;
    let whole = Whole::start(&site(&upstream.url(), CUSTOMERS)).await;
    let mut visitor = whole.visitor();
    visitor.set_cookie("PHPSESSID", "a");
    visitor.acknowledge(NOTICE).await;
    let mut newcomer = whole.visitor();
    newcomer.set_cookie("PHPSESSID", "b");
    for elsewhere in corpus(include_str!("../fixtures/gates/returns.jsonl")) {
        let query =
            url::form_urlencoded::Serializer::new(String::new()).append_pair("return", &elsewhere).finish();
        let after = visitor.navigate(&format!("/_consent/acceptances?{query}")).await;
        assert_eq!(after.header("location"), Some("/"), "{elsewhere:?}");
        let fields = [("choice", "reject-all"), ("return", elsewhere.as_str())];
        let chosen = visitor.post_form("/_consent/choices", &fields).await;
        assert!(
            way_back(&chosen).starts_with('/') && !way_back(&chosen).contains("e.example"),
            "{elsewhere:?}"
        );
        let page = newcomer.navigate(&format!("{NOTICE}?{query}")).await.text();
        let field = page.split("name=\"return\" value=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(field.replace("&#x2f;", "/"), "/", "{elsewhere:?}");
        let declined =
            newcomer.navigate(&format!("/_consent/declined?document=privacy&{query}")).await.text();
        assert!(declined.contains("return=%2F\""), "{elsewhere:?}\n{declined}");
    }
    whole.server.stop().await;
}

fn way_back(answer: &crate::support::browser::Answer) -> &str {
    answer.header("location").unwrap()
}

#[tokio::test]
async fn programs_of_a_gated_session_are_refused_and_what_pages_are_made_of_passes() {
    let upstream = application().await;
    let whole = Whole::start(&site(&upstream.url(), CUSTOMERS)).await;
    let mut visitor = whole.visitor();
    visitor.set_cookie("PHPSESSID", "a");
    let ask = async |visitor: &mut Browser, method: &str, target: &str, dest: &str| {
        let request = Request::builder().method(method).uri(target).header("sec-fetch-dest", dest);
        visitor.send(request.body(full("")).unwrap()).await.status.as_u16()
    };
    for (method, target, dest, expected) in [
        ("GET", "/data", "empty", 403),
        ("PUT", "/data", "empty", 403),
        ("GET", "/download.zip", "empty", 403),
        ("GET", "/data", "worker", 403),
        ("GET", "/style.css", "style", 200),
        ("GET", "/script.js", "script", 200),
        ("GET", "/picture.png", "image", 200),
        ("GET", "/letters.woff2", "font", 200),
        ("GET", "/api/data", "empty", 200),
        ("POST", "/api/data", "empty", 200),
    ] {
        assert_eq!(ask(&mut visitor, method, target, dest).await, expected, "{method} {target} as {dest}");
    }
    whole.server.stop().await;
}

#[tokio::test]
async fn websockets_of_a_gated_session_are_refused_over_http1_and_http2() {
    let upstream = application().await;
    let whole = Whole::start(&site(&upstream.url(), CUSTOMERS)).await;
    let mut wire = Wire::connect(whole.address()).await;
    wire.write(format!(
        "GET /chat HTTP/1.1\r\nHost: {HOST}\r\nCookie: PHPSESSID=1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ))
    .await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 403 "));

    let socket = TokioIo::new(TcpStream::connect(whole.address()).await.unwrap());
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), socket).await.unwrap();
    tokio::spawn(connection);
    // Only after an answer is it known that the server speaks WebSocket over HTTP/2 (RFC 8441).
    let first = Request::get(format!("http://{HOST}/robots.txt")).body(full("")).unwrap();
    assert_eq!(soon(sender.send_request(first)).await.unwrap().status(), 200);
    let connect = Request::connect(format!("http://{HOST}/chat"))
        .version(http::Version::HTTP_2)
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("cookie", "PHPSESSID=1")
        .body(full(""))
        .unwrap();
    let refused = soon(sender.send_request(connect)).await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.headers()["consentry-document"], NOTICE);
    assert_eq!(upstream.only().target, "/robots.txt");
    whole.server.stop().await;
}
