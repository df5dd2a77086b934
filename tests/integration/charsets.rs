//! Pages of every character set come out as they were, byte for byte, but for what is inserted.

use consentry::filter::body::full;
use http::Response;

use crate::support::upstream::{Upstream, piecewise};
use crate::support::whole::{Whole, site};

/// What each set says; its bytes hold the troublesome ones: trail bytes that look like `\`, `|` or letters.
const TEXTS: [(&str, &str); 5] = [
    ("iso-8859-1", "Räksmörgås på Åland, 5 £"),
    ("windows-1251", "Съешь же ещё этих мягких булок"),
    ("shift_jis", "ソフトウェアの表示能力 ― 構造"),
    ("utf-8", "Räksmörgås, 日本語, привет, 😀"),
    ("big5", "功能許蓋 中文"),
];

/// A page with its letters wherever a page can have them.
fn page(text: &[u8], meta: &str) -> Vec<u8> {
    [
        b"<!doctype html><html lang=sv><head>".as_slice(),
        meta.as_bytes(),
        b"<title>",
        text,
        b"</title><script>var s = '",
        text,
        b"';</script></head><body><p title=\"",
        text,
        b"\">",
        text,
        b"<!-- ",
        text,
        b" --></p><textarea>",
        text,
        b"</textarea></body></html>",
    ]
    .concat()
}

/// The page less what was inserted: the guard, the banner and the settings link.
fn without_insertions(page: &[u8]) -> Vec<u8> {
    let mut left = page.to_vec();
    for (start, end) in [
        ("<script data-consentry=\"guard\">", "</script>"),
        ("<script data-consentry=\"known\" ", "</script>"),
        ("<consentry-banner", "</consentry-banner>"),
        // For transformed bodies, where no script can move the banner.
        ("<noscript><style>:root:not(#c#c)>body{", "</style></noscript>"),
        ("<consentry-settings", "</consentry-settings>"),
    ] {
        let find = |text: &str, from: usize| {
            let found = left[from..].windows(text.len()).position(|window| window == text.as_bytes());
            from + found.unwrap_or_else(|| panic!("no {text} in {}", String::from_utf8_lossy(&left)))
        };
        let from = find(start, 0);
        let to = find(end, from) + end.len();
        assert!(left[from..to].is_ascii(), "{start} is not ASCII");
        left.drain(from..to);
    }
    left
}

#[tokio::test]
async fn pages_of_every_character_set_keep_their_bytes_declared_or_not() {
    for (charset, text) in TEXTS {
        let (bytes, _, unmappable) =
            encoding_rs::Encoding::for_label(charset.as_bytes()).unwrap().encode(text);
        assert!(!unmappable, "{charset}");
        for (content_type, meta) in [
            (format!("text/html; charset={charset}"), String::new()),
            ("text/html".to_owned(), format!("<meta charset={charset}>")),
            ("text/html".to_owned(), String::new()),
            // A server that says one thing, and a page that says another.
            ("text/html; charset=utf-8".to_owned(), format!("<meta charset={charset}>")),
        ] {
            let sent = page(&bytes, &meta);
            let (answer, kind) = (sent.clone(), content_type.clone());
            let upstream = Upstream::answering(move |_| {
                Response::builder().header("content-type", &kind).body(full(answer.clone())).unwrap()
            })
            .await;
            let whole = Whole::start(&site(&upstream.url(), "")).await;
            for coding in ["identity", "gzip", "br", "zstd", "deflate"] {
                let mut visitor = whole.visitor().always("accept-encoding", coding);
                let answer = visitor.navigate("/").await;
                assert_eq!(answer.header("content-type"), Some(content_type.as_str()));
                assert_eq!(without_insertions(&answer.decoded()), sent, "{charset} {content_type} {coding}");
            }
            whole.server.stop().await;
        }
    }
}

#[tokio::test]
async fn a_letter_cut_in_two_by_the_network_stays_one() {
    let (bytes, _, _) = encoding_rs::SHIFT_JIS.encode("ソフトウェアの表示能力");
    let sent = page(&bytes, "");
    let (pieces, body) = piecewise();
    let body = std::sync::Mutex::new(Some(body));
    let upstream = Upstream::answering(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        Response::builder().header("content-type", "text/html; charset=shift_jis").body(body).unwrap()
    })
    .await;
    let whole = Whole::start(&site(&upstream.url(), "")).await;
    let page = sent.clone();
    let writing = tokio::spawn(async move {
        for byte in page {
            pieces.send(bytes::Bytes::copy_from_slice(&[byte])).await.unwrap();
        }
    });
    let answer = whole.visitor().navigate("/").await;
    writing.await.unwrap();
    assert_eq!(without_insertions(&answer.decoded()), sent);
    whole.server.stop().await;
}

#[tokio::test]
async fn pages_in_sets_without_ascii_bytes_are_held_too_and_keep_their_letters() {
    let text = "日本語の表示能力";
    let html = format!(
        "<!doctype html><html lang=ja><head><title>{text}</title>\
         <script src=\"https://www.google-analytics.com/ga.js\"></script></head><body><p>{text}</p></body></html>"
    );
    let utf16 = |order: fn(u16) -> [u8; 2]| html.encode_utf16().flat_map(order).collect::<Vec<u8>>();
    let marked = [b"\xff\xfe".as_slice(), &utf16(u16::to_le_bytes)].concat();
    let shifted = encoding_rs::ISO_2022_JP.encode(&html).0.into_owned();
    for (content_type, sent) in [
        ("text/html; charset=utf-16le", utf16(u16::to_le_bytes)),
        ("text/html; charset=utf-16be", utf16(u16::to_be_bytes)),
        ("text/html", marked),
        ("text/html; charset=iso-2022-jp", shifted),
    ] {
        let upstream = Upstream::answering(move |_| {
            Response::builder().header("content-type", content_type).body(full(sent.clone())).unwrap()
        })
        .await;
        let whole = Whole::start(&site(&upstream.url(), "")).await;
        let answer = whole.visitor().navigate("/").await;
        let charset = content_type.split("charset=").nth(1).unwrap_or("utf-16le");
        let set = encoding_rs::Encoding::for_label(charset.as_bytes()).unwrap();
        let (page, is_malformed) = set.decode_without_bom_handling(&answer.bytes);
        assert!(!is_malformed, "{content_type}");
        assert_eq!(page.matches(text).count(), 2, "{content_type}: {page}");
        assert!(
            page.contains("<consentry-banner") && page.contains("data-consentry=\"guard\""),
            "{content_type}"
        );
        assert!(!page.contains(" src=\"https://www.google-analytics.com"), "{content_type}: {page}");
        whole.server.stop().await;
    }
}
