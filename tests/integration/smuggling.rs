//! Attacks on a request's edges: what one server takes for a body and the next for a request, what names two hosts,
//! what hides in a header. Each is named; none reaches the upstream as anything but what it was judged to be.

use consentry::filter::body::full;
use http::Response;

use crate::support::frames::{self, END_HEADERS, END_STREAM, End, Frames, HEADERS, frame, get};
use crate::support::soon;
use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, NOTICE, Whole, site};
use crate::support::wire::Wire;

/// What the visitor says last, so that the connection ends by itself where nothing ended it before.
const LAST: &str = "GET /last HTTP/1.1\r\nHost: www.example.se\r\nConnection: close\r\n\r\n";

async fn start() -> (Upstream, Whole) {
    let upstream = Upstream::answering(|_| Response::new(full("hello"))).await;
    let proxy = Whole::start(&site(&upstream.url(), "")).await;
    (upstream, proxy)
}

/// Says each of these on a connection of its own: the statuses it gets, and the targets that the upstream saw.
async fn hold(attacks: &[(&str, String, &[&str], &[&str])]) {
    let (upstream, proxy) = start().await;
    let mut wrong = Vec::new();
    for (name, request, statuses, targets) in attacks {
        let before = upstream.seen().len();
        let mut wire = Wire::connect(proxy.address()).await;
        // Where the proxy has closed already, the rest goes nowhere.
        let _ = wire.try_write(format!("{request}{LAST}").as_bytes()).await;
        let answers = wire.read_to_end().await;
        let got: Vec<_> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
        let seen: Vec<_> = upstream.seen()[before..].iter().map(|seen| seen.target.clone()).collect();
        if got != *statuses || seen != *targets {
            wrong.push(format!("{name}: {got:?} {seen:?} instead of {statuses:?} {targets:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    // Byte for byte: no request went out with two lengths, whatever a lenient server would make of them.
    for head in upstream.heard().replace('_', "-").split("\r\n\r\n").map(str::to_lowercase) {
        let lengths = head.matches("\r\ncontent-length:").count();
        let codings = head.matches("transfer-encoding").count();
        assert!(lengths + codings <= 1, "{head}");
    }
    assert_eq!(proxy.visitor().get("/after").await.text(), "hello");
}

fn post(headers: &str, body: &str) -> String {
    format!("POST /1 HTTP/1.1\r\nHost: www.example.se\r\n{headers}\r\n\r\n{body}")
}

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: www.example.se\r\n\r\n";

#[tokio::test]
async fn smuggling_by_two_lengths_cl_te() {
    let body = format!("0\r\n\r\n{HIDDEN}");
    let length = body.len();
    hold(&[
        // hyper takes the chunks for true and closes afterwards (RFC 9112 section 6.1).
        (
            "CL.TE",
            post(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"), &body),
            &["200"],
            &["/1"],
        ),
        (
            "CL.TE in HTTP/1.0",
            post(&format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"), &body)
                .replace("/1 HTTP/1.1", "/1 HTTP/1.0"),
            &["400"],
            &[],
        ),
    ])
    .await;
}

#[tokio::test]
async fn smuggling_by_two_lengths_te_cl() {
    let chunk = format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len());
    hold(&[("TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4", &chunk), &["200"], &["/1"])])
        .await;
}

#[tokio::test]
async fn smuggling_by_obfuscated_codings_te_te() {
    let body = "0\r\n\r\n";
    let te = |coding: &str| post(coding, body);
    hold(&[
        ("another word", te("Transfer-Encoding: xchunked"), &["400"], &[]),
        ("a blank before the colon", te("Transfer-Encoding : chunked"), &["400"], &[]),
        (
            "two lines, the last unknown",
            te("Transfer-Encoding: chunked\r\nTransfer-Encoding: x"),
            &["400"],
            &[],
        ),
        (
            "two lines, the first unknown",
            te("Transfer-Encoding: x\r\nTransfer-Encoding: chunked"),
            &["501"],
            &[],
        ),
        ("twice", te("Transfer-Encoding: chunked, chunked"), &["501"], &[]),
        ("identity first", te("Transfer-Encoding: identity, chunked"), &["501"], &[]),
        ("identity last", te("Transfer-Encoding: chunked, identity"), &["400"], &[]),
        ("a vertical tab", te("Transfer-Encoding: \x0bchunked"), &["400"], &[]),
        ("a NUL", te("Transfer-Encoding: chunked\0"), &["400"], &[]),
        ("quotes", te("Transfer-Encoding: \"chunked\""), &["400"], &[]),
        ("a parameter", te("Transfer-Encoding: chunked;q=1"), &["400"], &[]),
        ("a folded line", te("Transfer-Encoding:\r\n chunked"), &["400"], &[]),
        ("a bare CR", te("X: a\rTransfer-Encoding: chunked"), &["400"], &[]),
        ("empty", te("Transfer-Encoding:"), &["400"], &[]),
        // One reading alone is left of these: chunks.
        ("a tab", te("Transfer-Encoding:\tchunked"), &["200", "200"], &["/1", "/last"]),
        ("a bare LF", te("X: a\nTransfer-Encoding: chunked"), &["200", "200"], &["/1", "/last"]),
        ("in capitals", te("TRANSFER-ENCODING: CHUNKED"), &["200", "200"], &["/1", "/last"]),
        // To a CGI these are the true names; the proxy sends neither.
        (
            "an underscore",
            post("Transfer_Encoding: chunked\r\nContent-Length: 5", body),
            &["200", "200"],
            &["/1", "/last"],
        ),
        (
            "an underscore in the length",
            post("Content_Length: 99\r\nContent-Length: 5", body),
            &["200", "200"],
            &["/1", "/last"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn smuggling_by_odd_lengths() {
    let cl = |length: &str| post(length, "12345");
    hold(&[
        ("two that differ", cl("Content-Length: 5\r\nContent-Length: 6"), &["400"], &[]),
        ("a list that differs", cl("Content-Length: 5, 6"), &["400"], &[]),
        ("a sign", cl("Content-Length: +5"), &["400"], &[]),
        ("a negative one", cl("Content-Length: -5"), &["400"], &[]),
        ("hexadecimal", cl("Content-Length: 0x5"), &["400"], &[]),
        ("blanks inside", cl("Content-Length: 5 5"), &["400"], &[]),
        ("a fraction", cl("Content-Length: 5.0"), &["400"], &[]),
        ("an exponent", cl("Content-Length: 5e0"), &["400"], &[]),
        ("beyond all numbers", cl("Content-Length: 18446744073709551621"), &["400"], &[]),
        ("empty", cl("Content-Length: "), &["400"], &[]),
        ("a blank before the colon", cl("Content-Length : 5"), &["400"], &[]),
        ("a line that is folded", cl("Content-Length:\r\n 5"), &["400"], &[]),
        ("two that agree", cl("Content-Length: 5\r\nContent-Length: 5"), &["200", "200"], &["/1", "/last"]),
        ("a zero in front", cl("Content-Length: 05"), &["200", "200"], &["/1", "/last"]),
    ])
    .await;
}

#[tokio::test]
async fn smuggling_by_odd_chunks() {
    let te = |chunks: &str| post("Transfer-Encoding: chunked", chunks);
    // The head has gone out by then; the request ends with what is no body, and the connection with it.
    hold(&[
        ("0x before the size", te("0x5\r\n12345\r\n0\r\n\r\n"), &["400"], &[]),
        ("a sign", te("+5\r\n12345\r\n0\r\n\r\n"), &["400"], &[]),
        ("a size beyond all numbers", te("10000000000000005\r\n12345\r\n0\r\n\r\n"), &["400"], &[]),
        ("a bare LF after the size", te("5\n12345\r\n0\r\n\r\n"), &["400"], &[]),
        ("a bare LF after the data", te("5\r\n12345\n0\r\n\r\n"), &["400"], &[]),
        ("more data than said", te("3\r\n12345\r\n0\r\n\r\n"), &["400"], &[]),
        ("an empty line for a size", te("\r\n12345\r\n0\r\n\r\n"), &["400"], &[]),
        ("a bare CR in an extension", te("5;a\rb\r\n12345\r\n0\r\n\r\n"), &["400"], &[]),
        ("a bare LF in an extension", te("5;a\n12345\r\n0\r\n\r\n"), &["400"], &[]),
        ("an extension", te("5;a=b\r\n12345\r\n0\r\n\r\n"), &["200", "200"], &["/1", "/last"]),
    ])
    .await;
}

#[tokio::test]
async fn a_request_in_a_body_stays_a_body() {
    let length = HIDDEN.len();
    hold(&[
        ("of a form", post(&format!("Content-Length: {length}"), HIDDEN), &["200", "200"], &["/1", "/last"]),
        (
            "of a question",
            post(&format!("Content-Length: {length}"), HIDDEN).replace("POST", "GET"),
            &["200", "200"],
            &["/1", "/last"],
        ),
        (
            "of a question in chunks",
            post("Transfer-Encoding: chunked", &format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n"))
                .replace("POST", "GET"),
            &["200", "200"],
            &["/1", "/last"],
        ),
        (
            "of HEAD",
            post(&format!("Content-Length: {length}"), HIDDEN).replace("POST", "HEAD"),
            &["200", "200"],
            &["/1", "/last"],
        ),
        (
            "behind an expectation",
            post(&format!("Expect: 100-continue\r\nContent-Length: {length}"), HIDDEN),
            &["100", "200", "200"],
            &["/1", "/last"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn lines_that_servers_read_differently_are_refused() {
    let line = |line: &str| format!("{line}\r\nHost: www.example.se\r\n\r\n");
    let header = |header: &str| format!("GET /1 HTTP/1.1\r\nHost: www.example.se\r\n{header}\r\n\r\n");
    hold(&[
        ("HTTP/0.9", "GET /1\r\n\r\n".to_owned(), &["400"], &[]),
        ("two blanks", line("GET  /1 HTTP/1.1"), &["400"], &[]),
        ("a tab", line("GET\t/1 HTTP/1.1"), &["400"], &[]),
        ("a word too many", line("GET /1 /2 HTTP/1.1"), &["400"], &[]),
        ("a blank in the target", line("GET /a b HTTP/1.1"), &["400"], &[]),
        ("a NUL in the target", line("GET /a\0b HTTP/1.1"), &["400"], &[]),
        ("HTTP/3.0", line("GET /1 HTTP/3.0"), &["400"], &[]),
        ("HTTP/1.10", line("GET /1 HTTP/1.10"), &["400"], &[]),
        ("a method that is none", line("GE(T /1 HTTP/1.1"), &["400"], &[]),
        ("a header without a colon", header("nonsense"), &["400"], &[]),
        ("a header without a name", header(": nonsense"), &["400"], &[]),
        ("a blank in a name", header("X A: 1"), &["400"], &[]),
        ("a parenthesis in a name", header("X(A: 1"), &["400"], &[]),
        ("a NUL in a name", header("X\0A: 1"), &["400"], &[]),
        ("a NUL in a value", header("X-A: 1\x002"), &["400"], &[]),
        ("a bare CR in a value", header("X-A: 1\r2"), &["400"], &[]),
        ("a folded value", header("X-A: 1\r\n 2"), &["400"], &[]),
        (
            "a blank before the first header",
            "GET /1 HTTP/1.1\r\n Host: www.example.se\r\n\r\n".to_owned(),
            &["400"],
            &[],
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_request_for_two_hosts_is_refused() {
    let of = |target: &str, hosts: &str| format!("GET {target} HTTP/1.1\r\n{hosts}\r\n\r\n");
    hold(&[
        ("no Host", "GET /1 HTTP/1.1\r\nX-A: 1\r\n\r\n".to_owned(), &["400", "200"], &["/last"]),
        ("two", of("/1", "Host: www.example.se\r\nHost: evil.example"), &["400", "200"], &["/last"]),
        (
            "the same twice",
            of("/1", "Host: www.example.se\r\nHost: www.example.se"),
            &["400", "200"],
            &["/last"],
        ),
        ("a list", of("/1", "Host: www.example.se, evil.example"), &["400", "200"], &["/last"]),
        ("userinfo", of("/1", "Host: www.example.se@evil.example"), &["400", "200"], &["/last"]),
        ("userinfo of ours", of("/1", "Host: evil.example@www.example.se"), &["400", "200"], &["/last"]),
        ("a path in it", of("/1", "Host: www.example.se/evil"), &["400", "200"], &["/last"]),
        ("a blank in it", of("/1", "Host: www.example.se evil"), &["400", "200"], &["/last"]),
        ("a blank before the colon", of("/1", "Host : www.example.se"), &["400"], &[]),
        ("a port that is none", of("/1", "Host: www.example.se:x"), &["400", "200"], &["/last"]),
        (
            "an absolute target of another host",
            of("http://evil.example/1", "Host: www.example.se"),
            &["400", "200"],
            &["/last"],
        ),
        (
            "an absolute target of ours, another Host",
            of("http://www.example.se/1", "Host: evil.example"),
            &["400", "200"],
            &["/last"],
        ),
        (
            "an absolute target with userinfo",
            of("http://www.example.se@evil.example/1", "Host: www.example.se"),
            &["400", "200"],
            &["/last"],
        ),
        ("another scheme", of("ftp://www.example.se/1", "Host: www.example.se"), &["400", "200"], &["/last"]),
        (
            "an authority for a target",
            of("www.example.se:80", "Host: www.example.se"),
            &["400", "200"],
            &["/last"],
        ),
        ("an asterisk", of("*", "Host: www.example.se"), &["400", "200"], &["/last"]),
        ("a host that no site has", of("/1", "Host: evil.example"), &["421", "200"], &["/last"]),
        // Two ways to say the same.
        (
            "an absolute target",
            of("http://www.example.se/1", "Host: www.example.se"),
            &["200", "200"],
            &["/1", "/last"],
        ),
        ("a dot at the end", of("/1", "Host: www.example.se."), &["200", "200"], &["/1", "/last"]),
        (
            "two slashes and a name",
            of("//evil.example/1", "Host: www.example.se"),
            &["200", "200"],
            &["//evil.example/1", "/last"],
        ),
        (
            "a name that others believe",
            of("/1", "Host: www.example.se\r\nX-Forwarded-Host: evil.example"),
            &["200", "200"],
            &["/1", "/last"],
        ),
    ])
    .await;
}

#[tokio::test]
async fn tunnels_and_upgrades_lead_nowhere_unseen() {
    let with = |headers: &str| format!("GET /1 HTTP/1.1\r\nHost: www.example.se\r\n{headers}\r\n\r\n");
    let connect = |target: &str| format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    hold(&[
        ("CONNECT", connect("www.example.se:443"), &["501", "200"], &["/last"]),
        ("CONNECT to the inside", connect("127.0.0.1:22"), &["501", "200"], &["/last"]),
        (
            "h2c",
            with("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
            &["400", "200"],
            &["/last"],
        ),
        (
            "h2c beside WebSocket",
            with("Connection: Upgrade\r\nUpgrade: websocket, h2c"),
            &["400", "200"],
            &["/last"],
        ),
        (
            "h2c on a second line",
            with("Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c"),
            &["400", "200"],
            &["/last"],
        ),
        (
            "another protocol",
            with("Connection: Upgrade\r\nUpgrade: TLS/1.0"),
            &["200", "200"],
            &["/1", "/last"],
        ),
        (
            "a fragment",
            "GET /1#/../last HTTP/1.1\r\nHost: www.example.se\r\n\r\n".to_owned(),
            &["200", "200"],
            &["/1", "/last"],
        ),
    ])
    .await;
    let (upstream, proxy) = start().await;
    let mut wire = Wire::connect(proxy.address()).await;
    wire.write(with("Connection: Upgrade, close\r\nUpgrade: TLS/1.0")).await;
    wire.read_to_end().await;
    assert_eq!(upstream.only().header("upgrade"), None);
}

#[tokio::test]
async fn what_a_connection_header_names_takes_no_power_from_the_proxy() {
    let (upstream, proxy) = start().await;
    let mut wire = Wire::connect(proxy.address()).await;
    wire.write(
        "POST /1 HTTP/1.1\r\nHost: www.example.se\r\nContent-Length: 5\r\nX-Forwarded-For: 6.6.6.6\r\nCookie: a=1\r\n\
         Connection: close, host, content-length, x-forwarded-for, forwarded, x-forwarded-proto\r\n\r\n12345",
    )
    .await;
    assert!(wire.read_to_end().await.starts_with("HTTP/1.1 200"));
    let seen = upstream.only();
    assert_eq!(&seen.body[..], b"12345");
    for (name, expected) in
        [("host", HOST), ("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "http"), ("cookie", "a=1")]
    {
        assert_eq!(seen.header(name).as_deref(), Some(expected), "{name}");
    }
}

#[tokio::test]
async fn trailers_forge_nothing() {
    let (upstream, proxy) = start().await;
    let mut wire = Wire::connect(proxy.address()).await;
    wire.write(
        "POST /1 HTTP/1.1\r\nHost: www.example.se\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\
         Trailer: X-Forwarded-For, Cookie, X-Real-IP, X-Original-URL, X-Checksum\r\n\r\n1\r\na\r\n0\r\n\
         X-Forwarded-For: 6.6.6.6\r\nCookie: PHPSESSID=1\r\nX-Real-IP: 6.6.6.6\r\nX-Original-URL: /admin\r\nX-Checksum: 7\r\n\r\n",
    )
    .await;
    assert!(wire.read_to_end().await.starts_with("HTTP/1.1 200"));
    let trailers = upstream.only().trailers.unwrap();
    assert_eq!((trailers.len(), trailers["x-checksum"].to_str().unwrap()), (1, "7"), "{trailers:?}");
}

#[tokio::test]
async fn own_addresses_reach_no_upstream_in_any_spelling() {
    let (upstream, proxy) = start().await;
    for path in [
        "/_consent/choices",
        "/%5fconsent/choices",
        "/%5Fconsent/%63hoices",
        "/./_consent/choices",
        "/x/../_consent/choices",
        "/x/%2e%2e/_consent/choices",
        "/%2E/_consent/choices",
        "//_consent/choices",
        "/_consent//choices",
        "/_consent/./choices",
        "/_consent/x/../choices",
        "/\\_consent\\choices",
        "/_consent\\choices",
        "/_consent;v=1/choices",
        "/_consent/choices;v=1",
        "/_consent/choices?x=1",
        "/_consent%2fchoices",
        "/_consent%5cchoices",
        "/_consent/choices%00",
        "/_consent/nothing-of-the-kind",
        "/_consent",
        "/_consent/",
        NOTICE,
        "/cldoc//cookies-privacy-policies.htm",
        "/cldoc/%63ookies-privacy-policies.htm",
        "/x/..%2fcldoc/cookies-privacy-policies.htm",
        "/.well-known/gpc.json",
        "/.well-known/%67pc.json",
    ] {
        let mut wire = Wire::connect(proxy.address()).await;
        wire.write(format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await;
        let answer = wire.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 "), "{path}: {answer}");
        assert!(upstream.seen().is_empty(), "{path}: {:?}", upstream.seen());
    }
}

/// Sends one request in HTTP/2, byte for byte as the test writes it.
async fn ask(proxy: &Whole, fields: &[(&[u8], &[u8])]) -> End {
    let mut frames = Frames::connect(proxy.address()).await;
    frames.write(&frames::request(1, fields)).await.unwrap();
    frames.end_of(1).await
}

#[tokio::test]
async fn http2_requests_that_http1_would_read_differently_go_no_further() {
    const PROTOCOL_ERROR: End = End::Reset(1);
    let (upstream, proxy) = start().await;
    let with = |name: &'static [u8], value: &'static [u8]| {
        let mut fields = get(HOST, "/1").to_vec();
        match fields.iter_mut().find(|(known, _)| *known == name) {
            Some(field) => field.1 = value,
            None => fields.push((name, value)),
        }
        fields
    };
    let mut wrong = Vec::new();
    for (name, fields, expected) in [
        ("a line break in a value", with(b"x-a", b"1\r\nx-injected: 1"), PROTOCOL_ERROR),
        ("a LF in a value", with(b"x-a", b"1\nx-injected: 1"), PROTOCOL_ERROR),
        ("a CR in a value", with(b"x-a", b"1\rx"), PROTOCOL_ERROR),
        ("a NUL in a value", with(b"x-a", b"1\0"), PROTOCOL_ERROR),
        ("a line break in a name", with(b"x-a: 1\r\nx-b", b"1"), PROTOCOL_ERROR),
        ("a colon in a name", with(b"x-a:", b"1"), PROTOCOL_ERROR),
        ("a blank in a name", with(b"x a", b"1"), PROTOCOL_ERROR),
        ("a capital in a name", with(b"X-A", b"1"), PROTOCOL_ERROR),
        ("a line break in the path", with(b":path", b"/1 HTTP/1.1\r\nx-injected: 1\r\n\r\n"), PROTOCOL_ERROR),
        ("a blank in the path", with(b":path", b"/1 HTTP/1.1"), PROTOCOL_ERROR),
        ("an empty path", with(b":path", b""), PROTOCOL_ERROR),
        ("a path that is none", with(b":path", b"1"), PROTOCOL_ERROR),
        (
            "a line break in the method",
            with(b":method", b"GET / HTTP/1.1\r\nx-injected: 1\r\n"),
            PROTOCOL_ERROR,
        ),
        ("a blank in the method", with(b":method", b"GET /admin"), PROTOCOL_ERROR),
        (
            "a line break in the authority",
            with(b":authority", b"www.example.se\r\nx-injected: 1"),
            PROTOCOL_ERROR,
        ),
        ("userinfo in the authority", with(b":authority", b"evil@www.example.se"), End::Answer(400)),
        ("a path in the authority", with(b":authority", b"www.example.se/admin"), PROTOCOL_ERROR),
        ("another scheme", with(b":scheme", b"ftp"), End::Answer(400)),
        ("a line break in the scheme", with(b":scheme", b"http://evil.example/\r\n"), PROTOCOL_ERROR),
        ("Host that disagrees", with(b"host", b"evil.example"), End::Answer(400)),
        ("a transfer coding", with(b"transfer-encoding", b"chunked"), PROTOCOL_ERROR),
        ("Connection", with(b"connection", b"close"), PROTOCOL_ERROR),
        ("Upgrade", with(b"upgrade", b"h2c"), PROTOCOL_ERROR),
        ("Proxy-Connection", with(b"proxy-connection", b"close"), PROTOCOL_ERROR),
        ("TE of another kind", with(b"te", b"gzip"), PROTOCOL_ERROR),
        ("a length that no body has", with(b"content-length", b"5"), PROTOCOL_ERROR),
        ("an unknown pseudo-header", with(b":evil", b"1"), PROTOCOL_ERROR),
        ("a status in a request", with(b":status", b"200"), PROTOCOL_ERROR),
        (
            "a pseudo-header after the others",
            [&with(b"x-a", b"1")[..], &[(b":path", b"/2")]].concat(),
            PROTOCOL_ERROR,
        ),
        ("two paths", [&get(HOST, "/1")[..], &[(b":path", b"/2")]].concat(), PROTOCOL_ERROR),
        (
            "two authorities",
            [&get(HOST, "/1")[..], &[(b":authority", b"evil.example")]].concat(),
            PROTOCOL_ERROR,
        ),
        ("no method", get(HOST, "/1")[1..].to_vec(), PROTOCOL_ERROR),
        ("CONNECT", vec![(b":method", b"CONNECT"), (b":authority", b"127.0.0.1:22")], End::Answer(501)),
        (
            // WebSocket is translated, and has tests of its own.
            "CONNECT with a protocol that is not spoken",
            [&with(b":method", b"CONNECT")[..], &[(b":protocol", b"connect-udp")]].concat(),
            End::Answer(501),
        ),
    ] {
        let got = ask(&proxy, &fields).await;
        // Where the whole connection is ended for it, so is the request.
        let is_ended = expected == PROTOCOL_ERROR && matches!(got, End::GoneAway(1) | End::Answer(400));
        if got != expected && !is_ended {
            wrong.push(format!("{name}: {got:?} instead of {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
    assert_eq!(ask(&proxy, &get(HOST, "/1")).await, End::Answer(200));
    assert_eq!(upstream.only().target, "/1");
}

#[tokio::test]
async fn an_http2_fragment_is_cut_off_before_anybody_decides_on_it() {
    let (upstream, proxy) = start().await;
    assert_eq!(ask(&proxy, &get(HOST, "/public#/../_consent/choices")).await, End::Answer(200));
    assert_eq!(upstream.only().target, "/public");
}

#[tokio::test]
async fn what_is_no_http_is_counted() {
    let (upstream, proxy) = start().await;
    for (said, reason) in [
        ("GET / HTTP/1.1\r\nnonsense\r\n\r\n".to_owned(), "malformed"),
        (format!("GET /{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "x".repeat(100_000)), "too-large"),
    ] {
        let mut wire = Wire::connect(proxy.address()).await;
        let _ = wire.try_write(said.as_bytes()).await;
        wire.read_to_end().await;
        let counted = format!("consentry_refused_total{{reason=\"{reason}\"}} 1");
        // It is counted when the connection is over, which its end is the beginning of.
        let is_counted = || proxy.server.metrics().render().contains(&counted);
        soon(async {
            while !is_counted() {
                tokio::task::yield_now().await
            }
        })
        .await;
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn an_http2_body_that_is_not_as_long_as_it_says_is_never_taken_for_whole() {
    let (upstream, proxy) = start().await;
    for (length, body) in [("5", &b"123"[..]), ("5", b"1234567")] {
        let fields = [
            &[(&b":method"[..], &b"POST"[..])],
            &get(HOST, "/1")[1..],
            &[(b"content-length", length.as_bytes())],
        ]
        .concat();
        let mut frames = Frames::connect(proxy.address()).await;
        frames.write(&frame(HEADERS, END_HEADERS, 1, &frames::block(&fields))).await.unwrap();
        frames.write(&frame(frames::DATA, END_STREAM, 1, body)).await.unwrap();
        let end = frames.end_of(1).await;
        assert!(matches!(end, End::Reset(1) | End::GoneAway(1) | End::Answer(400)), "{length}: {end:?}");
    }
    assert!(upstream.seen().is_empty(), "{:?}", upstream.seen());
}

#[tokio::test]
async fn cookie_crumbs_of_http2_are_one_cookie_line() {
    let (upstream, proxy) = start().await;
    let crumbs: [(&[u8], &[u8]); 3] = [(b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"cookie", b"c=3")];
    assert_eq!(ask(&proxy, &[&get(HOST, "/1")[..], &crumbs].concat()).await, End::Answer(200));
    let seen = upstream.only();
    assert_eq!(seen.headers.get_all("cookie").iter().count(), 1);
    assert_eq!(seen.header("cookie").as_deref(), Some("a=1; b=2; c=3"));
}
