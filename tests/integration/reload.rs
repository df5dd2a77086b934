//! A reload takes effect between two requests and drops none.

use consentry::filter::Body;
use consentry::filter::body::full;
use consentry::server::{Occasion, Outcome};
use futures_util::{SinkExt, StreamExt};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use crate::support::browser::Speaks;
use crate::support::soon;
use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, Whole, site};
use crate::support::wire::Wire;

/// The two settings that take turns; each shows in the upstream's page and in the banner.
const TURNS: [&str; 2] = ["first", "second"];

async fn upstream(name: &'static str) -> Upstream {
    Upstream::answering(move |_| {
        let page = format!("<!doctype html><html><head><title>{name}</title></head><body>Hej</body></html>");
        Response::builder().header("content-type", "text/html; charset=utf-8").body(full(page)).unwrap()
    })
    .await
}

fn settings(turn: &str, upstream: &Upstream) -> String {
    site(&upstream.url(), &format!("banner: {{ texts: {{ sv: {{ title: the {turn} banner }} }} }}"))
}

/// Which of the settings an answer is of, as a whole.
fn turn_of(page: &str) -> &'static str {
    let shown = TURNS.map(|turn| {
        let parts = [format!("<title>{turn}</title>"), format!("the {turn} banner")];
        parts.map(|part| page.contains(&part))
    });
    match shown {
        [[true, true], [false, false]] => TURNS[0],
        [[false, false], [true, true]] => TURNS[1],
        _ => panic!("an answer of no settings, or of both: {page}"),
    }
}

/// Either kind of connection, kept from the first request to the last.
enum Client {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Client {
    async fn connect(whole: &Whole, speaks: Speaks) -> Self {
        let socket = TokioIo::new(soon(TcpStream::connect(whole.address())).await.unwrap());
        match speaks {
            Speaks::Http1 => {
                let (sender, connection) = http1::handshake(socket).await.unwrap();
                tokio::spawn(connection);
                Client::Http1(sender)
            }
            Speaks::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), socket).await.unwrap();
                tokio::spawn(connection);
                Client::Http2(sender)
            }
        }
    }

    async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        match self {
            Client::Http1(sender) => {
                sender.ready().await.unwrap();
                sender.send_request(request).await.unwrap()
            }
            Client::Http2(sender) => sender.send_request(request).await.unwrap(),
        }
    }

    async fn navigate(&mut self) -> &'static str {
        let request = match self {
            Client::Http1(_) => Request::get("/").header("host", HOST),
            Client::Http2(_) => Request::get(format!("http://{HOST}/")),
        };
        let request = request
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-mode", "navigate")
            .header("accept-language", "sv");
        let answer = soon(self.send(request.body(full("")).unwrap())).await;
        assert_eq!(answer.status(), 200);
        let page = soon(answer.into_body().collect()).await.unwrap().to_bytes();
        turn_of(&String::from_utf8_lossy(&page))
    }
}

/// Navigates on one connection until nobody counts any more.
async fn keep_navigating(mut client: Client, answered: mpsc::Sender<&'static str>) {
    while answered.send(client.navigate().await).await.is_ok() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_under_load_drop_no_request_and_mix_no_settings() {
    let upstreams = [upstream(TURNS[0]).await, upstream(TURNS[1]).await];
    let sites = [settings(TURNS[0], &upstreams[0]), settings(TURNS[1], &upstreams[1])];
    let whole = Whole::start(&sites[0]).await;
    let mut chat = Chat::open(&whole).await;
    let (sender, mut answered) = mpsc::channel(1);
    let clients: Vec<_> = [Speaks::Http1, Speaks::Http2].repeat(4);
    let mut navigating = Vec::new();
    for speaks in clients {
        let client = Client::connect(&whole, speaks).await;
        navigating.push(tokio::spawn(keep_navigating(client, sender.clone())));
    }
    let mut answers = [0, 0];
    for reload in 1..=100 {
        whole.write("sites/example.yaml", &sites[reload % 2]);
        let outcome = whole.server.reload(&whole.settings(), Occasion::FilesChanged).outcome;
        assert_eq!(outcome, Outcome::Applied);
        for _ in 0..navigating.len() {
            let turn = soon(answered.recv()).await.expect("every client has failed");
            answers[usize::from(turn == TURNS[1])] += 1;
        }
        if reload % 10 == 0 {
            chat.say(&format!("reload {reload}")).await;
        }
    }
    drop(answered);
    for client in navigating {
        soon(client).await.unwrap();
    }
    assert!(answers[0] > 50 && answers[1] > 50, "{answers:?}");
    chat.close().await;
    whole.server.stop().await;
}

/// A WebSocket through the proxy, to an application that repeats what it hears.
struct Chat(tokio_tungstenite::WebSocketStream<TcpStream>);

impl Chat {
    async fn open(whole: &Whole) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let chat = site(&url, "").replace(HOST, "chat.example");
        whole.write("sites/chat.yaml", &chat);
        assert_eq!(whole.server.reload(&whole.settings(), Occasion::FilesChanged).outcome, Outcome::Applied);
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut messages = tokio_tungstenite::accept_async(socket).await.unwrap();
            while let Some(Ok(message)) = messages.next().await {
                if message.is_text() {
                    messages.send(message).await.unwrap();
                }
            }
        });
        let socket = soon(TcpStream::connect(whole.address())).await.unwrap();
        let opening = tokio_tungstenite::client_async("ws://chat.example/", socket);
        Chat(soon(opening).await.unwrap().0)
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
        assert_eq!(soon(self.0.next()).await.unwrap().unwrap(), Message::text(text));
    }

    async fn close(mut self) {
        self.0.close(None).await.unwrap();
        while soon(self.0.next()).await.is_some() {}
    }
}

#[tokio::test]
async fn limits_and_timeouts_hold_from_the_next_connection_on() {
    let upstream = upstream(TURNS[0]).await;
    let whole = Whole::start(&settings(TURNS[0], &upstream)).await;
    let change = |more: &str| {
        let main = "listen: [{ address: 127.0.0.1:0 }]\nsecrets: file:../data/secrets\n\
                    ledger: { sqlite: ../data/ledger.sqlite }\n";
        whole.write("consentry.yaml", &format!("{main}{more}\n"));
        assert_eq!(whole.server.reload(&whole.settings(), Occasion::FilesChanged).outcome, Outcome::Applied);
    };
    let post = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 9\r\n\r\n123456789");
    let mut before = Wire::connect(whole.address()).await;
    before.write(&post).await;
    assert!(before.read_head().await.starts_with("HTTP/1.1 200 "));
    change("limits: { request_body: 8B, connections_per_address: 1 }\ntimeouts: { request_header: 1s }");
    let mut after = Wire::connect(whole.address()).await;
    after.write(&post).await;
    assert!(after.read_head().await.starts_with("HTTP/1.1 413 "));
    // The first connection had come before anybody was counted.
    assert_eq!(Wire::connect(whole.address()).await.read_to_end().await, "");
    change("timeouts: { request_header: 1s }");
    let mut slow = Wire::connect(whole.address()).await;
    slow.write("GET / HT").await;
    assert_eq!(slow.read_to_end().await, "", "the head has not ended in time");
    before.write(&post).await;
    assert!(before.read_until("HTTP/1.1 200 ").await.ends_with("HTTP/1.1 200 "));
    drop((before, after));
    whole.server.stop().await;
}

#[tokio::test]
async fn a_look_at_files_that_have_not_changed_is_no_reload() {
    let upstream = upstream(TURNS[0]).await;
    let whole = Whole::start(&settings(TURNS[0], &upstream)).await;
    let reload = |occasion| whole.server.reload(&whole.settings(), occasion);
    whole.write("noise.log", "a line");
    assert_eq!(reload(Occasion::FilesChanged).outcome, Outcome::Unchanged);
    assert!(whole.server.metrics().render().contains("consentry_reloads_total{reason=\"applied\"} 0"));
    whole.write("sites/other.yaml", "hosts: [www.example.se]\nupstream: htp://x\n");
    let told = reload(Occasion::FilesChanged);
    assert_eq!((told.outcome, told.errors, told.news.len()), (Outcome::Partly, 1, 1));
    assert_eq!(reload(Occasion::FilesChanged).outcome, Outcome::Unchanged);
    whole.write("documents/privacy.sv.md", "---\ntitle: Privacy\nversion: 1\n---\nNytt.\n");
    let told = reload(Occasion::FilesChanged);
    assert_eq!((told.outcome, told.errors, told.news.len()), (Outcome::Partly, 1, 0), "it was told before");
    assert_eq!(reload(Occasion::Asked).news.len(), 1, "who asks is told everything");
    whole.write("documents/privacy.sv.md", "---\ntitle: Privacy\nversion: 2\n---\nNytt.\n");
    let warned = reload(Occasion::FilesChanged);
    assert!(warned.news.len() == 1 && !warned.news[0].is_error(), "{warned:?}");
    let main = std::fs::read_to_string(whole.settings()).unwrap();
    whole.write("consentry.yaml", &format!("{main}nonsense: true\n"));
    let told = reload(Occasion::FilesChanged);
    assert_eq!((told.outcome, told.news.len(), told.outdated), (Outcome::Refused, 1, 1));
    whole.write("consentry.yaml", &main);
    let told = reload(Occasion::FilesChanged);
    assert_eq!(
        (told.outcome, told.news.len()),
        (Outcome::Partly, 1),
        "the error of the site alone: {told:?}"
    );
    let metrics = whole.server.metrics().render();
    assert!(metrics.contains("consentry_reloads_total{reason=\"partly\"} 5"), "{metrics}");
    assert!(metrics.contains("consentry_settings_refused 1"), "{metrics}");
    whole.server.stop().await;
}

#[tokio::test]
async fn sites_on_old_settings_are_counted_until_their_files_are_right() {
    let upstream = upstream(TURNS[0]).await;
    let whole = Whole::start(&settings(TURNS[0], &upstream)).await;
    for (main, sites_outdated) in [("mode: enfroce", 1), ("", 0)] {
        whole.write("sites/example.yaml", &format!("{}{main}\n", settings(TURNS[0], &upstream)));
        whole.server.reload(&whole.settings(), Occasion::FilesChanged);
        assert_eq!(whole.server.metrics().sites_outdated.get(), sites_outdated);
        assert_eq!(whole.server.metrics().settings_refused.get(), sites_outdated);
    }
    whole.server.stop().await;
}
