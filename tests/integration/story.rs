//! The whole idea, from an untouched legacy page to a banner, held analytics and an acknowledged document.

use consentry::filter::body::full;
use consentry::server::{Occasion, Outcome};
use http::Response;

use crate::support::browser::Answer;
use crate::support::upstream::Upstream;
use crate::support::whole::{CUSTOMERS, NOTICE, Whole, site};

const SHOP: &str = "<html><head><title>Bildbyr\u{e5}n</title>\
    <script src=\"http://www.google-analytics.com/ga.js\"></script>\
    <script>_gaq.push(['_trackPageview']);</script></head>\
    <body><h1>V\u{e4}lkommen</h1></body></html>";

/// A shop in ISO-8859-1 that sets a cookie of Google Analytics itself.
async fn shop() -> Upstream {
    Upstream::answering(|_| {
        let latin1: Vec<u8> = SHOP.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
        Response::builder()
            .header("content-type", "text/html; charset=iso-8859-1")
            .header("set-cookie", "__utma=1.2.3; path=/")
            .header("set-cookie", "cart=7; path=/")
            .body(full(latin1))
            .unwrap()
    })
    .await
}

fn page(answer: &Answer) -> String {
    answer.decoded().iter().map(|byte| char::from(*byte)).collect()
}

#[tokio::test]
async fn an_undecided_visitor_gets_the_banner_and_no_analytics() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let answer = whole.visitor().navigate("/").await;
    let html = page(&answer);
    assert_eq!(answer.status, 200);
    assert!(html.contains("<consentry-banner") && html.contains("data-consentry=\"guard\""), "{html}");
    assert!(!html.contains(" src=\"http://www.google-analytics.com"), "{html}");
    assert!(html.contains("V\u{e4}lkommen"), "the page's own bytes are kept");
    assert_eq!(answer.all("set-cookie"), ["cart=7; path=/"]);
    assert!(answer.header("content-security-policy").is_some());
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
    whole.server.stop().await;
}

#[tokio::test]
async fn agreement_brings_the_page_back_as_its_author_wrote_it() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), "services: { google-analytics: consent }")).await;
    let mut visitor = whole.visitor();
    let answer =
        visitor.post_form("/_consent/choices", &[("choice", "accept-all"), ("return", "/hem?a=1")]).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/hem?a=1")));
    assert!(answer.header("consentry-receipt").is_some());
    let html = page(&visitor.navigate("/").await);
    assert!(html.contains("<script src=\"http://www.google-analytics.com/ga.js\"></script>"), "{html}");
    assert!(!html.contains("<consentry-banner"));
    let entries = whole.exported();
    assert_eq!(entries.len(), 1);
    assert!(whole.command(&["ledger", "verify"]).status.success());
    whole.server.stop().await;
}

// COMPLIANCE C46.
#[tokio::test]
async fn c46_no_cache_gives_the_page_of_one_visitor_to_another() {
    let upstream = Upstream::answering(|_| {
        Response::builder()
            .header("content-type", "text/html")
            .header("cache-control", "public, max-age=600, s-maxage=600")
            .header("surrogate-control", "max-age=600")
            .header("etag", "\"one\"")
            .header("last-modified", "Mon, 02 Nov 2026 10:00:00 GMT")
            .body(full(SHOP.replace(|letter: char| !letter.is_ascii(), "")))
            .unwrap()
    })
    .await;
    let whole = Whole::start(&site(&upstream.url(), "services: { google-analytics: consent }")).await;
    let (mut agreed, mut undecided) = (whole.visitor(), whole.visitor());
    agreed.post_form("/_consent/choices", &[("choice", "accept-all")]).await;
    let theirs = agreed.navigate("/").await;
    for answer in [&theirs, &undecided.navigate("/").await] {
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        assert!(answer.all("vary").join(",").to_ascii_lowercase().contains("cookie"), "{:?}", answer.headers);
        assert!(answer.header("surrogate-control").is_none() && answer.header("last-modified").is_none());
    }
    // Nor does a cache that asks on behalf of somebody else hear that it has the page.
    let tag = theirs.header("etag").unwrap().to_owned();
    let mut asking = whole.visitor().always("if-none-match", &tag);
    let answer = asking.navigate("/").await;
    assert_eq!(answer.status, 200);
    assert!(page(&answer).contains("<consentry-banner"));
    whole.server.stop().await;
}

#[tokio::test]
async fn a_refusal_is_remembered_and_nothing_asks_again() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let mut visitor = whole.visitor();
    visitor.post_form("/_consent/choices", &[("choice", "reject-all"), ("return", "/")]).await;
    visitor.set_cookie("__utma", "1.2.3");
    let html = page(&visitor.navigate("/").await);
    assert!(!html.contains("<consentry-banner") && html.contains("data-consentry=\"settings\""), "{html}");
    assert!(!html.contains(" src=\"http://www.google-analytics.com"));
    let cookies = upstream.seen().last().unwrap().header("cookie").unwrap_or_default();
    assert!(!cookies.contains("__utma") && !cookies.contains("consentry"), "{cookies}");
    whole.server.stop().await;
}

#[tokio::test]
async fn a_choice_posted_from_another_origin_is_refused() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let mut visitor = whole.visitor();
    let request = http::Request::post("/_consent/choices")
        .header("sec-fetch-site", "cross-site")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(full("choice=accept-all"))
        .unwrap();
    let answer = visitor.send(request).await;
    assert_eq!(answer.status, 403);
    assert!(answer.header("set-cookie").is_none() && whole.exported().is_empty());
    whole.server.stop().await;
}

#[tokio::test]
async fn a_customer_meets_the_document_once_and_comes_back() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), CUSTOMERS)).await;
    let mut visitor = whole.visitor();
    visitor.set_cookie("PHPSESSID", "abc");
    let sent = visitor.navigate("/konto?sida=2").await;
    assert_eq!(sent.status, 303);
    let location = sent.header("location").unwrap().to_owned();
    assert!(location.starts_with(NOTICE), "{location}");

    let form = page(&visitor.navigate(&location).await);
    let field = |name: &str| {
        let from = form.find(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("{name} in {form}"));
        let value = form[from..].split("value=\"").nth(1).unwrap();
        value.split('"').next().unwrap().replace("&#x2f;", "/").replace("&amp;", "&")
    };
    let (document, version, token) = (field("document"), field("version"), field("token"));
    let fields = [
        ("document", document.as_str()),
        ("version", &version),
        ("token", &token),
        ("return", "/konto?sida=2"),
    ];
    let accepted = visitor.post_form("/_consent/acceptances", &fields).await;
    assert_eq!((accepted.status.as_u16(), accepted.header("location")), (303, Some("/konto?sida=2")));
    assert!(accepted.header("consentry-receipt").is_some());
    assert_eq!(visitor.navigate("/konto?sida=2").await.status, 200);
    // An acceptance switches nothing on.
    let html = page(&visitor.navigate("/").await);
    assert!(!html.contains(" src=\"http://www.google-analytics.com"));
    assert_eq!(whole.exported().len(), 1);
    whole.server.stop().await;
}

#[tokio::test]
async fn a_program_in_a_gated_session_is_told_which_document_is_missing() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), CUSTOMERS)).await;
    let mut visitor = whole.visitor();
    visitor.set_cookie("PHPSESSID", "abc");
    let answer = visitor.get("/data.json").await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("consentry-document"), Some(NOTICE));
    assert_eq!(visitor.get("/api/data.json").await.status, 200);
    assert_eq!(visitor.navigate("/logout").await.status, 200);
    whole.server.stop().await;
}

#[tokio::test]
async fn c50_a_document_that_nobody_has_filled_in_asks_nobody_for_anything() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), CUSTOMERS)).await;
    whole.write("documents/privacy.sv.md", "---\ntitle: T\nversion: 2\n---\n[FILL IN: everything]\n");
    assert_eq!(whole.server.reload(&whole.settings(), Occasion::Asked).outcome, Outcome::Applied);
    let mut visitor = whole.visitor();
    visitor.set_cookie("PHPSESSID", "abc");
    let answer = visitor.navigate("/").await;
    let html = page(&answer);
    assert_eq!(answer.status, 200);
    assert!(!html.contains("<consentry-banner"), "{html}");
    assert!(!html.contains(" src=\"http://www.google-analytics.com"), "services stay held");
    assert!(whole.server.metrics().render().contains("consentry_sites_not_filled_in 1"));
    whole.server.stop().await;
}

#[tokio::test]
async fn broken_settings_leave_the_old_ones_in_force() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    whole.write("sites/example.yaml", "hosts: [www.example.se]\nupstraem: http://127.0.0.1:1\n");
    let reload = whole.server.reload(&whole.settings(), Occasion::Asked);
    assert!(reload.news.iter().any(|problem| problem.to_string().contains("upstraem")));
    assert_eq!(whole.visitor().navigate("/").await.status, 200);
    let metrics = whole.server.metrics().render();
    assert!(metrics.contains("consentry_settings_refused 1"), "{metrics}");
    whole.server.stop().await;
}

#[tokio::test]
async fn c47_a_forged_cookie_counts_as_absent() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let mut visitor = whole.visitor();
    visitor.set_cookie(
        "consentry",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    );
    assert!(page(&visitor.navigate("/").await).contains("<consentry-banner"));
    whole.server.stop().await;
}

#[tokio::test]
async fn an_upstream_that_is_not_there_names_no_internals() {
    let gone = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let whole = Whole::start(&site(&format!("http://{gone}"), "")).await;
    let answer = whole.visitor().navigate("/").await;
    assert_eq!(answer.status, 502);
    assert!(!answer.text().contains(&gone.port().to_string()));
    whole.server.stop().await;
}

#[tokio::test]
async fn an_unknown_host_is_misdirected() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let mut stranger = crate::support::browser::Browser::clear(whole.address(), "other.example");
    assert_eq!(stranger.navigate("/").await.status, 421);
    assert!(upstream.seen().is_empty());
    whole.server.stop().await;
}

#[tokio::test]
async fn what_is_no_page_arrives_byte_for_byte() {
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let sent = bytes.clone();
    let upstream = Upstream::answering(move |_| {
        Response::builder()
            .header("content-type", "application/octet-stream")
            .header("etag", "\"one\"")
            .body(full(sent.clone()))
            .unwrap()
    })
    .await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let answer = whole.visitor().get("/bild.bin").await;
    assert_eq!((answer.bytes.as_ref(), answer.header("etag")), (bytes.as_slice(), Some("\"one\"")));
    assert!(answer.header("content-security-policy").is_none());
    whole.server.stop().await;
}
