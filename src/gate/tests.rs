use std::sync::Arc;

use http::Request;
use proptest::prelude::*;

use super::*;
use crate::clock::Timestamp;
use crate::consent::Acceptance;
use crate::consent::cookie::Secrets;
use crate::consent::signal::{DoNotTrack, GlobalPrivacyControl};
use crate::visit::{self, Arrival, Scheme};

const FIRST: [u8; 16] = [1; 16];
const SECOND: [u8; 16] = [2; 16];

fn gate(name: &str, document: &str, cookie: Option<&str>, paths: &[&str], except: &[&str]) -> Gate {
    let patterns = |texts: &[&str]| texts.iter().map(|text| PathPattern::parse(text).unwrap()).collect();
    Gate {
        name: name.into(),
        document: document.into(),
        document_path: CanonicalPath::of(&format!("/{document}.htm")),
        cookie: cookie.and_then(NamePattern::parse),
        paths: patterns(paths),
        except: patterns(except),
        upstream_header: None,
        methods: Vec::new(),
        lenient_until: None,
        relation: Relation::PrivacyPolicy,
        logout: None,
        valid: Valid::OneOf(vec![FIRST]),
    }
}

/// The gates of the story: customers, those who want to become one, and administrators.
fn rules() -> Rules {
    Rules {
        gates: vec![
            gate("customers", "privacy", Some("PHPSESSID"), &[], &["/logout", "/api/*"]),
            gate("new-customers", "privacy", None, &["/register*"], &[]),
            gate("administrators", "agreement", None, &["/admin/*"], &[]),
        ],
        crawlers: Crawlers::Pass,
        names: Names::WithTheRequest,
    }
}

const PERSON: &[(&str, &str)] = &[("sec-fetch-dest", "document")];
const PROGRAM: &[(&str, &str)] = &[("sec-fetch-dest", "empty")];

fn visit(method: &str, target: &str, headers: &[(&str, &str)], accepted: &[(&str, [u8; 16])]) -> Visit {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let settings = visit::Settings {
        site: "shop".into(),
        secrets: Arc::new(Secrets::parse(&"s".repeat(32)).unwrap()),
        global_privacy_control: GlobalPrivacyControl::Respect,
        do_not_track: DoNotTrack::Ignore,
        naming: None,
    };
    let arrival = Arrival {
        host: "www.example.se".into(),
        authority: "www.example.se".into(),
        scheme: Scheme::Https,
        client: std::net::Ipv4Addr::LOCALHOST.into(),
        now: Timestamp::UNIX_EPOCH,
    };
    let mut visit = Visit::read(&settings, &request.body(()).unwrap().into_parts().0, arrival);
    visit.acceptances.extend(accepted.iter().map(|(document, version)| Acceptance {
        document: (*document).into(),
        version: *version,
        receipt: uuid::Uuid::nil(),
        accepted_at: Timestamp::UNIX_EPOCH,
    }));
    visit
}

/// What the gates say, and the name of the gate that says it.
fn said(visit: &Visit) -> (&'static str, String) {
    let rules = rules();
    let verdict = decide(&rules, visit);
    let name = match &verdict {
        Verdict::Admit(_) => String::new(),
        Verdict::AskWho(gate, _)
        | Verdict::ShowDocument(gate)
        | Verdict::HoldForm(gate)
        | Verdict::Refuse(gate) => gate.name.to_string(),
    };
    (verdict.reason(), name)
}

#[test]
fn who_has_not_accepted_is_stopped_in_the_way_of_their_request() {
    let session = ("cookie", "PHPSESSID=1");
    for (method, target, from, expected) in [
        ("GET", "/", PERSON, ("admitted", "")),
        ("GET", "/register", PERSON, ("shown", "new-customers")),
        ("HEAD", "/register.php?x=1", PERSON, ("shown", "new-customers")),
        ("POST", "/register.php", PERSON, ("held", "new-customers")),
        ("POST", "/register", PROGRAM, ("refused", "new-customers")),
        ("PUT", "/register", PERSON, ("refused", "new-customers")),
        ("GET", "/admin/", PERSON, ("shown", "administrators")),
        ("GET", "/admin", PERSON, ("shown", "administrators")),
        ("GET", "/ADMIN/users", PERSON, ("shown", "administrators")),
        ("GET", "/adm%69n/", PERSON, ("shown", "administrators")),
        ("GET", "/x/..//admin/", PERSON, ("shown", "administrators")),
        ("GET", "/administration", PERSON, ("admitted", "")),
        // An ambiguous path may be any gate's.
        ("GET", "/x%2fy", PERSON, ("shown", "new-customers")),
    ] {
        let found = said(&visit(method, target, from, &[]));
        assert_eq!((found.0, found.1.as_str()), expected, "{method} {target}");
    }
    for (method, target, from, expected) in [
        ("GET", "/", PERSON, ("shown", "customers")),
        ("GET", "/data", PROGRAM, ("refused", "customers")),
        ("GET", "/logout", PERSON, ("admitted", "")),
        ("POST", "/logout", PERSON, ("admitted", "")),
        ("GET", "/api/stock", PROGRAM, ("admitted", "")),
        ("GET", "/Logout", PERSON, ("shown", "customers")),
        ("GET", "/api/..%2fkonto", PROGRAM, ("refused", "customers")),
        ("GET", "/robots.txt", PROGRAM, ("admitted", "")),
        ("GET", "/.well-known/x", PROGRAM, ("admitted", "")),
        ("GET", "/news.rss", PERSON, ("admitted", "")),
        ("GET", "/style.CSS", PROGRAM, ("admitted", "")),
        ("GET", "/konto/x.css", PERSON, ("shown", "customers")),
        ("GET", "/konto.php/x.css", PROGRAM, ("refused", "customers")),
        ("GET", "/jquery-3.7.1/x.css", PROGRAM, ("admitted", "")),
        ("POST", "/style.css", PROGRAM, ("refused", "customers")),
    ] {
        let found = said(&visit(method, target, &[from, &[session]].concat(), &[]));
        assert_eq!((found.0, found.1.as_str()), expected, "in a session: {method} {target}");
    }
}

#[test]
fn an_acceptance_opens_the_gates_of_its_document_in_its_wording_alone() {
    let session = [("cookie", "PHPSESSID=1"), ("sec-fetch-dest", "document")];
    for (target, accepted, expected) in [
        ("/", &[("privacy", FIRST)][..], "admitted"),
        ("/register", &[("privacy", FIRST)], "admitted"),
        ("/admin/", &[("privacy", FIRST)], "shown"),
        ("/admin/", &[("privacy", FIRST), ("agreement", FIRST)], "admitted"),
        ("/", &[("agreement", FIRST)], "shown"),
        ("/", &[("privacy", SECOND)], "shown"),
        ("/x%2fy", &[("privacy", FIRST)], "shown"),
        ("/x%2fy", &[("privacy", FIRST), ("agreement", FIRST)], "admitted"),
    ] {
        assert_eq!(said(&visit("GET", target, &session, accepted)).0, expected, "{target} {accepted:?}");
    }
    let mut correction = rules();
    correction.gates.iter_mut().for_each(|gate| gate.valid = Valid::Any);
    let earlier = visit("GET", "/", &session, &[("privacy", SECOND)]);
    assert!(closed(&correction, &earlier).is_none());
}

#[test]
fn a_known_crawler_passes_unless_the_site_treats_it_as_anybody() {
    let crawler = visit("GET", "/register", &[PERSON, &[("user-agent", "Googlebot/2.1")]].concat(), &[]);
    assert!(closed(&rules(), &crawler).is_none());
    assert!(closed(&Rules { crawlers: Crawlers::Treat, ..rules() }, &crawler).is_some());
}

/// What a decision costs does not grow with the gates and documents that there are.
#[test]
fn deciding_takes_no_memory_however_many_gates_and_documents_there_are() {
    let session = [("cookie", "PHPSESSID=1"), ("sec-fetch-dest", "document")];
    for count in [1, 10, 1_000] {
        let named = |number: usize| format!("document-{number}");
        let gates = (0..count).map(|number| {
            gate("g", &named(number), Some("PHPSESSID"), &["/konto*", "/admin/*"], &["/konto/logout"])
        });
        let rules = Rules { gates: gates.collect(), crawlers: Crawlers::Pass, names: Names::WithTheRequest };
        let mut accepted = visit("GET", "/konto/bilder", &session, &[]);
        accepted.acceptances.extend((0..count).map(|number| Acceptance {
            document: named(number).into(),
            version: FIRST,
            receipt: uuid::Uuid::nil(),
            accepted_at: Timestamp::UNIX_EPOCH,
        }));
        let mut wanting = accepted.clone();
        wanting.acceptances.pop();
        let answer = HeaderMap::new();
        for (visit, expected) in [(&accepted, "admitted"), (&wanting, "shown")] {
            let taken = allocation_counter::measure(|| {
                assert_eq!(decide(&rules, visit).reason(), expected);
                let _ = (review(&rules, visit, &answer), announced(&rules, visit), is_wanting(&rules, visit));
            });
            assert_eq!(taken.count_total, 0, "{count} gates, {expected}");
        }
    }
}

/// One path a line, each a JSON string; the integration tests send the same ones.
fn corpus(lines: &str) -> Vec<String> {
    let paths: Vec<String> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(paths.len() >= 60, "{}", paths.len());
    paths
}

/// Ways in which paths were spelt to get past a rule, at proxies and servers of all kinds: each must meet the gate of
/// administrators, whatever the server behind makes of it.
#[test]
fn a_corpus_of_confusing_paths_meets_the_gate() {
    for spelling in corpus(include_str!("../../tests/fixtures/gates/closed-paths.jsonl")) {
        let mut spelt = visit("GET", "/", PERSON, &[("privacy", FIRST)]);
        spelt.path = CanonicalPath::of(&spelling);
        let rules = rules();
        let found = closed(&rules, &spelt).map(|gate| &*gate.name);
        // What is ambiguous is every gate's; all before the administrators' are open to this visitor.
        assert_eq!(found, Some("administrators"), "{spelling}");
    }
}

/// The same ways, to reach what is closed by the name of what is open: `/logout` and `/api/` are, in a session.
#[test]
fn nothing_is_opened_by_a_spelling_of_what_is_open() {
    let session = [("cookie", "PHPSESSID=1"), ("sec-fetch-dest", "document")];
    for spelling in corpus(include_str!("../../tests/fixtures/gates/opened-by-nothing.jsonl")) {
        let mut spelt = visit("GET", "/", &session, &[]);
        spelt.path = CanonicalPath::of(&spelling);
        assert!(closed(&rules(), &spelt).is_some(), "{spelling} as {}", spelt.path);
    }
}

proptest! {
    #[test]
    fn no_way_up_leads_out_of_what_is_open(
        ups in proptest::collection::vec("(\\.\\.|\\.%2e|%2E\\.|%2e%2e|\\.\\.;x|\\.\\. |\\.\\.%00|%252e%252e|\\.\\.%3f|\\.\\.%23|%ef%bc%8e%ef%bc%8e)", 1..4),
        joint in "(/|//|/\\./|\\|%2f|%5c|;/|%ef%bc%8f)",
    ) {
        let session = [("cookie", "PHPSESSID=1"), ("sec-fetch-dest", "document")];
        let mut spelt = visit("GET", "/", &session, &[]);
        let path = format!("/api{joint}{}{joint}konto", ups.join(&joint));
        spelt.path = CanonicalPath::of(&path);
        prop_assert!(closed(&rules(), &spelt).is_some(), "{path} as {}", spelt.path);
    }

    #[test]
    fn no_spelling_of_a_closed_path_opens_it(
        letters in proptest::collection::vec((0..6u8, any::<bool>()), 5),
        start in "(/|//|/\\./|/x/\\.\\./|/;a/|\\\\)", end in "(/|//|/users|;v=1/|/\\.\\./admin/|%2f)",
    ) {
        // Each letter of `admin` as it is, in capitals, or percent-encoded with small or large digits.
        let word: String = "admin".chars().zip(letters).map(|(letter, (how, is_large))| {
            let letter = if is_large { letter.to_ascii_uppercase() } else { letter };
            match how {
                0 => format!("%{:02x}", u32::from(letter)),
                1 => format!("%{:02X}", u32::from(letter)),
                _ => letter.to_string(),
            }
        }).collect();
        let mut spelt = visit("GET", "/", PERSON, &[("privacy", FIRST)]);
        spelt.path = CanonicalPath::of(&format!("{start}{word}{end}"));
        prop_assert!(closed(&rules(), &spelt).is_some(), "{start}{word}{end}");
    }
}
