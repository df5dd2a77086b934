//! A document's file: YAML front matter, Markdown below it, and the places that are still to be filled in.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use sha2::{Digest, Sha256};

use super::variables;

/// One file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The title of the front matter.
    pub title: Box<str>,
    /// Its version, as it is written.
    pub version: Box<str>,
    /// Whether acceptances of earlier wordings are void; the default is that they are.
    pub reacceptance: bool,
    /// From which day the text holds; none: since it was published.
    pub effective: Option<Date>,
    /// How long after that day earlier acceptances still do.
    pub grace: Option<Duration>,
    /// What changed since the version before, for its readers.
    pub changes: Option<Box<str>>,
    /// What stands below the front matter.
    pub markdown: Arc<str>,
    /// The SHA-256 of `markdown`.
    pub hash: [u8; 32],
    /// Every `[FILL IN: …]`, with its line in the file.
    pub to_fill_in: Vec<(usize, Box<str>)>,
    /// Whether there is no text below the front matter.
    pub is_empty: bool,
}

/// Something wrong in a document's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line in the file, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    pub(super) fn new(line: usize, column: usize, message: impl Into<String>) -> Self {
        Problem { line, column, message: message.into(), help: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

const KEYS: [&str; 6] = ["title", "version", "reacceptance", "effective", "grace", "changes"];
const EXAMPLE: &str = "begin the file with\n---\ntitle: Cookies and privacy\nversion: 2018-05-25\n---";

/// Reads a document's file; all its problems come back at once.
pub fn read(source: &str) -> Result<Read, Vec<Problem>> {
    // Editors and version control rewrite line ends; that must not make anybody accept a text again.
    let source = source.strip_prefix('\u{feff}').unwrap_or(source).replace("\r\n", "\n");
    let parts = split(&source).map_err(|problem| vec![problem])?;
    let head = Head::read(parts.front_matter)?;
    Ok(Read {
        title: head.title,
        version: head.version,
        reacceptance: head.reacceptance,
        effective: head.effective,
        grace: head.grace,
        changes: head.changes,
        hash: Sha256::digest(parts.markdown).into(),
        to_fill_in: to_fill_in(&source),
        is_empty: parts.markdown.trim().is_empty(),
        markdown: parts.markdown.into(),
    })
}

/// Every `{{ … }}` of a file that names no setting of the site; `variables` are those of [`super::Shelf`].
pub fn unknown_variables(source_file: &str, variables: &serde_json::Value) -> Vec<Problem> {
    variables::find(source_file)
        .filter(|found| !variables::is_known(found.name, variables))
        .map(|found| {
            let (line, column) = position(source_file, found.start);
            let names = variables::names(variables);
            let nearest = names
                .iter()
                .map(|name| (strsim::damerau_levenshtein(name, found.name), name))
                .min()
                .filter(|(distance, _)| *distance <= 4);
            if let Some(key) = variables::unset(found.name, variables) {
                let message = format!("the site does not say `{}`", found.name);
                return Problem::new(line, column, message)
                    .help(format!("write it in the settings of the site: `{key}`"));
            }
            let problem = Problem::new(line, column, format!("the site has no setting `{}`", found.name));
            problem.help(match nearest {
                Some((_, name)) => format!("did you mean `{{{{ {name} }}}}`?"),
                None => format!("known are {}", names.join(", ")),
            })
        })
        .collect()
}

struct Parts<'a> {
    front_matter: &'a str,
    markdown: &'a str,
}

fn split(source: &str) -> Result<Parts<'_>, Problem> {
    let rest = source
        .strip_prefix("---")
        .and_then(|rest| rest.trim_start_matches([' ', '\t']).strip_prefix('\n'))
        .ok_or_else(|| Problem::new(1, 1, "the front matter is missing").help(EXAMPLE))?;
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "---" {
            let (front_matter, markdown) = rest.split_at(at);
            return Ok(Parts { front_matter, markdown: markdown.get(line.len()..).unwrap_or_default() });
        }
        at += line.len();
    }
    Err(Problem::new(1, 1, "the front matter has no end").help("close it with a line that is only ---"))
}

struct Head {
    title: Box<str>,
    version: Box<str>,
    reacceptance: bool,
    effective: Option<Date>,
    grace: Option<Duration>,
    changes: Option<Box<str>>,
}

impl Head {
    /// Reads the YAML between the two `---`; it begins on line 2 of the file.
    fn read(yaml: &str) -> Result<Self, Vec<Problem>> {
        let documents = MarkedYaml::load_from_str(yaml).map_err(|error| vec![of_parser(&error)])?;
        let Some(entries) = documents.first().and_then(|document| document.data.as_mapping()) else {
            return Err(vec![Problem::new(2, 1, "the front matter holds no keys").help(EXAMPLE)]);
        };
        let mut fields = Fields { yaml, problems: Vec::new() };
        let (mut title, mut version, mut reacceptance) = (None, None, true);
        let (mut effective, mut grace, mut changes) = (None, None, None);
        for (key, value) in entries {
            match key.data.as_str().unwrap_or_default() {
                "title" => title = fields.text("title", value),
                "version" => version = fields.text("version", value),
                "reacceptance" => reacceptance = fields.flag(value),
                "effective" => effective = fields.date(value),
                "grace" => grace = fields.duration(value),
                "changes" => changes = fields.text("changes", value),
                unknown => fields.unknown_key(key, unknown),
            }
        }
        for (name, is_missing) in [("title", title.is_none()), ("version", version.is_none())] {
            let is_written = entries.keys().any(|key| key.data.as_str() == Some(name));
            if is_missing && !is_written {
                fields.problems.push(Problem::new(1, 1, format!("`{name}` is missing")).help(EXAMPLE));
            }
        }
        match (title, version) {
            (Some(title), Some(version)) if fields.problems.is_empty() => {
                Ok(Head { title, version, reacceptance, effective, grace, changes })
            }
            _ => Err(fields.problems),
        }
    }
}

struct Fields<'a> {
    yaml: &'a str,
    problems: Vec<Problem>,
}

impl Fields<'_> {
    fn problem(&mut self, node: &MarkedYaml<'_>, message: String, help: &str) {
        let start = node.span.start;
        self.problems.push(Problem::new(start.line() + 1, start.col() + 1, message).help(help));
    }

    /// A scalar as it is written: a version may look like a number or a date to YAML.
    fn text(&mut self, name: &str, node: &MarkedYaml<'_>) -> Option<Box<str>> {
        let text = match &node.data {
            YamlData::Value(Scalar::String(text)) => text.trim().to_owned(),
            YamlData::Value(Scalar::Null) => String::new(),
            YamlData::Value(_) => {
                let (start, end) = (node.span.start.index(), node.span.end.index());
                self.yaml.chars().skip(start).take(end.saturating_sub(start)).collect::<String>()
            }
            _ => {
                self.problem(node, format!("`{name}` is a text"), "write it on one line");
                return None;
            }
        };
        let text = text.trim();
        if text.is_empty() {
            self.problem(
                node,
                format!("`{name}` is empty"),
                "write a text, such as 2018-05-25 for a version",
            );
            return None;
        }
        Some(text.into())
    }

    fn date(&mut self, node: &MarkedYaml<'_>) -> Option<Date> {
        let text = self.text("effective", node)?;
        let date = text.parse().ok();
        if date.is_none() {
            let message = format!("`{text}` is not a date");
            self.problem(node, message, "write year, month and day, such as 2018-05-25");
        }
        date
    }

    fn duration(&mut self, node: &MarkedYaml<'_>) -> Option<Duration> {
        let text = self.text("grace", node)?;
        let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (digits, unit) = text.split_at(end);
        let seconds = match unit {
            "h" => Some(3_600),
            "d" => Some(86_400),
            _ => None,
        };
        let length =
            seconds.zip(digits.parse().ok()).and_then(|(unit, number): (u64, u64)| unit.checked_mul(number));
        if length.is_none() {
            let message = format!("`{text}` is not a time of grace");
            self.problem(node, message, "write days or hours, such as 14d or 12h");
        }
        length.map(Duration::from_secs)
    }

    fn flag(&mut self, node: &MarkedYaml<'_>) -> bool {
        node.data.as_bool().unwrap_or_else(|| {
            self.problem(
                node,
                "`reacceptance` is true or false".into(),
                "false: a small correction, earlier acceptances stay valid",
            );
            true
        })
    }

    fn unknown_key(&mut self, node: &MarkedYaml<'_>, key: &str) {
        let nearest = KEYS.iter().min_by_key(|known| strsim::damerau_levenshtein(known, key));
        let help = match nearest.filter(|known| strsim::damerau_levenshtein(known, key) <= 3) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("known keys are {}", KEYS.join(", ")),
        };
        self.problem(node, format!("unknown key `{key}`"), &help);
    }
}

fn of_parser(error: &saphyr::ScanError) -> Problem {
    let at = error.marker();
    const HELP: &str =
        "look here and above for an open quote or bracket, a tab, or a colon in a text without quotes";
    Problem::new(at.line() + 1, at.col() + 1, format!("not YAML: {}", error.info())).help(HELP)
}

/// The line and the column of a byte offset, both from 1.
fn position(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, column)
}

/// Every `[FILL IN: …]` with its line; one without an end runs to the end of its line.
fn to_fill_in(source: &str) -> Vec<(usize, Box<str>)> {
    const MARK: &str = "[fill in";
    let lower = source.to_ascii_lowercase();
    lower
        .match_indices(MARK)
        .map(|(start, _)| {
            let rest = source.get(start..).unwrap_or_default();
            let paragraph = rest.split("\n\n").next().unwrap_or_default();
            let text = match paragraph.split_once(']') {
                Some((inside, _)) => inside,
                None => rest.lines().next().unwrap_or_default(),
            };
            let text = text.get(MARK.len()..).unwrap_or_default().trim_start_matches(':');
            (position(source, start).0, text.split_whitespace().collect::<Vec<_>>().join(" ").into())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const GOOD: &str = "---\ntitle: Kakor\nversion: 2018-05-25\n---\nVi samlar …\n";

    fn problems(source: &str) -> Vec<(usize, usize, String)> {
        read(source).unwrap_err().into_iter().map(|it| (it.line, it.column, it.message)).collect()
    }

    #[test]
    fn a_file_is_read_into_its_parts() {
        let read = read(GOOD).unwrap();
        assert_eq!((&*read.title, &*read.version, read.reacceptance), ("Kakor", "2018-05-25", true));
        assert_eq!(&*read.markdown, "Vi samlar …\n");
        assert!(!read.is_empty && read.to_fill_in.is_empty());
    }

    #[test]
    fn a_version_stays_as_it_is_written_whatever_yaml_makes_of_it() {
        for version in ["2018-05-25", "1.10", "2", "0x10", "\"1.0\"", "true", "v1 (draft)"] {
            let source = format!("---\nversion: {version}\ntitle: T\nreacceptance: false\n---\ntext");
            let read = read(&source).unwrap();
            assert_eq!(&*read.version, version.trim_matches('"'));
            assert!(!read.reacceptance);
        }
    }

    #[test]
    fn a_version_may_say_from_when_it_holds_and_what_changed() {
        let head = "title: T\nversion: 2\neffective: 2018-05-25\ngrace: 14d\nchanges: |\n  New:\n  a map.\n";
        let read = read(&format!("---\n{head}---\ntext")).unwrap();
        assert_eq!(read.effective, Some(jiff::civil::date(2018, 5, 25)));
        assert_eq!(read.grace, Some(Duration::from_secs(14 * 86_400)));
        assert_eq!(read.changes.as_deref(), Some("New:\na map."));
    }

    #[test]
    fn line_ends_and_a_byte_order_mark_do_not_make_another_wording() {
        let windows = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
        assert_eq!(read(&windows).unwrap(), read(GOOD).unwrap());
    }

    #[test]
    fn every_problem_has_its_place() {
        for (source, expected) in [
            ("Vi samlar", &[(1, 1, "the front matter is missing")][..]),
            ("---\ntitle: T\n", &[(1, 1, "the front matter has no end")]),
            ("---\n---\ntext", &[(2, 1, "the front matter holds no keys")]),
            ("---\ntitle: T\n---\ntext", &[(1, 1, "`version` is missing")]),
            (
                "---\ntitel: T\nversion:\nreacceptance: ja\n---\n",
                &[
                    (2, 1, "unknown key `titel`"),
                    (3, 8, "`version` is empty"),
                    (4, 15, "`reacceptance` is true or false"),
                    (1, 1, "`title` is missing"),
                ],
            ),
            ("---\ntitle: [a]\nversion: 1\n---\n", &[(2, 8, "`title` is a text")]),
            (
                "---\ntitle: T\nversion: 1\neffective: soon\ngrace: 2 weeks\nchanges: []\n---\n",
                &[
                    (4, 12, "`soon` is not a date"),
                    (5, 8, "`2 weeks` is not a time of grace"),
                    (6, 10, "`changes` is a text"),
                ],
            ),
        ] {
            let expected: Vec<_> =
                expected.iter().map(|(line, column, text)| (*line, *column, (*text).to_owned())).collect();
            assert_eq!(problems(source), expected, "{source}");
        }
    }

    #[test]
    fn what_is_still_to_be_filled_in_is_found_with_its_line() {
        let source = "---\ntitle: T\nversion: 1\n---\nA [FILL IN: which data] b\n\n[fill in: why,\nand how long]\n[FILL IN: open\nend";
        let found = read(source).unwrap().to_fill_in;
        let found: Vec<_> = found.iter().map(|(line, text)| (*line, &**text)).collect();
        assert_eq!(found, [(5, "which data"), (7, "why, and how long"), (9, "open")]);
    }

    #[test]
    fn a_file_without_text_is_empty() {
        assert!(read("---\ntitle: T\nversion: 1\n---\n \n").unwrap().is_empty);
        assert!(read("---\ntitle: T\nversion: 1\n---").unwrap().is_empty);
    }

    #[test]
    fn variables_that_the_site_does_not_set_are_reported_with_the_nearest() {
        let variables = json!({"controller": {"name": "Byrån", "email": null}, "hosts": ["a.se"]});
        let source = "---\n---\n{{ controller.name }} {{services}}{{ cookies }} {{ hosts }}\n{{ controler.name }} {{ controller.email }}";
        let found = unknown_variables(source, &variables);
        let places: Vec<_> = found.iter().map(|it| (it.line, it.column)).collect();
        assert_eq!(places, [(4, 1), (4, 22)]);
        assert_eq!(found[1].message, "the site does not say `controller.email`");
        assert!(found[1].help.as_deref().unwrap().contains("`controller: { email: … }`"));
        assert_eq!(found[0].message, "the site has no setting `controler.name`");
        assert_eq!(found[0].help.as_deref(), Some("did you mean `{{ controller.name }}`?"));
    }

    proptest! {
        #[test]
        fn no_input_panics(source in "(---\n)?[a-z: \n\\[\\]{}-]{0,60}(\n---\n)?[^x]{0,60}") {
            let _ = read(&source);
            let _ = unknown_variables(&source, &json!({}));
        }
    }
}
