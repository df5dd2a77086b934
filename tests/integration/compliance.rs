//! `docs/compliance.md` says which test holds what the law asks. Here it is held to that.

use std::fs;
use std::path::Path;

/// The rows of the table: number, and the tests that hold it.
fn rows() -> Vec<(usize, Vec<String>)> {
    let table = fs::read_to_string(root().join("docs/compliance.md")).unwrap();
    table
        .lines()
        .filter_map(|line| line.strip_prefix("| C"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_end_matches(" |").split(" | ").collect();
            let names = cells[2].split("`; `").map(|name| name.trim_start_matches('`'));
            let names = names.map(|name| name.split('`').next().unwrap().to_owned());
            (cells[0].trim().parse().unwrap(), names.collect())
        })
        .collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The text of every file of tests, and of the modules that have theirs inside.
fn sources() -> String {
    let mut text = String::new();
    let mut folders =
        vec![root().join("src"), root().join("tests/integration"), root().join("tests/browser")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let is_source = path.extension().is_some_and(|kind| kind == "rs" || kind == "js");
            if path.is_dir() && !path.ends_with("node_modules") {
                folders.push(path);
            } else if is_source && !path.ends_with("compliance.rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

#[test]
fn every_row_stands_in_the_table_once_and_in_order() {
    let numbers: Vec<usize> = rows().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (1..=53).collect::<Vec<_>>());
}

#[test]
fn every_test_that_the_table_names_is_there() {
    let sources = sources();
    for (number, name) in
        rows().iter().flat_map(|(number, names)| names.iter().map(move |name| (number, name)))
    {
        let is_there = if name.contains(' ') {
            ['\'', '"', '`'].iter().any(|quote| sources.contains(&format!("test({quote}{name}{quote}")))
        } else {
            sources.contains(&format!("fn {name}("))
        };
        assert!(is_there, "C{number}: there is no test `{name}`");
    }
}

/// Every name carries the number of its row, so that a reader of the tests finds the row, too.
#[test]
fn every_row_is_held_by_tests_that_carry_its_number() {
    for (number, names) in rows() {
        for name in names {
            let is_marked = name.split([' ', '_']).any(|word| word == format!("c{number}"));
            assert!(is_marked, "C{number}: {name}");
        }
    }
}
