//! Whole folders of settings: the example, golden bad cases, defaults, documents and the first start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;
use crate::filter::Banner;
use crate::gate::Valid;
use crate::listener::{ProxyProtocol, Transport};
use crate::site::{Mode, Site};
use crate::upstream::{Endpoint, Protocol, Tls};

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures() -> PathBuf {
    repository().join("tests/fixtures/config")
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The good settings in a folder of their own, changed by `files`.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = TempDir::new().unwrap();
    copy(&fixtures().join("good"), folder.path());
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn load_folder(folder: &TempDir) -> Result<Loaded, Vec<Problem>> {
    load(&folder.path().join("consentry.yaml"), FirstStart::ReadOnly)
}

fn loaded(files: &[(&str, &str)]) -> Loaded {
    load_folder(&folder(files)).unwrap_or_else(|problems| panic!("{}", lines(&problems)))
}

pub(super) fn lines(problems: &[Problem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

fn only_site(loaded: &Loaded) -> Arc<Site> {
    Arc::clone(loaded.settings.sites.iter().next().unwrap())
}

/// `sites/shop.yaml` of the good settings with `lines` added.
fn shop(lines: &str) -> String {
    fs::read_to_string(fixtures().join("good/sites/shop.yaml")).unwrap() + lines
}

#[test]
fn the_example_loads_without_a_warning() {
    let loaded = load(&repository().join("config/consentry.yaml"), FirstStart::ReadOnly);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{}", lines(&problems)));
    assert_eq!(lines(&loaded.warnings), "");
    let site = only_site(&loaded);
    assert_eq!((&*site.name, site.mode, site.gate.gates.len()), ("example", Mode::Enforce, 3));
    assert_eq!(
        site.documents.documents.iter().map(|document| document.texts.len()).collect::<Vec<_>>(),
        [2, 2]
    );
    assert_eq!(site.filter.banner, Banner::Shown);
    assert_eq!(loaded.settings.listeners[0].transport, Transport::Clear);
    assert_eq!(loaded.settings.listeners[0].address.to_string(), "127.0.0.1:8080");
    assert_eq!(site.upstream.targets[0].target.origin().unwrap(), "http://127.0.0.1:3000");
}

/// Each folder of `bad/` changes some files of `good/`; `expected.txt` has the problems, one a line.
/// The good site with more settings.
fn shop_with(yaml: &str) -> Result<Loaded, String> {
    let shop = fs::read_to_string(fixtures().join("good/sites/shop.yaml")).unwrap();
    load_folder(&folder(&[("sites/shop.yaml", &format!("{shop}{yaml}\n"))]))
        .map_err(|problems| lines(&problems))
}

// COMPLIANCE C22, C23.
#[test]
fn c22_c23_no_agreement_stands_longer_than_a_year_and_no_refusal_is_forgotten_within_half_a_year() {
    for (lifetime, complaint) in [
        ("agreed: 366d", Some("longer than a year")),
        ("agreed: 365d", None),
        ("refused: 179d", Some("asked too soon")),
        ("refused: 180d", None),
    ] {
        let loaded = shop_with(&format!("banner: {{ lifetime: {{ {lifetime} }} }}"));
        match (loaded, complaint) {
            (Ok(_), None) => {}
            (Err(problems), Some(complaint)) => assert!(problems.contains(complaint), "{problems}"),
            (loaded, _) => panic!("{lifetime}: {:?}", loaded.err()),
        }
    }
}

// COMPLIANCE C28.
#[test]
fn c28_what_a_tracker_sets_cannot_be_called_necessary() {
    for (cookie, is_right) in [("_ga", false), ("_fbp", false), ("PHPSESSID", true), ("cart", true)] {
        let loaded = shop_with(&format!("cookies: {{ necessary: [{cookie}] }}"));
        assert_eq!(loaded.is_ok(), is_right, "{cookie}: {:?}", loaded.err());
    }
}

// COMPLIANCE C33: a site for children says all of it in words of its own.
#[test]
fn c33_every_word_of_the_banner_can_be_put_plainer() {
    let loaded =
        shop_with("banner: { texts: { sv: { title: Får vi spara kakor?, text: Fråga en vuxen. } } }")
            .unwrap();
    let look = Arc::clone(&only_site(&loaded).filter.look);
    let texts = look.texts(&look.languages[0]);
    assert_eq!([texts.get("title"), texts.get("text")], ["Får vi spara kakor?", "Fråga en vuxen."]);
}

/// `CONSENTRY_BLESS=1` writes what is found.
#[test]
fn every_bad_case_gives_its_messages() {
    let mut wrong = String::new();
    for case in fs::read_dir(fixtures().join("bad")).unwrap().map(|entry| entry.unwrap().path()) {
        let folder = folder(&[]);
        copy(&case, folder.path());
        let found = match load_folder(&folder) {
            Ok(_) => "no error".to_owned(),
            Err(problems) => {
                assert!(problems.iter().any(Problem::is_error), "{}", case.display());
                let root = folder.path().display().to_string();
                lines(&problems).replace(&format!("{root}/"), "").replace(&root, "here")
            }
        };
        let expected = case.join("expected.txt");
        if std::env::var_os("CONSENTRY_BLESS").is_some() {
            fs::write(&expected, &found).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != found {
            wrong += &format!("== {}\n{found}", case.display());
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_minimal_site_gets_the_defaults_of_the_contract() {
    let loaded = loaded(&[]);
    assert_eq!(lines(&loaded.warnings), "");
    let settings = &loaded.settings;
    assert_eq!(settings.timeouts.request_body.as_secs(), 60);
    assert_eq!(settings.upstream_timeouts.connect.as_secs(), 5);
    assert_eq!((settings.limits.connections, settings.limits.connections_per_address), (10_000, 0));
    assert_eq!((settings.limits.request_header, settings.limits.request_body), (32 << 10, 512 << 20));
    assert_eq!(settings.log_client_address, ClientAddress::Anonymized);
    let site = only_site(&loaded);
    assert_eq!((&*site.own_path, site.mode), ("/_consent/", Mode::Enforce));
    assert_eq!(site.lifetime.agreed.as_secs(), 180 * 86_400);
    assert_eq!(site.filter.html_token, 4 << 20);
    assert_eq!(site.upstream.client_address, ClientAddress::Full);
}

#[test]
fn defaults_fill_what_a_site_leaves_open() {
    let main = "listen: [{ address: 127.0.0.1:0 }]\nsecrets: file:secrets\ndefaults:\n  mode: observe\n  \
                controller: { name: Default AB, email: a@b.example }\n  crawlers: treat\n  \
                banner: { position: top, enabled: false }\n  cookies: { necessary: [SID], unknown: block }\n";
    let site = shop("banner: { position: center }\ncookies: { unknown: allow }\n");
    let site = only_site(&loaded(&[("consentry.yaml", main), ("sites/shop.yaml", &site)]));
    assert_eq!((site.mode, site.gate.crawlers), (Mode::Observe, crate::gate::Crawlers::Treat));
    // A party is replaced whole: the default's address is not this controller's.
    assert_eq!((&*site.controller.name, &site.controller.email), ("Exempelbyrån AB", &None));
    assert_eq!((site.filter.look.position, site.filter.banner), (crate::web::Position::Center, Banner::Off));
    assert_eq!(site.filter.cookies.necessary.len(), 1);
    assert_eq!(site.filter.cookies.unknown, crate::filter::cookies::Unknown::Allow);
}

#[test]
fn paths_of_the_defaults_start_where_the_defaults_stand() {
    let main = "listen: [{ address: 127.0.0.1:0 }]\nsecrets: file:secrets\ndefaults:\n  documents:\n    \
                terms: { kind: agreement, path: /terms, files: { sv: documents/privacy.sv.md, en: documents/privacy.sv.md } }\n";
    let site = only_site(&loaded(&[("consentry.yaml", main)]));
    assert_eq!(site.documents.find("terms").unwrap().texts.len(), 1);
    assert_eq!(site.documents.find("privacy").unwrap().texts.len(), 1);
}

#[test]
fn a_site_that_is_not_filled_in_asks_for_nothing_and_says_so() {
    let gates = shop("gates: [{ name: customers, document: privacy, cookie: SID }]\n");
    let document =
        "---\ntitle: Kakor\nversion: 1\n---\nVi samlar\n[FILL IN: which data]\noch\n[FILL IN: why]\n";
    let loaded = loaded(&[("sites/shop.yaml", &gates), ("documents/privacy.sv.md", document)]);
    let site = only_site(&loaded);
    assert!(site.gate.gates.is_empty());
    assert_eq!(site.filter.banner, Banner::NothingToAsk);
    assert_eq!(site.filter.look.notice_path, None);
    assert_eq!(loaded.not_filled_in, ["shop".into()]);
    let warnings = lines(&loaded.warnings);
    for expected in [
        "privacy.sv.md:6:1: still to be filled in: which data",
        "privacy.sv.md:8:1:",
        "shop.yaml:6:3: `privacy` is not filled in for `sv`",
    ] {
        assert!(warnings.contains(expected), "{warnings}");
    }
}

#[test]
fn a_gate_asks_for_the_present_wordings_unless_they_are_corrections() {
    let gates = shop("gates: [{ name: customers, document: privacy, cookie: SID }]\n");
    let site = only_site(&loaded(&[("sites/shop.yaml", &gates)]));
    let text = &site.documents.documents[0].texts[0];
    assert!(matches!(&site.gate.gates[0].valid, Valid::OneOf(hashes) if text.hash.starts_with(&hashes[0])));
    let document = "---\ntitle: Kakor\nversion: 1\nreacceptance: false\n---\nText\n";
    let site = only_site(&loaded(&[("sites/shop.yaml", &gates), ("documents/privacy.sv.md", document)]));
    assert!(matches!(site.gate.gates[0].valid, Valid::Any));
}

#[test]
fn the_epoch_changes_with_meaning_and_not_with_remarks() {
    let epoch = |files: &[(&str, &str)]| only_site(&loaded(files)).filter.epoch;
    let first = epoch(&[]);
    assert_eq!(epoch(&[("sites/shop.yaml", &format!("# remark\n\n{}", shop("")))]), first);
    assert_ne!(epoch(&[("sites/shop.yaml", &shop("crawlers: treat\n"))]), first);
    let document = "---\ntitle: Kakor\nversion: 1\n---\nAnother text\n";
    assert_ne!(epoch(&[("documents/privacy.sv.md", document)]), first);
}

#[test]
fn the_first_start_makes_a_secret_that_its_owner_alone_reads() {
    let main = "listen: [{ address: 127.0.0.1:0 }]\nsecrets: file:new/folder/secrets\n";
    let folder = folder(&[("consentry.yaml", main)]);
    let file = folder.path().join("new/folder/secrets");
    load_folder(&folder).unwrap();
    assert!(!file.exists(), "checking writes nothing");
    load(&folder.path().join("consentry.yaml"), FirstStart::MakeSecrets).unwrap();
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.len() == 65 && text.trim_end().bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    load(&folder.path().join("consentry.yaml"), FirstStart::MakeSecrets).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), text, "the second start keeps it");
}

#[test]
fn no_secret_is_made_while_the_settings_have_errors() {
    let folder = folder(&[("sites/shop.yaml", "hosts: []\n")]);
    load(&folder.path().join("consentry.yaml"), FirstStart::MakeSecrets).unwrap_err();
    assert!(!folder.path().join("secrets").exists());
}

#[test]
fn secrets_that_others_read_are_warned_of() {
    let folder = folder(&[("secrets", "0123456789abcdef0123456789abcdef\n")]);
    fs::set_permissions(folder.path().join("secrets"), fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = lines(&load_folder(&folder).unwrap().warnings);
    assert!(
        warnings.contains("consentry.yaml:2:10: others may read or change the secrets (mode 644)"),
        "{warnings}"
    );
}

#[test]
fn values_come_from_files_and_the_environment() {
    let main = "listen: [{ address: 'file:listen' }]\nsecrets: file:secrets\nledger: { sqlite: env:CARGO_MANIFEST_DIR }\ntrusted_proxies: [file:networks]\n";
    let files = [
        ("consentry.yaml", main),
        ("listen", "127.0.0.1:0\n"),
        ("networks", "10.0.0.0/8\n2001:db8::1\n"),
        ("sites/shop.yaml", &shop("").replace("http://127.0.0.1:3000", "file:../upstream")),
        ("upstream", "http://10.0.0.1:80\n"),
    ];
    let loaded = loaded(&files);
    // Cargo sets this variable for every test.
    assert_eq!(loaded.settings.ledger.place, crate::ledger::Place::Sqlite(repository().to_owned()));
    assert_eq!(loaded.settings.trusted_proxies.len(), 2);
    assert_eq!(only_site(&loaded).upstream.targets[0].target.origin().unwrap(), "http://10.0.0.1");
}

#[test]
fn an_upstream_has_addresses_of_all_kinds_and_checks() {
    let site = shop("health: { path: '/healthz?full', host: shop.example, interval: 2s, unhealthy: 5 }\n").replace(
        "http://127.0.0.1:3000",
        "[http://10.0.0.1, { url: 'h2c://app:81', weight: 3, connections: 200 }, 'unix:run/app.sock', https://a.se]",
    );
    let loaded = loaded(&[("sites/shop.yaml", &site)]);
    let site = only_site(&loaded);
    let found: Vec<_> = site.upstream.targets.iter().map(|of| (of.weight, of.target.connections)).collect();
    assert_eq!(found, [(1, 0), (3, 200), (1, 0), (1, 0)]);
    let protocols: Vec<_> = site.upstream.targets.iter().map(|of| of.target.protocol.clone()).collect();
    assert_eq!(protocols, [Protocol::Http, Protocol::Http2, Protocol::Http, Protocol::Tls(Tls::default())]);
    let Endpoint::Unix(socket) = &site.upstream.targets[2].target.endpoint else { panic!("{site:?}") };
    assert!(socket.is_absolute() && socket.ends_with("sites/run/app.sock"), "{socket:?}");
    assert_eq!(
        site.filter.upstream_origins,
        ["http://10.0.0.1", "http://app:81", "https://a.se"].map(Box::from)
    );
    let check = site.upstream.check.as_ref().unwrap();
    assert_eq!(
        (check.path.as_str(), check.host.as_ref().unwrap().as_str()),
        ("/healthz?full", "shop.example")
    );
    // A check that is made every two seconds has two seconds.
    assert_eq!((check.interval.as_secs(), check.timeout.as_secs()), (2, 2));
    assert_eq!((check.thresholds.healthy, check.thresholds.unhealthy), (2, 5));
}

#[test]
fn what_has_no_behaviour_or_little_sense_is_warned_of() {
    let site = shop(
        "own_services: [{ name: acme-stats, category: statistics, urls: [stats.acme.example] }]\n\
         services: { acme-stats: anonymize, marketing: allow }\n",
    )
    .replace("http://127.0.0.1:3000", "{ url: 'http://a.example', verify: false }")
    .replace("languages: [sv]", "languages: [sv, vo]");
    let warnings = lines(&loaded(&[("sites/shop.yaml", &site)]).warnings);
    for expected in [
        "`verify` does nothing without TLS",
        "`acme-stats` cannot be anonymized",
        "`marketing` runs before anybody has agreed",
        "no texts in `vo`",
    ] {
        assert!(warnings.contains(expected), "{expected}\n{warnings}");
    }
}

#[test]
fn a_listener_expects_the_proxy_protocol_only_where_it_says_so() {
    let main = "listen: [{ address: 127.0.0.1:0, proxy_protocol: true }, { address: 127.0.0.1:0 }]\n\
                secrets: file:secrets\n";
    let loaded = loaded(&[("consentry.yaml", main)]);
    assert_eq!(lines(&loaded.warnings), "");
    let expected = [ProxyProtocol::Required, ProxyProtocol::Unused];
    assert_eq!(
        loaded.settings.listeners.iter().map(|listener| listener.proxy_protocol).collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn aliases_are_followed_but_no_bomb_goes_off() {
    let site = shop("gates:\n  - &gate { name: one, document: privacy, cookie: SID }\nown_services: []\n");
    assert_eq!(only_site(&loaded(&[("sites/shop.yaml", &site)])).gate.gates.len(), 1);
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let before = format!("*a{}", level - 1);
        bomb += &format!("a{level}: &a{level} [{}]\n", [before.as_str(); 9].join(", "));
    }
    let problems = load_folder(&folder(&[("sites/shop.yaml", &bomb)])).unwrap_err();
    assert!(lines(&problems).contains("the file holds too much"), "{}", lines(&problems));
    let deep = format!("hosts: {}{}\n", "[".repeat(5_000), "]".repeat(5_000));
    let problems = load_folder(&folder(&[("sites/shop.yaml", &deep)])).unwrap_err();
    assert!(lines(&problems).contains("sites/shop.yaml:1:"), "{}", lines(&problems));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]
    #[test]
    fn no_file_of_settings_panics(text in "[a-z:{}\\[\\],&*! \"'\n#|>-]{0,120}", key in "hosts|services|gates|banner|upstream") {
        let folder = folder(&[("sites/shop.yaml", &format!("{key}: {text}"))]);
        let _ = load_folder(&folder);
    }
}

#[test]
fn a_site_s_own_service_is_told_of_like_one_of_the_catalogue() {
    let site = shop(
        "own_services:\n\
         - name: acme-stats\n  title: Acme Stats\n  category: statistics\n  provider: Acme AB\n  country: se\n  \
         purpose: { en: Counts visits, sv: Räknar besök }\n  urls: [\"stats.acme.example/*\"]\n  \
         cookies: [_plain, { name: \"_acme*\", lifetime: 2y, purpose: Tells apart }]\n  \
         storage: [\"acme.*\"]\n  globals: [acmeq]\n  embed: other\n  marks: [.acme-box]\n  \
         anonymize: { script: \"acmeq=[]\", urls: [{ from: stats.acme.example/t, set: { dnt: \"1\" } }] }\n\
         services: { acme-stats: anonymize }\n",
    );
    let loaded = loaded(&[("sites/shop.yaml", &site)]);
    let site = only_site(&loaded);
    let service = site.filter.services.find("acme-stats").unwrap();
    assert_eq!((&*service.name, &*service.provider, &*service.country), ("Acme Stats", "Acme AB", "SE"));
    assert_eq!((&*service.purpose.sv, service.cookies.len()), ("Räknar besök", 2));
    assert_eq!((&*service.cookies[1].lifetime, &*service.cookies[1].purpose.sv), ("2y", "Tells apart"));
    assert!(service.storage[0].covers("acme.id") && service.embed.is_some());
    let means = service.anonymize.as_ref().unwrap();
    let changed = means.urls[0].apply(&"https://stats.acme.example/t?a=1".parse().unwrap());
    assert_eq!(changed.unwrap().as_str(), "https://stats.acme.example/t?a=1&dnt=1");
}

// COMPLIANCE C38.
#[test]
fn c38_a_consent_tool_of_others_is_told_to_the_operator() {
    let good = fs::read_to_string(fixtures().join("good/sites/shop.yaml")).unwrap();
    let told = |more: &str| {
        let loaded = loaded(&[("sites/shop.yaml", &format!("{good}\n{more}\n"))]);
        let observed = Arc::clone(&only_site(&loaded).filter.observed);
        observed.note_time("2026-11-24T12:00:00Z".parse().unwrap());
        observed.saw_service("cookiebot");
        lines(&loaded.settings.undeclared(|site| site.filter.observed.snapshot()))
    };
    let text = told("");
    assert!(text.contains("pages ask for consent with Cookiebot (`cookiebot`), too"), "{text}");
    assert!(text.contains("write `services: { cookiebot: strip }`"), "{text}");
    assert!(!text.contains("do not name"), "{text}");
    for more in ["mode: observe", "banner: { enabled: false }", "services: { cookiebot: strip }"] {
        assert!(!told(more).contains("Cookiebot"), "{more}");
    }
}
