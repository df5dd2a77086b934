//! A private PostgreSQL server in a folder of its own, on a Unix socket; it ends with the test, however that ends.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A cluster, and the server that runs on it.
pub struct Cluster {
    folder: PathBuf,
    server: Option<Server>,
    databases: AtomicU32,
    options: String,
}

/// The server, below a shell that ends it when this process is gone.
struct Server {
    shell: Child,
    pid: u32,
}

impl Cluster {
    /// Makes a cluster and starts its server.
    pub fn start() -> Self {
        Self::start_with("-c listen_addresses=")
    }

    /// The same, with other options for the server.
    pub fn start_with(options: &str) -> Self {
        let mut cluster = Self::make(options);
        cluster.restart();
        cluster
    }

    /// The same, on addresses of this machine too, over TLS with this certificate.
    pub fn start_over_tls(addresses: &str, certificate: &Path, key: &Path) -> Self {
        let mut cluster = Self::make("");
        let folder = cluster.folder.display().to_string();
        let owner = if is_root() { "--owner=nobody" } else { "" };
        for (from, name) in [(certificate, "certificate"), (key, "key")] {
            shell(&format!("install --mode=600 {owner} '{}' '{folder}/{name}'", from.display()));
        }
        cluster.options = format!(
            "-c listen_addresses={addresses} -c ssl=on -c ssl_cert_file='{folder}/certificate' -c ssl_key_file='{folder}/key'"
        );
        cluster.restart();
        cluster
    }

    fn make(options: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Short: the path of a socket has 107 bytes.
        let folder = std::env::temp_dir().join(format!("consentry-pg-{}-{number}", std::process::id()));
        shell(&format!(
            "mkdir -m 755 '{0}' && {1} mkdir -m 700 '{0}/data'",
            folder.display(),
            if is_root() {
                format!("chown nobody:nogroup '{}' &&{}", folder.display(), as_nobody())
            } else {
                String::new()
            }
        ));
        let cluster =
            Cluster { folder, server: None, databases: AtomicU32::new(0), options: options.to_owned() };
        let data = cluster.data();
        shell(&format!(
            "{} {}/initdb -D '{}' -U consentry --auth=trust --no-sync -E UTF8 --locale=C >/dev/null",
            as_nobody(),
            binaries().display(),
            data.display()
        ));
        cluster
    }

    /// The folder of its data, and of its socket.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Starts the server again, after it was killed.
    pub fn restart(&mut self) {
        self.kill();
        // The children of one that was killed may hold its memory for a moment.
        for _ in 0..200 {
            self.server = Some(Server::start(&self.data(), &self.options));
            if self.is_ready() {
                return;
            }
            self.kill();
        }
        panic!("PostgreSQL does not start in {}", self.folder.display());
    }

    fn is_ready(&mut self) -> bool {
        for _ in 0..400 {
            let ready = Command::new(binaries().join("pg_isready"))
                .args(["-q", "-U", "consentry", "-h"])
                .arg(self.data())
                .status();
            if ready.unwrap().success() {
                return true;
            }
            let server = self.server.as_mut().unwrap();
            if !Path::new(&format!("/proc/{}", server.pid)).exists() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        false
    }

    /// Kills the server at once, as the loss of its machine would.
    pub fn kill(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        let _ = Command::new("sh").args(["-c", &format!("kill -KILL {} 2>/dev/null", server.pid)]).status();
        // Whoever is killed at once cannot say so, and its data goes with it.
        let _ = server.shell.stdin.take().unwrap().write_all(b"keep\n");
        let _ = server.shell.wait();
    }

    /// A new database, as it is written in the settings.
    pub fn database(&self) -> String {
        let name = format!("t{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        format!("host={} user=consentry dbname={name}", self.data().display())
    }

    /// Runs statements in a database.
    pub fn sql(&self, database: &str, statements: &str) -> String {
        let mut psql = Command::new("psql")
            .args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "consentry", "-d", database, "-h"])
            .arg(self.data())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        psql.stdin.take().unwrap().write_all(statements.as_bytes()).unwrap();
        let output = psql.wait_with_output().unwrap();
        assert!(output.status.success(), "{statements}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Server {
    fn start(data: &Path, options: &str) -> Self {
        let script = format!(
            "{0} {1}/postgres -D '{2}' -k '{2}' {options} >>'{2}/../log' 2>&1 & pid=$!; echo $pid; \
             read order; kill -QUIT $pid 2>/dev/null; wait $pid; \
             [ \"$order\" = keep ] || rm -rf '{3}'",
            as_nobody(),
            binaries().display(),
            data.display(),
            data.parent().unwrap().display(),
        );
        let mut shell = Command::new("sh")
            .args(["-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Server { pid: line.trim().parse().unwrap(), shell }
    }
}

/// Where Debian has the server, the newest of them.
fn binaries() -> PathBuf {
    let versions =
        std::fs::read_dir("/usr/lib/postgresql").expect("install `postgresql`: `tests/run install`");
    let mut versions: Vec<_> = versions.map(|entry| entry.unwrap().path().join("bin")).collect();
    versions.sort();
    versions.into_iter().rfind(|folder| folder.join("postgres").exists()).expect("`postgresql` has no server")
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0)
}

/// The server refuses to run as root.
fn as_nobody() -> &'static str {
    if is_root() { " setpriv --reuid=nobody --regid=nogroup --clear-groups" } else { "" }
}

fn shell(script: &str) {
    let status = Command::new("sh").args(["-c", script]).status().unwrap();
    assert!(status.success(), "{script}");
}
