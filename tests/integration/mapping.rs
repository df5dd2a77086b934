//! What names the upstream names the site to the visitor.

use consentry::filter::body::full;
use http::Response;

use crate::support::upstream::Upstream;
use crate::support::whole::{HOST, Whole, site};

/// An application that does not know where it is visited: it names itself by the target.
async fn application() -> Upstream {
    Upstream::answering(|seen| {
        let own = seen.target.trim_start_matches("/at/");
        Response::builder()
            .status(302)
            .header("location", format!("http://{own}/login?next=http://{own}/"))
            .header("content-location", format!("http://{own}/page"))
            .header("refresh", format!("5; url=http://{own}/again"))
            .header("link", format!("<http://{own}/2>; rel=next, <https://other.example/>; rel=author"))
            .header("set-cookie", "sid=1; Domain=127.0.0.1; Path=/; HttpOnly")
            .header("set-cookie", "theme=dark; Domain=example.se; Path=/")
            .header("set-cookie", "plain=1")
            .header("alt-svc", "h3=\":443\"")
            .body(full(""))
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn a_site_that_is_only_observed_or_passed_leads_nobody_to_the_upstream_either() {
    let upstream = application().await;
    for mode in ["observe", "off"] {
        let proxy = Whole::start(&site(&upstream.url(), &format!("mode: {mode}\n"))).await;
        let answer = proxy.visitor().get(&format!("/at/{}", upstream.address)).await;
        assert_eq!(
            answer.header("location"),
            Some(format!("http://{HOST}/login?next=http://{}/", upstream.address).as_str()),
            "{mode}"
        );
        assert_eq!(answer.header("refresh"), Some(format!("5; url=http://{HOST}/again").as_str()), "{mode}");
        assert_eq!(answer.header("set-cookie"), Some("sid=1; Path=/; HttpOnly"), "{mode}");
        assert_eq!(answer.header("alt-svc"), Some("h3=\":443\""), "{mode}: nothing else changes");
    }
}

#[tokio::test]
async fn addresses_and_cookies_of_the_upstream_become_those_of_the_site() {
    let upstream = application().await;
    let proxy = Whole::start(&site(&upstream.url(), "")).await;
    let answer = proxy.visitor().get(&format!("/at/{}", upstream.address)).await;
    let own = upstream.address;
    for (name, expected) in [
        ("location", format!("http://{HOST}/login?next=http://{own}/")),
        ("content-location", format!("http://{HOST}/page")),
        ("refresh", format!("5; url=http://{HOST}/again")),
        ("link", format!("<http://{HOST}/2>; rel=next, <https://other.example/>; rel=author")),
    ] {
        assert_eq!(answer.header(name), Some(expected.as_str()), "{name}");
    }
    assert_eq!(
        answer.all("set-cookie"),
        ["sid=1; Path=/; HttpOnly", "theme=dark; Domain=example.se; Path=/", "plain=1"]
    );
    assert_eq!(answer.header("alt-svc"), None);
}
