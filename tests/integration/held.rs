//! A form that is posted into a gate is carried through the acknowledgement, and reaches the application once, as it
//! was sent.

use std::sync::Arc;

use consentry::filter::body::full;
use http::header::{CONTENT_TYPE, COOKIE};
use http::{Request, Response};

use crate::support::browser::{Answer, Browser};
use crate::support::postgres::Cluster;
use crate::support::soon;
use crate::support::upstream::{Seen, Upstream};
use crate::support::whole::{HOST, LISTEN, NOTICE, Store, Whole, site};

const REGISTER: &str = "gates:\n  - { name: new, document: privacy, paths: [\"/register*\"] }\n";

/// An application that answers a form with a page which shows how it was reached.
async fn application() -> Upstream {
    Upstream::answering(|seen| {
        let page = format!("<html><body><p>{} {}</p></body></html>", seen.method, seen.target);
        Response::builder()
            .header("content-type", "text/html")
            .header("set-cookie", "welcome=1; path=/")
            .body(full(page))
            .unwrap()
    })
    .await
}

fn posted(target: &str, content_type: &str, body: &[u8]) -> Request<consentry::filter::Body> {
    Request::post(target)
        .header("accept", "text/html")
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-site", "same-origin")
        .header("sec-fetch-user", "?1")
        .header("origin", format!("http://{HOST}"))
        .header("referer", format!("http://{HOST}/become-a-customer"))
        .header(CONTENT_TYPE, content_type)
        .body(full(body.to_vec()))
        .unwrap()
}

/// The page that keeps a form, as a browser without scripts reads it.
#[derive(Clone)]
struct HeldPage {
    action: String,
    fields: Vec<(String, String)>,
    html: String,
}

impl HeldPage {
    fn read(answer: &Answer) -> Self {
        let html = answer.text();
        let attribute = |tag: &str, name: &str| {
            let value = tag.split(&format!("{name}=\"")).nth(1)?.split('"').next()?;
            Some(value.replace("&amp;", "&").replace("&quot;", "\"").replace("&#x27;", "'"))
        };
        let form = html.split("<form id=\"held\"").nth(1).unwrap_or_else(|| panic!("no form in {html}"));
        let fields = html.split("<input ").skip(1).map(|rest| rest.split('>').next().unwrap());
        let fields = fields.map(|tag| (attribute(tag, "name").unwrap(), attribute(tag, "value").unwrap()));
        let fields = fields.collect();
        HeldPage { action: attribute(form, "action").unwrap(), fields, html }
    }

    /// What a browser sends when this button is pressed.
    fn press(&self, name: &str, value: &str) -> Request<consentry::filter::Body> {
        let mut body = String::new();
        let button = (name.to_owned(), value.to_owned());
        for (name, value) in self.fields.iter().chain([&button]) {
            body += &format!("--XyZ\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        }
        body += "--XyZ--\r\n";
        let mut request = posted(&self.action, "multipart/form-data; boundary=XyZ", body.as_bytes());
        request.headers_mut().insert("referer", format!("http://{HOST}{}", self.action).parse().unwrap());
        request
    }

    fn accept(&self) -> Request<consentry::filter::Body> {
        self.press("decision", "accept")
    }
}

/// What the application was given, the looks for pages left out.
fn posts(upstream: &Upstream) -> Vec<Seen> {
    upstream.seen().into_iter().filter(|seen| seen.method == http::Method::POST).collect()
}

async fn held(visitor: &mut Browser, target: &str, content_type: &str, body: &[u8]) -> HeldPage {
    let answer = visitor.send(posted(target, content_type, body)).await;
    assert_eq!(answer.status, 403, "{}", answer.text());
    HeldPage::read(&answer)
}

#[tokio::test]
async fn a_form_posted_into_a_gate_arrives_byte_for_byte_once_the_document_is_acknowledged() {
    let file: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    let multipart = [
        b"------b\r\nContent-Disposition: form-data; name=\"namn\"\r\n\r\n\xc5sa\r\n".as_slice(),
        b"------b\r\nContent-Disposition: form-data; name=\"fil\"; filename=\"p\xe5 \\\".bin\"\r\n\
          Content-Type: application/octet-stream\r\n\r\n",
        &file,
        b"\r\n------b--\r\n",
    ]
    .concat();
    for (content_type, body) in [
        ("application/x-www-form-urlencoded", b"name=%C5sa&x=1&x=2&=&y".as_slice()),
        ("application/x-www-form-urlencoded; charset=ISO-8859-1", b"name=\xc5sa"),
        ("multipart/form-data; boundary=----b", &multipart),
        ("text/plain", b"a=1\r\nb=\xff\xfe\x00\r\n"),
        ("application/x-www-form-urlencoded", b""),
    ] {
        let upstream = application().await;
        let whole = Whole::start(&site(&upstream.url(), REGISTER)).await;
        let mut visitor = whole.visitor();
        let page = held(&mut visitor, "/register.php?plan=1&x=%20", content_type, body).await;
        assert!(page.html.contains("Vi använder kakor") || page.html.contains("We use cookies"));
        assert!(upstream.seen().is_empty(), "nothing has reached the application yet");

        let answer = visitor.send(page.accept()).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("consentry-receipt").is_some());
        assert!(visitor.cookie("consentry_accepted").is_some() && visitor.cookie("welcome").is_some());
        assert!(answer.text().contains("data-consentry=\"guard\""), "the answer is filtered as every other");
        let seen = upstream.only();
        assert_eq!(seen.body, body, "{content_type}");
        assert_eq!(seen.target, "/register.php?plan=1&x=%20");
        for (name, expected) in [
            ("content-type", content_type),
            ("content-length", &body.len().to_string()),
            ("referer", &format!("http://{HOST}/become-a-customer")),
            ("origin", &format!("http://{HOST}")),
            ("sec-fetch-site", "same-origin"),
        ] {
            assert_eq!(seen.header(name).as_deref(), Some(expected), "{name}");
        }
        assert!(!seen.header("cookie").unwrap_or_default().contains("consentry"));
        let entries = whole.exported();
        assert_eq!(entries.len(), 1, "{entries:?}");
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn the_language_can_be_changed_while_a_form_waits() {
    let upstream = application().await;
    let whole = Whole::start(&site(&upstream.url(), REGISTER)).await;
    let mut visitor = whole.visitor().always("accept-language", "sv");
    let swedish = held(&mut visitor, "/register", "text/plain", b"a=1").await;
    assert!(swedish.html.contains("<html lang=\"sv\"") && swedish.html.contains("Vi använder kakor"));
    let answer = visitor.send(swedish.press("lang", "en")).await;
    let english = HeldPage::read(&answer);
    assert!(english.html.contains("<html lang=\"en\"") && english.html.contains("We use cookies"));
    // The page again, as after a reload that sends its form again.
    let again = HeldPage::read(&visitor.send(swedish.press("lang", "en")).await);
    assert_eq!(again.fields, english.fields);
    assert!(upstream.seen().is_empty());
    assert_eq!(visitor.send(again.accept()).await.status, 200);
    assert_eq!(upstream.only().body, "a=1");
    let entry = &whole.exported()[0];
    assert!(entry.to_string().contains("\"en\""), "accepted as it was shown: {entry}");
    whole.server.stop().await;
}

#[tokio::test]
async fn a_form_is_sent_on_once_however_often_the_button_is_pressed() {
    for store in Store::each() {
        let upstream = application().await;
        let whole = store.start(&site(&upstream.url(), REGISTER)).await;
        let mut visitor = whole.visitor();
        let page = held(&mut visitor, "/register", "text/plain", b"a=1").await;
        assert_eq!(visitor.send(page.accept()).await.status, 200);
        for request in [page.accept(), page.press("lang", "en"), page.accept()] {
            let again = visitor.send(request).await;
            assert_eq!(again.status, 409);
            assert!(again.text().contains("href=\"/become-a-customer\""), "{}", again.text());
        }
        // Somebody else, or the same browser without its cookies, does not send it again either.
        let mut other = whole.visitor();
        assert_eq!(other.send(page.accept()).await.status, 409);
        assert_eq!(posts(&upstream).len(), 1);
        // Other forms go their way.
        assert_eq!(visitor.send(posted("/register", "text/plain", b"a=1")).await.status, 200);
        assert_eq!(posts(&upstream).len(), 2);
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn a_visitor_who_presses_twice_gets_the_answer_of_the_one_delivery() {
    let (upstream, mut arrived, release) = slow_application().await;
    let whole = Whole::start(&site(&upstream, REGISTER)).await;
    let mut visitor = whole.visitor();
    let page = held(&mut visitor, "/register", "text/plain", b"a=1").await;
    let mut impatient = whole.visitor();
    let first = page.accept();
    // The browser gives the first request up for the second.
    let given_up = tokio::spawn(async move { impatient.attempt(first).await.map(|_| ()) });
    soon(arrived.recv()).await.unwrap();
    given_up.abort();
    let _ = given_up.await;
    let second = tokio::spawn(async move { visitor.send(page.accept()).await });
    release.add_permits(10);
    let answer = soon(second).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.text().contains("delivered")), (200, true));
    assert!(arrived.try_recv().is_err(), "it arrived once");
    whole.server.stop().await;
}

/// An application that says when a form has come, and answers when it may.
async fn slow_application() -> (String, tokio::sync::mpsc::UnboundedReceiver<()>, Arc<tokio::sync::Semaphore>)
{
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (arrived, arrivals) = tokio::sync::mpsc::unbounded_channel();
    let may = Arc::new(tokio::sync::Semaphore::new(0));
    let gate = Arc::clone(&may);
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (arrived, gate) = (arrived.clone(), Arc::clone(&gate));
            tokio::spawn(async move {
                let mut read = Vec::new();
                while !read.ends_with(b"a=1") {
                    let mut piece = [0; 4096];
                    let length = socket.read(&mut piece).await.unwrap();
                    if length == 0 {
                        return;
                    }
                    read.extend_from_slice(&piece[..length]);
                }
                arrived.send(()).unwrap();
                gate.acquire().await.unwrap().forget();
                let page = "<html><body>delivered</body></html>";
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    page.len()
                );
                socket.write_all((head + page).as_bytes()).await.unwrap();
            });
        }
    });
    (format!("http://{address}"), arrivals, may)
}

#[tokio::test]
async fn what_is_too_large_is_told_before_it_is_read() {
    let upstream = application().await;
    let listen = format!("{LISTEN}\nlimits: {{ held_form: 1KiB }}");
    let whole = Whole::start_with(&listen, &site(&upstream.url(), REGISTER)).await;
    let mut visitor = whole.visitor();
    held(&mut visitor, "/register", "text/plain", &[b'a'; 1024]).await;
    let answer = visitor.send(posted("/register", "text/plain", &[b'a'; 1025])).await;
    assert_eq!(answer.status, 413);
    assert!(answer.text().contains(NOTICE) && answer.text().contains("target=\"_blank\""));
    // Said in its head: not a byte of it is waited for.
    let (sender, body) = crate::support::upstream::piecewise();
    let mut request = posted("/register", "text/plain", b"").map(|_| body);
    request.headers_mut().insert("content-length", "1000000000".parse().unwrap());
    let (answer, _) = soon(visitor.open(request)).await;
    assert_eq!(answer.status(), 413);
    drop(sender);
    assert!(upstream.seen().is_empty());
    whole.server.stop().await;
}

#[tokio::test]
async fn a_form_of_another_origin_stays_one_of_another_origin() {
    let upstream = application().await;
    let whole = Whole::start(&site(&upstream.url(), REGISTER)).await;
    let mut visitor = whole.visitor();
    let mut foreign = posted("/register", "text/plain", b"a=1");
    let headers = foreign.headers_mut();
    headers.insert("origin", "https://evil.example".parse().unwrap());
    headers.insert("referer", "https://evil.example/".parse().unwrap());
    headers.insert("sec-fetch-site", "cross-site".parse().unwrap());
    headers.insert(COOKIE, "lang=sv".parse().unwrap());
    let page = HeldPage::read(&visitor.send(foreign).await);
    visitor.set_cookie("lang", "sv");
    visitor.set_cookie("PHPSESSID", "strict");
    // A page elsewhere cannot press our button.
    let mut pressed = page.accept();
    pressed.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    assert_eq!(visitor.send(pressed).await.status, 403);
    assert!(whole.exported().is_empty() && upstream.seen().is_empty());
    assert_eq!(visitor.send(page.accept()).await.status, 200);
    let seen = upstream.only();
    for (name, expected) in [
        ("origin", "https://evil.example"),
        ("referer", "https://evil.example/"),
        ("sec-fetch-site", "cross-site"),
        ("cookie", "lang=sv"),
    ] {
        assert_eq!(seen.header(name).as_deref(), Some(expected), "{name}");
    }
    whole.server.stop().await;
}

#[tokio::test]
async fn each_document_is_asked_for_once_and_in_order_while_a_form_waits() {
    let upstream = application().await;
    let terms = "  terms:\n    kind: agreement\n    path: /terms\n    files: { sv: ../documents/terms.md }\n\
                 gates:\n  - { name: new, document: privacy, paths: [\"/register*\"] }\n  \
                 - { name: terms, document: terms, paths: [\"/register*\"] }\n";
    let whole = Whole::start_with_files(
        &site(&upstream.url(), terms),
        &[("documents/terms.md", "---\ntitle: Villkor\nversion: 1\n---\nVar snäll.\n")],
    )
    .await;
    let mut visitor = whole.visitor();
    let first = held(&mut visitor, "/register", "text/plain", b"a=1").await;
    assert!(first.html.contains("Vi använder kakor") || first.html.contains("We use cookies"));
    let second = HeldPage::read(&visitor.send(first.accept()).await);
    assert!(second.html.contains("Var snäll."));
    assert!(upstream.seen().is_empty());
    assert_eq!(visitor.send(second.accept()).await.status, 200);
    assert_eq!(upstream.only().body, "a=1");
    assert_eq!(whole.exported().len(), 2);
    assert_eq!(visitor.send(posted("/register", "text/plain", b"b=1")).await.status, 200);
    whole.server.stop().await;
}

#[tokio::test]
async fn an_application_that_is_away_costs_no_form() {
    for store in Store::each() {
        let address = {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap()
        };
        let whole = store.start(&site(&format!("http://{address}"), REGISTER)).await;
        let mut visitor = whole.visitor();
        let page = held(&mut visitor, "/register", "text/plain", b"a=1").await;
        let answer = visitor.send(page.accept()).await;
        assert_eq!(answer.status, 502);
        assert!(answer.text().contains("name=\"consentry_held\""), "{}", answer.text());
        assert!(visitor.cookie("consentry_accepted").is_some(), "the acceptance stands");
        let upstream = Upstream::answering_at(&address.to_string(), |_| Response::new(full("ok"))).await;
        let mut resent = page.clone();
        resent.fields.retain(|(name, _)| name == "consentry_held");
        assert_eq!(visitor.send(resent.press("x", "")).await.status, 200);
        assert_eq!(upstream.only().body, "a=1");
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn a_form_is_sent_on_once_over_a_restart() {
    for store in Store::each() {
        let upstream = application().await;
        let whole = store.start(&site(&upstream.url(), REGISTER)).await;
        let mut visitor = whole.visitor();
        let page = held(&mut visitor, "/register", "text/plain", b"a=1").await;
        assert_eq!(visitor.send(page.accept()).await.status, 200);
        let whole = whole.restarted().await;
        for request in [page.accept(), page.press("x", "")] {
            let again = whole.visitor().send(request).await;
            assert!(matches!(again.status.as_u16(), 403 | 409), "asked again, or told that it was sent");
        }
        let mut visitor = whole.visitor();
        assert_eq!(visitor.send(page.accept()).await.status, 409);
        assert_eq!(upstream.only().body, "a=1");
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn a_ledger_that_is_away_costs_no_form_and_sends_none_on_unnoted() {
    let upstream = application().await;
    let mut database = Cluster::start();
    let whole = Whole::start_sharing(&site(&upstream.url(), REGISTER), &database.database()).await;
    let mut visitor = whole.visitor();
    let page = held(&mut visitor, "/register", "text/plain", b"a=1").await;
    // Accepted while another form waits, so that this one needs the ledger for its mark alone.
    let other = held(&mut visitor, "/register", "text/plain", b"b=1").await;
    assert_eq!(visitor.send(other.accept()).await.status, 200);
    assert_eq!(posts(&upstream).len(), 1);
    database.kill();

    let mut resent = page.clone();
    resent.fields.retain(|(name, _)| name == "consentry_held");
    for request in [resent.press("x", ""), resent.press("x", "")] {
        let kept = visitor.send(request).await;
        assert_eq!(kept.status, 502);
        assert!(kept.text().contains("name=\"consentry_held\""), "{}", kept.text());
    }
    let mut stranger = whole.visitor();
    let refused = stranger.send(page.accept()).await;
    assert_eq!(refused.status, 503, "an acceptance needs the ledger, too");
    assert!(stranger.cookie("consentry_accepted").is_none());
    assert!(refused.header("consentry-receipt").is_none());
    let still = HeldPage::read(&refused);
    assert_eq!(posts(&upstream).len(), 1, "nothing was sent that nobody could note");

    database.restart();
    let answer = eventually(async || visitor.send(still.accept()).await).await;
    assert_eq!(answer.status, 200);
    let bodies: Vec<_> = posts(&upstream).into_iter().map(|seen| seen.body).collect();
    assert_eq!(bodies, ["b=1", "a=1"]);
    whole.server.stop().await;
}

/// Presses until the ledger is back: its connections are made anew one after the other.
async fn eventually(press: impl AsyncFnMut() -> Answer) -> Answer {
    let mut press = press;
    soon(async {
        loop {
            let answer = press().await;
            if !matches!(answer.status.as_u16(), 502 | 503) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn two_proxies_with_one_ledger_send_a_form_on_once() {
    let upstream = application().await;
    let database = Cluster::start();
    let (yaml, address) = (site(&upstream.url(), REGISTER), database.database());
    let one = Whole::start_sharing(&yaml, &address).await;
    let other = Whole::start_sharing(&yaml, &address).await;
    let page = held(&mut one.visitor(), "/register", "text/plain", b"a=1").await;
    let (mut first, mut second) = (one.visitor(), other.visitor());
    // Both at once, as of a browser whose button is pressed twice, over two connections.
    let answers = tokio::join!(first.send(page.accept()), second.send(page.accept()));
    let mut statuses = [answers.0.status.as_u16(), answers.1.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    assert_eq!(one.visitor().send(page.accept()).await.status, 409);
    assert_eq!(other.visitor().send(page.accept()).await.status, 409);
    assert_eq!(upstream.only().body, "a=1");
    one.server.stop().await;
    other.server.stop().await;
}

#[tokio::test]
async fn a_form_of_which_nobody_knows_whether_it_arrived_is_not_sent_again() {
    for store in Store::each() {
        // It takes the request, and goes away without a word.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = tokio::spawn(async move {
            let mut count = 0;
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut read = vec![0; 4096];
                let length = tokio::io::AsyncReadExt::read(&mut socket, &mut read).await.unwrap();
                count += usize::from(read[..length].starts_with(b"POST "));
                if read[..length].starts_with(b"GET /stop") {
                    return count;
                }
            }
        });
        let whole = store.start(&site(&format!("http://{address}"), REGISTER)).await;
        let mut visitor = whole.visitor();
        let page = held(&mut visitor, "/register", "text/plain", b"a=1").await;
        assert_eq!(visitor.send(page.accept()).await.status, 502);
        for _ in 0..2 {
            let told = visitor.send(page.accept()).await;
            assert_eq!(told.status, 409);
            assert!(
                told.text().contains("kommit fram") || told.text().contains("has arrived"),
                "{}",
                told.text()
            );
        }
        let whole = whole.restarted().await;
        assert_eq!(whole.visitor().send(page.accept()).await.status, 409);
        whole.visitor().navigate("/stop").await;
        assert_eq!(soon(taken).await.unwrap(), 1);
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn nobody_can_make_or_change_a_held_form() {
    for store in Store::each() {
        let upstream = application().await;
        let whole = store.start(&site(&upstream.url(), REGISTER)).await;
        let mut visitor = whole.visitor();
        let page = held(&mut visitor, "/register", "text/plain", b"a=1").await;
        let with = |name: &str, change: &dyn Fn(&str) -> String| {
            let mut page = page.clone();
            page.fields
                .iter_mut()
                .filter(|(field, _)| field == name)
                .for_each(|(_, value)| *value = change(value));
            page.accept()
        };
        // Another letter at a place, whichever stands there.
        let changed = |value: &str, at: usize| {
            let other = if value.as_bytes()[at] == b'A' { "Q" } else { "A" };
            format!("{}{other}{}", &value[..at], &value[at + 1..])
        };
        for request in [
            with("consentry_held", &|_| String::new()),
            with("consentry_held", &|_| "AAAA".repeat(40)),
            with("consentry_held", &|value| value[1..].to_owned()),
            with("consentry_held", &|value| changed(value, 0)),
            with("consentry_held", &|value| changed(value, 99)),
            with("consentry_held", &|value| changed(value, value.len() - 1)),
        ] {
            assert_eq!(visitor.send(request).await.status, 400);
        }
        // A forged acceptance, or one of a version that does not exist: nothing recorded, and the form is still there.
        for request in [
            with("token", &|_| String::new()),
            with("version", &|value| value.chars().rev().collect()),
            with("document", &|_| "terms".to_owned()),
        ] {
            let answer = visitor.send(request).await;
            assert_eq!(answer.status, 400);
            HeldPage::read(&answer);
        }
        assert!(upstream.seen().is_empty() && whole.exported().is_empty());
        assert_eq!(visitor.send(page.accept()).await.status, 200);
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn forms_that_the_site_itself_uploads_pass_untouched() {
    let upstream = application().await;
    let whole = Whole::start(&site(&upstream.url(), REGISTER)).await;
    let mut visitor = whole.visitor();
    for body in [
        b"--XyZ\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--XyZ--\r\n".as_slice(),
        b"--XyZ\r\nContent-Disposition: form-data; name=\"consentry_hel\"\r\n\r\n1\r\n--XyZ--\r\n",
        b"--XyZ--\r\n",
        b"",
        &[b'-'; 100_000],
    ] {
        let request = posted("/upload", "multipart/form-data; boundary=XyZ", body);
        assert_eq!(visitor.send(request).await.status, 200);
        let seen = upstream.seen().pop().unwrap();
        assert_eq!(seen.body, body);
        let length = Some(body.len().to_string()).filter(|_| !body.is_empty());
        assert_eq!(seen.header("content-length"), length);
        assert_eq!(seen.header("transfer-encoding"), None);
    }
    whole.server.stop().await;
}

#[tokio::test]
async fn a_held_form_survives_a_restart_and_a_new_secret() {
    for store in Store::each() {
        let upstream = application().await;
        let whole = store.start(&site(&upstream.url(), REGISTER)).await;
        let mut visitor = whole.visitor();
        let page = held(&mut visitor, "/register", "text/plain", b"a=1").await;
        let whole = whole.restarted_with_new_secret().await;
        let mut visitor = whole.visitor();
        assert_eq!(visitor.send(page.accept()).await.status, 200);
        assert_eq!(upstream.only().body, "a=1");
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn who_declines_is_told_what_follows_and_nothing_is_sent() {
    for store in Store::each() {
        let upstream = application().await;
        let gate = "gates:\n  - { name: new, document: privacy, paths: [\"/register*\"], logout: \"/logout?all=1\" }\n";
        let whole = store.start(&site(&upstream.url(), gate)).await;
        let mut visitor = whole.visitor();
        let page = held(&mut visitor, "/register", "text/plain", b"a=1").await;
        let answer = visitor.send(page.press("decision", "decline")).await;
        assert_eq!(answer.status, 303);
        assert!(answer.header("consentry-receipt").is_some());
        let told = visitor.navigate(answer.header("location").unwrap()).await;
        assert_eq!(told.status, 200);
        for part in ["href=\"/logout?all=1\"", "dataskydd@example.se", NOTICE, "href=\"/\""] {
            assert!(told.text().contains(part), "{part} in {}", told.text());
        }
        let entries = whole.exported();
        assert_eq!(entries.len(), 1);
        assert!(entries[0].to_string().contains("decline"), "{}", entries[0]);
        assert!(upstream.seen().is_empty());
        // It opened nothing, and it closed nothing for good.
        let next = held(&mut visitor, "/register", "text/plain", b"a=2").await;
        assert_eq!(visitor.send(next.accept()).await.status, 200);
        whole.server.stop().await;
    }
}
