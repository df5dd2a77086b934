//! What documents and gates cost a request, in time and in memory: the decision for a session that has accepted everything,
//! and the text of a document, rendered anew and from the cache.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot be set up must fail at once")]

#[expect(dead_code, reason = "other benchmarks need the pages")]
mod support;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};

use consentry::clock::Timestamp;
use consentry::consent::Acceptance;
use consentry::documents::{Tables, Text, Wording};
use consentry::gate;
use consentry::services::NamePattern;
use consentry::site::Site;
use consentry::visit::path::{CanonicalPath, PathPattern};
use consentry::visit::{Arrival, Scheme, Visit};
use divan::{AllocProfiler, Bencher, black_box};
use http::Request;

/// Counts what is taken of the memory, beside the time.
#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn gate(number: usize) -> gate::Gate {
    gate::Gate {
        name: format!("gate-{number}").into(),
        document: format!("document-{}", number % 10).into(),
        document_path: CanonicalPath::of("/document.htm"),
        cookie: NamePattern::parse("PHPSESSID"),
        upstream_header: None,
        paths: vec![PathPattern::parse("/konto*").unwrap()],
        methods: Vec::new(),
        except: vec![PathPattern::parse("/konto/logout").unwrap()],
        valid: gate::Valid::OneOf(vec![[1; 16], [2; 16]]),
        lenient_until: None,
        relation: gate::Relation::PrivacyPolicy,
        logout: None,
    }
}

/// A visit of a session that has accepted ten documents.
fn accepted(site: &Site) -> Visit {
    let (parts, ()) = Request::get("/konto/bilder")
        .header("sec-fetch-dest", "document")
        .header("sec-fetch-mode", "navigate")
        .header("cookie", "theme=dark; cart_7=1; _ga=GA1.1.1; PHPSESSID=0123456789abcdef")
        .body(())
        .unwrap()
        .into_parts();
    let arrival = Arrival {
        host: "www.example.se".into(),
        authority: "www.example.se".into(),
        scheme: Scheme::Https,
        client: Ipv4Addr::LOCALHOST.into(),
        now: Timestamp::UNIX_EPOCH,
    };
    let mut visit = Visit::read(&site.visit, &parts, arrival);
    visit.acceptances.extend((0..10).map(|number| Acceptance {
        document: format!("document-{number}").into(),
        version: [2; 16],
        receipt: uuid::Uuid::nil(),
        accepted_at: Timestamp::UNIX_EPOCH,
    }));
    visit
}

/// The gates alone: none of them may be passed over.
#[divan::bench(args = [1, 10, 100])]
fn gates_of_an_accepted_session(bencher: Bencher, gates: usize) {
    let rules = gate::Rules {
        gates: (0..gates).map(gate).collect(),
        crawlers: gate::Crawlers::Pass,
        names: gate::Names::WithTheRequest,
    };
    let visit = accepted(&support::example_site());
    assert_eq!(gate::decide(&rules, &visit).reason(), "admitted");
    bencher.bench(|| matches!(gate::decide(black_box(&rules), black_box(&visit)), gate::Verdict::Admit(_)));
}

/// A document's text as it is shown again: it comes from the cache, whatever its length.
#[divan::bench(args = [1, 100])]
fn a_rendered_document_from_the_cache(bencher: Bencher, paragraphs: usize) {
    rendered(bencher, paragraphs, || 0);
}

/// The same where it is not in the cache.
#[divan::bench(args = [1, 100])]
fn a_document_rendered_anew(bencher: Bencher, paragraphs: usize) {
    let epochs = AtomicU64::new(1);
    rendered(bencher, paragraphs, || epochs.fetch_add(1, Ordering::Relaxed));
}

fn rendered(bencher: Bencher<'_, '_>, paragraphs: usize, epoch: impl Fn() -> u64 + Sync) {
    let site = support::example_site();
    let document = site.documents.documents.first().unwrap();
    let text = Text {
        markdown: "Vi *använder* kakor.\n\n".repeat(paragraphs).into(),
        // The wording is part of what the cache knows it by.
        hash: [u8::try_from(paragraphs).unwrap(); 32],
        ..document.texts.first().unwrap().clone()
    };
    let seen = site.filter.observed.snapshot();
    let wording = |epoch| Wording {
        site: &site.name,
        epoch,
        shelf: &site.documents,
        text: &text,
        tables: Tables::Filled,
        services: &site.filter.services,
        necessary: &site.filter.cookies.necessary,
        seen: &seen,
        look: &site.filter.look,
        own_lifetimes: [180, 400],
    };
    wording(0).html();
    bencher.bench(|| wording(black_box(epoch())).html().len());
}
