//! Several addresses behind one site: who gets which request, and what happens where one of them is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use consentry::filter::Body;
use consentry::filter::body::full;
use consentry::upstream::{Check, Settings, State, Target, Thresholds, Timeouts, Upstreams, Weighted};
use consentry::visit::ClientAddress;
use http::{Request, Response, StatusCode};

use consentry::server::{Occasion, Outcome};

use crate::support::browser::Browser;
use crate::support::forward::{Forward, TIMEOUTS, target, weighted};
use crate::support::running::{Running, Setup};
use crate::support::soon;
use crate::support::upstream::{Seen, Upstream, piecewise};
use crate::support::whole::{Whole, site};
use crate::support::wire::{Script, Wire};

fn settings(targets: Vec<Weighted>, check: Option<Check>) -> Settings {
    Settings::new(targets, check, ClientAddress::Full)
}

fn equally(urls: &[&str]) -> Vec<Weighted> {
    urls.iter().map(|url| weighted(&target(url), 1)).collect()
}

fn start(to: Settings) -> (Running, Arc<Upstreams>) {
    let forward = Forward::through(Upstreams::new(TIMEOUTS), to);
    let upstreams = Arc::clone(&forward.upstreams);
    (Running::start(forward, Setup::default()), upstreams)
}

fn browser(running: &Running) -> Browser {
    Browser::clear(running.address, "shop.example")
}

fn state(upstreams: &Upstreams, of: &Target) -> State {
    let address = of.endpoint.to_string();
    upstreams.states().into_iter().find(|state| *state.address == *address).unwrap()
}

/// Looks again and again, letting others work in between.
async fn until(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn hello(_: &Seen) -> Response<Body> {
    Response::new(full("hello"))
}

#[tokio::test]
async fn requests_one_after_the_other_are_spread_by_weight() {
    let (large, small) = (Upstream::answering(hello).await, Upstream::answering(hello).await);
    let targets = vec![weighted(&target(&large.url()), 3), weighted(&target(&small.url()), 1)];
    let (running, _) = start(settings(targets, None));
    for _ in 0..8 {
        let answer = browser(&running).get("/").await;
        let served = answer.header("x-served").unwrap().to_owned();
        assert!([large.address, small.address].map(|address| address.to_string()).contains(&served));
    }
    assert_eq!((large.seen().len(), small.seen().len()), (6, 2));
}

#[tokio::test]
async fn requests_at_the_same_time_go_where_the_fewest_are_for_its_weight() {
    // Answers that do not end as long as the test keeps what it could write them with.
    let (sender, mut open) = tokio::sync::mpsc::unbounded_channel();
    let hold = move |_: &Seen| {
        let (pieces, body) = piecewise();
        sender.send(pieces).unwrap();
        Response::new(body)
    };
    let (large, small) = (Upstream::answering(hold.clone()).await, Upstream::answering(hold).await);
    let (one, other) = (target(&large.url()), target(&small.url()));
    let (running, upstreams) = start(settings(vec![weighted(&one, 3), weighted(&other, 1)], None));
    let mut kept = Vec::new();
    for _ in 0..8 {
        kept.push((
            browser(&running).open(Request::get("/").body(full("")).unwrap()).await,
            open.recv().await,
        ));
    }
    assert_eq!((large.seen().len(), small.seen().len()), (6, 2));
    assert_eq!((state(&upstreams, &one).requests, state(&upstreams, &other).requests), (6, 2));
    // An answer that ends, or that its visitor no longer wants, makes room at once.
    kept.clear();
    until(|| upstreams.states().iter().all(|state| state.requests == 0)).await;
}

#[tokio::test]
async fn an_address_that_dies_is_left_alone_and_found_again_when_it_is_back() {
    let (first, second) =
        (Upstream::answering_at("127.41.0.1:0", hello).await, Upstream::answering(hello).await);
    let dying = target(&first.url());
    let (running, upstreams) = start(settings(equally(&[&first.url(), &second.url()]), None));
    browser(&running).get("/").await;
    let place = first.address.to_string();
    drop(first);
    // Whoever meets it goes on to the other, and after a few times nobody meets it.
    soon(async {
        while state(&upstreams, &dying).is_healthy {
            assert_eq!(browser(&running).get("/").await.text(), "hello");
        }
    })
    .await;
    let back = Upstream::answering_at(&place, hello).await;
    soon(async {
        while back.seen().is_empty() {
            assert_eq!(browser(&running).get("/").await.text(), "hello");
        }
    })
    .await;
    assert!(state(&upstreams, &dying).is_healthy);
}

#[tokio::test]
async fn an_address_that_makes_no_connection_in_time_is_passed_over_and_then_left_alone() {
    // It takes the connection, and never says a word of TLS.
    let silent = Script::bind().await.url().replace("http:", "https:");
    let listener = tokio::net::TcpListener::bind(silent.trim_start_matches("https://")).await.unwrap();
    let upstream = Upstream::answering(hello).await;
    let timeouts = Timeouts { connect: Duration::from_millis(500), ..TIMEOUTS };
    let forward =
        Forward::through(Upstreams::new(timeouts), settings(equally(&[&silent, &upstream.url()]), None));
    let upstreams = Arc::clone(&forward.upstreams);
    let running = Running::start(forward, Setup::default());
    let request = || Request::post("/").body(full("whole")).unwrap();
    assert_eq!(browser(&running).send(request()).await.text(), "hello");
    assert_eq!(&upstream.only().body[..], b"whole");
    soon(async {
        while state(&upstreams, &target(&silent)).is_healthy {
            assert_eq!(browser(&running).send(request()).await.text(), "hello");
        }
    })
    .await;
    drop(listener);
}

/// What an address does with a request that it never answers.
#[derive(Clone, Copy)]
enum Does {
    Closes,
    Nothing,
}

/// The URL of an address that takes connections and requests, and answers none.
async fn useless(does: Does) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            let mut wire = Wire::over(socket);
            wire.try_read_head().await;
            match does {
                Does::Closes => drop(wire),
                Does::Nothing => kept.push(wire),
            }
        }
    });
    url
}

#[tokio::test]
async fn an_address_that_takes_requests_and_answers_none_is_left_alone() {
    for (does, failure) in [(Does::Closes, "protocol"), (Does::Nothing, "timed-out")] {
        let (useless, good) = (useless(does).await, Upstream::answering(hello).await);
        let timeouts = Timeouts { response: Duration::from_millis(200), ..TIMEOUTS };
        let to = settings(equally(&[&useless, &good.url()]), None);
        let running = Running::start(Forward::through(Upstreams::new(timeouts), to), Setup::default());
        let mut failed = Vec::new();
        for _ in 0..20 {
            // Nobody may send it twice, so that whoever meets the useless one learns it.
            let answer = browser(&running).send(Request::post("/").body(full("order")).unwrap()).await;
            failed.extend(answer.header("x-failure").map(ToOwned::to_owned));
        }
        // The first three, and who finds out after a second, and then two, whether it is back.
        assert!((3..=5).contains(&failed.len()), "{failed:?}");
        assert!(failed.iter().all(|reason| reason == failure), "{failed:?}");
    }
}

/// One page that sets too many headers is no reason to keep visitors from all others.
#[tokio::test]
async fn an_answer_with_too_many_headers_fails_alone() {
    let script = Script::bind().await;
    let (running, upstreams) = start(settings(equally(&[&script.url()]), None));
    let answering = async {
        loop {
            let mut wire = script.accept().await;
            wire.read_head().await;
            let headers = "X-A: b\r\n".repeat(101);
            wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{headers}\r\n")).await;
        }
    };
    let asking = async {
        for _ in 0..5 {
            let answer = browser(&running).send(Request::post("/").body(full("order")).unwrap()).await;
            assert_eq!(answer.header("x-failure"), Some("protocol"));
        }
    };
    tokio::select! {
        () = answering => {}
        () = asking => {}
    }
    assert!(state(&upstreams, &target(&script.url())).is_healthy);
}

#[tokio::test]
async fn where_all_are_given_up_all_are_tried() {
    // Addresses of this test's own, so that no other test takes the port meanwhile.
    let [first, second] = ["127.43.0.1:0", "127.43.0.2:0"]
        .map(|place| std::net::TcpListener::bind(place).unwrap().local_addr().unwrap().to_string());
    let urls = [&first, &second].map(|address| format!("http://{address}"));
    let (running, upstreams) = start(settings(equally(&[&urls[0], &urls[1]]), None));
    soon(async {
        while upstreams.states().is_empty() || upstreams.states().iter().any(|state| state.is_healthy) {
            assert_eq!(browser(&running).get("/").await.header("x-failure"), Some("connect"));
        }
    })
    .await;
    let back = Upstream::answering_at(&first, hello).await;
    assert_eq!(browser(&running).get("/").await.text(), "hello");
    assert_eq!(back.seen().len(), 1);
}

#[tokio::test]
async fn a_request_that_may_be_repeated_goes_once_to_another_address() {
    let (first, second, third) =
        (Script::bind().await, Script::bind().await, Upstream::answering(hello).await);
    let crash = async |script: &Script| {
        let mut wire = script.accept().await;
        wire.read_head().await;
    };
    let order = [first.url(), second.url(), third.url()];
    let site = || settings(equally(&order.each_ref().map(String::as_str)), None);
    let (running, _) = start(site());
    let mut visitor = browser(&running);
    // One crashes, and the next answers.
    let second_answers = async {
        let mut wire = second.accept().await;
        wire.read_head().await;
        wire.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecond").await;
    };
    let (answer, (), ()) = tokio::join!(visitor.get("/"), crash(&first), second_answers);
    assert_eq!(answer.text(), "second");
    // Two crash: the third is left in peace.
    let (running, _) = start(site());
    let mut visitor = browser(&running);
    let (answer, (), ()) = tokio::join!(visitor.get("/"), crash(&first), crash(&second));
    assert_eq!(answer.header("x-failure"), Some("protocol"));
    assert!(third.seen().is_empty());
}

#[tokio::test]
async fn what_is_no_idempotent_request_without_a_body_is_not_repeated_anywhere() {
    for (request, end) in [
        (Request::post("/").body(full("an order")), "an order"),
        (Request::post("/").body(full("")), "\r\n\r\n"),
        (Request::put("/").body(full("a file")), "a file"),
    ] {
        let (first, second) = (Script::bind().await, Upstream::answering(hello).await);
        let (running, _) = start(settings(equally(&[&first.url(), &second.url()]), None));
        let crash = async {
            let mut wire = first.accept().await;
            wire.read_until(end).await;
        };
        let mut visitor = browser(&running);
        let (answer, ()) = tokio::join!(visitor.send(request.unwrap()), crash);
        assert_eq!(answer.header("x-failure"), Some("protocol"));
        assert!(second.seen().is_empty());
    }
}

fn check(interval: Duration) -> Check {
    Check {
        path: "/healthz".parse().unwrap(),
        host: Some("health.example".parse().unwrap()),
        interval,
        timeout: Duration::from_secs(20),
        thresholds: Thresholds { healthy: 2, unhealthy: 3 },
    }
}

#[tokio::test]
async fn an_address_that_fails_its_checks_gets_no_visitors_until_it_passes_them() {
    let is_well = Arc::new(AtomicBool::new(true));
    let answer = {
        let is_well = Arc::clone(&is_well);
        move |seen: &Seen| {
            let is_sick = seen.target == "/healthz" && !is_well.load(Ordering::SeqCst);
            let status = if is_sick { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            Response::builder().status(status).body(full("hello")).unwrap()
        }
    };
    let (watched, other) = (Upstream::answering(answer).await, Upstream::answering(hello).await);
    let to = settings(equally(&[&watched.url(), &other.url()]), Some(check(Duration::from_millis(5))));
    let (running, upstreams) = start(to);
    browser(&running).get("/").await;
    is_well.store(false, Ordering::SeqCst);
    let place = target(&watched.url());
    until(|| !state(&upstreams, &place).is_healthy).await;
    for _ in 0..4 {
        let answer = browser(&running).get("/").await;
        assert_eq!(answer.header("x-served"), Some(other.address.to_string().as_str()));
    }
    // Checks are not counted among the requests, nor their connections among those of visitors.
    let state_now = state(&upstreams, &place);
    assert_eq!((state_now.requests, state_now.connections <= 1), (0, true));
    is_well.store(true, Ordering::SeqCst);
    until(|| state(&upstreams, &place).is_healthy).await;
    let is_visited = |upstream: &Upstream| upstream.seen().iter().filter(|seen| seen.target == "/").count();
    let before = is_visited(&watched);
    for _ in 0..2 {
        browser(&running).get("/").await;
    }
    assert_eq!(is_visited(&watched), before + 1);
    let asked = watched.seen().into_iter().find(|seen| seen.target == "/healthz").unwrap();
    assert_eq!(asked.header("host").as_deref(), Some("health.example"));
    assert_eq!(asked.header("x-forwarded-for"), None);
}

#[tokio::test]
async fn checks_speak_what_the_address_speaks() {
    let folder = tempfile::tempdir().unwrap();
    let clear = Upstream::answering(hello).await;
    let behind = Upstream::answering_behind(&folder.path().join("app.sock"), hello);
    let plain = Upstream::answering(hello).await;
    let check = Check { host: None, ..check(Duration::from_secs(60)) };
    let upstreams = Upstreams::new(TIMEOUTS);
    let to = settings(equally(&[&clear.h2c(), &behind.url(), &plain.url()]), Some(check));
    upstreams.adopt([&to]);
    for (upstream, version, host) in [
        (&clear, http::Version::HTTP_2, None),
        (&behind, http::Version::HTTP_11, Some("localhost".to_owned())),
        (&plain, http::Version::HTTP_11, Some(plain.address.to_string())),
    ] {
        until(|| !upstream.seen().is_empty()).await;
        let seen = upstream.only();
        assert_eq!((seen.version, seen.header("host")), (version, host));
        assert!(seen.target.ends_with("/healthz"));
    }
}

#[tokio::test]
async fn checks_end_with_the_last_settings_that_want_them() {
    let script = Script::bind().await;
    let upstreams = Upstreams::new(TIMEOUTS);
    let [first, second] =
        [(); 2].map(|()| settings(equally(&[&script.url()]), Some(check(Duration::from_secs(60)))));
    upstreams.adopt([&first]);
    let mut wire = script.accept().await;
    assert!(wire.read_head().await.starts_with("GET /healthz HTTP/1.1\r\n"));
    // The same settings, read again by whatever thread, go on with the same checks.
    std::thread::scope(|threads| threads.spawn(|| upstreams.adopt([&second])).join().unwrap());
    drop(first);
    assert_eq!(upstreams.states().len(), 1);
    wire.write("HTTP/1.1 200 OK\r\n").await;
    drop(second);
    assert_eq!(upstreams.states(), []);
    wire.read_to_end().await;
    // And they begin anew where nothing has gone on.
    let third = settings(equally(&[&script.url()]), Some(check(Duration::from_secs(60))));
    std::thread::scope(|threads| threads.spawn(|| upstreams.adopt([&third])).join().unwrap());
    script.accept().await.read_head().await;
}

#[tokio::test]
async fn what_is_known_of_an_address_outlives_a_reload() {
    let upstreams = Arc::new(Upstreams::new(TIMEOUTS));
    let dead = Script::bind().await.url();
    let to = settings(equally(&[&dead]), None);
    let again = settings(vec![weighted(&target(&dead), 7)], None);
    let forward = Forward { upstreams: Arc::clone(&upstreams), to: Arc::new(to) };
    let running = Running::start(forward, Setup::default());
    for _ in 0..3 {
        browser(&running).get("/").await;
    }
    upstreams.adopt([&again]);
    running.stopped().await;
    assert!(!upstreams.states()[0].is_healthy);
}

#[tokio::test]
async fn a_reload_keeps_the_connections_of_addresses_that_stay() {
    let upstream = Upstream::answering(hello).await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    for round in 0..5 {
        assert_eq!(whole.visitor().get("/data").await.text(), "hello");
        whole.write("sites/example.yaml", &site(&upstream.url(), &format!("own_path: /own-{round}/")));
        assert_eq!(whole.server.reload(&whole.settings(), Occasion::Asked).outcome, Outcome::Applied);
    }
    assert_eq!((upstream.seen().len(), upstream.accepted()), (5, 1));
}

#[tokio::test]
async fn an_address_counts_once_in_whatever_ways_it_is_reached() {
    let upstream = Upstream::answering(hello).await;
    let upstreams = Upstreams::new(TIMEOUTS);
    let plain = settings(equally(&[&upstream.url()]), None);
    let checked = settings(equally(&[&upstream.url()]), Some(check(Duration::from_secs(60))));
    upstreams.adopt([&plain, &checked]);
    let expected =
        State { address: upstream.address.to_string().into(), is_healthy: true, requests: 0, connections: 0 };
    assert_eq!(upstreams.states(), [expected]);
}

#[tokio::test]
async fn a_reload_changes_the_checks_of_a_site() {
    let script = Script::bind().await;
    let checked = |path: &str| site(&script.url(), &format!("health: {{ path: {path}, interval: 60s }}"));
    let whole = Whole::start(&checked("/old")).await;
    let mut before = script.accept().await;
    assert!(before.read_head().await.starts_with("GET /old HTTP/1.1\r\n"));
    whole.write("sites/example.yaml", &checked("/new"));
    assert_eq!(whole.server.reload(&whole.settings(), Occasion::Asked).outcome, Outcome::Applied);
    let mut after = script.accept().await;
    assert!(after.read_head().await.starts_with("GET /new HTTP/1.1\r\n"));
    before.read_to_end().await;
    whole.server.stop().await;
    after.read_to_end().await;
}
