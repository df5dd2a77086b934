//! The commands of the ledger with a ledger that is not as they like it, and with very many entries.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use consentry::clock::Clock;
use consentry::consent::cookie::Secrets;
use consentry::consent::{Categories, Subject};
use consentry::ledger::entry::Action;
use consentry::ledger::seal::Keys;
use consentry::ledger::{Decision, Ledger, Method, Place, Settings, Shown};
use tempfile::TempDir;

use crate::ledger::{done, keep_in, told};
use crate::process::{command, folder};
use crate::support::entries::{SECRET, fill};
use crate::support::whole::site;

/// A folder whose ledger holds as many entries.
fn holding(entries: u32) -> TempDir {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:9", ""));
    keep_in(&folder, "{ sqlite: ../data/ledger.sqlite }");
    fill(&folder.path().join("data/ledger.sqlite"), entries);
    folder
}

#[test]
fn a_ledger_of_a_newer_program_and_one_whose_upgrade_broke_off_are_left_alone_and_say_what_to_do() {
    for (damage, expected) in [
        (
            "PRAGMA user_version = 99",
            "it has schema 99, and this program knows schema 2: use the newer program",
        ),
        ("DROP TABLE tombstones", "restore the backup that was made before"),
    ] {
        let folder = holding(3);
        let file = folder.path().join("data/ledger.sqlite");
        rusqlite::Connection::open(&file).unwrap().execute_batch(damage).unwrap();
        let before = std::fs::read(&file).unwrap();
        let somebody = "--subject=018f0000000070008000000000000001";
        for words in
            [&["export"][..], &["verify"], &["stats"], &["purge"], &["backup", "x"], &["erase", somebody]]
        {
            let (code, out, err) = told(&folder, words);
            assert!(code == 2 && out.is_empty() && err.contains(expected), "{words:?}: {code} {out}{err}");
        }
        let output = command(&folder, &["run"]).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && err.contains(expected), "{err}");
        assert!(std::fs::read(&file).unwrap() == before, "nothing is lost: {damage}");
        assert!(!std::path::Path::new("x").exists());
    }
}

#[test]
fn whoever_asks_for_a_subject_or_an_entry_that_is_not_there_is_told_so() {
    let folder = holding(3);
    let nobody = "018f0000000070008000000000000001";
    for words in [&["export", "--subject", nobody][..], &["erase", "--subject", nobody], &["show", nobody]] {
        let (code, out, err) = told(&folder, words);
        assert!(code == 1 && out.is_empty() && err.contains("no entry"), "{words:?}: {code} {out}{err}");
    }
    assert!(done(&folder, &["verify"]).contains("intact: 3 entries"));
}

#[tokio::test]
async fn a_clock_that_was_set_back_is_told_of_and_nothing_is_lost() {
    let folder = holding(0);
    let settings =
        Settings { place: Place::Sqlite(folder.path().join("data/ledger.sqlite")), checkpoints: None };
    let clock = Clock::fixed(2_000_000_000);
    let keys = Keys::new(&Secrets::parse(SECRET).unwrap());
    let ledger = Ledger::open(&settings, keys, clock.clone(), Arc::default()).unwrap();
    let decision = Decision {
        site: "example".into(),
        action: Action::Choice {
            categories: Categories::ALL,
            services: Vec::new(),
            withdraws: false,
            under_signal: false,
        },
        method: Method::Banner,
        language: "sv".into(),
        epoch: 7,
        valid_until: None,
    };
    for _ in 0..2 {
        let shown = Shown { content: "banner".into() };
        ledger.record(Subject(uuid::Uuid::from_u128(7)), decision.clone(), shown).await.unwrap();
        clock.advance(-86_400);
    }
    ledger.close().await;
    let said = done(&folder, &["verify"]);
    assert!(said.contains("intact: 2 entries") && said.contains("1 are older by the clock"), "{said}");
    assert_eq!(done(&folder, &["export"]).lines().count(), 2);
}

#[test]
fn a_long_export_says_on_a_terminal_how_far_it_has_come() {
    let folder = holding(10_000);
    let file = folder.path().join("export.jsonl");
    let export = format!(
        "{} ledger export --config {} > {}",
        env!("CARGO_BIN_EXE_consentry"),
        folder.path().join("config/consentry.yaml").display(),
        file.display()
    );
    // `script` gives it a terminal.
    let output =
        Command::new("script").args(["-qec", &export, "/dev/null"]).env("TERM", "xterm").output().unwrap();
    assert!(output.status.success());
    let seen = String::from_utf8_lossy(&output.stdout);
    assert!(seen.contains("of 10,000 entries"), "{seen}");
    assert_eq!(std::fs::read_to_string(file).unwrap().lines().count(), 10_000);
    // And elsewhere it keeps quiet.
    let (_, _, err) = told(&folder, &["export"]);
    assert_eq!(err, "");
}

/// The most memory in KiB that an export took, and how many entries it gave.
fn most_memory_of_an_export(folder: &TempDir) -> (u64, u32) {
    let mut child = command(folder, &["ledger", "export"]).stdout(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let (mut most, mut lines) = (0, 0);
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        line.unwrap();
        lines += 1;
        // It waits for this reader, so it is still there; at the very end it may be gone.
        if lines % 500 == 0
            && let Ok(status) = std::fs::read_to_string(&status)
            && let Some(kib) = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))
        {
            most = kib.trim().trim_end_matches(" kB").parse().unwrap();
        }
    }
    assert!(child.wait().unwrap().success());
    (most, lines)
}

#[test]
fn an_export_of_five_times_as_many_entries_takes_no_more_memory() {
    let few = most_memory_of_an_export(&holding(4_000));
    let many = most_memory_of_an_export(&holding(20_000));
    assert_eq!((few.1, many.1), (4_000, 20_000));
    assert!(many.0 < few.0 + 4 * 1_024, "{} KiB, and {} KiB of five times as many", few.0, many.0);
}
