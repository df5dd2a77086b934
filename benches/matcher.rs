//! What an address, a script or a cookie costs to be told apart, with a small catalogue and with a large one:
//! the time must not grow with the number of services, neither of a site's own nor of those that come with the program.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up must fail at once")]

use std::collections::HashMap;

use consentry::consent::Category;
use consentry::services::{Catalogue, CookieInfo, NamePattern, Service, Set, Texts, UrlPattern};
use divan::{Bencher, black_box};
use url::Url;

fn main() {
    // It is read once for the process, and not while a clock runs.
    Catalogue::builtin();
    divan::main();
}

/// How many services a site has beside the built-in catalogue.
const OWN: [usize; 3] = [0, 100, 10_000];

fn set(own: usize) -> Set {
    let service = |number: usize| Service {
        urls: vec![UrlPattern::parse(&format!("*.tracker-{number}.example/t/")).unwrap()],
        inline: vec![format!("tracker{number}.push(").into()],
        cookies: vec![CookieInfo {
            name: NamePattern::parse(&format!("_t{number}*")).unwrap(),
            lifetime: "".into(),
            purpose: Texts::default(),
        }],
        ..Service::new(&format!("own-{number}"), Category::Statistics)
    };
    Set::new((0..own).map(service).collect(), HashMap::new(), HashMap::new())
}

#[divan::bench(args = OWN)]
fn address_of_a_service(bencher: Bencher, own: usize) {
    let (set, url) = (set(own), Url::parse("https://www.googletagmanager.com/gtag/js?id=G-1").unwrap());
    bencher.bench(|| set.identify_url(black_box(&url)).is_some());
}

#[divan::bench(args = OWN)]
fn address_of_nobody(bencher: Bencher, own: usize) {
    let (set, url) = (set(own), Url::parse("https://www.example.se/bilder/17.png").unwrap());
    bencher.bench(|| set.identify_url(black_box(&url)).is_some());
}

#[divan::bench(args = OWN)]
fn script_of_a_kilobyte(bencher: Bencher, own: usize) {
    let (set, text) = (set(own), "var a = document.getElementById('x');\n".repeat(27));
    bencher
        .counter(divan::counter::BytesCount::of_str(&text))
        .bench(|| set.identify_script(black_box(text.as_bytes())).len());
}

#[divan::bench(args = OWN)]
fn cookie_of_nobody(bencher: Bencher, own: usize) {
    let set = set(own);
    bencher.bench(|| set.identify_cookie(black_box("PHPSESSID")).is_some());
}

/// How many services of the catalogue there are; all at last.
const SHARES: [usize; 3] = [10, 100, usize::MAX];

/// Some of the catalogue, taken from all of its files alike.
fn share(number: usize) -> Catalogue {
    let all: Vec<&Service> = Catalogue::builtin().iter().collect();
    let step = (all.len() / number.min(all.len())).max(1);
    Catalogue::new(all.into_iter().step_by(step).take(number).cloned().collect())
}

#[divan::bench(args = SHARES)]
fn address_of_nobody_in_a_share(bencher: Bencher, number: usize) {
    let (catalogue, url) = (share(number), Url::parse("https://www.example.se/bilder/17.png").unwrap());
    bencher.bench(|| catalogue.identify_url(black_box(&url)).is_some());
}

#[divan::bench(args = SHARES)]
fn addresses_of_services_in_a_share(bencher: Bencher, number: usize) {
    let catalogue = share(number);
    let hosts = catalogue.iter().filter_map(|service| service.urls.first());
    let urls: Vec<Url> = hosts
        .filter(|pattern| &*pattern.host != "*")
        .map(|pattern| {
            Url::parse(&format!("https://{}{}x.js", pattern.host.replace("*.", "www."), pattern.path))
                .unwrap()
        })
        .collect();
    let mut next = urls.iter().cycle();
    bencher.bench_local(move || catalogue.identify_url(black_box(next.next().unwrap())).is_some());
}

#[divan::bench(args = SHARES)]
fn script_of_a_kilobyte_in_a_share(bencher: Bencher, number: usize) {
    let (catalogue, text) = (share(number), "var a = document.getElementById('x');\n".repeat(27));
    bencher
        .counter(divan::counter::BytesCount::of_str(&text))
        .bench(|| catalogue.identify_script(black_box(text.as_bytes())).len());
}

#[divan::bench(args = SHARES)]
fn cookie_of_nobody_in_a_share(bencher: Bencher, number: usize) {
    let catalogue = share(number);
    bencher.bench(|| catalogue.identify_cookie(black_box("PHPSESSID")).is_some());
}
