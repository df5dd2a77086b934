//! What a client may take of a listener: TLS with certificates by name, time, size, number; and how it stops.

use std::sync::Arc;
use std::time::Duration;

use consentry::filter::Body;
use consentry::filter::body::{full, stream};
use consentry::listener::{App, Peer, Transport};
use consentry::visit::Scheme;
use http::{Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;

use crate::support::browser::{Browser, Speaks};
use crate::support::certificates::Authority;
use crate::support::forward::Forward;
use crate::support::running::{Running, Setup};
use crate::support::soon;
use crate::support::upstream::{Upstream, piecewise};
use crate::support::wire::Wire;

const SHORT: Duration = Duration::from_millis(50);

/// Says who called, and panics where it is asked to.
#[derive(Clone)]
struct Mirror;

impl App for Mirror {
    async fn answer(&self, request: Request<Body>, peer: Peer) -> Response<Body> {
        match request.uri().path() {
            "/panic" => panic!("as asked"),
            "/panic-later" => {
                let body = request.into_body().map_frame(|_| panic!("as asked"));
                return Response::new(stream(body));
            }
            _ => {}
        }
        let said = format!("{:?} {:?} {:?}", peer.scheme, peer.server_name, request.version());
        match request.into_body().collect().await {
            Ok(body) => Response::new(full(format!("{said} {}", body.to_bytes().len()))),
            Err(error) => Response::builder().status(400).body(full(error.to_string())).unwrap(),
        }
    }
}

/// Takes what it is given, and answers when the test lets it.
#[derive(Clone)]
struct Held {
    arrived: mpsc::Sender<()>,
    go: std::sync::Arc<tokio::sync::Notify>,
}

impl App for Held {
    async fn answer(&self, _request: Request<Body>, _peer: Peer) -> Response<Body> {
        self.arrived.send(()).await.unwrap();
        self.go.notified().await;
        Response::new(full("at last"))
    }
}

fn held() -> (Held, mpsc::Receiver<()>) {
    let (arrived, receiver) = mpsc::channel(8);
    (Held { arrived, go: std::sync::Arc::default() }, receiver)
}

fn over_tls(authority: &Authority, names: &[&[&str]]) -> Setup {
    let files = names.iter().map(|names| authority.sign(names)).collect();
    Setup { transport: Transport::Tls(files), ..Setup::default() }
}

/// Talks as clients do who think for a while: before they ask, between two requests, and within one.
async fn think_between_requests(mut socket: impl AsyncRead + AsyncWrite + Unpin) {
    const PAUSE: Duration = Duration::from_millis(1_300);
    let request = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let (first, second, third) = (&request[..9], &request[9..20], &request[20..]);
    for pieces in [&[request][..], &[request], &[&format!("{request}{first}")], &[second, third]] {
        for piece in pieces {
            tokio::time::sleep(PAUSE).await;
            socket.write_all(piece.as_bytes()).await.unwrap();
            socket.flush().await.unwrap();
        }
        let mut answer = String::new();
        while !answer.ends_with(" HTTP/1.1 0") {
            let mut piece = [0; 1024];
            let length = soon(socket.read(&mut piece)).await.unwrap();
            assert_ne!(length, 0, "{answer}");
            answer.push_str(std::str::from_utf8(&piece[..length]).unwrap());
        }
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn connections_that_nobody_used_for_a_while_go_on_as_if_nothing_had_been() {
    let authority = Authority::new();
    let clear = Running::start(Mirror, Setup::default());
    let tls = Running::start(Mirror, over_tls(&authority, &[&["shop.example"]]));
    let connector = TlsConnector::from(Arc::new(authority.client(&[])));
    let name = ServerName::try_from("shop.example").unwrap();
    let encrypted = connector.connect(name, TcpStream::connect(tls.address).await.unwrap()).await.unwrap();
    let plain = TcpStream::connect(clear.address).await.unwrap();
    tokio::join!(think_between_requests(plain), think_between_requests(encrypted));
    tokio::join!(clear.stopped(), tls.stopped());
}

#[tokio::test]
async fn the_certificate_is_chosen_by_name_over_http1_and_http2() {
    let authority = Authority::new();
    let setup = over_tls(&authority, &[&["first.example"], &["www.shop.example"], &["*.shop.example"]]);
    let running = Running::start(Mirror, setup);
    for (speaks, version) in [(Speaks::Http1, Version::HTTP_11), (Speaks::Http2, Version::HTTP_2)] {
        // The client verifies the certificate, so a wrong one would end here.
        for name in ["first.example", "www.shop.example", "img.shop.example"] {
            let answer = Browser::tls(running.address, name, &authority, speaks).get("/").await;
            assert_eq!((answer.status, answer.version), (StatusCode::OK, version));
            assert_eq!(answer.text(), format!("{:?} Some({name:?}) {version:?} 0", Scheme::Https));
        }
    }
    running.stopped().await;
}

#[tokio::test]
async fn replaced_certificates_are_shown_from_the_next_connection_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let running = Running::start(Mirror, over_tls(&old, &[&["shop.example"]]));
    let certificates = running.certificates.clone().unwrap();
    assert!(certificates.replace(&[new.sign(&["shop.example"])]).is_empty());
    let answer = Browser::tls(running.address, "shop.example", &new, Speaks::Http2).get("/").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn who_does_not_end_the_head_in_time_is_closed() {
    let mut setup = Setup::default();
    setup.timeouts.request_header = SHORT;
    let running = Running::start(Mirror, setup);
    for start in ["G", "GET / HTTP/1.1\r\nHost: a.example\r\nX-Slow: ", "P", "PRI * HT"] {
        let mut wire = Wire::connect(running.address).await;
        wire.write(start).await;
        assert_eq!(wire.read_to_end().await, "", "{start:?}");
    }
}

#[tokio::test]
async fn a_quiet_connection_outlives_the_time_for_a_head_but_not_the_time_for_silence() {
    let mut setup = Setup::default();
    setup.timeouts.request_header = SHORT;
    setup.timeouts.idle = SHORT * 10;
    let running = Running::start(Mirror, setup);
    let mut wire = Wire::connect(running.address).await;
    let start = std::time::Instant::now();
    wire.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 200 OK"));
    wire.read_to_end().await;
    assert!(start.elapsed() >= SHORT * 10);
}

#[tokio::test]
async fn a_handshake_that_never_begins_is_closed() {
    let authority = Authority::new();
    let mut setup = over_tls(&authority, &[&["shop.example"]]);
    setup.timeouts.tls_handshake = SHORT;
    let running = Running::start(Mirror, setup);
    assert_eq!(Wire::connect(running.address).await.read_to_end().await, "");
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_closed() {
    let mut setup = Setup::default();
    setup.timeouts.idle = SHORT;
    setup.timeouts.request_header = SHORT;
    let (sender, body) = piecewise();
    let upstream = std::sync::Mutex::new(Some(body));
    let running = Running::start(Once(std::sync::Arc::new(upstream)), setup);
    let mut wire = Wire::connect(running.address).await;
    wire.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    // It ends when the body is dropped with its connection: the client reads nothing at all.
    let piece = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    soon(async { while sender.send(piece.clone()).await.is_ok() {} }).await;
    let is_counted =
        || running.metrics.render().contains("consentry_refused_total{reason=\"slow-read\"} 1\n");
    soon(async {
        while !is_counted() {
            tokio::task::yield_now().await
        }
    })
    .await;
}

/// Answers once, with this body.
#[derive(Clone)]
struct Once(std::sync::Arc<std::sync::Mutex<Option<Body>>>);

impl App for Once {
    async fn answer(&self, _request: Request<Body>, _peer: Peer) -> Response<Body> {
        Response::new(self.0.lock().unwrap().take().unwrap())
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let mut setup = Setup::default();
    setup.limits.request_header = 8 * 1024;
    let running = Running::start(Mirror, setup);
    let mut wire = Wire::connect(running.address).await;
    wire.write(format!("GET / HTTP/1.1\r\nHost: a.example\r\nX-Long: {}\r\n\r\n", "x".repeat(20_000))).await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn a_body_is_refused_where_it_is_too_large_whether_it_says_so_or_not() {
    let upstream = Upstream::page("text/plain", "thanks").await;
    let mut setup = Setup::default();
    setup.limits.request_body = 10;
    let running = Running::start(Forward::to(&[&upstream.url()]), setup);
    for (body, status) in [
        ("Content-Length: 10\r\n\r\n0123456789", "HTTP/1.1 200"),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n5\r\n01234\r\n0\r\n\r\n", "HTTP/1.1 200"),
        ("Content-Length: 11\r\nExpect: 100-continue\r\n\r\n", "HTTP/1.1 413"),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n6\r\n012345\r\n0\r\n\r\n", "HTTP/1.1 413"),
    ] {
        let mut wire = Wire::connect(running.address).await;
        wire.write(format!("POST / HTTP/1.1\r\nHost: a.example\r\n{body}")).await;
        let head = wire.read_head().await;
        assert!(head.starts_with(status), "{body:?}: {head}");
    }
    assert_eq!(upstream.seen().len(), 2);
}

/// As simple clients do: they write all they have before they read.
#[tokio::test]
async fn who_is_refused_in_the_middle_of_sending_gets_the_answer_and_may_ask_again() {
    const SIZE: usize = 8 << 20;
    let mut setup = Setup::default();
    setup.limits.request_body = 10;
    let running = Running::start(Mirror, setup);
    let body = vec![b'a'; SIZE];
    for _ in 0..10 {
        let mut wire = Wire::connect(running.address).await;
        wire.write(format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {SIZE}\r\n\r\n")).await;
        wire.write(&body).await;
        wire.write("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await;
        let answers = wire.read_to_end().await;
        assert!(answers.starts_with("HTTP/1.1 400") && answers.contains("HTTP/1.1 200"), "{answers}");

        let mut wire = Wire::connect(running.address).await;
        wire.write("GET / HTTP/1.1\r\nHost: a.example\r\nX-Long: ").await;
        wire.write(&body).await;
        assert!(wire.read_head().await.starts_with("HTTP/1.1 431"));
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_ends_its_request() {
    let mut setup = Setup::default();
    setup.timeouts.request_body = SHORT;
    let running = Running::start(Mirror, setup);
    let mut wire = Wire::connect(running.address).await;
    wire.write("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\n01234").await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 400"));
    assert_eq!(wire.read_to_end().await, "the request's body did not come in time");
}

#[tokio::test]
async fn a_panic_ends_its_own_request_and_is_counted() {
    let authority = Authority::new();
    let running = Running::start(Mirror, over_tls(&authority, &[&["shop.example"]]));
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let mut browser = Browser::tls(running.address, "shop.example", &authority, speaks);
        assert_eq!(browser.get("/panic").await.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(browser.get("/").await.status, StatusCode::OK);
    }
    assert_eq!(running.metrics.panics.get(), 2);
}

#[tokio::test]
async fn a_panic_in_the_middle_of_an_answer_cuts_it_off() {
    let running = Running::start(Mirror, Setup::default());
    let mut wire = Wire::connect(running.address).await;
    wire.write("POST /panic-later HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n").await;
    assert!(!wire.read_to_end().await.ends_with("0\r\n\r\n"));
    assert_eq!(running.metrics.panics.get(), 1);
}

#[tokio::test]
async fn one_connection_too_many_waits_for_the_others() {
    let mut setup = Setup::default();
    setup.limits.connections = 1;
    let running = Running::start(Mirror, setup);
    let mut first = Wire::connect(running.address).await;
    first.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    first.read_head().await;
    assert_eq!(running.metrics.connections.get(), 1);
    let mut second = Wire::connect(running.address).await;
    second.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    drop(first);
    assert!(second.read_head().await.starts_with("HTTP/1.1 200"));
    assert_eq!(running.metrics.connections.get(), 1);
}

#[tokio::test]
async fn an_address_with_too_many_connections_gets_no_more() {
    let mut setup = Setup::default();
    setup.limits.connections_per_address = 1;
    let running = Running::start(Mirror, setup);
    let mut first = Wire::connect(running.address).await;
    first.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    first.read_head().await;
    assert_eq!(Wire::connect(running.address).await.read_to_end().await, "");
    first.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    first.read_head().await;
}

#[tokio::test]
async fn a_stop_lets_the_request_under_way_end_and_takes_no_other() {
    let (app, mut arrived) = held();
    let go = std::sync::Arc::clone(&app.go);
    let running = Running::start(app, Setup::default());
    let mut busy = Wire::connect(running.address).await;
    busy.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    soon(arrived.recv()).await.unwrap();
    let mut idle = Wire::connect(running.address).await;
    running.begin_to_stop();
    assert_eq!(idle.read_to_end().await, "");
    go.notify_one();
    assert!(busy.read_to_end().await.ends_with("at last"));
    let address = running.address;
    running.stopped().await;
    soon(tokio::net::TcpStream::connect(address)).await.unwrap_err();
}

#[tokio::test]
async fn who_is_connected_when_it_stops_is_answered_once_more() {
    let running = Running::start(Mirror, Setup::default());
    let request = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
    let mut fresh = Wire::connect(running.address).await;
    let mut kept = Wire::connect(running.address).await;
    kept.write(request).await;
    assert!(!kept.read_head().await.contains("connection: close"));
    running.begin_to_stop();
    for wire in [&mut fresh, &mut kept] {
        wire.write(request).await;
    }
    for wire in [&mut fresh, &mut kept] {
        let rest = wire.read_to_end().await;
        assert!(rest.contains("HTTP/1.1 200 OK") && rest.contains("connection: close"), "{rest}");
    }
    running.stopped().await;
}

#[tokio::test]
async fn what_a_client_does_wrong_during_a_stop_is_counted_too() {
    let running = Running::start(Mirror, Setup::default());
    let mut wire = Wire::connect(running.address).await;
    wire.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    wire.read_head().await;
    running.begin_to_stop();
    wire.write("GET / HTTP/1.1\r\nno header\r\n\r\n").await;
    assert!(wire.read_to_end().await.contains("HTTP/1.1 400"));
    let metrics = std::sync::Arc::clone(&running.metrics);
    running.stopped().await;
    assert!(metrics.render().contains("consentry_refused_total{reason=\"malformed\"} 1\n"));
}

#[tokio::test]
async fn a_stop_waits_no_longer_than_it_may() {
    let (app, mut arrived) = held();
    let mut setup = Setup::default();
    setup.timeouts.drain = SHORT;
    let running = Running::start(app, setup);
    let mut busy = Wire::connect(running.address).await;
    busy.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    soon(arrived.recv()).await.unwrap();
    running.stopped().await;
    assert_eq!(busy.read_to_end().await, "");
}
