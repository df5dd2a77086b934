//! The files that were read, and the way from a spot in one of them to a [`Problem`].

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::{Place, Problem, Severity};
use super::seen::{Fingerprint, Seen};

/// The files that were read so far, and what is wrong with them.
#[derive(Debug, Default)]
pub(super) struct Files {
    files: Vec<File>,
    /// What was found so far, in no order.
    pub(super) problems: Vec<Problem>,
    /// What was found on the disk.
    pub(super) seen: Seen,
    /// Each look at the disk, in order: what a site was made from is a stretch of this.
    pub(super) looks: Vec<(PathBuf, Fingerprint)>,
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
        match self.read_text(path) {
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

    /// The text of a file, a byte order mark left out.
    pub(super) fn read_text(&mut self, path: &Path) -> std::io::Result<Arc<str>> {
        let bytes = std::fs::read(path).inspect_err(|_| self.note(path, Fingerprint::Absent))?;
        self.note(path, Fingerprint::of(&bytes));
        let text = String::from_utf8(bytes)
            .map_err(|_| std::io::Error::new(ErrorKind::InvalidData, "stream did not contain valid UTF-8"))?;
        Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).into())
    }

    /// What a file holds: as this reading has found it, or by a look at it.
    pub(super) fn look(&mut self, path: &Path) -> Fingerprint {
        let found = self.seen.file(path).unwrap_or_else(|| Fingerprint::of_file(path));
        self.note(path, found);
        found
    }

    /// The same for a file that this reading has changed itself.
    pub(super) fn look_anew(&mut self, path: &Path) {
        self.seen.forget(path);
        self.look(path);
    }

    fn note(&mut self, path: &Path, found: Fingerprint) {
        self.seen.note(path, found);
        self.looks.push((path.to_owned(), found));
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

    /// Whether anything makes the settings unusable so far.
    pub(super) fn has_errors(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }

    /// Notes what makes the settings unusable.
    pub(super) fn error(&mut self, spot: Spot, message: impl Into<String>, help: impl Into<String>) {
        self.tell(Severity::Error, spot, message.into(), help.into());
    }

    /// Notes what an operator should know.
    pub(super) fn warn(&mut self, spot: Spot, message: impl Into<String>, help: impl Into<String>) {
        self.tell(Severity::Warning, spot, message.into(), help.into());
    }

    fn tell(&mut self, severity: Severity, spot: Spot, message: String, help: String) {
        let (file, place) = self.place(spot);
        let help = (!help.is_empty()).then_some(help);
        self.problems.push(Problem { severity, file, place: Some(place), message, help });
    }

    /// Where a spot is, for whoever has no [`Files`] any more.
    pub(super) fn place(&self, spot: Spot) -> (PathBuf, Place) {
        let text = self.text(spot.file);
        let line = text.lines().nth(spot.line.saturating_sub(1)).unwrap_or_default();
        let rest = line.trim_end().chars().count().saturating_sub(spot.column.saturating_sub(1));
        let length = if spot.length == 0 { rest } else { spot.length.min(rest) };
        let place = Place { line: spot.line, column: spot.column, length, text: line.into() };
        (self.path(spot.file).to_owned(), place)
    }
}
