//! What the upstream sees of a request, and what the visitor sees of an answer.

use std::time::Duration;

use consentry::filter::body::full;
use consentry::upstream::Trust;
use consentry::visit::ClientAddress;
use http::{Request, Response};

use crate::support::browser::{Browser, Speaks};
use crate::support::certificates::Authority;
use crate::support::forward::Forward;
use crate::support::liar::{Liar, Then};
use crate::support::running::{Running, Setup};
use crate::support::upstream::Upstream;
use crate::support::whole::{Whole, site};
use crate::support::wire::Wire;

#[tokio::test]
async fn what_belongs_to_one_connection_stays_on_it() {
    let upstream = Upstream::answering(|_| {
        Response::builder()
            .header("connection", "x-internal")
            .header("x-internal", "1")
            .header("keep-alive", "timeout=5")
            .header("proxy-authenticate", "Basic")
            .header("x-end-to-end", "1")
            .body(full("hello"))
            .unwrap()
    })
    .await;
    let running = Running::start(Forward::to(&[&upstream.url()]), Setup::default());
    let mut wire = Wire::connect(running.address).await;
    wire.write(
        "GET /a/%2e%2e/b//c?d=%20&e HTTP/1.1\r\nHost: Shop.example:81\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
         Keep-Alive: 5\r\nTE: gzip\r\nProxy-Authorization: x\r\nUpgrade: foo\r\nX-End-To-End: 1\r\n\
         X-Forwarded-For: 6.6.6.6\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
    )
    .await;
    let head = wire.read_head().await.to_lowercase();
    for gone in ["x-internal", "keep-alive:", "proxy-authenticate", "connection:"] {
        assert!(!head.contains(gone), "{head}");
    }
    assert!(head.contains("x-end-to-end: 1\r\n"));
    let seen = upstream.only();
    assert_eq!(seen.target, "/a/%2e%2e/b//c?d=%20&e");
    for (name, expected) in [
        ("host", Some("Shop.example:81")),
        ("x-end-to-end", Some("1")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("Shop.example:81")),
        ("forwarded", Some("for=127.0.0.1;host=\"Shop.example:81\";proto=http")),
        ("cookie", Some("a=1; b=2")),
        ("x-hop", None),
        ("keep-alive", None),
        ("te", None),
        ("proxy-authorization", None),
        ("upgrade", None),
        ("connection", None),
    ] {
        assert_eq!(seen.header(name).as_deref(), expected, "{name}");
    }
}

/// A proxy says its own version (RFC 9112 section 2.3), and the end of an answer by what its visitor understands.
#[tokio::test]
async fn an_upstream_of_http_1_0_does_not_make_it_the_visitors_version() {
    let liar = Liar::start().await;
    liar.says("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nhello", Then::Closes);
    let running = Running::start(Forward::to(&[&liar.url()]), Setup::default());
    let asks = |version: &str| format!("GET /lie HTTP/{version}\r\nHost: shop.example\r\n\r\n");
    let mut wire = Wire::connect(running.address).await;
    wire.write(&asks("1.1")).await;
    let head = wire.read_head().await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("transfer-encoding: chunked\r\n"), "{head}");
    wire.read_until("5\r\nhello\r\n0\r\n\r\n").await;
    wire.write(&asks("1.1")).await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 200 OK\r\n"), "the connection goes on");
    let mut old = Wire::connect(running.address).await;
    old.write(&asks("1.0")).await;
    assert!(old.read_head().await.starts_with("HTTP/1.0 200 OK\r\n"));
    assert_eq!(old.read_to_end().await, "hello");
}

#[tokio::test]
async fn http2_becomes_http1_with_host_and_one_cookie_line() {
    let upstream = Upstream::page("text/plain", "hello").await;
    let authority = Authority::new();
    let transport = consentry::listener::Transport::Tls(vec![authority.sign(&["shop.example"])]);
    let app =
        Forward::with(&[&upstream.url()], Trust::System, ClientAddress::Anonymized, Duration::from_secs(60));
    let running = Running::start(app, Setup { transport, ..Setup::default() });
    let mut browser = Browser::tls(running.address, "shop.example", &authority, Speaks::Http2);
    browser.set_cookie("b", "2");
    let request = Request::post("/form").header("cookie", "a=1").body(full("x=1")).unwrap();
    let answer = browser.send(request).await;
    assert_eq!(answer.text(), "hello");
    let seen = upstream.only();
    assert_eq!((seen.target.as_str(), &seen.body[..]), ("/form", b"x=1".as_slice()));
    for (name, expected) in [
        ("host", "shop.example"),
        ("cookie", "a=1; b=2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "127.0.0.0"),
        ("content-length", "3"),
    ] {
        assert_eq!(seen.header(name).as_deref(), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn two_lengths_become_one_and_end_the_connection() {
    let upstream = Upstream::page("text/plain", "hello").await;
    let running = Running::start(Forward::to(&[&upstream.url()]), Setup::default());
    for lengths in
        ["Content-Length: 3\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 3"]
    {
        let mut wire = Wire::connect(running.address).await;
        wire.write(format!(
            "POST /1 HTTP/1.1\r\nHost: a.example\r\n{lengths}\r\n\r\n0\r\n\r\nGET /2 HTTP/1.1\r\n"
        ))
        .await;
        wire.read_to_end().await;
    }
    for seen in upstream.seen() {
        // hyper decides for the chunks and closes, so nobody can take what follows for a request.
        assert_eq!((seen.target.as_str(), seen.body.len()), ("/1", 0));
        assert_eq!(seen.header("content-length"), None);
    }
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_fragment_is_cut_off_before_anybody_decides_on_it() {
    let upstream = Upstream::page("text/plain", "hello").await;
    let running = Running::start(Forward::to(&[&upstream.url()]), Setup::default());
    let mut wire = Wire::connect(running.address).await;
    wire.write("GET /public#/../private HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await;
    wire.read_to_end().await;
    assert_eq!(upstream.only().target, "/public");
}

#[tokio::test]
async fn what_the_servers_could_read_differently_is_refused() {
    let upstream = Upstream::page("text/plain", "hello").await;
    let running = Running::start(Forward::to(&[&upstream.url()]), Setup::default());
    for (request, expected) in [
        ("GET / HTTP/1.1\r\n\r\n", "no-host"),
        ("GET / HTTP/1.1\r\nHost: a.example\r\nHost: a.example\r\n\r\n", "several-hosts"),
        ("GET / HTTP/1.1\r\nHost: a@a.example\r\n\r\n", "malformed-host"),
        ("GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n", "authority-disagrees"),
        ("GET a.example HTTP/1.1\r\nHost: a.example\r\n\r\n", "malformed-target"),
        ("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", "connect"),
        (
            "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
            "upgrade-to-http2",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "transfer-coding",
        ),
    ] {
        let mut wire = Wire::connect(running.address).await;
        wire.write(request).await;
        let head = wire.read_head().await;
        assert!(head.contains(&format!("x-failure: {expected}\r\n")), "{request:?}: {head}");
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_host_that_the_handshake_did_not_name_is_misdirected() {
    let authority = Authority::new();
    let transport = consentry::listener::Transport::Tls(vec![authority.sign(&["a.example", "b.example"])]);
    let upstream = Upstream::page("text/plain", "hello").await;
    let running = Running::start(Forward::to(&[&upstream.url()]), Setup { transport, ..Setup::default() });
    let mut browser = Browser::tls(running.address, "a.example", &authority, Speaks::Http1);
    let request = Request::get("/").header("host", "b.example").body(full("")).unwrap();
    assert_eq!(browser.send(request).await.status, 421);
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn the_proxy_names_itself_in_via_where_the_site_wants_it_and_nowhere_else() {
    let upstream =
        Upstream::answering(|_| Response::builder().header("via", "1.1 cache").body(full("")).unwrap()).await;
    for (url, more, speaks, asked, answered) in [
        (upstream.url(), "", Speaks::Http1, "1.1 cdn", "1.1 cache"),
        (upstream.url(), "via: true", Speaks::Http1, "1.1 cdn, 1.1 consentry", "1.1 cache, 1.1 consentry"),
        (upstream.h2c(), "via: true", Speaks::Http2, "1.1 cdn, 2 consentry", "1.1 cache, 2 consentry"),
    ] {
        let proxy = Whole::start(&site(&url, more)).await;
        let answer = proxy.visitor().speaking(speaks).always("via", "1.1 cdn").get("/").await;
        assert_eq!(answer.all("via").join(", "), answered);
        assert_eq!(upstream.seen().last().unwrap().header("via").as_deref(), Some(asked));
    }
}
