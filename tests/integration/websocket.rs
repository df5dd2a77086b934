//! WebSocket connections pass, and what comes before the switch stays HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use consentry::filter::Body;
use consentry::filter::body::full;
use futures_util::{SinkExt, StreamExt};
use http::{Request, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::support::certificates::Authority;
use crate::support::forward::Forward;
use crate::support::running::{Running, Setup};
use crate::support::soon;
use crate::support::whole::{HOST, Whole, site};
use crate::support::wire::{Script, Wire};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn messages_pass_both_ways_until_one_side_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let echo = tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let mut messages = tokio_tungstenite::accept_async(socket).await.unwrap();
        while let Some(Ok(message)) = messages.next().await {
            if message.is_text() {
                messages.send(message).await.unwrap();
            }
        }
    });
    let running = Running::start(Forward::to(&[&url]), Setup::default());
    let socket = TcpStream::connect(running.address).await.unwrap();
    let (mut messages, answer) =
        soon(tokio_tungstenite::client_async("ws://shop.example/chat", socket)).await.unwrap();
    assert_eq!(answer.status(), 101);
    for text in ["one", "two"] {
        messages.send(Message::text(text)).await.unwrap();
        assert_eq!(soon(messages.next()).await.unwrap().unwrap(), Message::text(text));
    }
    assert_eq!(running.metrics.connections.get(), 1);
    messages.close(None).await.unwrap();
    while soon(messages.next()).await.is_some() {}
    soon(echo).await.unwrap();
    drop(messages);
    // The drain waits for upgraded connections too, so this one has left its seat.
    let metrics = std::sync::Arc::clone(&running.metrics);
    running.stopped().await;
    assert_eq!(metrics.connections.get(), 0);
}

#[tokio::test]
async fn what_comes_early_waits_for_the_switch_and_then_arrives() {
    let script = Script::bind().await;
    let running = Running::start(Forward::to(&[&script.url()]), Setup::default());
    let mut visitor = Wire::connect(running.address).await;
    visitor.write(format!("{ASK}early bytes")).await;
    let mut upstream = script.accept().await;
    let head = upstream.read_head().await.to_lowercase();
    assert!(
        head.contains("\r\nupgrade: websocket\r\n") && head.contains("\r\nconnection: upgrade\r\n"),
        "{head}"
    );
    assert!(head.contains("\r\nsec-websocket-key: dghlihnhbxbszsbub25jzq==\r\n"));
    assert_eq!(upstream.arrived(), "", "bytes passed before the switch");
    upstream.write(format!("{SWITCH}early too")).await;
    assert_eq!(upstream.read_until("early bytes").await, "early bytes");
    let head = visitor.read_head().await.to_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("\r\nupgrade: websocket\r\n"), "{head}");
    assert_eq!(visitor.read_until("early too").await, "early too");
    drop(upstream);
    assert_eq!(visitor.read_to_end().await, "");
}

#[tokio::test]
async fn what_comes_early_is_a_request_where_the_upstream_does_not_switch() {
    let script = Script::bind().await;
    let running = Running::start(Forward::to(&[&script.url()]), Setup::default());
    let mut visitor = Wire::connect(running.address).await;
    visitor.write(format!("{ASK}GET /next HTTP/1.1\r\nHost: other host\r\n\r\n")).await;
    let mut upstream = script.accept().await;
    upstream.read_head().await;
    upstream.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n").await;
    assert!(visitor.read_head().await.starts_with("HTTP/1.1 403 "));
    // It is judged like any other request, and never reaches the upstream unseen.
    assert!(visitor.read_head().await.contains("x-failure: malformed-host"));
    assert_eq!(upstream.arrived(), "");
}

#[tokio::test]
async fn a_switch_to_another_protocol_than_websocket_is_refused() {
    let script = Script::bind().await;
    let running = Running::start(Forward::to(&[&script.url()]), Setup::default());
    for switch in ["Upgrade: h2c", "Upgrade: TLS/1.0", "X-Nothing: 1"] {
        let mut visitor = Wire::connect(running.address).await;
        visitor.write(format!("{ASK}GET /unseen HTTP/1.1\r\nHost: other host\r\n\r\n")).await;
        let mut upstream = script.accept().await;
        upstream.read_head().await;
        upstream
            .write(format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n{switch}\r\n\r\n"))
            .await;
        assert!(visitor.read_head().await.starts_with("HTTP/1.1 502 "), "{switch}");
        assert_eq!(upstream.read_to_end().await, "", "bytes passed behind a switch that nobody agreed on");
    }
}

/// The answer to the handshake in this head, as RFC 6455 wants it.
fn switch(head: &str) -> String {
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key").then_some(value.trim())
    });
    let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.unwrap().as_bytes());
    SWITCH.replace("\r\n\r\n", &format!("\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"))
}

/// A client of HTTP/2 that knows what the server can do: it has had an answer.
async fn http2_client(running: &Running, script: &Script) -> (http2::SendRequest<Body>, Wire) {
    let socket = TokioIo::new(soon(TcpStream::connect(running.address)).await.unwrap());
    let (mut sender, connection) = soon(http2::handshake(TokioExecutor::new(), socket)).await.unwrap();
    tokio::spawn(connection);
    let (answer, upstream) = tokio::join!(sender.send_request(get("/page")), async {
        let mut upstream = script.accept().await;
        upstream.read_head().await;
        upstream.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
        upstream
    });
    soon(answer.unwrap().into_body().collect()).await.unwrap();
    (sender, upstream)
}

fn get(path: &str) -> Request<Body> {
    Request::get(format!("http://shop.example{path}")).body(full("")).unwrap()
}

/// The request of RFC 8441 section 5.1.
fn connect(protocol: &'static str) -> Request<Body> {
    Request::connect("http://shop.example/chat?room=1")
        .version(Version::HTTP_2)
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat")
        .header("origin", "http://shop.example")
        .body(full(""))
        .unwrap()
}

#[tokio::test]
async fn over_http2_a_websocket_is_one_stream_of_many_and_http1_behind() {
    let script = Script::bind().await;
    let mut setup = Setup::default();
    setup.timeouts.idle = std::time::Duration::from_millis(300);
    let running = Running::start(Forward::to(&[&script.url()]), setup);
    let (mut sender, mut upstream) = http2_client(&running, &script).await;
    let (answer, head) = tokio::join!(sender.send_request(connect("websocket")), async {
        let head = upstream.read_head().await;
        upstream.write(format!("{}early", switch(&head))).await;
        head.to_lowercase()
    });
    assert!(head.starts_with("get /chat?room=1 http/1.1\r\n"), "{head}");
    for line in
        ["upgrade: websocket", "connection: upgrade", "sec-websocket-protocol: chat", "host: shop.example"]
    {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    let mut answer = answer.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("sec-websocket-accept"), "{:?}", answer.headers());
    let mut visitor = TokioIo::new(soon(hyper::upgrade::on(&mut answer)).await.unwrap());
    let mut buffer = [0; 5];
    soon(visitor.read_exact(&mut buffer)).await.unwrap();
    assert_eq!(&buffer, b"early");
    // Longer than a connection may be idle: this one is not.
    tokio::time::sleep(std::time::Duration::from_millis(900)).await;
    soon(visitor.write_all(b"hello")).await.unwrap();
    assert_eq!(upstream.read_until("hello").await, "hello");
    // Others pass beside it.
    let (answer, ()) = tokio::join!(sender.send_request(get("/beside")), async {
        let mut beside = script.accept().await;
        assert!(beside.read_head().await.starts_with("GET /beside "));
        beside.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    });
    assert_eq!(answer.unwrap().status(), 200);
    soon(visitor.shutdown()).await.unwrap();
    assert_eq!(upstream.read_to_end().await, "");
}

#[tokio::test]
async fn over_http2_a_handshake_that_fails_is_an_answer_like_any_other() {
    let script = Script::bind().await;
    let running = Running::start(Forward::to(&[&script.url()]), Setup::default());
    let (mut sender, mut upstream) = http2_client(&running, &script).await;
    for (answered, status) in [("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 403), (SWITCH, 502)] {
        let (answer, ()) = tokio::join!(sender.send_request(connect("websocket")), async {
            upstream.read_head().await;
            upstream.write(answered).await;
        });
        assert_eq!(answer.unwrap().status(), status, "{answered}");
    }
    // Behind another protocol, requests would pass unseen.
    let answer = soon(sender.send_request(connect("connect-udp"))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::NOT_IMPLEMENTED);
    assert_eq!(answer.headers()["x-failure"], "connect");
}

#[tokio::test]
async fn a_websocket_ends_with_the_time_that_its_listener_has_to_drain() {
    for speaks_http2 in [false, true] {
        let script = Script::bind().await;
        let mut setup = Setup::default();
        setup.timeouts.drain = std::time::Duration::from_millis(200);
        let running = Running::start(Forward::to(&[&script.url()]), setup);
        let mut upstream = if speaks_http2 {
            let (mut sender, mut upstream) = http2_client(&running, &script).await;
            let (answer, ()) = tokio::join!(sender.send_request(connect("websocket")), async {
                let head = upstream.read_head().await;
                upstream.write(switch(&head)).await;
            });
            assert_eq!(answer.unwrap().status(), 200);
            upstream
        } else {
            let mut visitor = Wire::connect(running.address).await;
            visitor.write(ASK).await;
            let mut upstream = script.accept().await;
            upstream.read_head().await;
            upstream.write(SWITCH).await;
            visitor.read_head().await;
            running.begin_to_stop();
            assert_eq!(visitor.read_to_end().await, "");
            upstream
        };
        // The process may go on: it is the listener that a reload has taken away.
        running.stopped().await;
        assert_eq!(upstream.read_to_end().await, "", "over HTTP/2: {speaks_http2}");
    }
}

#[tokio::test]
async fn a_websocket_that_is_silent_on_both_sides_ends() {
    let script = Script::bind().await;
    let listen = "listen: [{ address: 127.0.0.1:0 }]\ntimeouts: { idle: 1s }";
    let proxy = Whole::start_with(listen, &site(&script.url(), "")).await;
    let mut visitor = Wire::connect(proxy.address()).await;
    visitor.write(ASK.replace("shop.example", HOST)).await;
    let mut upstream = script.accept().await;
    upstream.read_head().await;
    upstream.write(SWITCH).await;
    visitor.read_head().await;
    // Together longer than either may be silent.
    for _ in 0..8 {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        visitor.write("a word").await;
        upstream.read_until("a word").await;
    }
    assert_eq!(visitor.read_to_end().await, "");
    assert_eq!(upstream.read_to_end().await, "");
}

/// An upstream whose WebSockets send each message back; over TLS it speaks HTTP/2 to whoever wants that.
async fn echo(tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            match &tls {
                None => _ = tokio::spawn(send_back(socket)),
                Some(tls) => _ = tokio::spawn(send_back(tls.accept(socket).await.unwrap())),
            }
        }
    });
    address
}

async fn send_back<S: AsyncRead + AsyncWrite + Unpin>(socket: S) {
    let mut messages = tokio_tungstenite::accept_async(socket).await.unwrap();
    while let Some(Ok(message)) = messages.next().await {
        if message.is_text() || message.is_binary() {
            messages.send(message).await.unwrap();
        }
    }
}

/// Says something small and something large, and closes.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut messages: WebSocketStream<S>) {
    for message in [Message::text("hello"), Message::binary(vec![7; 1 << 20])] {
        messages.send(message.clone()).await.unwrap();
        assert_eq!(soon(messages.next()).await.unwrap().unwrap(), message);
    }
    messages.close(None).await.unwrap();
    while soon(messages.next()).await.is_some() {}
}

#[tokio::test]
async fn it_passes_through_every_filter_whatever_both_sides_speak() {
    let authority = Authority::new();
    let mut tls = authority.server(&["127.0.0.1"]);
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (clear, both) = (echo(None).await, echo(Some(TlsAcceptor::from(Arc::new(tls)))).await);
    let trusted = format!("{{ url: https://{both}, ca: {} }}", authority.file().display());
    for upstream in [format!("http://{clear}"), trusted] {
        let proxy = Whole::start(&site(&upstream, "")).await;
        let url = format!("ws://{HOST}/chat");
        let socket = TcpStream::connect(proxy.address()).await.unwrap();
        let (messages, answer) = soon(tokio_tungstenite::client_async(&url, socket)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        converse(messages).await;

        let socket = TokioIo::new(TcpStream::connect(proxy.address()).await.unwrap());
        let (mut sender, connection) = soon(http2::handshake(TokioExecutor::new(), socket)).await.unwrap();
        tokio::spawn(connection);
        // The first answer tells the client that the server knows RFC 8441.
        let first = Request::get(format!("http://{HOST}/_consent/choices")).body(full("")).unwrap();
        assert_eq!(soon(sender.send_request(first)).await.unwrap().status(), StatusCode::OK);
        let mut request = connect("websocket");
        *request.uri_mut() = format!("http://{HOST}/chat").parse().unwrap();
        request.headers_mut().remove("sec-websocket-protocol");
        let mut answer = soon(sender.send_request(request)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let socket = TokioIo::new(soon(hyper::upgrade::on(&mut answer)).await.unwrap());
        converse(WebSocketStream::from_raw_socket(socket, Role::Client, None).await).await;
    }
}
