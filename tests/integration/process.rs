//! The program as an operator runs it: its signals, its exit codes, and what it says when it cannot start.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::browser::{Browser, Speaks};
use crate::support::certificates::Authority;
use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, site};
use crate::support::wire::{Script, Wire};

/// A folder of settings: JSON in the log, so that tests read what operators' programs read.
pub fn folder(listen: &str, site: &str) -> TempDir {
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

pub fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

pub fn command(folder: &TempDir, words: &[&str]) -> Command {
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

/// The lines of a log.
pub type Log = mpsc::IntoIter<std::io::Result<String>>;

/// What a child writes on standard error, read as it comes, so that the program never waits for its reader.
pub fn log(child: &mut Child) -> Log {
    let log = BufReader::new(child.stderr.take().unwrap());
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || log.lines().for_each(|line| _ = sender.send(line)));
    lines.into_iter()
}

/// `consentry run`, until it is told to stop.
pub struct Run {
    pub child: Child,
    pub log: Log,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

impl Run {
    pub fn start(folder: &TempDir) -> Self {
        Run::of(command(folder, &["run"]))
    }

    /// With another filter of its log than the usual one.
    pub fn start_logging(folder: &TempDir, filter: &str) -> Self {
        let mut command = command(folder, &["run"]);
        command.env("CONSENTRY_LOG", filter);
        Run::of(command)
    }

    /// The same, with the environment and the files that the test has prepared.
    pub fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = log(&mut child);
        Run::with(child, log)
    }

    /// The same, when the first lines of its log have been read.
    pub fn with(child: Child, mut log: Log) -> Self {
        let address = said(&mut log, "listening")["address"].as_str().unwrap().parse().unwrap();
        let admin = said(&mut log, "health and metrics")["address"].as_str().unwrap().parse().unwrap();
        Run { child, log, address, admin }
    }

    pub fn signal(&self, name: &str) {
        let kill = format!("kill {name} {}", self.child.id());
        let sent = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(sent.success());
    }

    /// The next line of the log with this message.
    pub fn said(&mut self, message: &str) -> serde_json::Value {
        said(&mut self.log, message)
    }

    /// Everything it logs up to this message.
    fn lines_until(&mut self, message: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.contains(message)) {
            lines.push(self.log.next().expect("it ended").unwrap());
        }
        lines
    }

    pub fn ended(self) -> ExitStatus {
        self.last_words().0
    }

    /// How it ended, and what it said until then.
    pub fn last_words(mut self) -> (ExitStatus, Vec<String>) {
        // What it says on its way out is read, so that it never waits for its reader.
        let said = self.log.by_ref().map(Result::unwrap).collect();
        (self.child.wait().unwrap(), said)
    }

    pub async fn metrics(&self) -> String {
        Browser::clear(self.admin, "localhost").get("/metrics").await.text()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A test that fails leaves nothing running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next line with this message.
pub fn said(log: &mut impl Iterator<Item = std::io::Result<String>>, message: &str) -> serde_json::Value {
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

    // Nothing has changed, so that nobody but the signal has it read.
    run.signal("-HUP");
    run.said("the settings have been read again");

    write(&folder, "config/sites/example.yaml", "hosts: [www.example.se]\nupstraem: http://127.0.0.1:1\n");
    run.signal("-HUP");
    let refused = run.said("what has errors stays as it was");
    assert!(refused["errors"].as_u64().unwrap() >= 1 && refused["sites_outdated"] == 1, "{refused}");
    assert_eq!(visitor.get("/").await.text(), "one", "the last good settings");
    assert!(run.metrics().await.contains("consentry_settings_refused 1"));

    write(&folder, "config/sites/example.yaml", &site(&second.url(), ""));
    run.signal("-HUP");
    run.said("the settings have been read again");
    assert_eq!(visitor.get("/").await.text(), "two");
    assert!(run.metrics().await.contains("consentry_settings_refused 0"));

    // What rotates the logs of others sends it.
    run.signal("-USR1");
    run.said("SIGUSR1 does nothing here");
    assert_eq!(visitor.get("/").await.text(), "two");

    run.signal("-TERM");
    assert!(run.ended().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_termination_does_not_wait_for_what_is_under_way() {
    let silent = Script::bind().await;
    let folder = folder("127.0.0.1:0", &site(&silent.url(), ""));
    let mut run = Run::start(&folder);
    let mut visitor = Wire::connect(run.address).await;
    visitor.write("GET / HTTP/1.1\r\nHost: www.example.se\r\n\r\n").await;
    let _waiting = silent.accept().await;
    run.signal("-TERM");
    run.said("stopping");
    run.signal("-TERM");
    let (status, said) = run.last_words();
    assert!(status.success() && said.iter().any(|line| line.contains("stopped at once")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_for_settings_on_a_disk_that_hangs() {
    // Whoever opens a file on which somebody else has a lease waits (fcntl(2), F_SETLEASE): 45 seconds at most.
    const HOLD: &str = "use Fcntl; $| = 1; $SIG{IO} = sub { print qq(wanted\\n) }; open my $file, '+<', $ARGV[0] or die; \
                        fcntl $file, 1024, 1 or die $!; print qq(held\\n); sleep 9 while 1";
    let upstream = Upstream::page("text/plain", "one").await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    let run = Run::start(&folder);
    let mut perl = Command::new("perl");
    perl.args(["-e", HOLD]).arg(folder.path().join("config/consentry.yaml"));
    let mut holder = perl.stdout(Stdio::piped()).spawn().unwrap();
    let mut says = BufReader::new(holder.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(says.next().as_deref(), Some("held"));
    run.signal("-HUP");
    assert_eq!(says.next().as_deref(), Some("wanted"));

    assert_eq!(Browser::clear(run.address, HOST).get("/").await.text(), "one");
    run.signal("-TERM");
    let (status, said) = run.last_words();
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(status.success() && said.iter().any(|line| line.contains("stopping")), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("read again")), "it waited: {said:?}");
}

/// `consentry run` as a shell starts it that lets it have so few files.
fn command_with_files(folder: &TempDir, files: usize) -> Command {
    let mut command = Command::new("sh");
    let program = env!("CARGO_BIN_EXE_consentry");
    let words = format!(
        "ulimit -n {files}; exec {program} run --config {}/config/consentry.yaml",
        folder.path().display()
    );
    command.args(["-c", &words]).env_remove("CONSENTRY_LOG");
    command
}

fn figure(metrics: &str, name: &str) -> f64 {
    let line = metrics.lines().find(|line| line.starts_with(&format!("{name} "))).expect(name);
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_few_files_serves_as_many_as_it_can_and_can_be_asked_how_it_does() {
    let upstream = Upstream::page("text/plain", "one").await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    let run = Run::of(command_with_files(&folder, 64));
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(TcpStream::connect(run.address).unwrap());
    }
    let in_use = async || figure(&run.metrics().await, "consentry_connections");
    while in_use().await < 16.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(in_use().await, 16.0, "the others wait, and there are files left");
    drop(held);
    assert_eq!(Browser::clear(run.address, HOST).get("/").await.text(), "one");
    run.signal("-TERM");
    let (status, said) = run.last_words();
    assert!(status.success(), "{said:?}");
    let warnings: Vec<_> =
        said.iter().filter(|line| line.contains("WARN") || line.contains("ERROR")).collect();
    let [full] = warnings.as_slice() else { panic!("{said:?}") };
    assert!(
        full.contains("all connections that there may be are taken") && full.contains("\"connections\":16")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_on_which_nobody_calls_keeps_no_room_from_another() {
    let upstream = Upstream::page("text/plain", "one").await;
    let folder = folder("127.0.0.1:0 }, { address: 127.0.0.1:0", &site(&upstream.url(), ""));
    let file = folder.path().join("config/consentry.yaml");
    let settings = std::fs::read_to_string(&file).unwrap() + "limits: { connections: 1 }\n";
    std::fs::write(&file, settings).unwrap();
    let mut child = command(&folder, &["run"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = log(&mut child);
    let first: SocketAddr = said(&mut log, "listening")["address"].as_str().unwrap().parse().unwrap();
    let run = Run::with(child, log);
    for address in [first, run.address, run.address, first] {
        let visit = Browser::clear(address, HOST).get("/").await;
        assert_eq!(visit.text(), "one");
    }
}

/// Of each of many applications it keeps connections for a while: together, they are more files than there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 12)]
async fn connections_that_nobody_uses_give_way_where_files_are_few() {
    const APPLICATIONS: usize = 8;
    const VISITORS: usize = 8;
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let mut applications = Vec::new();
    for number in 0..APPLICATIONS {
        let slow = Upstream::answering(|_| {
            std::thread::sleep(Duration::from_millis(100));
            http::Response::new(consentry::filter::body::full("one"))
        });
        applications.push(slow.await);
        let url = applications[number].url();
        let site = format!("hosts: [host{number}.example]\nupstream: {url}\n");
        write(&folder, &format!("config/sites/site{number}.yaml"), &site);
    }
    let run = Run::of(command_with_files(&folder, 64));
    for number in 0..APPLICATIONS {
        let host = format!("host{number}.example");
        let visits = (0..VISITORS).map(|_| async {
            let answer = Browser::clear(run.address, &host).get("/").await;
            (answer.status, answer.text())
        });
        for answer in futures_util::future::join_all(visits).await {
            assert_eq!(answer, (http::StatusCode::OK, "one".into()), "{host}");
        }
    }
    assert!(
        applications.iter().all(|application| application.accepted() >= VISITORS / 2),
        "they were asked at once"
    );
    run.signal("-TERM");
    let (status, said) = run.last_words();
    assert!(status.success(), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("left alone")), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_wants_more_connections_than_there_can_be_files_is_told_at_the_start() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let file = folder.path().join("config/consentry.yaml");
    let settings = std::fs::read_to_string(&file).unwrap() + "limits: { connections: 1000 }\n";
    std::fs::write(&file, settings).unwrap();
    let mut child = command_with_files(&folder, 64).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = log(&mut child);
    let told = said(&mut log, "limits.connections is more than the process may have files for");
    assert_eq!(
        (&told["wanted"], &told["connections"], &told["files"]),
        (&1000.into(), &16.into(), &64.into())
    );
    drop(Run::with(child, log));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_left_it_waits_without_a_noise_and_goes_on() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let run = Run::of(command_with_files(&folder, 64));
    // Nothing keeps the admin listener from taking what there is.
    let held: Vec<_> = (0..100).map(|_| TcpStream::connect(run.admin).unwrap()).collect();
    let statistics = format!("/proc/{}/stat", run.child.id());
    let ticks = || {
        let statistics = std::fs::read_to_string(&statistics).unwrap();
        let (_, figures) = statistics.rsplit_once(')').unwrap();
        let figures: Vec<&str> = figures.split_whitespace().collect();
        figures[11].parse::<u64>().unwrap() + figures[12].parse::<u64>().unwrap()
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = ticks();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(ticks() - before < 50, "half of a core is no waiting");
    drop(held);
    assert!(figure(&run.metrics().await, "process_max_fds") == 64.0);
    run.signal("-TERM");
    let (status, said) = run.last_words();
    assert!(status.success(), "{said:?}");
    assert_eq!(said.iter().filter(|line| line.contains("cannot accept")).count(), 1, "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_is_left_alone_is_told_with_its_reason_and_counted() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = folder("127.0.0.1:0", &site(&format!("http://{closed}"), ""));
    let mut run = Run::start(&folder);
    let up = |value| format!("consentry_upstream_up{{address=\"{closed}\"}} {value}");
    assert!(run.metrics().await.contains(&up(1)));
    for _ in 0..3 {
        assert_eq!(Browser::clear(run.address, HOST).get("/").await.status, http::StatusCode::BAD_GATEWAY);
    }
    let told = run.said("the upstream's address is left alone");
    assert!(told["error"].as_str().unwrap().contains("refused"), "{told}");
    assert!(run.metrics().await.contains(&up(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_read_by_itself_and_each_problem_is_told_once() {
    let upstreams = (Upstream::page("text/plain", "one").await, Upstream::page("text/plain", "two").await);
    let folder = folder("127.0.0.1:0", &site(&upstreams.0.url(), ""));
    let mut run = Run::start(&folder);
    let mut visitor = Browser::clear(run.address, HOST);
    write(&folder, "config/sites/example.yaml", &site(&upstreams.1.url(), ""));
    run.said("the settings have been read again");
    assert_eq!(visitor.get("/").await.text(), "two");

    // A new file that `sites` names, at first with an error, then without.
    let other = "hosts: [other.example]\nupstream: htp://x\n";
    write(&folder, "config/sites/other.yaml", other);
    let lines = run.lines_until("what has errors stays as it was");
    assert_eq!(lines.iter().filter(|line| line.contains("other.yaml:2:11: ")).count(), 1, "{lines:?}");
    write(&folder, "config/documents/privacy.en.md", "---\ntitle: Privacy\nversion: 2\n---\nText.\n");
    let lines = run.lines_until("what has errors stays as it was");
    assert!(!lines.iter().any(|line| line.contains("other.yaml")), "it was told before: {lines:?}");
    assert!(lines.iter().any(|line| line.contains("version 1 in sv, but 2 in en")), "{lines:?}");
    let ready = Browser::clear(run.admin, "localhost").get("/readyz").await.text();
    assert!(ready.contains("sites 1\n") && ready.contains("settings_refused 1\n"), "{ready}");

    write(&folder, "config/sites/other.yaml", &other.replace("htp://x", &upstreams.0.url()));
    run.said("the settings have been read again");
    assert_eq!(Browser::clear(run.address, "other.example").get("/").await.text(), "one");
    std::fs::remove_file(folder.path().join("config/sites/other.yaml")).unwrap();
    run.said("the settings have been read again");
    assert_eq!(Browser::clear(run.address, "other.example").get("/").await.status, 421);
    run.signal("-TERM");
    assert!(run.ended().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_restart_is_named_at_the_reload() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let mut run = Run::start(&folder);
    let settings = std::fs::read_to_string(folder.path().join("config/consentry.yaml")).unwrap();
    let changed = settings
        .replace("admin: { address: 127.0.0.1:0 }", "admin: { address: 127.0.0.2:0 }")
        .replace("data/ledger.sqlite", "data/other.sqlite")
        .replace("format: json", "format: text");
    write(&folder, "config/consentry.yaml", &changed);
    let lines = run.lines_until("the settings have been read again");
    for key in ["ledger", "admin", "log.format"] {
        let named = format!("\"key\":\"{key}\"");
        let told = |line: &&String| line.contains("waits for a restart") && line.contains(&named);
        assert_eq!(lines.iter().filter(told).count(), 1, "{key}: {lines:?}");
    }
    assert!(run.metrics().await.contains("consentry_sites 1"), "health and metrics stay where they were");
    run.signal("-TERM");
    assert!(run.ended().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_by_itself_and_one_that_cannot_be_used_is_told() {
    let upstream = Upstream::page("text/plain", "one").await;
    let listen = "127.0.0.1:0, tls: { certificates: [{ certificate: tls/a.pem, key: tls/a.key }] }";
    let folder = folder(listen, &site(&upstream.url(), ""));
    let files = folder.path().join("config/tls");
    std::fs::create_dir(&files).unwrap();
    let [old, new] = [Authority::new(), Authority::new()];
    old.sign_into(&files, "a", &[HOST]);
    let mut run = Run::start(&folder);
    // Each of these visitors trusts one authority alone.
    let mut visitors =
        [&old, &new].map(|authority| Browser::tls(run.address, HOST, authority, Speaks::Http2));
    assert_eq!(visitors[0].get("/").await.text(), "one");
    new.sign_into(&files, "a", &[HOST]);
    run.said("the settings have been read again");
    assert_eq!(visitors[1].get("/").await.text(), "one");
    write(&folder, "config/tls/a.key", "no key\n");
    let lines = run.lines_until("what has errors stays as it was");
    assert_eq!(lines.iter().filter(|line| line.contains("a.key")).count(), 1, "{lines:?}");
    assert_eq!(visitors[1].get("/").await.text(), "one");
    // Whoever opens a pipe waits for its other end.
    std::fs::remove_file(files.join("a.key")).unwrap();
    assert!(Command::new("mkfifo").arg(files.join("a.key")).status().unwrap().success());
    run.signal("-HUP");
    let lines = run.lines_until("what has errors stays as it was");
    assert!(lines.iter().any(|line| line.contains("a.key` is not a file")), "{lines:?}");
    assert_eq!(visitors[1].get("/").await.text(), "one");
    run.signal("-TERM");
    assert!(run.ended().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_certificate_that_is_shown_to_applications_is_told_too() {
    let upstream = "\n  - { url: https://127.0.0.1:1, client_certificate: { certificate: me.pem, key: me.key } }\n  \
                    - { url: https://127.0.0.1:2, client_certificate: { certificate: me.pem, key: me.key } }";
    let folder = folder("127.0.0.1:0", &site(upstream, ""));
    let key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2001, 1, 1);
    write(&folder, "config/sites/me.pem", &parameters.self_signed(&key).unwrap().pem());
    write(&folder, "config/sites/me.key", &key.serialize_pem());
    let checked = output(&folder, &["check"]);
    let (said, pem) =
        (text(&checked.stderr) + &text(&checked.stdout), folder.path().join("config/sites/me.pem"));
    assert!(
        checked.status.success()
            && said.contains("expired at 2001-01-01T00:00:00Z: the application refuses it"),
        "{said}"
    );
    let run = Run::start(&folder);
    let line = format!(
        "consentry_certificate_expiry_timestamp_seconds{{certificate=\"{}\"}} 978307200",
        pem.display()
    );
    let metrics = run.metrics().await;
    assert_eq!(metrics.lines().filter(|told| *told == line).count(), 1, "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn h2load_counts_no_failure_while_the_settings_are_read_a_hundred_times() {
    let upstreams = [Upstream::page("text/plain", "one").await, Upstream::page("text/plain", "two").await];
    let sites = upstreams.each_ref().map(|upstream| site(&upstream.url(), "").replace(HOST, "\"*\""));
    let folder = folder("127.0.0.1:0", &sites[0]);
    let mut run = Run::start(&folder);
    let is_over = Arc::new(AtomicBool::new(false));
    let loads = [["--h1", "-m1"], ["-m4", "-w16"]].map(|version| {
        let (is_over, url) = (Arc::clone(&is_over), format!("http://{}/", run.address));
        std::thread::spawn(move || {
            let mut requests = 0;
            while !is_over.load(Ordering::Relaxed) {
                requests += loaded(&version, &url);
            }
            requests
        })
    });
    for turn in 1..=100 {
        write(&folder, "config/sites/example.yaml", &sites[turn % 2]);
        run.signal("-HUP");
        run.said("the settings have been read again");
    }
    is_over.store(true, Ordering::Relaxed);
    for load in loads {
        assert!(load.join().unwrap() > 0);
    }
    assert!(upstreams.iter().all(|upstream| upstream.seen().len() > 10));
    run.signal("-TERM");
    assert!(run.ended().success());
}

/// How many requests h2load has sent on four connections, each of which has got its answer.
fn loaded(version: &[&str], url: &str) -> usize {
    const REQUESTS: usize = 400;
    let requests = REQUESTS.to_string();
    let told = Command::new("h2load").args(["-c4", "-N20", "-n", &requests]).args(version).arg(url).output();
    let told = text(&told.expect("`tests/run install` brings h2load").stdout);
    let all = format!("{REQUESTS} done, {REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout");
    let good = format!("status codes: {REQUESTS} 2xx, 0 3xx, 0 4xx, 0 5xx");
    assert!(told.contains(&all) && told.contains(&good), "{told}");
    REQUESTS
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
#[tokio::test]
async fn nobody_waits_for_whoever_does_not_read_the_log() {
    const PATH: usize = 30_000;
    let upstream = Upstream::page("text/plain", "hello").await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), "mode: off"));
    let mut child = command(&folder, &["run"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut unread = BufReader::new(child.stderr.take().unwrap());
    let mut next = |message: &str| loop {
        let mut line = String::new();
        assert!(unread.read_line(&mut line).unwrap() > 0, "it ended");
        let said: serde_json::Value = serde_json::from_str(&line).unwrap();
        if said["message"] == message {
            return said;
        }
    };
    let address = next("listening")["address"].as_str().unwrap().parse().unwrap();
    let admin = next("health and metrics")["address"].as_str().unwrap().parse().unwrap();
    next("started");
    // Each leaves a line of this length; the pipe and the room before it hold fewer.
    let mut visitor = Browser::clear(address, HOST);
    for _ in 0..200 {
        assert_eq!(visitor.get(&format!("/{}", "x".repeat(PATH))).await.status.as_u16(), 200);
    }
    let metrics = Browser::clear(admin, "localhost").get("/metrics").await.text();
    let lost = metrics.lines().find_map(|line| line.strip_prefix("consentry_log_lines_lost_total "));
    let lost: u64 = lost.unwrap().parse().unwrap();
    assert!(lost > 0, "{metrics}");
    let told = next("lines of the log were lost: nobody took them in time");
    assert!(told["lost"].as_u64().unwrap() >= lost);
    let _ = child.kill();
    let _ = child.wait();
}

#[tokio::test]
async fn what_is_cut_off_at_the_stop_is_counted_by_connections() {
    let script = Script::bind().await;
    let folder = folder("127.0.0.1:0", &site(&script.url(), "mode: off"));
    let settings = std::fs::read_to_string(folder.path().join("config/consentry.yaml")).unwrap();
    write(&folder, "config/consentry.yaml", &format!("{settings}timeouts: {{ drain: 0s }}\n"));
    let mut run = Run::start(&folder);
    let mut open = Vec::new();
    for _ in 0..2 {
        let mut visitor = Wire::connect(run.address).await;
        visitor.write(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).await;
        let mut upstream = script.accept().await;
        upstream.read_head().await;
        open.push((visitor, upstream));
    }
    run.signal("-TERM");
    assert_eq!(run.said("connections are cut off: they did not end in time")["connections"], 2);
}
