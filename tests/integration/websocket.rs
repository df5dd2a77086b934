//! WebSocket connections pass, and what comes before the switch stays HTTP.

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

use crate::support::forward::Forward;
use crate::support::running::{Running, Setup};
use crate::support::soon;
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
