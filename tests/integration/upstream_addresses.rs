//! Where upstreams can be: behind names that move, behind Unix sockets, behind TLS that asks who is there; and
//! how many connections they take.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use consentry::filter::Body;
use consentry::filter::body::full;
use consentry::upstream::{
    Addresses, Names, Protocol, Resolver, Settings, Target, Timeouts, Tls, Trust, Upstreams,
};
use consentry::visit::ClientAddress;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, unbounded_channel};

use crate::support::browser::Browser;
use crate::support::certificates::Authority;
use crate::support::forward::{Forward, TIMEOUTS, target, weighted};
use crate::support::running::{Running, Setup};
use crate::support::soon;
use crate::support::upstream::{Seen, Upstream, piecewise};
use crate::support::whole::{LISTEN, Whole, site};
use crate::support::wire::{Script, Wire};

fn only(target: &Target) -> Settings {
    Settings::new(vec![weighted(target, 1)], None, ClientAddress::Full)
}

fn browser(running: &Running) -> Browser {
    Browser::clear(running.address, "shop.example")
}

fn saying(text: &'static str) -> impl Fn(&Seen) -> Response<Body> + Send + Sync + 'static {
    move |_| Response::new(full(text))
}

/// A name whose addresses the test chooses.
#[derive(Clone, Default)]
struct Phonebook(Arc<Mutex<Vec<SocketAddr>>>);

impl Phonebook {
    fn says(&self, addresses: &[SocketAddr]) {
        *self.0.lock().unwrap() = addresses.to_vec();
    }
}

impl Resolver for Phonebook {
    fn look_up(&self, host: &str, port: u16) -> Addresses {
        assert_eq!((host, port), ("app.internal", 3000));
        let addresses = self.0.lock().unwrap().clone();
        Box::pin(async move {
            if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
        })
    }
}

fn named(phonebook: &Phonebook, connection_life: Duration) -> Running {
    let names = Names::asking(Arc::new(phonebook.clone())).with_connection_life(connection_life);
    let to = only(&target("http://app.internal:3000"));
    Running::start(Forward::through(Upstreams::following(TIMEOUTS, names), to), Setup::default())
}

async fn nowhere() -> SocketAddr {
    Script::bind().await.url().trim_start_matches("http://").parse().unwrap()
}

#[tokio::test]
async fn every_address_behind_a_name_is_tried() {
    let (phonebook, upstream) = (Phonebook::default(), Upstream::answering(saying("hello")).await);
    let running = named(&phonebook, Duration::from_secs(60));
    phonebook.says(&[nowhere().await, nowhere().await, upstream.address]);
    let answer = browser(&running).send(Request::post("/").body(full("whole")).unwrap()).await;
    assert_eq!((answer.text().as_str(), answer.header("x-served")), ("hello", Some("app.internal:3000")));
    assert_eq!(&upstream.only().body[..], b"whole");
    phonebook.says(&[]);
    drop(upstream);
    assert_eq!(browser(&running).get("/").await.header("x-failure"), Some("connect"));
}

#[tokio::test]
async fn a_name_that_moves_is_followed_by_the_next_connection() {
    let phonebook = Phonebook::default();
    let running = named(&phonebook, Duration::from_secs(60));
    let before = Upstream::answering(saying("before")).await;
    phonebook.says(&[before.address]);
    assert_eq!(browser(&running).get("/").await.text(), "before");
    let after = Upstream::answering(saying("after")).await;
    phonebook.says(&[after.address]);
    drop(before);
    assert_eq!(browser(&running).get("/").await.text(), "after");
}

#[tokio::test]
async fn a_connection_that_is_never_idle_does_not_hold_on_to_an_old_address() {
    let phonebook = Phonebook::default();
    let running = named(&phonebook, Duration::from_millis(20));
    let (before, after) =
        (Upstream::answering(saying("before")).await, Upstream::answering(saying("after")).await);
    phonebook.says(&[before.address]);
    assert_eq!(browser(&running).get("/").await.text(), "before");
    phonebook.says(&[after.address]);
    soon(async { while browser(&running).get("/").await.text() != "after" {} }).await;
}

#[tokio::test]
async fn a_unix_socket_is_an_upstream_relative_to_the_file_that_names_it() {
    let whole = Whole::start(&site("unix:../../app.sock", "")).await;
    let root = whole.settings().parent().unwrap().parent().unwrap().to_owned();
    let mut visitor = whole.visitor();
    assert_eq!(visitor.get("/data").await.status, StatusCode::BAD_GATEWAY);
    let upstream = Upstream::answering_behind(&root.join("app.sock"), saying("hello"));
    for _ in 0..2 {
        assert_eq!(visitor.get("/data?a=b").await.text(), "hello");
    }
    let seen = upstream.seen();
    assert_eq!(
        (seen[0].target.as_str(), seen[0].header("host").as_deref()),
        ("/data?a=b", Some("www.example.se"))
    );
    // It is kept for the next request as any other connection is.
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn two_unix_sockets_are_two_upstreams() {
    let folder = tempfile::tempdir().unwrap();
    let upstreams = ["one", "two"].map(|name| {
        Upstream::answering_behind(&folder.path().join(name), move |_| Response::new(full(name)))
    });
    let targets = upstreams.iter().map(|upstream| weighted(&target(&upstream.url()), 1)).collect();
    let to = Settings::new(targets, None, ClientAddress::Full);
    let running = Running::start(Forward::through(Upstreams::new(TIMEOUTS), to), Setup::default());
    let mut answers = Vec::new();
    for _ in 0..2 {
        let answer = browser(&running).get("/").await;
        assert!(answer.header("x-served").unwrap().starts_with("unix:/"));
        answers.push(answer.text());
    }
    assert_eq!(answers, ["one", "two"]);
}

#[tokio::test]
async fn an_upstream_that_asks_for_a_certificate_gets_that_of_its_site() {
    let authority = Authority::new();
    let friends = authority.server_among_friends(&["127.0.0.1"]);
    let upstream = Upstream::answering_with(friends, saying("hello")).await;
    let own = authority.sign(&["proxy.example"]);
    for (identity, is_served) in [(Some(own), true), (None, false)] {
        let mut target = target(&upstream.url());
        target.protocol = Protocol::Tls(Tls { trust: Trust::Authority(authority.file()), identity });
        let running =
            Running::start(Forward::through(Upstreams::new(TIMEOUTS), only(&target)), Setup::default());
        assert_eq!(browser(&running).get("/").await.status.is_success(), is_served);
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn what_was_connected_before_certificates_are_read_again_takes_no_new_request() {
    let authority = Authority::new();
    let (sender, mut open) = unbounded_channel();
    let hold = move |_: &Seen| {
        let (pieces, body) = piecewise();
        sender.send(pieces).unwrap();
        Response::new(body)
    };
    for protocol in [b"h2".as_slice(), b"http/1.1"] {
        let mut server = authority.server(&["127.0.0.1"]);
        server.alpn_protocols = vec![protocol.to_vec()];
        let upstream = Upstream::answering_with(server, hold.clone()).await;
        let mut target = target(&upstream.url());
        target.protocol = Protocol::Tls(Tls { trust: Trust::Authority(authority.file()), identity: None });
        let forward = Forward::through(Upstreams::new(TIMEOUTS), only(&target));
        let upstreams = Arc::clone(&forward.upstreams);
        let running = Running::start(forward, Setup::default());
        for accepted in 1..=3 {
            let (answer, _) = browser(&running).open(Request::get("/").body(full("")).unwrap()).await;
            let pieces = open.recv().await.unwrap();
            assert_eq!(upstream.accepted(), accepted);
            upstreams.forget_certificates();
            // What is under way goes on.
            pieces.send("piece".into()).await.unwrap();
            drop(pieces);
            assert_eq!(soon(answer.into_body().collect()).await.unwrap().to_bytes(), "piece");
        }
    }
}

/// An upstream whose answers end when the test drops what it could write them with.
async fn holding() -> (Upstream, UnboundedReceiver<Sender<bytes::Bytes>>) {
    let (sender, open) = unbounded_channel();
    let hold = move |_: &Seen| {
        let (pieces, body) = piecewise();
        sender.send(pieces).unwrap();
        Response::new(body)
    };
    (Upstream::answering(hold).await, open)
}

fn limited(url: &str, connections: usize, connect: Duration) -> (Running, Arc<Upstreams>) {
    let to = only(&Target { connections, ..target(url) });
    let forward = Forward::through(Upstreams::new(Timeouts { connect, ..TIMEOUTS }), to);
    let upstreams = Arc::clone(&forward.upstreams);
    (Running::start(forward, Setup::default()), upstreams)
}

#[tokio::test]
async fn a_request_beyond_the_limit_waits_for_a_connection() {
    let (upstream, mut open) = holding().await;
    let (running, upstreams) = limited(&upstream.url(), 1, Duration::from_secs(20));
    let (mut first, mut second) = (browser(&running), browser(&running));
    let (answer, _) = first.open(Request::get("/1").body(full("")).unwrap()).await;
    let pieces = open.recv().await.unwrap();
    let waiting = second.open(Request::get("/2").body(full("")).unwrap());
    let release = async {
        soon(async {
            while upstreams.states()[0].requests < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!((upstream.seen().len(), upstreams.states()[0].connections), (1, 1));
        drop((answer, pieces));
    };
    tokio::join!(waiting, release);
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn a_request_that_waits_in_vain_is_told_that_all_are_busy() {
    let (upstream, mut open) = holding().await;
    let (running, upstreams) = limited(&upstream.url(), 1, Duration::from_millis(500));
    let (_answer, _) = browser(&running).open(Request::get("/1").body(full("")).unwrap()).await;
    let _pieces = open.recv().await.unwrap();
    for request in [Request::get("/2").body(full("")), Request::post("/2").body(full("a form"))] {
        let answer = browser(&running).send(request.unwrap()).await;
        assert_eq!(
            (answer.status, answer.header("x-failure")),
            (StatusCode::SERVICE_UNAVAILABLE, Some("busy"))
        );
    }
    // That says nothing against its health.
    assert!(upstreams.states()[0].is_healthy);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn connections_never_exceed_the_limit_and_are_all_used_again() {
    for connections in [1, 3] {
        let upstream = Upstream::answering(saying("hello")).await;
        let (running, _) = limited(&upstream.url(), connections, Duration::from_secs(20));
        let visits = (0..30).map(async |_| browser(&running).get("/").await.text());
        let answers = futures_util::future::join_all(visits).await;
        assert!(answers.iter().all(|answer| answer == "hello"));
        assert!(upstream.accepted() <= connections, "{} for {connections}", upstream.accepted());
    }
}

#[tokio::test]
async fn requests_that_wait_share_a_connection_that_turns_out_to_speak_http2() {
    let upstream = Upstream::answering(saying("hello")).await;
    let (running, _) = limited(&upstream.h2c(), 1, Duration::from_secs(20));
    let visits = (0..30).map(async |_| browser(&running).get("/").await.text());
    let answers = futures_util::future::join_all(visits).await;
    assert!(answers.iter().all(|answer| answer == "hello"));
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn a_tunnel_takes_a_connection_to_its_end() {
    const ASK: &str = "GET /chat HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let script = Script::bind().await;
    let (running, upstreams) = limited(&script.url(), 1, Duration::from_secs(20));
    let mut tunnel = Wire::connect(running.address).await;
    tunnel.write(ASK).await;
    let mut wire = script.accept().await;
    wire.read_head().await;
    wire.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi")
        .await;
    tunnel.read_until("hi").await;
    assert_eq!(upstreams.states()[0].requests, 1);
    let mut visitor = browser(&running);
    let upstream = async {
        soon(async {
            while upstreams.states()[0].requests < 2 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        drop(tunnel);
        let mut next = script.accept().await;
        next.read_head().await;
        next.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await;
        next
    };
    let (answer, _next) = tokio::join!(visitor.get("/"), upstream);
    assert_eq!(answer.text(), "hello");
}

#[tokio::test]
async fn a_tunnel_gets_the_seat_of_a_shared_connection_that_nobody_uses() {
    let upstream = Upstream::answering(saying("hello")).await;
    let (running, upstreams) = limited(&upstream.h2c(), 1, Duration::from_secs(20));
    assert_eq!(browser(&running).get("/").await.text(), "hello");
    assert_eq!(upstreams.states()[0].connections, 1);
    let mut tunnel = Wire::connect(running.address).await;
    tunnel
        .write(
            "GET /chat HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    // The upstream knows no WebSocket; what matters is that it was asked, over HTTP/1.1.
    assert!(tunnel.read_head().await.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(upstream.seen().last().unwrap().version, http::Version::HTTP_11);
    assert_eq!(upstream.accepted(), 2);
}

#[tokio::test]
async fn the_visitor_of_a_busy_upstream_is_asked_to_come_back() {
    let (upstream, mut open) = holding().await;
    let site = site(&format!("{{ url: \"{}\", connections: 1 }}", upstream.url()), "");
    let whole = Whole::start_with(&format!("{LISTEN}\ntimeouts: {{ upstream_connect: 1s }}"), &site).await;
    let (_answer, _) = whole.visitor().open(Request::get("/1").body(full("")).unwrap()).await;
    let _pieces = open.recv().await.unwrap();
    let answer = whole.visitor().get("/2").await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, Some("1")));
}
