//! What a request costs on its way: the decisions alone, and whole over loopback beside the same request sent to the
//! upstream directly. Ten thousand sites must cost no more than one.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up must fail at once")]

mod support;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use consentry::clock::{Clock, Timestamp};
use consentry::filter::{self, body::Report};
use consentry::gate;
use consentry::server::Server;
use consentry::site::{HostPattern, Sites};
use consentry::telemetry::Metrics;
use consentry::visit::{Arrival, Scheme, Visit};
use divan::{Bencher, black_box};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use support::SIZES;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

fn request(path: &str) -> Request<Full<Bytes>> {
    Request::get(path)
        .header("host", "www.example.se")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .header("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
        .header("accept-language", "sv-SE,sv;q=0.9,en;q=0.5")
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-mode", "navigate")
        .header("cookie", "theme=dark; cart_7=1; _ga=GA1.1.1")
        .body(Full::default())
        .unwrap()
}

fn arrival() -> Arrival {
    Arrival {
        host: "www.example.se".into(),
        authority: "www.example.se".into(),
        scheme: Scheme::Https,
        client: Ipv4Addr::LOCALHOST.into(),
        now: Timestamp::UNIX_EPOCH,
    }
}

/// From the head of a request to the filtered head of its answer, without a socket.
fn decisions(bencher: Bencher<'_, '_>, content_type: &str) {
    let site = support::example_site();
    let metrics = Arc::<Metrics>::default();
    let (parts, _) = request("/bilder?sida=2").into_parts();
    bencher.bench_local(|| {
        let visit = Visit::read(&site.visit, black_box(&parts), arrival());
        let verdict = gate::decide(&site.gate, &visit);
        assert_eq!(verdict.reason(), "admitted");
        let mut headers = parts.headers.clone();
        let plan = filter::prepare(&site.filter, &visit, &mut headers);
        let answer =
            Response::builder().header("content-type", content_type).body(Full::from("<p>")).unwrap();
        filter::apply(&site.filter, &visit, plan, answer, Report::new(&site.filter, &metrics)).status()
    });
}

#[divan::bench]
fn decisions_about_a_page(bencher: Bencher) {
    decisions(bencher, "text/html");
}

#[divan::bench]
fn decisions_about_data(bencher: Bencher) {
    decisions(bencher, "application/json");
}

#[divan::bench(args = [1, 100, 10_000])]
fn site_of_a_host(bencher: Bencher, sites: usize) {
    let site = support::example_site();
    let mut all = Sites::default();
    for number in 0..sites {
        all.insert(HostPattern::Exact(format!("www.shop-{number}.example").into()), &site).unwrap();
        all.insert(HostPattern::Below(format!("shop-{number}.example").into()), &site).unwrap();
    }
    let host = format!("img.shop-{}.example", sites / 2);
    bencher.bench(|| all.find(black_box(&host)).is_some());
}

#[divan::bench(args = SIZES)]
fn page_through_the_proxy(bencher: Bencher, kib: usize) {
    over_loopback(bencher, "text/html", kib, Way::ThroughTheProxy);
}

#[divan::bench(args = SIZES)]
fn page_without_the_proxy(bencher: Bencher, kib: usize) {
    over_loopback(bencher, "text/html", kib, Way::Direct);
}

#[divan::bench(args = SIZES)]
fn data_through_the_proxy(bencher: Bencher, kib: usize) {
    over_loopback(bencher, "application/json", kib, Way::ThroughTheProxy);
}

#[divan::bench(args = SIZES)]
fn data_without_the_proxy(bencher: Bencher, kib: usize) {
    over_loopback(bencher, "application/json", kib, Way::Direct);
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Direct,
    ThroughTheProxy,
}

fn over_loopback(bencher: Bencher<'_, '_>, content_type: &'static str, kib: usize, way: Way) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let upstream = runtime.block_on(upstream(content_type, support::page(kib).into()));
    let server = (way == Way::ThroughTheProxy).then(|| runtime.block_on(proxy(folder.path(), upstream)));
    let to = server.as_ref().and_then(|server| server.addresses().first().copied()).unwrap_or(upstream);
    let mut connection = runtime.block_on(connect(to));
    bencher.bench_local(|| {
        runtime.block_on(async {
            connection.ready().await.unwrap();
            let answer = connection.send_request(request("/bilder")).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            answer.into_body().collect().await.unwrap().to_bytes().len()
        })
    });
    drop(connection);
    if let Some(server) = server {
        runtime.block_on(server.stop());
    }
}

async fn upstream(content_type: &'static str, page: Bytes) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            socket.set_nodelay(true).unwrap();
            let page = page.clone();
            let answer = service_fn(move |_| {
                let answer = Response::builder().header("content-type", content_type);
                std::future::ready(answer.body(Full::new(page.clone())))
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer),
            );
        }
    });
    address
}

async fn proxy(folder: &std::path::Path, upstream: SocketAddr) -> Server {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write(
        "consentry.yaml",
        "listen: [{ address: 127.0.0.1:0 }]\nsecrets: file:data/secrets\nledger: { sqlite: data/ledger.sqlite }\n",
    );
    write("privacy.md", "---\ntitle: Kakor\nversion: 1\n---\nVi använder kakor.\n");
    write(
        "sites/shop.yaml",
        &format!(
            "hosts: [\"*\"]\nupstream: http://{upstream}\nlanguages: [sv]\ncontroller: {{ name: Butiken AB }}\n\
             documents: {{ privacy: {{ kind: notice, path: /privacy.htm, files: {{ sv: ../privacy.md }} }} }}\n\
             gates: [{{ name: customers, document: privacy, cookie: PHPSESSID }}]\n"
        ),
    );
    let path = folder.join("consentry.yaml");
    let loaded = consentry::config::load(&path, consentry::config::FirstStart::MakeSecrets).unwrap();
    Server::start(loaded.settings, Clock::system()).await.unwrap()
}

async fn connect(to: SocketAddr) -> SendRequest<Full<Bytes>> {
    let socket = TcpStream::connect(to).await.unwrap();
    socket.set_nodelay(true).unwrap();
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
    tokio::spawn(connection);
    sender
}
