use rusqlite::Connection;
use tempfile::TempDir;

use super::entry::{Action, Verb};
use super::store::{Filter, each};
use super::verify::{Finding, Intact, verify};
use super::*;
use crate::consent::Categories;
use crate::consent::cookie::Secrets;

pub(super) fn keys() -> Keys {
    Keys::new(&Secrets::parse(&"s".repeat(32)).unwrap())
}

pub(super) fn choice() -> Decision {
    Decision {
        site: "shop".into(),
        action: Action::Choice {
            categories: Categories::ALL,
            services: vec!["youtube".into()],
            withdraws: false,
            under_signal: false,
        },
        method: Method::Banner,
        language: "sv".into(),
        epoch: u64::MAX,
        valid_until: None,
    }
}

fn subject(number: u128) -> Subject {
    Subject(Uuid::from_u128(number))
}

fn shown(text: &str) -> Shown {
    Shown { content: text.into() }
}

fn open(folder: &TempDir) -> Ledger {
    Ledger::open(&settings(folder), keys(), Clock::fixed(1_000), Arc::default()).unwrap()
}

/// Opens the ledger as the process does that replaces the one which has it.
fn inherit(folder: &TempDir) -> Ledger {
    Ledger::inherit(&settings(folder), keys(), Clock::fixed(1_000), Arc::default()).unwrap()
}

fn settings(folder: &TempDir) -> Settings {
    Settings { place: place(folder), checkpoints: None }
}

fn place(folder: &TempDir) -> Place {
    Place::Sqlite(file(folder))
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("new/ledger.sqlite")
}

fn found(folder: &TempDir) -> Finding {
    verify(&*place(folder).read().unwrap(), Some(&keys()), &[], |_| {}).unwrap()
}

#[track_caller]
fn assert_intact(folder: &TempDir, entries: u64) {
    let finding = found(folder);
    assert!(
        matches!(finding, Finding::Intact(Intact { entries: found, .. }) if found == entries),
        "{finding:?}"
    );
}

#[tokio::test]
async fn a_successor_writes_once_the_one_before_has_closed_and_the_chain_goes_on() {
    let folder = TempDir::new().unwrap();
    let before = open(&folder);
    let refused = Ledger::open(&settings(&folder), keys(), Clock::fixed(1_000), Arc::default());
    assert!(refused.is_err(), "only a successor may wait");
    let after = inherit(&folder);
    before.record(subject(1), choice(), shown("banner")).await.unwrap();
    let mut waiting = Box::pin(after.record(subject(2), choice(), shown("banner")));
    let soon = tokio::time::timeout(Duration::from_millis(100), &mut waiting);
    assert!(soon.await.is_err(), "two writers would fork the chain");
    before.record(subject(3), choice(), shown("banner")).await.unwrap();
    before.close().await;
    waiting.await.unwrap();
    after.close().await;
    let order = [1, 3, 2].map(subject);
    let mut subjects = Vec::new();
    each(&*place(&folder).read().unwrap(), &Filter::default(), |record| {
        subjects.push(record.read().unwrap().person().unwrap().subject);
        Ok::<_, StoreFailure>(std::ops::ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(subjects, order);
    assert_intact(&folder, 3);
}

#[tokio::test]
async fn a_successor_takes_the_ledger_before_anybody_decides() {
    let folder = TempDir::new().unwrap();
    let before = open(&folder);
    let after = inherit(&folder);
    before.close().await;
    // The lock is the proof: whoever else asks is refused as soon as the successor has it.
    let lock = file(&folder).with_extension("sqlite.lock");
    let is_taken = || std::fs::File::open(&lock).unwrap().try_lock().is_err();
    let taken = async {
        while !is_taken() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), taken).await.unwrap();
    after.close().await;
    assert!(!is_taken());
}

#[tokio::test]
async fn what_was_recorded_comes_back_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder);
    let acceptance = Decision {
        action: Action::Acceptance {
            document: "privacy".into(),
            verb: Verb::Acknowledged,
            version: "2018-05-25".into(),
            text: [7; 32],
        },
        valid_until: Some(crate::clock::Timestamp::from_second(9).unwrap()),
        ..choice()
    };
    let first = ledger.record(subject(1), choice(), shown("banner")).await.unwrap();
    let second = ledger.record(subject(1), acceptance.clone(), shown("text")).await.unwrap();
    ledger.close().await;
    let again = open(&folder);
    let receipts = again.receipts("shop", subject(1)).await.unwrap();
    assert_eq!(receipts.iter().map(Entry::id).collect::<Vec<_>>(), [second.id, first.id]);
    assert_eq!(receipts[0].decision, acceptance);
    assert_eq!(receipts[1].decision, choice());
    assert!(again.receipts("other", subject(1)).await.unwrap().is_empty());
    assert!(again.receipt("shop", subject(2), first.id).await.unwrap().is_none());
    again.close().await;
    assert_intact(&folder, 2);
}

#[tokio::test]
async fn entries_that_wait_together_share_a_commit() {
    let folder = TempDir::new().unwrap();
    let metrics = Arc::<Metrics>::default();
    let ledger = Ledger::open(&settings(&folder), keys(), Clock::fixed(1_000), Arc::clone(&metrics)).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..300 {
        let ledger = ledger.clone();
        tasks.spawn(
            async move { ledger.record(subject(number), choice(), shown("banner")).await.unwrap().id },
        );
    }
    let ids: std::collections::HashSet<_> = tasks.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 300);
    ledger.close().await;
    let text = metrics.render();
    let commits =
        text.lines().find_map(|line| line.strip_prefix("consentry_ledger_commit_seconds_count ")).unwrap();
    assert!(commits.parse::<u32>().unwrap() < 300, "{commits}");
    assert!(text.contains("consentry_ledger_queue 0"));
}

#[tokio::test]
async fn a_store_that_fails_says_so_and_works_again_once_it_is_mended() {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder);
    let other = Connection::open(file(&folder)).unwrap();
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    other.execute_batch(trigger).unwrap();
    assert_eq!(ledger.metrics.ledger_works.get(), 1);
    assert!(matches!(ledger.record(subject(1), choice(), shown("banner")).await, Err(Failure::Store(_))));
    assert_eq!(ledger.metrics.ledger_works.get(), 0);
    other.execute_batch("DROP TRIGGER full").unwrap();
    ledger.record(subject(1), choice(), shown("banner")).await.unwrap();
    ledger.close().await;
    assert!(matches!(ledger.record(subject(1), choice(), shown("banner")).await, Err(Failure::Closed)));
    assert_intact(&folder, 1);
}

#[tokio::test]
async fn a_second_writer_is_refused_and_so_is_a_newer_schema() {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder);
    let second = Ledger::open(&settings(&folder), keys(), Clock::system(), Arc::default());
    let error = second.unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("another process"));
    ledger.close().await;
    Connection::open(file(&folder)).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let newer = Ledger::open(&settings(&folder), keys(), Clock::system(), Arc::default()).unwrap_err();
    assert!(std::error::Error::source(&newer).unwrap().to_string().contains("schema 99"));
}

#[tokio::test]
async fn a_ledger_that_failed_is_known_to_work_again_before_anybody_decides() {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder);
    let other = Connection::open(file(&folder)).unwrap();
    let trigger = "CREATE TRIGGER full BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    other.execute_batch(trigger).unwrap();
    ledger.record(subject(1), choice(), shown("banner")).await.unwrap_err();
    other.execute_batch("DROP TRIGGER full").unwrap();
    let works = async {
        while ledger.metrics.ledger_works.get() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), works).await.unwrap();
    ledger.close().await;
}

#[tokio::test]
async fn a_clock_that_jumps_back_loses_nothing_and_is_told_of() {
    let folder = TempDir::new().unwrap();
    let clock = Clock::fixed(1_000_000);
    let ledger = Ledger::open(&settings(&folder), keys(), clock.clone(), Arc::default()).unwrap();
    let first = ledger.record(subject(1), choice(), shown("banner")).await.unwrap();
    clock.advance(-3_600);
    let second = ledger.record(subject(1), choice(), shown("banner")).await.unwrap();
    assert!(second.at < first.at && second.id != first.id);
    ledger.close().await;
    let finding = found(&folder);
    assert!(matches!(finding, Finding::Intact(Intact { entries: 2, clock_set_back: 1, .. })), "{finding:?}");
}

#[tokio::test]
async fn a_secret_put_first_seals_from_then_on_and_the_older_one_is_needed_no_more_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let (old, new) = ("o".repeat(32), "n".repeat(32));
    let keys = |text: &str| Keys::new(&Secrets::parse(text).unwrap());
    let opened = |text: &str| {
        Ledger::open(&settings(&folder), keys(text), Clock::fixed(1_000), Arc::default()).unwrap()
    };
    let finding =
        |text: &str| verify(&*place(&folder).read().unwrap(), Some(&keys(text)), &[], |_| {}).unwrap();
    let ledger = opened(&old);
    ledger.record(subject(1), choice(), shown("banner")).await.unwrap();
    ledger.close().await;
    assert!(matches!(finding(&new), Finding::Broken { damage: verify::Damage::SecretGone, .. }));
    opened(&format!("{new}\n{old}")).close().await;
    assert!(matches!(finding(&new), Finding::Intact(_)));
    // And the chain goes on: no new one was begun.
    let ledger = opened(&new);
    ledger.record(subject(1), choice(), shown("banner")).await.unwrap();
    ledger.close().await;
    assert!(matches!(finding(&new), Finding::Intact(Intact { entries: 2, chains: 1, .. })));
}
