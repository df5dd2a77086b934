//! Properties of what nobody would write on purpose: requests and answers put together from the pieces that attacks
//! are made of. The same pieces come in each run that fails, until they pass.

use std::time::Duration;

use consentry::filter::body::full;
use http::{Request, Response};
use http_body_util::BodyExt;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::liar::{Liar, TRUTH, Then};
use crate::support::soon;
use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, Whole, site};
use crate::support::wire::Wire;

const CASES: u32 = 150;

const PATIENCE: Duration = Duration::from_millis(100);

const LAST: &str = "GET /last HTTP/1.1\r\nHost: www.example.se\r\nConnection: close\r\n\r\n";

fn any_of(pieces: &'static [&'static str], count: std::ops::Range<usize>) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(pieces), count).prop_map(|pieces| pieces.concat())
}

const HEADERS: &[&str] = &[
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 40\r\n",
    "Content-Length: 5, 5\r\n",
    "content-length:5\r\n",
    "Content_Length: 7\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:chunked \r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: x, chunked\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\n",
    "TE: trailers\r\n",
    "Trailer: X-Forwarded-For\r\n",
    "Connection: keep-alive\r\n",
    "Connection: close, content-length, transfer-encoding\r\n",
    "Upgrade: websocket\r\nConnection: upgrade\r\n",
    "Expect: 100-continue\r\n",
    "X-Forwarded-For: 6.6.6.6\r\n",
    "Host: www.example.se\r\n",
    "X: y\r\n z\r\n",
    "X: y\rTransfer-Encoding: chunked\r\n",
    "Cookie: a=1\r\n",
];

const BODIES: &[&str] = &[
    "12345",
    "5\r\n12345\r\n",
    "0\r\n\r\n",
    "0\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n",
    "0\r\n",
    "\r\n",
    "GET /hidden HTTP/1.1\r\nHost: www.example.se\r\n\r\n",
    "3;a=b\r\n123\r\n",
    "ffffffffffffffff\r\n",
    "\0",
];

/// A reader without any lenience: the targets of requests that are framed in one way alone, and nothing between.
fn strictly_read(mut bytes: &str) -> Result<Vec<String>, String> {
    let mut targets = Vec::new();
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_once("\r\n\r\n").ok_or(format!("half a head: {bytes:?}"))?;
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap_or_default();
        let target = line.split(' ').nth(1).ok_or(format!("no request: {line:?}"))?;
        let fields: Vec<_> = lines.map(|line| line.split_once(": ").unwrap_or((line, ""))).collect();
        let values = |name: &str| -> Vec<&str> {
            let is = |field: &str| field.replace('_', "-").eq_ignore_ascii_case(name);
            fields.iter().filter(|(field, _)| is(field)).map(|(_, value)| *value).collect()
        };
        if values("x-forwarded-for") != ["127.0.0.1"] {
            return Err(format!("not the proxy's: {head:?}"));
        }
        bytes = match (&values("content-length")[..], &values("transfer-encoding")[..]) {
            ([], []) => rest,
            ([length], []) => rest.get(length.parse().map_err(|_| head)?..).unwrap_or_default(),
            ([], ["chunked"]) => after_chunks(rest),
            _ => return Err(format!("framed twice: {head:?}")),
        };
        targets.push(target.to_owned());
    }
    Ok(targets)
}

/// What follows the last chunk; nothing where it has not come.
fn after_chunks(mut bytes: &str) -> &str {
    loop {
        let Some((size, rest)) = bytes.split_once("\r\n") else { return "" };
        let Ok(size) = usize::from_str_radix(size, 16) else { return "" };
        if size == 0 {
            return rest.split_once("\r\n").map_or("", |(_, rest)| rest);
        }
        bytes = rest.get(size + 2..).unwrap_or_default();
    }
}

#[test]
fn no_request_reaches_the_upstream_that_the_proxy_has_not_judged() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let method = proptest::sample::select(&["GET", "POST", "HEAD", "PUT", "OPTIONS"][..]);
    let version = proptest::sample::select(&["HTTP/1.1", "HTTP/1.0"][..]);
    let said = (method, version, any_of(HEADERS, 0..5), any_of(BODIES, 0..4));
    let mut runner = TestRunner::new(Config { cases: CASES, ..Config::default() });
    let outcome = runner.run(&said, |(method, version, headers, body)| {
        runtime.block_on(async {
            // One upstream a case, so that all it ever heard belongs to this one.
            let upstream = Upstream::answering(|_| Response::new(full("hello"))).await;
            let proxy = Whole::start(&site(&upstream.url(), "mode: off")).await;
            let mut wire = Wire::connect(proxy.address()).await;
            let said = format!("{method} /1 {version}\r\nHost: {HOST}\r\n{headers}\r\n{body}{LAST}");
            let _ = wire.try_write(said.as_bytes()).await;
            // Where a body was announced that never comes, the proxy waits for it; this does not.
            let _ = tokio::time::timeout(PATIENCE, wire.read_to_end()).await;
            let mut targets = strictly_read(&upstream.heard());
            // The upstream reads how it is spoken to, and then the rest: what is whole a moment later was sent whole.
            for _ in 0..200 {
                if !targets.as_ref().is_err_and(|why| why.starts_with("half a head")) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
                targets = strictly_read(&upstream.heard());
            }
            let targets = targets.map_err(TestCaseError::fail)?;
            for target in &targets {
                prop_assert!(["/1", "/last", "/hidden"].contains(&target.as_str()), "{:?}", target);
            }
            for seen in upstream.seen() {
                prop_assert!(targets.contains(&seen.target));
                let trailers = seen.trailers.unwrap_or_default();
                prop_assert!(!trailers.contains_key("x-forwarded-for"), "{:?}", trailers);
            }
            Ok(())
        })
    });
    outcome.unwrap();
}

const ANSWERS: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
    "HTTP/1.1 999\r\n",
    "Content-Type: text/html\r\n",
    "Content-Type: text/plain\r\n",
    "Content-Encoding: gzip\r\n",
    "Content-Encoding: br\r\n",
    "Content-Length: 12\r\n",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Connection: close\r\n",
    "Trailer: Set-Cookie\r\n",
    "nonsense\r\n",
    "\r\n",
    "<p>hello</p>",
    "c\r\n<p>hello</p>\r\n",
    "5\r\n<scri\r\n",
    "0\r\n\r\n",
    "0\r\nSet-Cookie: a=1\r\n\r\n",
    "\x1f\0\0",
];

#[test]
fn no_answer_harms_the_next() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (liar, proxy) = runtime.block_on(async {
        let liar = Liar::start().await;
        let proxy = Whole::start(&site(&liar.url(), "")).await;
        (liar, proxy)
    });
    let then = proptest::sample::select(&[Then::Closes, Then::Stays][..]);
    let mut runner = TestRunner::new(Config { cases: CASES, ..Config::default() });
    let outcome = runner.run(&(any_of(ANSWERS, 1..9), then), |(answer, then)| {
        runtime.block_on(async {
            liar.says(answer, then);
            let request = Request::get("/lie").header("sec-fetch-dest", "document").body(full("")).unwrap();
            let mut visitor = proxy.visitor();
            // Half an answer from an upstream that stays is waited for, as long as the operator says.
            let exchange = async {
                if let Ok((answer, _)) = visitor.attempt(request).await {
                    let trailers =
                        answer.into_body().collect().await.ok().and_then(|body| body.trailers().cloned());
                    assert!(trailers.is_none_or(|trailers| !trailers.contains_key("set-cookie")));
                }
            };
            let _ = tokio::time::timeout(PATIENCE, exchange).await;
            prop_assert_eq!(soon(proxy.visitor().get("/")).await.text(), TRUTH);
            Ok(())
        })
    });
    outcome.unwrap();
    let metrics = proxy.server.metrics().render();
    assert!(metrics.contains("consentry_panics_total 0"), "{metrics}");
}
