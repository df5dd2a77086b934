//! TLS towards visitors: its versions, sessions that go on, and certificates renewed or spoilt while it runs.

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;

use consentry::filter::Body;
use consentry::filter::body::full;
use consentry::listener::{App, CertificateFiles, Peer, Transport};
use consentry::server::{Occasion, Outcome, Reload};
use http::{Request, Response, StatusCode};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::support::browser::{Browser, Speaks};
use crate::support::certificates::Authority;
use crate::support::running::{Running, Setup};
use crate::support::soon;
use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, Whole, site};

#[derive(Clone)]
struct Hello;

impl App for Hello {
    async fn answer(&self, _request: Request<Body>, _peer: Peer) -> Response<Body> {
        Response::new(full("hello"))
    }
}

/// Asks for a page with these settings, and says how the handshake went.
pub async fn ask(
    to: SocketAddr,
    host: &'static str,
    client: &Arc<ClientConfig>,
) -> (ProtocolVersion, HandshakeKind) {
    let socket = soon(TcpStream::connect(to)).await.unwrap();
    let name = ServerName::try_from(host).unwrap();
    let mut socket = soon(TlsConnector::from(Arc::clone(client)).connect(name, socket)).await.unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    soon(socket.write_all(request.as_bytes())).await.unwrap();
    let mut answer = String::new();
    soon(socket.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    let (_, session) = socket.get_ref();
    (session.protocol_version().unwrap(), session.handshake_kind().unwrap())
}

#[tokio::test]
async fn both_versions_are_spoken_and_their_sessions_go_on() {
    let authority = Authority::new();
    let transport = Transport::Tls(vec![authority.sign(&["shop.example"])]);
    let running = Running::start(Hello, Setup { transport, ..Setup::default() });
    for (version, spoken) in [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let client = Arc::new(authority.client_of(&[version], &[b"http/1.1"]));
        let (first_version, first) = ask(running.address, "shop.example", &client).await;
        assert_eq!(first_version, spoken);
        assert_ne!(first, HandshakeKind::Resumed);
        assert_eq!(ask(running.address, "shop.example", &client).await, (spoken, HandshakeKind::Resumed));
    }
    running.stopped().await;
}

fn openssl(words: &str) -> String {
    let output = Command::new("openssl").args(words.split(' ')).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_kinds_of_keys_for_a_name_each_client_gets_one_that_it_can_verify() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["rsa:2048", "ec -pkeyopt ec_paramgen_curve:prime256v1"].map(|kind| {
        let file = |end: &str| folder.path().join(format!("{}.{end}", &kind[..2]));
        let (certificate, key) = (file("pem"), file("key"));
        let made = openssl(&format!(
            "req -x509 -newkey {kind} -nodes -days 2 -subj /CN=shop -addext subjectAltName=DNS:shop.example -keyout {} -out {}",
            key.display(),
            certificate.display()
        ));
        assert!(certificate.exists(), "{made}");
        CertificateFiles { certificate, key }
    });
    let running =
        Running::start(Hello, Setup { transport: Transport::Tls(files.to_vec()), ..Setup::default() });
    for (asks_for, gets) in [
        ("rsa_pss_rsae_sha256", "RSA"),
        ("ecdsa_secp256r1_sha256", "ECDSA"),
        ("ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256", "RSA"),
    ] {
        let address = running.address;
        let told = openssl(&format!(
            "s_client -connect {address} -servername shop.example -tls1_3 -sigalgs {asks_for}"
        ));
        let kind = told.lines().find_map(|line| line.strip_prefix("Peer signature type: ")).unwrap_or(&told);
        assert!(kind.starts_with(gets), "{asks_for}: {kind}");
    }
    running.stopped().await;
}

/// A whole proxy with one certificate, whose file the test writes.
async fn whole(authority: &Authority, upstream: &Upstream) -> Whole {
    let files = authority.sign(&[HOST]);
    let listen = format!(
        "listen:\n  - address: 127.0.0.1:0\n    tls: {{ certificates: [{{ certificate: {}, key: {} }}] }}",
        files.certificate.display(),
        files.key.display()
    );
    Whole::start_with(&listen, &site(&upstream.url(), "")).await
}

/// Reads the settings again, which are good.
fn reload(whole: &Whole) {
    let Reload { outcome, news, .. } = whole.server.reload(&whole.settings(), Occasion::Asked);
    assert_eq!((outcome, news), (Outcome::Applied, Vec::new()));
}

#[tokio::test]
async fn a_renewed_file_is_shown_after_a_reload_though_the_settings_are_the_same() {
    let upstream = Upstream::page("text/plain", "hello").await;
    let (old, new) = (Authority::new(), Authority::new());
    let whole = whole(&old, &upstream).await;
    let files = old.sign(&[HOST]);
    let renewed = new.sign(&[HOST]);
    std::fs::copy(renewed.certificate, &files.certificate).unwrap();
    std::fs::copy(renewed.key, &files.key).unwrap();
    reload(&whole);
    let answer = Browser::tls(whole.address(), HOST, &new, Speaks::Http2).get("/").await;
    assert_eq!((answer.status, answer.text().as_str()), (StatusCode::OK, "hello"));
    whole.server.stop().await;
}

#[tokio::test]
async fn a_spoilt_file_keeps_no_other_certificate_of_its_listener_from_being_renewed() {
    let upstream = Upstream::page("text/plain", "hello").await;
    let (old, new) = (Authority::new(), Authority::new());
    let (first, second) = (old.sign(&[HOST]), old.sign(&["other.example"]));
    let pair = |files: &CertificateFiles| {
        format!("{{ certificate: {}, key: {} }}", files.certificate.display(), files.key.display())
    };
    let listen = format!(
        "listen:\n  - address: 127.0.0.1:0\n    tls: {{ certificates: [{}, {}] }}",
        pair(&second),
        pair(&first)
    );
    let whole = Whole::start_with(&listen, &site(&upstream.url(), "")).await;
    std::fs::write(&second.certificate, "spoilt").unwrap();
    let renewed = new.sign(&[HOST]);
    std::fs::copy(renewed.certificate, &first.certificate).unwrap();
    std::fs::copy(renewed.key, &first.key).unwrap();
    let Reload { outcome, news, .. } = whole.server.reload(&whole.settings(), Occasion::Asked);
    assert_eq!((outcome, news.len()), (Outcome::Partly, 1), "{news:?}");
    let answer = Browser::tls(whole.address(), HOST, &new, Speaks::Http1).get("/").await;
    assert_eq!(answer.text(), "hello");
    whole.server.stop().await;
}

#[tokio::test]
async fn a_spoilt_file_leaves_the_listener_with_its_certificates_and_the_sites_with_their_news() {
    let (before, after) =
        (Upstream::page("text/plain", "old").await, Upstream::page("text/plain", "new").await);
    let authority = Authority::new();
    let whole = whole(&authority, &before).await;
    let files = authority.sign(&[HOST]);
    whole.write("sites/example.yaml", &site(&after.url(), ""));
    for spoil in ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        std::fs::write(&files.key, spoil).unwrap();
        let Reload { outcome, news: problems, .. } = whole.server.reload(&whole.settings(), Occasion::Asked);
        assert_eq!(outcome, Outcome::Partly);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].is_error() && problems[0].message.contains(".key"), "{problems:?}");
        assert_eq!(problems[0].place.as_ref().unwrap().line, 3);
        assert_eq!(whole.server.metrics().settings_refused.get(), 1);
        let answer = Browser::tls(whole.address(), HOST, &authority, Speaks::Http1).get("/").await;
        assert_eq!(answer.text(), "new");
    }
    let checked = whole.command(&["check"]);
    assert_eq!(checked.status.code(), Some(1));
    let run = whole.command(&["run"]);
    assert_eq!(run.status.code(), Some(1));
    let told = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(told.contains("consentry.yaml:3:") && told.contains("cannot be used"), "{told}");
    authority.sign(&[HOST]);
    reload(&whole);
    assert_eq!(whole.server.metrics().settings_refused.get(), 0);
    whole.server.stop().await;
}
