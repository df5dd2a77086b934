//! Checkpoints: how far the ledger has come, told outside of it, so that one that was put back is seen.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use consentry::filter::body::full;
use http::Response;

use crate::ledger::{agree, done, keep_in, told, visitor};
use crate::process::{Run, folder};
use crate::support::certificates::Authority;
use crate::support::soon;
use crate::support::upstream::{Seen, Upstream};
use crate::support::whole::site;

/// What a receiver has taken so far, as the file that it would keep.
fn kept(receiver: &Upstream) -> String {
    receiver.seen().iter().map(|seen| String::from_utf8_lossy(&seen.body).into_owned()).collect()
}

fn sequences(lines: &str) -> Vec<i64> {
    let sequence =
        |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["sequence"].as_i64().unwrap();
    lines.lines().map(sequence).collect()
}

#[tokio::test]
async fn checkpoints_outside_the_ledger_tell_of_one_that_was_put_back() {
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    keep_in(
        &folder,
        "{ sqlite: ../data/ledger.sqlite, checkpoints: { file: ../data/checkpoints, every: 1h } }",
    );
    let file = folder.path().join("data/ledger.sqlite");
    let run_once = async || {
        let run = Run::start(&folder);
        agree(&mut visitor(&run)).await.unwrap();
        run.signal("-TERM");
        assert!(run.ended().success());
    };
    run_once().await;
    let early = std::fs::read(&file).unwrap();
    run_once().await;
    assert!(done(&folder, &["verify"]).contains("intact: 2 entries"));
    let told_of = std::fs::read_to_string(folder.path().join("data/checkpoints")).unwrap();
    assert!(told_of.lines().count() >= 2, "{told_of}");
    // Whole in itself, and older than what was told.
    std::fs::write(&file, early).unwrap();
    let (code, out, _) = told(&folder, &["verify"]);
    assert!(code == 1 && out.contains("there should be entries up to 2"), "{out}");
    // Nor is it hidden by what is added from then on.
    run_once().await;
    let (code, out, _) = told(&folder, &["verify"]);
    assert!(code == 1 && out.contains("not the one that a checkpoint names"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_sent_the_checkpoints_can_tell_of_a_ledger_that_was_put_back() {
    let authority = Authority::new();
    let take = |_: &Seen| Response::builder().status(204).body(full("")).unwrap();
    let receiver = Upstream::answering_over_tls(&authority, take).await;
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    let (url, ca) = (receiver.url(), authority.file());
    keep_in(
        &folder,
        &format!(
            "{{ sqlite: ../data/ledger.sqlite, checkpoints: {{ url: \"{url}/in?of=shop\", authorization: Bearer word, \
             ca: {}, every: 1h }} }}",
            ca.display()
        ),
    );
    let run_once = async || {
        let run = Run::start(&folder);
        agree(&mut visitor(&run)).await.unwrap();
        agree(&mut visitor(&run)).await.unwrap();
        run.signal("-TERM");
        assert!(run.ended().success());
    };
    run_once().await;
    let file = folder.path().join("data/ledger.sqlite");
    let early = std::fs::read(&file).unwrap();
    run_once().await;
    let seen = receiver.seen();
    let first = &seen[0];
    assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", "/in?of=shop"));
    for (name, value) in [("content-type", "application/json"), ("authorization", "Bearer word")] {
        assert_eq!(first.header(name).as_deref(), Some(value));
    }
    // The first at once, the last at the end of the proxy.
    let told_of = sequences(&kept(&receiver));
    assert!(told_of.contains(&2) && told_of.last() == Some(&4), "{told_of:?}");
    let copy = folder.path().join("kept");
    std::fs::write(&copy, kept(&receiver)).unwrap();
    let copy = copy.to_str().unwrap();
    assert!(done(&folder, &["verify", "--checkpoints", copy]).contains("intact: 4 entries"));
    std::fs::write(&file, early).unwrap();
    let (code, out, _) = told(&folder, &["verify", "--checkpoints", copy]);
    assert!(code == 1 && out.contains("there should be entries up to 4"), "{out}");
    drop(upstream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_refuses_or_hangs_holds_up_nobody_and_is_told_the_newest_once_it_listens() {
    let works = Arc::new(AtomicBool::new(false));
    let answer = {
        let works = Arc::clone(&works);
        move |_: &Seen| {
            let status = if works.load(Ordering::Relaxed) { 200 } else { 503 };
            Response::builder().status(status).body(full("")).unwrap()
        }
    };
    let receiver = Upstream::answering(answer).await;
    // Takes connections, and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let hangs = format!("http://{}/", silent.local_addr().unwrap());
    for url in [format!("{}/", receiver.url()), hangs] {
        let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
        let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
        keep_in(&folder, &format!("{{ sqlite: ../data/ledger.sqlite, checkpoints: {{ url: \"{url}\" }} }}"));
        let mut run = Run::start(&folder);
        for _ in 0..20 {
            soon(agree(&mut visitor(&run))).await.unwrap();
        }
        let line = run.said("a checkpoint of the ledger could not be told");
        assert!(line["place"] == url.as_str() && line["error"].is_string(), "{line}");
        let metrics = run.metrics().await;
        let failures = "consentry_ledger_checkpoint_failures_total{reason=\"receiver\"}";
        assert!(metrics.contains(failures) && !metrics.contains(&format!("{failures} 0\n")), "{metrics}");
        assert!(metrics.contains("consentry_ledger_works 1"), "it is no failure of the ledger");
        if url.starts_with(&receiver.url()) {
            works.store(true, Ordering::Relaxed);
            run.said("checkpoints of the ledger are told again");
            let last = receiver.seen().pop().unwrap();
            assert_eq!(sequences(&String::from_utf8_lossy(&last.body)), [20]);
        }
        let end = Instant::now();
        run.signal("-TERM");
        assert!(run.ended().success());
        assert!(end.elapsed() < Duration::from_secs(25), "the end waits for nobody who hangs");
    }
}
