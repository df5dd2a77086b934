//! curl as a visitor: uploads with and without an upstream that wants them, downloads in both versions of HTTP.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use consentry::filter::body::full;
use http::Response;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::{Run, folder};
use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, Whole, site};
use crate::support::wire::Script;

/// What curl says on its standard output.
async fn curl(proxy: SocketAddr, words: &[&str]) -> String {
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--noproxy", "*", "--max-time", "300", "-H", &format!("Host: {HOST}")])
        .args(words)
        .arg(format!("http://{proxy}/"))
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || curl.output()).await.unwrap();
    let output = output.expect("curl; `tests/run install` brings it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn file(folder: &TempDir, name: &str, size: usize) -> (String, Vec<u8>) {
    let path = folder.path().join(name);
    let bytes: Vec<u8> = (0..size).map(|index| (index * 7 % 251) as u8).collect();
    std::fs::write(&path, &bytes).unwrap();
    (path.to_str().unwrap().to_owned(), bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_upstream_refuses_at_once_is_not_sent_at_all() {
    let script = Script::bind().await;
    let proxy = Whole::start(&site(&script.url(), "")).await;
    let folder = TempDir::new().unwrap();
    let (path, _) = file(&folder, "upload", 2 << 20);
    let upstream = async {
        let mut wire = script.accept().await;
        assert!(wire.read_head().await.to_lowercase().contains("\r\nexpect: 100-continue\r\n"));
        wire.write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
        assert_eq!(wire.read_to_end().await, "");
    };
    let words =
        ["-T", &path, "--expect100-timeout", "10", "-w", "%{http_code} %{size_upload}", "-o", "/dev/null"];
    let (said, ()) = tokio::join!(curl(proxy.address(), &words), upstream);
    assert_eq!(said, "401 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_up_and_comes_down_byte_for_byte_in_both_versions() {
    const SIZE: usize = 24 << 20;
    let upstream = Upstream::answering(|seen| Response::new(full(seen.body.clone()))).await;
    let proxy = Whole::start(&site(&upstream.url(), "")).await;
    let folder = TempDir::new().unwrap();
    let (path, bytes) = file(&folder, "upload", SIZE);
    let down = folder.path().join("download");
    let sink = down.to_str().unwrap().to_owned();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let words = [version, "-T", &path, "-o", &sink, "-w", "%{http_code} %{http_version}"];
        let said = curl(proxy.address(), &words).await;
        assert!(said.starts_with("200 "), "{said}");
        assert!(std::fs::read(&down).unwrap() == bytes, "{version}: the file differs");
    }
    assert!(upstream.seen().iter().all(|seen| seen.body.len() == SIZE));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_too_large_gets_its_answer_in_both_versions() {
    let upstream = Upstream::page("text/plain", "thanks").await;
    let settings = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    let path = settings.path().join("config/consentry.yaml");
    let proxy = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, proxy + "limits: { request_body: 1MiB }\n").unwrap();
    let run = Run::start(&settings);
    let files = TempDir::new().unwrap();
    let (path, _) = file(&files, "upload", 20 << 20);
    let data = format!("@{path}");
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        for _ in 0..10 {
            let words =
                [version, "-H", "Expect:", "--data-binary", &data, "-o", "/dev/null", "-w", "%{http_code}"];
            assert_eq!(curl(run.address, &words).await, "413", "{version}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_who_does_not_read_costs_little() {
    const VISITORS: usize = 100;
    const EACH: usize = 700 << 10;
    let download = bytes::Bytes::from(vec![b'a'; 32 << 20]);
    let upstream = Upstream::answering(move |_| Response::new(full(download.clone()))).await;
    let settings = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    let run = Run::start(&settings);
    curl(run.address, &["-o", "/dev/null"]).await;
    let before = most_memory(run.child.id());
    let ask = async || {
        let mut visitor = TcpStream::connect(run.address).await.unwrap();
        visitor.write_all(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n").as_bytes()).await.unwrap();
        visitor
    };
    let (mut visitors, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    for _ in 0..VISITORS {
        visitors.push(ask().await);
    }
    // Now and then one takes something: the pieces grow with what has been taken.
    for _ in 0..30 {
        for visitor in &mut visitors {
            assert!(visitor.read(&mut buffer).await.unwrap() > 0);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let each = most_memory(run.child.id()).saturating_sub(before) / VISITORS;
    assert!(each < EACH, "{each} bytes");
}

/// The most memory that a program has had so far, in bytes.
fn most_memory(id: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_megabytes_go_up_and_come_down_in_constant_memory() {
    const SIZE: usize = 200 << 20;
    const MORE: usize = 24 << 20;
    let upstream = Upstream::answering(|seen| Response::new(full(seen.body.clone()))).await;
    let settings = folder("127.0.0.1:0", &site(&upstream.url(), ""));
    let run = Run::start(&settings);
    let files = TempDir::new().unwrap();
    let (path, bytes) = file(&files, "upload", SIZE);
    let down = files.path().join("download");
    let sink = down.to_str().unwrap().to_owned();
    curl(run.address, &["-o", "/dev/null"]).await;
    let before = most_memory(run.child.id());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let words = [version, "-T", &path, "-o", &sink, "-w", "%{http_code}"];
        assert_eq!(curl(run.address, &words).await, "200", "{version}");
        assert!(std::fs::read(&down).unwrap() == bytes, "{version}: the file differs");
        // The kernel counts loosely: the most of all can be told as less than it was before.
        let more = most_memory(run.child.id()).saturating_sub(before);
        assert!(more < MORE, "{version}: {more} bytes more");
    }
}
