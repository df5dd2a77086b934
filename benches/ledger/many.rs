//! A ledger with very many entries: how long its commands take, how much memory, and one visitor's look-up.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use consentry::consent::Subject;
use consentry::ledger::Place;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::entries::{SECRET, fill};

/// Fills a ledger and puts its commands to work.
pub(crate) fn measure(entries: u32) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let folder = folder.path();
    settings(folder);
    println!("\n| {entries} entries | seconds | most memory, MiB |\n| --- | ---: | ---: |");
    let start = Instant::now();
    fill(&folder.join("ledger.sqlite"), entries);
    println!("| written, 10,000 a commit | {:.1} | |", start.elapsed().as_secs_f64());
    for words in [&["export"][..], &["export", "--format", "csv"], &["verify"]] {
        tell(folder, words);
    }
    println!("| one visitor's receipts, of 1,000 visitors | {:.6} each | |", look_up(folder, entries));
    tell(folder, &["purge"]);
}

fn settings(folder: &Path) {
    let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).unwrap();
    write("secrets", SECRET);
    write(
        "consentry.yaml",
        "listen: [{ address: 127.0.0.1:0 }]\nsecrets: file:secrets\nledger: { sqlite: ledger.sqlite }\nsites: example.yaml\n",
    );
    write(
        "example.yaml",
        "hosts: [\"*\"]\nupstream: http://127.0.0.1:9\ncontroller: { name: Butiken AB }\nretention: { choices: 2y }\n",
    );
}

fn tell(folder: &Path, words: &[&str]) {
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_consentry"))
        .arg("ledger")
        .args(words)
        .arg("--config")
        .arg(folder.join("consentry.yaml"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    let mut look = || {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let kib = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        most = kib.map_or(most, |kib| kib.parse::<u64>().unwrap());
    };
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for number in 0.. {
        // A command that says nothing until its end is looked at while it lives.
        if number % 1_000 == 0 {
            look();
        }
        let mut line = Vec::new();
        if output.read_until(b'\n', &mut line).unwrap() == 0 {
            break;
        }
    }
    assert!(child.wait().unwrap().success(), "{words:?}");
    let memory =
        if words.contains(&"export") { format!("{:.1}", most as f64 / 1_024.0) } else { String::new() };
    println!("| `ledger {}` | {:.1} | {memory} |", words.join(" "), start.elapsed().as_secs_f64());
}

/// Seconds that one visitor's receipts take.
fn look_up(folder: &Path, entries: u32) -> f64 {
    let reader = Place::Sqlite(folder.join("ledger.sqlite")).read().unwrap();
    let start = Instant::now();
    for number in 0..1_000 {
        let number: u32 = number * (entries / 1_000);
        let random = Sha256::digest(number.to_be_bytes());
        let subject = Subject(Uuid::from_slice(&random[..16]).unwrap());
        assert_eq!(reader.of("example", subject).unwrap().len(), 1);
    }
    start.elapsed().as_secs_f64() / 1_000.0
}
