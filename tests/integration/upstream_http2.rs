//! Upstreams that speak HTTP/2: by agreement over TLS, or by prior knowledge in clear text.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use consentry::filter::Body;
use consentry::filter::body::{full, stream};
use consentry::upstream::{Names, Settings, Target, Trust, Upstreams};
use consentry::visit::ClientAddress;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderName, Request, Response, Version};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::Message;

use crate::support::browser::{Browser, Speaks};
use crate::support::certificates::Authority;
use crate::support::forward::{Forward, TIMEOUTS, target, trusting, weighted};
use crate::support::running::{Running, Setup};
use crate::support::soon;
use crate::support::upstream::{Seen, Upstream, piecewise};
use crate::support::wire::Wire;

/// What an upstream does that speaks HTTP/2 and nothing else.
const H2: &[&[u8]] = &[b"h2"];
/// What most do.
const BOTH: &[&[u8]] = &[b"h2", b"http/1.1"];

fn server(authority: &Authority, protocols: &[&[u8]]) -> rustls::ServerConfig {
    let mut config = authority.server(&["127.0.0.1"]);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

fn to(authority: &Authority, url: &str) -> Forward {
    let target = trusting(target(url), Trust::Authority(authority.file()));
    let settings = Settings::new(vec![weighted(&target, 1)], None, ClientAddress::Full);
    Forward::through(Upstreams::new(TIMEOUTS), settings)
}

/// An upstream of each kind, and the proxy before it.
async fn both_kinds<F>(authority: &Authority, answer: F) -> [(Upstream, Running); 2]
where
    F: Fn(&Seen) -> Response<Body> + Clone + Send + Sync + 'static,
{
    let secure = Upstream::answering_with(server(authority, H2), answer.clone()).await;
    let clear = Upstream::answering(answer).await;
    [(secure.url(), secure), (clear.h2c(), clear)].map(|(url, upstream)| {
        let transport = consentry::listener::Transport::Tls(vec![authority.sign(&["shop.example"])]);
        (upstream, Running::start(to(authority, &url), Setup { transport, ..Setup::default() }))
    })
}

fn visitors(authority: &Authority, running: &Running) -> [Browser; 2] {
    [Speaks::Http1, Speaks::Http2]
        .map(|speaks| Browser::tls(running.address, "shop.example", authority, speaks))
}

#[tokio::test]
async fn host_cookies_and_target_arrive_and_nothing_of_the_connection() {
    let authority = Authority::new();
    let answer = |_: &Seen| Response::builder().header("x-end-to-end", "1").body(full("hello")).unwrap();
    for (upstream, running) in both_kinds(&authority, answer).await {
        for mut visitor in visitors(&authority, &running) {
            visitor.set_cookie("b", "2");
            let request = Request::post("/a/%2e%2e/b//c?d=%20&e")
                .header("cookie", "a=1")
                .header("te", "trailers")
                .body(full("x=1"))
                .unwrap();
            let answer = visitor.send(request).await;
            assert_eq!((answer.text().as_str(), answer.header("x-end-to-end")), ("hello", Some("1")));
        }
        for seen in upstream.seen() {
            assert_eq!(seen.version, Version::HTTP_2);
            let scheme = upstream.url().split_once(':').unwrap().0.to_owned();
            assert_eq!(seen.target, format!("{scheme}://shop.example/a/%2e%2e/b//c?d=%20&e"));
            assert_eq!(&seen.body[..], b"x=1");
            for (name, expected) in [
                ("cookie", Some("a=1; b=2")),
                ("te", Some("trailers")),
                ("content-length", Some("3")),
                ("x-forwarded-host", Some("shop.example")),
                ("x-forwarded-proto", Some("https")),
                ("host", None),
                ("connection", None),
            ] {
                assert_eq!(seen.header(name).as_deref(), expected, "{name}");
            }
        }
        assert_eq!(upstream.seen().len(), 2);
    }
}

#[tokio::test]
async fn what_belongs_to_one_http1_connection_does_not_reach_http2() {
    let upstream = Upstream::answering(|_| Response::new(full("hello"))).await;
    let running = Running::start(to(&Authority::new(), &upstream.h2c()), Setup::default());
    let mut wire = Wire::connect(running.address).await;
    wire.write(
        "GET / HTTP/1.1\r\nHost: Shop.example:81\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
         TE: gzip\r\nUpgrade: foo\r\nProxy-Connection: x\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
    )
    .await;
    wire.read_until("hello").await;
    let seen = upstream.only();
    assert_eq!(seen.target, "http://Shop.example:81/");
    for gone in ["connection", "x-hop", "keep-alive", "te", "upgrade", "proxy-connection", "host"] {
        assert_eq!(seen.header(gone), None, "{gone}");
    }
    assert_eq!(seen.header("cookie").as_deref(), Some("a=1; b=2"));
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let authority = Authority::new();
    let frames = |text: &'static str| {
        let sum = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), "7".parse().unwrap())]);
        let frames = [Ok::<_, Infallible>(Frame::data(text.into())), Ok(Frame::trailers(sum))];
        stream(StreamBody::new(futures_util::stream::iter(frames)))
    };
    let answer =
        move |_: &Seen| Response::builder().header("trailer", "x-sum").body(frames("answer")).unwrap();
    for (upstream, running) in both_kinds(&authority, answer).await {
        for mut visitor in visitors(&authority, &running) {
            let request = Request::post("/")
                .header("te", "trailers")
                .header("trailer", "x-sum")
                .body(frames("question"));
            let answer = visitor.send(request.unwrap()).await;
            assert_eq!(
                (answer.text().as_str(), &answer.trailers.unwrap()["x-sum"]),
                ("answer", &"7".parse().unwrap())
            );
        }
        for seen in upstream.seen() {
            assert_eq!(
                (&seen.body[..], &seen.trailers.unwrap()["x-sum"]),
                (&b"question"[..], &"7".parse().unwrap())
            );
        }
    }
}

#[tokio::test]
async fn a_large_upload_and_a_large_download_arrive_whole() {
    const SIZE: usize = 8 << 20;
    let authority = Authority::new();
    let body: Bytes = (0..SIZE).map(|index| (index % 251) as u8).collect();
    for (_upstream, running) in both_kinds(&authority, |seen| Response::new(full(seen.body.clone()))).await {
        for mut visitor in visitors(&authority, &running) {
            let answer = visitor.send(Request::post("/").body(full(body.clone())).unwrap()).await;
            assert!(answer.bytes == body);
        }
    }
}

#[tokio::test]
async fn many_requests_at_a_time_share_one_connection() {
    let authority = Authority::new();
    let (sender, mut open) = tokio::sync::mpsc::unbounded_channel();
    let hold = move |_: &Seen| {
        let (pieces, body) = piecewise();
        sender.send(pieces).unwrap();
        Response::new(body)
    };
    for (upstream, running) in both_kinds(&authority, hold).await {
        let visits = (0..20).map(async |_| {
            let [_, mut visitor] = visitors(&authority, &running);
            visitor.open(Request::get("/").body(full("")).unwrap()).await
        });
        let answers = futures_util::future::join_all(visits).await;
        assert_eq!((upstream.seen().len(), upstream.accepted()), (20, 1));
        for (answer, _) in answers {
            let pieces = open.recv().await.unwrap();
            pieces.send("piece".into()).await.unwrap();
            drop(pieces);
            drop(answer);
        }
    }
}

#[tokio::test]
async fn a_visitor_who_leaves_makes_room_and_disturbs_nobody() {
    let (sender, mut open) = tokio::sync::mpsc::unbounded_channel();
    let hold = move |_: &Seen| {
        let (pieces, body) = piecewise();
        sender.send(pieces).unwrap();
        Response::new(body)
    };
    let upstream = Upstream::answering(hold).await;
    let forward = to(&Authority::new(), &upstream.h2c());
    let upstreams = std::sync::Arc::clone(&forward.upstreams);
    let running = Running::start(forward, Setup::default());
    let mut answers = Vec::new();
    for _ in 0..2 {
        let mut visitor = Browser::clear(running.address, "shop.example");
        let (answer, _) = visitor.open(Request::get("/").body(full("")).unwrap()).await;
        answers.push((answer, open.recv().await.unwrap()));
    }
    let (left, gone) = answers.pop().unwrap();
    drop(left);
    // The upstream is told that nobody reads any more.
    soon(gone.closed()).await;
    soon(async {
        while upstreams.states()[0].requests > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (answer, pieces) = answers.pop().unwrap();
    pieces.send("piece".into()).await.unwrap();
    drop(pieces);
    assert_eq!(soon(answer.into_body().collect()).await.unwrap().to_bytes(), "piece");
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_end_as_if_it_were_whole() {
    let authority = Authority::new();
    let (sender, mut open) = tokio::sync::mpsc::unbounded_channel();
    let breaking = move |_: &Seen| {
        let (pieces, mut coming) = tokio::sync::mpsc::unbounded_channel();
        sender.send(pieces).unwrap();
        Response::new(stream(StreamBody::new(futures_util::stream::poll_fn(move |context| {
            coming.poll_recv(context)
        }))))
    };
    for (_upstream, running) in both_kinds(&authority, breaking).await {
        for mut visitor in visitors(&authority, &running) {
            let (answer, _) = visitor.open(Request::get("/").body(full("")).unwrap()).await;
            let (pieces, mut body) = (open.recv().await.unwrap(), answer.into_body());
            pieces.send(Ok(Frame::data(Bytes::from("half")))).unwrap();
            assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "half");
            pieces.send(Err("it broke off")).unwrap();
            soon(body.collect()).await.unwrap_err();
        }
    }
}

#[tokio::test]
async fn answers_without_a_body_keep_their_headers() {
    let authority = Authority::new();
    let answer = |seen: &Seen| {
        let status: u16 = seen.target.rsplit('/').next().unwrap().parse().unwrap();
        let mut answer = Response::builder().status(status).header("etag", "\"1\"");
        if status == 200 {
            answer = answer.header("content-length", 5);
        }
        answer.body(full("")).unwrap()
    };
    for (upstream, running) in both_kinds(&authority, answer).await {
        for mut visitor in visitors(&authority, &running) {
            for (request, status, length) in [
                (Request::head("/200"), 200, Some("5")),
                (Request::get("/304"), 304, None),
                (Request::get("/204"), 204, None),
            ] {
                let answer = visitor.send(request.body(full("")).unwrap()).await;
                assert_eq!((answer.status.as_u16(), answer.header("etag")), (status, Some("\"1\"")));
                assert_eq!((answer.header("content-length"), answer.bytes.len()), (length, 0));
            }
        }
        assert_eq!(upstream.accepted(), 1);
    }
}

#[tokio::test]
async fn a_visitor_who_asks_before_sending_is_told_to_go_on() {
    let upstream = Upstream::answering(|seen| Response::new(full(seen.body.clone()))).await;
    let running = Running::start(to(&Authority::new(), &upstream.h2c()), Setup::default());
    let mut wire = Wire::connect(running.address).await;
    wire.write("POST / HTTP/1.1\r\nHost: shop.example\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 100 "));
    wire.write("hello").await;
    assert!(wire.read_head().await.starts_with("HTTP/1.1 200 "));
    wire.read_until("hello").await;
    assert_eq!(upstream.only().header("expect"), None);
}

#[tokio::test]
async fn requests_that_lose_their_connection_share_the_next() {
    const VISITS: usize = 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("h2c://{}", listener.local_addr().unwrap());
    let running = Running::start(to(&Authority::new(), &url), Setup::default());
    let accepted = std::cell::Cell::new(0);
    let upstream = async {
        let (socket, _) = listener.accept().await.unwrap();
        let (arrived, mut arrivals) = tokio::sync::mpsc::unbounded_channel();
        // It answers its first request, so that the others find a connection in use.
        let silent = service_fn(move |request: Request<Incoming>| {
            let arrived = arrived.clone();
            async move {
                if request.uri().path() == "/first" {
                    return Ok::<_, Infallible>(Response::new(full("first")));
                }
                arrived.send(()).unwrap();
                std::future::pending().await
            }
        });
        let serving =
            http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(socket), silent);
        let all = async {
            for _ in 0..VISITS {
                arrivals.recv().await.unwrap();
            }
        };
        // Once it has all of them, it goes away with them.
        tokio::select! { _ = serving => panic!("the connection ended"), () = all => {} }
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            accepted.set(accepted.get() + 1);
            let hello =
                service_fn(async |_: Request<Incoming>| Ok::<_, Infallible>(Response::new(full("hello"))));
            connections.spawn(async move {
                let serving = http2::Builder::new(TokioExecutor::new());
                let _ = serving.serve_connection(TokioIo::new(socket), hello).await;
            });
        }
    };
    let get = async |target| Browser::clear(running.address, "shop.example").get(target).await.text();
    let visits = async {
        assert_eq!(get("/first").await, "first");
        futures_util::future::join_all((0..VISITS).map(|_| get("/"))).await
    };
    let answers = tokio::select! {
        answers = visits => answers,
        () = upstream => unreachable!(),
    };
    assert_eq!(answers, vec!["hello"; VISITS]);
    // One is what all share; a second may have been begun before that stood.
    assert!(accepted.get() <= 2, "{}", accepted.get());
}

#[tokio::test]
async fn a_connection_is_replaced_before_its_thousandth_request() {
    let upstream = Upstream::answering(|_| Response::new(full(""))).await;
    let running = Running::start(to(&Authority::new(), &upstream.h2c()), Setup::default());
    let mut wire = Wire::connect(running.address).await;
    for (requests, accepted) in [(900, 1), (100, 2)] {
        for _ in 0..requests {
            wire.write("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
            assert!(wire.read_head().await.starts_with("HTTP/1.1 200 "));
        }
        assert_eq!(upstream.accepted(), accepted);
    }
}

#[tokio::test]
async fn a_stream_passes_piece_by_piece() {
    let authority = Authority::new();
    let (sender, mut open) = tokio::sync::mpsc::unbounded_channel();
    let hold = move |_: &Seen| {
        let (pieces, body) = piecewise();
        sender.send(pieces).unwrap();
        Response::new(body)
    };
    for (_upstream, running) in both_kinds(&authority, hold).await {
        for mut visitor in visitors(&authority, &running) {
            let (answer, _) = visitor.open(Request::get("/").body(full("")).unwrap()).await;
            let pieces = open.recv().await.unwrap();
            let mut body = answer.into_body();
            for piece in ["data: 1\n\n", "data: 2\n\n"] {
                pieces.send(piece.into()).await.unwrap();
                assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), piece);
            }
            drop(pieces);
            assert!(soon(body.collect()).await.unwrap().to_bytes().is_empty());
        }
    }
}

#[tokio::test]
async fn visitors_who_do_not_read_stop_nobody_else_on_the_connection() {
    let authority = Authority::new();
    let answer = |seen: &Seen| match seen.target.ends_with("/large") {
        true => Response::new(full(vec![b'x'; 16 << 20])),
        false => Response::new(full("hello")),
    };
    for (upstream, running) in both_kinds(&authority, answer).await {
        let mut stuck = Vec::new();
        for _ in 0..8 {
            let [mut visitor, _] = visitors(&authority, &running);
            stuck.push(visitor.open(Request::get("/large").body(full("")).unwrap()).await);
        }
        for mut visitor in visitors(&authority, &running) {
            assert_eq!(visitor.get("/small").await.text(), "hello");
        }
        assert_eq!(upstream.accepted(), 1);
        // And they are not cut off for it.
        let (answer, _) = stuck.pop().unwrap();
        assert_eq!(soon(answer.into_body().collect()).await.unwrap().to_bytes().len(), 16 << 20);
    }
}

#[tokio::test]
async fn a_connection_that_has_grown_old_ends_with_its_last_stream() {
    let (sender, mut open) = tokio::sync::mpsc::unbounded_channel();
    let hold = move |_: &Seen| {
        let (pieces, body) = piecewise();
        sender.send(pieces).unwrap();
        Response::new(body)
    };
    let upstream = Upstream::answering(hold).await;
    for (connections, accepted) in [(0, 2), (1, 1)] {
        let before = upstream.accepted();
        let names = Names::default().with_connection_life(Duration::ZERO);
        let target = Target { connections, ..target(&upstream.h2c()) };
        let to = Settings::new(vec![weighted(&target, 1)], None, ClientAddress::Full);
        let forward = Forward::through(Upstreams::following(TIMEOUTS, names), to);
        let running = Running::start(forward, Setup::default());
        let mut answers = Vec::new();
        for _ in 0..2 {
            let mut visitor = Browser::clear(running.address, "shop.example");
            let (answer, _) = visitor.open(Request::get("/").body(full("")).unwrap()).await;
            answers.push((answer, open.recv().await.unwrap()));
        }
        // Where no other may be made beside it, an old one goes on.
        assert_eq!(upstream.accepted() - before, accepted);
        for (answer, pieces) in answers {
            pieces.send("piece".into()).await.unwrap();
            drop(pieces);
            assert_eq!(soon(answer.into_body().collect()).await.unwrap().to_bytes(), "piece");
        }
    }
}

#[tokio::test]
async fn an_upstream_that_agrees_to_http1_alone_gets_that() {
    let authority = Authority::new();
    let upstream =
        Upstream::answering_with(server(&authority, &[b"http/1.1"]), |_| Response::new(full("hello"))).await;
    let running = Running::start(to(&authority, &upstream.url()), Setup::default());
    for _ in 0..2 {
        assert_eq!(Browser::clear(running.address, "shop.example").get("/").await.text(), "hello");
    }
    assert!(upstream.seen().iter().all(|seen| seen.version == Version::HTTP_11));
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn an_upstream_that_was_restarted_gets_a_new_connection() {
    let answer = |_: &Seen| Response::new(full("hello"));
    let first = Upstream::answering_at("127.42.0.1:0", answer).await;
    let running = Running::start(to(&Authority::new(), &first.h2c()), Setup::default());
    let mut visitor = Browser::clear(running.address, "shop.example");
    assert_eq!(visitor.get("/").await.text(), "hello");
    let place = first.address.to_string();
    drop(first);
    // Until the port is free again.
    soon(async { while TcpStream::connect(&place).await.is_ok() {} }).await;
    let second = Upstream::answering_at(&place, answer).await;
    assert_eq!(visitor.get("/").await.text(), "hello");
    assert_eq!(second.seen().len(), 1);
}

#[tokio::test]
async fn a_websocket_goes_over_http1_beside_the_shared_connection() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(server(&authority, BOTH)));
    let echo = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let socket = acceptor.accept(socket).await.unwrap();
        assert_eq!(socket.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
        let mut messages = tokio_tungstenite::accept_async(socket).await.unwrap();
        while let Some(Ok(message)) = messages.next().await {
            if message.is_text() {
                messages.send(message).await.unwrap();
            }
        }
        drop(messages);
        // After it, an ordinary request speaks HTTP/2 to the same address.
        let (socket, _) = listener.accept().await.unwrap();
        let socket = acceptor.accept(socket).await.unwrap();
        assert_eq!(socket.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    });
    let running = Running::start(to(&authority, &url), Setup::default());
    let socket = TcpStream::connect(running.address).await.unwrap();
    let (mut messages, _) =
        soon(tokio_tungstenite::client_async("ws://shop.example/chat", socket)).await.unwrap();
    messages.send(Message::text("one")).await.unwrap();
    assert_eq!(soon(messages.next()).await.unwrap().unwrap(), Message::text("one"));
    messages.close(None).await.unwrap();
    while soon(messages.next()).await.is_some() {}
    let mut visitor = Browser::clear(running.address, "shop.example");
    let (answer, echo) = tokio::join!(visitor.get("/"), echo);
    echo.unwrap();
    assert!(answer.header("x-failure").is_some());
}
