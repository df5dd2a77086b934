//! Imports point one way. The table of ARCHITECTURE.md, held against the source.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module, and what it may import beside itself.
const TABLE: [(&str, &[&str]); 20] = [
    ("clock", &[]),
    ("telemetry", &[]),
    ("consent", &["clock"]),
    ("observed", &["clock"]),
    ("services", &["consent"]),
    ("web", &["clock", "consent", "services"]),
    ("visit", &["clock", "consent", "web"]),
    ("gate", &["clock", "consent", "services", "visit"]),
    ("documents", &["clock", "consent", "observed", "services", "visit", "web"]),
    ("filter", &["clock", "consent", "observed", "services", "web", "visit", "gate", "telemetry"]),
    ("listener", &["clock", "filter", "telemetry", "visit"]),
    ("upstream", &["filter", "gate", "listener", "telemetry", "visit"]),
    ("ledger", &["clock", "consent", "telemetry"]),
    ("site", &["consent", "documents", "filter", "gate", "ledger", "upstream", "visit", "web"]),
    (
        "config",
        &[
            "clock",
            "consent",
            "documents",
            "filter",
            "gate",
            "ledger",
            "listener",
            "observed",
            "services",
            "site",
            "telemetry",
            "upstream",
            "visit",
            "web",
        ],
    ),
    (
        "own",
        &[
            "clock",
            "consent",
            "documents",
            "filter",
            "gate",
            "ledger",
            "observed",
            "services",
            "site",
            "telemetry",
            "visit",
            "web",
        ],
    ),
    ("admin", &["config", "listener", "telemetry"]),
    (
        "proxy",
        &[
            "clock",
            "config",
            "consent",
            "filter",
            "gate",
            "listener",
            "own",
            "site",
            "telemetry",
            "upstream",
            "visit",
            "web",
        ],
    ),
    (
        "server",
        &[
            "admin",
            "clock",
            "config",
            "filter",
            "ledger",
            "listener",
            "own",
            "observed",
            "proxy",
            "site",
            "telemetry",
            "upstream",
        ],
    ),
    (
        "cli",
        &[
            "clock",
            "config",
            "consent",
            "ledger",
            "listener",
            "observed",
            "own",
            "server",
            "services",
            "site",
            "telemetry",
        ],
    ),
];

#[test]
fn imports_point_one_way() {
    let mut wrong = Vec::new();
    for (module, allowed) in TABLE {
        for (file, imported) in imports(module) {
            if imported != module && !allowed.contains(&imported.as_str()) {
                wrong.push(format!("{}: {module} imports {imported}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_stands_in_the_table() {
    let listed: BTreeSet<_> = TABLE.iter().map(|(module, _)| (*module).to_owned()).collect();
    let library = fs::read_to_string(source().join("lib.rs")).unwrap();
    let declared = library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, declared);
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// What each file of a module imports from the crate, tests left out.
fn imports(module: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for file in files(module) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for rest in line.split("crate::").skip(1) {
                for name in names(rest) {
                    found.push((file.clone(), name));
                }
            }
        }
    }
    found
}

/// The first segments of what follows `crate::`, a list in braces included.
fn names(rest: &str) -> Vec<String> {
    let word = |text: &str| {
        text.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
    };
    match rest.strip_prefix('{') {
        None => vec![word(rest)],
        Some(list) => {
            let list = list.rsplit_once('}').map_or(list, |(list, _)| list);
            let mut depth = 0;
            list.split(|c| {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    _ => {}
                }
                c == ',' && depth == 0
            })
            .map(word)
            .filter(|name| !name.is_empty())
            .collect()
        }
    }
}

fn files(module: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let alone = source().join(format!("{module}.rs"));
    if alone.exists() {
        files.push(alone);
    }
    let mut folders = vec![source().join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") && name != "tests.rs" {
                files.push(path);
            }
        }
    }
    assert!(!files.is_empty(), "{module} has no source");
    files
}
