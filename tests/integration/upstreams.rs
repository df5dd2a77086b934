//! Upstreams that fail, are slow, move, or speak TLS.

use std::time::Duration;

use consentry::filter::body::full;
use consentry::upstream::Trust;
use consentry::visit::ClientAddress;
use http::{Request, StatusCode};

use crate::support::browser::Browser;
use crate::support::certificates::Authority;
use crate::support::forward::Forward;
use crate::support::running::{Running, Setup};
use crate::support::upstream::Upstream;
use crate::support::wire::Script;

const PAGE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";

/// An address that nobody listens on.
async fn nowhere() -> String {
    Script::bind().await.url()
}

fn browser(running: &Running) -> Browser {
    Browser::clear(running.address, "shop.example")
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_failure_to_connect() {
    let running = Running::start(Forward::to(&[&nowhere().await]), Setup::default());
    let answer = browser(&running).get("/").await;
    assert_eq!((answer.status, answer.header("x-failure")), (StatusCode::BAD_GATEWAY, Some("connect")));
}

#[tokio::test]
async fn the_next_address_gets_the_whole_request_where_the_first_is_not_there() {
    let upstream = Upstream::page("text/plain", "hello").await;
    let running = Running::start(Forward::to(&[&nowhere().await, &upstream.url()]), Setup::default());
    let request = Request::post("/").body(full("the whole body")).unwrap();
    assert_eq!(browser(&running).send(request).await.text(), "hello");
    assert_eq!(&upstream.only().body[..], b"the whole body");
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_timed_out() {
    let script = Script::bind().await;
    let app = Forward::with(&[&script.url()], Trust::System, ClientAddress::Full, Duration::from_millis(50));
    let running = Running::start(app, Setup::default());
    for request in [Request::get("/").body(full("")), Request::post("/").body(full("a form"))] {
        let mut browser = browser(&running);
        let (answer, mut wire) = tokio::join!(browser.send(request.unwrap()), script.accept());
        assert_eq!(
            (answer.status, answer.header("x-failure")),
            (StatusCode::GATEWAY_TIMEOUT, Some("timed-out"))
        );
        // The upstream is told that nobody waits any more.
        wire.read_to_end().await;
    }
}

#[tokio::test]
async fn an_upstream_that_speaks_no_http_or_hangs_up_is_a_failure_of_protocol() {
    let script = Script::bind().await;
    let running = Running::start(Forward::to(&[&script.url()]), Setup::default());
    for said in ["SSH-2.0-OpenSSH_9.9\r\n", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 101 Switching\r\n\r\n"] {
        let upstream = async {
            let mut wire = script.accept().await;
            wire.read_head().await;
            wire.write(said).await;
        };
        let mut browser = browser(&running);
        let (answer, ()) = tokio::join!(browser.get("/"), upstream);
        assert_eq!((answer.status, answer.header("x-failure")), (StatusCode::BAD_GATEWAY, Some("protocol")));
    }
}

#[tokio::test]
async fn a_connection_is_used_again_and_a_stale_one_is_replaced_once() {
    let script = Script::bind().await;
    let running = Running::start(Forward::to(&[&script.url()]), Setup::default());
    let mut browser = browser(&running);
    let upstream = async {
        let mut wire = script.accept().await;
        for _ in 0..2 {
            wire.read_head().await;
            wire.write(PAGE).await;
        }
        // The third request comes, and the connection is closed on it as if just now it had grown too old.
        wire.read_head().await;
        drop(wire);
        let mut wire = script.accept().await;
        assert!(wire.read_head().await.starts_with("GET /3 "));
        wire.write(PAGE).await;
    };
    let visitor = async {
        for target in ["/1", "/2", "/3"] {
            assert_eq!(browser.get(target).await.text(), "hi");
        }
    };
    tokio::join!(upstream, visitor);
}

#[tokio::test]
async fn a_form_is_never_sent_twice() {
    let script = Script::bind().await;
    let running = Running::start(Forward::to(&[&script.url()]), Setup::default());
    let mut browser = browser(&running);
    let upstream = async {
        let mut wire = script.accept().await;
        wire.read_head().await;
        wire.write(PAGE).await;
        wire.read_until("an order").await;
        drop(wire);
        script
    };
    let visitor = async {
        browser.get("/").await;
        let answer = browser.send(Request::post("/").body(full("an order")).unwrap()).await;
        assert_eq!(answer.header("x-failure"), Some("protocol"));
    };
    tokio::join!(upstream, visitor);
}

#[tokio::test]
async fn an_upstream_over_tls_is_verified_as_its_site_says() {
    let authority = Authority::new();
    let upstream = Upstream::answering_over_tls(&authority, |_| http::Response::new(full("hello"))).await;
    for (trust, expected) in [
        (Trust::Authority(authority.file()), None),
        (Trust::Anything, None),
        (Trust::Authority(Authority::new().file()), Some("connect")),
        (Trust::Authority("/nowhere.pem".into()), Some("connect")),
        (Trust::System, Some("connect")),
    ] {
        let app =
            Forward::with(&[&upstream.url()], trust.clone(), ClientAddress::Full, Duration::from_secs(60));
        let running = Running::start(app, Setup::default());
        let answer = browser(&running).get("/").await;
        assert_eq!(answer.header("x-failure"), expected, "{trust:?}");
    }
}
