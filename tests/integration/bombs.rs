//! Small bodies that decode to large ones: cut off, within bounded memory, and counted under a word of their own.

use std::io::Write;

use consentry::filter::body::full;
use http::{Request, Response};
use http_body_util::BodyExt;

use crate::support::soon;
use crate::support::upstream::Upstream;
use crate::support::whole::{Whole, site};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut coded = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    coded.write_all(bytes).unwrap();
    coded.finish().unwrap()
}

/// 16 MiB of blanks behind one element.
fn bomb() -> Vec<u8> {
    let mut page = b"<!doctype html><p>hello</p>".to_vec();
    page.resize(16 << 20, b' ');
    page
}

/// An upstream whose `/bomb` is this, as a page or as data, and whose other addresses are harmless.
async fn upstream(coding: &'static str, coded: Vec<u8>) -> Upstream {
    Upstream::answering(move |seen| match seen.target.as_str() {
        "/" => Response::builder().header("content-type", "text/plain").body(full("hello")).unwrap(),
        target => {
            let kind = if target == "/bomb" { "text/html" } else { "application/octet-stream" };
            let answer = Response::builder().header("content-type", kind).header("content-encoding", coding);
            answer.body(full(coded.clone())).unwrap()
        }
    })
    .await
}

#[tokio::test]
async fn a_page_that_is_a_bomb_is_cut_off_and_counted_and_others_are_served_meanwhile() {
    for (coding, coded) in [("gzip", gzip(&bomb())), ("zstd", zstd::encode_all(&bomb()[..], 3).unwrap())] {
        let most = (8 << 20) + 200 * coded.len() + (64 << 10);
        let upstream = upstream(coding, coded.clone()).await;
        let proxy = Whole::start(&site(&upstream.url(), "")).await;
        let mut visitor = proxy.visitor().always("accept-encoding", "identity");
        let request = Request::get("/bomb").header("sec-fetch-dest", "document").body(full("")).unwrap();
        let (answer, _) = visitor.open(request).await;
        let mut body = answer.into_body();
        let mut got = 0;
        let ended = loop {
            match soon(body.frame()).await {
                Some(Ok(frame)) => got += frame.into_data().unwrap().len(),
                Some(Err(_)) => break "cut off",
                None => break "whole",
            }
            if got < 1 << 20 {
                assert_eq!(proxy.visitor().get("/").await.text(), "hello");
            }
        };
        assert_eq!(ended, "cut off", "{coding}");
        assert!(got <= most, "{coding}: {got} bytes of {}", coded.len());
        assert!(proxy.server.metrics().render().contains("consentry_cut_off_total{reason=\"bomb\"} 1"));
        // What is no page is not decoded here: the visitor gets it as it came.
        assert!(proxy.visitor().always("accept-encoding", coding).get("/data").await.bytes == coded);
        proxy.server.stop().await;
    }
}

#[tokio::test]
async fn a_page_in_thousands_of_gzip_members_is_whole() {
    let cells = 3_000;
    let coded: Vec<u8> = (0..cells).flat_map(|index| gzip(format!("<td>{index}</td>").as_bytes())).collect();
    let empty: Vec<u8> = gzip(b"").repeat(3_000);
    let upstream = upstream("gzip", [gzip(b"<!doctype html><table>"), empty, coded].concat()).await;
    let proxy = Whole::start(&site(&upstream.url(), "")).await;
    let page = proxy.visitor().navigate("/bomb").await.text();
    assert!(page.contains("<td>0</td><td>1</td>") && page.ends_with(&format!("<td>{}</td>", cells - 1)));
}
