//! The whole proxy on port 0: a folder of YAML and documents, a ledger on disk, and an upstream behind.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use consentry::clock::Clock;
use consentry::config::{self, FirstStart};
use consentry::server::Server;
use tempfile::TempDir;

use super::browser::Browser;
use super::postgres::Cluster;

/// The site that the tests visit.
pub const HOST: &str = "www.example.se";
/// Where its privacy document is published.
pub const NOTICE: &str = "/cldoc/cookies-privacy-policies.htm";

/// A proxy that runs, and its folder.
pub struct Whole {
    pub server: Server,
    folder: TempDir,
    clock: Clock,
}

/// What keeps the ledger.
pub enum Store {
    Sqlite,
    Postgres(Cluster),
}

impl Store {
    /// One of each kind: what a visitor meets is the same with both.
    pub fn each() -> [Self; 2] {
        [Store::Sqlite, Store::Postgres(Cluster::start())]
    }

    /// Starts a proxy with one site, and a ledger of its own in this store.
    pub async fn start(&self, site: &str) -> Whole {
        match self {
            Store::Sqlite => Whole::start(site).await,
            Store::Postgres(cluster) => Whole::start_sharing(site, &cluster.database()).await,
        }
    }
}

/// A site's YAML: `upstream` behind, `more` below.
pub fn site(upstream: &str, more: &str) -> String {
    format!(
        "hosts: [{HOST}]\nupstream: {upstream}\nlanguages: [sv, en]\n\
         controller: {{ name: Exempelbyrån AB, email: dataskydd@example.se }}\n\
         documents:\n  privacy:\n    kind: notice\n    path: {NOTICE}\n    \
         files: {{ sv: ../documents/privacy.sv.md, en: ../documents/privacy.en.md }}\n{more}\n"
    )
}

/// The gate of customers who are logged in.
pub const CUSTOMERS: &str =
    "gates:\n  - { name: customers, document: privacy, cookie: PHPSESSID, except: [/logout, \"/api/*\"] }\n";

impl Whole {
    /// Starts a proxy with one site.
    pub async fn start(site: &str) -> Self {
        Self::start_with(LISTEN, site).await
    }

    /// The same, with these lines of `consentry.yaml` instead of one plain listener.
    pub async fn start_with(listen: &str, site: &str) -> Self {
        Self::start_in(TempDir::new().unwrap(), listen, site).await
    }

    /// Starts a proxy with one site and more files of its configuration.
    pub async fn start_with_files(site: &str, files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        for (name, content) in files {
            write(folder.path(), &format!("config/{name}"), content);
        }
        Self::start_in(folder, LISTEN, site).await
    }

    /// Starts a proxy with one site that reads its time from this clock.
    pub async fn start_by(clock: &Clock, site: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fill(&folder, &format!("{LISTEN}\n{PROXY}"), site);
        Self::run(folder, clock.clone()).await
    }

    /// Starts a proxy whose ledger others share: all of them have the same secrets.
    pub async fn start_sharing(site: &str, database: &str) -> Self {
        let folder = TempDir::new().unwrap();
        write(folder.path(), "data/secrets", &"s".repeat(40));
        let proxy = PROXY.replace("sqlite: ../data/ledger.sqlite", &format!("postgres: \"{database}\""));
        Self::start_on(folder, &format!("{LISTEN}\n{proxy}"), site).await
    }

    async fn start_in(folder: TempDir, listen: &str, site: &str) -> Self {
        Self::start_on(folder, &format!("{listen}\n{PROXY}"), site).await
    }

    async fn start_on(folder: TempDir, settings: &str, site: &str) -> Self {
        fill(&folder, settings, site);
        Self::run(folder, Clock::system()).await
    }

    async fn run(folder: TempDir, clock: Clock) -> Self {
        let loaded = match config::load(&path_of(&folder), FirstStart::MakeSecrets) {
            Ok(loaded) => loaded,
            Err(problems) => panic!("{}", problems.iter().map(|p| format!("{p}\n")).collect::<String>()),
        };
        let server = Server::start(loaded.settings, clock.clone()).await.unwrap();
        Whole { server, folder, clock }
    }

    /// Stops the proxy, and starts another on the same files.
    pub async fn restarted(self) -> Self {
        self.server.stop().await;
        Self::run(self.folder, self.clock).await
    }

    /// Stops it, puts a new secret before the old one, and starts it again.
    pub async fn restarted_with_new_secret(self) -> Self {
        self.server.stop().await;
        let path = self.folder.path().join("data/secrets");
        let old = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{}\n{old}", "n".repeat(40))).unwrap();
        Self::run(self.folder, self.clock).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    /// A visitor with an empty cookie jar.
    pub fn visitor(&self) -> Browser {
        Browser::clear(self.address(), HOST)
    }

    /// `consentry.yaml`, for commands.
    pub fn settings(&self) -> PathBuf {
        path_of(&self.folder)
    }

    /// Writes `consentry.yaml` anew, with these lines for its listeners.
    pub fn listen(&self, lines: &str) {
        self.write("consentry.yaml", &format!("{lines}\n{PROXY}"));
    }

    /// Writes a file of the configuration.
    pub fn write(&self, name: &str, content: &str) {
        write(self.folder.path(), &format!("config/{name}"), content);
    }

    /// The ledger as JSON Lines, by the program's own command.
    pub fn exported(&self) -> Vec<serde_json::Value> {
        let output = self.command(&["ledger", "export", "--format", "jsonl"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs the program with this configuration.
    pub fn command(&self, arguments: &[&str]) -> std::process::Output {
        std::process::Command::new(env!("CARGO_BIN_EXE_consentry"))
            .args(arguments)
            .arg("--config")
            .arg(self.settings())
            .output()
            .unwrap()
    }
}

/// One plain listener.
pub const LISTEN: &str = "listen: [{ address: 127.0.0.1:0 }]";

const PROXY: &str =
    "secrets: file:../data/secrets\nledger: { sqlite: ../data/ledger.sqlite }\nsites: sites/*.yaml\n";

fn path_of(folder: &TempDir) -> PathBuf {
    folder.path().join("config/consentry.yaml")
}

fn fill(folder: &TempDir, settings: &str, site: &str) {
    write(folder.path(), "config/consentry.yaml", settings);
    write(folder.path(), "config/sites/example.yaml", site);
    for (language, text) in [("sv", "Vi använder kakor."), ("en", "We use cookies.")] {
        let document = format!("---\ntitle: Privacy {language}\nversion: 1\n---\n{text}\n");
        write(folder.path(), &format!("config/documents/privacy.{language}.md"), &document);
    }
}

fn write(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}
