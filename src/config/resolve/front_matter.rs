//! The front matter of a document: its YAML as strictly read as the settings are, with the same help.

use super::start_of;
use crate::config::decode::decode;
use crate::config::files::{FileId, Files, Spot};
use crate::config::raw::front_matter::FrontMatter as Raw;
use crate::config::raw::words::Text;
use crate::config::tree;
use crate::documents::{self, FrontMatter, Parts};

/// Reads a document's file; all its problems are noted.
pub(super) fn read(files: &mut Files, file: FileId) -> Option<documents::Read> {
    let source = documents::plain(&files.text(file));
    let Parts { yaml, markdown } = match documents::split(&source) {
        Ok(parts) => parts,
        Err(problem) => {
            note(files, file, problem);
            return None;
        }
    };
    if yaml.trim().is_empty() {
        let help = "write `title: …` and `version: …` between the two lines that are only ---";
        files.error(start_of(file), "the front matter is empty", help);
        return None;
    }
    let mut tree = tree::parse_front_matter(files, file, yaml)?;
    let raw = decode(files, &mut tree)?;
    Some(documents::Read::of(meant(raw), &source, markdown))
}

/// Notes a problem of a document's text.
pub(super) fn note(files: &mut Files, file: FileId, problem: documents::Problem) {
    let documents::Problem { line, column, length, message, help } = problem;
    files.error(Spot { file, line, column, length }, message, help.unwrap_or_default());
}

fn meant(raw: Raw) -> FrontMatter {
    let text = |Text(text): Text| text.trim().into();
    FrontMatter {
        title: text(raw.title),
        version: text(raw.version),
        reacceptance: raw.reacceptance.unwrap_or(true),
        effective: raw.effective.map(|day| day.0),
        grace: raw.grace.map(|time| time.0),
        changes: raw.changes.map(text),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn read_text(source: &str) -> (Option<FrontMatter>, Vec<String>) {
        let mut files = Files::default();
        let file = files.add(Path::new("a.md"), source.into());
        let read = read(&mut files, file).map(|read| read.front_matter);
        (read, files.problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_version_stays_as_it_is_written_whatever_yaml_makes_of_it() {
        for version in ["2018-05-25", "1.10", "2", "0x10", "\"1.0\"", "\"true\"", "v1 (draft)", "007"] {
            let source = format!("---\nversion: {version}\ntitle: T\nreacceptance: false\n---\ntext");
            let (read, problems) = read_text(&source);
            let read = read.unwrap_or_else(|| panic!("{version}: {problems:?}"));
            assert_eq!(&*read.version, version.trim_matches('"'));
            assert!(!read.reacceptance && problems.is_empty());
        }
    }

    #[test]
    fn a_version_may_say_from_when_it_holds_and_what_changed() {
        let head = "title: T\nversion: 2\neffective: 2018-05-25\ngrace: 14d\nchanges: |\n  New:\n  a map.\n";
        let read = read_text(&format!("---\n{head}---\ntext")).0.unwrap();
        assert_eq!(read.effective, Some(jiff::civil::date(2018, 5, 25)));
        assert_eq!(read.grace, Some(Duration::from_secs(14 * 86_400)));
        assert_eq!(read.changes.as_deref(), Some("New:\na map."));
        assert!(read.reacceptance);
    }

    #[test]
    fn every_mistake_is_told_at_once_with_its_place_and_the_nearest_key() {
        for (source, expected) in [
            ("---\n---\ntext", &["1:1: the front matter is empty; write `title: …`"][..]),
            ("---\ntitle: T\n---\ntext", &["2:1: `version` is missing; add `version: …`"]),
            (
                "---\nTitel: T\nversion:\nreacceptance: ja\n---\n",
                &[
                    "3:1: `version:` has no value",
                    "2:1: unknown key `Titel`; did you mean `title`?",
                    "4:15: `reacceptance` is the text \"ja\"; expected true or false",
                ],
            ),
            ("---\ntitle: [a]\nversion: 1\n---\n", &["2:1: `title` is a list; expected a text"]),
            ("---\ntitle: \"\"\nversion: 1\n---\n", &["2:8: an empty text"]),
            (
                "---\ntitle: A\ntitle: B\nversion: 1\nauthor: X\n---\n",
                &[
                    "3:1: `title` stands here a second time; the first is on line 2",
                    "5:1: unknown key `author`; expected one of `title`, `version`",
                ],
            ),
            (
                "---\ntitle: T\nversion: 1\neffective: soon\ngrace: 2 weeks\nchanges: []\n---\n",
                &[
                    "4:12: `soon` is not a date; write year, month and day",
                    "5:8: `2 weeks` is not a duration",
                    "6:1: `changes` is a list; expected a text",
                ],
            ),
            (
                "---\ntitle: Privacy: cookies\nversion: 1\n---\n",
                &[
                    "2:15: not YAML: mapping values are not allowed in this context; a text that holds a colon",
                ],
            ),
            ("---\n- title\n---\n", &["2:1: no settings; write `key: value`"]),
        ] {
            let (_, problems) = read_text(source);
            assert_eq!(problems.len(), expected.len(), "{source}\n{problems:?}");
            for (problem, expected) in problems.iter().zip(expected) {
                assert!(problem.starts_with(&format!("a.md:{expected}")), "{problem}\n{expected}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_front_matter_panics(yaml in "[a-z:&*! \n\\[\\]{}'\"|>-]{0,80}") {
            let _ = read_text(&format!("---\n{yaml}\n---\ntext"));
        }
    }
}
