//! The way to PostgreSQL: encrypted, to the server that is meant, or not gone at all.

use tempfile::TempDir;

use crate::ledger::{agree, keep_in, told, visitor};
use crate::process::{Run, command, folder};
use crate::support::certificates::Authority;
use crate::support::postgres::Cluster;
use crate::support::upstream::Upstream;
use crate::support::whole::site;

/// An address of this machine that no other test process has, so that the server needs no port of its own.
fn address() -> String {
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("127.43.{high}.{low}")
}

/// Another, which is in no certificate.
fn unnamed() -> String {
    address().replace("127.43", "127.42")
}

/// The address of a new database on a server that speaks TLS.
fn url(cluster: &Cluster, options: &str) -> String {
    let name = cluster.database();
    let (_, name) = name.rsplit_once('=').unwrap();
    format!("postgres://consentry@{}/{name}{options}", address())
}

fn kept_at(folder: &TempDir, url: &str, ca: Option<&Authority>) {
    let ca = ca.map(|authority| format!(", ca: {}", authority.file().display())).unwrap_or_default();
    keep_in(folder, &format!("{{ postgres: {{ url: \"{url}\"{ca} }} }}"));
}

#[tokio::test]
async fn entries_reach_postgres_encrypted_and_only_a_server_that_proves_who_it_is() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let files = authority.sign(&[&address()]);
    let addresses = format!("{},{}", address(), unnamed());
    let cluster = Cluster::start_over_tls(&addresses, &files.certificate, &files.key);
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    let known = url(&cluster, "");
    kept_at(&folder, &known, Some(&authority));
    let run = Run::start(&folder);
    agree(&mut visitor(&run)).await.unwrap();
    let connections = "SELECT count(*), bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                       WHERE application_name = 'consentry'";
    let found = cluster.sql("postgres", connections);
    let (count, all_encrypted) = found.trim().split_once('|').unwrap();
    assert!(count.parse::<u32>().unwrap() > 0 && all_encrypted == "t", "{found}");
    drop(run);
    for (url, ca, expected) in [
        (known.clone(), Some(&stranger), "name the file of its authorities: `{ url: …, ca: FILE }`"),
        (
            format!("{known}?sslmode=verify-full"),
            None,
            "name the file of its authorities: `{ url: …, ca: FILE }`",
        ),
        (
            known.replace(&address(), &unnamed()),
            Some(&authority),
            "write the name that its certificate is for",
        ),
    ] {
        kept_at(&folder, &url, ca);
        let (code, _, err) = told(&folder, &["export"]);
        assert!(code == 2 && err.contains(expected), "{url}: {code} {err}");
        let output = command(&folder, &["run"]).output().unwrap();
        assert!(!output.status.success(), "{url}");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(err.contains("cannot be opened") && err.contains(expected), "{err}");
    }
}

#[test]
fn a_server_without_tls_is_not_spoken_to_where_tls_is_asked_for() {
    let authority = Authority::new();
    let cluster = Cluster::start_with(&format!("-c listen_addresses={}", plain_address()));
    let name = cluster.database();
    let (_, name) = name.rsplit_once('=').unwrap();
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:9", ""));
    kept_at(&folder, &format!("postgres://consentry@{}/{name}", plain_address()), Some(&authority));
    let (code, _, err) = told(&folder, &["export"]);
    assert!(code == 2 && err.contains("does not support TLS") && err.contains("sslmode=disable"), "{err}");
}

/// Another than that of the server which speaks TLS.
fn plain_address() -> String {
    address().replace("127.43", "127.44")
}
