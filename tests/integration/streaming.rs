//! Bodies pass piece by piece, both ways, and to their trailers.

use bytes::Bytes;
use consentry::filter::body::full;
use http::{Request, Response};
use http_body_util::BodyExt;

use crate::support::browser::{Browser, Speaks};
use crate::support::certificates::Authority;
use crate::support::forward::Forward;
use crate::support::running::{Running, Setup};
use crate::support::soon;
use crate::support::upstream::{Upstream, piecewise};
use crate::support::wire::Script;

#[tokio::test]
async fn each_piece_is_passed_on_before_the_next_is_sent_both_ways() {
    let authority = Authority::new();
    let transport = consentry::listener::Transport::Tls(vec![authority.sign(&["shop.example"])]);
    let script = Script::bind().await;
    let running = Running::start(Forward::to(&[&script.url()]), Setup { transport, ..Setup::default() });
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let mut browser = Browser::tls(running.address, "shop.example", &authority, speaks);
        let (pieces, body) = piecewise();
        let upstream = async {
            let mut wire = script.accept().await;
            wire.read_head().await;
            wire.read_until("first question").await;
            wire.write_pieces(["HTTP/1.1 200 OK\r\nTransfer-Encoding: ", "chunked\r\n\r\n"]).await;
            for (question, answer) in
                [("second question", "c\r\nfirst answer\r\n"), ("third", "6\r\nsecond\r\n")]
            {
                // The answer to a question goes out only once its visitor has asked the next.
                wire.write(answer).await;
                wire.read_until(question).await;
            }
            wire.write("0\r\n\r\n").await;
        };
        let visitor = async {
            pieces.send(Bytes::from("first question")).await.unwrap();
            let (answer, _) = browser.open(Request::post("/").body(body).unwrap()).await;
            let mut answers = answer.into_body();
            for (answer, question) in [("first answer", "second question"), ("second", "third")] {
                let frame = soon(answers.frame()).await.unwrap().unwrap();
                assert_eq!(frame.into_data().unwrap(), answer);
                pieces.send(Bytes::from(question)).await.unwrap();
            }
            drop(pieces);
            assert!(soon(answers.collect()).await.unwrap().to_bytes().is_empty());
        };
        tokio::join!(upstream, visitor);
    }
}

#[tokio::test]
async fn a_large_upload_and_a_large_download_arrive_whole() {
    const SIZE: usize = 16 << 20;
    let upstream = Upstream::answering(|seen| Response::new(full(seen.body.clone()))).await;
    let authority = Authority::new();
    let transport = consentry::listener::Transport::Tls(vec![authority.sign(&["shop.example"])]);
    let running = Running::start(Forward::to(&[&upstream.url()]), Setup { transport, ..Setup::default() });
    let body: Bytes = (0..SIZE).map(|index| (index % 251) as u8).collect();
    for speaks in [Speaks::Http1, Speaks::Http2] {
        let mut browser = Browser::tls(running.address, "shop.example", &authority, speaks);
        let answer = browser.send(Request::post("/").body(full(body.clone())).unwrap()).await;
        assert!(answer.bytes == body);
    }
}

#[tokio::test]
async fn trailers_pass_to_those_who_take_them() {
    let script = Script::bind().await;
    let running = Running::start(Forward::to(&[&script.url()]), Setup::default());
    let upstream = async {
        let mut wire = script.accept().await;
        let head = wire.read_head().await.to_lowercase();
        assert!(head.contains("\r\nte: trailers\r\n"), "{head}");
        wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n")
            .await;
    };
    let mut browser = Browser::clear(running.address, "shop.example").always("te", "trailers");
    let (answer, ()) = tokio::join!(browser.get("/"), upstream);
    assert_eq!(answer.trailers.unwrap()["x-sum"], "7");
}

#[tokio::test]
async fn an_answer_that_breaks_off_does_not_end_as_if_it_were_whole() {
    let script = Script::bind().await;
    let running = Running::start(Forward::to(&[&script.url()]), Setup::default());
    let mut browser = Browser::clear(running.address, "shop.example");
    let upstream = async {
        let mut wire = script.accept().await;
        wire.read_head().await;
        wire.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n").await;
    };
    let visitor = async {
        let (answer, _) = browser.open(Request::get("/").body(full("")).unwrap()).await;
        soon(answer.into_body().collect()).await.unwrap_err();
    };
    tokio::join!(upstream, visitor);
}
