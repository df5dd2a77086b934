//! Documents inside a page of the site: its looks, its character set, and nothing that acts.

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use consentry::clock::Clock;
use consentry::filter::Body;
use consentry::filter::body::full;
use http::Response;

use crate::support::upstream::Upstream;
use crate::support::whole::{NOTICE, Whole, site};

const PAGE: &str = "<!doctype html><html><head><title>Start</title>\
    <meta http-equiv=\"refresh\" content=\"5;url=//t.example\"><link rel=\"dns-prefetch\" href=\"//t.example\">\
    <script src=\"//www.google-analytics.com/ga.js\"></script></head>\
    <body><p>V\u{e4}lkommen till b\u{e5}ten</p><div id=\"content\">Nyheter</div><script>t()</script></body></html>";

const LAYOUT: &str = "layout: { page: /start.asp, selector: \"#content\" }\n";

/// A site in ISO-8859-1 that answers with this status.
async fn boats(status: &Arc<AtomicU16>) -> Upstream {
    let status = Arc::clone(status);
    Upstream::answering(move |_| {
        let latin1: Vec<u8> = PAGE.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
        Response::builder()
            .status(status.load(Ordering::SeqCst))
            .header("content-type", "text/html; charset=iso-8859-1")
            .body(full(latin1))
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn a_document_stands_in_the_sites_own_page_with_nothing_of_others() {
    let status = Arc::new(AtomicU16::new(200));
    let upstream = boats(&status).await;
    let whole = Whole::start(&site(&upstream.url(), LAYOUT)).await;
    let mut reader = whole.visitor();
    reader.set_cookie("PHPSESSID", "secret");
    let answer = reader.navigate(NOTICE).await;
    assert_eq!(answer.header("content-type"), Some("text/html; charset=iso-8859-1"));
    assert_eq!(answer.header("content-language"), Some("sv"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"),
        "{policy}"
    );
    assert_eq!(answer.header("x-dns-prefetch-control"), Some("off"), "nobody who is linked to is looked up");
    let page: String = answer.decoded().iter().map(|byte| char::from(*byte)).collect();
    for part in [
        "<base href=\"/start.asp\">",
        "<title>Privacy sv &#8211; Exempelbyr&#229;n AB</title>",
        "<p>V\u{e4}lkommen till b\u{e5}ten</p>",
        "Vi anv&#228;nder kakor.",
        &format!("href=\"{NOTICE}?lang=en"),
        "data-consentry=\"settings\"",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    for part in ["<script", "refresh", "dns-prefetch", "Nyheter", "t.example"] {
        assert!(!page.contains(part), "{part}\n{page}");
    }
    let asked = upstream.only();
    assert_eq!(
        (asked.header("cookie"), asked.header("x-forwarded-for").as_deref()),
        (None, Some("127.0.0.1"))
    );
    reader.navigate(&format!("{NOTICE}?lang=en")).await;
    assert_eq!(upstream.seen().len(), 1, "it is kept");
    whole.server.stop().await;
}

#[tokio::test]
async fn a_page_that_cannot_be_used_leaves_documents_their_own_layout() {
    let status = Arc::new(AtomicU16::new(500));
    let upstream = boats(&status).await;
    for layout in [LAYOUT, "layout: { page: /, selector: \"#no-such\" }\n"] {
        let whole = Whole::start(&site(&upstream.url(), layout)).await;
        let page = whole.visitor().navigate(NOTICE).await;
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(page.text().contains("Vi använder kakor.") && !page.text().contains("<base"));
        whole.server.stop().await;
        status.store(200, Ordering::SeqCst);
    }
}

/// A site whose page the test changes.
struct Changing {
    upstream: Upstream,
    page: Arc<Mutex<Page>>,
}

/// Status, type and text of a page.
type Page = (u16, &'static str, String);

impl Changing {
    async fn start(text: &str) -> Self {
        let page = Arc::new(Mutex::new(html(text)));
        let answered = Arc::clone(&page);
        let upstream = Upstream::answering(move |_| {
            let (status, kind, text) = answered.lock().unwrap().clone();
            Response::builder().status(status).header("content-type", kind).body::<Body>(full(text)).unwrap()
        })
        .await;
        Changing { upstream, page }
    }

    fn becomes(&self, page: Page) {
        *self.page.lock().unwrap() = page;
    }
}

fn html(text: &str) -> Page {
    (200, "text/html", format!("<html><head></head><body><p>{text}</p><div id=content>x</div></body></html>"))
}

#[tokio::test]
async fn a_page_is_fetched_anew_after_five_minutes_and_the_last_good_one_stays_while_it_is_broken() {
    let clock = Clock::fixed(1_790_000_000);
    let shop = Changing::start("The first look").await;
    let whole = Whole::start_by(&clock, &site(&shop.upstream.url(), LAYOUT)).await;
    let mut reader = whole.visitor();
    let mut shows = async |look: &str| {
        let page = reader.navigate(NOTICE).await.text();
        assert!(page.contains(look) && page.contains("Vi anv&#228;nder kakor."), "{look}\n{page}");
    };
    shows("The first look").await;
    shop.becomes(html("The second look"));
    clock.advance(299);
    shows("The first look").await;
    clock.advance(2);
    shows("The second look").await;
    let large = "x".repeat(3 << 20);
    for broken in [
        (404, "text/html", "gone".into()),
        (302, "text/html", String::new()),
        (200, "application/json", "{}".into()),
        (200, "text/html", "<p>without the place".into()),
        html(&large),
    ] {
        shop.becomes(broken);
        clock.advance(301);
        shows("The second look").await;
    }
    shop.becomes(html("The third look"));
    shows("The second look").await;
    clock.advance(301);
    shows("The third look").await;
    whole.server.stop().await;
}

#[tokio::test]
async fn a_page_that_was_never_there_is_looked_for_again_and_no_reader_waits_for_it_meanwhile() {
    let clock = Clock::fixed(1_790_000_000);
    let shop = Changing::start("x").await;
    let whole = Whole::start_by(&clock, &site(&shop.upstream.url(), LAYOUT)).await;
    let mut reader = whole.visitor();
    let large = "x".repeat(3 << 20);
    for (number, broken) in [(404, "text/html", String::new()), (200, "text/plain", "x".into()), html(&large)]
        .into_iter()
        .enumerate()
    {
        shop.becomes(broken);
        for _ in 0..3 {
            let page = reader.navigate(NOTICE).await;
            assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"), "a layout of our own");
            assert!(page.text().contains("Vi använder kakor."));
        }
        assert_eq!(shop.upstream.seen().len(), number + 1, "it is asked for once in five minutes");
        clock.advance(301);
    }
    shop.becomes(html("There it is"));
    assert!(reader.navigate(NOTICE).await.text().contains("There it is"));
    whole.server.stop().await;
}

#[tokio::test]
async fn other_settings_take_another_page_at_once() {
    let shop = Changing::start("The look").await;
    let whole = Whole::start(&site(&shop.upstream.url(), LAYOUT)).await;
    let mut reader = whole.visitor();
    assert!(reader.navigate(NOTICE).await.text().contains("The look"));
    for (layout, is_framed) in [
        ("layout: { page: /other, selector: p }\n", true),
        ("layout: { page: /other, selector: nav }\n", false),
        ("", false),
    ] {
        whole.write("sites/example.yaml", &site(&shop.upstream.url(), layout));
        let reload = whole.server.reload(&whole.settings(), consentry::server::Occasion::Asked);
        assert_eq!(reload.outcome, consentry::server::Outcome::Applied);
        let page = reader.navigate(NOTICE).await.text();
        assert_eq!(page.contains("<base href=\"/other\">"), is_framed, "{layout}\n{page}");
        assert!(!page.contains("The look"), "{layout}: its place is taken by the text");
    }
    whole.server.stop().await;
}
