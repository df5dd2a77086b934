//! Clients that take their time. Many at once: Debian's `slowhttptest` against the program itself, and a visitor who is
//! served at once all the while. One in good faith, who gets everything.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use consentry::filter::body::full;
use http::{Request, Response};
use http_body_util::BodyExt;

use crate::process::{Run, folder, write};
use crate::support::browser::{Browser, Speaks};
use crate::support::soon;
use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, Whole, site};

/// `slowhttptest` for fifteen seconds at most, all connections within the first.
fn attack(target: &str, attackers: usize, words: &[&str]) -> Child {
    let attackers = attackers.to_string();
    Command::new("slowhttptest")
        .args(["-c", &attackers, "-r", &attackers, "-l", "15", "-u", target])
        .args(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("slowhttptest; `tests/run install` brings it")
}

/// Runs one attack to its end: visitors are served all the while, and the attackers are shown the door.
async fn survive(attackers: usize, words: &[&str], target: &str) {
    // More than the kernel takes off the proxy's hands.
    let large = bytes::Bytes::from(vec![b'x'; 8 << 20]);
    let upstream = Upstream::answering(move |seen| match seen.target.as_str() {
        "/large" => Response::new(full(large.clone())),
        _ => Response::builder().header("content-type", "text/plain").body(full("hello")).unwrap(),
    })
    .await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), "").replace(HOST, "\"*\""));
    let settings = std::fs::read_to_string(folder.path().join("config/consentry.yaml")).unwrap();
    let timeouts = "timeouts: { request_header: 1s, request_body: 1s, idle: 1s }\n";
    write(&folder, "config/consentry.yaml", &format!("{settings}{timeouts}"));
    let run = Run::start(&folder);
    let mut attack = attack(&format!("http://{}{target}", run.address), attackers, words);
    let (mut most, mut are_gone, mut visits) = (0, false, 0);
    while !are_gone && attack.try_wait().unwrap().is_none() {
        let mut visitor = Browser::clear(run.address, HOST);
        let answer = tokio::time::timeout(Duration::from_secs(5), visitor.get("/")).await;
        assert_eq!(answer.expect("a visitor had to wait").text(), "hello");
        visits += 1;
        let open = connections(&run.metrics().await);
        most = most.max(open);
        are_gone = most >= attackers / 2 && open < attackers / 4;
        if are_gone {
            // They have been here, and have been sent away: there is nothing more to see.
            let _ = attack.kill();
        }
    }
    assert!(visits >= 5, "only {visits} visits");
    assert!(most >= attackers / 2, "only {most} of {attackers} came");
    let said = String::from_utf8(attack.wait_with_output().unwrap().stdout).unwrap();
    // The tool ends where all its connections have been closed; where it does not look, the proxy has counted.
    assert!(are_gone || said.contains("No open connections left"), "{most} came, and some stayed: {said}");
    assert!(run.metrics().await.contains("consentry_panics_total 0"));
    run.signal("-TERM");
    assert!(run.ended().success());
}

/// How many connections are open, by the program's own count.
fn connections(metrics: &str) -> usize {
    let line = metrics.lines().find(|line| line.starts_with("consentry_connections ")).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_headers_starve_nobody() {
    survive(200, &["-H", "-i", "1"], "/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_bodies_starve_nobody() {
    survive(200, &["-B", "-i", "2", "-s", "8192"], "/").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_starve_nobody() {
    survive(20, &["-X", "-w", "10", "-y", "20", "-n", "2", "-z", "5"], "/large").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_pauses_is_not_taken_for_an_upstream_that_stalls() {
    // More than all buffers on the way hold together.
    const SIZE: usize = 32 << 20;
    const PAUSE: Duration = Duration::from_millis(1_500);
    let large = bytes::Bytes::from(vec![b'x'; SIZE]);
    let upstream = Upstream::answering(move |_| Response::new(full(large.clone()))).await;
    let mut visits = tokio::task::JoinSet::new();
    for url in [upstream.url(), upstream.h2c()] {
        let listen = "listen: [{ address: 127.0.0.1:0 }]\ntimeouts: { upstream_body: 1s }";
        let proxy = std::sync::Arc::new(Whole::start_with(listen, &site(&url, "")).await);
        for speaks in [Speaks::Http1, Speaks::Http2] {
            let proxy = std::sync::Arc::clone(&proxy);
            visits.spawn(async move {
                let mut visitor = proxy.visitor().speaking(speaks);
                let (answer, _) = visitor.open(Request::get("/").body(full("")).unwrap()).await;
                let (mut body, mut read, mut pauses) = (answer.into_body(), 0, 0);
                while let Some(frame) = soon(body.frame()).await {
                    read += frame.expect("it is cut off").into_data().unwrap().len();
                    if read >= pauses * SIZE / 2 {
                        pauses += 1;
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                assert_eq!((read, pauses), (SIZE, 3), "{speaks:?}");
            });
        }
    }
    while let Some(visit) = visits.join_next().await {
        visit.unwrap();
    }
}
