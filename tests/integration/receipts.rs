//! Receipts as their visitors meet them: to read, to keep, and to have erased; and nobody else's.

use consentry::clock::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::browser::Browser;
use crate::support::upstream::Upstream;
use crate::support::whole::{CUSTOMERS, HOST, LISTEN, NOTICE, Whole, site};

const RECEIPTS: &str = "/_consent/receipts";

async fn shop() -> (Whole, Upstream) {
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    (Whole::start(&site(&upstream.url(), CUSTOMERS)).await, upstream)
}

/// Agrees to everything, and gives back the receipt.
async fn agree(browser: &mut Browser) -> String {
    let fields = [("choice", "accept-all"), ("from", "banner"), ("language", "en")];
    let answer = browser.post_form("/_consent/choices", &fields).await;
    answer.header("consentry-receipt").unwrap().to_owned()
}

// COMPLIANCE C17.
#[tokio::test]
async fn c17_each_entry_says_who_when_what_was_shown_in_which_language_and_by_which_way() {
    let (whole, _upstream) = shop().await;
    let mut visitor = whole.visitor();
    let began = Timestamp::from_millisecond(Timestamp::now().as_millisecond()).unwrap();
    for (choice, from, language) in [("accept-all", "banner", "en"), ("reject-all", "settings", "sv")] {
        let fields = [("choice", choice), ("from", from), ("language", language)];
        visitor.post_form("/_consent/choices", &fields).await;
    }
    visitor.acknowledge(NOTICE).await;
    let entries = whole.exported();
    let expected = [
        ["given", "without-scripts", "en"],
        ["withdrawn", "settings", "sv"],
        ["acknowledged", "document", "sv"],
    ];
    assert_eq!(entries.len(), expected.len());
    for (entry, [state, way, language]) in entries.iter().zip(expected) {
        assert_eq!([&entry["event_state"], &entry["method"], &entry["language"]], [state, way, language]);
        assert_eq!(entry["pii_controller"], "example");
        assert_eq!(entry["pii_principal_id"], entries[0]["pii_principal_id"], "one visitor");
        let at: Timestamp = entry["event_time"].as_str().unwrap().parse().unwrap();
        assert!((began..=Timestamp::now()).contains(&at), "{at}");
    }
    assert_eq!(entries[0]["categories"].as_array().unwrap().len(), 3);
    let text: String =
        Sha256::digest("Vi använder kakor.\n").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!([&entries[2]["version"], &entries[2]["text_sha256"]], ["1", &*text]);
    let shown: Vec<&str> = entries.iter().map(|entry| entry["shown_sha256"].as_str().unwrap()).collect();
    assert!(shown[0] != shown[1] && shown[1] != shown[2] && shown.iter().all(|hash| hash.len() == 64));
    whole.server.stop().await;
}

// COMPLIANCE C18.
#[tokio::test]
async fn c18_no_address_and_no_browser_of_a_visitor_stands_in_the_ledger() {
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    let listen = format!("{LISTEN}\ntrusted_proxies: [127.0.0.1]");
    let whole = Whole::start_with(&listen, &site(&upstream.url(), CUSTOMERS)).await;
    let secrets = ["203.0.113.77", "Browser-Of-Somebody/7", "https://elsewhere.example/from"];
    let mut visitor = whole
        .visitor()
        .always("x-forwarded-for", secrets[0])
        .always("user-agent", secrets[1])
        .always("referer", secrets[2]);
    agree(&mut visitor).await;
    visitor.acknowledge(NOTICE).await;
    assert_eq!(whole.exported().len(), 2);
    let data = whole.settings().parent().unwrap().parent().unwrap().join("data");
    let files: Vec<_> = std::fs::read_dir(data).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(files.iter().any(|file| file.ends_with("ledger.sqlite")), "{files:?}");
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        for secret in secrets {
            let is_there = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!is_there, "{secret} in {}", file.display());
        }
    }
    whole.server.stop().await;
}

// COMPLIANCE C19.
#[tokio::test]
async fn c19_each_receipt_is_a_file_that_says_all_that_is_kept() {
    let (whole, _upstream) = shop().await;
    let mut visitor = whole.visitor();
    let receipt = agree(&mut visitor).await;
    let answer = visitor.navigate(&format!("/_consent/settings?receipt={receipt}")).await;
    assert!(answer.header("content-disposition").unwrap().starts_with("attachment"));
    let mut file: Value = serde_json::from_str(&answer.text()).unwrap();
    assert_eq!(file["controller"]["name"], "Exempelbyrån AB");
    for of_the_file in ["controller", "processor"] {
        file.as_object_mut().unwrap().remove(of_the_file);
    }
    assert_eq!(file, whole.exported()[0]);
    whole.server.stop().await;
}

#[tokio::test]
async fn c17_a_receipt_can_be_read_with_the_very_text_that_was_shown() {
    let (whole, _upstream) = shop().await;
    let mut visitor = whole.visitor();
    let choice = agree(&mut visitor).await;
    let acceptance = visitor.acknowledge(NOTICE).await;
    let settings = visitor.navigate("/_consent/settings?lang=en").await.text();
    for id in [&choice, &acceptance] {
        assert!(settings.contains(&format!("{RECEIPTS}?id={id}&amp;lang=en")), "{settings}");
        assert!(settings.contains(&format!("settings?receipt={id}\" download")), "{settings}");
    }
    let page = visitor.navigate(&format!("{RECEIPTS}?id={choice}&lang=en")).await;
    assert_eq!((page.status.as_u16(), page.header("cache-control")), (200, Some("no-store")));
    let page = page.text();
    for part in ["Your receipt", &choice, "May we use cookies?", "Reject all", "You agreed to"] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(!page.contains("<form") && !page.contains("<script"), "what was shown is not offered again");
    // In the reader's language around, and in its own where it was shown.
    let page = visitor.navigate(&format!("{RECEIPTS}?id={acceptance}&lang=en")).await.text();
    assert!(page.contains("You confirmed that you have read") && page.contains("lang=\"sv\""), "{page}");
    assert!(page.contains("Vi använder kakor."), "{page}");
    whole.server.stop().await;
}

#[tokio::test]
async fn nobody_reads_or_erases_the_receipt_of_another_by_its_id() {
    let (whole, _upstream) = shop().await;
    let (mut owner, mut other) = (whole.visitor(), whole.visitor());
    let receipt = agree(&mut owner).await;
    agree(&mut other).await;
    let unknown = uuid::Uuid::now_v7().to_string();
    for mut guesser in [other, whole.visitor()] {
        for id in [&*receipt, &unknown, "", "1", "../../etc/passwd", "%00"] {
            for target in [format!("{RECEIPTS}?id={id}"), format!("/_consent/settings?receipt={id}")] {
                let answer = guesser.navigate(&target).await;
                assert_eq!(answer.status.as_u16(), 404, "{target}");
                assert!(!answer.text().contains("May we use"), "{target}");
            }
        }
        let answer = guesser.post_form(RECEIPTS, &[("erase", "all"), ("id", &receipt)]).await;
        assert_eq!(answer.status.as_u16(), 200);
    }
    // A cookie that somebody made themselves is no cookie.
    let mut forger = whole.visitor();
    let forged = owner.cookie("consentry").unwrap().replace('A', "B").replace('a', "b");
    forger.set_cookie("consentry", &forged);
    assert_eq!(forger.navigate(&format!("{RECEIPTS}?id={receipt}")).await.status.as_u16(), 404);
    assert_eq!(owner.navigate(&format!("{RECEIPTS}?id={receipt}")).await.status.as_u16(), 200);
    whole.server.stop().await;
}

#[tokio::test]
async fn c19_a_visitor_erases_their_receipts_and_what_they_chose_still_holds() {
    let (whole, _upstream) = shop().await;
    let (mut visitor, mut other) = (whole.visitor(), whole.visitor());
    let choice = agree(&mut visitor).await;
    visitor.acknowledge(NOTICE).await;
    agree(&mut other).await;
    let settings = visitor.navigate("/_consent/settings?lang=en").await.text();
    assert!(settings.contains("Erase my receipts") && settings.contains("required"), "{settings}");
    let subject = |entry: &Value| entry["pii_principal_id"].as_str().map(str::to_owned);
    let before = subject(&whole.exported()[0]).unwrap();
    let old = visitor.cookie("consentry").unwrap().to_owned();
    let unconfirmed = visitor.post_form(RECEIPTS, &[]).await;
    assert_eq!(unconfirmed.status.as_u16(), 400, "not without a word that it is meant");
    let answer = visitor.post_form(&format!("{RECEIPTS}?lang=en"), &[("erase", "all")]).await;
    assert_eq!(answer.status.as_u16(), 200);
    let page = answer.text();
    for part in ["Your receipts have been erased", "whose they are: 2", "17(3)(e)"] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    let entries = whole.exported();
    assert!(entries.iter().take(2).all(|entry| subject(entry).is_none() && entry["erased_at"].is_string()));
    assert!(subject(&entries[2]).is_some(), "another's stay as they are");
    assert!(whole.command(&["ledger", "verify"]).status.success());
    // Nothing that the browser still has leads to what is nobody's now.
    let settings = visitor.navigate("/_consent/settings?lang=en").await.text();
    assert!(settings.contains("There are no receipts") && !settings.contains(&choice), "{settings}");
    assert!(settings.contains("You have agreed to"), "what was chosen holds");
    let told: Value = serde_json::from_str(&visitor.get("/_consent/choices").await.text()).unwrap();
    assert!(told["receipt"].is_null(), "{told}");
    visitor.set_cookie("PHPSESSID", "1");
    assert_eq!(visitor.navigate("/").await.status.as_u16(), 200, "the gate stays open");
    // Whoever chooses next is somebody new.
    agree(&mut visitor).await;
    let after = subject(&whole.exported()[3]).unwrap();
    assert_ne!(after, before);
    // A cookie from before finds nothing either.
    let mut copy = whole.visitor();
    copy.set_cookie("consentry", &old);
    assert_eq!(copy.navigate(&format!("{RECEIPTS}?id={choice}")).await.status.as_u16(), 404);
    whole.server.stop().await;
}

#[tokio::test]
async fn an_erasure_is_asked_for_by_a_page_of_the_site_alone() {
    let (whole, _upstream) = shop().await;
    let mut visitor = whole.visitor();
    agree(&mut visitor).await;
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://e.example")] {
        let request = http::Request::post(RECEIPTS)
            .header("host", HOST)
            .header("content-type", "application/x-www-form-urlencoded")
            .header(name, value)
            .body(consentry::filter::body::full("erase=all"))
            .unwrap();
        assert_eq!(visitor.send(request).await.status.as_u16(), 403, "{name}");
    }
    assert!(whole.exported()[0]["pii_principal_id"].is_string());
    assert_eq!(visitor.send(put()).await.status.as_u16(), 405);
    whole.server.stop().await;
}

fn put() -> http::Request<consentry::filter::Body> {
    http::Request::put(RECEIPTS).header("host", HOST).body(consentry::filter::body::full("")).unwrap()
}
