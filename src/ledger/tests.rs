use rusqlite::Connection;
use tempfile::TempDir;

use super::entry::{Action, Verb};
use super::verify::{Finding, verify};
use super::*;
use crate::consent::Categories;

fn decision(subject: u128) -> Decision {
    Decision {
        site: "shop".into(),
        subject: Subject(Uuid::from_u128(subject)),
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

fn shown(text: &str) -> Shown {
    Shown { content: text.into() }
}

fn open(folder: &TempDir) -> Ledger {
    Ledger::open(&Settings::Sqlite(file(folder)), Clock::fixed(1_000), Arc::default()).unwrap()
}

/// Opens the ledger as the process does that replaces the one which has it.
fn inherit(folder: &TempDir) -> Ledger {
    Ledger::inherit(&Settings::Sqlite(file(folder)), Clock::fixed(1_000), Arc::default()).unwrap()
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("new/ledger.sqlite")
}

async fn with_three_entries() -> TempDir {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder);
    for subject in 1..=3 {
        ledger.record(decision(subject), shown("banner")).await.unwrap();
    }
    ledger.close().await;
    folder
}

fn tampered(folder: &TempDir, sql: &str) -> Finding {
    Connection::open(file(folder))
        .unwrap()
        .execute_batch(&format!("PRAGMA foreign_keys = off; {sql}"))
        .unwrap();
    verify(&Reader::open(&file(folder)).unwrap()).unwrap()
}

#[tokio::test]
async fn a_successor_writes_once_the_one_before_has_closed_and_the_chain_goes_on() {
    let folder = TempDir::new().unwrap();
    let before = open(&folder);
    let refused = Ledger::open(&Settings::Sqlite(file(&folder)), Clock::fixed(1_000), Arc::default());
    assert!(refused.is_err(), "only a successor may wait");
    let after = inherit(&folder);
    before.record(decision(1), shown("banner")).await.unwrap();
    let mut waiting = Box::pin(after.record(decision(2), shown("banner")));
    let soon = tokio::time::timeout(Duration::from_millis(100), &mut waiting);
    assert!(soon.await.is_err(), "two writers would fork the chain");
    before.record(decision(3), shown("banner")).await.unwrap();
    before.close().await;
    waiting.await.unwrap();
    after.close().await;
    let order = [1, 3, 2].map(|subject| Subject(Uuid::from_u128(subject)));
    let mut subjects = Vec::new();
    let reader = Reader::open(&file(&folder)).unwrap();
    reader
        .each(None, |_, entry| {
            subjects.push(entry.decision.subject);
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(subjects, order);
    assert_eq!(verify(&reader).unwrap(), Finding::Intact { entries: 3 });
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
        ..decision(1)
    };
    let first = ledger.record(decision(1), shown("banner")).await.unwrap();
    let second = ledger.record(acceptance.clone(), shown("text")).await.unwrap();
    ledger.close().await;
    let again = open(&folder);
    let receipts = again.receipts("shop", Subject(Uuid::from_u128(1))).await.unwrap();
    assert_eq!(receipts.iter().map(|entry| entry.id).collect::<Vec<_>>(), [second.id, first.id]);
    assert_eq!(receipts[0].decision, acceptance);
    assert_eq!(receipts[1].decision, decision(1));
    assert!(again.receipts("other", Subject(Uuid::from_u128(1))).await.unwrap().is_empty());
    assert!(again.receipt("shop", Subject(Uuid::from_u128(2)), first.id).await.unwrap().is_none());
    again.close().await;
    assert_eq!(verify(&Reader::open(&file(&folder)).unwrap()).unwrap(), Finding::Intact { entries: 2 });
}

#[tokio::test]
async fn every_way_of_tampering_is_named() {
    assert_eq!(tampered(&with_three_entries().await, ""), Finding::Intact { entries: 3 });
    let found = |sql| async move { tampered(&with_three_entries().await, sql) };
    assert!(matches!(
        found("UPDATE entries SET categories = 0 WHERE sequence = 2").await,
        Finding::Changed(2, _)
    ));
    assert!(matches!(found("DELETE FROM entries WHERE sequence = 2").await, Finding::Broken(3, _)));
    let swap = "UPDATE entries SET sequence = 9 WHERE sequence = 1";
    assert!(matches!(found(swap).await, Finding::Broken(2, _)));
    let cut = "DELETE FROM entries WHERE sequence = 3";
    assert_eq!(found(cut).await, Finding::CutOff { expected: 3, found: 2 });
    assert!(matches!(found("UPDATE shown SET content = 'other'").await, Finding::WordingLost(1, _)));
    assert!(matches!(found("DELETE FROM shown").await, Finding::WordingLost(1, _)));
}

#[tokio::test]
async fn entries_that_wait_together_share_a_commit() {
    let folder = TempDir::new().unwrap();
    let metrics = Arc::<Metrics>::default();
    let ledger =
        Ledger::open(&Settings::Sqlite(file(&folder)), Clock::fixed(1_000), Arc::clone(&metrics)).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for subject in 0..300 {
        let ledger = ledger.clone();
        tasks.spawn(async move { ledger.record(decision(subject), shown("banner")).await.unwrap().id });
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
    assert!(matches!(ledger.record(decision(1), shown("banner")).await, Err(Failure::Store(_))));
    assert_eq!(ledger.metrics.ledger_works.get(), 0);
    other.execute_batch("DROP TRIGGER full").unwrap();
    ledger.record(decision(1), shown("banner")).await.unwrap();
    ledger.close().await;
    assert!(matches!(ledger.record(decision(1), shown("banner")).await, Err(Failure::Closed)));
    assert_eq!(verify(&Reader::open(&file(&folder)).unwrap()).unwrap(), Finding::Intact { entries: 1 });
}

#[tokio::test]
async fn a_second_writer_is_refused_and_so_is_a_newer_schema() {
    let folder = TempDir::new().unwrap();
    let ledger = open(&folder);
    let second = Ledger::open(&Settings::Sqlite(file(&folder)), Clock::system(), Arc::default());
    let error = second.unwrap_err();
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("another process"));
    ledger.close().await;
    Connection::open(file(&folder)).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let newer = Ledger::open(&Settings::Sqlite(file(&folder)), Clock::system(), Arc::default()).unwrap_err();
    assert!(std::error::Error::source(&newer).unwrap().to_string().contains("schema 99"));
}

#[tokio::test]
async fn looking_up_a_visitor_uses_the_index() {
    let folder = with_three_entries().await;
    let connection = Connection::open(file(&folder)).unwrap();
    let plan: String = connection
        .query_row(
            "EXPLAIN QUERY PLAN SELECT id FROM entries WHERE site = 'a' AND subject = x'00' ORDER BY sequence DESC",
            [],
            |row| row.get(3),
        )
        .unwrap();
    assert!(plan.contains("of_subject"), "{plan}");
}
