//! The ledger on a disk that fails: agreeing stops, everything else goes on, and it is used again once the disk is well.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::ledger::{agree, done, exported, refuse, visitor};
use crate::process::{Run, command, folder};
use crate::support::soon;
use crate::support::upstream::Upstream;
use crate::support::whole::site;

/// What makes a disk fail: a library that is loaded before the C library, so that no privileges are needed.
fn library() -> &'static Path {
    static BUILT: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
        let folder = TempDir::new().unwrap();
        let library = folder.path().join("failing_disk.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/failing_disk.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
        assert!(compiler.status().unwrap().success());
        (folder, library)
    });
    &BUILT.1
}

/// A disk that holds the folder `data`.
struct Disk(PathBuf);

impl Disk {
    fn of(folder: &TempDir) -> Self {
        let data = folder.path().canonicalize().unwrap().join("data");
        std::fs::create_dir_all(&data).unwrap();
        Disk(data)
    }

    /// A command that has its files on this disk.
    fn holds(&self, mut command: Command) -> Command {
        command.env("LD_PRELOAD", library()).env("FAILING_DISK", &self.0);
        command
    }

    fn fault(&self) -> PathBuf {
        self.0.with_extension("errno")
    }

    fn fails_with(&self, error: i32) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, error.to_string()).unwrap();
        std::fs::rename(new, self.fault()).unwrap();
    }

    fn is_well_again(&self) {
        std::fs::remove_file(self.fault()).unwrap();
    }
}

const READ_ONLY: i32 = 30;
const BROKEN: i32 = 5;
const FULL: i32 = 28;

#[tokio::test]
async fn a_disk_that_is_read_only_broken_or_full_stops_agreements_alone_and_is_used_again_once_it_is_well() {
    for error in [READ_ONLY, BROKEN, FULL] {
        let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
        let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
        let disk = Disk::of(&folder);
        let run = Run::of(disk.holds(command(&folder, &["run"])));
        let mut receipts = vec![agree(&mut visitor(&run)).await.unwrap()];
        disk.fails_with(error);
        for _ in 0..3 {
            assert_eq!(soon(agree(&mut visitor(&run))).await, None, "{error}");
        }
        soon(refuse(&mut visitor(&run))).await;
        assert!(soon(visitor(&run).navigate("/")).await.status.is_success());
        let metrics = run.metrics().await;
        assert!(metrics.contains("consentry_ledger_works 0"), "{error}");
        assert!(metrics.contains("consentry_ledger_failures_total{reason=\"store\"} 4"), "{metrics}");
        disk.is_well_again();
        receipts.push(soon(agree(&mut visitor(&run))).await.unwrap());
        assert!(run.metrics().await.contains("consentry_ledger_works 1"));
        let ids: Vec<_> = exported(&folder, &[]).iter().map(|entry| entry["record_id"].clone()).collect();
        assert_eq!(ids, receipts, "{error}");
        assert!(done(&folder, &["verify"]).contains("intact: 2 entries"));
        drop(run);
    }
}

#[tokio::test]
async fn nobody_agrees_to_what_goes_into_a_file_that_was_deleted() {
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    let mut run = Run::start(&folder);
    agree(&mut visitor(&run)).await.unwrap();
    let data = folder.path().join("data");
    for file in std::fs::read_dir(&data).unwrap().map(|file| file.unwrap().path()) {
        if file.file_name().unwrap().to_str().unwrap().starts_with("ledger.sqlite") {
            std::fs::remove_file(file).unwrap();
        }
    }
    assert_eq!(agree(&mut visitor(&run)).await, None);
    let told = run.said("the ledger could not be written");
    assert!(told["error"].as_str().unwrap().contains("not there any more"), "{told}");
    // A new one takes what comes from now on.
    let receipt = soon(async {
        loop {
            if let Some(receipt) = agree(&mut visitor(&run)).await {
                return receipt;
            }
        }
    })
    .await;
    assert_eq!(exported(&folder, &[])[0]["record_id"], receipt);
    assert!(done(&folder, &["verify"]).contains("intact: "));
}

#[test]
fn the_proxy_does_not_start_on_a_disk_that_cannot_be_written_and_says_why() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:9", ""));
    let disk = Disk::of(&folder);
    std::fs::write(disk.0.join("secrets"), "s".repeat(64)).unwrap();
    disk.fails_with(READ_ONLY);
    let output = disk.holds(command(&folder, &["run"])).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("ledger.sqlite cannot be opened"), "{said}");
    assert!(said.contains("Read-only file system"), "{said}");
}
