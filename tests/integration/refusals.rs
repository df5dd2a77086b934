//! Each refusal has the right status, a plain body, one line of the log with the reason, and a count.

use std::collections::BTreeMap;

use http::Request;
use serde_json::Value;
use tempfile::TempDir;

use consentry::filter::body::full;

use crate::process::{Run, folder, write};
use crate::support::browser::{Browser, Speaks};
use crate::support::certificates::Authority;
use crate::support::frames::{self, Frames};
use crate::support::whole::{HOST, site};
use crate::support::wire::{Script, Wire};

/// A folder of settings with these lines in `consentry.yaml`.
fn with(listen: &str, upstream: &str, more: &str) -> TempDir {
    let folder = folder(listen, &site(upstream, ""));
    let settings = std::fs::read_to_string(folder.path().join("config/consentry.yaml")).unwrap();
    write(&folder, "config/consentry.yaml", &format!("{settings}{more}\n"));
    folder
}

/// The requests of the log up to the one for `/last`, which goes unmentioned.
async fn requests(run: &mut Run, host: &str) -> Vec<Value> {
    let mut last = Wire::connect(run.address).await;
    last.write(format!("GET /last HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await;
    last.read_to_end().await;
    let mut lines = Vec::new();
    loop {
        let line = run.said("request");
        if line["path"] == "/last" {
            return lines;
        }
        lines.push(line);
    }
}

/// How often each reason was counted in this family.
async fn counted(run: &Run, family: &str) -> BTreeMap<String, u64> {
    let start = format!("consentry_{family}_total{{reason=\"");
    let metrics = run.metrics().await;
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(&start)?.split_once("\"} "));
    lines.map(|(reason, count)| (reason.to_owned(), count.parse().unwrap())).collect()
}

/// Whether an answer of HTTP/1.1 has this status and a body that is a line of text.
#[track_caller]
fn assert_plain(answer: &str, status: u16, what: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{what}: {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{what}: {head}");
    assert!(head.contains("content-type: text/plain; charset=utf-8"), "{what}: {head}");
    assert!(body.len() > 10 && body.ends_with('\n') && !body.contains('<'), "{what}: {body:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_no_proxy_may_pass_is_told_counted_and_answered_plainly() {
    let folder = with("127.0.0.1:0", "http://127.0.0.1:1", "");
    let mut run = Run::start(&folder);
    let ours = format!("Host: {HOST}\r\n");
    for (line, headers, status, reason) in [
        ("GET /x", "", 400, "no-host"),
        ("GET /x", "Host: a.example\r\nHost: b.example\r\n", 400, "several-hosts"),
        ("GET /x", "Host: a@b.example\r\n", 400, "malformed-host"),
        ("GET /x", "Host: a b\r\n", 400, "malformed-host"),
        ("GET http://b.example/x", &*ours, 400, "authority-disagrees"),
        ("GET ftp://www.example.se/x", &*ours, 400, "malformed-target"),
        ("GET *", &*ours, 400, "malformed-target"),
        ("CONNECT www.example.se:443", "Host: www.example.se:443\r\n", 501, "connect"),
        ("GET /x", &format!("{ours}Connection: upgrade\r\nUpgrade: h2c\r\n"), 400, "upgrade-to-http2"),
        ("POST /x", &format!("{ours}Transfer-Encoding: gzip, chunked\r\n"), 501, "transfer-coding"),
        ("GET /x", "Host: stranger.example\r\n", 421, "unknown-host"),
    ] {
        let before = counted(&run, "refused").await.get(reason).copied().unwrap_or_default();
        let mut wire = Wire::connect(run.address).await;
        wire.write(format!("{line} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).await;
        assert_plain(&wire.read_to_end().await, status, reason);
        let lines = requests(&mut run, HOST).await;
        let [told] = lines.as_slice() else { panic!("{reason}: {lines:?}") };
        assert_eq!((&told["status"], &told["reason"]), (&status.into(), &reason.into()), "{told}");
        assert_eq!(counted(&run, "refused").await[reason], before + 1, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_http2_that_no_proxy_may_pass_is_told_and_counted() {
    let folder = with("127.0.0.1:0", "http://127.0.0.1:1", "");
    let mut run = Run::start(&folder);
    let get = |host, more: &[(&'static [u8], &'static [u8])]| [&frames::get(host, "/x")[..], more].concat();
    for (fields, status, reason) in [
        (get("a@b.example", &[]), 400, "malformed-host"),
        (get(HOST, &[(b"host", b"b.example")]), 400, "authority-disagrees"),
        (vec![(&b":method"[..], &b"CONNECT"[..]), (b":authority", b"a.example:22")], 501, "connect"),
        (get("stranger.example", &[]), 421, "unknown-host"),
    ] {
        let mut connection = Frames::connect(run.address).await;
        connection.write(&frames::request(1, &fields)).await.unwrap();
        assert_eq!(connection.end_of(1).await, frames::End::Answer(status), "{reason}");
        let lines = requests(&mut run, HOST).await;
        let [told] = lines.as_slice() else { panic!("{reason}: {lines:?}") };
        assert_eq!((&told["status"], &told["reason"]), (&status.into(), &reason.into()), "{told}");
        assert_eq!(counted(&run, "refused").await[reason], 1, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_the_handshake_did_not_name_is_told_and_counted() {
    let files = TempDir::new().unwrap();
    let authority = Authority::new();
    authority.sign_into(files.path(), "a", &[HOST, "other.example"]);
    let pair = files.path().join("a");
    let tls = format!("{{ certificate: {0}.pem, key: {0}.key }}", pair.display());
    let listen = format!("127.0.0.1:0, tls: {{ certificates: [{tls}] }}");
    let folder = with(&listen, "http://127.0.0.1:1", "");
    let mut run = Run::start(&folder);
    let mut visitor = Browser::tls(run.address, "other.example", &authority, Speaks::Http1);
    let answer = visitor.send(Request::get("/x").header("host", HOST).body(full("")).unwrap()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("content-type")),
        (421, Some("text/plain; charset=utf-8"))
    );
    let told = run.said("request");
    assert_eq!((&told["status"], &told["reason"]), (&421.into(), &"server-name-disagrees".into()), "{told}");
    assert_eq!(counted(&run, "refused").await["server-name-disagrees"], 1);

    // Whoever speaks no TLS, or none that we do, is a refusal, too; who only goes away is none.
    drop(Wire::connect(run.address).await);
    let mut wire = Wire::connect(run.address).await;
    wire.write("GET / HTTP/1.1\r\nHost: www.example.se\r\n\r\n").await;
    wire.read_to_end().await;
    let told = run.said("a connection is refused");
    assert_eq!(told["reason"], "tls-handshake", "{told}");
    assert_eq!(counted(&run, "refused").await["tls-handshake"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_whole_request_is_told_and_counted_and_ends_its_connection() {
    let more = "timeouts: { request_header: 1s }\nlimits: { request_header: 8KiB }";
    let folder = with("127.0.0.1:0", "http://127.0.0.1:1", more);
    let mut run = Run::start(&folder);
    let large = format!("GET /{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "x".repeat(70_000));
    for (said, status, reason) in [
        ("GET / HTTP/1.1\r\nnonsense\r\n\r\n", Some(400), "malformed"),
        ("\u{16}\u{3}\u{1} TLS, for instance\r\n\r\n", Some(400), "malformed"),
        (&large, Some(431), "too-large"),
        // Nobody has asked for anything yet, so there is nothing to answer.
        ("GET / HTTP/1.1\r\nHost: www.exa", None, "slow-head"),
    ] {
        let mut wire = Wire::connect(run.address).await;
        let _ = wire.try_write(said.as_bytes()).await;
        let answer = wire.read_to_end().await;
        match status {
            Some(status) => assert_plain(&answer, status, reason),
            None => assert_eq!(answer, "", "{reason}"),
        }
        let told = run.said("a connection is refused");
        let port = u64::from(run.address.port());
        assert_eq!(
            (&told["reason"], &told["client"], &told["port"]),
            (&reason.into(), &"127.0.0.0".into(), &port.into())
        );
        let times = if reason == "malformed" { 1..=2 } else { 1..=1 };
        assert!(times.contains(&counted(&run, "refused").await[reason]), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_too_many_of_one_address_is_told_and_counted() {
    let folder = with("127.0.0.1:0", "http://127.0.0.1:1", "limits: { connections_per_address: 1 }");
    let mut run = Run::start(&folder);
    let mut first = Wire::connect(run.address).await;
    first.write(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    first.read_head().await;
    assert_eq!(Wire::connect(run.address).await.read_to_end().await, "");
    assert_eq!(run.said("a connection is refused")["reason"], "connections-per-address");
    assert_eq!(counted(&run, "refused").await["connections-per-address"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_gets_no_answer_of_the_upstream_is_told_counted_and_answered_plainly() {
    let (silent, broken) = (Script::bind().await, Script::bind().await);
    let more = "timeouts: { request_body: 1s, upstream_response: 1s }\nlimits: { request_body: 10B }";
    let folder = with("127.0.0.1:0", "http://127.0.0.1:1", more);
    for (name, upstream) in [("silent", silent.url()), ("broken", broken.url())] {
        let site = site(&upstream, "").replace(HOST, &format!("{name}.example"));
        write(&folder, &format!("config/sites/{name}.yaml"), &site);
    }
    let breaking = tokio::spawn(async move {
        loop {
            let mut wire = broken.accept().await;
            wire.read_head().await;
        }
    });
    let mut run = Run::start(&folder);
    let (upstreams, visitors) =
        (("upstream_failures", "no answer from the upstream"), ("refused", "a request is refused"));
    for (host, body, status, reason, (metric, message)) in [
        (HOST, "\r\n", 502, "connect", upstreams),
        ("broken.example", "\r\n", 502, "protocol", upstreams),
        ("silent.example", "\r\n", 504, "timed-out", upstreams),
        ("silent.example", "Content-Length: 11\r\n\r\n", 413, "too-large", visitors),
        ("silent.example", "Content-Length: 9\r\n\r\n12345", 408, "slow-body", visitors),
        ("silent.example", "Transfer-Encoding: chunked\r\n\r\nno number\r\n", 400, "request", visitors),
    ] {
        let mut wire = Wire::connect(run.address).await;
        wire.write(format!("POST /x HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{body}")).await;
        assert_plain(&wire.read_to_end().await, status, reason);
        let told = run.said(message);
        assert_eq!((&told["reason"], told["error"].is_string()), (&reason.into(), true), "{told}");
        let lines = requests(&mut run, "stranger.example").await;
        let [told] = lines.as_slice() else { panic!("{reason}: {lines:?}") };
        assert_eq!((&told["status"], &told["reason"]), (&status.into(), &reason.into()), "{told}");
        assert_eq!(counted(&run, metric).await[reason], 1, "{reason}");
        let other = if metric == "refused" { "upstream_failures" } else { "refused" };
        assert!(!counted(&run, other).await.contains_key(reason), "{reason}");
    }
    breaking.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_leads_to_https_leads_nobody_to_a_host_that_no_site_has() {
    let folder = with("127.0.0.1:0, redirect_to_https: true", "http://127.0.0.1:1", "");
    let mut run = Run::start(&folder);
    for (headers, status, reason) in [
        ("Host: stranger.example\r\n", 421, "unknown-host"),
        ("Host: www.example.se@stranger.example\r\n", 400, "malformed-host"),
        ("Host: www.example.se\r\nHost: stranger.example\r\n", 400, "several-hosts"),
        ("", 400, "no-host"),
    ] {
        let mut wire = Wire::connect(run.address).await;
        wire.write(format!("GET /x HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).await;
        let answer = wire.read_to_end().await;
        assert_plain(&answer, status, reason);
        assert!(!answer.contains("location:"), "{answer}");
        let told = run.said("request");
        assert_eq!((&told["status"], &told["reason"]), (&status.into(), &reason.into()), "{told}");
        assert_eq!(counted(&run, "refused").await[reason], 1, "{reason}");
    }
    let answer = Browser::clear(run.address, "WWW.Example.se:8080").get("/a?b=c").await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (308, Some("https://www.example.se/a?b=c"))
    );
}
