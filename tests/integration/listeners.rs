//! Listeners that come, go and change at a reload, while the others go on.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use http::StatusCode;
use tokio::net::TcpStream;

use crate::support::browser::{Browser, Speaks};
use crate::support::certificates::Authority;
use crate::support::soon;
use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, Whole, site};
use crate::support::wire::Wire;
use consentry::server::{Occasion, Outcome};

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: www.example.se\r\n\r\n";

async fn whole(listen: &str) -> (Whole, Upstream) {
    let upstream = Upstream::page("text/plain", "hello").await;
    (Whole::start_with(listen, &site(&upstream.url(), "")).await, upstream)
}

fn reload(whole: &Whole, listen: &str) -> Vec<SocketAddr> {
    whole.listen(listen);
    assert_ne!(whole.server.reload(&whole.settings(), Occasion::Asked).outcome, Outcome::Refused);
    whole.server.addresses()
}

async fn asked(at: SocketAddr) -> String {
    Browser::clear(at, HOST).get("/").await.text()
}

#[tokio::test]
async fn an_added_address_listens_and_a_removed_one_lets_its_visitors_end() {
    let one = "listen: [{ address: 127.0.0.1:0 }]";
    let two = "listen: [{ address: 127.0.0.1:0 }, { address: 127.0.0.1:0 }]";
    let (whole, _upstream) = whole(one).await;
    let first = whole.address();
    let addresses = reload(&whole, two);
    assert_eq!((addresses.len(), addresses[0]), (2, first));
    let second = addresses[1];
    assert_eq!((asked(first).await, asked(second).await), ("hello".into(), "hello".into()));

    let mut kept = Wire::connect(second).await;
    kept.write(REQUEST).await;
    kept.read_until("hello").await;
    assert_eq!(reload(&whole, one), [first]);
    kept.write(REQUEST).await;
    let rest = kept.read_to_end().await;
    assert!(rest.contains("connection: close") && rest.ends_with("hello"), "{rest}");
    soon(TcpStream::connect(second)).await.unwrap_err();
    assert_eq!(asked(first).await, "hello");
    whole.server.stop().await;
}

#[tokio::test]
async fn an_address_keeps_its_socket_when_it_speaks_something_else() {
    let clear = "listen: [{ address: 127.0.0.1:0 }]";
    let (whole, _upstream) = whole(clear).await;
    let first = whole.address();
    let authority = Authority::new();
    let files = authority.sign(&[HOST]);
    let tls = |certificate: &std::path::Path| {
        format!(
            "listen:\n  - address: 127.0.0.1:0\n    tls: {{ certificates: [{{ certificate: {}, key: {} }}] }}",
            certificate.display(),
            files.key.display()
        )
    };
    assert_eq!(reload(&whole, &tls(&files.certificate)), [first]);
    let mut visitor = Browser::tls(first, HOST, &authority, Speaks::Http2);
    assert_eq!(visitor.get("/").await.text(), "hello");
    // Back again, by a way over a listener that only redirects.
    assert_eq!(reload(&whole, "listen: [{ address: 127.0.0.1:0, redirect_to_https: true }]"), [first]);
    let answer = Browser::clear(first, HOST).get("/").await;
    assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT);
    // A certificate that cannot be used leaves what there is.
    assert_eq!(reload(&whole, &tls(&files.key)), [first]);
    assert_eq!(Browser::clear(first, HOST).get("/").await.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(reload(&whole, clear), [first]);
    assert_eq!(asked(first).await, "hello");
    whole.server.stop().await;
}

/// Tries until all addresses can be had, as the proxy does: a program that another test is just starting may hold a socket
/// a moment longer.
async fn complete(whole: &Whole) {
    soon(async {
        while whole.server.misses_listeners() {
            whole.server.complete_listeners();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_tried_again_and_holds_up_nothing_else() {
    let (whole, _upstream) = whole("listen: [{ address: 127.0.0.1:0 }]").await;
    let first = whole.address();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let second = taken.local_addr().unwrap();
    let both = format!("listen: [{{ address: {second} }}, {{ address: 127.0.0.1:0 }}]");
    assert_eq!(reload(&whole, &both), [first]);
    assert_eq!(asked(first).await, "hello");
    drop(taken);
    reload(&whole, &both);
    complete(&whole).await;
    assert_eq!(whole.server.addresses(), [second, first]);
    assert_eq!((asked(first).await, asked(second).await), ("hello".into(), "hello".into()));
    whole.server.stop().await;
}

#[tokio::test]
async fn the_old_address_stays_until_the_new_one_can_be_had() {
    let (whole, _upstream) = whole("listen: [{ address: 127.0.0.1:0 }]").await;
    let first = whole.address();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let second = taken.local_addr().unwrap();
    let moved = format!("listen: [{{ address: {second} }}]");
    whole.listen(&moved);
    assert_eq!(whole.server.reload(&whole.settings(), Occasion::Asked).outcome, Outcome::Partly);
    assert_eq!((asked(first).await.as_str(), whole.server.misses_listeners()), ("hello", true));
    whole.server.complete_listeners();
    assert!(whole.server.metrics().render().contains("consentry_listeners_missing 1"));
    drop(taken);
    complete(&whole).await;
    assert_eq!(whole.server.addresses(), [second]);
    assert_eq!(asked(second).await, "hello");
    whole.server.stop().await;
}
