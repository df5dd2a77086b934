//! An upstream that lies: what it says becomes a refusal or a cut-off, never a clean wrong answer, and never the
//! answer to the next request.

use std::io::Write;

use consentry::filter::body::full;
use consentry::upstream::Trust;
use consentry::visit::ClientAddress;
use http::Request;
use http_body_util::BodyExt;
use tokio::sync::mpsc;

use crate::support::browser::{Browser, Speaks};
use crate::support::certificates::Authority;
use crate::support::forward::Forward;
use crate::support::liar::{Liar, TRUTH, Then};
use crate::support::running::{Running, Setup};
use crate::support::soon;
use crate::support::whole::{Whole, site};
use crate::support::wire::{Script, Wire};

/// What the visitor gets.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Gets {
    /// The proxy's own 502 in place of the answer.
    Refusal,
    /// An answer that breaks off, in its body or before its head.
    CutOff,
    /// An answer to its end: status, and body.
    Whole(u16, &'static str),
}

use Gets::{CutOff, Refusal};
use Then::{Closes, Repeats, Stays};

const LONG: std::time::Duration = std::time::Duration::from_secs(60);

/// Twelve bytes that are a page and a text alike.
const BODY: &str = "<p>hello</p>";

fn whole(status: u16) -> Gets {
    Gets::Whole(status, BODY)
}

async fn get(mut visitor: Browser) -> Gets {
    let request = Request::get("/lie").header("sec-fetch-dest", "document").body(full("")).unwrap();
    let Ok((answer, _)) = visitor.attempt(request).await else { return CutOff };
    let status = answer.status().as_u16();
    let is_own = answer.headers().get("cache-control").is_some_and(|value| value == "no-store");
    match soon(answer.into_body().collect()).await {
        Ok(_) if status == 502 && is_own => Refusal,
        Ok(body) => {
            let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
            // A page has its insertions; what matters here is where it ends.
            let known = [BODY, "<p>hel", ""].into_iter().find(|body| match *body {
                "" => text.is_empty(),
                body => text.contains(body),
            });
            Gets::Whole(status, known.unwrap_or_else(|| panic!("{text}")))
        }
        Err(_) => CutOff,
    }
}

/// Tells each lie about a text and about a page, and asks for the truth on the same proxy afterwards.
async fn hold(lies: &[(&str, &str, Then, Gets)]) {
    let liar = Liar::start().await;
    let proxy = Whole::start(&site(&liar.url(), "")).await;
    let mut wrong = Vec::new();
    for (name, lie, then, expected) in lies {
        for (kind, speaks) in [
            ("text/plain", Speaks::Http1),
            ("text/html", Speaks::Http1),
            ("text/plain", Speaks::Http2),
            ("text/html", Speaks::Http2),
        ] {
            let lie = lie.replace("{type}", &format!("Content-Type: {kind}"));
            liar.says(lie, *then);
            let got = get(proxy.visitor().speaking(speaks)).await;
            if got != *expected {
                wrong.push(format!("{name}, {kind}, {speaks:?}: {got:?} instead of {expected:?}"));
            }
            // Several times: whatever connection is taken, none is poisoned.
            for _ in 0..3 {
                assert_eq!(proxy.visitor().get("/").await.text(), TRUTH, "after: {name}, {kind}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(!proxy.server.metrics().render().contains("consentry_panics_total 1"));
    proxy.server.stop().await;
}

#[tokio::test]
async fn a_length_that_is_wrong_cuts_the_answer_off_or_ends_the_connection() {
    hold(&[
        (
            "too long a length",
            "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length: 20\r\n\r\n<p>hello</p>",
            Closes,
            CutOff,
        ),
        (
            "too long a length in HTTP/1.0",
            "HTTP/1.0 200 OK\r\n{type}\r\nContent-Length: 20\r\n\r\n<p>hello</p>",
            Closes,
            CutOff,
        ),
        (
            "too short a length",
            "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length: 6\r\n\r\n<p>hello</p>",
            Stays,
            Gets::Whole(200, "<p>hel"),
        ),
        (
            "two lengths that differ",
            "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length: 12\r\nContent-Length: 6\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "a list of lengths that differ",
            "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length: 12, 6\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "two lengths that agree",
            "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length: 12\r\nContent-Length: 12\r\n\r\n<p>hello</p>",
            Stays,
            whole(200),
        ),
        (
            "a signed length",
            "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length: +12\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "a negative length",
            "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length: -1\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "a length in hexadecimal",
            "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length: 0xc\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "a length beyond all numbers",
            "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length: 99999999999999999999\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "an empty length",
            "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length: \r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
    ])
    .await;
}

#[tokio::test]
async fn framing_that_two_readers_read_differently_is_refused() {
    hold(&[
        ("chunks and a length", "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n<p>hello</p>\r\n0\r\n\r\n", Stays, Refusal),
        ("a length and chunks", "HTTP/1.1 200 OK\r\n{type}\r\nTransfer-Encoding: chunked\r\nContent-Length: 22\r\n\r\nc\r\n<p>hello</p>\r\n0\r\n\r\n", Stays, Refusal),
        ("another transfer coding below the chunks", "HTTP/1.1 200 OK\r\n{type}\r\nTransfer-Encoding: gzip, chunked\r\n\r\nc\r\n<p>hello</p>\r\n0\r\n\r\n", Stays, Refusal),
        ("another transfer coding on top of the chunks", "HTTP/1.1 200 OK\r\n{type}\r\nTransfer-Encoding: chunked, gzip\r\n\r\nc\r\n<p>hello</p>\r\n0\r\n\r\n", Closes, Refusal),
        ("chunks twice", "HTTP/1.1 200 OK\r\n{type}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n<p>hello</p>\r\n0\r\n\r\n", Stays, Refusal),
        ("a transfer coding that is none", "HTTP/1.1 200 OK\r\n{type}\r\nTransfer-Encoding: xchunked\r\n\r\nc\r\n<p>hello</p>\r\n0\r\n\r\n", Closes, Refusal),
        ("chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\n{type}\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n<p>hello</p>\r\n0\r\n\r\n", Closes, Refusal),
        ("a blank before the colon", "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length : 6\r\n\r\n<p>hello</p>", Stays, Refusal),
    ])
    .await;
}

#[tokio::test]
async fn broken_chunks_cut_the_answer_off() {
    let chunked =
        |chunks: &str| format!("HTTP/1.1 200 OK\r\n{{type}}\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let extensions = format!("c;{}\r\n<p>hello</p>\r\n0\r\n\r\n", "a=b;".repeat(20_000));
    let each_with_one = format!("{}0\r\n\r\n", "1;a=bcdefgh\r\n<\r\n".repeat(20_000));
    let trailers = format!("c\r\n<p>hello</p>\r\n0\r\n{}\r\n", "x-a: b\r\n".repeat(20_000));
    for (name, chunks, then) in [
        ("no last chunk", "c\r\n<p>hello</p>\r\n", Closes),
        ("an unfinished chunk", "20\r\n<p>hello</p>\r\n", Closes),
        ("a size that is none", "c\r\n<p>hello</p>\r\nxyz\r\n", Stays),
        ("a negative size", "c\r\n<p>hello</p>\r\n-1\r\n", Stays),
        ("a size beyond all numbers", "c\r\n<p>hello</p>\r\nfffffffffffffffff\r\n", Stays),
        ("a chunk longer than it says", "6\r\n<p>hello</p>\r\n0\r\n\r\n", Stays),
        ("a flood of extensions", &extensions, Stays),
        ("a flood of small chunks with extensions", &each_with_one, Stays),
        ("a flood of trailers", &trailers, Stays),
        ("no end of the trailers", "c\r\n<p>hello</p>\r\n0\r\nx-a: b\r\n", Closes),
    ] {
        hold(&[(name, &chunked(chunks), then, CutOff)]).await;
    }
}

#[tokio::test]
async fn a_head_that_is_not_one_is_refused() {
    hold(&[
        ("nothing", "", Closes, Refusal),
        ("half a head", "HTTP/1.1 200 OK\r\n{type}\r\nContent-", Closes, Refusal),
        (
            "a header without a colon",
            "HTTP/1.1 200 OK\r\n{type}\r\nnonsense\r\nContent-Length: 12\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "a bare CR in a value",
            "HTTP/1.1 200 OK\r\n{type}\r\nX-A: a\rSet-Cookie: b=c\r\nContent-Length: 12\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "a NUL in a value",
            "HTTP/1.1 200 OK\r\n{type}\r\nX-A: a\0b\r\nContent-Length: 12\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "a NUL in a name",
            "HTTP/1.1 200 OK\r\n{type}\r\nX\0A: a\r\nContent-Length: 12\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "a folded header",
            "HTTP/1.1 200 OK\r\n{type}\r\nX-A: a\r\n b\r\nContent-Length: 12\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        ("HTTP/0.9", "<p>hello</p>", Closes, Refusal),
        ("another protocol", "SSH-2.0-OpenSSH_9.9\r\n", Stays, Refusal),
        ("HTTP/2 unasked", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0", Stays, Refusal),
        ("HTTP/2 settings", "\0\0\0\x04\0\0\0\0\0", Stays, Refusal),
        (
            "the version 2.0",
            "HTTP/2.0 200 OK\r\n{type}\r\nContent-Length: 12\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "the status 000",
            "HTTP/1.1 000 None\r\n{type}\r\nContent-Length: 12\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "the status 99",
            "HTTP/1.1 99 None\r\n{type}\r\nContent-Length: 12\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "the status 1000",
            "HTTP/1.1 1000 None\r\n{type}\r\nContent-Length: 12\r\n\r\n<p>hello</p>",
            Stays,
            Refusal,
        ),
        (
            "a switch unasked",
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            Stays,
            Refusal,
        ),
    ])
    .await;
}

#[tokio::test]
async fn what_is_odd_and_yet_clear_passes() {
    hold(&[
        ("the status 999", "HTTP/1.1 999 Odd\r\n{type}\r\nContent-Length: 12\r\n\r\n<p>hello</p>", Stays, whole(999)),
        ("no status text", "HTTP/1.1 200\r\n{type}\r\nContent-Length: 12\r\n\r\n<p>hello</p>", Stays, whole(200)),
        ("an empty status text", "HTTP/1.1 200 \r\n{type}\r\nContent-Length: 12\r\n\r\n<p>hello</p>", Stays, whole(200)),
        ("lines that end in LF alone", "HTTP/1.1 200 OK\n{type}\nContent-Length: 12\n\n<p>hello</p>", Stays, whole(200)),
        ("HTTP/1.0 to the end of the connection", "HTTP/1.0 200 OK\r\n{type}\r\n\r\n<p>hello</p>", Closes, whole(200)),
        ("early hints", "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n{type}\r\nContent-Length: 12\r\n\r\n<p>hello</p>", Stays, whole(200)),
        ("an unasked 100", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n{type}\r\nContent-Length: 12\r\n\r\n<p>hello</p>", Stays, whole(200)),
        ("a body after 204", "HTTP/1.1 204 No Content\r\n{type}\r\nContent-Length: 12\r\n\r\n<p>hello</p>", Stays, Gets::Whole(204, "")),
        ("a body after 304", "HTTP/1.1 304 Not Modified\r\n{type}\r\nContent-Length: 12\r\n\r\n<p>hello</p>", Stays, Gets::Whole(304, "")),
    ])
    .await;
}

#[tokio::test]
async fn a_head_without_end_is_refused_and_takes_bounded_memory() {
    let reason =
        format!("HTTP/1.1 200 {}\r\n{{type}}\r\nContent-Length: 12\r\n\r\n<p>hello</p>", "x".repeat(2 << 20));
    let value = format!(
        "HTTP/1.1 200 OK\r\n{{type}}\r\nX-A: {}\r\nContent-Length: 12\r\n\r\n<p>hello</p>",
        "x".repeat(2 << 20)
    );
    let many = format!(
        "HTTP/1.1 200 OK\r\n{{type}}\r\n{}Content-Length: 12\r\n\r\n<p>hello</p>",
        "X-A: b\r\n".repeat(5_000)
    );
    hold(&[
        ("a gigantic reason", &reason, Stays, Refusal),
        ("a gigantic value", &value, Stays, Refusal),
        ("many headers", &many, Stays, Refusal),
        ("headers without end", "X-A: b\r\n", Repeats, Refusal),
        ("early answers without end", "HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n", Repeats, Refusal),
        ("100 without end", "HTTP/1.1 100 Continue\r\n\r\n", Repeats, Refusal),
    ])
    .await;
}

#[tokio::test]
async fn bytes_after_the_end_never_become_the_next_answer() {
    let poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for (name, truth, expected) in [
        ("after a length", "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length: 12\r\n\r\n<p>hello</p>", whole(200)),
        (
            "after chunks",
            "HTTP/1.1 200 OK\r\n{type}\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n<p>hello</p>\r\n0\r\n\r\n",
            whole(200),
        ),
        ("after 204", "HTTP/1.1 204 No Content\r\n\r\n", Gets::Whole(204, "")),
        ("after 304", "HTTP/1.1 304 Not Modified\r\n\r\n", Gets::Whole(304, "")),
        (
            "after an empty body",
            "HTTP/1.1 200 OK\r\n{type}\r\nContent-Length: 0\r\n\r\n",
            Gets::Whole(200, ""),
        ),
    ] {
        hold(&[(name, &format!("{truth}{poison}"), Stays, expected)]).await;
    }
}

#[tokio::test]
async fn an_answer_cut_off_in_http1_0_does_not_end_as_if_it_were_whole() {
    let liar = Liar::start().await;
    let proxy = Whole::start(&site(&liar.url(), "")).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (end, is_whole) in [("", false), ("xyz\r\n", false), ("0\r\n\r\n", true)] {
        liar.says(format!("{head}c\r\n<p>hello</p>\r\n{end}"), Closes);
        let mut wire = Wire::connect(proxy.address()).await;
        wire.write("GET /lie HTTP/1.0\r\nHost: www.example.se\r\nSec-Fetch-Dest: document\r\n\r\n").await;
        assert_eq!(wire.read_end().await.is_ok(), is_whole, "{end:?}");
    }
}

#[tokio::test]
async fn an_answer_over_tls_that_is_truncated_by_somebody_in_between_is_cut_off() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let authority = Authority::new();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(authority.server(&["127.0.0.1"])));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let to = Forward::with(&[&url], Trust::Authority(authority.file()), ClientAddress::Full, LONG);
    let running = Running::start(to, Setup::default());
    for says_goodbye in [true, false] {
        let upstream = async {
            let (socket, _) = soon(listener.accept()).await.unwrap();
            let mut socket = soon(acceptor.accept(socket)).await.unwrap();
            assert!(soon(socket.read(&mut [0; 4096])).await.unwrap() > 0);
            // No length: the end of the connection is the end of the answer.
            soon(socket.write_all(b"HTTP/1.1 200 OK\r\n\r\nthe first half")).await.unwrap();
            soon(socket.flush()).await.unwrap();
            if says_goodbye {
                soon(socket.shutdown()).await.unwrap();
            }
        };
        let visitor = async {
            let mut browser = Browser::clear(running.address, "shop.example");
            let (answer, _) = browser.open(Request::get("/").body(full("")).unwrap()).await;
            soon(answer.into_body().collect()).await.is_ok()
        };
        let ((), is_whole) = tokio::join!(upstream, visitor);
        assert_eq!(is_whole, says_goodbye);
    }
}

#[tokio::test]
async fn an_answer_before_the_question_is_nobodys() {
    let script = Script::bind().await;
    let running = Running::start(Forward::to(&[&script.url()]), Setup::default());
    let mut browser = Browser::clear(running.address, "shop.example");
    let ((ask, mut asked), (told, mut tell)) = (mpsc::channel(1), mpsc::channel(1));
    let upstream = async {
        let mut wire = script.accept().await;
        wire.read_head().await;
        wire.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none").await;
        // The visitor has its answer; what comes now answers nobody.
        asked.recv().await.unwrap();
        wire.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison").await;
        assert_eq!(wire.read_to_end().await, "", "the connection is used again");
        told.send(()).await.unwrap();
        let mut wire = script.accept().await;
        wire.read_head().await;
        wire.write("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ntwo").await;
    };
    let visitor = async {
        assert_eq!(browser.get("/").await.text(), "one");
        ask.send(()).await.unwrap();
        tell.recv().await.unwrap();
        assert_eq!(browser.get("/").await.text(), "two");
    };
    tokio::join!(upstream, visitor);
}

#[tokio::test]
async fn garbage_under_a_coding_cuts_a_page_off() {
    let mut coded = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    coded.write_all(BODY.as_bytes()).unwrap();
    let coded = coded.finish().unwrap();
    let mut flipped = coded.clone();
    let sum = flipped.len() - 6;
    flipped[sum] ^= 1;
    let liar = Liar::start().await;
    let proxy = Whole::start(&site(&liar.url(), "")).await;
    for (name, body, coding, expected) in [
        ("garbage", b"no gzip at all".to_vec(), "gzip", CutOff),
        ("half of it", coded[..coded.len() / 2].to_vec(), "gzip", CutOff),
        ("no checksum", coded[..coded.len() - 8].to_vec(), "gzip", CutOff),
        ("a wrong checksum", flipped, "gzip", CutOff),
        ("bytes after it", [&coded[..], b"after"].concat(), "gzip", CutOff),
        ("another coding than it says", coded.clone(), "br", CutOff),
        ("a coding that nobody knows", coded.clone(), "rot13", Refusal),
        ("two codings", coded.clone(), "gzip, gzip", Refusal),
    ] {
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        liar.says([head.as_bytes(), &body].concat(), Stays);
        assert_eq!(get(proxy.visitor().always("accept-encoding", "gzip, br")).await, expected, "{name}");
        assert_eq!(proxy.visitor().get("/").await.text(), TRUTH, "after: {name}");
    }
    assert!(proxy.server.metrics().render().contains("consentry_cut_off_total{reason=\"decoding\"} 6"));
}

#[tokio::test]
async fn a_connection_that_brought_a_lie_is_never_used_again() {
    let script = Script::bind().await;
    let proxy = Whole::start(&site(&script.url(), "")).await;
    let mut visitor = Wire::connect(proxy.address()).await;
    visitor.write("GET /first HTTP/1.1\r\nHost: www.example.se\r\n\r\n").await;
    let mut liar = script.accept().await;
    liar.read_head().await;
    liar.write(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    )
    .await;
    assert!(visitor.read_head().await.starts_with("HTTP/1.1 502 "));
    assert_eq!(liar.read_to_end().await, "", "it is closed at once");
}

#[tokio::test]
async fn early_answers_to_an_attempt_that_failed_do_not_count_for_the_next() {
    let script = Script::bind().await;
    let running = Running::start(Forward::to(&[&script.url()]), Setup::default());
    let hints = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20);
    let mut visitor = Browser::clear(running.address, "shop.example");
    let upstream = async {
        // A kept connection that breaks off is tried again on another.
        let mut first = script.accept().await;
        first.read_head().await;
        first.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        first.read_head().await;
        first.write(&hints).await;
        drop(first);
        let mut second = script.accept().await;
        second.read_head().await;
        second.write(format!("{hints}HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")).await;
        second
    };
    let visits = async {
        visitor.get("/").await;
        visitor.get("/").await
    };
    let (answer, _second) = tokio::join!(visits, upstream);
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, "hello"));
}

#[tokio::test]
async fn an_answer_that_stops_coming_is_cut_off_and_its_connection_closed() {
    const HEADS: [&str; 2] = ["Content-Length: 12", "Transfer-Encoding: chunked\r\nContent-Type: text/html"];
    let script = Script::bind().await;
    let site = site(&script.url(), "");
    let main = "listen: [{ address: 127.0.0.1:0 }]\ntimeouts: { upstream_body: 1s }\n";
    let whole = Whole::start_with(main, &site).await;
    for (number, head) in HEADS.into_iter().enumerate() {
        let visit = get(whole.visitor());
        let upstream = async {
            let mut wire = script.accept().await;
            wire.read_head().await;
            wire.write(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n6\r\n<p>hel\r\n")).await;
            wire.read_to_end().await
        };
        assert_eq!(tokio::join!(visit, upstream), (CutOff, String::new()), "{head}");
        let metrics = whole.server.metrics().render();
        let counted = format!("consentry_broken_off_total{{reason=\"upstream-stalled\"}} {}", number + 1);
        assert!(metrics.contains(&counted), "{metrics}");
    }
}
