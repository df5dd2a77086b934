//! The program under a service manager: sockets that are open before it begins, and what it says of itself.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use tempfile::TempDir;

use crate::process::{Run, command, folder, write};
use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, site};
use crate::support::wire::Wire;

#[tokio::test(flavor = "multi_thread")]
async fn who_came_before_the_program_did_is_served_on_the_socket_that_was_handed_over() {
    let upstream = Upstream::page("text/plain", "hello").await;
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let folder = folder(&address.to_string(), &site(&upstream.url(), ""));
    let mut early = Wire::connect(address).await;
    early.write(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")).await;

    // On an address of its own: port 0, as the admin listener has it here, takes what is left on the same.
    let stray = TcpListener::bind("127.0.0.2:0").unwrap();
    let mut command = command(&folder, &["run"]);
    let given = |socket: &TcpListener, child_fd| FdMapping {
        parent_fd: socket.try_clone().unwrap().into(),
        child_fd,
    };
    command.fd_mappings(vec![given(&stray, 3), given(&socket, 4)]).unwrap();
    command.env("LISTEN_FDS", "2").env("LISTEN_FDNAMES", "stray:web");
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut log = crate::process::log(&mut child);
    let told = crate::process::said(&mut log, "a socket was handed over that no listener has");
    assert_eq!(told["name"], "stray", "{told}");
    let run = Run::with(child, log);
    assert_eq!(run.address, address);
    assert!(early.read_to_end().await.ends_with("hello"));

    run.signal("-TERM");
    assert!(run.ended().success());
    // The service manager still has it, so that the next one goes on where this one ended.
    Wire::connect(address).await;
}

/// The service manager's end of `NOTIFY_SOCKET`.
struct Manager {
    socket: UnixDatagram,
    beats: usize,
}

impl Manager {
    fn listen(folder: &TempDir) -> Self {
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Manager { socket, beats: 0 }
    }

    /// The next message, whatever it is.
    fn message(&mut self) -> String {
        let mut buffer = [0; 512];
        match self.socket.recv(&mut buffer) {
            Ok(length) => String::from_utf8(buffer[..length].to_vec()).unwrap(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing was said"),
            Err(error) => panic!("{error}"),
        }
    }

    /// The next message that is no heartbeat.
    fn told(&mut self) -> String {
        loop {
            match self.message() {
                beat if beat == "WATCHDOG=1\n" => self.beats += 1,
                message => return message,
            }
        }
    }
}

#[test]
fn the_service_manager_is_told_when_it_is_ready_reloads_and_stops() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let mut manager = Manager::listen(&folder);
    let mut command = command(&folder, &["run"]);
    command.env("NOTIFY_SOCKET", folder.path().join("notify"));
    let run = Run::of(command);
    assert_eq!(manager.told(), "READY=1\n");
    for settings in ["upstream: htp://x", &site("http://127.0.0.1:2", "")] {
        write(&folder, "config/sites/example.yaml", settings);
        run.signal("-HUP");
        let told = manager.told();
        let since =
            told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").and_then(|rest| rest.strip_suffix('\n'));
        assert!(since.unwrap().parse::<u64>().unwrap() > 0, "{told}");
        assert_eq!(manager.told(), "READY=1\n");
    }
    run.signal("-TERM");
    // The files are looked at once more when they have come to rest.
    let last = loop {
        match manager.told() {
            told if told.starts_with("RELOADING=1\n") => assert_eq!(manager.told(), "READY=1\n"),
            told => break told,
        }
    };
    assert_eq!(last, "STOPPING=1\n");
    assert!(run.ended().success());
    assert_eq!(manager.beats, 0, "nobody asked for heartbeats");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_told_which_process_it_is_after_a_replacement() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let mut manager = Manager::listen(&folder);
    let mut command = command(&folder, &["run"]);
    command.env("NOTIFY_SOCKET", folder.path().join("notify"));
    let mut run = Run::of(command);
    assert_eq!(manager.told(), "READY=1\n");
    run.signal("-USR2");
    let successor = run.said("replaced")["successor"].as_u64().unwrap();
    // First its own word, which a strict manager passes over, then that of the process it knows.
    assert_eq!(manager.told(), "READY=1\n");
    assert_eq!(manager.told(), format!("MAINPID={successor}\n"));
    let kill = format!("kill -TERM {successor}");
    std::process::Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert_eq!(manager.told(), "STOPPING=1\n");
    assert!(run.ended().success());
}

#[test]
fn heartbeats_come_where_the_service_manager_waits_for_them() {
    let folder = folder("127.0.0.1:0", &site("http://127.0.0.1:1", ""));
    let mut manager = Manager::listen(&folder);
    let mut command = command(&folder, &["run"]);
    command.env("NOTIFY_SOCKET", folder.path().join("notify")).env("WATCHDOG_USEC", "100000");
    let run = Run::of(command);
    while manager.beats < 5 {
        if manager.message() == "WATCHDOG=1\n" {
            manager.beats += 1;
        }
    }
    // A socket that nobody reads takes ten messages, and then whoever writes waits.
    drop(manager);
    run.signal("-TERM");
    assert!(run.ended().success());
}
