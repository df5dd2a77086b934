//! A new program takes the place of the old one (SIGUSR2): nobody is refused, nothing of the proof is lost, and
//! where the new one cannot start, the old one goes on.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use rustls::HandshakeKind;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use crate::process::{Run, folder, write};
use crate::support::browser::Browser;
use crate::support::certificates::Authority;
use crate::support::soon;
use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, site};
use crate::support::wire::Wire;
use crate::tls::ask;

const KEPT: &str = "GET / HTTP/1.1\r\nHost: www.example.se\r\n\r\n";

/// Another process than the test's own child; ended at the latest with the test.
struct Other(u64);

impl Other {
    fn signal(&self, name: &str) {
        let kill = format!("kill {name} {} 2>/dev/null", self.0);
        let _ = Command::new("sh").args(["-c", &kill]).status();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.signal("-KILL");
    }
}

/// Runs the program through a link, as an operator does who puts new versions beside the old.
fn start(folder: &TempDir) -> Run {
    link(folder);
    let mut command = Command::new(folder.path().join("consentry"));
    command.arg("run").arg("--config").arg(folder.path().join("config/consentry.yaml"));
    command.env_remove("CONSENTRY_LOG");
    Run::of(command)
}

fn link(folder: &TempDir) {
    let link = folder.path().join("consentry");
    let _ = std::fs::remove_file(&link);
    symlink(env!("CARGO_BIN_EXE_consentry"), link).unwrap();
}

/// Replaces the program, and gives back the process that serves from then on.
fn replace(run: &mut Run) -> Other {
    run.signal("-USR2");
    Other(run.said("replaced")["successor"].as_u64().unwrap())
}

async fn ended(run: &mut Run) -> ExitStatus {
    soon(async {
        loop {
            // Its log goes on in the other's hands, so that its end is asked for.
            match run.child.try_wait().unwrap() {
                Some(status) => return status,
                None => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

/// Asks again and again until told to stop, and counts.
struct Clients {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    running: Vec<JoinHandle<()>>,
}

impl Clients {
    fn start(run: &Run) -> Self {
        let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let mut running = Vec::new();
        for patience in [1, usize::MAX] {
            let (stop, asked, address) = (Arc::clone(&stop), Arc::clone(&asked), run.address);
            running.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let mut wire = Wire::connect(address).await;
                    // A connection of its own for each request, or one for as long as the server keeps it.
                    for _ in 0..patience {
                        wire.write(KEPT).await;
                        let head = wire.read_head().await;
                        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
                        wire.read_until("hello").await;
                        asked.fetch_add(1, Ordering::Relaxed);
                        if head.contains("connection: close") || stop.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                }
            }));
        }
        Clients { stop, asked, running }
    }

    /// Waits until as many more requests have been answered.
    async fn answered(&self, more: usize) {
        let enough = self.asked.load(Ordering::Relaxed) + more;
        soon(async {
            while self.asked.load(Ordering::Relaxed) < enough {
                assert!(self.running.iter().all(|client| !client.is_finished()), "a client was refused");
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.running {
            soon(client).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_refused_while_the_program_is_replaced_and_every_agreement_is_kept() {
    let upstream = Upstream::page("text/plain", "hello").await;
    let folder = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    let mut run = start(&folder);
    let clients = Clients::start(&run);
    clients.answered(20).await;
    let (address, stop) = (run.address, Arc::clone(&clients.stop));
    let agreeing = tokio::spawn(async move {
        let mut receipts = 0;
        while !stop.load(Ordering::Relaxed) {
            let fields = [("choice", "accept-all"), ("return", "/")];
            let answer = Browser::clear(address, HOST).post_form("/_consent/choices", &fields).await;
            assert_eq!(answer.status.as_u16(), 303, "{}", answer.text());
            assert!(answer.header("consentry-receipt").is_some());
            receipts += 1;
        }
        receipts
    });

    let other = replace(&mut run);
    assert!(ended(&mut run).await.success());
    clients.answered(20).await;
    clients.stop().await;
    let receipts: usize = soon(agreeing).await.unwrap();
    assert!(receipts > 0);
    let metrics = Browser::clear(run.admin, "localhost").get("/metrics").await.text();
    assert!(metrics.contains("consentry_sites 1"), "the new one has the admin listener too: {metrics}");

    other.signal("-TERM");
    while run.log.next().is_some() {}
    let ledger = |words: &[&str]| crate::process::command(&folder, words).output().unwrap();
    assert!(ledger(&["ledger", "verify"]).status.success());
    let exported = ledger(&["ledger", "export", "--format", "jsonl"]).stdout;
    assert_eq!(String::from_utf8(exported).unwrap().lines().count(), receipts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn where_the_new_program_cannot_start_the_old_one_goes_on() {
    let upstream = Upstream::page("text/plain", "hello").await;
    let settings = site(&upstream.url(), "");
    let folder = folder("127.0.0.1:0", &settings);
    let mut run = start(&folder);
    let mut visitor = Browser::clear(run.address, HOST);

    write(&folder, "config/sites/example.yaml", "upstream: htp://x");
    run.signal("-USR2");
    run.said("not replaced: it ended before it was ready");
    assert_eq!(visitor.get("/").await.text(), "hello");

    write(&folder, "config/sites/example.yaml", &settings);
    std::fs::remove_file(folder.path().join("consentry")).unwrap();
    run.signal("-USR2");
    run.said("not replaced: ");
    write(&folder, "consentry", "#!/bin/sh\nexit 3\n");
    let program = folder.path().join("consentry");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    run.signal("-USR2");
    run.said("not replaced: it ended before it was ready");
    assert_eq!(visitor.get("/").await.text(), "hello");
    let agreed = visitor.post_form("/_consent/choices", &[("choice", "accept-all"), ("return", "/")]).await;
    assert_eq!(agreed.status.as_u16(), 303, "the ledger has not left it");

    link(&folder);
    let other = replace(&mut run);
    assert!(ended(&mut run).await.success());
    assert_eq!(visitor.get("/").await.text(), "hello");
    // The one that took over can be replaced in its turn.
    other.signal("-USR2");
    let third = Other(run.said("replaced")["successor"].as_u64().unwrap());
    assert_ne!(third.0, other.0);
    assert_eq!(visitor.get("/").await.text(), "hello");
    third.signal("-TERM");
    while run.log.next().is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_stop_does_not_wait_for_a_new_program_and_leaves_none_behind() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let mut run = start(&folder);
    std::fs::remove_file(folder.path().join("consentry")).unwrap();
    // It goes on for a while, and says nothing.
    write(
        &folder,
        "consentry",
        "#!/bin/sh\necho '{\"message\":\"silent\",\"id\":'$$'}' >&2\nexec sleep 1000\n",
    );
    let program = folder.path().join("consentry");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    run.signal("-USR2");
    let silent = run.said("silent")["id"].as_u64().unwrap();
    run.signal("-USR2");
    run.said("a new process is being started already");
    run.signal("-TERM");
    assert!(ended(&mut run).await.success());
    let is_there = Command::new("sh").args(["-c", &format!("kill -0 {silent} 2>/dev/null")]).status();
    assert!(!is_there.unwrap().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_websocket_stays_with_the_old_program_until_it_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut messages = tokio_tungstenite::accept_async(socket).await.unwrap();
                while let Some(Ok(message)) = messages.next().await {
                    if message.is_text() {
                        messages.send(message).await.unwrap();
                    }
                }
            });
        }
    });
    let folder = folder("127.0.0.1:0", &site(&url, ""));
    let mut run = start(&folder);
    let address = run.address;
    let chat = async || {
        let socket = soon(TcpStream::connect(address)).await.unwrap();
        soon(tokio_tungstenite::client_async(format!("ws://{HOST}/chat"), socket)).await.unwrap().0
    };
    let mut old = chat().await;
    old.send(Message::text("before")).await.unwrap();
    assert_eq!(soon(old.next()).await.unwrap().unwrap(), Message::text("before"));

    let other = replace(&mut run);
    old.send(Message::text("after")).await.unwrap();
    assert_eq!(soon(old.next()).await.unwrap().unwrap(), Message::text("after"));
    assert!(run.child.try_wait().unwrap().is_none(), "the old one waits for its last visitor");
    old.close(None).await.unwrap();
    while soon(old.next()).await.is_some() {}
    drop(old);
    assert!(ended(&mut run).await.success());
    let mut new = chat().await;
    new.send(Message::text("still here")).await.unwrap();
    assert_eq!(soon(new.next()).await.unwrap().unwrap(), Message::text("still here"));
    other.signal("-TERM");
    drop(new);
    while run.log.next().is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_tls_session_goes_on_with_the_new_program() {
    let upstream = Upstream::page("text/plain", "hello").await;
    let listen = "127.0.0.1:0, tls: { certificates: [{ certificate: tls/a.pem, key: tls/a.key }] }";
    let folder = folder(listen, &site(&upstream.url(), ""));
    let authority = Authority::new();
    std::fs::create_dir(folder.path().join("config/tls")).unwrap();
    authority.sign_into(&folder.path().join("config/tls"), "a", &[HOST]);
    let clients = [&rustls::version::TLS12, &rustls::version::TLS13]
        .map(|version| Arc::new(authority.client_of(&[version], &[b"http/1.1"])));
    let mut run = start(&folder);
    for client in &clients {
        assert_ne!(ask(run.address, HOST, client).await.1, HandshakeKind::Resumed);
    }
    let second = replace(&mut run);
    assert!(ended(&mut run).await.success());
    for client in &clients {
        assert_eq!(ask(run.address, HOST, client).await.1, HandshakeKind::Resumed);
    }
    // What the first has made opens with the third as well.
    second.signal("-USR2");
    let third = Other(run.said("replaced")["successor"].as_u64().unwrap());
    for client in &clients {
        assert_eq!(ask(run.address, HOST, client).await.1, HandshakeKind::Resumed);
    }
    third.signal("-TERM");
    while run.log.next().is_some() {}
}
