//! The program as an operator runs it: its signals, its exit codes, and what it says when it cannot start.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use tempfile::TempDir;

use crate::support::browser::Browser;
use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, site};

/// A folder of settings: JSON in the log, so that tests read what operators' programs read.
pub(crate) fn folder(listen: &str, site: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    let proxy = format!(
        "listen: [{{ address: {listen} }}]\nadmin: {{ address: 127.0.0.1:0 }}\nlog: {{ format: json }}\n\
         secrets: file:../data/secrets\nledger: {{ sqlite: ../data/ledger.sqlite }}\n"
    );
    write(&folder, "config/consentry.yaml", &proxy);
    write(&folder, "config/sites/example.yaml", site);
    for language in ["sv", "en"] {
        let text = "---\ntitle: Privacy\nversion: 1\n---\nText.\n";
        write(&folder, &format!("config/documents/privacy.{language}.md"), text);
    }
    folder
}

pub(crate) fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn command(folder: &TempDir, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consentry"));
    command.args(words).arg("--config").arg(folder.path().join("config/consentry.yaml"));
    command.env_remove("CONSENTRY_LOG");
    command
}

fn output(folder: &TempDir, words: &[&str]) -> Output {
    command(folder, words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `consentry run`, until it is told to stop.
pub(crate) struct Run {
    child: Child,
    log: Box<dyn Iterator<Item = std::io::Result<String>> + Send>,
    pub(crate) address: SocketAddr,
    admin: SocketAddr,
}

impl Run {
    pub(crate) fn start(folder: &TempDir) -> Self {
        let mut child = command(folder, &["run"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut log: Box<dyn Iterator<Item = _> + Send> =
            Box::new(BufReader::new(child.stderr.take().unwrap()).lines());
        let address = said(&mut log, "listening")["address"].as_str().unwrap().parse().unwrap();
        let admin = said(&mut log, "health and metrics")["address"].as_str().unwrap().parse().unwrap();
        Run { child, log, address, admin }
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill {name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success());
    }

    /// The next line of the log with this message.
    fn said(&mut self, message: &str) -> serde_json::Value {
        said(&mut self.log, message)
    }

    /// Reads the log from here on and forgets it: a pipe that nobody reads would stop the program.
    pub(crate) fn forget_log(&mut self) {
        let log = std::mem::replace(&mut self.log, Box::new(std::iter::empty()));
        std::thread::spawn(move || log.count());
    }

    pub(crate) fn ended(mut self) -> ExitStatus {
        // What it says on its way out is read, so that it never waits for its reader.
        while self.log.next().is_some() {}
        self.child.wait().unwrap()
    }

    pub(crate) async fn metrics(&self) -> String {
        Browser::clear(self.admin, "localhost").get("/metrics").await.text()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A test that fails leaves nothing running; who has ended already is past it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn said(log: &mut dyn Iterator<Item = std::io::Result<String>>, message: &str) -> serde_json::Value {
    let mut before = String::new();
    for line in log {
        let line = line.unwrap();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if value["message"].as_str().is_some_and(|said| said.starts_with(message)) {
            return value;
        }
        before += &line;
    }
    panic!("it ended and never said {message:?}: {before}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hangup_reads_the_settings_again_and_a_termination_ends_it_well() {
    let (first, second) =
        (Upstream::page("text/plain", "one").await, Upstream::page("text/plain", "two").await);
    let folder = folder("127.0.0.1:0", &site(&first.url(), ""));
    let mut run = Run::start(&folder);
    let mut visitor = Browser::clear(run.address, HOST);
    assert_eq!(visitor.get("/").await.text(), "one");

    write(&folder, "config/sites/example.yaml", "hosts: [www.example.se]\nupstraem: http://127.0.0.1:1\n");
    run.signal("-HUP");
    let refused = run.said("the old settings stay in force");
    assert!(refused["problems"].as_u64().unwrap() >= 1, "{refused}");
    assert_eq!(visitor.get("/").await.text(), "one", "the last good settings");
    assert!(run.metrics().await.contains("consentry_settings_refused 1"));

    write(&folder, "config/sites/example.yaml", &site(&second.url(), ""));
    run.signal("-HUP");
    run.said("the settings have been read again");
    assert_eq!(visitor.get("/").await.text(), "two");
    assert!(run.metrics().await.contains("consentry_settings_refused 0"));

    run.signal("-TERM");
    assert!(run.ended().success());
}

#[test]
fn broken_settings_at_start_are_all_told_and_nothing_is_bound_or_made() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = folder(&free.to_string(), "hosts: [www.example.se]\nupstream: htp://x\nmode: enfroce\n");
    let output = output(&folder, &["run"]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    for part in
        ["sites/example.yaml:2:11", "sites/example.yaml:3:7", "htp://x", "enfroce", "did you mean `enforce`?"]
    {
        assert!(told.contains(part), "{part} in {told}");
    }
    assert!(!folder.path().join("data").exists());
    TcpListener::bind(free).unwrap();
}

#[test]
fn a_ledger_that_cannot_be_opened_is_named_with_its_reason_and_nothing_starts() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    std::fs::create_dir_all(folder.path().join("data/ledger.sqlite")).unwrap();
    let output = output(&folder, &["run"]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("ledger.sqlite cannot be opened") && told.contains("directory"), "{told}");
    assert!(!told.contains("listening"));
}

#[test]
fn check_tells_people_and_programs_and_its_exit_code_says_whether_it_would_run() {
    let good = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let told = output(&good, &["check"]);
    assert_eq!(
        (told.status.code(), text(&told.stdout).contains("1 site ready, no warnings")),
        (Some(0), true)
    );
    assert!(!good.path().join("data").exists(), "check writes nothing");

    let bad = folder("127.0.0.1:0", &site("http://127.0.0.1:1", "bannner: { enabled: true }"));
    let told = output(&bad, &["check", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((told.status.code(), report["errors"].as_u64()), (Some(1), Some(1)));
    let problem = &report["problems"][0];
    assert_eq!(problem["help"], "did you mean `banner`?", "{report}");
    assert!(problem["line"].as_u64().is_some() && problem["column"].as_u64() == Some(1), "{report}");
}
