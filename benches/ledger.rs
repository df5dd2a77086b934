//! What proof costs: durable agreements a second beside one fsync for each, what pages feel of them, and a ledger with
//! a million entries. Only figures of one run can be compared.
//!
//! `cargo bench --bench ledger`; `-- --entries 100000` makes the last part shorter.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot be set up must fail at once"
)]

#[expect(unreachable_pub, reason = "the integration tests use it, too")]
#[path = "../tests/integration/support/entries.rs"]
mod entries;
#[path = "ledger/many.rs"]
mod many;
#[path = "ledger/pages.rs"]
mod pages;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use consentry::clock::{Clock, Timestamp};
use consentry::consent::cookie::Secrets;
use consentry::consent::{Categories, Subject};
use consentry::ledger::chain::{Draft, link};
use consentry::ledger::entry::Action;
use consentry::ledger::seal::Keys;
use consentry::ledger::store::Batch;
use consentry::ledger::{Decision, Ledger, Method, Place, Settings, Shown};
use uuid::Uuid;

/// How long each way is taken at a time; all take turns, so that they share whatever else the machine does.
const TURN: Duration = Duration::from_secs(2);
const ROUNDS: usize = 3;
const CLIENTS: [usize; 3] = [1, 32, 256];

fn main() {
    let arguments: Vec<_> = std::env::args().collect();
    let named = arguments.iter().skip_while(|word| *word != "--entries").nth(1);
    commits();
    pages::measure();
    many::measure(named.map_or(1_000_000, |number| number.parse().unwrap()));
}

/// Durable entries a second, by clients that wait for each of theirs.
fn commits() {
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); 2 + CLIENTS.len()];
    for _ in 0..ROUNDS {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let turns = [fsyncs(folder.path()), one_by_one(&folder.path().join("single"))];
        let together = CLIENTS.map(|clients| together(&folder.path().join(clients.to_string()), clients));
        for (rates, rate) in rates.iter_mut().zip(turns.into_iter().chain(together)) {
            rates.push(rate);
        }
    }
    let (fsyncs, single) = (rates[0].clone(), rates[1].clone());
    println!(
        "| durable entries, by | a second | ÷ one fsync an entry | ÷ fsyncs of the disk |\n| --- | ---: | ---: | ---: |"
    );
    let names = ["fsync of 4 KiB, alone".to_owned(), "one commit an entry".into()];
    let clients = CLIENTS.map(|clients| format!("{clients} clients"));
    for (name, rates) in names.into_iter().chain(clients).zip(&rates) {
        let ratio = |to: &[f64]| median(rates.iter().zip(to).map(|(rate, to)| rate / to));
        let rate = median(rates.iter().copied());
        println!("| {name} | {rate:.0} | {:.2} | {:.2} |", ratio(&single), ratio(&fsyncs));
    }
}

/// The middle one.
fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// How often the disk keeps 4 KiB.
fn fsyncs(folder: &Path) -> f64 {
    let mut file = std::fs::File::create(folder.join("plain")).unwrap();
    rate(|| {
        file.write_all(&[7; 4_096]).unwrap();
        file.sync_data().unwrap();
        1
    })
}

/// The ledger's own store with a commit, and so an fsync, for each entry.
fn one_by_one(file: &Path) -> f64 {
    let keys = keys();
    let mut store = Place::Sqlite(file.to_owned()).append(&keys, &Clock::system()).unwrap();
    let (decision, shown) = (decision(), [7; 32]);
    rate(|| {
        let (id, at) = (Uuid::now_v7(), Timestamp::UNIX_EPOCH);
        let draft = Draft { id, at, person: Subject(id).into(), decision: &decision, shown, salt: [7; 16] };
        let (records, head) = link(store.head(), &keys, &[draft]);
        store.append(&Batch { records: &records, wordings: &[(shown, "banner")], head: &head }).unwrap();
        1
    })
}

fn rate(mut act: impl FnMut() -> u64) -> f64 {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < TURN {
        count += act();
    }
    count as f64 / start.elapsed().as_secs_f64()
}

/// The ledger as the proxy uses it.
fn together(file: &Path, clients: usize) -> f64 {
    let settings = Settings { place: Place::Sqlite(file.to_owned()), checkpoints: None };
    let ledger = Ledger::open(&settings, keys(), Clock::system(), Arc::default()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let recorded = Arc::new(AtomicU64::new(0));
    let content: Arc<str> = "<consentry-banner>".repeat(500).into();
    let start = Instant::now();
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..clients {
            let (ledger, recorded, content) = (ledger.clone(), Arc::clone(&recorded), Arc::clone(&content));
            let subject = Subject(Uuid::from_u128(number as u128));
            tasks.spawn(async move {
                while start.elapsed() < TURN {
                    let shown = Shown { content: Arc::clone(&content) };
                    ledger.record(subject, decision(), shown).await.unwrap();
                    recorded.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        tasks.join_all().await;
        ledger.close().await;
    });
    recorded.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

fn keys() -> Keys {
    Keys::new(&Secrets::parse(entries::SECRET).unwrap())
}

fn decision() -> Decision {
    Decision {
        site: "example".into(),
        action: Action::Choice {
            categories: Categories::ALL,
            services: vec!["youtube".into()],
            withdraws: false,
            under_signal: false,
        },
        method: Method::Banner,
        language: "sv".into(),
        epoch: 7,
        valid_until: None,
    }
}
