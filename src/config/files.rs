//! The files that were read, and the way from a spot in one of them to a [`Problem`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::{Place, Problem, Severity};

/// The files that were read so far, and what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: Vec<File>,
    /// What was found so far, in no order.
    pub(super) problems: Vec<Problem>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    text: Arc<str>,
}

/// Which of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct FileId(usize);

/// A spot in a file; lines and columns from 1, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) file: FileId,
    pub(super) line: usize,
    pub(super) column: usize,
    /// How many characters are meant; 0: the rest of the line.
    pub(super) length: usize,
}

impl Files {
    /// Adds a file under the name by which problems show it.
    pub(super) fn add(&mut self, path: &Path, text: Arc<str>) -> FileId {
        self.files.push(File { path: path.to_owned(), text });
        FileId(self.files.len() - 1)
    }

    /// Reads a file as UTF-8, a byte order mark left out; what fails becomes a problem of the whole file.
    pub(super) fn read(&mut self, path: &Path) -> Option<FileId> {
        match read_text(path) {
            Ok(text) => Some(self.add(path, text)),
            Err(error) => {
                self.problems.push(Problem {
                    severity: Severity::Error,
                    file: path.to_owned(),
                    place: None,
                    message: format!("the file cannot be read: {error}"),
                    help: None,
                });
                None
            }
        }
    }

    /// The folder that relative paths of this file start from.
    pub(super) fn folder(&self, file: FileId) -> &Path {
        self.path(file).parent().unwrap_or(Path::new(""))
    }

    /// The file's name.
    pub(super) fn path(&self, file: FileId) -> &Path {
        self.files.get(file.0).map_or(Path::new(""), |file| &file.path)
    }

    /// The file's text.
    pub(super) fn text(&self, file: FileId) -> Arc<str> {
        self.files.get(file.0).map(|file| Arc::clone(&file.text)).unwrap_or_default()
    }

    /// Notes what makes the settings unusable.
    pub(super) fn error(&mut self, spot: Spot, message: impl Into<String>, help: impl Into<String>) {
        self.note(Severity::Error, spot, message.into(), help.into());
    }

    /// Notes what an operator should know.
    pub(super) fn warn(&mut self, spot: Spot, message: impl Into<String>, help: impl Into<String>) {
        self.note(Severity::Warning, spot, message.into(), help.into());
    }

    fn note(&mut self, severity: Severity, spot: Spot, message: String, help: String) {
        let text = self.text(spot.file);
        let line = text.lines().nth(spot.line.saturating_sub(1)).unwrap_or_default();
        let rest = line.trim_end().chars().count().saturating_sub(spot.column.saturating_sub(1));
        let length = if spot.length == 0 { rest } else { spot.length.min(rest) };
        self.problems.push(Problem {
            severity,
            file: self.path(spot.file).to_owned(),
            place: Some(Place { line: spot.line, column: spot.column, length, text: line.into() }),
            message,
            help: (!help.is_empty()).then_some(help),
        });
    }
}

/// The text of a file, a byte order mark left out.
pub(super) fn read_text(path: &Path) -> std::io::Result<Arc<str>> {
    let text = std::fs::read_to_string(path)?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).into())
}
