use proptest::prelude::*;

use super::*;
use crate::consent::{Categories, Category};
use crate::filter::tests::{set, settings};

fn page(granted: Granted, inserts: Inserts) -> Page {
    Page { url: "https://www.example.se/a/".parse().unwrap(), granted, inserts, embeds: None, nonce: None }
}

fn rewrite_in(chunks: &[&[u8]], granted: &Granted, inserts: &Inserts) -> Vec<u8> {
    let settings = Arc::new(settings(set(Vec::new(), &[])));
    let mut rewriter = Rewriter::new(&settings, page(granted.clone(), inserts.clone()));
    let mut out = Vec::new();
    for chunk in chunks {
        rewriter.write(chunk, &mut out).unwrap();
    }
    rewriter.end(&mut out).unwrap();
    out
}

fn held(html: &str) -> String {
    String::from_utf8(rewrite_in(&[html.as_bytes()], &Granted::default(), &Inserts::Nothing)).unwrap()
}

#[test]
fn no_address_of_a_held_service_stays_where_a_browser_looks() {
    for html in [
        "<script src=https://www.google-analytics.com/ga.js></script>",
        "<SCRIPT SRC='//www.google-analytics.com/urchin.js'></SCRIPT>",
        "<script async src=\"https://www.googletagmanager.com/gtag/js?id=G-1\"></script>",
        "<script src=\"https&#58;//www.google-analytics.com/analytics.js\"></script>",
        "<base href=\"https://www.google-analytics.com/\"><script src=ga.js></script>",
        "<base target=_top><base href=//www.google-analytics.com/><base href=/><script src=collect></script>",
        "<img src=\"https://www.facebook.com/tr?id=1&amp;ev=PageView\">",
        "<img srcset=\"/a.png 1x, https://www.facebook.com/tr?id=1 2x\">",
        "<iframe src=\"https://www.googletagmanager.com/ns.html?id=GTM-1\"></iframe>",
        "<noscript><iframe src=\"https://www.googletagmanager.com/ns.html?id=GTM-1\"></iframe></noscript>",
        "<noscript><img src=\"https://www.facebook.com/tr?id=1\"/></noscript>",
        "<link rel=preconnect href=https://www.google-analytics.com>",
        "<link rel=\"preload\" as=script href=\"//www.googletagmanager.com/gtm.js?id=GTM-1\">",
        "<iframe srcdoc=\"<script src=&quot;https://www.google-analytics.com/ga.js&quot;></script>\"></iframe>",
        "<svg><script href=\"https://www.google-analytics.com/ga.js\"></script></svg>",
        "<meta http-equiv=refresh content=\"0;url=https://www.googletagmanager.com/x\">",
        "<object data=\"https://www.googletagmanager.com/x\"></object>",
        "<video poster=\"https://www.facebook.com/tr?id=1\"></video>",
        "<input type=image src=https://www.facebook.com/tr?id=1>",
        "<script src=\"/js/ga.js\"></script>",
        "<script src=\"/matomo/matomo.js\"></script>",
    ] {
        let out = held(html);
        assert!(out.contains("data-consentry-service"), "{html} became {out}");
        for name in [" src=", " href=", " srcset=", " content=\"0", " data=", " poster="] {
            let kept = out.replace("<base href=", "").contains(name);
            assert!(!kept || out.contains("srcdoc"), "{html} became {out}");
        }
    }
}

#[test]
fn inline_scripts_of_held_services_do_not_run_and_keep_their_text() {
    for script in [
        "_gaq.push(['_trackPageview']);",
        "(function(w,d,s,l,i){w[l].push({'gtm.start':new Date()})})();",
        "gtag('config', 'G-1');",
        "document.write(unescape(\"%3Cscript src='\" + gaJsHost + \"'%3E%3C/script%3E\"));",
        "var _paq = window._paq || [];",
        "fbq('init', '1');",
        "(function(i,s,o){i['GoogleAnalyticsObject']=o})();",
        "_uacct = 'UA-1'; urchinTracker();",
    ] {
        let out = held(&format!("<script>{script}</script>"));
        let start = "<script></script><script type=\"text/plain\" data-consentry-service=";
        assert!(out.starts_with(start) && out.ends_with(&format!(">{script}</script>")), "{out}");
    }
}

#[test]
fn what_is_stripped_goes_and_takes_nothing_of_the_page_with_it() {
    // A service that has ended is stripped by the catalogue itself.
    for (html, expected) in [
        ("a<script src=//s7.addthis.com/x.js></script>b", "ab"),
        ("a<img src=//s7.addthis.com/x.gif>b", "ab"),
        ("a<iframe src=//s7.addthis.com/x>c</iframe>b", "ab"),
        ("<body background=//s7.addthis.com/x.gif><p>b", "<body><p>b"),
        ("<table><td background=//s7.addthis.com/x.gif>b</table>", "<table><td>b</table>"),
        ("<video poster=//s7.addthis.com/x.gif src=a.mp4>b</video>", "<video src=a.mp4>b</video>"),
    ] {
        assert_eq!(held(html), expected);
    }
}

#[test]
fn what_does_not_run_is_left_alone() {
    for html in [
        "<script type=\"application/ld+json\">{\"a\":\"_gaq.push(\"}</script>",
        "<script type=text/template><img src=x></script>",
        "<pre>&lt;script src=\"https://www.google-analytics.com/ga.js\"&gt;</pre>",
        "<textarea><script src=\"https://www.google-analytics.com/ga.js\"></script></textarea>",
        "<!-- <script src=\"https://www.google-analytics.com/ga.js\"></script> -->",
        "<script>console.log('hej')</script>",
        "<a href=\"https://www.google-analytics.com/\">GA</a>",
        "<p onclick=\"ga('send','event')\" class=x>",
        "<noscript><p class='a'  >text</p></noscript>",
        "<iframe srcdoc='<p class=a>'></iframe>",
    ] {
        assert_eq!(held(html), html);
    }
}

#[test]
fn what_the_visitor_agreed_to_stands_as_its_author_wrote_it() {
    let html =
        "<script src='https://www.google-analytics.com/ga.js'  async></script><script>_gaq.push(1)</script>";
    let granted = Granted::new(Categories::NONE.with(Category::Statistics), Default::default());
    let out = rewrite_in(&[html.as_bytes()], &granted, &Inserts::Nothing);
    assert_eq!(String::from_utf8(out).unwrap(), html);
}

#[test]
fn the_guard_comes_before_anything_that_could_run_and_only_once() {
    for (html, expected) in [
        ("<!doctype html><html><head><title>x</title>", "<!doctype html><html><head>G<title>x</title>"),
        ("<html><script>1</script>", "<html>G<script>1</script>"),
        ("<title>x</title><p>y", "G<title>x</title><p>y"),
        ("<p>x<head><p>y", "G<p>x<head><p>y"),
        ("<html><frameset><frame src=a></frameset>", "<html>G<frameset><frame src=a></frameset>"),
        ("<body><p>x</body><body>", "<body>G<p>x</body><body>"),
    ] {
        let out = rewrite_in(&[html.as_bytes()], &Granted::default(), &Inserts::Guard("g".into()));
        let out = String::from_utf8(out).unwrap().replace("<script data-consentry=\"guard\">g</script>", "G");
        assert_eq!(out, expected, "{html}");
    }
}

fn inserted() -> Inserts {
    Inserts::Page {
        guard: "g".into(),
        banner: crate::filter::Banner::Shown,
        undecided: true,
        language: Language::parse("sv").unwrap(),
        return_to: "/".into(),
        presumed: true,
    }
}

#[test]
fn a_fragment_that_was_taken_for_a_page_gets_nothing_inserted() {
    let fragment = "<p>a fragment</p>";
    assert_eq!(rewrite_in(&[fragment.as_bytes()], &Granted::default(), &inserted()), fragment.as_bytes());
}

#[test]
fn bytes_of_every_character_set_leave_as_they_came() {
    for (charset, text) in
        [("iso-8859-1", "åäö"), ("shift_jis", "日本語ソ"), ("windows-1251", "привет"), ("utf-8", "日本å")]
    {
        let (bytes, _, _) = encoding_rs::Encoding::for_label(charset.as_bytes()).unwrap().encode(text);
        let html =
            [b"<p title='".as_slice(), &bytes, b"'>", &bytes, b"<script>x='", &bytes, b"'</script>"].concat();
        assert_eq!(rewrite_in(&[&html], &Granted::default(), &Inserts::Nothing), html, "{charset}");
    }
}

const PAGE: &[u8] = b"<!DOCTYPE html><html lang=sv><head><title>\xe5</title>\
    <script>var _gaq = _gaq || []; _gaq.push(['_setAccount']);</script>\
    <script src=\"http://www.google-analytics.com/ga.js\"></script></head><body class=x>\
    <noscript><img src=\"https://www.facebook.com/tr?id=1\"></noscript><p>\xe4\xf6</p></body></html>";

/// What a page of legacy sites is made of, trackers and all that changes how what follows is read.
const PARTS: [&str; 52] = [
    "<!doctype html>",
    "<html lang=sv>",
    "<head>",
    "</head>",
    "<title>a < b</title>",
    "<body>",
    "<p>text</p>",
    "<div title='a > b'>",
    "<table><tr><td>",
    "<br>",
    "<!-- <p> > -->",
    "<!--",
    "-->",
    "<script>if (a > b) _gaq.push(1)</script>",
    "<script>ok()</script>",
    "<script src=//www.google-analytics.com/ga.js></script>",
    "<noscript><img src=//www.facebook.com/tr?id=1></noscript>",
    "<noscript><p>text</p></noscript>",
    "<img src=//www.facebook.com/tr?id=1>",
    "<style>p > a {}</style>",
    "<textarea><p>",
    "</textarea>",
    "<svg><style>",
    "</style></svg>",
    "<math><mi>",
    "</math>",
    "<template><p>",
    "</template>",
    "<frameset>",
    "<td background='//www.facebook.com/tr?x'>",
    "<img src=/a.png alt='>'>",
    "<img src=HTTPS://www.facebook.com/tr>",
    "<img src='/js/../ga.js'>",
    "<img src=https://cdn.example/a.png>",
    "<img src='https&#58;//www.facebook.com/tr'>",
    "<a title='<img src=//www.facebook.com/tr?1>' href=//www.facebook.com/tr>x</a>",
    "<a title=\"",
    "\">",
    "<iframe src=/x><img src=//www.facebook.com/tr></iframe>",
    "<iframe src=//s7.addthis.com/x>text</iframe>",
    "<object data=//s7.addthis.com/x>text <b></b></object>",
    "</object>",
    "<object data=/a></object>",
    "<video src=//www.facebook.com/tr><source src=//www.facebook.com/tr></video>",
    "<script><!-- <script> _gaq.push( </script> --></script>",
    "<script>x='</scr'+'ipt>'</script a='>'>",
    "<svg><use href=//www.facebook.com/tr /><script href=//www.google-analytics.com/ga.js></script></svg>",
    "<svg><title>x</title><image href=//www.facebook.com/tr></svg>",
    "<base href=//www.google-analytics.com/>",
    "<script src=ga/x.js></script>",
    "<meta http-equiv=refresh content='0;url=//www.facebook.com/tr'>",
    "<noembed><p></noembed>",
];

proptest! {
    #[test]
    fn what_passes_the_parser_by_is_what_it_would_have_left_alone(
        parts in proptest::collection::vec(proptest::sample::select(&PARTS[..]), 0..24),
        size in 1usize..200,
    ) {
        let html = parts.concat();
        let run = |phase: Phase, inserts: Inserts| {
            let settings = Arc::new(settings(set(Vec::new(), &[])));
            let mut rewriter = Rewriter::new(&settings, page(Granted::default(), inserts));
            rewriter.phase = phase;
            let mut out = Vec::new();
            for chunk in html.as_bytes().chunks(size) {
                rewriter.write(chunk, &mut out).unwrap();
            }
            rewriter.end(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let parsed = run(Phase::Parsing, Inserts::Nothing);
        prop_assert_eq!(&run(Phase::Skimming, Inserts::Nothing), &parsed);
        let guarded = run(Phase::Skimming, Inserts::Guard("g".into()));
        prop_assert_eq!(guarded.replacen("<script data-consentry=\"guard\">g</script>", "", 1), parsed);
    }

    #[test]
    fn any_split_into_chunks_gives_the_same_page(cuts in proptest::collection::vec(0..PAGE.len(), 0..12)) {
        let whole = rewrite_in(&[PAGE], &Granted::default(), &inserted());
        let mut cuts = cuts;
        cuts.extend([0, PAGE.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &PAGE[pair[0]..pair[1]]).collect();
        prop_assert_eq!(rewrite_in(&chunks, &Granted::default(), &inserted()), whole);
    }

    #[test]
    fn no_bytes_panic_and_without_reason_none_change(
        html in "(<|>|/|!|-|=|\"|'| |script|p|noscript|template|srcdoc|iframe|a|\u{e5}|&|;|#){0,60}"
    ) {
        let bytes = html.as_bytes();
        prop_assert_eq!(rewrite_in(&[bytes], &Granted::all(), &Inserts::Nothing), bytes);
    }
}
