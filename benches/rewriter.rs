//! What a page costs to be rewritten: for visitors who have not chosen, for those who agreed to all, and what the
//! parser alone costs in the same run.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up must fail at once")]

mod support;

use std::sync::Arc;

use consentry::consent::Granted;
use consentry::filter::html::{Inserts, Page, Rewriter};
use consentry::filter::scope::Scope;
use consentry::filter::{Banner, Settings};
use consentry::web::language::Language;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use support::SIZES;

fn main() {
    divan::main();
}

/// Pieces as a network brings them.
const PIECE: usize = 16 * 1024;

fn rewritten(settings: &Arc<Settings>, page: &Page, html: &[u8]) -> usize {
    let mut rewriter = Rewriter::new(settings, page.clone());
    let mut out = Vec::with_capacity(html.len() + 8 * 1024);
    for piece in html.chunks(PIECE) {
        rewriter.write(black_box(piece), &mut out).unwrap();
    }
    rewriter.end(&mut out).unwrap();
    out.len()
}

fn bench(bencher: Bencher<'_, '_>, kib: usize, granted: Granted, undecided: bool) {
    let settings = Arc::clone(&support::example_site().filter);
    let html = support::page(kib);
    let page = Page {
        url: "https://www.example.se/bilder".parse().unwrap(),
        scope: Scope::of_granted(&settings, &granted),
        granted,
        inserts: Inserts::Page {
            guard: "x".repeat(6 * 1024).into(),
            banner: Banner::Shown,
            undecided,
            note: None,
            signal: consentry::consent::signal::Signal::Absent,
            language: Language::parse("sv").unwrap(),
            fixed: None,
            return_to: "/bilder".into(),
            presumed: false,
        },
        embeds: None,
        nonce: None,
    };
    bencher.counter(BytesCount::of_str(&html)).bench_local(|| rewritten(&settings, &page, html.as_bytes()));
}

#[divan::bench(args = SIZES)]
fn for_the_undecided(bencher: Bencher, kib: usize) {
    bench(bencher, kib, Granted::default(), true);
}

#[divan::bench(args = SIZES)]
fn for_those_who_agreed(bencher: Bencher, kib: usize) {
    bench(bencher, kib, Granted::all(), false);
}

#[divan::bench(args = SIZES)]
fn the_parser_alone(bencher: Bencher, kib: usize) {
    let html = support::page(kib);
    bencher.counter(BytesCount::of_str(&html)).bench_local(|| {
        let mut out = Vec::with_capacity(html.len());
        let settings = lol_html::Settings::new_send();
        let mut rewriter =
            lol_html::send::HtmlRewriter::new(settings, |bytes: &[u8]| out.extend_from_slice(bytes));
        for piece in html.as_bytes().chunks(PIECE) {
            rewriter.write(black_box(piece)).unwrap();
        }
        rewriter.end().unwrap();
        out.len()
    });
}
