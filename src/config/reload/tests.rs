//! Folders of settings that change while they are in force.

use std::fs;
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::config::tests::lines;
use crate::config::{FirstStart, load};
use crate::site::Site;

const MAIN: &str = "listen: [{ address: 127.0.0.1:0 }]\nsecrets: file:../data/secrets\n";

/// A folder of settings, and those in force.
struct Running {
    folder: TempDir,
    settings: Settings,
}

impl Running {
    fn start(files: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join("config").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("consentry.yaml", MAIN);
        write("documents/privacy.sv.md", &document("Vi använder kakor."));
        files.iter().for_each(|(name, text)| write(name, text));
        let loaded = load(&folder.path().join("config/consentry.yaml"), FirstStart::MakeSecrets);
        let settings = loaded.unwrap_or_else(|problems| panic!("{}", lines(&problems))).settings;
        Running { folder, settings }
    }

    /// Two sites, `one` and `two`, with a document between them.
    fn with_two() -> Self {
        Running::start(&[
            ("sites/one.yaml", &site("one.example", "")),
            ("sites/two.yaml", &site("two.example", "")),
        ])
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join("config").join(name), text).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.folder.path().join("config").join(name)).unwrap();
    }

    /// Reads again, and takes what comes.
    fn reload(&mut self) -> Reread {
        let mut reread = reload(&self.folder.path().join("config/consentry.yaml"), &self.settings);
        if let Some(settings) = reread.settings.take() {
            self.settings = settings;
        }
        reread
    }

    /// The same, with nothing wrong.
    fn reload_well(&mut self) {
        let reread = self.reload();
        assert_eq!((lines(&reread.problems), reread.outdated.len()), (String::new(), 0));
    }

    /// The same, with an error in each of these places, and with so many sites that stay as they were.
    fn reload_badly(&mut self, places: &[&str], outdated: usize) {
        let reread = self.reload();
        let root = format!("{}/config/", self.folder.path().display());
        let told: Vec<_> =
            reread.problems.iter().map(|problem| problem.to_string().replace(&root, "")).collect();
        let is_told = |place: &&str| told.iter().any(|line| line.starts_with(place));
        assert!(told.len() == places.len() && places.iter().all(is_told), "{told:#?}");
        assert_eq!(reread.outdated.len(), outdated);
    }

    fn site(&self, host: &str) -> Option<Arc<Site>> {
        self.settings.sites.find(host).cloned()
    }

    fn upstream(&self, host: &str) -> String {
        let site = self.site(host).unwrap();
        match &site.upstream.targets[0].target.endpoint {
            crate::upstream::Endpoint::Tcp { host, .. } => host.to_string(),
            crate::upstream::Endpoint::Unix(path) => path.display().to_string(),
        }
    }
}

fn document(text: &str) -> String {
    format!("---\ntitle: Kakor\nversion: 1\n---\n{text}\n")
}

fn site(host: &str, more: &str) -> String {
    let upstream = if more.contains("upstream:") { "" } else { "upstream: http://a.example\n" };
    format!(
        "hosts: [{host}]\nlanguages: [sv]\n{upstream}controller: {{ name: Exempelbyrån AB }}\n\
         documents: {{ privacy: {{ kind: notice, path: /kakor, files: {{ sv: ../documents/privacy.sv.md }} }} }}\n\
         {more}\n"
    )
}

/// The same site behind another host name.
fn moved(host: &str) -> String {
    site(host, "upstream: http://b.example")
}

#[test]
fn a_link_that_leads_nowhere_is_an_error_and_its_site_stays() {
    let mut running = Running::with_two();
    let sites = running.folder.path().join("config/sites");
    fs::rename(sites.join("one.yaml"), running.folder.path().join("one")).unwrap();
    std::os::unix::fs::symlink("../../one", sites.join("one.yaml")).unwrap();
    running.reload_well();
    fs::remove_file(running.folder.path().join("one")).unwrap();
    std::os::unix::fs::symlink("loop.yaml", sites.join("loop.yaml")).unwrap();
    running.reload_badly(
        &["sites/one.yaml: the file cannot be read: No such", "sites/loop.yaml: the file cannot"],
        1,
    );
    assert_eq!(running.upstream("one.example"), "a.example");
    fs::remove_file(sites.join("loop.yaml")).unwrap();
    fs::remove_file(sites.join("one.yaml")).unwrap();
    running.reload_well();
    assert!(running.site("one.example").is_none());
}

#[test]
fn what_has_not_changed_is_carried_over_and_not_made_again() {
    let mut running = Running::with_two();
    let (one, two) = (running.site("one.example").unwrap(), running.site("two.example").unwrap());
    running.reload_well();
    running.write("consentry.yaml", &format!("{MAIN}timeouts: {{ idle: 7s }}\n"));
    running.write("sites/two.yaml", &moved("two.example"));
    running.reload_well();
    assert_eq!(running.settings.timeouts.idle.as_secs(), 7);
    assert!(Arc::ptr_eq(&one, &running.site("one.example").unwrap()));
    assert!(!Arc::ptr_eq(&two, &running.site("two.example").unwrap()));
    assert_eq!(running.upstream("two.example"), "b.example");
}

#[test]
fn whatever_a_site_is_made_of_has_it_made_again() {
    let two = site("two.example", "upstream: 'file:../where'");
    let own = site("three.example", "").replace("privacy.sv", "own.sv");
    let mut running = Running::start(&[
        ("sites/one.yaml", &site("one.example", "")),
        ("sites/two.yaml", &two),
        ("sites/three.yaml", &own),
        ("documents/own.sv.md", &document("Egna kakor.")),
        ("where", "http://a.example\n"),
    ]);
    let hosts = ["one.example", "two.example", "three.example"];
    let mut before = hosts.map(|host| running.site(host).unwrap());
    let mut made_again = |running: &mut Running| {
        running.reload_well();
        let after = hosts.map(|host| running.site(host).unwrap());
        let made_again: Vec<bool> =
            before.iter().zip(&after).map(|(before, after)| !Arc::ptr_eq(before, after)).collect();
        before = after;
        made_again
    };
    running.write("where", "http://b.example\n");
    assert_eq!(made_again(&mut running), [false, true, false]);
    running.write("documents/privacy.sv.md", &document("Andra kakor."));
    assert_eq!(made_again(&mut running), [true, true, false]);
    running.write("consentry.yaml", &format!("{MAIN}defaults: {{ crawlers: treat }}\n"));
    assert_eq!(made_again(&mut running), [true, true, true]);
    running.write("../data/secrets", &"n".repeat(40));
    assert_eq!(made_again(&mut running), [true, true, true]);
    assert_eq!(made_again(&mut running), [false, false, false]);
}

#[test]
fn a_site_with_an_error_stays_as_it_was_and_the_others_go_on() {
    let mut running = Running::with_two();
    let one = running.site("one.example").unwrap();
    running.write("sites/one.yaml", &site("one.example", "mode: enfroce"));
    running.write("sites/two.yaml", &moved("two.example"));
    running.write("sites/new.yaml", &moved("new.example").replace("privacy.sv", "none.sv"));
    let errors = ["sites/one.yaml:6:7: `mode` cannot be `enfroce`", "sites/new.yaml:4:66: the file"];
    running.reload_badly(&errors, 1);
    assert!(Arc::ptr_eq(&one, &running.site("one.example").unwrap()));
    assert_eq!(running.upstream("two.example"), "b.example");
    assert!(running.site("new.example").is_none(), "a new site with an error is not there");
    // The same errors again, and then none.
    running.reload_badly(&errors, 1);
    running.write("sites/one.yaml", &moved("one.example"));
    running.write("sites/new.yaml", &moved("new.example"));
    running.reload_well();
    assert_eq!(
        [running.upstream("one.example"), running.upstream("new.example")],
        ["b.example", "b.example"]
    );
}

#[test]
fn a_broken_main_file_leaves_everything_as_it_was() {
    for (broken, place) in [
        ("listen: [{ adress: 127.0.0.1:0 }]\n", "consentry.yaml:1:12: unknown key `adress`"),
        ("listen: [\n", "consentry.yaml:2:1: not YAML"),
        // An error of the defaults that shows in sites alone.
        (
            &format!("{MAIN}timeouts: {{ idle: 7s }}\ndefaults: {{ own_path: /own }}\n"),
            "consentry.yaml:4:23: `/own` cannot be",
        ),
    ] {
        let mut running = Running::with_two();
        running.write("consentry.yaml", broken);
        running.write("sites/one.yaml", &moved("one.example"));
        running.reload_badly(&[place], 2);
        assert_eq!(running.upstream("one.example"), "a.example", "{broken}");
        assert_eq!(running.settings.timeouts.idle.as_secs(), 60);
        running.write("consentry.yaml", MAIN);
        running.reload_well();
        assert_eq!(running.upstream("one.example"), "b.example");
    }
}

#[test]
fn the_last_good_text_of_a_document_stays_when_its_file_breaks_or_is_gone() {
    let mut running = Running::with_two();
    let own = site("three.example", "").replace("privacy.sv", "own.sv");
    running.write("documents/own.sv.md", &document("Egna kakor."));
    running.write("sites/three.yaml", &own);
    running.reload_well();
    running.write("documents/privacy.sv.md", "no front matter\n");
    running.write("sites/three.yaml", &own.replace("a.example", "b.example"));
    running.reload_badly(&["documents/privacy.sv.md:1:1: the front matter is missing"], 2);
    assert_eq!(running.upstream("three.example"), "b.example", "it does not publish that document");
    for host in ["one.example", "two.example"] {
        let site = running.site(host).unwrap();
        assert!(site.documents.find("privacy").unwrap().texts[0].markdown.contains("Vi använder kakor."));
    }
    running.remove("documents/privacy.sv.md");
    running.reload_badly(&["sites/one.yaml:5:66: the file", "sites/two.yaml:5:66: the file"], 2);
    assert_eq!(running.site("one.example").unwrap().documents.find("privacy").unwrap().texts.len(), 1);
}

#[test]
fn a_file_beside_an_unchanged_main_file_holds_up_no_site() {
    let main = format!("{MAIN}trusted_proxies: [file:networks]\n");
    let mut running = Running::start(&[
        ("consentry.yaml", &main),
        ("networks", "10.0.0.0/8\n"),
        ("sites/one.yaml", &site("one.example", "")),
    ]);
    running.remove("networks");
    running.write("sites/one.yaml", &moved("one.example"));
    running.reload_badly(&["consentry.yaml:3:19: the file `networks` cannot be read"], 0);
    assert_eq!(running.upstream("one.example"), "b.example");
    assert_eq!(running.settings.trusted_proxies.len(), 1);
}

#[test]
fn secrets_that_are_gone_stay_and_are_not_made_anew() {
    let mut running = Running::with_two();
    running.remove("../data/secrets");
    running.write("sites/one.yaml", &moved("one.example"));
    running.reload_badly(&["consentry.yaml:2:10: the secrets cannot be read"], 0);
    assert!(!running.folder.path().join("data/secrets").exists());
    assert_eq!(running.upstream("one.example"), "b.example");
}

#[test]
fn a_host_stays_with_who_had_it_first() {
    let mut running = Running::with_two();
    // The file that comes first by its name is not the owner that came first.
    running.write("sites/first.yaml", &moved("two.example"));
    running.write("sites/one.yaml", &moved("one.example, two.example"));
    let told =
        ["sites/first.yaml:1:9: this host stands here a second time", "sites/one.yaml:1:22: this host"];
    running.reload_badly(&told, 1);
    assert_eq!(
        [running.upstream("one.example"), running.upstream("two.example")],
        ["a.example", "a.example"]
    );
    running.remove("sites/two.yaml");
    running.reload_badly(&["sites/one.yaml:1:22: this host stands here a second time"], 1);
    assert_eq!(&*running.site("two.example").unwrap().name, "first");
}

#[test]
fn hosts_change_hands_in_one_step() {
    let mut running = Running::with_two();
    running.write("sites/one.yaml", &moved("two.example"));
    running.write("sites/two.yaml", &moved("one.example"));
    running.reload_well();
    assert_eq!(&*running.site("two.example").unwrap().name, "one");
    assert_eq!(&*running.site("one.example").unwrap().name, "two");
}

#[test]
fn who_must_stay_gets_back_what_others_have_taken_meanwhile() {
    let mut running = Running::with_two();
    // `one` leaves its host to `two`, but cannot have the new one, which `three` has.
    running.write("sites/three.yaml", &site("three.example", ""));
    running.reload_well();
    running.write("sites/one.yaml", &moved("three.example"));
    running.write("sites/two.yaml", &moved("one.example"));
    running.reload_badly(&["sites/one.yaml:1:9: this host", "sites/two.yaml:1:9: this host"], 2);
    for (host, name) in [("one.example", "one"), ("two.example", "two"), ("three.example", "three")] {
        assert_eq!(&*running.site(host).unwrap().name, name);
    }
}

#[test]
fn a_removed_site_is_gone_but_a_folder_that_is_empty_all_at_once_is_not_believed() {
    let mut running = Running::with_two();
    running.remove("sites/two.yaml");
    running.reload_well();
    assert!(running.site("two.example").is_none());
    running.remove("sites/one.yaml");
    running.reload_badly(&["consentry.yaml:1:1: `sites/*.yaml` names no file"], 1);
    assert!(running.site("one.example").is_some());
}

/// A certificate, another one each time.
fn authority() -> String {
    rcgen::generate_simple_self_signed(["authority.example".to_owned()]).unwrap().cert.pem()
}

#[test]
fn a_renewed_authority_is_noticed_and_nothing_else_is_taken_for_one() {
    let two = site("two.example", "upstream: { url: 'https://a.example', ca: ../ca.pem }");
    let mut running = Running::start(&[
        ("sites/one.yaml", &site("one.example", "")),
        ("sites/two.yaml", &two),
        ("ca.pem", &authority()),
    ]);
    let is_noticed = |running: &mut Running| {
        let before = Arc::clone(running.settings.seen());
        running.reload_well();
        running.settings.seen().has_other_certificates(&before)
    };
    running.write("documents/privacy.sv.md", &document("Andra kakor."));
    assert!(!is_noticed(&mut running));
    running.write("sites/one.yaml", &moved("one.example"));
    assert!(!is_noticed(&mut running));
    running.write("ca.pem", &authority());
    assert!(is_noticed(&mut running));
    running.write("sites/one.yaml", &two.replace("two.example", "one.example").replace("ca.pem", "new.pem"));
    running.write("new.pem", &authority());
    assert!(is_noticed(&mut running));
    assert!(!is_noticed(&mut running));
    let before = Arc::clone(running.settings.seen());
    running.remove("ca.pem");
    running.reload_badly(&["sites/two.yaml:5:43: the file `../ca.pem` does not exist"], 1);
    assert!(!running.settings.seen().has_other_certificates(&before), "connections go on with what was read");
}

#[test]
fn two_readings_have_seen_the_same_unless_a_file_differs() {
    let mut running = Running::with_two();
    assert_eq!(running.reload().seen, *running.settings.seen());
    for (name, text) in [
        ("sites/one.yaml", site("one.example", "# remark")),
        ("sites/new.yaml", "broken: [".into()),
        ("sites/new.yaml", "broken: {".into()),
        ("documents/privacy.sv.md", document("Ny.")),
    ] {
        let before = running.reload().seen;
        running.write(name, &text);
        let after = running.reload().seen;
        assert_ne!(before, after, "{name}");
        running.write("unrelated.log", &text);
        assert_eq!(running.reload().seen, after, "{name}");
    }
}

/// `CONSENTRY_SITES=10000 cargo test --release --lib a_change_of_one -- --nocapture` measures.
#[test]
fn a_change_of_one_site_makes_that_one_alone() {
    let count = std::env::var("CONSENTRY_SITES").map_or(300, |count| count.parse().unwrap());
    let files: Vec<_> = (0..count)
        .map(|number| (format!("sites/{number:05}.yaml"), site(&format!("s{number}.example"), "")))
        .collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let mut running = Running::start(&files);
    let start = Instant::now();
    load(&running.folder.path().join("config/consentry.yaml"), FirstStart::ReadOnly).unwrap();
    println!("{count} sites: loaded in {:?}", start.elapsed());
    let before: Vec<_> =
        (0..count).map(|number| running.site(&format!("s{number}.example")).unwrap()).collect();
    running.write("sites/00007.yaml", &moved("s7.example"));
    let start = Instant::now();
    running.reload_well();
    println!("{count} sites: one change taken in {:?}", start.elapsed());
    let made_again: Vec<_> = before
        .iter()
        .filter(|site| {
            let host = format!("s{}.example", site.name.parse::<usize>().unwrap());
            !Arc::ptr_eq(site, &running.site(&host).unwrap())
        })
        .map(|site| &*site.name)
        .collect();
    assert_eq!(made_again, ["00007"]);
}
