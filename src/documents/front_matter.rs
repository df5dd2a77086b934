//! A document's file: front matter above, Markdown below, and the places that are still to be filled in. The YAML of the
//! front matter is read by `config`.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use sha2::{Digest, Sha256};

use super::variables;

/// What a document says of itself above its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrontMatter {
    /// The title.
    pub title: Box<str>,
    /// The version, as it is written.
    pub version: Box<str>,
    /// Whether acceptances of earlier wordings are void; the default is that they are.
    pub reacceptance: bool,
    /// From which day the text holds; none: since it was published.
    pub effective: Option<Date>,
    /// How long after that day earlier acceptances still do.
    pub grace: Option<Duration>,
    /// What changed since the version before, for its readers.
    pub changes: Option<Box<str>>,
}

/// One file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What stands above the text.
    pub front_matter: FrontMatter,
    /// What stands below the front matter.
    pub markdown: Arc<str>,
    /// The SHA-256 of `markdown`.
    pub hash: [u8; 32],
    /// Every `[FILL IN: …]`.
    pub to_fill_in: Vec<Blank>,
    /// Whether there is no text below the front matter.
    pub is_empty: bool,
}

/// A `[FILL IN: …]` in a document's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blank {
    /// The line in the file, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters of that line it takes.
    pub length: usize,
    /// What is wanted.
    pub wanted: Box<str>,
}

/// Something wrong in a document's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line in the file, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// How many characters are meant; 0: the rest of the line.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    fn of_first_line(message: &str, help: &str) -> Self {
        Problem { line: 1, column: 1, length: 0, message: message.into(), help: Some(help.into()) }
    }
}

const EXAMPLE: &str = "begin the file with\n---\ntitle: Cookies and privacy\nversion: 2018-05-25\n---";

/// The text of a file without what editors and version control rewrite: that must not make anybody accept it again.
pub fn plain(source: &str) -> String {
    source.strip_prefix('\u{feff}').unwrap_or(source).replace("\r\n", "\n")
}

/// The two parts of a document's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The YAML between the two `---`; it begins on the second line of the file.
    pub yaml: &'a str,
    /// What stands below.
    pub markdown: &'a str,
}

/// Parts a file at its front matter.
pub fn split(source: &str) -> Result<Parts<'_>, Problem> {
    let rest = source
        .strip_prefix("---")
        .and_then(|rest| rest.trim_start_matches([' ', '\t']).strip_prefix('\n'))
        .ok_or_else(|| Problem::of_first_line("the front matter is missing", EXAMPLE))?;
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            let (yaml, markdown) = rest.split_at(at);
            return Ok(Parts { yaml, markdown: markdown.get(line.len()..).unwrap_or_default() });
        }
        at += line.len();
    }
    Err(Problem::of_first_line("the front matter has no end", "close it with a line that is only ---"))
}

impl Read {
    /// A file of this text, whose front matter says this.
    pub fn of(front_matter: FrontMatter, source: &str, markdown: &str) -> Self {
        Read {
            front_matter,
            hash: Sha256::digest(markdown).into(),
            to_fill_in: to_fill_in(source),
            is_empty: markdown.trim().is_empty(),
            markdown: markdown.into(),
        }
    }
}

/// Every `{{ … }}` of a file that names no setting of the site; `variables` are those of [`super::Shelf`].
pub fn unknown_variables(source_file: &str, variables: &serde_json::Value) -> Vec<Problem> {
    variables::find(source_file)
        .filter(|found| !variables::is_known(found.name, variables))
        .map(|found| {
            let (line, column) = position(source_file, found.start);
            let written = source_file.get(found.start..found.end).unwrap_or_default();
            let (message, help) = match variables::unset(found.name, variables) {
                Some(key) => (
                    format!("the site does not say `{}`", found.name),
                    format!("write it in the settings of the site: `{key}`"),
                ),
                None => (format!("the site has no setting `{}`", found.name), suggest(found.name, variables)),
            };
            Problem { line, column, length: written.chars().count(), message, help: Some(help) }
        })
        .collect()
}

/// The name that a mistaken one comes nearest to, or all of them.
fn suggest(name: &str, variables: &serde_json::Value) -> String {
    let known = variables::names(variables);
    let nearest = known.iter().map(|known| (strsim::damerau_levenshtein(known, name), known)).min();
    match nearest.filter(|(distance, _)| *distance <= 4) {
        Some((_, nearest)) => format!("did you mean `{{{{ {nearest} }}}}`?"),
        None => format!("expected one of `{}`", known.join("`, `")),
    }
}

/// The line and the column of a byte offset, both from 1.
fn position(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// Every `[FILL IN: …]`; one without an end runs to the end of its line.
fn to_fill_in(source: &str) -> Vec<Blank> {
    const MARK: &str = "[fill in";
    let lower = source.to_ascii_lowercase();
    lower
        .match_indices(MARK)
        .map(|(start, _)| {
            let rest = source.get(start..).unwrap_or_default();
            let paragraph = rest.split("\n\n").next().unwrap_or_default();
            let line = rest.lines().next().unwrap_or_default();
            let text =
                paragraph.split_inclusive(']').next().filter(|text| text.ends_with(']')).unwrap_or(line);
            let length = text.lines().next().unwrap_or_default().chars().count();
            let wanted =
                text.get(MARK.len()..).unwrap_or_default().trim_start_matches(':').trim_end_matches(']');
            let wanted = wanted.split_whitespace().collect::<Vec<_>>().join(" ").into();
            let (line, column) = position(source, start);
            Blank { line, column, length, wanted }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(source: &str) -> Read {
        let source = plain(source);
        let parts = split(&source).unwrap();
        let front_matter = FrontMatter {
            title: parts.yaml.into(),
            version: "1".into(),
            reacceptance: true,
            effective: None,
            grace: None,
            changes: None,
        };
        Read::of(front_matter, &source, parts.markdown)
    }

    const GOOD: &str = "---\ntitle: Kakor\nversion: 2018-05-25\n---\nVi samlar …\n";

    #[test]
    fn a_file_is_parted_at_its_front_matter() {
        let read = read(GOOD);
        assert_eq!(&*read.front_matter.title, "title: Kakor\nversion: 2018-05-25\n");
        assert_eq!(&*read.markdown, "Vi samlar …\n");
        assert!(!read.is_empty && read.to_fill_in.is_empty());
    }

    #[test]
    fn line_ends_and_a_byte_order_mark_do_not_make_another_wording() {
        let windows = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
        assert_eq!(read(&windows), read(GOOD));
    }

    #[test]
    fn a_file_without_a_whole_front_matter_is_told_how_to_begin() {
        for (source, expected) in [
            ("Vi samlar", "the front matter is missing"),
            ("", "the front matter is missing"),
            ("--- x\n---\n", "the front matter is missing"),
            ("---\ntitle: T\n", "the front matter has no end"),
        ] {
            let problem = split(source).unwrap_err();
            assert_eq!((problem.line, problem.column, &*problem.message), (1, 1, expected), "{source}");
            assert!(problem.help.is_some());
        }
    }

    #[test]
    fn what_is_still_to_be_filled_in_is_found_with_its_place() {
        let source = "---\ntitle: T\nversion: 1\n---\nA [FILL IN: which data] b\n\n[fill in: why,\nand how long]\n[FILL IN: open\nend";
        let found = read(source).to_fill_in;
        let found: Vec<_> =
            found.iter().map(|gap| (gap.line, gap.column, gap.length, &*gap.wanted)).collect();
        assert_eq!(found, [(5, 3, 21, "which data"), (7, 1, 14, "why, and how long"), (9, 1, 14, "open")]);
    }

    #[test]
    fn a_file_without_text_is_empty() {
        assert!(read("---\ntitle: T\n---\n \n").is_empty);
        assert!(read("---\ntitle: T\n---").is_empty);
    }

    #[test]
    fn variables_that_the_site_does_not_set_are_reported_with_the_nearest() {
        let variables = json!({"controller": {"name": "Byrån", "email": null}, "hosts": ["a.se"]});
        let source = "---\n---\n{{ controller.name }} {{services}}{{ cookies }} {{ hosts }}\n{{ controler.name }} {{ controller.email }}";
        let found = unknown_variables(source, &variables);
        let places: Vec<_> = found.iter().map(|it| (it.line, it.column, it.length)).collect();
        assert_eq!(places, [(4, 1, 20), (4, 22, 22)]);
        assert_eq!(found[1].message, "the site does not say `controller.email`");
        assert!(found[1].help.as_deref().unwrap().contains("`controller: { email: … }`"));
        assert_eq!(found[0].message, "the site has no setting `controler.name`");
        assert_eq!(found[0].help.as_deref(), Some("did you mean `{{ controller.name }}`?"));
    }

    proptest! {
        #[test]
        fn no_input_panics(source in "(---\n)?[a-z: \n\\[\\]{}-]{0,60}(\n---\n)?[^x]{0,60}") {
            if let Ok(parts) = split(&source) {
                prop_assert!(source.ends_with(parts.markdown) && source.contains(parts.yaml));
            }
            let _ = unknown_variables(&source, &json!({}));
        }
    }
}
