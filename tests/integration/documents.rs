//! Documents as their readers and their authors meet them: versions, languages, tables, and files that go wrong.

use std::fs;

use consentry::filter::body::full;
use consentry::server::{Occasion, Outcome};
use http::Response;

use crate::support::upstream::Upstream;
use crate::support::whole::{NOTICE, Whole, site};

/// A shop that sets two cookies and loads a counter.
async fn shop() -> Upstream {
    Upstream::answering(|_| {
        Response::builder()
            .header("content-type", "text/html")
            .header("set-cookie", "basket_4711=1; Max-Age=2592000; Path=/")
            .header("set-cookie", "_ga=1; Path=/")
            .header("set-cookie", "PHPSESSID=x; Path=/")
            .body(full("<!doctype html><html><body><script src=//cdn.matomo.cloud/x/matomo.js></script>"))
            .unwrap()
    })
    .await
}

fn text(version: &str, more: &str, text: &str) -> String {
    format!("---\ntitle: Privacy\nversion: {version}\n{more}---\n{text}\n")
}

fn reload(whole: &Whole) -> (Outcome, Vec<String>) {
    let told = whole.server.reload(&whole.settings(), Occasion::FilesChanged);
    (told.outcome, told.news.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn earlier_versions_stay_readable_at_an_address_that_stays() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let (first, second) =
        (text("1", "effective: 2018-05-25\n", "The first. {{ cookies }}"), text("2", "", "The second."));
    whole.write("documents/privacy.en.1.md", &first);
    whole.write("documents/privacy.en.2.md", &second);
    whole.write("documents/privacy.en.draft.md", &text("4", "", "A draft."));
    let third = "changes: The map is new.\neffective: 2018-06-01\n";
    whole.write("documents/privacy.en.md", &text("3", third, "The third."));
    whole.write("documents/privacy.sv.md", &text("3", "", "Den tredje."));
    let (outcome, news) = reload(&whole);
    assert_eq!(outcome, Outcome::Applied);
    assert!(news.iter().any(|news| news.contains("privacy.en.draft.md:1:1: not published")), "{news:?}");

    let mut reader = whole.visitor();
    let present = reader.navigate(&format!("{NOTICE}?lang=en")).await.text();
    for part in [
        "The third.",
        "The map is new.",
        "In force from 1 June 2018",
        "version=1",
        "version=2",
        "25 May 2018",
    ] {
        assert!(present.contains(part), "{part}\n{present}");
    }
    assert!(!present.contains("version=4") && !present.contains("noindex"));
    let earlier = reader.navigate(&format!("{NOTICE}?version=1")).await;
    assert_eq!((earlier.status.as_u16(), earlier.header("content-language")), (200, Some("en")));
    let earlier = earlier.text();
    for part in
        ["The first.", "no longer applies", "The table stands in the version that applies now", "noindex"]
    {
        assert!(earlier.contains(part), "{part}\n{earlier}");
    }
    assert!(!earlier.contains("<form") && !earlier.contains("<table"));
    assert_eq!(reader.navigate(&format!("{NOTICE}?version=3")).await.status, 200);
    for unknown in ["4", "draft", "../privacy.sv", "%00", "1%0d%0aX:%20y"] {
        assert_eq!(reader.navigate(&format!("{NOTICE}?version={unknown}")).await.status, 404, "{unknown}");
    }

    fs::remove_file(whole.settings().with_file_name("documents/privacy.en.2.md")).unwrap();
    assert_eq!(reload(&whole).0, Outcome::Applied, "a file less in the folder is noticed");
    assert_eq!(reader.navigate(&format!("{NOTICE}?version=2")).await.status, 404);
    whole.server.stop().await;
}

#[tokio::test]
async fn what_the_traffic_shows_stands_in_the_document_at_once_and_after_a_restart() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), "cookies: { necessary: [PHPSESSID] }\n")).await;
    whole.write("documents/privacy.sv.md", &text("1", "", "{{ services }} {{ cookies }}"));
    reload(&whole);
    let mut reader = whole.visitor();
    let before = reader.navigate(NOTICE).await.text();
    assert!(!before.contains("Matomo") && !before.contains("basket_"));
    reader.navigate("/").await;
    let told = |page: &str| {
        for part in
            ["Matomo", "_pk_id*", "Google Analytics", ">basket_*</th>", "Ännu inte beskrivet", "30 dagar"]
        {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("4711"), "nothing of a visitor is kept");
    };
    told(&reader.navigate(NOTICE).await.text());
    whole.write(
        "sites/example.yaml",
        &format!(
            "{}\nmode: enforce\n",
            fs::read_to_string(whole.settings().with_file_name("sites/example.yaml")).unwrap()
        ),
    );
    assert_eq!(reload(&whole).0, Outcome::Applied);
    told(&reader.navigate(NOTICE).await.text());
    let whole = whole.restarted().await;
    let checked = String::from_utf8(whole.command(&["check"]).stdout).unwrap();
    for part in ["uses Matomo (`matomo`), which its settings do not name", "sets the cookie `basket_*`"] {
        assert!(checked.contains(part), "{part}\n{checked}");
    }
    assert!(!checked.contains("PHPSESSID`"), "{checked}");
    told(&whole.visitor().navigate(NOTICE).await.text());
    whole.server.stop().await;
}

#[tokio::test]
async fn a_file_that_goes_wrong_is_told_with_its_place_and_the_last_good_text_stays() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let file = whole.settings().with_file_name("documents/privacy.sv.md");
    let mut reader = whole.visitor();
    let large = text("2", "", &"Lång text. ".repeat(500_000));
    for (broken, expected) in [
        (&b"---\ntitle: T\nversion: 2\n---\nVi \xe4r"[..], "privacy.sv.md:5:4: this letter is not UTF-8"),
        (b"---\ntitle: a: b\nversion: 2\n---\nText", "privacy.sv.md:2:9: not YAML"),
        (b"Text alone", "privacy.sv.md:1:1: the front matter is missing"),
        (
            b"---\ntitle: T\nversion: 2\n---\nA\n{{ controler.name }}",
            "privacy.sv.md:6:1: the site has no setting `controler.name`; did you mean `{{ controller.name }}`?",
        ),
        (large.as_bytes(), "privacy.sv.md: the document is larger than a text can be"),
    ] {
        fs::write(&file, broken).unwrap();
        let (outcome, news) = reload(&whole);
        assert_eq!(outcome, Outcome::Partly, "{expected}");
        assert!(news.iter().any(|news| news.contains(expected)), "{expected}\n{news:?}");
        assert!(reader.navigate(NOTICE).await.text().contains("Vi använder kakor."), "{expected}");
    }
    fs::remove_file(&file).unwrap();
    let (outcome, news) = reload(&whole);
    assert!(
        outcome == Outcome::Partly && news.iter().any(|news| news.contains("does not exist")),
        "{news:?}"
    );
    assert!(reader.navigate(NOTICE).await.text().contains("Vi använder kakor."));
    fs::write(&file, text("2", "", "Nytt.")).unwrap();
    assert_eq!(reload(&whole).0, Outcome::Applied);
    assert!(reader.navigate(NOTICE).await.text().contains("Nytt."));
    whole.server.stop().await;
}

#[tokio::test]
async fn every_text_that_is_not_filled_in_is_counted_and_named() {
    let upstream = shop().await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let counted = |whole: &Whole| {
        let metrics = whole.server.metrics().render();
        let value =
            |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<i64>().ok());
        [value("consentry_sites_not_filled_in "), value("consentry_texts_not_filled_in ")]
    };
    assert_eq!(counted(&whole), [Some(0), Some(0)]);
    whole.write("documents/privacy.en.md", &text("1", "", "We are [FILL IN: who]."));
    let (_, news) = reload(&whole);
    assert!(
        news.iter().any(|news| news.contains("privacy.en.md:5:8: still to be filled in: who")),
        "{news:?}"
    );
    assert_eq!(counted(&whole), [Some(0), Some(1)], "the site asks in Swedish; English is missing");
    let mut reader = whole.visitor();
    let answer = reader.navigate(&format!("{NOTICE}?lang=en")).await;
    assert_eq!(answer.header("content-language"), Some("sv"), "it falls back");
    whole.write("documents/privacy.sv.md", &text("1", "", "Vi är [FILL IN: vilka]."));
    reload(&whole);
    assert_eq!(counted(&whole), [Some(1), Some(2)]);
    whole.server.stop().await;
}
