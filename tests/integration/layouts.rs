//! Documents inside a page of the site: its looks, its character set, and nothing that acts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

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
