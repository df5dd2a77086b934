//! Behind a balancer that says who is calling: its header is required, believed, and never part of the request.

use std::sync::Arc;
use std::time::Duration;

use consentry::filter::Body;
use consentry::filter::body::full;
use consentry::listener::{App, Peer, ProxyProtocol, Transport};
use consentry::telemetry::Reason;
use http::{Request, Response};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::certificates::Authority;
use crate::support::running::{Running, Setup};
use crate::support::soon;
use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, Whole, site};
use crate::support::wire::Wire;

const LINE: &str = "PROXY TCP4 203.0.113.9 10.0.0.2 52953 443\r\n";
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n";

/// Version 2 with TCP over IPv6, and an extra that means nothing.
fn block() -> Vec<u8> {
    let source = "2001:db8::9".parse::<std::net::Ipv6Addr>().unwrap().octets();
    let rest = [&source[..], &source[..], &[1, 2, 3, 4], &[0x04, 0, 1, 9]].concat();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0".as_slice(), &[u8::try_from(rest.len()).unwrap()], &rest].concat()
}

/// Says who called.
#[derive(Clone)]
struct Caller;

impl App for Caller {
    async fn answer(&self, _request: Request<Body>, peer: Peer) -> Response<Body> {
        Response::new(full(format!("{} {:?}", peer.address, peer.scheme)))
    }
}

fn required() -> Setup {
    Setup { proxy_protocol: ProxyProtocol::Required, ..Setup::default() }
}

fn refused(running: &Running, reason: &'static str) -> u64 {
    running.metrics.refused.of(Reason { reason }).get()
}

#[tokio::test]
async fn the_header_says_who_is_calling_in_both_versions_and_in_any_pieces() {
    let running = Running::start(Caller, required());
    let local = "PROXY UNKNOWN\r\n";
    for (header, expected) in [
        (LINE.as_bytes().to_vec(), "203.0.113.9 Http"),
        (block(), "2001:db8::9 Http"),
        (local.into(), "127.0.0.1 Http"),
    ] {
        let whole = [&header, REQUEST.as_bytes()].concat();
        for length in [1, 7, whole.len()] {
            let mut wire = Wire::connect(running.address).await;
            wire.write_pieces(whole.chunks(length)).await;
            let answer = wire.read_to_end().await;
            assert!(answer.ends_with(expected), "{expected} {length}: {answer}");
        }
    }
    running.stopped().await;
}

#[tokio::test]
async fn the_header_stands_before_the_handshake() {
    let authority = Authority::new();
    let transport = Transport::Tls(vec![authority.sign(&["shop.example"])]);
    let running = Running::start(Caller, Setup { transport, ..required() });
    for (header, expected) in [(LINE.into(), "203.0.113.9 Https"), (block(), "2001:db8::9 Https")] {
        let mut socket = soon(TcpStream::connect(running.address)).await.unwrap();
        soon(socket.write_all(&header)).await.unwrap();
        let connector = TlsConnector::from(Arc::new(authority.client(&[b"http/1.1"])));
        let name = ServerName::try_from("shop.example").unwrap();
        let mut socket = soon(connector.connect(name, socket)).await.unwrap();
        soon(socket.write_all(REQUEST.as_bytes())).await.unwrap();
        let mut answer = String::new();
        soon(socket.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.ends_with(expected), "{expected}: {answer}");
    }
    running.stopped().await;
}

#[tokio::test]
async fn without_a_header_or_with_a_broken_one_nobody_is_served() {
    let running = Running::start(Caller, required());
    let v2 = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0b12345678901";
    let long = format!("PROXY UNKNOWN {}", "x".repeat(200));
    for (start, reason) in [
        ("GET / HTTP/1.1", "proxy-protocol-absent"),
        ("PROXY TCP4 203.0.113.9 10.0.0.2 52953\r\n", "proxy-protocol-malformed"),
        (v2, "proxy-protocol-malformed"),
        (&long, "proxy-protocol-too-long"),
    ] {
        let before = refused(&running, reason);
        let mut wire = Wire::connect(running.address).await;
        wire.write(start).await;
        assert_eq!(wire.read_to_end().await, "", "{start:?}");
        assert_eq!(refused(&running, reason), before + 1, "{start:?}");
    }
    // Health checks that only connect are no refusal.
    drop(Wire::connect(running.address).await);
    assert!(!running.metrics.render().contains("gone"));
}

#[tokio::test]
async fn a_header_that_does_not_come_in_time_is_not_waited_for() {
    let mut setup = required();
    setup.timeouts.request_header = Duration::from_millis(50);
    let running = Running::start(Caller, setup);
    for start in ["", "PROXY TCP4 203.0.113.9"] {
        let mut wire = Wire::connect(running.address).await;
        wire.write(start).await;
        assert_eq!(wire.read_to_end().await, "", "{start:?}");
    }
    assert_eq!(refused(&running, "proxy-protocol-late"), 2);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_header() {
    let running = Running::start(Caller, required());
    let mut wire = Wire::connect(running.address).await;
    wire.write("PROXY").await;
    running.begin_to_stop();
    assert_eq!(wire.read_to_end().await, "");
    running.stopped().await;
}

#[tokio::test]
async fn connections_are_counted_by_the_address_that_the_header_names() {
    let mut setup = required();
    setup.limits.connections_per_address = 1;
    let running = Running::start(Caller, setup);
    let kept = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let mut first = Wire::connect(running.address).await;
    first.write(format!("{LINE}{kept}")).await;
    first.read_head().await;
    let mut same = Wire::connect(running.address).await;
    same.write(format!("{LINE}{kept}")).await;
    assert_eq!(same.read_to_end().await, "");
    let mut other = Wire::connect(running.address).await;
    other.write(format!("{}{kept}", LINE.replace("203.0.113.9", "203.0.113.10"))).await;
    assert!(other.read_head().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn headers_of_the_request_count_only_where_the_named_address_is_a_trusted_proxy() {
    let upstream = Upstream::page("text/plain", "hello").await;
    let listen =
        "listen: [{ address: 127.0.0.1:0, proxy_protocol: true }]\ntrusted_proxies: [127.0.0.1, 10.1.0.0/16]";
    let whole = Whole::start_with(listen, &site(&upstream.url(), "")).await;
    for (named, expected) in [("203.0.113.9", "203.0.113.9"), ("10.1.0.1", "198.51.100.7")] {
        let mut wire = Wire::connect(whole.address()).await;
        let request = format!(
            "GET /{named} HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: 198.51.100.7\r\nConnection: close\r\n\r\n"
        );
        wire.write(format!("{}{request}", LINE.replace("203.0.113.9", named))).await;
        assert!(wire.read_to_end().await.ends_with("hello"));
        let seen = upstream.seen().pop().unwrap();
        let forwarded = seen.header("x-forwarded-for").unwrap();
        assert_eq!(forwarded.split(',').next(), Some(expected), "{named}: {forwarded}");
    }
    whole.server.stop().await;
}
