//! Whatever HTTP can do, it does through the proxy as without it: each exchange is made with the upstream itself
//! and through the proxy, and both sides of both are compared. What may differ is listed here, and nowhere else.
//! WebSockets have their part of the matrix in `websocket`.

use std::convert::Infallible;

use bytes::Bytes;
use consentry::filter::Body;
use consentry::filter::body::{full, stream};
use http::request::Builder;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::browser::{Answer, Browser, Speaks};
use crate::support::frames::{self, Frames};
use crate::support::soon;
use crate::support::upstream::{Seen, Upstream, piecewise};
use crate::support::whole::{HOST, Whole, site};
use crate::support::wire::{Script, Wire};

/// How the visitor speaks.
const VISITORS: [Speaks; 2] = [Speaks::Http1, Speaks::Http2];

/// How the upstream speaks, to the proxy and to who asks it directly.
const UPSTREAMS: [Speaks; 2] = [Speaks::Http1, Speaks::Http2];

/// What belongs to one connection, and the clock.
const NEVER_COMPARED: [&str; 6] =
    ["connection", "keep-alive", "transfer-encoding", "date", "upgrade", "proxy-connection"];

/// What the proxy tells the upstream, over what the visitor says.
const ADDED_FOR_THE_UPSTREAM: [&str; 4] =
    ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded"];

const LARGE: usize = 1 << 20;
const TAG: &str = "\"v1\"";
const CHANGED: &str = "Tue, 24 Nov 2026 12:00:00 GMT";

fn large() -> Bytes {
    (0..LARGE).map(|index| (index % 251) as u8).collect()
}

/// A body in three pieces, of a length that nobody says.
fn open_ended(trailers: Option<HeaderMap>) -> Body {
    let pieces = ["one, ", "two, ", "three"].map(|piece| Frame::data(Bytes::from(piece)));
    let frames = pieces.into_iter().chain(trailers.map(Frame::trailers));
    stream(StreamBody::new(futures_util::stream::iter(frames.map(Ok::<_, Infallible>))))
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static("x-checksum"), HeaderValue::from_static("7"))])
}

/// The upstream: a file with ranges and conditions, and whatever else an application answers.
fn answer(seen: &Seen) -> Response<Body> {
    let path = seen.target.split('?').next().unwrap();
    let plain = Response::builder().header("content-type", "text/plain");
    match path {
        "/file" => file(seen),
        "/open" => plain.body(open_ended(None)).unwrap(),
        "/trailers" => plain.header("trailer", "x-checksum").body(open_ended(Some(trailers()))).unwrap(),
        "/nothing" => Response::builder().status(204).header("x-kept", "1").body(full("")).unwrap(),
        "/reset" => Response::builder().status(205).body(full("")).unwrap(),
        "/elsewhere" => plain
            .status(302)
            .header("location", "https://other.example/a?b#c")
            .body(full("over there"))
            .unwrap(),
        "/busy" => plain.status(503).header("retry-after", "5").body(full("later")).unwrap(),
        "/teapot" => plain.status(418).body(full("short and stout")).unwrap(),
        "/headers" => plain
            .header("set-cookie", "a=1; Path=/; HttpOnly")
            .header("set-cookie", "b=2; SameSite=Lax")
            .header("x-empty", "")
            .header("x-many", "1")
            .header("x-many", "2")
            .header("x-latin", HeaderValue::from_bytes(b"sm\xf6rg\xe5s").unwrap())
            .header("cache-control", "public, max-age=60")
            .header("vary", "Accept")
            .header("etag", "W/\"weak\"")
            .header("content-language", "sv")
            .header("access-control-allow-origin", "*")
            .header("strict-transport-security", "max-age=1")
            .header("content-security-policy", "default-src 'self'")
            .body(full("{}"))
            .unwrap(),
        "/coded" => plain.header("content-encoding", "gzip").body(full(&b"as it came"[..])).unwrap(),
        _ => plain.body(full(seen.body.clone())).unwrap(),
    }
}

/// RFC 9110 sections 13 and 14, as far as one file needs them.
fn file(seen: &Seen) -> Response<Body> {
    let whole = large();
    let head = Response::builder()
        .header("content-type", "application/octet-stream")
        .header("accept-ranges", "bytes")
        .header("etag", TAG)
        .header("last-modified", CHANGED);
    if seen.header("if-match").is_some_and(|tag| tag != TAG) {
        return head.status(412).body(full("")).unwrap();
    }
    let is_known = seen.header("if-none-match").is_some_and(|tags| tags.contains(TAG))
        || seen.header("if-modified-since").is_some_and(|date| date == CHANGED);
    if is_known {
        return head.status(304).body(full("")).unwrap();
    }
    let fits = seen.header("if-range").is_none_or(|tag| tag == TAG);
    match seen.header("range").filter(|_| fits).as_deref() {
        Some("bytes=10-19") => head
            .status(206)
            .header("content-range", format!("bytes 10-19/{LARGE}"))
            .body(full(whole.slice(10..20)))
            .unwrap(),
        Some("bytes=0-0,-1") => head
            .status(206)
            .header("content-type", "multipart/byteranges; boundary=x")
            .body(full("--x\r\n\r\n\0\r\n--x\r\n\r\n\x01\r\n--x--\r\n"))
            .unwrap(),
        Some(_) => {
            head.status(416).header("content-range", format!("bytes */{LARGE}")).body(full("")).unwrap()
        }
        None if seen.method == Method::HEAD => head.header("content-length", LARGE).body(full("")).unwrap(),
        None => head.body(full(whole)).unwrap(),
    }
}

type Make = fn() -> Request<Body>;

fn empty(request: Builder) -> Request<Body> {
    request.body(full("")).unwrap()
}

const EXCHANGES: [(&str, Make); 37] = [
    ("a small answer", || empty(Request::get("/"))),
    ("a large answer", || empty(Request::get("/file"))),
    ("a chunked answer", || empty(Request::get("/open"))),
    ("trailers for who takes them", || empty(Request::get("/trailers").header("te", "trailers"))),
    ("trailers for who does not", || empty(Request::get("/trailers"))),
    ("a small form", || Request::post("/").body(full("a=1&b=2")).unwrap()),
    ("an empty form", || empty(Request::post("/").header("content-length", "0"))),
    ("a large upload", || Request::put("/").body(full(large())).unwrap()),
    ("a chunked upload", || Request::post("/").body(open_ended(None)).unwrap()),
    ("a chunked upload with trailers", || {
        Request::post("/").header("trailer", "x-checksum").body(open_ended(Some(trailers()))).unwrap()
    }),
    ("a question with a body", || Request::get("/").body(full("{\"query\":1}")).unwrap()),
    ("HEAD of a file", || empty(Request::head("/file"))),
    ("HEAD of an open end", || empty(Request::head("/open"))),
    ("HEAD of nothing", || empty(Request::head("/nothing"))),
    ("HEAD of a redirect", || empty(Request::head("/elsewhere"))),
    ("a range", || empty(Request::get("/file").header("range", "bytes=10-19"))),
    ("several ranges", || empty(Request::get("/file").header("range", "bytes=0-0,-1"))),
    ("a range out of reach", || empty(Request::get("/file").header("range", "bytes=99999999-"))),
    ("a range of this version", || {
        empty(Request::get("/file").header("range", "bytes=10-19").header("if-range", TAG))
    }),
    ("a range of another version", || {
        empty(Request::get("/file").header("range", "bytes=10-19").header("if-range", "\"v0\""))
    }),
    ("If-None-Match that fits", || empty(Request::get("/file").header("if-none-match", TAG))),
    ("If-None-Match in a list", || empty(Request::get("/file").header("if-none-match", "\"v0\", \"v1\""))),
    ("If-None-Match that does not", || empty(Request::get("/file").header("if-none-match", "\"v0\""))),
    ("If-Modified-Since", || empty(Request::get("/file").header("if-modified-since", CHANGED))),
    ("HEAD with a condition", || empty(Request::head("/file").header("if-none-match", TAG))),
    ("If-Match that does not fit", || {
        Request::put("/file").header("if-match", "\"v0\"").body(full("new")).unwrap()
    }),
    ("204", || empty(Request::get("/nothing"))),
    ("204 to DELETE", || empty(Request::delete("/nothing"))),
    ("205", || empty(Request::post("/reset").header("content-length", "0"))),
    ("a redirect to elsewhere", || empty(Request::get("/elsewhere"))),
    ("503", || empty(Request::get("/busy"))),
    ("a status of its own", || empty(Request::get("/teapot"))),
    ("headers of all kinds", || empty(Request::get("/headers"))),
    ("a coding that the visitor takes", || empty(Request::get("/coded").header("accept-encoding", "gzip"))),
    ("methods of one's own", || {
        Request::builder().method("PROPFIND").uri("/").header("depth", "1").body(full("<d/>")).unwrap()
    }),
    ("a target that is hard to read", || empty(Request::get("/a/%2e/b//c;d=%20/%C3%A5?e=%26&&f=a+b%00"))),
    ("headers of the visitor's own", || {
        empty(
            Request::get("/")
                .header("accept", "*/*")
                .header("accept-language", "sv, en;q=0.5")
                .header("authorization", "Basic YTpi")
                .header("cookie", "a=1; b=\"2 3\"; c")
                .header("user-agent", "test/1.0 (a; b)")
                .header("x-many", "1")
                .header("x-many", "2")
                .header("x-empty", "")
                .header("x-latin", HeaderValue::from_bytes(b"sm\xf6rg\xe5s").unwrap())
                .header("content-type", "text/plain; charset=\"utf-8\"")
                .header("sec-fetch-dest", "empty"),
        )
    }),
];

/// The headers that must be alike, in the order of their names; the lines of one name in their own order.
fn compared(headers: &HeaderMap, left_out: &[&str]) -> Vec<(String, Vec<u8>)> {
    let mut lines: Vec<_> = headers
        .iter()
        .filter(|(name, _)| !left_out.contains(&name.as_str()) && !NEVER_COMPARED.contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    // A stable sort: two cookies stay in the order in which they were set.
    lines.sort_by(|one, other| one.0.cmp(&other.0));
    lines
}

#[track_caller]
fn assert_same_answer(direct: &Answer, through: &Answer, what: &str) {
    assert_eq!(through.status, direct.status, "{what}");
    let speaks_http2 = [through, direct].iter().any(|answer| answer.version == http::Version::HTTP_2);
    let left_out: &[&str] = if speaks_http2 && has_no_body(direct) {
        // In HTTP/2 the end of the stream says it.
        &["content-length"]
    } else {
        &[]
    };
    assert_eq!(compared(&through.headers, left_out), compared(&direct.headers, left_out), "{what}");
    assert!(through.bytes == direct.bytes, "{what}: the body differs");
    assert_eq!(through.trailers, direct.trailers, "{what}");
}

fn has_no_body(answer: &Answer) -> bool {
    answer.bytes.is_empty() && answer.header("content-length").is_none_or(|length| length == "0")
}

#[track_caller]
fn assert_same_request(direct: &Seen, through: &Seen, what: &str) {
    assert_eq!((&through.method, &through.target), (&direct.method, &direct.target), "{what}");
    let (through_headers, direct_headers) = (
        compared(&through.headers, &ADDED_FOR_THE_UPSTREAM),
        compared(&direct.headers, &ADDED_FOR_THE_UPSTREAM),
    );
    assert_eq!(through_headers, direct_headers, "{what}");
    assert!(through.body == direct.body, "{what}: the body differs");
    assert_eq!(through.trailers, direct.trailers, "{what}");
}

#[tokio::test]
async fn every_exchange_is_through_the_proxy_what_it_is_without() {
    let upstream = Upstream::answering(answer).await;
    for (kind, url) in UPSTREAMS.into_iter().zip([upstream.url(), upstream.h2c()]) {
        for mode in ["mode: enforce", "mode: off"] {
            let proxy = Whole::start(&site(&url, mode)).await;
            for speaks in VISITORS {
                for (name, make) in EXCHANGES {
                    let what = format!("{name}: {speaks:?} to an upstream of {kind:?}, {mode}");
                    let direct = Browser::clear(upstream.address, HOST).speaking(kind).send(make()).await;
                    let through = proxy.visitor().speaking(speaks).send(make()).await;
                    assert_same_answer(&direct, &through, &what);
                    let seen = upstream.seen();
                    let [.., direct, through] = &seen[..] else { panic!("{what}: nothing arrived") };
                    assert_same_request(direct, through, &what);
                }
            }
            proxy.server.stop().await;
        }
    }
}

#[tokio::test]
async fn server_sent_events_pass_at_the_moment_they_come() {
    let proxied = std::sync::Arc::new(std::sync::Mutex::new(None));
    let body = std::sync::Arc::clone(&proxied);
    let upstream = Upstream::answering(move |_| {
        let body: Body = body.lock().unwrap().take().unwrap();
        Response::builder()
            .header("content-type", "text/event-stream")
            .header("cache-control", "no-cache")
            .body(body)
            .unwrap()
    })
    .await;
    for (url, speaks) in
        [upstream.url(), upstream.h2c()].iter().flat_map(|url| VISITORS.map(|speaks| (url, speaks)))
    {
        let proxy = Whole::start(&site(url, "")).await;
        let (events, body) = piecewise();
        *proxied.lock().unwrap() = Some(body);
        let mut visitor = proxy.visitor().speaking(speaks).always("accept", "text/event-stream");
        let (answer, _) = visitor.open(empty(Request::get("/events"))).await;
        let mut body = answer.into_body();
        for event in [": ping\n\n", "id: 1\ndata: one\n\n", "id: 2\ndata: two\n\n"] {
            // The next is sent only once this one has arrived.
            events.send(Bytes::from(event)).await.unwrap();
            assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_data().unwrap(), event);
        }
        drop(events);
        assert!(soon(body.collect()).await.unwrap().to_bytes().is_empty());
    }
}

const FORM: &str =
    "POST /form HTTP/1.1\r\nHost: www.example.se\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn a_hundred_continue_comes_from_the_upstream_and_then_the_body_goes() {
    let script = Script::bind().await;
    let proxy = Whole::start(&site(&script.url(), "")).await;
    let mut visitor = Wire::connect(proxy.address()).await;
    visitor.write(FORM).await;
    let mut upstream = script.accept().await;
    let head = upstream.read_head().await.to_lowercase();
    assert!(head.contains("\r\nexpect: 100-continue\r\n"), "{head}");
    assert_eq!(visitor.arrived(), "", "the upstream has not said so yet");
    upstream.write("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(visitor.read_head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(upstream.arrived(), "");
    visitor.write("a=1&b=2").await;
    assert_eq!(upstream.read_until("a=1&b=2").await, "a=1&b=2");
    upstream.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nthanks").await;
    assert!(visitor.read_head().await.starts_with("HTTP/1.1 200 "));
    assert_eq!(visitor.read_until("thanks").await, "thanks");
    // Both connections go on.
    visitor.write("GET /next HTTP/1.1\r\nHost: www.example.se\r\n\r\n").await;
    assert!(upstream.read_head().await.starts_with("GET /next "));
}

#[tokio::test]
async fn an_upstream_that_refuses_at_once_spares_the_visitor_the_upload() {
    let script = Script::bind().await;
    let proxy = Whole::start(&site(&script.url(), "")).await;
    for status in ["401 Unauthorized", "413 Content Too Large", "417 Expectation Failed", "200 OK"] {
        let mut visitor = Wire::connect(proxy.address()).await;
        visitor.write(FORM).await;
        let mut upstream = script.accept().await;
        upstream.read_head().await;
        upstream.write(format!("HTTP/1.1 {status}\r\nContent-Length: 9\r\n\r\nno thanks")).await;
        let head = visitor.read_head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        // Nobody can tell what would come next here, a body or a request: it is closed (RFC 9110 section 10.1.1).
        assert_eq!(visitor.read_to_end().await, "no thanks");
        assert_eq!(upstream.read_to_end().await, "", "the body was never sent");
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_at_once_spares_the_upload_over_http2_too() {
    let script = Script::bind().await;
    let proxy = Whole::start(&site(&script.url(), "")).await;
    let mut fields = frames::get(HOST, "/form").to_vec();
    fields[0].1 = b"POST";
    fields.extend([(&b"content-length"[..], &b"7"[..]), (b"expect", b"100-continue")]);
    let mut visitor = Frames::connect(proxy.address()).await;
    let head = frames::frame(frames::HEADERS, frames::END_HEADERS, 1, &frames::block(&fields));
    visitor.write(&head).await.unwrap();
    let mut upstream = script.accept().await;
    let head = upstream.read_head().await.to_lowercase();
    assert!(head.contains("\r\nexpect: 100-continue\r\n"), "{head}");
    upstream.write("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(visitor.end_of(1).await, frames::End::Answer(417));
    assert_eq!(upstream.read_to_end().await, "");
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_is_over_arrives() {
    const START: &str = "POST / HTTP/1.1\r\nHost: www.example.se\r\nContent-Length: 20\r\n\r\nthe first ";
    const ANSWER: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\n\r\ntoo much";
    let script = Script::bind().await;
    let proxy = Whole::start(&site(&script.url(), "")).await;
    let begun = async || {
        let mut visitor = Wire::connect(proxy.address()).await;
        visitor.write(START).await;
        let mut upstream = script.accept().await;
        upstream.read_until("the first ").await;
        upstream.write(ANSWER).await;
        assert!(visitor.read_head().await.starts_with("HTTP/1.1 413 "));
        assert_eq!(visitor.read_until("too much").await, "too much");
        (visitor, upstream)
    };
    // An upstream that reads on gets the rest, and both connections serve the next.
    let (mut visitor, mut upstream) = begun().await;
    // Long after the answer: what comes is still of this body, and no request of whoever wrote it.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    visitor.write("GET / HTTP").await;
    upstream.read_until("GET / HTTP").await;
    visitor.write("GET /next HTTP/1.1\r\nHost: www.example.se\r\n\r\n").await;
    assert!(upstream.read_head().await.starts_with("GET /next "));
    drop((visitor, upstream));
    // With one that closes, the rest of the upload is taken; where it does not come, the visitor's is closed too.
    let (mut visitor, upstream) = begun().await;
    drop(upstream);
    assert_eq!(visitor.read_to_end().await, "");
}

/// The upstream's kernel resets a connection that is closed with something unread: writing fails while the answer waits.
#[tokio::test]
async fn what_an_upstream_says_before_it_closes_in_the_middle_of_an_upload_arrives() {
    const START: &str = "POST / HTTP/1.1\r\nHost: www.example.se\r\nContent-Length: 200000000\r\n\r\n";
    const ANSWER: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\n\r\ntoo much";
    let script = Script::bind().await;
    let proxy = Whole::start(&site(&script.url(), "")).await;
    // Which of the two is seen first is chance.
    for _ in 0..20 {
        let (mut answer, mut upload) = TcpStream::connect(proxy.address()).await.unwrap().into_split();
        let uploading = tokio::spawn(async move {
            upload.write_all(START.as_bytes()).await.unwrap();
            while upload.write_all(&[b'a'; 16 << 10]).await.is_ok() {}
        });
        let mut upstream = script.accept().await;
        upstream.read_head().await;
        upstream.write(ANSWER).await;
        drop(upstream);
        let mut arrived = Vec::new();
        while !arrived.ends_with(b"too much") {
            assert!(soon(answer.read_buf(&mut arrived)).await.unwrap() > 0, "{}", arrived.escape_ascii());
        }
        assert!(arrived.starts_with(b"HTTP/1.1 413 "), "{}", arrived.escape_ascii());
        uploading.abort();
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_know_the_expectation_gets_the_body_all_the_same() {
    let script = Script::bind().await;
    let proxy = Whole::start(&site(&script.url(), "")).await;
    let mut visitor = Wire::connect(proxy.address()).await;
    visitor.write(FORM).await;
    let mut upstream = script.accept().await;
    upstream.read_head().await;
    assert_eq!(visitor.read_head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    visitor.write("a=1&b=2").await;
    upstream.read_until("a=1&b=2").await;
    upstream.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nthanks").await;
    assert!(visitor.read_head().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn an_expectation_without_a_body_or_in_an_old_version_goes_no_further() {
    let upstream = Upstream::answering(answer).await;
    let proxy = Whole::start(&site(&upstream.url(), "")).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: www.example.se\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: www.example.se\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\na=1",
        "POST / HTTP/1.1\r\nHost: www.example.se\r\nConnection: close\r\nContent-Length: 3\r\nExpect: 200-ok\r\n\r\na=1",
    ] {
        let mut visitor = Wire::connect(proxy.address()).await;
        visitor.write(request).await;
        let answer = visitor.read_to_end().await;
        assert!(answer.contains(" 200 OK\r\n") && !answer.contains("100 Continue"), "{answer}");
    }
    assert!(upstream.seen().iter().all(|seen| seen.header("expect").is_none()));
}
