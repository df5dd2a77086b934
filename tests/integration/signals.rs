//! Global Privacy Control after an earlier agreement: it is heard at once, and recorded as the withdrawal that it is.

use crate::support::browser::Browser;
use crate::support::soon;
use crate::support::upstream::Upstream;
use crate::support::whole::{Whole, site};

async fn shop() -> (Whole, Upstream) {
    let upstream = Upstream::page("text/html", "<!doctype html><title>Shop</title><p>Shop").await;
    (Whole::start(&site(&upstream.url(), "")).await, upstream)
}

/// Agrees to everything, and sends the signal from then on.
async fn agree_and_signal(mut visitor: Browser) -> Browser {
    let answer =
        visitor.post_form("/_consent/choices", &[("choice", "accept-all"), ("from", "banner")]).await;
    assert_eq!(answer.status.as_u16(), 303);
    visitor.always("sec-gpc", "1")
}

async fn choices(visitor: &mut Browser) -> serde_json::Value {
    serde_json::from_str(&visitor.get("/_consent/choices").await.text()).unwrap()
}

#[tokio::test]
async fn what_a_signal_takes_back_is_recorded_once_and_stays_taken_back() {
    let (whole, _upstream) = shop().await;
    let mut visitor = agree_and_signal(whole.visitor()).await;
    visitor.set_cookie("_fbp", "fb.1.2.3");
    let before = visitor.cookie("consentry").unwrap().to_owned();
    let page = visitor.navigate("/").await;
    assert!(page.status.is_success());
    assert_ne!(visitor.cookie("consentry").unwrap(), before);
    assert_eq!(page.header("clear-site-data"), Some("\"cache\""));
    assert!(
        page.all("set-cookie").iter().any(|line| line.starts_with("_fbp=;")),
        "what may not stay is ended"
    );
    visitor.navigate("/other").await;
    let entries = whole.exported();
    assert_eq!(entries.len(), 2, "once, however many pages follow");
    let entry = &entries[1];
    for (key, expected) in [
        ("method", serde_json::json!("signal")),
        ("event_state", "withdrawn".into()),
        ("under_signal", true.into()),
        ("categories", serde_json::json!(["preferences", "statistics"])),
        ("pii_principal_id", entries[0]["pii_principal_id"].clone()),
    ] {
        assert_eq!(entry[key], expected, "{key} in {entry}");
    }
    let day = |entry: &serde_json::Value| entry["valid_until"].as_str().unwrap()[..13].to_owned();
    assert_eq!(day(entry), day(&entries[0]), "what is left ends when the old agreement would have");
    let id = entry["record_id"].as_str().unwrap();
    let shown = whole.command(&["ledger", "show", id]);
    assert!(
        String::from_utf8_lossy(&shown.stdout).contains("the visitor's browser sent Global Privacy Control")
    );
    let settings = visitor.navigate("/_consent/settings?lang=en").await.text();
    assert!(settings.contains("Do Not Track: You agreed to"), "{settings}");
    let receipt = visitor.navigate(&format!("/_consent/receipts?id={id}&lang=en")).await.text();
    assert!(receipt.contains("Global Privacy Control"), "{receipt}");
    // The ledger says withdrawn: it takes a new agreement, not the end of the signal, to allow it again.
    let mut visitor = visitor.always("sec-gpc", "0");
    visitor.navigate("/").await;
    assert_eq!(choices(&mut visitor).await["categories"]["marketing"], false);
    let answer =
        visitor.post_form("/_consent/choices", &[("choice", "accept-all"), ("from", "settings")]).await;
    assert!(answer.header("consentry-receipt").is_some());
    assert_eq!(choices(&mut visitor).await["categories"]["marketing"], true);
    assert!(whole.command(&["ledger", "verify"]).status.success());
    whole.server.stop().await;
}

#[tokio::test]
async fn only_a_page_that_somebody_goes_to_records_what_the_signal_takes_back() {
    let (whole, _upstream) = shop().await;
    let mut visitor = agree_and_signal(whole.visitor()).await;
    let before = visitor.cookie("consentry").unwrap().to_owned();
    visitor.get("/data.json").await;
    visitor.get("/_consent/choices").await;
    assert_eq!((whole.exported().len(), visitor.cookie("consentry")), (1, Some(&*before)));
    // Whoever agreed under the signal has agreed.
    let answer =
        visitor.post_form("/_consent/choices", &[("choice", "accept-all"), ("from", "banner")]).await;
    assert_eq!(answer.status.as_u16(), 303);
    visitor.navigate("/").await;
    assert_eq!(whole.exported().len(), 2);
    assert_eq!(choices(&mut visitor).await["categories"]["marketing"], true);
    whole.server.stop().await;
}

#[tokio::test]
async fn a_page_waits_for_no_ledger_that_hangs_and_the_signal_is_heard_all_the_same() {
    let (whole, _upstream) = shop().await;
    let mut visitor = agree_and_signal(whole.visitor()).await;
    let before = visitor.cookie("consentry").unwrap().to_owned();
    let file = whole.settings().with_file_name("../data/ledger.sqlite");
    let other = rusqlite::Connection::open(file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let page = soon(visitor.navigate("/")).await;
    assert!(page.status.is_success());
    assert_eq!(visitor.cookie("consentry"), Some(&*before), "nothing was recorded, and nothing is claimed");
    assert_eq!(choices(&mut visitor).await["categories"]["marketing"], false);
    other.execute_batch("ROLLBACK").unwrap();
    // As soon as it can be: the ledger finds out by itself that it works again.
    let kept = async {
        while visitor.cookie("consentry") == Some(&*before) {
            visitor.navigate("/").await;
        }
    };
    soon(kept).await;
    let entries = whole.exported();
    assert!(entries.len() > 1 && entries[1..].iter().all(|entry| entry["method"] == "signal"), "{entries:?}");
    whole.server.stop().await;
}
