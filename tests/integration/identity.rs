//! Acceptances that belong to a person: who has accepted on one device is not asked on the next, and nobody profits
//! from what somebody else accepted.

use consentry::filter::body::full;
use http::Response;

use crate::gates::decide;
use crate::support::browser::{Answer, Browser};
use crate::support::postgres::Cluster;
use crate::support::upstream::Upstream;
use crate::support::whole::{NOTICE, Store, Whole, site};

/// An application with sessions: its login names nobody, its pages say who is logged in.
async fn application() -> Upstream {
    Upstream::answering(|seen| {
        let answer = Response::builder().header("content-type", "text/html");
        if let Some(user) = seen.target.strip_prefix("/login?user=") {
            let session = format!("PHPSESSID={user}-{}; path=/", uuid::Uuid::new_v4());
            let person = format!("person=secret-of-{user}; path=/");
            let answer = answer.status(303).header("location", "/konto");
            return answer.header("set-cookie", session).header("set-cookie", person).body(full("")).unwrap();
        }
        let cookies = seen.header("cookie").unwrap_or_default();
        let user = cookies.split("PHPSESSID=").nth(1).and_then(|rest| rest.split('-').next());
        let user = if seen.target == "/logout" { "" } else { user.unwrap_or_default() };
        let page = format!("<html><body>secret of {user}</body></html>");
        answer.header("x-user", user).body(full(page)).unwrap()
    })
    .await
}

/// Somebody logs in on a device, and asks for their account.
async fn account_of(device: &mut Browser, user: &str) -> Answer {
    assert_eq!(device.navigate(&format!("/login?user={user}")).await.header("location"), Some("/konto"));
    device.navigate("/konto").await
}

fn is_account(answer: &Answer, user: &str) -> bool {
    answer.status == 200 && answer.text().contains(&format!("secret of {user}"))
}

const CUSTOMERS: &str =
    "gates:\n  - { name: customers, document: privacy, cookie: PHPSESSID, except: [/logout, \"/login*\"] }\n";
const BY_HEADER: &str = "identity: { header: X-User }\n";
const BY_COOKIE: &str = "identity: { cookie: person }\n";

#[tokio::test]
async fn who_has_accepted_on_one_device_is_not_asked_on_the_next_and_nobody_else_profits() {
    let upstream = application().await;
    for how in [BY_HEADER, BY_COOKIE] {
        let whole = Whole::start(&site(&upstream.url(), &format!("{how}{CUSTOMERS}"))).await;
        one_person_and_another(&whole, &whole, how).await;
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn two_proxies_with_one_ledger_know_who_has_accepted_at_the_other() {
    let upstream = application().await;
    let cluster = Cluster::start();
    for how in [BY_HEADER, BY_COOKIE] {
        let (yaml, database) = (site(&upstream.url(), &format!("{how}{CUSTOMERS}")), cluster.database());
        let one = Whole::start_sharing(&yaml, &database).await;
        let other = Whole::start_sharing(&yaml, &database).await;
        one_person_and_another(&one, &other, how).await;
        one.server.stop().await;
        other.server.stop().await;
    }
}

async fn one_person_and_another(one: &Whole, other: &Whole, how: &str) {
    let (mut phone, mut laptop) = (one.visitor(), other.visitor());
    let stopped = account_of(&mut phone, "anna").await;
    assert!(stopped.header("location").unwrap().starts_with(NOTICE), "{how}");
    assert!(!stopped.text().contains("secret"));
    assert_eq!(decide(&mut phone, &stopped, "accept").await.header("location"), Some("/konto"));
    assert!(is_account(&phone.navigate("/konto").await, "anna"), "{how}");

    // The next device, in the middle of a way or on the document itself.
    assert!(is_account(&account_of(&mut laptop, "anna").await, "anna"), "{how}");
    let document = laptop.navigate(NOTICE).await;
    assert!(!document.text().contains("name=\"decision\""), "{how}: she is not asked here, either");
    let mut tablet = other.visitor();
    assert!(is_account(&account_of(&mut tablet, "anna").await, "anna"), "{how}");
    let program = tablet.get("/konto.json").await;
    assert_eq!(program.status, 200, "{how}: her programs pass, too");

    // Somebody else on her device, and on one of their own.
    for device in [&mut phone, &mut other.visitor()] {
        let stopped = account_of(device, "bo").await;
        assert_eq!(stopped.status, 303, "{how}");
        assert!(!stopped.text().contains("secret"));
    }
    assert!(is_account(&account_of(&mut phone, "anna").await, "anna"), "{how}: she comes back");

    // The ledger and the cookies know a code, and no name.
    let entries = one.exported();
    let written = serde_json::to_string(&entries).unwrap();
    assert_eq!(entries.len(), 1, "{how}: she was asked once: {written}");
    assert!(entries[0]["identity"].as_str().is_some_and(|code| code.len() == 64), "{written}");
    assert!(!written.contains("anna"), "{written}");
}

#[tokio::test]
async fn what_was_accepted_before_logging_in_belongs_to_who_logs_in() {
    for store in Store::each() {
        let upstream = application().await;
        let gates = format!("{CUSTOMERS}  - {{ name: new, document: privacy, paths: [\"/register\"] }}\n");
        for how in [BY_HEADER, BY_COOKIE] {
            let whole = store.start(&site(&upstream.url(), &format!("{how}{gates}"))).await;
            let mut phone = whole.visitor();
            let stopped = phone.navigate("/register").await;
            decide(&mut phone, &stopped, "accept").await;
            assert!(phone.navigate("/register").await.text().contains("secret"), "{how}");
            assert!(
                is_account(&account_of(&mut phone, "anna").await, "anna"),
                "{how}: she is not asked twice"
            );
            assert_eq!(account_of(&mut phone, "bo").await.status, 303, "{how}: it was hers");
            whole.server.stop().await;
        }
    }
}

#[tokio::test]
async fn a_new_secret_forgets_nobody_and_a_new_version_asks_everybody() {
    for store in Store::each() {
        let upstream = application().await;
        for how in [BY_HEADER, BY_COOKIE] {
            let whole = store.start(&site(&upstream.url(), &format!("{how}{CUSTOMERS}"))).await;
            let stopped = account_of(&mut whole.visitor(), "anna").await;
            assert_eq!(stopped.status, 303);
            let mut phone = whole.visitor();
            let stopped = account_of(&mut phone, "anna").await;
            decide(&mut phone, &stopped, "accept").await;
            let whole = whole.restarted_with_new_secret().await;
            assert!(is_account(&account_of(&mut whole.visitor(), "anna").await, "anna"), "{how}");
            for language in ["sv", "en"] {
                let text = "---\ntitle: Privacy\nversion: 2\n---\nAll is new.\n";
                whole.write(&format!("documents/privacy.{language}.md"), text);
            }
            whole.server.reload(&whole.settings(), consentry::server::Occasion::Asked);
            assert_eq!(account_of(&mut whole.visitor(), "anna").await.status, 303, "{how}");
            whole.server.stop().await;
        }
    }
}

#[tokio::test]
async fn who_logs_out_leaves_nothing_to_the_next_and_forms_are_held_for_those_nobody_knows() {
    for store in Store::each() {
        let upstream = application().await;
        let whole = store.start(&site(&upstream.url(), &format!("{BY_HEADER}{CUSTOMERS}"))).await;
        let mut phone = whole.visitor();
        let stopped = account_of(&mut phone, "anna").await;
        decide(&mut phone, &stopped, "accept").await;
        assert!(is_account(&phone.navigate("/konto").await, "anna"));
        phone.navigate("/logout").await;
        // A session of somebody else begins without a word of who it is.
        phone.set_cookie("PHPSESSID", "bo-1");
        assert_eq!(phone.navigate("/konto").await.status, 303);
        let mut stranger = whole.visitor();
        stranger.set_cookie("PHPSESSID", "cecilia-1");
        let before = upstream.seen().len();
        assert_eq!(stranger.post_form("/konto", &[("a", "1")]).await.status, 403, "held");
        assert_eq!(stranger.get("/konto.json").await.status, 403, "refused");
        assert_eq!(upstream.seen().len(), before, "nothing but pages is asked for to learn who it is");
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn a_ledger_that_is_away_opens_nothing_and_keeps_nobody_waiting() {
    let upstream = application().await;
    let mut cluster = Cluster::start();
    let yaml = site(&upstream.url(), &format!("{BY_COOKIE}{CUSTOMERS}"));
    let whole = Whole::start_sharing(&yaml, &cluster.database()).await;
    let mut phone = whole.visitor();
    let stopped = account_of(&mut phone, "anna").await;
    decide(&mut phone, &stopped, "accept").await;
    cluster.kill();
    assert!(is_account(&phone.navigate("/konto").await, "anna"), "her cookie says so");
    for _ in 0..5 {
        let asked = account_of(&mut whole.visitor(), "anna").await;
        assert!(asked.header("location").unwrap().starts_with(NOTICE), "she is asked again");
    }
    whole.server.stop().await;
}
