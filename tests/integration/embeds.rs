//! What stands in place of a held embed, and the two ways to load it, over sockets.

use consentry::filter::body::full;
use consentry::server::{Occasion, Outcome};
use http::Response;

use crate::support::browser::Answer;
use crate::support::upstream::Upstream;
use crate::support::whole::{Whole, site};

const FILMS: &str = "<!doctype html><html lang=en><head><title>Films</title></head><body>\
    <iframe class=\"wide film\" width=\"560\" height=\"315\" title=\"Birds &amp; bees\" \
    src=\"https://www.youtube.com/embed/one?rel=0&amp;start=3\" allowfullscreen>old browsers</iframe>\
    <iframe id=\"second\" src=\"//www.youtube.com/embed/two\"></iframe><p>after</p></body></html>";

const FIRST: &str = "<iframe class=\"wide film\" width=\"560\" height=\"315\" title=\"Birds &amp; bees\" \
    src=\"https://www.youtube.com/embed/one?rel=0&amp;start=3\" allowfullscreen";

async fn films() -> Upstream {
    Upstream::answering(|_| {
        Response::builder().header("content-type", "text/html; charset=utf-8").body(full(FILMS)).unwrap()
    })
    .await
}

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.decoded().to_vec()).unwrap()
}

/// The value of a field of the first form that has it.
fn field(html: &str, name: &str) -> String {
    let (_, rest) = html.split_once(&format!("name=\"{name}\" value=\"")).unwrap();
    rest.split_once('"').unwrap().0.replace("&amp;", "&")
}

/// The placeholders of a page.
fn placeholders(html: &str) -> Vec<&str> {
    html.split("<consentry-embed ")
        .skip(1)
        .map(|rest| rest.split("</consentry-embed>").next().unwrap())
        .collect()
}

fn policy(answer: &Answer) -> &str {
    answer.header("content-security-policy").unwrap()
}

#[tokio::test]
async fn a_placeholder_says_who_would_receive_what_in_the_pages_language() {
    let upstream = films().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let answer = whole.visitor().always("accept-language", "sv").navigate("/films?id=6").await;
    let html = text(&answer);
    let found = placeholders(&html);
    assert_eq!(found.len(), 2, "{html}");
    for words in [
        "class=\"wide film\"",
        "style=\"width:560px;height:auto;aspect-ratio:560/315;\"",
        "data-consentry-service=\"youtube\"",
        "data-consentry-category=\"marketing\"",
        "<template shadowrootmode=\"open\">",
        "Video from YouTube",
        "Birds &amp; bees",
        "Google Ireland Ltd (Ireland)",
        "IP address",
        "Shows videos",
        "<button name=\"choice\" value=\"once\">Load this one</button>",
        "<button name=\"choice\" value=\"add\">Always load from YouTube</button>",
        "href=\"https://www.youtube.com/watch?v=one\"",
        "action=\"/_consent/choices\"",
    ] {
        assert!(found[0].contains(words), "{words}: {}", found[0]);
    }
    assert_eq!(field(found[1], "return"), "/films?id=6#second");
    assert!(
        !html.contains(" src=\"http")
            && !html.contains(" src=\"//")
            && !html.contains("old browsers")
            && html.contains("<p>after</p>")
    );
    assert!(!policy(&answer).contains("youtube"));
    whole.server.stop().await;
}

#[tokio::test]
async fn one_is_loaded_on_its_page_alone_and_the_ledger_says_so() {
    let upstream = films().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let mut visitor = whole.visitor();
    let html = text(&visitor.navigate("/films").await);
    let first = placeholders(&html)[0].to_owned();
    let (page, embed, back) = (field(&first, "page"), field(&first, "embed"), field(&first, "return"));
    let fields = [
        ("choice", "once"),
        ("service", "youtube"),
        ("page", &page),
        ("embed", &embed),
        ("from", "placeholder"),
        ("language", "en"),
        ("return", &back),
    ];
    let answer = visitor.post_form("/_consent/choices", &fields).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some(&*back)));
    assert!(answer.header("consentry-receipt").is_some());
    assert!(visitor.cookie("consentry").is_none(), "it is no choice: the banner still asks");

    let answer = visitor.navigate("/films").await;
    let html = text(&answer);
    let anchor = back.split_once('#').unwrap().1;
    assert!(html.contains(&format!("{FIRST} id=\"{anchor}\">old browsers</iframe>")), "{html}");
    assert!(html.contains("<consentry-banner"));
    assert_eq!(placeholders(&html).len(), 1, "the other one waits");
    assert!(policy(&answer).contains("www.youtube.com"));
    assert!(!upstream.seen().last().unwrap().header("cookie").unwrap_or_default().contains("consentry"));

    let elsewhere = visitor.navigate("/films?page=2").await;
    assert_eq!(placeholders(&text(&elsewhere)).len(), 2);
    assert!(!policy(&elsewhere).contains("youtube"));

    let entries = whole.exported();
    assert_eq!(entries.len(), 1);
    let entry = entries[0].to_string();
    assert!(entry.contains("placeholder-once") && entry.contains("youtube"), "{entry}");
    assert!(whole.command(&["ledger", "verify"]).status.success());
    whole.server.stop().await;
}

#[tokio::test]
async fn always_agrees_to_the_service_and_keeps_what_was_agreed_to_before() {
    let upstream = films().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let mut visitor = whole.visitor();
    visitor.post_form("/_consent/choices", &[("choice", "save"), ("category", "statistics")]).await;
    let fields =
        [("choice", "add"), ("service", "youtube"), ("from", "placeholder"), ("return", "/films#second")];
    let answer = visitor.post_form("/_consent/choices", &fields).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, Some("/films#second")));
    let html = text(&visitor.navigate("/films?page=2").await);
    assert!(html.contains(&format!("{FIRST}>old browsers</iframe>")), "{html}");
    let told = text(&visitor.navigate("/_consent/choices").await);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["categories"]["statistics"], true);
    assert_eq!(told["categories"]["marketing"], false);
    assert_eq!(told["services"], serde_json::json!(["youtube"]));
    let entries = whole.exported();
    assert!(entries.last().unwrap().to_string().contains("\"placeholder\""), "{entries:?}");
    whole.server.stop().await;
}

#[tokio::test]
async fn who_refuses_everything_has_refused_what_was_loaded_once() {
    let upstream = films().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let mut visitor = whole.visitor();
    let html = text(&visitor.navigate("/films").await);
    let first = placeholders(&html)[0].to_owned();
    let (page, embed) = (field(&first, "page"), field(&first, "embed"));
    let fields = [("choice", "once"), ("service", "youtube"), ("page", &*page), ("embed", &*embed)];
    visitor.post_form("/_consent/choices", &fields).await;
    assert_eq!(placeholders(&text(&visitor.navigate("/films").await)).len(), 1);
    visitor.post_form("/_consent/choices", &[("choice", "reject-all")]).await;
    assert_eq!(placeholders(&text(&visitor.navigate("/films").await)).len(), 2);
    whole.server.stop().await;
}

#[tokio::test]
async fn a_form_that_names_nothing_loads_nothing() {
    let upstream = films().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let mut visitor = whole.visitor();
    for fields in [
        &[("choice", "once")][..],
        &[("choice", "once"), ("service", "no-such"), ("page", "0123456789abcdef")],
        &[("choice", "once"), ("service", "youtube")],
        &[("choice", "once"), ("service", "youtube"), ("page", "/films")],
        &[("choice", "once"), ("service", "youtube"), ("page", "0123456789abcdef"), ("embed", "x")],
        &[("choice", "add")],
        &[("choice", "add"), ("service", "no-such")],
    ] {
        let answer = visitor.post_form("/_consent/choices", fields).await;
        assert_eq!(answer.status, 400, "{fields:?}");
        assert!(answer.header("consentry-receipt").is_none());
    }
    assert!(whole.exported().is_empty());
    whole.server.stop().await;
}

#[tokio::test]
async fn a_site_that_may_ask_nobody_offers_the_link_alone() {
    let upstream = films().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    whole.write("documents/privacy.sv.md", "---\ntitle: A\nversion: 1\n---\n[FILL IN: all]\n");
    assert_eq!(whole.server.reload(&whole.settings(), Occasion::Asked).outcome, Outcome::Applied);
    let html = text(&whole.visitor().navigate("/films").await);
    let found = placeholders(&html);
    assert!(found[0].contains("does not learn of your visit"), "{html}");
    assert!(!found[0].contains("<button") && !found[0].contains("<form"));
    assert!(found[0].contains("href=\"https://www.youtube.com/watch?v=one\""));
    whole.server.stop().await;
}
