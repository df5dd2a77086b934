//! The ledger as operators and visitors meet it: kept in either place, given out, erased, purged, and whole.

use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::process::{Run, command, folder, write};
use crate::support::browser::Browser;
use crate::support::entries::{SECRET, fill};
use crate::support::postgres::Cluster;
use crate::support::soon;
use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, NOTICE, site};

/// One server for the tests that do not kill it.
pub fn database() -> String {
    static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);
    CLUSTER.database()
}

/// The settings of a proxy whose ledger is kept in PostgreSQL.
pub fn settings(site: &str, database: &str) -> TempDir {
    let folder = folder("127.0.0.1:0", site);
    keep_in(&folder, &format!("{{ postgres: \"{database}\" }}"));
    folder
}

/// Has the ledger kept elsewhere.
pub fn keep_in(folder: &TempDir, place: &str) {
    let path = folder.path().join("config/consentry.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, _) = text.split_once("ledger:").unwrap();
    std::fs::write(path, format!("{before}ledger: {place}\n")).unwrap();
    // The same secrets everywhere, as instances share them.
    write(folder, "data/secrets", SECRET);
}

pub fn told(folder: &TempDir, words: &[&str]) -> (i32, String, String) {
    let words: Vec<_> = std::iter::once("ledger").chain(words.iter().copied()).collect();
    let Output { status, stdout, stderr } = command(folder, &words).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[track_caller]
pub fn done(folder: &TempDir, words: &[&str]) -> String {
    let (code, out, err) = told(folder, words);
    assert_eq!(code, 0, "{words:?}: {out}{err}");
    out
}

pub fn exported(folder: &TempDir, more: &[&str]) -> Vec<serde_json::Value> {
    let out = done(folder, &[&["export"], more].concat());
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

pub fn visitor(run: &Run) -> Browser {
    Browser::clear(run.address, HOST)
}

/// Agrees to everything, and gives back the receipt, if there is one.
pub async fn agree(browser: &mut Browser) -> Option<String> {
    let answer =
        browser.post_form("/_consent/choices", &[("choice", "accept-all"), ("from", "banner")]).await;
    let receipt = answer.header("consentry-receipt").map(str::to_owned);
    assert_eq!(answer.status.as_u16(), if receipt.is_some() { 303 } else { 503 });
    assert_eq!(answer.all("set-cookie").iter().any(|line| line.starts_with("consentry=")), receipt.is_some());
    receipt
}

pub async fn refuse(browser: &mut Browser) {
    let answer = browser.post_form("/_consent/choices", &[("choice", "reject-all")]).await;
    assert_eq!(answer.status.as_u16(), 303, "refusing is honoured in any case");
    assert!(browser.cookie("consentry").is_some());
}

/// A site with a gate, so that its notice can be acknowledged.
fn shop(upstream: &Upstream) -> String {
    site(&upstream.url(), crate::support::whole::CUSTOMERS)
}

#[tokio::test]
async fn before_the_first_start_there_is_no_ledger_and_every_command_says_so() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:9", ""));
    let somebody = "--subject=018f0000000070008000000000000001";
    for words in
        [&["export"][..], &["verify"], &["stats"], &["purge"], &["backup", "x"], &["erase", somebody]]
    {
        let (code, _, err) = told(&folder, words);
        assert!(code == 2 && err.contains("there is no ledger yet"), "{words:?}: {code} {err}");
    }
    assert!(!folder.path().join("data/ledger.sqlite").exists(), "nothing is made by looking");
}

#[tokio::test]
async fn c20_an_export_is_what_was_asked_for_and_no_more() {
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    let folder = folder("127.0.0.1:0", &shop(&upstream));
    let run = Run::start(&folder);
    let (mut one, mut two) = (visitor(&run), visitor(&run));
    let choice = agree(&mut one).await.unwrap();
    let acceptance = one.acknowledge(NOTICE).await;
    agree(&mut two).await.unwrap();
    refuse(&mut two).await;
    let all = exported(&folder, &[]);
    let states: Vec<_> = all.iter().map(|entry| entry["event_state"].as_str().unwrap()).collect();
    assert_eq!(states, ["given", "acknowledged", "given", "withdrawn"]);
    assert_eq!(all[0]["method"], "without-scripts");
    let subject = all[0]["pii_principal_id"].as_str().unwrap();
    for (more, expected) in [
        (&["--site", "example"][..], 4),
        (&["--site", "other"], 0),
        (&["--subject", subject], 2),
        (&["--document", "privacy"], 1),
        (&["--since", "2020-01-01"], 4),
        (&["--until", "2020-01-01"], 0),
        (
            &[
                "--since",
                "2020-01-01",
                "--until",
                "2999-12-31",
                "--subject",
                subject,
                "--document",
                "privacy",
            ],
            1,
        ),
    ] {
        assert_eq!(exported(&folder, more).len(), expected, "{more:?}");
    }
    let csv = done(&folder, &["export", "--format", "csv"]);
    assert_eq!(csv.lines().count(), 5);
    assert!(csv.starts_with("schema_version,chain,sequence,record_id,"));
    // The very wording that was shown.
    let shown = done(&folder, &["show", &choice]);
    assert!(shown.contains("\"event_state\": \"given\"") && shown.contains("<consentry-banner"), "{shown}");
    assert!(done(&folder, &["show", &acceptance]).contains("<p>Text.</p>"));
    let (code, _, err) = told(&folder, &["show", "018f0000-0000-7000-8000-000000000000"]);
    assert!(code == 1 && err.contains("no entry has the id"), "{err}");
    let stats = done(&folder, &["stats"]);
    assert!(stats.contains("4 entries in 1 chains, 0 purged"), "{stats}");
    let (code, _, err) = told(&folder, &["export", "--since", "yesterday"]);
    assert!(code == 2 && err.contains("2026-01-31"), "{err}");
    drop(run);
}

#[test]
fn a_reader_that_has_seen_enough_ends_an_export_without_an_error() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:9", ""));
    keep_in(&folder, "{ sqlite: ../data/ledger.sqlite }");
    fill(&folder.path().join("data/ledger.sqlite"), 3_000);
    let mut export = command(&folder, &["ledger", "export"]);
    let mut child = export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    drop(output);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[tokio::test]
async fn who_is_erased_is_named_nowhere_any_more_and_the_proof_still_holds() {
    for in_postgres in [false, true] {
        let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
        let folder = match in_postgres {
            false => folder("127.0.0.1:0", &shop(&upstream)),
            true => settings(&shop(&upstream), &database()),
        };
        let run = Run::start(&folder);
        let mut browser = visitor(&run);
        let receipt = agree(&mut browser).await.unwrap();
        agree(&mut visitor(&run)).await.unwrap();
        let subject = exported(&folder, &[])[0]["pii_principal_id"].as_str().unwrap().to_owned();
        let said = done(&folder, &["erase", "--subject", &subject]);
        assert!(said.contains("1 entries") && said.contains("17(3)(e)"), "{said}");
        let (code, _, err) = told(&folder, &["erase", "--subject", &subject]);
        assert!(code == 1 && err.contains("no entry is of subject"), "{err}");
        let shown = done(&folder, &["show", &receipt]);
        assert!(!shown.contains(&subject) && shown.contains("erased_at"), "{shown}");
        assert!(!done(&folder, &["export"]).contains(&subject));
        if !in_postgres {
            // Nor in the bytes of the file.
            let bytes = std::fs::read(folder.path().join("data/ledger.sqlite")).unwrap();
            let subject = uuid::Uuid::parse_str(&subject).unwrap();
            assert!(!bytes.windows(16).any(|window| window == subject.as_bytes()));
        }
        let verified = done(&folder, &["verify"]);
        assert!(verified.contains("intact: 2 entries") && verified.contains("1 do not say"), "{verified}");
        // And the visitor's own receipts are gone with it.
        let page = browser.navigate("/_consent/settings").await.text();
        assert!(!page.contains(&receipt));
        drop(run);
    }
}

#[tokio::test]
async fn c18_what_was_kept_long_enough_is_purged_and_the_chain_still_holds() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:9", "retention: { choices: 2y }"));
    keep_in(&folder, "{ sqlite: ../data/ledger.sqlite }");
    // Of 1970, a second apart.
    fill(&folder.path().join("data/ledger.sqlite"), 2_000);
    let purged = done(&folder, &["purge"]);
    assert!(purged.contains("2000 entries and 1 wordings"), "{purged}");
    let verified = done(&folder, &["verify"]);
    assert!(
        verified.contains("intact: 0 entries") && verified.contains("2000 more were purged"),
        "{verified}"
    );
    assert!(done(&folder, &["purge"]).contains("0 entries"));
    // The proxy goes on with the same chain.
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    write(&folder, "config/sites/example.yaml", &site(&upstream.url(), ""));
    let run = Run::start(&folder);
    agree(&mut visitor(&run)).await.unwrap();
    assert!(done(&folder, &["verify"]).contains("intact: 1 entries"));
    assert_eq!(exported(&folder, &[])[0]["sequence"], 2_001);
    drop(run);
}

#[tokio::test]
async fn a_backup_is_made_while_the_proxy_runs_and_is_whole() {
    for in_postgres in [false, true] {
        let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
        let folder = match in_postgres {
            false => folder("127.0.0.1:0", &site(&upstream.url(), "")),
            true => settings(&site(&upstream.url(), ""), &database()),
        };
        if !in_postgres {
            keep_in(&folder, "{ sqlite: ../data/ledger.sqlite }");
        }
        let run = Run::start(&folder);
        let receipt = agree(&mut visitor(&run)).await.unwrap();
        let file = folder.path().join("backup.sqlite");
        let file = file.to_str().unwrap();
        assert!(done(&folder, &["backup", file]).contains("1 entries"));
        let (code, _, err) = told(&folder, &["backup", file]);
        assert!(code == 2 && err.contains("overwrites nothing"), "{err}");
        agree(&mut visitor(&run)).await.unwrap();
        assert!(done(&folder, &["verify", "--ledger", file]).contains("intact: 1 entries"));
        assert!(done(&folder, &["show", &receipt, "--ledger", file]).contains(&receipt));
        run.signal("-TERM");
        assert!(run.ended().success());
        // Restored: the file in its place, and the proxy goes on where the backup ended.
        let restored = folder.path().join("data/restored.sqlite");
        std::fs::copy(file, &restored).unwrap();
        keep_in(&folder, "{ sqlite: ../data/restored.sqlite }");
        let run = Run::start(&folder);
        agree(&mut visitor(&run)).await.unwrap();
        assert!(done(&folder, &["verify"]).contains("intact: 2 entries"));
        drop(run);
    }
}

#[tokio::test]
async fn a_ledger_moves_from_a_file_to_postgres_and_back() {
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    keep_in(&folder, "{ sqlite: ../data/ledger.sqlite }");
    let run = Run::start(&folder);
    let first = agree(&mut visitor(&run)).await.unwrap();
    run.signal("-TERM");
    assert!(run.ended().success());
    let (database, file) = (database(), folder.path().join("data/ledger.sqlite"));
    let file = file.to_str().unwrap();
    assert!(done(&folder, &["migrate", "--from", file, "--to", &database]).contains("1 entries"));
    let (code, _, err) = told(&folder, &["migrate", "--from", file, "--to", &database]);
    assert!(code == 2 && err.contains("not mixed"), "{err}");
    keep_in(&folder, &format!("{{ postgres: \"{database}\" }}"));
    let run = Run::start(&folder);
    let second = agree(&mut visitor(&run)).await.unwrap();
    run.signal("-TERM");
    assert!(run.ended().success());
    let back = folder.path().join("data/back.sqlite");
    done(&folder, &["migrate", "--from", &database, "--to", back.to_str().unwrap()]);
    keep_in(&folder, "{ sqlite: ../data/back.sqlite }");
    let ids: Vec<_> = exported(&folder, &[]).iter().map(|entry| entry["record_id"].clone()).collect();
    assert_eq!(ids, [first, second]);
    assert!(done(&folder, &["verify"]).contains("intact: 2 entries"));
}

#[tokio::test]
async fn two_proxies_share_one_postgres_and_know_each_others_receipts() {
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    let database = database();
    let folders = [(); 2].map(|()| settings(&site(&upstream.url(), ""), &database));
    let runs = folders.each_ref().map(Run::start);
    let mut browser = visitor(&runs[0]);
    let receipt = agree(&mut browser).await.unwrap();
    let mut elsewhere = visitor(&runs[1]);
    elsewhere.set_cookie("consentry", browser.cookie("consentry").unwrap());
    assert!(elsewhere.navigate("/_consent/settings").await.text().contains(&receipt));
    let mut visitors: Vec<_> = (0..40).map(|number| visitor(&runs[number % 2])).collect();
    let receipts = futures_util::future::join_all(visitors.iter_mut().map(agree)).await;
    assert!(receipts.iter().all(Option::is_some));
    let verified = done(&folders[0], &["verify"]);
    assert!(verified.contains("intact: 41 entries"), "{verified}");
    assert!(done(&folders[0], &["stats"]).contains("41 entries in 2 chains"));
    drop(runs);
}

#[tokio::test]
async fn a_server_that_goes_away_stops_agreements_alone_and_comes_back_without_a_restart() {
    let mut cluster = Cluster::start();
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    let folder = settings(&site(&upstream.url(), ""), &cluster.database());
    let run = Run::start(&folder);
    let first = agree(&mut visitor(&run)).await.unwrap();
    cluster.kill();
    assert_eq!(soon(agree(&mut visitor(&run))).await, None);
    soon(refuse(&mut visitor(&run))).await;
    let page = soon(visitor(&run).navigate("/")).await;
    assert!(page.status.is_success(), "pages are served all the same");
    assert!(run.metrics().await.contains("consentry_ledger_works 0"));
    let (code, _, err) = told(&folder, &["export"]);
    assert!(code == 2 && err.contains("PostgreSQL"), "{err}");
    cluster.restart();
    let second = loop {
        if let Some(receipt) = soon(agree(&mut visitor(&run))).await {
            break receipt;
        }
    };
    assert!(run.metrics().await.contains("consentry_ledger_works 1"));
    let ids: Vec<_> = exported(&folder, &[]).iter().map(|entry| entry["record_id"].clone()).collect();
    assert_eq!(ids, [first, second]);
    assert!(done(&folder, &["verify"]).contains("intact: 2 entries"));
    drop(run);
}

#[tokio::test]
async fn a_file_that_is_locked_or_damaged_stops_agreements_alone_and_is_used_again_once_it_is_well() {
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    let file = folder.path().join("data/ledger.sqlite");
    let run = Run::start(&folder);
    agree(&mut visitor(&run)).await.unwrap();
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(soon(agree(&mut visitor(&run))).await, None);
    soon(refuse(&mut visitor(&run))).await;
    other.execute_batch("ROLLBACK").unwrap();
    agree(&mut visitor(&run)).await.unwrap();
    other.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(other);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, vec![7; whole.len()]).unwrap();
    assert_eq!(soon(agree(&mut visitor(&run))).await, None);
    soon(refuse(&mut visitor(&run))).await;
    assert!(run.metrics().await.contains("consentry_ledger_works 0"));
    std::fs::write(&file, whole).unwrap();
    for name in ["data/ledger.sqlite-wal", "data/ledger.sqlite-shm"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    agree(&mut visitor(&run)).await.unwrap();
    assert!(done(&folder, &["verify"]).contains("intact: 3 entries"));
    drop(run);
}

#[tokio::test]
async fn c49_a_full_disk_stops_agreements_alone() {
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    std::fs::create_dir_all(folder.path().join("data")).unwrap();
    let file = folder.path().join("data/ledger.sqlite");
    // No file may grow beyond this: what a disk without room does to a write.
    let mut command = Command::new("env");
    command.args([
        "--ignore-signal=XFSZ",
        "prlimit",
        "--fsize=262144:unlimited",
        env!("CARGO_BIN_EXE_consentry"),
        "run",
        "--config",
    ]);
    command.arg(folder.path().join("config/consentry.yaml")).env_remove("CONSENTRY_LOG");
    let run = Run::of(command);
    let mut receipts = Vec::new();
    while let Some(receipt) = soon(agree(&mut visitor(&run))).await {
        receipts.push(receipt);
        assert!(receipts.len() < 2_000, "the disk never got full");
    }
    soon(refuse(&mut visitor(&run))).await;
    assert!(soon(visitor(&run).navigate("/")).await.status.is_success());
    assert!(run.metrics().await.contains("consentry_ledger_works 0"));
    // There is room again.
    let freed = Command::new("prlimit")
        .args(["--fsize=unlimited:unlimited", "--pid"])
        .arg(run.child.id().to_string())
        .status();
    assert!(freed.unwrap().success());
    receipts.push(soon(agree(&mut visitor(&run))).await.unwrap());
    let ids: Vec<_> = exported(&folder, &[]).iter().map(|entry| entry["record_id"].clone()).collect();
    assert_eq!(ids, receipts);
    assert!(done(&folder, &["verify"]).starts_with("intact:"));
    assert!(file.exists());
    drop(run);
}
