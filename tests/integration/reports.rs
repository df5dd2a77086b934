//! What browsers report of the policy: taken in within bounds, counted, and never more than that.

use consentry::filter::body::full;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::{Request, StatusCode};
use serde_json::json;

use crate::support::browser::Answer;

use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, Whole, site};

const PAGE: &str = "<!doctype html><html><head><title>x</title></head><body><p>x</body></html>";

const SINGLE: &str = "application/csp-report";

async fn report(whole: &Whole, origin: &str, kind: &str, body: String) -> Answer {
    let request = Request::post("/_consent/reports").header(ORIGIN, origin).header(CONTENT_TYPE, kind);
    whole.visitor().send(request.body(full(body)).unwrap()).await
}

fn violation(blocked: &str) -> String {
    json!({ "csp-report": {
        "document-uri": format!("http://{HOST}/shop?mail=anna%40example.se"),
        "blocked-uri": blocked,
        "effective-directive": "img-src",
        "disposition": "enforce",
    }})
    .to_string()
}

#[tokio::test]
async fn a_page_says_where_reports_go_and_they_are_counted_there() {
    let upstream = Upstream::page("text/html", PAGE).await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let policy = whole.visitor().navigate("/").await.header("content-security-policy").unwrap().to_owned();
    assert!(policy.ends_with("; report-uri /_consent/reports"), "{policy}");
    let here = format!("http://{HOST}");
    for blocked in [
        "https://www.google-analytics.com/collect?cid=1.2",
        "https://stranger.example/x?id=7",
        "https://stranger.example/y",
        "inline",
        "chrome-extension://abc",
    ] {
        let answer = report(&whole, &here, SINGLE, violation(blocked)).await;
        assert_eq!((answer.status, answer.bytes.len()), (StatusCode::NO_CONTENT, 0));
    }
    let metrics = whole.server.metrics().render();
    for (party, count) in [("held", 1), ("unknown", 2), ("inline", 1)] {
        let line = format!(
            "consentry_reports_total{{directive=\"img-src\",party=\"{party}\",disposition=\"enforce\"}} {count}"
        );
        assert!(metrics.lines().any(|found| found == line), "{line} in {metrics}");
    }
    for secret in ["stranger", "anna", "cid"] {
        assert!(!metrics.contains(secret), "{secret}");
    }
    assert!(upstream.seen().iter().all(|seen| !seen.target.contains("reports")));
    whole.server.stop().await;
}

#[tokio::test]
async fn the_reporting_interface_of_browsers_is_understood_too() {
    let upstream = Upstream::page("text/html", PAGE).await;
    let whole = Whole::start(&site(&upstream.url(), "third_parties: { unknown: allow }\n")).await;
    let answer = whole.visitor().navigate("/").await;
    assert_eq!(answer.header("content-security-policy"), None);
    let policy = answer.header("content-security-policy-report-only").unwrap();
    assert!(!policy.contains("img-src *"), "{policy}");
    let body = json!([{ "type": "csp-violation", "url": format!("http://{HOST}/"), "body": {
        "documentURL": format!("http://{HOST}/"),
        "blockedURL": "https://stranger.example/x",
        "effectiveDirective": "script-src-elem",
        "disposition": "report",
    }}]);
    let here = format!("http://{HOST}");
    let answer = report(&whole, &here, "application/reports+json", body.to_string()).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    let line =
        "consentry_reports_total{directive=\"script-src-elem\",party=\"unknown\",disposition=\"report\"} 1";
    assert!(whole.server.metrics().render().contains(line));
    whole.server.stop().await;
}

#[tokio::test]
async fn what_is_no_report_of_this_site_is_refused_and_counted() {
    let upstream = Upstream::page("text/html", PAGE).await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let here = format!("http://{HOST}");
    for (origin, kind, body, status, reason) in [
        ("https://evil.example", SINGLE, violation("inline"), 403, "other-origin"),
        (&*here, "text/plain", violation("inline"), 415, "type"),
        (&*here, SINGLE, "{".into(), 400, "unreadable"),
        (&*here, SINGLE, "x".repeat(70 << 10), 413, "too-large"),
    ] {
        let answer = report(&whole, origin, kind, body).await;
        assert_eq!(answer.status.as_u16(), status, "{reason}");
        let line = format!("consentry_reports_refused_total{{reason=\"{reason}\"}} 1");
        assert!(whole.server.metrics().render().contains(&line), "{line}");
    }
    assert_eq!(whole.visitor().get("/_consent/reports").await.status, StatusCode::METHOD_NOT_ALLOWED);
    whole.server.stop().await;
}

#[tokio::test]
async fn a_flood_of_reports_is_cut_short() {
    let upstream = Upstream::page("text/html", PAGE).await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let here = format!("http://{HOST}");
    let mut refused = 0;
    for _ in 0..1_300 {
        let answer = report(&whole, &here, SINGLE, violation("inline")).await;
        refused += usize::from(answer.status == StatusCode::TOO_MANY_REQUESTS);
    }
    // A minute may end in between, and another begin.
    assert!(refused >= 100, "{refused}");
    whole.server.stop().await;
}

#[tokio::test]
async fn a_site_that_is_only_observed_reports_and_changes_nothing() {
    let upstream = Upstream::page("text/html", PAGE).await;
    let whole = Whole::start(&site(&upstream.url(), "mode: observe\n")).await;
    let answer = whole.visitor().navigate("/").await;
    assert_eq!(answer.text(), PAGE);
    assert_eq!(answer.header("content-security-policy"), None);
    let policy = answer.header("content-security-policy-report-only").unwrap();
    assert!(policy.contains("default-src 'self'") && policy.ends_with("report-uri /_consent/reports"));
    let here = format!("http://{HOST}");
    let answer = report(&whole, &here, SINGLE, violation("https://stranger.example/")).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    // Everything else below is the upstream's while the site is only observed.
    whole.visitor().get("/_consent/choices").await;
    let seen: Vec<_> = upstream.seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(seen, ["/", "/_consent/choices"]);
    whole.server.stop().await;
}
