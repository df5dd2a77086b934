//! Something wrong or doubtful in a file: its place, its cause and the remedy, for people, logs and programs.

use std::fmt;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

/// Something wrong or doubtful in a file, with its place, its cause and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Problem {
    /// Whether the settings can be used all the same.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: PathBuf,
    /// Where in the file; none: the file as a whole, such as one that is not there.
    #[serde(flatten)]
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// Whether settings with this problem can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// They cannot.
    Error,
    /// They can, but an operator should know.
    Warning,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// How many characters of the line are meant.
    pub length: usize,
    /// The line itself.
    pub text: Box<str>,
}

/// Whether a rendered problem is coloured for a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colours {
    /// With escape sequences.
    On,
    /// Plain text.
    Off,
}

impl Problem {
    /// Whether the settings cannot be used.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The problem with the line it stands on, underlined, over several lines for people.
    pub fn render(&self, colours: Colours) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let file = self.file.display().to_string();
        let title = level.primary_title(self.message.as_str());
        let mut group = match &self.place {
            Some(place) => title.element(
                Snippet::source(&*place.text)
                    .line_start(place.line)
                    .path(file)
                    .annotation(AnnotationKind::Primary.span(place.bytes())),
            ),
            None => title.element(annotate_snippets::Origin::path(file)),
        };
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        match colours {
            Colours::On => Renderer::styled(),
            Colours::Off => Renderer::plain(),
        }
        .render(&[group])
    }
}

impl Place {
    /// The bytes of the line that are meant.
    fn bytes(&self) -> std::ops::Range<usize> {
        let offset = |characters: usize| {
            self.text.char_indices().nth(characters).map_or(self.text.len(), |(offset, _)| offset)
        };
        let start = offset(self.column.saturating_sub(1));
        start..offset(self.column.saturating_sub(1) + self.length).max(start)
    }
}

/// One line: `config/sites/a.yaml:3:5: what is wrong; what to do about it`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(place) = &self.place {
            write!(f, ":{}:{}", place.line, place.column)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem() -> Problem {
        Problem {
            severity: Severity::Error,
            file: "sites/a.yaml".into(),
            place: Some(Place { line: 3, column: 5, length: 4, text: "å, [mdoe]".into() }),
            message: "unknown key `mdoe`".into(),
            help: Some("did you mean `mode`?".into()),
        }
    }

    #[test]
    fn a_log_gets_place_cause_and_remedy_on_one_line() {
        assert_eq!(problem().to_string(), "sites/a.yaml:3:5: unknown key `mdoe`; did you mean `mode`?");
    }

    #[test]
    fn people_see_the_line_and_what_of_it_is_meant() {
        let rendered = problem().render(Colours::Off);
        assert!(rendered.contains("--> sites/a.yaml:3:5"), "{rendered}");
        assert!(rendered.contains("3 | å, [mdoe]\n  |     ^^^^"), "{rendered}");
        assert!(rendered.contains("help: did you mean `mode`?"), "{rendered}");
    }

    #[test]
    fn programs_get_the_place_as_numbers() {
        let json = serde_json::to_value(problem()).unwrap();
        assert_eq!((json["severity"].as_str(), json["line"].as_u64()), (Some("error"), Some(3)));
    }
}
