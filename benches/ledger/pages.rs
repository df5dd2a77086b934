//! What a visitor of a page feels of others who agree meanwhile.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use consentry::clock::Clock;
use consentry::config::{self, FirstStart};
use consentry::server::Server;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::{ROUNDS, TURN, median};

/// How many others there are, and how often each of them does something.
const OTHERS: usize = 32;
const EVERY: Duration = Duration::from_millis(100);

/// What the others do.
#[derive(Clone, Copy, PartialEq)]
enum Load {
    Nothing,
    /// They ask for something that the ledger has no part in.
    Reads,
    /// They agree, and wait for the proof.
    Agreements,
}

/// Measures pages beside each load, in turns.
pub(crate) fn measure() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    runtime.block_on(async {
        let upstream = upstream().await;
        let server = proxy(folder.path(), upstream).await;
        let to = server.addresses()[0];
        let loads = [Load::Nothing, Load::Reads, Load::Agreements];
        let mut found = loads.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for (load, found) in loads.into_iter().zip(&mut found) {
                found.push(turn(to, load).await);
            }
        }
        println!("\n| others, {OTHERS} | of them a second | a page, µs: median | p99 |\n| --- | ---: | ---: | ---: |");
        for (name, found) in ["do nothing", "read their choices", "agree"].iter().zip(&found) {
            let middle = |pick: fn(&Found) -> f64| median(found.iter().map(pick));
            println!(
                "| {name} | {:.0} | {:.0} | {:.0} |",
                middle(|found| found.others),
                middle(|found| found.median),
                middle(|found| found.p99)
            );
        }
        server.stop().await;
    });
}

/// What one turn gave; times in microseconds.
struct Found {
    others: f64,
    median: f64,
    p99: f64,
}

async fn turn(to: SocketAddr, load: Load) -> Found {
    let (is_over, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut others = tokio::task::JoinSet::new();
    for number in 0..if load == Load::Nothing { 0 } else { OTHERS } {
        others.spawn(act(to, load, number, Arc::clone(&is_over), Arc::clone(&count)));
    }
    let start = Instant::now();
    let mut times = Vec::new();
    let mut connection = connect(to).await;
    while start.elapsed() < TURN {
        let begin = Instant::now();
        assert_eq!(ask(&mut connection, page()).await, StatusCode::OK);
        times.push(begin.elapsed().as_secs_f64() * 1e6);
    }
    let elapsed = start.elapsed().as_secs_f64();
    is_over.store(true, Ordering::Relaxed);
    others.join_all().await;
    times.sort_by(f64::total_cmp);
    let others = count.load(Ordering::Relaxed) as f64 / elapsed;
    Found { others, median: times[times.len() / 2], p99: times[times.len() * 99 / 100] }
}

async fn act(to: SocketAddr, load: Load, number: usize, is_over: Arc<AtomicBool>, count: Arc<AtomicU64>) {
    let mut connection = connect(to).await;
    let offset = EVERY.mul_f64(number as f64 / OTHERS as f64);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + offset, EVERY);
    while !is_over.load(Ordering::Relaxed) {
        ticks.tick().await;
        let (request, expected) = match load {
            Load::Agreements => (agreement(), StatusCode::SEE_OTHER),
            Load::Reads | Load::Nothing => (choices(), StatusCode::OK),
        };
        assert_eq!(ask(&mut connection, request).await, expected);
        count.fetch_add(1, Ordering::Relaxed);
    }
}

async fn ask(connection: &mut SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> StatusCode {
    connection.ready().await.unwrap();
    let answer = connection.send_request(request).await.unwrap();
    let status = answer.status();
    answer.into_body().collect().await.unwrap();
    status
}

fn page() -> Request<Full<Bytes>> {
    let request = Request::get("/").header("host", "www.example.se").header("accept", "text/html");
    request
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-mode", "navigate")
        .body(Full::default())
        .unwrap()
}

fn choices() -> Request<Full<Bytes>> {
    Request::get("/_consent/choices").header("host", "www.example.se").body(Full::default()).unwrap()
}

fn agreement() -> Request<Full<Bytes>> {
    Request::post("/_consent/choices")
        .header("host", "www.example.se")
        .header("origin", "http://www.example.se")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Full::from("choice=accept-all&from=banner"))
        .unwrap()
}

async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let page = format!("<!DOCTYPE html><title>Bilder</title>{}", "<p>Ett motiv från Öland</p>".repeat(150));
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            let page = Bytes::from(page.clone());
            let answer = service_fn(move |_| {
                let answer = Response::builder().header("content-type", "text/html; charset=utf-8");
                std::future::ready(answer.body(Full::new(page.clone())))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer),
            );
        }
    });
    address
}

async fn proxy(folder: &Path, upstream: SocketAddr) -> Server {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write(
        "consentry.yaml",
        "listen: [{ address: 127.0.0.1:0 }]\nsecrets: file:secrets\nledger: { sqlite: ledger.sqlite }\nsites: shop.yaml\n",
    );
    write("privacy.md", "---\ntitle: Kakor\nversion: 1\n---\nVi använder kakor.\n");
    write(
        "shop.yaml",
        &format!(
            "hosts: [\"*\"]\nupstream: http://{upstream}\nlanguages: [sv]\ncontroller: {{ name: Butiken AB }}\n\
             documents: {{ privacy: {{ kind: notice, path: /privacy.htm, files: {{ sv: privacy.md }} }} }}\n"
        ),
    );
    let loaded = config::load(&folder.join("consentry.yaml"), FirstStart::MakeSecrets).unwrap();
    Server::start(loaded.settings, Clock::system()).await.unwrap()
}

async fn connect(to: SocketAddr) -> SendRequest<Full<Bytes>> {
    let socket = TcpStream::connect(to).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    sender
}
