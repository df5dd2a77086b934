//! `docs/compliance.md` says which test holds what the law asks. Here it is held to that.

use std::fs;
use std::path::Path;

/// The rows of the table: number, what is asked, and what holds it.
fn rows() -> Vec<(usize, String)> {
    let table = fs::read_to_string(root().join("docs/compliance.md")).unwrap();
    table
        .lines()
        .filter_map(|line| line.strip_prefix("| C"))
        .map(|line| {
            let cells: Vec<&str> = line.split(" | ").collect();
            (cells[0].trim().parse().unwrap(), cells[2].trim_end_matches(" |").to_owned())
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
    for (number, held) in rows() {
        let Some(name) = held.strip_prefix('`').and_then(|rest| rest.split_once('`')).map(|(name, _)| name)
        else {
            assert!(held.starts_with("*Not yet*"), "C{number}: {held}");
            continue;
        };
        let is_there = if name.contains(' ') {
            ['\'', '"', '`'].iter().any(|quote| sources.contains(&format!("test({quote}{name}{quote}")))
        } else {
            sources.contains(&format!("fn {name}("))
        };
        assert!(is_there, "C{number}: there is no test `{name}`");
    }
}

/// What visitors meet carries the number of its row, so that a reader of the tests finds the row, too.
#[test]
fn what_visitors_meet_is_held_by_tests_that_carry_their_number() {
    let numbers = (5..=16).chain(22..=25).chain([32]).chain(37..=44).chain(50..=53);
    let rows = rows();
    for number in numbers {
        let held = &rows.iter().find(|(row, _)| *row == number).unwrap().1;
        let name = held.trim_start_matches('`').split('`').next().unwrap();
        let is_marked = name.split([' ', '_']).any(|word| word == format!("c{number}"));
        assert!(is_marked, "C{number}: {held}");
    }
}
