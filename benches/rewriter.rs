//! What a page costs to be rewritten: for visitors who have not chosen, for those who agreed to all, with a catalogue
//! of nothing in place of the whole one, and what the parser alone costs in the same run.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up must fail at once")]

mod support;

use std::sync::Arc;

use consentry::consent::Granted;
use consentry::filter::html::{Inserts, Page, Request, Rewriter};
use consentry::filter::scope::Scope;
use consentry::filter::{Banner, Settings};
use consentry::services::{Catalogue, Set};
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

/// A page of about `kib` KiB with something to judge in every row: images, scripts and links of hosts that nobody
/// knows, and scripts of the site's own.
fn laden_page(kib: usize) -> String {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang=\"sv\">\n<head>\n<title>Nyheter</title>\n</head>\n<body>\n",
    );
    for row in 1.. {
        if page.len() + 700 > kib * 1024 {
            break;
        }
        page.push_str(&format!(
            "<article><a href=\"https://www.partner-{row}.example/nyhet/{row}\"><img src=\"https://images.news-{row}.example/\
             {row}.jpg\" srcset=\"https://images.news-{row}.example/{row}-2.jpg 2x\" alt=\"\"></a>\n\
             <script async src=\"https://widgets.maker-{row}.example/v2/widget.js?id={row}\"></script>\n\
             <script>\nvar article = document.getElementById('article-{row}');\narticle.onclick = function () {{\n  \
             location.href = '/nyhet/' + {row};\n}};\n</script>\n<p style=\"color: #333\">Ett stycke text om något \
             som har hänt på Öland, i Åmål eller någon annanstans.</p></article>\n"
        ));
    }
    page + "</body>\n</html>\n"
}

/// Which services are known.
#[derive(Clone, Copy)]
enum Known {
    /// Those that come with the program, and the example's own.
    All,
    /// None at all.
    Nobody,
}

impl Known {
    fn settings(self) -> Arc<Settings> {
        let settings = Arc::clone(&support::example_site().filter);
        match self {
            Known::All => settings,
            Known::Nobody => {
                let services = Set::default().over(Catalogue::new(Vec::new()));
                Arc::new(Settings { services, ..Settings::clone(&settings) })
            }
        }
    }
}

fn bench(bencher: Bencher<'_, '_>, html: &str, known: Known, granted: Granted, undecided: bool) {
    let settings = known.settings();
    let page = Page {
        url: "https://www.example.se/bilder".parse().unwrap(),
        scope: Scope::of_granted(&settings, &granted),
        granted,
        syntax: consentry::filter::html::Syntax::Html,
        inserts: Inserts::Page {
            guard: "x".repeat(6 * 1024).into(),
            banner: Banner::Shown,
            undecided,
            note: None,
            signal: consentry::consent::signal::Signal::Absent,
            language: Language::parse("sv").unwrap(),
            fixed: None,
            return_to: "/bilder".into(),
            request: Request::Read,
            presumed: false,
        },
        embeds: None,
        nonce: None,
    };
    bencher.counter(BytesCount::of_str(html)).bench_local(|| rewritten(&settings, &page, html.as_bytes()));
}

#[divan::bench(args = SIZES)]
fn for_the_undecided(bencher: Bencher, kib: usize) {
    bench(bencher, &support::page(kib), Known::All, Granted::default(), true);
}

#[divan::bench(args = SIZES)]
fn for_the_undecided_with_an_empty_catalogue(bencher: Bencher, kib: usize) {
    bench(bencher, &support::page(kib), Known::Nobody, Granted::default(), true);
}

#[divan::bench(args = SIZES)]
fn laden_for_the_undecided(bencher: Bencher, kib: usize) {
    bench(bencher, &laden_page(kib), Known::All, Granted::default(), true);
}

#[divan::bench(args = SIZES)]
fn laden_for_the_undecided_with_an_empty_catalogue(bencher: Bencher, kib: usize) {
    bench(bencher, &laden_page(kib), Known::Nobody, Granted::default(), true);
}

#[divan::bench(args = SIZES)]
fn for_those_who_agreed(bencher: Bencher, kib: usize) {
    bench(bencher, &support::page(kib), Known::All, Granted::all(), false);
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
