//! What operators see of each request: one line in the log, and the counters.

use consentry::filter::body::full;
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::Value;

use crate::process::{Run, folder};
use crate::support::browser::Browser;
use crate::support::soon;
use crate::support::upstream::{Upstream, piecewise};
use crate::support::whole::{CUSTOMERS, HOST, site};
use crate::support::wire::{Script, Wire};

const PAGE: &str = "<!doctype html><html><head><title>T</title></head><body><p>Text</p></body></html>";

/// An application with a page, data, and a page that is no gzip.
async fn shop() -> Upstream {
    Upstream::answering(|seen| {
        let answer = Response::builder();
        match seen.target.split('?').next() {
            Some("/data.json") => answer.header("content-type", "application/json").body(full("{}")),
            Some("/lie") => {
                answer.header("content-type", "text/html").header("content-encoding", "gzip").body(full(PAGE))
            }
            _ => answer.header("content-type", "text/html").body(full(PAGE)),
        }
        .unwrap()
    })
    .await
}

/// The keys and values that a line has beside those of every line.
fn particulars(line: &Value) -> Vec<String> {
    const COMMON: [&str; 16] = [
        "timestamp",
        "level",
        "message",
        "client",
        "method",
        "status",
        "bytes_sent",
        "bytes_received",
        "head_milliseconds",
        "total_milliseconds",
        "scheme",
        "host",
        "path",
        "http_version",
        "site",
        "upstream",
    ];
    let of = |(key, value): (&String, &Value)| match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    };
    let fields = line.as_object().unwrap().iter();
    let mut found: Vec<_> = fields.filter(|(key, _)| !COMMON.contains(&key.as_str())).map(of).collect();
    found.sort();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_one_line_that_says_what_became_of_it() {
    let upstream = shop().await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), CUSTOMERS));
    let mut run = Run::start(&folder);
    let mut visitor = Browser::clear(run.address, HOST).always("user-agent", "secret-agent");
    visitor.set_cookie("theme", "secret-cookie");
    let page = visitor.navigate("/bilder?secret=query").await;
    let line = run.said("request");
    for (key, expected) in [
        ("client", Value::from("127.0.0.0")),
        ("method", "GET".into()),
        ("status", 200.into()),
        ("bytes_sent", page.bytes.len().into()),
        ("bytes_received", 0.into()),
        ("scheme", "http".into()),
        ("host", HOST.into()),
        ("path", "/bilder".into()),
        ("http_version", "1.1".into()),
        ("site", "example".into()),
        ("upstream", upstream.address.to_string().into()),
    ] {
        assert_eq!(line[key], expected, "{key} in {line}");
    }
    let time = |key: &str| line[key].as_f64().unwrap();
    assert!(time("head_milliseconds") > 0.0 && time("total_milliseconds") >= time("head_milliseconds"));
    assert_eq!(particulars(&line), ["choices=undecided", "gate=admitted", "page=rewritten"]);
    assert!(!line.to_string().contains("secret"), "{line}");

    visitor.get("/data.json").await;
    assert_eq!(particulars(&run.said("request")), ["choices=undecided", "gate=admitted", "page=not-html"]);
    let fields = [("choice", "accept-all"), ("return", "/")];
    visitor.post_form("/_consent/choices", &fields).await;
    let own = run.said("request");
    assert_eq!((particulars(&own), &own["status"]), (vec!["choices=undecided".to_owned()], &303.into()));
    assert_eq!(own["bytes_received"], "choice=accept-all&return=%2F".len());
    let mut visitor = visitor.always("sec-gpc", "1");
    visitor.get("/").await;
    let line = run.said("request");
    assert_eq!(particulars(&line), ["choices=partial", "gate=admitted", "gpc=true", "page=rewritten"]);
    visitor.set_cookie("PHPSESSID", "1");
    visitor.navigate("/konto").await;
    assert_eq!(particulars(&run.said("request")), ["choices=partial", "gate=shown", "gpc=true"]);

    let metrics = run.metrics().await;
    for line in [
        "consentry_answers_total{class=\"2xx\",by=\"upstream\"} 3",
        "consentry_answers_total{class=\"3xx\",by=\"own\"} 1",
        "consentry_answers_total{class=\"3xx\",by=\"gate\"} 1",
        "consentry_head_seconds_count 5",
        "consentry_upstream_seconds_count 3",
        "consentry_received_bytes_total 28",
        "consentry_under_way 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_no_site_sees_has_a_line_with_the_reason() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let mut run = Run::start(&folder);
    for (hosts, status, reason) in [
        ("Host: stranger.example\r\n", 421, "unknown-host"),
        ("Host: a.example\r\nHost: b.example\r\n", 400, "several-hosts"),
        ("", 400, "no-host"),
        ("Host: a b\r\n", 400, "malformed-host"),
        ("Host: somebody:secret@a.example\r\n", 400, "malformed-host"),
    ] {
        let mut wire = Wire::connect(run.address).await;
        wire.write(format!("GET /x HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n")).await;
        wire.read_to_end().await;
        let line = run.said("request");
        assert_eq!((&line["status"], &line["reason"]), (&status.into(), &reason.into()), "{line}");
        assert!(line.get("site").is_none() && !line.to_string().contains("secret"), "{line}");
    }
    assert!(run.metrics().await.contains("consentry_answers_total{class=\"4xx\",by=\"refused\"} 5"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_https_has_a_line_too() {
    let folder = folder("127.0.0.1:0, redirect_to_https: true", &site("http://127.0.0.1:1", ""));
    let mut run = Run::start(&folder);
    assert_eq!(Browser::clear(run.address, HOST).get("/a?secret=query").await.status, 308);
    let line = run.said("request");
    assert_eq!((&line["status"], &line["path"]), (&308.into(), &"/a".into()), "{line}");
    assert!(line.get("broke_off").is_none() && !line.to_string().contains("secret"), "{line}");
    assert!(run.metrics().await.contains("consentry_answers_total{class=\"3xx\",by=\"redirect\"} 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_gives_no_answer_is_the_reason() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let mut run = Run::start(&folder);
    Browser::clear(run.address, HOST).navigate("/").await;
    let line = run.said("request");
    assert_eq!((&line["status"], &line["reason"]), (&502.into(), &"connect".into()), "{line}");
    assert!(line.get("upstream").is_none() && line.get("page").is_none(), "{line}");
    assert!(run.metrics().await.contains("consentry_answers_total{class=\"5xx\",by=\"failure\"} 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_says_so_and_why() {
    let script = Script::bind().await;
    let folder = folder("127.0.0.1:0", &site(&script.url(), ""));
    let mut run = Run::start(&folder);
    let mut visitor = Wire::connect(run.address).await;
    let ask = format!("GET /a HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\n";

    visitor.write(&ask).await;
    let mut upstream = script.accept().await;
    upstream.read_head().await;
    upstream.write(format!("{head}half")).await;
    drop(upstream);
    visitor.read_to_end().await;
    let line = run.said("request");
    assert_eq!(
        (&line["broke_off"], &line["bytes_sent"]),
        (&"upstream-broke-off".into(), &4.into()),
        "{line}"
    );

    let mut visitor = Wire::connect(run.address).await;
    visitor.write(&ask).await;
    let mut upstream = script.accept().await;
    upstream.read_head().await;
    upstream.write(format!("{head}half")).await;
    visitor.read_until("half").await;
    drop(visitor);
    let line = run.said("request");
    assert_eq!((&line["broke_off"], &line["status"]), (&"connection-ended".into(), &200.into()), "{line}");

    // Gone before there is an answer at all.
    let mut visitor = Wire::connect(run.address).await;
    visitor.write(&ask).await;
    let mut upstream = script.accept().await;
    upstream.read_head().await;
    drop(visitor);
    let line = run.said("request");
    assert_eq!((&line["broke_off"], &line["status"]), (&"connection-ended".into(), &0.into()), "{line}");
    assert!(line.get("head_milliseconds").is_none());
    let metrics = run.metrics().await;
    for line in [
        "consentry_answers_total{class=\"2xx\",by=\"upstream\"} 2",
        "consentry_answers_total{class=\"none\",by=\"upstream\"} 1",
        "consentry_broken_off_total{reason=\"connection-ended\"} 2",
        "consentry_broken_off_total{reason=\"upstream-broke-off\"} 1",
        "consentry_total_seconds_count 3",
        "consentry_head_seconds_count 2",
        "consentry_under_way 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_cannot_be_filtered_to_its_end_says_at_what() {
    let upstream = shop().await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    let mut run = Run::start(&folder);
    let mut visitor = Wire::connect(run.address).await;
    visitor.write(format!("GET /lie HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
    visitor.read_to_end().await;
    let line = run.said("request");
    assert_eq!((&line["status"], &line["broke_off"]), (&200.into(), &"decoding".into()), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_waits_for_the_end_of_its_answer() {
    let (pieces, body) = piecewise();
    let body = std::sync::Mutex::new(Some(body));
    let upstream = Upstream::answering(move |_| {
        let body = body.lock().unwrap().take().unwrap_or_else(|| full("soon"));
        Response::builder().header("content-type", "text/plain").body(body).unwrap()
    })
    .await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    let mut run = Run::start(&folder);
    let mut visitor = Browser::clear(run.address, HOST);
    let (slow, _) = visitor.open(Request::get("/slow").body(full("")).unwrap()).await;
    visitor.get("/quick").await;
    assert_eq!(run.said("request")["path"], "/quick");
    assert!(run.metrics().await.contains("consentry_under_way 1"));
    pieces.send("at last".into()).await.unwrap();
    drop(pieces);
    soon(slow.into_body().collect()).await.unwrap();
    let line = run.said("request");
    assert_eq!((&line["path"], &line["bytes_sent"]), (&"/slow".into(), &7.into()), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_once_that_it_starts_reads_its_settings_again_and_stops() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let mut run = Run::start(&folder);
    let started = run.said("started");
    assert_eq!(started["version"], env!("CARGO_PKG_VERSION"), "{started}");
    assert_eq!((&started["sites"], &started["listeners"]), (&1.into(), &1.into()), "{started}");
    run.signal("-HUP");
    run.said("the settings have been read again");
    run.signal("-TERM");
    let (_, said) = run.last_words();
    let count = |message: &str| said.iter().filter(|line| line.contains(message)).count();
    assert_eq!((count("started"), count("stopping"), count("stopped"), said.len()), (0, 1, 1, 2), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_told_by_the_running_program() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let run = Run::start(&folder);
    let mut operator = Browser::clear(run.admin, "localhost");
    let ready = operator.get("/readyz").await;
    assert_eq!(ready.status, 200);
    let expected = "ready\nsites 1\nsites_not_filled_in 0\ntexts_not_filled_in 0\nundeclared 0\nsites_outdated 0\nsettings_refused 0\nledger_works 1\nledger_queue 0\n";
    assert_eq!(ready.text(), expected);
    let metrics = operator.get("/metrics").await;
    assert_eq!(metrics.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = metrics.text();
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse::<f64>().ok()).unwrap_or_else(|| panic!("{name} in {text}"))
    };
    let started = value("process_start_time_seconds");
    assert!(started > 1.6e9 && value("consentry_settings_applied_timestamp_seconds") >= started.floor());
    assert!(value("process_resident_memory_bytes") > 1e6 && value("process_open_fds") > 2.0);
    assert!(value("process_cpu_seconds_total") >= 0.0 && value("consentry_ledger_works") == 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_counted_by_site_where_that_is_asked_for() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let main = folder.path().join("config/consentry.yaml");
    let usual = std::fs::read_to_string(&main).unwrap();
    for (key, expected) in [("", false), (", count_by_site: true", true)] {
        let asked =
            usual.replace("admin: { address: 127.0.0.1:0", &format!("admin: {{ address: 127.0.0.1:0{key}"));
        std::fs::write(&main, asked).unwrap();
        let run = Run::start(&folder);
        Browser::clear(run.address, HOST).get("/").await;
        Browser::clear(run.address, "stranger.example").get("/").await;
        let metrics = run.metrics().await;
        let counted = "consentry_site_answers_total{site=\"example\",class=\"5xx\"} 1";
        assert_eq!(metrics.lines().any(|line| line == counted), expected, "{metrics}");
        assert!(!metrics.contains("stranger"), "no name that a client sends is a label");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_can_be_left_out_and_the_counters_stay() {
    let upstream = shop().await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    let run = Run::start_logging(&folder, "info,access=off");
    Browser::clear(run.address, HOST).get("/").await;
    assert!(run.metrics().await.contains("consentry_answers_total{class=\"2xx\",by=\"upstream\"} 1"));
    run.signal("-TERM");
    let (status, said) = run.last_words();
    assert!(status.success() && !said.iter().any(|line| line.contains("\"request\"")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn trace_context_passes_unchanged_and_names_the_trace_in_the_log() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let upstream = shop().await;
    for mode in ["enforce", "off"] {
        let folder = folder("127.0.0.1:0", &site(&upstream.url(), &format!("mode: {mode}")));
        let mut run = Run::start(&folder);
        for (parent, is_valid) in
            [(format!("00-{TRACE}-b7ad6b7169203331-01"), true), ("mad-e-up".into(), false)]
        {
            let state = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";
            let mut visitor =
                Browser::clear(run.address, HOST).always("traceparent", &parent).always("tracestate", state);
            visitor.get("/data.json").await;
            let seen = upstream.seen().pop().unwrap();
            assert_eq!(seen.header("traceparent").as_deref(), Some(&*parent));
            assert_eq!(seen.header("tracestate").as_deref(), Some(state));
            let line = run.said("request");
            assert_eq!(line.get("trace_id"), is_valid.then(|| TRACE.into()).as_ref(), "{line}");
        }
        Browser::clear(run.address, HOST).get("/data.json").await;
        let seen = upstream.seen().pop().unwrap();
        assert!(!seen.headers.contains_key("traceparent"), "nobody is told of a trace that nobody keeps");
    }
}
