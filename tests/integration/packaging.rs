//! What packages install: settings that can be used, files that exist, a unit that is as closed as it says.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::Run;
use crate::support::browser::Browser;
use crate::support::upstream::Upstream;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The files of a folder of this repository, and of those in it.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// /etc/consentry as the package leaves it, with what the proxy writes beside it.
fn unpacked() -> TempDir {
    let folder = TempDir::new().unwrap();
    let etc = folder.path().join("etc");
    for place in ["sites", "documents"] {
        std::fs::create_dir_all(etc.join(place)).unwrap();
        std::fs::write(etc.join(place).join("README"), text(&format!("deploy/deb/{place}.README"))).unwrap();
    }
    let state = folder.path().join("state");
    let settings = text("deploy/deb/consentry.yaml").replace("/var/lib/consentry", state.to_str().unwrap());
    std::fs::write(etc.join("consentry.yaml"), settings).unwrap();
    folder
}

/// The same with the examples of the package.
fn installed() -> TempDir {
    let folder = unpacked();
    let etc = folder.path().join("etc");
    for file in files("config/sites").into_iter().chain(files("config/documents")) {
        let target = etc.join(file.strip_prefix(root().join("config")).unwrap());
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(file, target).unwrap();
    }
    folder
}

#[test]
fn the_settings_of_the_debian_package_are_usable_once_a_site_is_described() {
    let folder = installed();
    let output = Command::new(env!("CARGO_BIN_EXE_consentry"))
        .args(["check", "--config"])
        .arg(folder.path().join("etc/consentry.yaml"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 site ready, no warnings"), "{told}");
}

#[test]
fn the_settings_of_the_debian_package_fit_the_schema_that_they_name() {
    let settings = text("deploy/deb/consentry.yaml");
    assert!(
        settings
            .starts_with("# yaml-language-server: $schema=file:///usr/share/consentry/consentry.schema.json")
    );
    let schema = consentry::config::schema_of(consentry::config::File::Main);
    let settings: serde_json::Value = serde_yaml::from_str(&settings).unwrap();
    let problems: Vec<String> = jsonschema::draft202012::new(&schema)
        .unwrap()
        .iter_errors(&settings)
        .map(|error| error.to_string())
        .collect();
    assert!(problems.is_empty(), "{problems:?}");
}

/// The assets of the Debian package: what is taken, and where it goes.
fn assets() -> Vec<(String, String)> {
    let manifest = text("Cargo.toml");
    let (_, list) = manifest.split_once("\nassets = [\n").unwrap();
    let (list, _) = list.split_once("\n]").unwrap();
    list.lines()
        .map(|line| {
            let mut parts = line.split('"').skip(1).step_by(2);
            (parts.next().unwrap().to_owned(), parts.next().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn every_file_that_the_debian_package_takes_exists() {
    for (source, _) in assets().iter().filter(|(source, _)| !source.starts_with("target/")) {
        let path = root().join(source.trim_end_matches('*'));
        assert!(path.exists(), "{source}");
    }
}

#[test]
fn what_the_guide_refers_to_lies_beside_it() {
    let documents = "usr/share/doc/consentry/";
    assert!(assets().contains(&("docs/*".to_owned(), documents.to_owned())));
    assert!(
        text("deploy/systemd/consentry.service").contains(&format!("file:///{documents}operators-guide.md"))
    );
    let words = words_of_the_guide();
    let files: Vec<_> =
        words.iter().filter(|word| word.ends_with(".md") && !word.contains([' ', '/'])).collect();
    // Names with a language are those of a site's documents.
    let beside = files.iter().filter(|name| name.matches('.').count() == 1);
    let missing: Vec<_> = beside.clone().filter(|name| !root().join("docs").join(name).exists()).collect();
    assert!(beside.count() > 0 && missing.is_empty(), "{missing:?}");
}

#[test]
fn unit_settings_and_package_name_the_same_places() {
    let unit = text("deploy/systemd/consentry.service");
    let settings = text("deploy/deb/consentry.yaml");
    let config = unit.lines().find_map(|line| line.strip_prefix("Environment=CONSENTRY_CONFIG=/")).unwrap();
    assert!(
        assets().iter().any(|(source, target)| source == "deploy/deb/consentry.yaml" && target == config)
    );
    let state = unit.lines().find_map(|line| line.strip_prefix("StateDirectory=")).unwrap();
    for key in ["secrets: file:", "ledger: { sqlite: "] {
        assert!(settings.contains(&format!("{key}/var/lib/{state}/")), "{key}");
    }
    let user = unit.lines().find_map(|line| line.strip_prefix("User=")).unwrap();
    assert!(text("deploy/systemd/consentry.sysusers").contains(&format!("\nu {user} ")));
}

/// `tests/packaging/run` tries it; who waits at a socket that is closed is refused.
#[test]
fn an_upgrade_of_the_debian_package_restarts_the_service_and_not_its_sockets() {
    assert!(text("Cargo.toml").contains("\nrestart-after-upgrade = false\n"));
    let script = text("deploy/deb/postinst");
    let restarted: Vec<_> = script
        .lines()
        .filter_map(|line| line.trim().strip_prefix("deb-systemd-invoke try-restart "))
        .collect();
    assert_eq!(restarted, ["consentry.service >/dev/null || true"]);
    assert_eq!(script.lines().filter(|line| *line == "#DEBHELPER#").count(), 1);
}

/// Nothing is tested where systemd is not installed.
#[test]
fn the_unit_is_as_closed_as_readme_and_guide_say() {
    let rated = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager"])
        .arg(root().join("deploy/systemd/consentry.service"))
        .output();
    let Ok(output) = rated else { return };
    let told = String::from_utf8_lossy(&output.stdout);
    let (_, rating) = told.split_once("Overall exposure level for consentry.service: ").expect(&told);
    let figure = rating.split(' ').next().unwrap();
    assert!(figure.parse::<f32>().unwrap() <= 2.0, "{told}");
    assert!(
        text("README.md").contains(&format!("`systemd-analyze security` rates\nat {figure},")),
        "{figure}"
    );
    let guide = text("docs/operators-guide.md");
    assert!(
        guide.contains(&format!("`systemd-analyze security consentry` rates the unit {figure} ")),
        "{figure}"
    );
}

#[test]
fn the_licences_that_the_package_names_are_here() {
    assert!(text("Cargo.toml").contains("license = \"MIT OR Apache-2.0\""));
    assert!(text("LICENSE-MIT").contains("Permission is hereby granted, free of charge"));
    assert!(text("LICENSE-APACHE").contains("Version 2.0, January 2004"));
}

/// The words of the operator's guide that stand in backticks or in a block of code.
fn words_of_the_guide() -> Vec<String> {
    let guide = text("docs/operators-guide.md");
    guide.split(['`', '\n']).map(str::trim).map(str::to_owned).collect()
}

#[test]
fn the_guide_names_commands_and_metrics_that_exist() {
    let help = Command::new(env!("CARGO_BIN_EXE_consentry")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    // A family of counters is rendered once it has counted: its name stands in the source before.
    let of_telemetry = |path: &PathBuf| path.to_string_lossy().contains("telemetry");
    let metrics: String = files("src")
        .iter()
        .filter(|path| of_telemetry(path))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let (mut commands, mut names) = (0, 0);
    for word in words_of_the_guide() {
        if let Some(command) = word.strip_prefix("consentry ").and_then(|rest| rest.split_whitespace().next())
        {
            assert!(help.contains(&format!("\n  {command} ")), "there is no command `{word}`");
            commands += 1;
        } else if let Some(name) = word.strip_prefix("consentry_").filter(|word| !word.contains('.')) {
            let name = name.split('{').next().unwrap().trim_end_matches("_total");
            assert!(metrics.contains(&format!("\"{name}\"")), "there is no metric `{word}`");
            names += 1;
        }
    }
    assert!(commands > 5 && names > 8, "{commands} commands and {names} metrics: is the guide still read?");
}

#[test]
fn the_defaults_of_the_guide_are_those_of_the_schema() {
    let schema = consentry::config::schema_of(consentry::config::File::Main);
    let guide = text("docs/operators-guide.md");
    for kind in ["Timeouts", "Limits"] {
        for (key, property) in schema["$defs"][kind]["properties"].as_object().unwrap() {
            let default = match &property["default"] {
                serde_json::Value::String(text) => text.clone(),
                number => number.to_string(),
            };
            assert!(guide.contains(&format!("| `{key}` | {default} |")), "{kind}.{key} is {default}");
        }
    }
}

/// The commands of a section of the guide, each on a line of its own.
fn commands_of(section: &str) -> Vec<String> {
    let guide = text("docs/operators-guide.md");
    let (_, rest) = guide.split_once(&format!("\n## {section}\n")).unwrap();
    let (_, rest) = rest.split_once("```sh\n").unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    let lines = block.replace("\\\n", " ");
    lines.lines().map(|line| line.split(" #").next().unwrap().trim().to_owned()).collect()
}

/// What an operator does in an editor: writes something in each place that waits for it.
fn fill_in(documents: &Path) {
    for entry in std::fs::read_dir(documents).unwrap() {
        let path = entry.unwrap().path();
        let mut text = std::fs::read_to_string(&path).unwrap();
        while let Some(start) = text.find("[FILL IN: ") {
            let end = start + text[start..].find(']').unwrap();
            text.replace_range(start..=end, "Something.");
        }
        std::fs::write(path, text).unwrap();
    }
}

/// A line of the guide as a shell reads it, in /etc/consentry.
fn shell(etc: &Path, line: &str) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_consentry")).parent().unwrap();
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(etc)
        .env("PATH", format!("{}:{}", programs.display(), std::env::var("PATH").unwrap()))
        .env("CONSENTRY_CONFIG", etc.join("consentry.yaml"))
        .output()
        .unwrap();
    let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{line}: {told}");
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_site_of_the_guide_comes_up_is_watched_and_reloads() {
    let upstream = Upstream::page("text/html", "<!doctype html><html><body><p>Hello</p></body></html>").await;
    let folder = unpacked();
    let etc = folder.path().join("etc");
    let settings = std::fs::read_to_string(etc.join("consentry.yaml")).unwrap();
    let settings = settings.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:9090", "127.0.0.1:0");
    std::fs::write(etc.join("consentry.yaml"), settings.replace("format: text", "format: json")).unwrap();
    let mut service = None;
    for line in commands_of("The first site") {
        let line = line.replace("http://127.0.0.1:3000", &upstream.url());
        match (line.as_str(), &service) {
            ("cd /etc/consentry", _) => {}
            ("editor sites/shop.yaml documents/shop/*", _) => fill_in(&etc.join("documents/shop")),
            ("consentry check", _) => {
                let told = shell(&etc, &line);
                assert!(told.contains("1 site ready, no warnings"), "{told}");
            }
            ("systemctl enable --now consentry", _) => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_consentry"));
                command.arg("run").current_dir("/").env("CONSENTRY_CONFIG", etc.join("consentry.yaml"));
                service = Some(Run::of(command));
            }
            // The test's ports are the system's choice; the settings of the package name one.
            ("consentry healthcheck", Some(run)) => {
                _ = shell(&etc, &format!("{line} --url http://{}/healthz", run.admin));
            }
            (line, _) => _ = shell(&etc, line),
        }
    }
    let mut run = service.expect("the guide starts the service");
    let page = Browser::clear(run.address, "www.example.se").navigate("/").await.text();
    assert!(page.contains("<consentry-banner") && page.contains("<p>Hello</p>"), "{page}");
    assert!(run.metrics().await.contains("consentry_pages_total{reason=\"rewritten\"} 1"));

    let site = std::fs::read_to_string(etc.join("sites/shop.yaml")).unwrap();
    std::fs::write(etc.join("sites/shop.yaml"), format!("{site}\nmode: off\n")).unwrap();
    run.said("the settings have been read again");
    let page = Browser::clear(run.address, "www.example.se").navigate("/").await.text();
    assert!(!page.contains("consentry"), "{page}");
    run.signal("-TERM");
    assert!(run.ended().success());
}

#[test]
fn the_image_needs_neither_root_nor_a_shell_and_runs_on_the_system_it_was_built_on() {
    let image = text("Dockerfile");
    let words = |start: &str| {
        let lines = image.lines().map(str::trim).filter_map(|line| line.strip_prefix(start));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let systems = words("FROM ");
    // A program that is linked to a newer C library than there is does not start.
    assert!(systems.len() == 2 && systems.iter().all(|system| system.contains("trixie")), "{systems:?}");
    assert!(words("USER ").iter().all(|user| user.starts_with(|digit: char| matches!(digit, '1'..='9'))));
    assert_eq!(words("ENTRYPOINT "), ["[\"consentry\"]"]);
    assert_eq!(image.matches("CMD [\"consentry\", \"healthcheck\"]").count(), 1);
    assert_eq!(words("CMD "), ["[\"run\"]"]);
    let left_out = text(".dockerignore");
    for needed in ["src", "benches", "Cargo.toml", "Cargo.lock"] {
        assert!(!left_out.lines().any(|line| line.trim_matches('/') == needed), "{needed}");
    }
}
