//! The ledger when the power goes: whatever a client has a receipt for is in the export afterwards, and the proof holds.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::process::{Run, command, folder, write};
use crate::support::browser::Browser;
use crate::support::entries::SECRET;
use crate::support::postgres::Cluster;
use crate::support::whole::{CUSTOMERS, HOST, NOTICE, site};

const ROUNDS: u32 = 50;
const CLIENTS: u32 = 12;

/// What a client has a receipt for: its id, and the state that the entry must have.
type Receipts = HashMap<String, &'static str>;

/// Numbers that look random and come again with their seed.
struct Dice(u64);

impl Dice {
    /// The seed is in the output of a test that fails; `CONSENTRY_TEST_SEED` brings it back.
    fn throw() -> Self {
        let seed = match std::env::var("CONSENTRY_TEST_SEED") {
            Ok(seed) => seed.parse().unwrap(),
            Err(_) => getrandom::u64().unwrap(),
        };
        println!("CONSENTRY_TEST_SEED={seed}");
        Dice(seed)
    }

    /// A number below `end` (splitmix64).
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(end)).unwrap()
    }
}

/// The moment at which something is killed: so many receipts into the round, and so much later.
struct Moment {
    receipts: AtomicU32,
    after: u32,
    later: Duration,
    is_here: tokio::sync::Notify,
    is_over: AtomicBool,
}

impl Moment {
    fn throw(dice: &mut Dice) -> Arc<Self> {
        Arc::new(Moment {
            receipts: AtomicU32::new(0),
            after: dice.below(30),
            later: Duration::from_micros(u64::from(dice.below(3_000))),
            is_here: tokio::sync::Notify::new(),
            is_over: AtomicBool::new(false),
        })
    }

    fn note_receipt(&self) {
        if self.receipts.fetch_add(1, Ordering::Relaxed) + 1 >= self.after {
            self.is_here.notify_one();
        }
    }

    async fn comes(&self) {
        if self.after > 0 {
            crate::support::soon(self.is_here.notified()).await;
        }
        tokio::time::sleep(self.later).await;
    }
}

/// Posts a form, and gives back the receipt; an error where the connection ends before the answer's head does.
async fn post(to: SocketAddr, target: &str, form: &str) -> std::io::Result<Option<String>> {
    let mut socket = TcpStream::connect(to).await?;
    let request = format!(
        "POST {target} HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\norigin: http://{HOST}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
        form.len()
    );
    socket.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, _) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
    let receipt = head.lines().find_map(|line| line.strip_prefix("consentry-receipt: "));
    Ok(receipt.map(str::to_owned))
}

/// Agrees, refuses and acknowledges in turn until the server is gone, or the round is over.
async fn decide(to: SocketAddr, acceptance: Arc<str>, moment: Arc<Moment>, first: u32) -> Receipts {
    let mut receipts = Receipts::new();
    let choices = "/_consent/choices";
    for number in first.. {
        if moment.is_over.load(Ordering::Relaxed) {
            break;
        }
        let (target, form, state) = match number % 3 {
            0 => (choices, "choice=accept-all&from=banner", "given"),
            1 => ("/_consent/acceptances", &*acceptance, "acknowledged"),
            _ => (choices, "choice=reject-all&from=banner", "refused"),
        };
        match post(to, target, form).await {
            Ok(Some(receipt)) => {
                receipts.insert(receipt, state);
                moment.note_receipt();
            }
            Ok(None) => {}
            Err(_) => break,
        }
    }
    receipts
}

/// The form by which the notice is acknowledged. It stays the same as long as the secrets do.
async fn acceptance(run: &Run) -> Arc<str> {
    let page = Browser::clear(run.address, HOST).navigate(&format!("{NOTICE}?return=/")).await.text();
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for name in ["document", "version", "token"] {
        let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
        form.append_pair(name, rest.split('"').next().unwrap());
    }
    form.finish().into()
}

/// What is killed at the end of a round.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Proxy,
    Server,
    Both,
}

/// One round: clients decide in parallel, and in the midst of it somebody is killed.
async fn round(run: &mut Run, cluster: Option<&mut Cluster>, victim: Victim, dice: &mut Dice) -> Receipts {
    let form = acceptance(run).await;
    let moment = Moment::throw(dice);
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(decide(run.address, Arc::clone(&form), Arc::clone(&moment), number));
    }
    moment.comes().await;
    if victim != Victim::Server {
        run.child.kill().unwrap();
        run.child.wait().unwrap();
    }
    if victim != Victim::Proxy {
        cluster.unwrap().kill();
    }
    moment.is_over.store(true, Ordering::Relaxed);
    crate::support::soon(clients.join_all()).await.into_iter().flatten().collect()
}

fn told(folder: &TempDir, words: &[&str]) -> String {
    let Output { status, stdout, stderr } = command(folder, words).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{words:?}: {out}{err}");
    out.into_owned()
}

/// Every receipt that anybody got is in the export, with what they decided, and the chain holds.
fn assert_nothing_is_lost(folder: &TempDir, receipts: &Receipts) {
    let exported = told(folder, &["ledger", "export"]);
    let entries = exported.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let states: HashMap<_, _> =
        entries.map(|entry| (entry["record_id"].to_string(), entry["event_state"].to_string())).collect();
    for (id, state) in receipts {
        let found = states.get(&format!("\"{id}\""));
        assert_eq!(found.map(String::as_str), Some(&*format!("\"{state}\"")), "{id}");
    }
    assert!(receipts.len() > ROUNDS as usize, "hardly anybody decided anything: {}", receipts.len());
    let verified = told(folder, &["ledger", "verify"]);
    assert!(verified.starts_with("intact:"), "{verified}");
}

fn shop() -> String {
    site("http://127.0.0.1:9", CUSTOMERS)
}

#[tokio::test]
async fn every_receipt_survives_a_proxy_that_is_killed_at_any_moment() {
    let mut dice = Dice::throw();
    let folder = folder("127.0.0.1:0", &shop());
    let mut receipts = Receipts::new();
    for _ in 0..ROUNDS {
        let mut run = Run::start(&folder);
        receipts.extend(round(&mut run, None, Victim::Proxy, &mut dice).await);
    }
    assert_nothing_is_lost(&folder, &receipts);
}

#[tokio::test]
async fn every_receipt_survives_a_postgres_and_a_proxy_that_are_killed_at_any_moment() {
    let mut dice = Dice::throw();
    // A start after a kill would write every file of the cluster to the disk, one by one.
    let mut cluster = Cluster::start_with("-c listen_addresses= -c recovery_init_sync_method=syncfs");
    let folder = folder("127.0.0.1:0", &shop());
    let settings = folder.path().join("config/consentry.yaml");
    let text = std::fs::read_to_string(&settings).unwrap();
    let (before, _) = text.split_once("ledger:").unwrap();
    std::fs::write(settings, format!("{before}ledger: {{ postgres: \"{}\" }}\n", cluster.database()))
        .unwrap();
    write(&folder, "data/secrets", SECRET);
    let mut receipts = Receipts::new();
    let mut running = None;
    for number in 1..=ROUNDS {
        // A start of the server takes seconds: less often.
        let victim = match (number % 8, dice.below(2)) {
            (0, 0) => Victim::Server,
            (0, _) => Victim::Both,
            _ => Victim::Proxy,
        };
        // A proxy that was left goes on by itself.
        let mut run = running.take().unwrap_or_else(|| Run::start(&folder));
        receipts.extend(round(&mut run, Some(&mut cluster), victim, &mut dice).await);
        if victim != Victim::Proxy {
            cluster.restart();
        }
        running = (victim == Victim::Server).then_some(run);
    }
    drop(running);
    assert_nothing_is_lost(&folder, &receipts);
}
