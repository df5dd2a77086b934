//! How requests end, and what counts as an end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};

use super::*;
use crate::filter::body::{self, CutOff, full, stream};
use crate::telemetry::Reason;

fn line(method: Method, metrics: &Arc<Metrics>) -> Line {
    let request = Request::builder().method(method).uri("/a?b=c").body(()).unwrap();
    Line::start(&request, None, Scheme::Http, metrics)
}

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A body of these pieces, the last of which may be an error.
fn pieces(pieces: Vec<Result<&'static str, body::Error>>) -> Body {
    let mut pieces = pieces.into_iter();
    let next = move |_: &mut Context<'_>| {
        Poll::Ready(pieces.next().map(|piece| piece.map(|text| Frame::data(Bytes::from(text)))))
    };
    stream(StreamBody::new(futures_util::stream::poll_fn(next)))
}

/// Reads a body as a server does: to its end or its error.
fn read(body: &mut Body) {
    while let Some(Ok(_)) = run(body.frame()) {}
}

fn broken_off(metrics: &Metrics, reason: &'static str) -> u64 {
    metrics.broken_off.of(Reason { reason }).get()
}

fn answers(metrics: &Metrics, class: &'static str, by: &'static str) -> u64 {
    metrics.answers.of(Answered { class, by }).get()
}

#[test]
fn an_answer_that_is_read_to_its_end_or_has_no_body_is_whole() {
    for (method, status, body, reads) in [
        (Method::GET, 200, full("abc"), true),
        (Method::GET, 200, pieces(vec![Ok("ab"), Ok("c")]), true),
        (Method::GET, 200, full(""), false),
        (Method::HEAD, 200, full("never sent"), false),
        (Method::GET, 304, pieces(vec![]), false),
        (Method::GET, 204, pieces(vec![]), false),
        (Method::GET, 101, pieces(vec![]), false),
    ] {
        let metrics = Arc::<Metrics>::default();
        let answer = Response::builder().status(status).body(body).unwrap();
        let mut body = line(method.clone(), &metrics).answered(answer).into_body();
        if reads {
            read(&mut body);
            assert_eq!(metrics.sent.get(), 0, "counted at the end");
        }
        assert_eq!(metrics.under_way.get(), 1);
        drop(body);
        assert_eq!(broken_off(&metrics, "connection-ended"), 0, "{method} {status}");
        assert_eq!(metrics.sent.get(), if reads { 3 } else { 0 });
        assert_eq!((metrics.under_way.get(), metrics.total.count(), metrics.head.count()), (0, 1, 1));
    }
}

#[test]
fn who_knows_the_length_and_asks_for_no_more_has_got_all() {
    let metrics = Arc::<Metrics>::default();
    let mut body = line(Method::GET, &metrics).answered(Response::new(full("abc"))).into_body();
    // As HTTP/1 with a Content-Length does: after the last byte, nobody asks whether there is another.
    run(body.frame()).unwrap().unwrap();
    drop(body);
    assert_eq!(broken_off(&metrics, "connection-ended"), 0);
}

#[test]
fn an_answer_that_stops_on_its_way_says_why() {
    let broken = |error: body::Error| pieces(vec![Ok("ab"), Err(error)]);
    let cut = std::io::Error::other("a bad encoder");
    for (body, reason, sent) in [
        (broken("reset".into()), "upstream-broke-off", 2),
        (broken(Box::new(CutOff::Encode(cut))), "encoding", 2),
        (broken(Box::new(CutOff::Upstream("reset".into()))), "upstream-broke-off", 2),
    ] {
        let metrics = Arc::<Metrics>::default();
        let mut body = line(Method::GET, &metrics).answered(Response::new(body)).into_body();
        read(&mut body);
        drop(body);
        assert_eq!((broken_off(&metrics, reason), metrics.sent.get()), (1, sent), "{reason}");
    }
    let metrics = Arc::<Metrics>::default();
    let mut body = line(Method::GET, &metrics).answered(Response::new(pieces(vec![Ok("a")]))).into_body();
    run(body.frame()).unwrap().unwrap();
    drop(body);
    assert_eq!(broken_off(&metrics, "connection-ended"), 1);
}

#[test]
fn a_panic_is_told_from_a_visitor_who_went_away() {
    let metrics = Arc::<Metrics>::default();
    let panics = full("abc").map_frame(|_| panic!("as asked"));
    let mut body = line(Method::GET, &metrics).answered(Response::new(stream(panics))).into_body();
    assert!(catch_unwind(AssertUnwindSafe(|| read(&mut body))).is_err());
    drop(body);
    assert_eq!(broken_off(&metrics, "panic"), 1);

    let under_way = line(Method::GET, &metrics);
    let panicked = catch_unwind(AssertUnwindSafe(move || {
        let _line = under_way;
        panic!("as asked");
    }));
    assert!(panicked.is_err());
    assert_eq!((broken_off(&metrics, "panic"), answers(&metrics, "5xx", "panic")), (2, 1));

    let mut away = line(Method::GET, &metrics);
    away.hand_to(By::Upstream);
    drop(away);
    assert_eq!((answers(&metrics, "none", "upstream"), broken_off(&metrics, "connection-ended")), (1, 1));
    assert_eq!(metrics.under_way.get(), 0);
}

#[test]
fn what_the_visitor_sends_is_counted_and_keeps_its_length() {
    let metrics = Arc::<Metrics>::default();
    let mut line = line(Method::POST, &metrics);
    let mut body = line.receive(full("a form"));
    assert_eq!(body.size_hint().exact(), Some(6));
    read(&mut body);
    assert!(line.receive(full("")).is_end_stream());
    drop(line);
    assert_eq!(metrics.received.get(), 6);
}

#[test]
fn a_trace_id_is_taken_from_a_valid_header_alone() {
    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    for (header, valid) in [
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
        ("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes-later", true),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", false),
        ("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false),
        ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", false),
        ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
        ("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", false),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", false),
        ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", false),
        ("garbage", false),
        ("", false),
    ] {
        let value = HeaderValue::from_static(header);
        assert_eq!(trace_id(&value), valid.then_some(ID), "{header}");
    }
}
