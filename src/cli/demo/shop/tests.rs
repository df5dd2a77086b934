//! The shop over a plain socket: what a proxy in front of it has to cope with.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

struct Reply {
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            line.to_ascii_lowercase().starts_with(&format!("{name}: ")).then(|| &line[name.len() + 2..])
        })
    }

    fn session(&self) -> String {
        self.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    }
}

async fn ask(shop: &Shop, head: &str, body: &str) -> Reply {
    let mut socket = TcpStream::connect(shop.address()).await.unwrap();
    let length = match body {
        "" => String::new(),
        form => {
            format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", form.len())
        }
    };
    let request = format!("{head}\r\nHost: shop\r\nConnection: close\r\n{length}\r\n{body}");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.unwrap();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    Reply { head: String::from_utf8(bytes[..end].to_vec()).unwrap(), body: bytes[end + 4..].to_vec() }
}

async fn get(shop: &Shop, path: &str) -> Reply {
    ask(shop, &format!("GET {path} HTTP/1.1"), "").await
}

fn holds(reply: &Reply, bytes: &[u8]) -> bool {
    reply.body.windows(bytes.len()).any(|window| window == bytes)
}

#[tokio::test]
async fn letters_leave_as_single_bytes_with_and_without_a_declared_charset() {
    let shop = Shop::open().await.unwrap();
    for (path, content_type, letters) in [
        ("/", "text/html; charset=ISO-8859-1", &b"V\xe4lkommen till Bj\xf6rklunds Bildbyr\xe5"[..]),
        ("/sortiment.html", "text/html", b"Alla bilder p\xe5 ett st\xe4lle"),
        ("/login", "text/html", b"Logga in p\xe5 ditt konto"),
        ("/om.html", "text/html; charset=utf-8", "älskar svenska motiv".as_bytes()),
    ] {
        let reply = get(&shop, path).await;
        assert_eq!(reply.header("content-type"), Some(content_type), "{path}");
        assert!(holds(&reply, letters), "{path}");
    }
}

#[tokio::test]
async fn no_page_shows_a_name_that_was_not_filled() {
    let shop = Shop::open().await.unwrap();
    let pages =
        ["/", "/sortiment.html", "/bild?id=1", "/om.html", "/ram.html", "/ram-meny.html", "/ram-bild.html"];
    for path in pages.into_iter().chain(["/english.html", "/kundvagn", "/login", "/register", "/nowhere"]) {
        assert!(!holds(&get(&shop, path).await, b"@@"), "{path}");
    }
}

#[tokio::test]
async fn the_pages_track_in_every_old_way() {
    let shop = Shop::open().await.unwrap();
    for (path, trace) in [
        ("/", "google-analytics.com/ga.js"),
        ("/", "googletagmanager.com/ns.html"),
        ("/", "https://www.facebook.com/tr?id="),
        ("/sortiment.html", "document.write(unescape("),
        ("/sortiment.html", "pageTracker._trackPageview('/katalog/pdf')"),
        ("/om.html", "google-analytics.com/analytics.js"),
        ("/nowhere", "google-analytics.com/ga.js"),
    ] {
        assert!(holds(&get(&shop, path).await, trace.as_bytes()), "{path}: {trace}");
    }
}

#[tokio::test]
async fn pages_are_compressed_only_for_those_who_can_read_it() {
    let shop = Shop::open().await.unwrap();
    let packed = ask(&shop, "GET / HTTP/1.1\r\nAccept-Encoding: gzip, deflate", "").await;
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.starts_with(&[0x1f, 0x8b]));
    assert_eq!(get(&shop, "/").await.header("content-encoding"), None);
}

#[tokio::test]
async fn a_login_sets_the_session_and_leads_to_the_shops_own_address() {
    let shop = Shop::open().await.unwrap();
    let reply = ask(&shop, "POST /login HTTP/1.1", "anvandare=kund&losenord=bild").await;
    assert!(reply.head.starts_with("HTTP/1.1 302"), "{}", reply.head);
    assert_eq!(reply.header("location"), Some(format!("http://{}/konto", shop.address()).as_str()));
    let account = ask(&shop, &format!("GET /konto HTTP/1.1\r\nCookie: {}", reply.session()), "").await;
    assert!(holds(&account, b"Hej kund, v\xe4lkommen"));
    let refused = ask(&shop, "POST /login HTTP/1.1", "anvandare=kund&losenord=x").await;
    assert_eq!(refused.header("set-cookie"), None);
}

#[tokio::test]
async fn after_a_logout_the_old_session_opens_nothing() {
    let shop = Shop::open().await.unwrap();
    let session = ask(&shop, "POST /login HTTP/1.1", "anvandare=kund&losenord=bild").await.session();
    ask(&shop, &format!("GET /logout HTTP/1.1\r\nCookie: {session}"), "").await;
    let account = ask(&shop, &format!("GET /konto HTTP/1.1\r\nCookie: {session}"), "").await;
    assert_eq!(account.header("location"), Some(format!("http://{}/login", shop.address()).as_str()));
}

#[tokio::test]
async fn the_cart_remembers_and_adds_up() {
    let shop = Shop::open().await.unwrap();
    let session = ask(&shop, "POST /kundvagn HTTP/1.1", "bild=1").await.session();
    ask(&shop, &format!("POST /kundvagn HTTP/1.1\r\nCookie: {session}"), "bild=3").await;
    let cart = ask(&shop, &format!("GET /kundvagn HTTP/1.1\r\nCookie: {session}"), "").await;
    assert!(holds(&cart, b"Alvaret p\xe5 \xd6land") && holds(&cart, b"840 kr"));
}

#[tokio::test]
async fn a_form_in_latin_letters_is_read_and_shown_without_its_markup() {
    let shop = Shop::open().await.unwrap();
    let reply = ask(&shop, "POST /register HTTP/1.1", "namn=%C5sa+%3Cb%3E").await;
    assert!(holds(&reply, b"V\xe4lkommen som kund, \xc5sa &lt;b&gt;"));
}

#[test]
fn paths_are_found_in_every_spelling_that_an_old_server_knows() {
    for (written, found) in [
        ("/", "/"),
        ("/admin/", "/admin/"),
        ("//admin/", "/admin/"),
        ("/%61dmin//", "/admin/"),
        ("/x/../admin/", "/admin/"),
        ("/../%2e/login", "/login"),
    ] {
        assert_eq!(plain_path(written), found, "{written}");
    }
}

#[tokio::test]
async fn a_form_without_end_is_refused() {
    let shop = Shop::open().await.unwrap();
    let reply = ask(&shop, "POST /register HTTP/1.1", &format!("namn={}", "x".repeat(FORM_LIMIT))).await;
    assert!(reply.head.starts_with("HTTP/1.1 413"), "{}", reply.head);
}

#[tokio::test]
async fn administration_is_for_the_administrator() {
    let shop = Shop::open().await.unwrap();
    for (name, sees) in [("admin", true), ("kund", false)] {
        let login = ask(&shop, "POST /login HTTP/1.1", &format!("anvandare={name}&losenord=bild")).await;
        let page = ask(&shop, &format!("GET /admin/ HTTP/1.1\r\nCookie: {}", login.session()), "").await;
        assert_eq!(holds(&page, b"Administration av bildbyr\xe5n"), sees, "{name}");
    }
}
