//! Floods over HTTP/2: each ends its connection or is held within bounds, and another visitor is served meanwhile.

use std::sync::Arc;

use consentry::filter::Body;
use consentry::filter::body::full;
use consentry::listener::{App, Peer};
use http::{Request, Response};
use tokio::sync::{Semaphore, mpsc};

use crate::support::browser::Browser;
use crate::support::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, End, Frames, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, get, request,
};
use crate::support::running::{Running, Setup};
use crate::support::soon;
use crate::support::upstream::piecewise;

const HOST: &str = "shop.example";
const CALM: End = End::GoneAway(11);

/// Answers at once, but for `/held`, which waits until the test lets it.
#[derive(Clone)]
struct Patient {
    arrived: mpsc::UnboundedSender<()>,
    go: Arc<Semaphore>,
}

impl App for Patient {
    async fn answer(&self, request: Request<Body>, _peer: Peer) -> Response<Body> {
        if request.uri().path() == "/held" {
            self.arrived.send(()).unwrap();
            // The body is not read, as by an upstream that takes its time.
            self.go.acquire().await.unwrap().forget();
        }
        Response::new(full("hello"))
    }
}

struct Flooded {
    running: Running,
    arrived: mpsc::UnboundedReceiver<()>,
    go: Arc<Semaphore>,
}

fn start() -> Flooded {
    let (sender, arrived) = mpsc::unbounded_channel();
    let go = Arc::new(Semaphore::new(0));
    let running = Running::start(Patient { arrived: sender, go: Arc::clone(&go) }, Setup::default());
    Flooded { running, arrived, go }
}

impl Flooded {
    async fn attacker(&self) -> Frames {
        Frames::connect(self.running.address).await
    }

    /// Waits until so many connections have been refused for this reason.
    async fn has_refused(&self, reason: &str, times: usize) {
        let counted = format!("consentry_refused_total{{reason=\"{reason}\"}} {times}\n");
        soon(async {
            while !self.running.metrics.render().contains(&counted) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Somebody else comes, and is served as if nothing happened.
    async fn serves_others(&self) {
        assert_eq!(Browser::clear(self.running.address, HOST).get("/").await.text(), "hello");
    }
}

/// The head of a form whose body follows.
fn form(stream: u32, path: &str) -> Vec<u8> {
    let mut fields = get(HOST, path);
    fields[0].1 = b"POST";
    frame(HEADERS, END_HEADERS, stream, &block(&fields))
}

#[tokio::test]
async fn a_rapid_reset_ends_the_connection() {
    let mut flooded = start();
    let mut attacker = flooded.attacker().await;
    let flood: Vec<u8> = (0..1_000)
        .flat_map(|index| {
            let stream = 2 * index + 1;
            [request(stream, &get(HOST, "/held")), frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())].concat()
        })
        .collect();
    // It may be cut off in the middle of it.
    let _ = attacker.write(&flood).await;
    assert!(matches!(attacker.end_of(u32::MAX >> 1).await, CALM | End::Closed));
    flooded.serves_others().await;
    drop(attacker);
    flooded.has_refused("http2-flood", 1).await;
    let mut taken = 0;
    while flooded.arrived.try_recv().is_ok() {
        taken += 1;
    }
    assert!(taken <= 128, "{taken} of the requests were begun");
}

#[tokio::test]
async fn resets_that_come_one_by_one_leave_no_request_under_way() {
    let mut flooded = start();
    let mut attacker = flooded.attacker().await;
    for index in 0..200 {
        let stream = 2 * index + 1;
        attacker.write(&request(stream, &get(HOST, "/held"))).await.unwrap();
        soon(flooded.arrived.recv()).await.unwrap();
        attacker.write(&frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())).await.unwrap();
    }
    flooded.serves_others().await;
    attacker.write(&request(401, &get(HOST, "/"))).await.unwrap();
    assert_eq!(attacker.end_of(401).await, End::Answer(200));
    // Nobody waits for the leave any more, so it is still there for the next.
    flooded.go.add_permits(1);
    attacker.write(&request(403, &get(HOST, "/held"))).await.unwrap();
    assert_eq!(attacker.end_of(403).await, End::Answer(200));
}

#[tokio::test]
async fn resets_that_the_attacker_makes_us_send_end_the_connection() {
    let flooded = start();
    let mut attacker = flooded.attacker().await;
    // A window that grows by nothing is an error of the stream (RFC 9113 section 6.9).
    let flood: Vec<u8> = (0..1_000)
        .flat_map(|index| {
            let stream = 2 * index + 1;
            [form(stream, "/held"), frame(WINDOW_UPDATE, 0, stream, &0u32.to_be_bytes())].concat()
        })
        .collect();
    let _ = attacker.write(&flood).await;
    assert!(matches!(attacker.end_of(u32::MAX >> 1).await, End::GoneAway(_) | End::Closed));
    flooded.serves_others().await;
}

#[tokio::test]
async fn a_flood_of_continuations_ends_the_connection() {
    let flooded = start();
    let payloads = [("large", vec![0; 16_000]), ("empty", Vec::new()), ("small", vec![0, 1, b'a', 1, b'b'])];
    for (name, payload) in payloads {
        let mut attacker = flooded.attacker().await;
        let start = frame(HEADERS, END_STREAM, 1, &block(&get(HOST, "/")));
        attacker.write(&start).await.unwrap();
        let sent = attacker.flood(&frame(CONTINUATION, 0, 1, &payload), 100_000).await;
        assert!(sent < 100_000, "{name}: all of it was taken");
        let end = attacker.end_of(1).await;
        assert!(matches!(end, End::GoneAway(_) | End::Closed), "{name}: {end:?}");
        flooded.serves_others().await;
    }
    flooded.has_refused("http2-flood", 3).await;
}

#[tokio::test]
async fn what_breaks_the_protocol_is_refused_and_who_leaves_is_not() {
    let flooded = start();
    let goaway = frame(crate::support::frames::GOAWAY, 0, 0, &[0; 8]);
    for said in [&goaway[..], b""] {
        let mut leaving = flooded.attacker().await;
        leaving.write(&request(1, &get(HOST, "/"))).await.unwrap();
        assert_eq!(leaving.end_of(1).await, End::Answer(200));
        leaving.write(said).await.unwrap();
    }
    let mut attacker = flooded.attacker().await;
    // A client's streams have odd numbers (RFC 9113 section 5.1.1).
    attacker.write(&request(2, &get(HOST, "/"))).await.unwrap();
    assert!(matches!(attacker.end_of(2).await, End::GoneAway(1) | End::Closed));
    drop(attacker);
    flooded.has_refused("http2-protocol", 1).await;
    flooded.serves_others().await;
}

#[tokio::test]
async fn a_list_of_headers_that_is_too_long_is_refused() {
    let flooded = start();
    let mut attacker = flooded.attacker().await;
    let long = vec![b'x'; 8_000];
    let mut fields = get(HOST, "/").to_vec();
    fields.extend([(&b"x-long"[..], &long[..]); 5]);
    let all = block(&fields);
    let (first, rest) = all.split_at(16_000);
    attacker.write(&frame(HEADERS, END_STREAM, 1, first)).await.unwrap();
    let (second, third) = rest.split_at(16_000);
    attacker.write(&frame(CONTINUATION, 0, 1, second)).await.unwrap();
    attacker.write(&frame(CONTINUATION, END_HEADERS, 1, third)).await.unwrap();
    let end = attacker.end_of(1).await;
    assert!(matches!(end, End::Answer(431) | End::Reset(_) | End::GoneAway(_)), "{end:?}");
    flooded.serves_others().await;
}

#[tokio::test]
async fn a_table_that_grows_each_header_many_times_is_refused() {
    let flooded = start();
    let mut attacker = flooded.attacker().await;
    // One header goes into the table, and is then named by a single byte again and again.
    let long = vec![b'x'; 3_500];
    let entry = block(&[(b"x-bomb", &long)]);
    let mut all = block(&get(HOST, "/"));
    all.extend([&[0x40], &entry[1..]].concat());
    all.extend(std::iter::repeat_n(0xbe, 10_000));
    attacker.write(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &all)).await.unwrap();
    let end = attacker.end_of(1).await;
    assert!(matches!(end, End::Answer(431) | End::Reset(_) | End::GoneAway(_)), "{end:?}");
    flooded.serves_others().await;
}

#[tokio::test]
async fn floods_that_want_an_answer_stop_where_the_answers_are_not_read() {
    let flooded = start();
    for (name, flood) in [
        ("PING", frame(PING, 0, 0, b"01234567")),
        ("SETTINGS", frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255])),
    ] {
        let mut attacker = flooded.attacker().await;
        // 17 and 9 bytes come back for each. What is not taken waits with the attacker, not with us.
        let many = flood.repeat(1_000);
        let taken = attacker.flood(&many, 10_000).await;
        assert!(taken < 10_000, "{name}: all of it was taken");
        flooded.serves_others().await;
    }
}

#[tokio::test]
async fn pings_are_no_activity_and_their_connection_ends_as_an_idle_one() {
    let mut setup = Setup::default();
    setup.timeouts.idle = std::time::Duration::from_millis(300);
    setup.timeouts.request_header = std::time::Duration::from_millis(50);
    let (sender, _arrived) = mpsc::unbounded_channel();
    let running = Running::start(Patient { arrived: sender, go: Arc::new(Semaphore::new(0)) }, setup);
    let mut attacker = Frames::connect(running.address).await;
    // It answers each PING, and yet the time runs.
    let ended = async {
        loop {
            if attacker.write(&frame(PING, 0, 0, b"01234567")).await.is_err() {
                return;
            }
            match attacker.next().await {
                Some(frame) if frame.kind == crate::support::frames::GOAWAY => return,
                Some(_) => {}
                None => return,
            }
        }
    };
    soon(ended).await;
}

#[tokio::test]
async fn floods_that_say_nothing_end_the_connection_or_cost_nothing() {
    let mut flooded = start();
    for (name, flood) in [
        ("empty DATA", frame(DATA, 0, 1, b"")),
        ("DATA of padding alone", frame(DATA, 8, 1, &[3, 0, 0, 0])),
        ("DATA of one byte", frame(DATA, 0, 1, b"x")),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("unknown frames", frame(0xee, 0, 1, b"01234567")),
        ("windows that grow by one", frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes())),
    ] {
        let mut attacker = flooded.attacker().await;
        attacker.write(&form(1, "/held")).await.unwrap();
        soon(flooded.arrived.recv()).await.unwrap();
        let many = flood.repeat(1_000);
        let taken = attacker.flood(&many, 300).await;
        flooded.serves_others().await;
        if taken == 300 {
            // It was all read and forgotten: the connection is as good as before.
            attacker.write(&request(3, &get(HOST, "/"))).await.unwrap();
            let end = attacker.end_of(3).await;
            assert!(matches!(end, End::Answer(200) | CALM | End::Closed), "{name}: {end:?}");
        }
    }
}

#[tokio::test]
async fn a_flood_of_frames_that_carry_nothing_ends_the_connection_even_if_the_answers_are_read() {
    let flooded = start();
    for (name, kind) in [("SETTINGS of settings that nobody knows", SETTINGS), ("unknown frames", 0xee)] {
        let mut attacker = flooded.attacker().await;
        let payload = [0xff, 0xff, 0, 0, 0, 0].repeat(2_700);
        let sent = attacker.flood(&frame(kind, 0, 0, &payload), 2_000).await;
        assert!(sent < 2_000, "{name}: 32 MB were taken");
    }
    flooded.has_refused("http2-flood", 2).await;
    flooded.serves_others().await;
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_one_by_one() {
    const MOST: u32 = 128;
    let mut flooded = start();
    let mut attacker = flooded.attacker().await;
    for index in 0..MOST {
        attacker.write(&request(2 * index + 1, &get(HOST, "/held"))).await.unwrap();
        soon(flooded.arrived.recv()).await.unwrap();
    }
    let one_more = 2 * MOST + 1;
    attacker.write(&request(one_more, &get(HOST, "/held"))).await.unwrap();
    // REFUSED_STREAM: it may be sent again.
    assert_eq!(attacker.end_of(one_more).await, End::Reset(7));
    assert!(flooded.arrived.try_recv().is_err());
    flooded.serves_others().await;
    flooded.go.add_permits(1);
    assert_eq!(attacker.end_of(1).await, End::Answer(200));
}

/// Gives out bodies that the test writes, in the order of the requests.
#[derive(Clone)]
struct Bodies(Arc<std::sync::Mutex<Vec<Body>>>);

impl App for Bodies {
    async fn answer(&self, _request: Request<Body>, _peer: Peer) -> Response<Body> {
        Response::new(self.0.lock().unwrap().remove(0))
    }
}

#[tokio::test]
async fn a_slow_read_of_one_stream_frees_what_it_binds_and_spares_the_others() {
    let mut setup = Setup::default();
    setup.timeouts.idle = std::time::Duration::from_millis(300);
    setup.timeouts.request_header = std::time::Duration::from_millis(50);
    let ((refused, one), (taken, other)) = (piecewise(), piecewise());
    refused.send(bytes::Bytes::from("never taken")).await.unwrap();
    let running = Running::start(Bodies(Arc::new(std::sync::Mutex::new(vec![one, other]))), setup);
    // A window of nothing: no byte of any answer may come, until the client says otherwise.
    let mut attacker = Frames::with_settings(running.address, &[(4, 0)]).await;
    attacker.write(&request(1, &get(HOST, "/1"))).await.unwrap();
    assert_eq!(attacker.end_of(1).await, End::Answer(200));
    attacker.write(&request(3, &get(HOST, "/2"))).await.unwrap();
    assert_eq!(attacker.end_of(3).await, End::Answer(200));
    let takes_the_other = async {
        // It takes a byte of the second now and then, and nothing of the first.
        loop {
            taken.send(bytes::Bytes::from("x")).await.unwrap();
            attacker.write(&frame(WINDOW_UPDATE, 0, 3, &1u32.to_be_bytes())).await.unwrap();
            while attacker.next().await.unwrap().kind != DATA {}
        }
    };
    tokio::select! {
        () = soon(refused.closed()) => {}
        () = takes_the_other => {}
    }
    // The first is given back; the second goes on.
    taken.send(bytes::Bytes::from("x")).await.unwrap();
    attacker.write(&frame(WINDOW_UPDATE, 0, 3, &1u32.to_be_bytes())).await.unwrap();
    while attacker.next().await.unwrap().kind != DATA {}
    // Who then takes of the first learns that it was cut off.
    attacker.write(&frame(WINDOW_UPDATE, 0, 1, &1u32.to_be_bytes())).await.unwrap();
    assert!(matches!(attacker.end_of(1).await, End::Reset(_)));
}

#[tokio::test]
async fn a_slow_read_of_everything_ends_the_connection() {
    let mut setup = Setup::default();
    setup.timeouts.idle = std::time::Duration::from_millis(300);
    setup.timeouts.request_header = std::time::Duration::from_millis(50);
    let (pieces, body) = piecewise();
    pieces.send(bytes::Bytes::from("never taken")).await.unwrap();
    let running = Running::start(Bodies(Arc::new(std::sync::Mutex::new(vec![body]))), setup);
    let mut attacker = Frames::with_settings(running.address, &[(4, 0)]).await;
    attacker.write(&request(1, &get(HOST, "/"))).await.unwrap();
    assert_eq!(attacker.end_of(1).await, End::Answer(200));
    soon(pieces.closed()).await;
    assert!(matches!(attacker.end_of(u32::MAX >> 1).await, End::GoneAway(0) | End::Closed));
    let counted = "consentry_refused_total{reason=\"slow-read\"} 1\n";
    assert!(running.metrics.render().contains(counted), "{}", running.metrics.render());
}

#[tokio::test]
async fn an_answer_that_pauses_by_itself_is_not_a_slow_read() {
    let mut setup = Setup::default();
    setup.timeouts.idle = std::time::Duration::from_millis(100);
    setup.timeouts.request_header = std::time::Duration::from_millis(50);
    let (pieces, body) = piecewise();
    let running = Running::start(Bodies(Arc::new(std::sync::Mutex::new(vec![body]))), setup);
    let mut visitor = Frames::connect(running.address).await;
    visitor.write(&request(1, &get(HOST, "/"))).await.unwrap();
    assert_eq!(visitor.end_of(1).await, End::Answer(200));
    // Longer than any client may be silent.
    tokio::time::timeout(std::time::Duration::from_millis(400), pieces.closed()).await.unwrap_err();
    pieces.send(bytes::Bytes::from("at last")).await.unwrap();
    while visitor.next().await.unwrap().kind != DATA {}
}
