//! The kit itself: a browser that forgot cookies or decoded nothing would let other tests pass for nothing.

use std::io::Write;

use consentry::filter::Body;
use consentry::filter::body::full;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::{HeaderMap, Method, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;

use crate::support::browser::Browser;
use crate::support::upstream::Upstream;

fn page(status: u16, headers: &[(&'static str, &str)]) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(full("")).unwrap()
}

#[tokio::test]
async fn the_browser_keeps_cookies_follows_and_sends_forms() {
    let site = Upstream::answering(|seen| match seen.target.as_str() {
        "/login" => page(303, &[("location", "home?a=b"), ("set-cookie", "sid=1; Path=/; HttpOnly")]),
        "/logout" => page(200, &[("set-cookie", "sid=; Max-Age=0")]),
        _ => page(200, &[("set-cookie", "safe=1; Secure"), ("X-Case", "1"), ("X-Case", "2")]),
    })
    .await;
    let mut browser = Browser::clear(site.address, "shop.example");
    let answer = browser.post_form("/login", &[("name", "Å &"), ("go", "1")]).await;
    let answer = browser.follow_on("/login", answer).await;
    assert_eq!(answer.all("x-case"), ["1", "2"]);
    assert!(answer.raw_head.starts_with("HTTP/1.1 200 OK\r\n") && answer.raw_head.ends_with("\r\n\r\n"));
    assert_eq!((browser.cookie("sid"), browser.cookie("safe")), (Some("1"), None));
    browser.follow("/logout").await;
    assert_eq!(browser.cookie("sid"), None);
    browser.set_cookie("sid", "2");
    browser.forget_cookies();
    browser.navigate("/").await;
    let seen = site.seen();
    assert_eq!((&seen[0].method, &seen[0].body[..]), (&Method::POST, b"name=%C3%85+%26&go=1".as_slice()));
    assert_eq!(seen[0].header("origin").as_deref(), Some("http://shop.example"));
    assert_eq!((seen[1].target.as_str(), seen[1].header("cookie").as_deref()), ("/home?a=b", Some("sid=1")));
    assert_eq!(seen[3].header("cookie"), None);
}

#[tokio::test]
async fn the_browser_decodes_what_it_is_sent() {
    let site = Upstream::answering(|seen| {
        let coding = seen.target.trim_start_matches('/');
        let plain = b"hello hello hello";
        let coded = match coding {
            "gzip" => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            "deflate" => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            "br" => {
                let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 4, 18);
                encoder.write_all(plain).unwrap();
                encoder.into_inner()
            }
            "zstd" => zstd::encode_all(plain.as_slice(), 3).unwrap(),
            _ => plain.to_vec(),
        };
        Response::builder().header("content-encoding", coding).body(full(coded)).unwrap()
    })
    .await;
    let mut browser = Browser::clear(site.address, "shop.example");
    for coding in ["identity", "gzip", "deflate", "br", "zstd"] {
        assert_eq!(browser.get(&format!("/{coding}")).await.text(), "hello hello hello", "{coding}");
    }
}

#[tokio::test]
async fn the_upstream_remembers_trailers() {
    let site = Upstream::page("text/plain", "hello").await;
    let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), "7".parse().unwrap())]);
    let frames = [Ok::<_, std::convert::Infallible>(Frame::data("hi".into())), Ok(Frame::trailers(trailers))];
    let body = consentry::filter::body::stream(StreamBody::new(futures_util::stream::iter(frames)));
    let request = Request::post("/").header("trailer", "x-sum").body(body).unwrap();
    Browser::clear(site.address, "shop.example").send(request).await;
    assert_eq!(site.only().trailers.unwrap()["x-sum"], "7");
}
