//! `hsts` of a site: said over HTTPS on every answer, never in clear text, and only where the site wants it.

use consentry::filter::Body;
use consentry::filter::body::full;
use http::Response;

use crate::support::browser::{Answer, Browser, Speaks};
use crate::support::certificates::Authority;
use crate::support::upstream::Upstream;
use crate::support::whole::{CUSTOMERS, HOST, NOTICE, Whole, site};

const HSTS: &str = "strict-transport-security";
const ON: &str = "hsts: { max_age: 365d, include_subdomains: true }\n";

/// An application that says so itself, for a minute.
async fn application() -> Upstream {
    Upstream::answering(|_| -> Response<Body> {
        Response::builder().header(HSTS, "max-age=60").body(full("hello")).unwrap()
    })
    .await
}

/// A proxy with a listener in clear text, which believes the test of being a proxy, and one with TLS.
async fn whole(authority: &Authority, upstream: &Upstream, more: &str) -> Whole {
    let files = authority.sign(&[HOST]);
    let listen = format!(
        "trusted_proxies: [127.0.0.1]\nlisten:\n  - address: 127.0.0.1:0\n  - address: 127.0.0.1:0\n    \
         tls: {{ certificates: [{{ certificate: {}, key: {} }}] }}",
        files.certificate.display(),
        files.key.display()
    );
    Whole::start_with(&listen, &site(&upstream.url(), more)).await
}

fn visitor(whole: &Whole, authority: &Authority, speaks: Speaks) -> Browser {
    Browser::tls(whole.server.addresses()[1], HOST, authority, speaks)
}

fn said(answer: &Answer) -> Vec<&str> {
    answer.all(HSTS)
}

#[tokio::test]
async fn every_answer_over_https_says_it_in_place_of_what_the_upstream_says() {
    const WANTED: [&str; 1] = ["max-age=31536000; includeSubDomains"];
    let (authority, upstream) = (Authority::new(), application().await);
    let whole = whole(&authority, &upstream, &format!("{ON}{CUSTOMERS}")).await;
    let mut visitor = visitor(&whole, &authority, Speaks::Http2);
    for target in ["/", NOTICE, "/_consent/choices", "/_consent/nothing"] {
        assert_eq!(said(&visitor.get(target).await), WANTED, "{target}");
    }
    visitor.set_cookie("PHPSESSID", "1");
    let gated = visitor.navigate("/account").await;
    assert_eq!((gated.status.as_u16(), said(&gated)), (303, WANTED.into()));
    whole.server.stop().await;
}

#[tokio::test]
async fn nothing_is_said_in_clear_text_but_behind_a_proxy_that_spoke_https() {
    let (authority, upstream) = (Authority::new(), application().await);
    let whole = whole(&authority, &upstream, ON).await;
    for target in ["/", "/_consent/choices"] {
        assert!(said(&whole.visitor().get(target).await).is_empty(), "{target}");
        let mut behind = whole.visitor().always("x-forwarded-proto", "https");
        assert_eq!(said(&behind.get(target).await).len(), 1, "{target}");
    }
    whole.server.stop().await;
}

#[tokio::test]
async fn a_site_without_it_leaves_the_upstreams_own_and_a_plain_one_may_want_it_too() {
    let (authority, upstream) = (Authority::new(), application().await);
    for (more, wanted) in [
        ("", "max-age=60"),
        ("mode: off\nhsts: { max_age: 0s }\n", "max-age=0"),
        (
            "mode: observe\nhsts: { max_age: 400d, include_subdomains: true, preload: true }\n",
            "max-age=34560000; includeSubDomains; preload",
        ),
    ] {
        let whole = whole(&authority, &upstream, more).await;
        assert_eq!(said(&visitor(&whole, &authority, Speaks::Http1).get("/").await), [wanted]);
        whole.server.stop().await;
    }
}
