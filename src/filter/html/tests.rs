use proptest::prelude::*;

use super::*;
use crate::consent::{Categories, Category};
use crate::filter::tests::{set, settings};

fn page(settings: &Settings, granted: Granted, inserts: Inserts) -> Page {
    Page {
        url: "https://www.example.se/a/".parse().unwrap(),
        scope: Scope::of_granted(settings, &granted),
        granted,
        syntax: Syntax::Html,
        inserts,
        embeds: None,
        nonce: None,
    }
}

fn rewrite_in(chunks: &[&[u8]], granted: &Granted, inserts: &Inserts) -> Vec<u8> {
    rewrite_as(Syntax::Html, chunks, granted, inserts)
}

fn rewrite_as(syntax: Syntax, chunks: &[&[u8]], granted: &Granted, inserts: &Inserts) -> Vec<u8> {
    let settings = Arc::new(settings(set(Vec::new(), &[])));
    let page = Page { syntax, ..page(&settings, granted.clone(), inserts.clone()) };
    let mut rewriter = Rewriter::new(&settings, page);
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

/// What browsers look at: all but what is kept in attributes of ours, here and in pages within the page.
fn looked_at(html: &str) -> String {
    let mut html = html.to_ascii_lowercase();
    for _ in 0..3 {
        let mut left = String::new();
        let mut rest = html.as_str();
        while let Some((before, after)) = rest.split_once(" data-consentry-") {
            left.push_str(before);
            let value = after.trim_start_matches(|letter: char| letter.is_ascii_lowercase() || letter == '-');
            match value.strip_prefix("=\"").and_then(|value| value.split_once('"')) {
                Some((_, after)) => rest = after,
                None => {
                    left.push_str(" data-consentry-");
                    rest = after;
                }
            }
        }
        left.push_str(rest);
        html = left.replace("&quot;", "\"").replace("&amp;", "&");
    }
    html
}

/// Nothing that is held may be left where a browser looks.
fn leak(html: &str) -> Option<String> {
    let out = held(html);
    let left = looked_at(&out)
        .replace("<base href='https://www.facebook.com/'>", "")
        .replace("<base href='//www.facebook.com'>", "");
    let has_tracker = ["facebook", "/tr?id=1", "zmfjzwjvb2su"].iter().any(|mark| left.contains(mark));
    let is_marked = out.contains("data-consentry-service") || out.contains("/* held");
    (!is_marked || has_tracker).then(|| format!("{html} became {out}"))
}

#[test]
fn no_place_lets_a_pixel_through() {
    let mut leaks = Vec::new();
    const PIXEL: &str = "https://www.facebook.com/tr?id=1";
    for shape in [
        "<img src='URL'>",
        "<img src='URL' srcset='URL 1x'>",
        "<img src='URL' src='URL'>",
        "<IMG LOWSRC='URL'>",
        "<image src='URL'>",
        "<img data-src='URL'>",
        "<img data-lazy-srcset='URL 1x, URL 2x'>",
        "<img data-original='URL'>",
        "<div data-bg='url(URL)'>",
        "<div data-background-image='URL'>",
        "<iframe data-litespeed-src='URL'></iframe>",
        "<script data-rocketlazyloadscript='URL'></script>",
        "<picture><source srcset='URL'><img src=/a></picture>",
        "<video src=/a poster='URL'></video>",
        "<audio src='URL'></audio>",
        "<track src='URL'>",
        "<input type=image src='URL'>",
        "<embed src='URL'>",
        "<object data='URL'></object>",
        "<object archive='/a URL'></object>",
        "<object><param name=movie value='URL'></object>",
        "<applet codebase='URL'></applet>",
        "<frameset><frame src='URL'></frameset>",
        "<body background='URL'>",
        "<tr background='URL'>",
        "<p style='background:url(URL)'>",
        "<p style='color:red;background:u\\72l(URL)'>",
        "<p style=\"background:url(&quot;URL&quot;)\">",
        "<p style='background:image-set(\"URL\" 1x)'>",
        "<style>p{background:url(URL)}</style>",
        "<style>@import 'URL';</style>",
        "<style><!-- p{background:uRl('URL')} --></style>",
        "<link rel=stylesheet href='URL'>",
        "<link rel='alternate stylesheet' href='URL'>",
        "<link rel=modulepreload href='URL'>",
        "<link rel=preload as=image imagesrcset='URL 1x'>",
        "<link rel=dns-prefetch href='//www.facebook.com/tr'>",
        "<link rel=prerender href='URL'>",
        "<link rel=made-up href='URL'>",
        "<meta http-equiv=refresh content='1;url=URL'>",
        "<meta http-equiv=ref&#114;esh content='1;URL'>",
        "<a href=/x ping='/a URL'>x</a>",
        "<svg><image href='URL'/></svg>",
        "<svg><image xlink:href='URL'/></svg>",
        "<svg><use href='URL#a'/></svg>",
        "<svg><filter><feImage href='URL'/></filter></svg>",
        "<svg><script href='URL'/></svg>",
        "<svg><style>p{background:url(URL)}</style></svg>",
        "<svg><style>p{background:&#117;rl(URL)}</style></svg>",
        "<svg><rect fill='url(URL#a)'/></svg>",
        "<svg><image><set attributeName=href to='URL'/></image></svg>",
        "<noscript><img src='URL'></noscript>",
        "<noscript><noscript><img src='URL'></noscript></noscript>",
        "<head><noscript><link rel=stylesheet href='URL'></noscript></head>",
        "<iframe srcdoc='<img src=URL>'></iframe>",
        "<iframe srcdoc='&lt;img src=&quot;URL&quot;&gt;'></iframe>",
        "<iframe srcdoc=\"<iframe srcdoc='&lt;img src=URL&gt;'></iframe>\"></iframe>",
        "<noscript><iframe srcdoc='<img src=URL>'></iframe></noscript>",
        "<iframe src='data:text/html,<img src=URL>'></iframe>",
        "<iframe src='data:text/html;base64,PGltZyBzcmM9aHR0cHM6Ly93d3cuZmFjZWJvb2suY29tL3RyP2lkPTE+'></iframe>",
        "<object data='DATA:text/html,%3Cimg src=URL>'></object>",
        "<template><img src='URL'></template>",
        "<template shadowrootmode=open><img src='URL'></template>",
        "<pre><img src='URL'></pre>",
        "<listing><img src='URL'></listing>",
        "<amp-pixel src='URL'></amp-pixel>",
        "<select><option><img src='URL'></select>",
        "<table><img src='URL'></table>",
        "<base href='https://www.facebook.com/'><img src='/tr?id=1'>",
        "<base target=x><base href='/a/'><base href='https://www.facebook.com/'><img src='/tr?id=1'>",
        "<template><base href='https://cdn.example/'></template><base href='//www.facebook.com'><img src='/tr?id=1'>",
    ] {
        for url in [
            PIXEL,
            "//www.facebook.com/tr?id=1",
            "HTTPS://www.FaceBook.com/tr?id=1",
            "https://www.facebook.com./tr?id=1",
            "https://user@www.facebook.com:443/tr?id=1",
            "https:&#47;&#x2f;www&period;facebook.com/tr?id=1",
        ] {
            leaks.extend(leak(&shape.replace("URL", url)));
        }
    }
    assert!(leaks.is_empty(), "{}", leaks.join("\n"));
}

#[test]
fn what_is_no_place_stays_as_it_is() {
    for html in [
        // A visitor's own step.
        "<a href='https://www.facebook.com/tr'>x</a>",
        "<area href='https://www.facebook.com/tr'>",
        "<form action='https://www.facebook.com/tr'><button formaction='https://www.facebook.com/tr'></form>",
        "<a href=\"javascript:location='https://www.facebook.com/tr'\">x</a>",
        // What tells and does not load.
        "<link rel=canonical href='https://www.facebook.com/tr'>",
        "<meta property=og:image content='https://www.facebook.com/tr'>",
        "<blockquote cite='https://www.facebook.com/tr'>",
        "<div data-href='https://www.facebook.com/tr'>",
        "<p title='<img src=https://www.facebook.com/tr>'>",
        // What is no markup.
        "<script type=importmap>{\"imports\":{\"a\":\"https://www.facebook.com/tr\"}}</script>",
        "<script type=application/json>{\"a\":\"fbq('init','1')\"}</script>",
        "<script></script><script type=application/json>fbq('init','1')</script>",
        "<script type='text/x-template'><img src='https://www.facebook.com/tr'></script>",
        "<xmp><img src='https://www.facebook.com/tr'></xmp>",
        "<title><img src='https://www.facebook.com/tr'></title>",
        "<textarea><img src='https://www.facebook.com/tr'></textarea>",
        "<noembed><img src='https://www.facebook.com/tr'></noembed>",
        "<noframes><img src='https://www.facebook.com/tr'></noframes>",
        "<iframe><img src='https://www.facebook.com/tr'></iframe>",
        "<plaintext><img src='https://www.facebook.com/tr'>",
        "<!-- <img src='https://www.facebook.com/tr'> -->",
        "<!--[if IE]><img src='https://www.facebook.com/tr'><![endif]-->",
        "<pre>&lt;img src='https://www.facebook.com/tr'&gt;</pre>",
        "<listing>fbq('init','1')</listing>",
        "<style>p::after{content:'text'} @media print{a{color:rgb(1,2,3)}}</style>",
        "<svg><![CDATA[<img src=x>]]></svg>",
        // Calls that a stub answers.
        "<p onclick=\"fbq('track','x')\">",
        "<body onload=\"_gaq.push(['_trackEvent','a'])\">",
        "<script>fbq('track','Purchase');buy()</script>",
    ] {
        assert_eq!(held(html), html);
    }
}

#[test]
fn a_handler_that_loads_a_service_is_held_and_its_element_stays() {
    let html = "<body onload=\"var s=document.createElement('script');s.src='//connect.facebook.net/en_US/fbevents.js';fbq('init','1')\" class=x>";
    let out = held(html);
    assert!(
        out.starts_with("<body class=x data-consentry-onload=\"var s=") && !out.contains(" onload="),
        "{out}"
    );
}

#[test]
fn a_style_loses_its_address_and_nothing_else() {
    assert_eq!(
        held("<style>a{color:red;background:url(//www.facebook.com/tr) top}b{c:d}</style>"),
        "<style>a{color:red;background:none/* held: meta-pixel */ top}b{c:d}</style>"
    );
    let out = held("<p style='color:red;background:url(//www.facebook.com/tr)'>");
    assert!(out.contains(" style=\"color:red;background:none\""), "{out}");
}

#[test]
fn a_hint_to_strangers_goes_and_one_to_the_site_stays() {
    assert_eq!(held("a<link rel=preconnect href='https://cdn.stranger.example' crossorigin>b"), "ab");
    assert_eq!(held("a<link rel=dns-prefetch href=//stranger.example>b"), "ab");
    for html in
        ["<link rel=preload href=/a.css as=style>", "<link rel=prefetch href=https://www.example.se/b>"]
    {
        assert_eq!(held(html), html);
    }
}

#[test]
fn the_sites_own_code_runs_beside_a_held_snippet() {
    let out = held("<script>menu.init();\nfbq('init','1');\nfbq('track','PageView');\nshow()</script>");
    assert_eq!(
        out,
        "<script>menu.init();\n\nfbq('track','PageView');\nshow()</script><script type=\"text/plain\" \
         data-consentry-service=\"meta-pixel\" data-consentry-category=\"marketing\">fbq('init','1');</script>"
    );
}

#[test]
fn a_policy_in_the_page_lets_in_what_is_ours_and_nothing_else() {
    let run = |html: &str, inserts: &Inserts| {
        String::from_utf8(rewrite_in(&[html.as_bytes()], &Granted::default(), inserts)).unwrap()
    };
    let policy =
        "<meta http-equiv=Content-Security-Policy content=\"default-src 'self'; form-action 'none'\">";
    let page = run(&format!("<!doctype html><head>{policy}<body>"), &inserted());
    let (_, amended) = page.split_once("http-equiv=Content-Security-Policy content=\"").unwrap();
    let amended = amended.split_once('"').unwrap().0;
    assert!(
        amended.starts_with("default-src 'self'; form-action 'self'; script-src 'self' 'sha256-"),
        "{amended}"
    );
    assert_eq!(amended.matches("'sha256-").count(), 4, "{amended}");
    assert!(!amended.contains("unsafe"), "{amended}");
    // Nothing is inserted into a part of a page, and a policy that allows all of it stays.
    assert_eq!(held(policy), policy);
    let open = "<meta http-equiv=content-security-policy content='img-src *'>";
    assert!(run(&format!("<!doctype html><head>{open}<body>"), &inserted()).contains(open));
}

#[test]
fn pages_within_pages_keep_their_letters() {
    for (html, expected) in [
        (
            "<iframe srcdoc=\"&lt;img src=//www.facebook.com/tr&gt;&#229;&eacute;&amp;amp; \u{e5}&nbsp\"></iframe>",
            ">&#229;&eacute;&amp;amp; \u{e5}&nbsp;\"",
        ),
        ("<iframe srcdoc='<p>&#20013;</p>'></iframe>", "srcdoc='<p>&#20013;</p>'"),
    ] {
        let out = held(html);
        assert!(out.contains(expected), "{html} became {out}");
    }
}

#[test]
fn a_page_within_a_page_that_has_scripts_shows_itself_to_the_guard_before_they_run() {
    for (inner, is_guarded) in [
        ("<p>x<script>a()</script>", true),
        ("<SCRIPT src=/a.js></SCRIPT>", true),
        ("<body onload = a()>", true),
        ("<img src=a/onerror=a()>", true),
        ("<a href=javascript:a()>x</a>", true),
        ("<p>on=1, once on a button</p>", false),
        ("<p class=lemon>x</p>", false),
    ] {
        let html = format!("<iframe srcdoc='{inner}'></iframe>");
        let out = held(&html);
        let guard = "&lt;script data-consentry=&quot;frame&quot;>try{frameElement.contentWindow}";
        assert_eq!(out.contains(&format!("srcdoc=\"{guard}")), is_guarded, "{html} became {out}");
        assert_eq!(held(&out), out);
    }
    let html = "<iframe srcdoc='<script>a()</script>'></iframe>";
    assert_eq!(rewrite_in(&[html.as_bytes()], &Granted::all(), &Inserts::Nothing), html.as_bytes());
}

#[test]
fn what_is_too_deep_is_held_and_counted() {
    let settings = Arc::new(settings(set(Vec::new(), &[])));
    let mut rewriter = Rewriter::new(&settings, page(&settings, Granted::default(), Inserts::Nothing));
    let html = format!("{}<img src=//www.facebook.com/tr>", "<noscript>".repeat(100_000));
    let mut out = Vec::new();
    rewriter.write(html.as_bytes(), &mut out).unwrap();
    rewriter.end(&mut out).unwrap();
    assert!(!String::from_utf8(out).unwrap().contains("facebook"));
    let counted: Vec<_> = rewriter.findings().unjudged.iter().collect();
    assert_eq!(counted, [(Reason::TooDeep, 1)]);
}

#[test]
fn a_page_of_five_megabytes_takes_no_more_memory_than_a_small_one() {
    const ROW: &str =
        "<div class=a><p>text<img src=//www.facebook.com/tr?id=1><script>own();</script><b>&amp;\0</b>";
    let settings = Arc::new(settings(set(Vec::new(), &[])));
    let most = |rows: usize| {
        let page = page(&settings, Granted::default(), Inserts::Nothing);
        let measured = allocation_counter::measure(|| {
            let mut rewriter = Rewriter::new(&settings, page.clone());
            let mut out = Vec::new();
            for _ in 0..rows {
                rewriter.write(ROW.as_bytes(), &mut out).unwrap();
                assert!(!out.windows(9).any(|window| window == b" src=//ww"));
                out.clear();
            }
            rewriter.end(&mut out).unwrap();
        });
        measured.bytes_max
    };
    let small = most(500);
    // 55,000 rows of elements that nobody closes.
    let large = most(55_000);
    assert!(large <= 2 * small, "{small} bytes, {large} bytes");
}

#[test]
fn inline_scripts_of_held_services_do_not_run_and_keep_their_text() {
    for script in [
        "_gaq.push(['_setAccount', 'UA-1']);",
        "(function(w,d,s,l,i){w[l].push({'gtm.start':new Date()})})();",
        "gtag('config', 'G-1');",
        "document.write(unescape(\"%3Cscript src='\" + gaJsHost + \"'%3E%3C/script%3E\"));",
        "_paq.push(['setSiteId', 1]);",
        "fbq('init', '1');",
        "(function(i,s,o){i['GoogleAnalyticsObject']=o})();",
        "urchinTracker();",
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

/// What a guard of `g` is inserted as, with the list of all services.
fn guarding() -> String {
    let name = crate::web::guard::known_script_name();
    let hash = crate::web::integrity(crate::web::guard::known_script());
    format!(
        "<script data-consentry=\"guard\">g</script>\
         <script data-consentry=\"known\" async src=\"/_consent/assets/{name}\" integrity=\"{hash}\"></script>"
    )
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
        let out = String::from_utf8(out).unwrap().replace(&guarding(), "G");
        assert_eq!(out, expected, "{html}");
    }
}

#[test]
fn a_frameset_stays_one_with_the_banner_put_away_in_its_head() {
    const END: &str = "</template><frameset cols=1,1><frame src=a></frameset></html>";
    for head in ["<head><title>x</title></head>", "<title>x</title>", "<noframes><body><p>y</noframes>", ""] {
        let html = format!("<!doctype html><html>{head}<frameset cols=1,1><frame src=a></frameset></html>");
        let out = rewrite_in(&[html.as_bytes()], &Granted::default(), &inserted());
        let out = String::from_utf8(out).unwrap();
        let (before, kept) = out.split_once("<template data-consentry=\"frameset\">").unwrap();
        assert!(!before.contains("consentry-") && kept.ends_with(END), "{out}");
        assert!(
            kept.starts_with("<consentry-banner ") && kept.contains("<consentry-settings data-waits"),
            "{out}"
        );
    }
}

fn inserted() -> Inserts {
    Inserts::Page {
        guard: "g".into(),
        banner: crate::filter::Banner::Shown,
        undecided: true,
        note: None,
        signal: crate::consent::signal::Signal::Absent,
        language: Language::parse("sv").unwrap(),
        fixed: None,
        return_to: "/".into(),
        request: super::Request::Read,
        presumed: true,
    }
}

#[test]
fn the_room_for_a_page_takes_what_is_put_into_it() {
    let html = "<!doctype html><html lang=sv><head></head><body></body></html>";
    let mut decided = inserted();
    if let Inserts::Page { undecided, .. } = &mut decided {
        *undecided = false;
    }
    for inserts in [inserted(), decided, Inserts::Guard("g".repeat(9_999).into()), Inserts::Nothing] {
        let out = rewrite_in(&[html.as_bytes()], &Granted::default(), &inserts);
        assert!(out.len() <= html.len() + inserts.room(), "{} {inserts:?}", out.len());
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
const PARTS: [&str; 80] = [
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
    "<p style='background:url(//www.facebook.com/tr)'>",
    "<p style=color:red onclick='go()'>",
    "<div data-lazy-src=//www.facebook.com/tr>",
    "<style>p{background:url(//www.facebook.com/tr)}</style>",
    "<a ping='//www.facebook.com/tr' href=/>",
    "<link rel=preconnect href=//stranger.example>",
    "<x-y src=//www.facebook.com/tr>",
    "<body onload=\"x.src='//www.facebook.com/tr';fbq('init')\">",
    "<frame src=//www.facebook.com/tr>",
    "<param name=movie value=//www.facebook.com/tr>",
    "<title>a title</title>",
    "<TITLE lang=sv>a</Title>",
    "<title>a</title\n>",
    "<title onclick=\"x.src='//www.facebook.com/tr';fbq('init')\">a</title>",
    "<title>",
    "</title>",
    "<style>p{color:red}</style>",
    "<style media=print></style>",
    "<style>",
    "</style>",
    "<script src=/shop.js></script>",
    "<script src=https://cdn.example/a.js async></script>",
    "<script type=module></script>",
    "<script type=SpeculationRules src=/a></script>",
    "<script src='data:image/png,fbq(1)'></script>",
    "<script src=/a.js>",
    "</script>",
    "<select><option>",
];

/// What may pass, as pages have it again and again.
const PASSING: [&str; 5] = [
    "<div class=\"product card\"><a href=\"/produkt/1\" title=\"En sak\"><img src=\"/bild/1.png\" alt=\"En bild\" width=240></a></div>\n",
    "<p>Ett stycke text, s\u{e5} l\u{e5}ngt som stycken \u{e4}r, med <b>fet</b> och <i>kursiv</i> stil och en <br> i mitten.</p>\n",
    "<ul class=menu><li><a href=/a>A</a></li><li><a href=/b>B</a></li><li><a href=/c>C</a></li><li><a href=/d>D</a></li></ul>\n",
    "<title>En titel</title><style>p{color:red}</style><script src=/shop.js async></script><p>Ett stycke text med n\u{e5}got i</p>\n",
    "<!-- a remark, <b>of no matter</b> --><table><tr><td align=right>1 kr</td><td>2 kr</td><td>3 kr</td></tr></table>\n",
];

#[test]
fn what_was_put_into_a_passage_that_is_known_is_held() {
    let settings = Arc::new(settings(set(Vec::new(), &[])));
    let rewrite = |html: &str| {
        let mut rewriter = Rewriter::new(&settings, page(&settings, Granted::default(), Inserts::Nothing));
        let mut out = Vec::new();
        rewriter.write(html.as_bytes(), &mut out).unwrap();
        rewriter.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let page = PASSING.concat().repeat(20);
    for _ in 0..3 {
        assert_eq!(rewrite(&page), page);
    }
    let script = "<script src=https://www.google-analytics.com/ga.js></script>";
    for (at, _) in page.match_indices('\n') {
        let (before, after) = page.split_at(at);
        let rewritten = rewrite(&[before, script, after].concat());
        assert!(rewritten.contains("text/plain") && rewritten.len() > page.len() + script.len(), "{at}");
    }
    for (known, other) in [
        ("En titel", "a</title><img src=//www.facebook.com/tr?id=1><title>b"),
        ("color:red", "background:url(//www.facebook.com/tr?id=1)"),
        ("async></", "async></script><img src=//www.facebook.com/tr?id=1><script></"),
    ] {
        for (at, _) in page.match_indices(known) {
            let (before, after) = page.split_at(at);
            let rewritten = rewrite(&[before, &after.replacen(known, other, 1)].concat());
            assert!(!looked_at(&rewritten).contains("facebook"), "{known} {at}");
        }
    }
}

#[test]
fn an_element_that_came_before_leaves_as_if_it_had_not() {
    const ELEMENTS: [&str; 12] = [
        "<script src=https://www.google-analytics.com/ga.js></script>",
        "<script src=//static.hotjar.com/c/hotjar-1.js></script>",
        "<script>hj('event','x')</script>",
        "<script src=https://www.clarity.ms/tag/1></script>",
        "<script>fbq('init','1')</script>",
        "<script>_gaq.push(['_setAccount','UA-1']);\nown()</script>",
        "<script>fbq('init', '1'); own('</script>",
        "<script><!-- <script> _gaq.push( </script> --></script>",
        "<script src=ga.js></script>",
        "<style>p{background:url(//www.facebook.com/tr)}</style>",
        "<title>a<b</title>",
        "<base href=//www.google-analytics.com/>",
    ];
    let statistics = Granted::new(Categories::NONE.with(Category::Statistics), Default::default());
    let rules = [("google-analytics", crate::services::Rule::ANONYMIZE)];
    for (granted, inserts) in [
        (Granted::default(), Inserts::Nothing),
        (Granted::default(), Inserts::Guard("g()".into())),
        (statistics, Inserts::Guard("g()".into())),
        (Granted::all(), Inserts::Guard("g()".into())),
    ] {
        // A site of which nobody has seen a page yet.
        let site = || {
            let settings = Arc::new(settings(set(Vec::new(), &rules)));
            let page = page(&settings, granted.clone(), inserts.clone());
            (settings, page)
        };
        let run = |(settings, page): &(Arc<Settings>, Page), html: &str| {
            let mut rewriter = Rewriter::new(settings, page.clone());
            let mut out = Vec::new();
            rewriter.write(html.as_bytes(), &mut out).unwrap();
            rewriter.end(&mut out).unwrap();
            let Findings { unjudged, held_for, page: _ } = rewriter.findings();
            (String::from_utf8(out).unwrap(), unjudged, held_for)
        };
        let known = site();
        for (one, other) in ELEMENTS.iter().flat_map(|one| ELEMENTS.map(|other| (one, other))) {
            let html = [one, other, "<p>", one].concat();
            let expected = run(&site(), &html);
            for _ in 0..3 {
                assert_eq!(run(&known, &html), expected, "{html}");
            }
        }
    }
}

proptest! {
    #[test]
    fn what_passes_the_parser_by_is_what_it_would_have_left_alone(
        parts in proptest::collection::vec(proptest::sample::select(&PARTS[..]), 0..24),
        size in 1usize..200,
    ) {
        let html = parts.concat();
        let run = |phase: Phase, inserts: Inserts| {
            let settings = Arc::new(settings(set(Vec::new(), &[])));
            let mut rewriter = Rewriter::new(&settings, page(&settings, Granted::default(), inserts));
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
        prop_assert_eq!(guarded.replacen(&guarding(), "", 1), parsed);
    }

    #[test]
    fn a_page_of_passages_and_elements_that_are_known_is_what_the_parser_would_have_made_of_it(
        parts in proptest::collection::vec(0..PARTS.len() * 4, 1..80),
        own in 0..PARTS.len(),
        place in 0usize..80,
    ) {
        let settings = Arc::new(settings(set(Vec::new(), &[])));
        let page = page(&settings, Granted::default(), Inserts::Nothing);
        let run = |phase: Phase, html: &str| {
            let mut rewriter = Rewriter::new(&settings, page.clone());
            rewriter.phase = phase;
            let mut out = Vec::new();
            rewriter.write(html.as_bytes(), &mut out).unwrap();
            rewriter.end(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        // What passes by itself is long, and has something else in between.
        let part = |part: &usize| PARTS.get(*part).copied().unwrap_or(PASSING[part % PASSING.len()]);
        let mut parts: Vec<&str> = parts.iter().map(part).collect();
        let shared = parts.concat();
        for _ in 0..3 {
            prop_assert_eq!(run(Phase::Skimming, &shared), run(Phase::Parsing, &shared));
        }
        parts.insert(place % parts.len(), PARTS[own]);
        let other = parts.concat();
        prop_assert_eq!(run(Phase::Skimming, &other), run(Phase::Parsing, &other));
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

fn guarded(html: &str, settings: &Arc<Settings>, granted: &Granted) -> String {
    let page = page(settings, granted.clone(), Inserts::Guard("g()".into()));
    let mut rewriter = Rewriter::new(settings, page);
    let mut out = Vec::new();
    rewriter.write(html.as_bytes(), &mut out).unwrap();
    rewriter.end(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_frame_of_a_host_that_nobody_knows_waits_and_is_told_of() {
    let settings = Arc::new(settings(set(Vec::new(), &[])));
    for html in [
        "<iframe src=https://nobody.example/a></iframe>",
        "<iframe data-src='//nobody.example/a'></iframe>",
        "<frameset><frame src=//nobody.example/a></frameset>",
        "<object data=https://nobody.example/a></object>",
        "<embed src=https://nobody.example/a>",
    ] {
        let out = guarded(html, &settings, &Granted::default());
        assert!(out.contains("data-consentry-reason=\"unknown-host\""), "{out}");
        assert!(!looked_at(&out).contains("nobody.example"), "{out}");
        let untouched = guarded(html, &settings, &Granted::all());
        assert!(untouched.ends_with(html), "{untouched}");
    }
    assert_eq!(
        settings.observed.snapshot().hosts().map(|host| host.name).collect::<Vec<_>>(),
        ["nobody.example"]
    );
    for html in [
        "<iframe src=/a></iframe>",
        "<iframe src=https://www.example.se/b></iframe>",
        "<iframe src=about:blank></iframe>",
        "<iframe src=https://js.stripe.com/v3/x></iframe>",
        "<object data=https://www.example.se/a></object>",
        // Whatever is no frame is for the policy.
        "<script src=https://nobody.example/a></script>",
        "<img src=https://nobody.example/a>",
    ] {
        let out = guarded(html, &settings, &Granted::default());
        assert!(out.contains(html), "{out}");
    }
}

#[test]
fn a_frame_of_a_host_that_nobody_knows_loads_where_the_site_lets_it() {
    let mut site = settings(set(Vec::new(), &[]));
    site.unknown_third_parties = crate::filter::UnknownThirdParties::Allow;
    let html = "<iframe src=https://nobody.example/a></iframe>";
    let out = guarded(html, &Arc::new(site), &Granted::default());
    assert!(out.contains(html), "{out}");
}

#[test]
fn pages_that_call_a_held_service_for_the_first_time_get_its_stub_before_they_do() {
    const STUB: &str = "new CustomEvent('consentry:held',{detail:[\"pintrk\"]})";
    let settings = Arc::new(settings(set(Vec::new(), &[])));
    for html in [
        "<script>pintrk('load','1');</script><script>pintrk('page')</script>",
        "<script src=https://s.pinimg.com/ct/core.js></script><script>pintrk('page')</script>",
    ] {
        let settings = Arc::new(crate::filter::tests::settings(set(Vec::new(), &[])));
        let out = guarded(html, &settings, &Granted::default());
        assert_eq!(out.matches(STUB).count(), 1, "{out}");
        assert!(out.find(STUB) < out.rfind("pintrk('page')"), "{out}");
        assert!(out.contains("pintrk('page')</script>"), "{out}");
        // From the next page on the guard has it.
        let again = guarded(html, &settings, &Granted::default());
        assert!(!again.contains("consentry:held"), "{again}");
        assert!(Scope::of_granted(&settings, &Granted::default()).guard.contains("\"pintrk\""));
        // Who agreed has the real one.
        assert!(guarded(html, &settings, &Granted::all()).ends_with(html));
    }
    // What the guard always has needs no word of the page's.
    let html = "<script>fbq('init','1')</script>";
    assert!(!guarded(html, &settings, &Granted::default()).contains("consentry:held"));
}

fn xml(html: &str, inserts: &Inserts) -> String {
    let out = rewrite_as(Syntax::Xml, &[html.as_bytes()], &Granted::default(), inserts);
    for length in [1, 7] {
        let chunks: Vec<&[u8]> = html.as_bytes().chunks(length).collect();
        assert_eq!(rewrite_as(Syntax::Xml, &chunks, &Granted::default(), inserts), out, "{html}");
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn a_page_that_is_xml_has_the_guard_within_its_first_element_and_well_formed() {
    let inserts = Inserts::Guard("if(a<b&&c[d[0]]>1)e()".into());
    let guard = "<script xmlns=\"http://www.w3.org/1999/xhtml\" data-consentry=\"guard\">\
                 <![CDATA[if(a<b&&c[d[0]]]]><![CDATA[>1)e()]]></script>\
                 <script xmlns=\"http://www.w3.org/1999/xhtml\" data-consentry=\"known\" async=\"\" src=";
    for (before, after) in [
        ("<?xml version=\"1.0\"?><!DOCTYPE html><html><head>", "<title>a</title></head><body/></html>"),
        ("<!DOCTYPE html [ <!ENTITY a \"<head>]>\"> ]\n><html><head>", "</head></html>"),
        ("<!-- > <head> --><?x <head> ?><html>", "<head/><body></body></html>"),
        ("<html>", "<link href=\"/a.css\"/><head></head></html>"),
        ("<h:html xmlns:h=\"http://www.w3.org/1999/xhtml\"><h:head>", "</h:head></h:html>"),
        ("<html><![CDATA[ <head> ]]>", "<template/><body></body></html>"),
    ] {
        let out = xml(&format!("{before}{after}"), &inserts);
        assert!(out.starts_with(&format!("{before}{guard}")), "{out}");
        assert!(out.ends_with(&format!("></script>{after}")), "{out}");
    }
    assert_eq!(xml("<?xml version=\"1.0\"?><html/>", &inserts), "<?xml version=\"1.0\"?><html/>");
}

#[test]
fn an_element_that_is_a_tag_alone_in_xml_hides_nothing_behind_it() {
    const HELD: &str = "data-consentry-service=\"meta-pixel\"";
    for name in ["script", "title", "style", "iframe", "textarea", "noscript", "object", "video"] {
        let out = xml(
            &format!("<p><{name}/><img src=\"https://www.facebook.com/tr?id=1\"/></p>"),
            &Inserts::Nothing,
        );
        assert!(out.starts_with(&format!("<p><{name}/><img ")) && out.contains(HELD), "{out}");
    }
    for tag in ["h:img src", "svg:image xlink:href", "h:script src", "x:iframe src"] {
        let html = format!("<p><{tag}=\"https://www.facebook.com/tr?id=1\"/></p>");
        assert!(xml(&html, &Inserts::Nothing).contains(HELD), "{html}");
    }
    let out =
        xml("<p><script src=\"https://www.google-analytics.com/ga.js\" /><b>a</b></p>", &Inserts::Nothing);
    assert!(out.contains("type=\"text/plain\"") && out.ends_with("/><b>a</b></p>"), "{out}");
}

const PIXEL: &str = "<img alt=\"\" src=\"https://www.facebook.com/tr?id=1\"/>";

#[test]
fn nothing_that_html_would_read_on_over_hides_an_element_of_xml() {
    for before in [
        "<noframes><p>x</p>",
        "<xmp>",
        "<noembed>",
        "<textarea>",
        "<title>",
        "<iframe src=\"/a\">",
        "<plaintext/>",
        "<svg xmlns=\"s\"><foreignObject><script src=\"/own.js\"/>",
        "<svg><p/><title/>",
        "<math><mtext><textarea/>",
        "<object data=\"https://www.youtube.com/embed/1\"/>",
        "<script>//<![CDATA[\nvar s = \"<!--<script>\";\n//]]></script>",
        "<script><![CDATA[ \"</script>\" ]]></script>",
        "<style><![CDATA[ a::before { content: \"</style>\" } ]]></style>",
        "<h:style/>",
        "<h:script/>",
        "<select><option/>",
        "<table/>",
        "<noscript>",
    ] {
        let out = xml(&format!("<div>{before}{PIXEL}"), &Inserts::Nothing);
        assert!(!out.contains("alt=\"\" src="), "{before} {out}");
        assert!(out.starts_with(&format!("<div>{before}")) || before.contains("youtube"), "{before} {out}");
    }
    for html in [
        "<h:base href=\"https://www.facebook.com/\"/><img src=\"tr?x\"/>",
        "<svg><image xl:href=\"https://www.facebook.com/tr\"/></svg>",
        "<h:style>p { background: url(https://www.facebook.com/tr) }</h:style>",
        "<style>p { background: url(https://www.<!-- x -->facebook.com/tr) }</style>",
        "<style><![CDATA[ a { b: \"</style>\" } p { background: url(https://www.facebook.com/tr) } ]]></style>",
        "<h:script>own(); fbq('init','1')</h:script>",
        "<h:iframe srcdoc=\"&lt;img src='https://www.facebook.com/tr'>\"/>",
        "<script><b/>fbq('init','1')</script>",
        "<?xml-stylesheet type=\"text/css\" href=\"https://fonts.googleapis.com/css?family=A\"?><p/>",
    ] {
        let out = xml(html, &Inserts::Nothing);
        assert_ne!(out, html);
        assert_eq!(out.matches("<h:script").count(), out.matches("</h:script>").count(), "{out}");
        assert!(
            out.contains("data-consentry") || !out.contains("facebook") && !out.contains("googleapis"),
            "{out}"
        );
    }
    for own in [
        "<?xml-stylesheet href=\"/own.css\"?><p/>",
        "<h:script>own(\"&lt;\")</h:script>",
        "<script><!-- ga('create') --></script>",
    ] {
        assert_eq!(xml(own, &Inserts::Nothing), own);
    }
}

#[test]
fn what_takes_the_place_of_an_element_of_xml_takes_all_of_it() {
    for (element, left) in [
        ("<link rel=\"dns-prefetch\" href=\"//cdn.unknown.example\"></link>", ""),
        ("<h:link rel=\"dns-prefetch\" href=\"//cdn.unknown.example\"></h:link>", ""),
        ("<script type=\"speculationrules\">{\"a\": \"<![CDATA[</script>]]>\"}</script>", ""),
        ("<h:script type=\"speculationrules\"/>", ""),
    ] {
        assert_eq!(xml(&format!("<p>{element}<b/></p>"), &Inserts::Nothing), format!("<p>{left}<b/></p>"));
    }
    let embeds = |html: &str| {
        let settings = Arc::new(settings(set(Vec::new(), &[])));
        let embeds = super::Embeds {
            language: Language::parse("en").unwrap(),
            asks: super::Asks::Yes,
            page: "/".into(),
            once: Default::default(),
        };
        let page = Page {
            syntax: Syntax::Xml,
            embeds: Some(embeds),
            ..page(&settings, Granted::default(), Inserts::Nothing)
        };
        let mut rewriter = Rewriter::new(&settings, page);
        let mut out = Vec::new();
        rewriter.write(html.as_bytes(), &mut out).unwrap();
        rewriter.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    const FILM: &str = "https://www.youtube.com/embed/1";
    for element in [
        format!("<embed src=\"{FILM}\"></embed>"),
        format!("<embed src=\"{FILM}\"/>"),
        format!("<h:iframe src=\"{FILM}\"><b><h:iframe/></b></h:iframe>"),
        format!("<iframe src=\"{FILM}\"><!-- </iframe> --><![CDATA[</iframe>]]></iframe>"),
        format!(
            "<object data=\"{FILM}\"><object><iframe/></object><script/><embed src=\"{FILM}\"></embed></object>"
        ),
    ] {
        let out = embeds(&format!("<foreignObject>{element}<b/></foreignObject>"));
        assert!(out.starts_with("<foreignObject><consentry-embed "), "{out}");
        assert!(out.ends_with("</consentry-embed><b/></foreignObject>"), "{out}");
        assert_eq!(out.matches("iframe").count(), 0, "{out}");
    }
}

#[test]
fn an_element_of_xml_with_attributes_that_differ_in_case_alone_goes() {
    let html = "<p><img SRC=\"/a.png\" src=\"https://www.facebook.com/tr\"></img><b/></p>";
    assert_eq!(xml(html, &Inserts::Nothing), "<p><b/></p>");
    let own = "<svg viewBox=\"0 0 9 9\"><image href=\"/a.png\" xlink:href=\"/b.png\"/></svg>";
    assert_eq!(xml(own, &Inserts::Nothing), own);
}

#[test]
fn what_a_page_declares_closes_its_policy_where_it_may_bring_in_addresses() {
    let inserts = Inserts::Guard("g()".into());
    for (declared, is_closed) in [
        ("<!ENTITY nbsp \"&#160;\"> <!ENTITY hej 'hej'> <!ELEMENT p ANY> <!-- a/b ]> \" -->", true),
        ("<!ENTITY nbsp \"&#160;\"> <!ENTITY hej 'hej'>", false),
        ("<!ENTITY a \"]>\"> <!-- ]> \" -->", false),
        ("<!ENTITY u \"https://www.facebook.com/tr\">", true),
        ("<!ENTITY u \"https:&#x2f;&#47;www.facebook.com\">", true),
        ("<!ATTLIST img src CDATA \"tr\">", true),
    ] {
        let doctype = format!("<!DOCTYPE html SYSTEM \"a[b\" [{declared}] >");
        let out = xml(&format!("{doctype}<html><head></head></html>"), &inserts);
        assert!(out.starts_with(&format!("{doctype}<html><head><script ")), "{out}");
        assert_eq!(
            out.contains("http-equiv=\"Content-Security-Policy\" content=\"default-src"),
            is_closed,
            "{declared}"
        );
    }
    let out = xml("<!DOCTYPE html [<!ATTLIST a b CDATA 'c'>]><html><body/></html>", &inserts);
    assert!(out.contains("<head xmlns=") && out.ends_with("/></head><body/></html>"), "{out}");
}

#[test]
fn an_attribute_of_xml_keeps_its_lines_and_the_references_of_its_page() {
    let html = "<iframe srcdoc=\"&lt;script>// c&#10;parent.own = '&hej;'&lt;/script>\"/>";
    let out = xml(html, &Inserts::Nothing);
    assert!(out.contains("// c&#10;parent.own = '&hej;'&lt;/script>"), "{out}");
}

#[test]
fn what_is_text_in_xml_stays_and_what_is_none_is_seen() {
    for shown in [
        format!("<pre><![CDATA[{PIXEL}<script>]]></pre>"),
        format!("<?php {PIXEL} ?>"),
        format!("<!-- --!> {PIXEL} -->"),
        format!("<!DOCTYPE html [<!ENTITY a '{PIXEL}'>]>"),
    ] {
        assert_eq!(xml(&shown, &Inserts::Nothing), shown);
        let out = xml(&format!("{shown}{PIXEL}"), &Inserts::Nothing);
        assert!(out.starts_with(&shown) && out.contains("data-consentry-src"), "{out}");
    }
}

#[test]
fn inline_scripts_of_xml_are_read_as_browsers_read_them_and_stay_well_formed() {
    let held = "data-consentry-service=\"meta-pixel\" data-consentry-category=\"marketing\">";
    for (script, expected) in [
        ("if (a &lt; b &amp;&amp; c) own();", String::new()),
        ("//<![CDATA[\nif (a < b && c) own();\n//]]>", String::new()),
        (
            "//<![CDATA[\nif (a < b && c) own();\nfbq('init', '1');\n//]]>",
            format!(
                "//\nif (a &lt; b &amp;&amp; c) own();\n\n//</script><script type=\"text/plain\" {held}fbq('init', '1');"
            ),
        ),
        (
            "<![CDATA[!function(f){f.src='https://connect.facebook.net/en_US/fbevents.js'}(a&&b)]]>",
            format!(
                "</script><script type=\"text/plain\" {held}\
                 <![CDATA[!function(f){{f.src='https://connect.facebook.net/en_US/fbevents.js'}}(a&&b)]]>"
            ),
        ),
    ] {
        let expected = if expected.is_empty() { script } else { &expected };
        assert_eq!(
            xml(&format!("<p><script>{script}</script></p>"), &Inserts::Nothing),
            format!("<p><script>{expected}</script></p>")
        );
    }
    let style = "<style>a &gt; b { background: url(&quot;https://www.facebook.com/tr&quot;) }</style>";
    let out = xml(style, &Inserts::Nothing);
    assert!(out.starts_with("<style>a &gt; b {") || out.starts_with("<style>a > b {"), "{out}");
    assert!(!out.contains("facebook.com"), "{out}");
    let hidden = "<style>a { background: url&#40;//www.facebook.com/tr) }</style>";
    assert!(!xml(hidden, &Inserts::Nothing).contains("facebook.com"));
    let own = "<style>a &gt; b { background: url(&quot;/own.png&quot;) }</style>";
    assert_eq!(xml(own, &Inserts::Nothing), own);
    let frame = "<iframe srcdoc=\"&lt;img src='https://www.facebook.com/tr'>\"></iframe>";
    let out = xml(frame, &Inserts::Nothing);
    assert!(out.contains("data-consentry-src") && out.matches('<').count() == 2, "{out}");
}

#[test]
fn sections_of_svg_in_html_are_read_to_the_letter() {
    let style = "<svg><style><![CDATA[ a::after { content: \"x & y\" } p { background: url(\"https://www.facebook.com/tr\") } ]]></style></svg>";
    let out = held(style);
    assert!(
        out.starts_with("<svg><style><![CDATA[ a::after { content: \"x & y\" } p {")
            && !out.contains("facebook.com"),
        "{out}"
    );
    assert!(out.ends_with("]]></style></svg>"), "{out}");
    let script = "<svg><script><![CDATA[fbq('init', '1' && 2)]]></script><image href=/a /></svg>";
    let out = held(script);
    assert!(out.starts_with("<svg><script><![CDATA[]]></script><script type=\"text/plain\""), "{out}");
    assert!(out.ends_with("><![CDATA[fbq('init', '1' && 2)]]></script><image href=/a /></svg>"), "{out}");
}
