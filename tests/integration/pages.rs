//! Pages as they come in, and as each visitor gets them: golden cases that a lawyer can read, and pages that nobody
//! would write on purpose.

use std::fs;
use std::path::{Path, PathBuf};

use consentry::filter::body::full;
use http::{Request, Response};

use crate::support::browser::{Answer, Browser};
use crate::support::upstream::Upstream;
use crate::support::whole::{Whole, site};

/// What is expected for whom: undecided, agreed to statistics, agreed to all.
const VISITORS: [(&str, &[(&str, &str)]); 3] = [
    ("expected.html", &[]),
    ("expected-statistics.html", &[("choice", "save"), ("category", "statistics")]),
    ("expected-all.html", &[("choice", "accept-all")]),
];

/// A part of a page: nothing is inserted into it, so that what is left are the decisions.
async fn part(visitor: &mut Browser, target: &str) -> Answer {
    let request = Request::get(target).header("sec-fetch-dest", "empty").header("sec-fetch-mode", "cors");
    visitor.send(request.body(full("")).unwrap()).await
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pages");
    let mut cases: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

#[tokio::test]
async fn each_visitor_gets_the_page_that_the_case_says() {
    let mut wrong = Vec::new();
    for case in cases() {
        let input = fs::read_to_string(case.join("input.html")).unwrap();
        let page = input.clone();
        let upstream = Upstream::answering(move |_| {
            Response::builder()
                .header("content-type", "text/html; charset=utf-8")
                .body(full(page.clone()))
                .unwrap()
        })
        .await;
        let more = fs::read_to_string(case.join("site.yaml")).unwrap();
        let whole = Whole::start(&site(&upstream.url(), &more)).await;
        for (file, choice) in VISITORS {
            let mut visitor = whole.visitor();
            if !choice.is_empty() {
                visitor.post_form("/_consent/choices", choice).await;
            }
            let found = part(&mut visitor, "/").await.text();
            let path = case.join(file);
            if std::env::var_os("CONSENTRY_BLESS").is_some() {
                fs::write(&path, &found).unwrap();
            }
            if found != fs::read_to_string(&path).unwrap_or_default() {
                wrong.push(format!("{}:\n{found}", path.display()));
            }
            if file == "expected-all.html" {
                assert_eq!(
                    found,
                    input,
                    "{}: who agreed to all gets the page as it was written",
                    case.display()
                );
            }
        }
        whole.server.stop().await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

const PIXEL: &str = "<img src=\"https://www.facebook.com/tr?id=1\">";

/// Pages that are hard to read; each ends with a pixel that must not be reached for.
fn hard(name: &str) -> Vec<u8> {
    let body = match name {
        "five-megabytes" => "<p class=a>text &amp; more</p>\n".repeat(170_000),
        "a-script-of-two-megabytes" => format!("<script>var a = [{}0];</script>", "1,".repeat(1_000_000)),
        "a-hundred-thousand-elements" => "<div style='color:rgb(1,2,3)' onclick='go()'>".repeat(100_000),
        "a-hundred-thousand-pixels" => PIXEL.repeat(100_000),
        "nothing-closed" => "<p><b><i><table><tr><td><select><option><svg><g></svg>".repeat(2_000),
        "zeros" => "<p>\0</p><im\0g><img\0 src=x>\0".repeat(1_000),
        "an-attribute-of-a-megabyte" => format!("<p title='{}'>", "a&amp;".repeat(200_000)),
        "ten-thousand-attributes" => {
            let attributes: String = (0..10_000).map(|n| format!(" data-a{n}='//b{n}.example/'")).collect();
            format!("<img{attributes}>")
        }
        "deep-noscripts" => "<noscript>".repeat(50_000) + &"</noscript>".repeat(50_000),
        "deep-pages" => {
            let mut page = PIXEL.to_owned();
            for _ in 0..12 {
                page = format!(
                    "<iframe srcdoc=\"{}\"></iframe>",
                    page.replace('&', "&amp;").replace('"', "&quot;")
                );
            }
            page
        }
        "deep-data" => {
            let mut page = PIXEL.to_owned();
            for _ in 0..6 {
                page = format!(
                    "<iframe src='data:text/html,{}'></iframe>",
                    page.replace('%', "%25").replace('\'', "%27")
                );
            }
            page
        }
        "a-comment-that-lies" => {
            "<!-- --!><!--> <!---> <![CDATA[ ]]> <!-- <!-- --> <?php ?> </>".repeat(1_000)
        }
        "styles" => format!("<style>{}</style>", "a{background:url(x.png)}".repeat(100_000)),
        _ => unreachable!(),
    };
    format!("<!doctype html><html><head><title>x</title></head><body>{body}{PIXEL}").into_bytes()
}

const HARD: [&str; 13] = [
    "five-megabytes",
    "a-script-of-two-megabytes",
    "a-hundred-thousand-elements",
    "a-hundred-thousand-pixels",
    "nothing-closed",
    "zeros",
    "an-attribute-of-a-megabyte",
    "ten-thousand-attributes",
    "deep-noscripts",
    "deep-pages",
    "deep-data",
    "a-comment-that-lies",
    "styles",
];

async fn hard_pages(charset: &'static str) -> Upstream {
    Upstream::answering(move |seen| {
        let name = seen.target.trim_start_matches('/').to_owned();
        let kind = format!("text/html; charset={charset}");
        Response::builder().header("content-type", kind).body(full(hard(&name))).unwrap()
    })
    .await
}

#[tokio::test]
async fn c48_no_page_is_too_hard_to_hold_its_pixel() {
    // A character set that lies changes nothing: the page is read byte by byte.
    for charset in ["utf-8", "shift_jis", "x-klingon"] {
        let upstream = hard_pages(charset).await;
        let whole = Whole::start(&site(&upstream.url(), "")).await;
        for name in HARD {
            let page = String::from_utf8_lossy(&whole.visitor().navigate(&format!("/{name}")).await.bytes)
                .into_owned();
            assert!(page.contains("data-consentry-src=\"https://www.facebook.com/tr?id=1\""), "{name}");
            // In a page within a `data:` address that is kept, it stands as it was.
            let in_pages =
                if name == "deep-data" { " src='data:" } else { " src=&quot;https://www.facebook" };
            for look in [" src=\"https://www.facebook", in_pages] {
                assert!(!page.contains(look), "{charset} {name}: {look}");
            }
        }
        whole.server.stop().await;
    }
}

#[tokio::test]
async fn what_cannot_be_judged_is_held_and_counted() {
    let upstream = Upstream::answering(|seen| {
        let body = match seen.target.as_str() {
            "/deep" => format!("<p>{}{PIXEL}", "<noscript>".repeat(1_000)),
            "/long" => format!("<p><script>{}</script>{PIXEL}", "a();".repeat(1_300_000)),
            "/many" => {
                let attributes: String =
                    (0..20_000).map(|n| format!(" data-lazy{n}='//www.facebook.com/tr'")).collect();
                format!("<p><img{attributes}>{PIXEL}")
            }
            "/data" => "<p><iframe src='data:text/html;base64,***'></iframe>".to_owned(),
            _ => "<p><script>fbq('init', '1'); own('</script>".to_owned(),
        };
        Response::builder().header("content-type", "text/html").body(full(body)).unwrap()
    })
    .await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    for (target, reason, mark) in [
        ("/deep", "too-deep", None),
        ("/long", "too-long", Some("type=\"text/plain\" data-consentry-reason=\"too-long\"")),
        ("/many", "too-many", None),
        ("/data", "unreadable-data", Some("data-consentry-reason=\"unreadable-data\"")),
        ("/own", "unreadable-script", Some("type=\"text/plain\" data-consentry-service=\"meta-pixel\"")),
    ] {
        let page = part(&mut whole.visitor(), target).await.text();
        assert!(mark.is_none_or(|mark| page.contains(mark)), "{target}: {mark:?}");
        assert!(!page.contains(" src="), "{target}");
        let line = format!("consentry_unjudged_total{{reason=\"{reason}\"}} 1");
        assert!(whole.server.metrics().render().contains(&line), "{line}");
    }
    whole.server.stop().await;
}
