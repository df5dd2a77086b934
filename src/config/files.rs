//! The files that were read, and the way from a spot in one of them to a [`Problem`].

use std::collections::{BTreeSet, HashMap};
use std::io::ErrorKind;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::{Place, Problem, Severity};
use super::seen::{Fingerprint, Seen};
use crate::listener::certificates::plain;

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
    /// Each look for files by how their names begin and end, in order, with what it found.
    pub(super) listings: Vec<Listing>,
    folders: HashMap<PathBuf, BTreeSet<String>>,
}

/// The files of a folder whose names begin and end so, and what stands between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) folder: PathBuf,
    pub(super) start: String,
    pub(super) end: &'static str,
    pub(super) found: Vec<String>,
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

    /// Reads a file as UTF-8, a byte order mark left out; what fails becomes a problem of the whole file, or of its
    /// first byte that is no UTF-8.
    pub(super) fn read(&mut self, path: &Path) -> Option<FileId> {
        match self.read_text(path) {
            Ok(text) => Some(self.add(path, text)),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                self.not_utf8(path);
                None
            }
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

    fn not_utf8(&mut self, path: &Path) {
        let bytes = plain(path).unwrap_or_default();
        let valid = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) => {
                let valid = bytes.get(..error.valid_up_to()).unwrap_or_default();
                std::str::from_utf8(valid).unwrap_or_default()
            }
        };
        let line = valid.matches('\n').count() + 1;
        let column = valid.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let file = self.add(path, String::from_utf8_lossy(&bytes).into());
        let help = "save the file as UTF-8; an older editor may have saved it as ISO-8859-1 or Windows-1252";
        self.error(Spot { file, line, column, length: 1 }, "this letter is not UTF-8", help);
    }

    /// What stands between `start` and `end` in the names of a folder's files, in alphabetical order.
    pub(super) fn list(&mut self, folder: &Path, start: &str, end: &'static str) -> Vec<String> {
        let names = self.folders.entry(folder.to_owned()).or_insert_with(|| names(folder));
        let begin = names.range::<str, _>((Bound::Included(start), Bound::Unbounded));
        let found = begin.take_while(|name| name.starts_with(start)).filter_map(|name| {
            let between = name.get(start.len()..)?.strip_suffix(end)?;
            (!between.is_empty()).then(|| between.to_owned())
        });
        let found: Vec<String> = found.collect();
        self.seen.note_folder(folder, &format!("{start}*{end}"));
        let listing =
            Listing { folder: folder.to_owned(), start: start.to_owned(), end, found: found.clone() };
        self.listings.push(listing);
        found
    }

    /// The text of a file, a byte order mark left out.
    pub(super) fn read_text(&mut self, path: &Path) -> std::io::Result<Arc<str>> {
        let bytes = self.read_bytes(path)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| std::io::Error::new(ErrorKind::InvalidData, "stream did not contain valid UTF-8"))?;
        Ok(text.strip_prefix('\u{feff}').unwrap_or(&text).into())
    }

    /// The bytes of a file that is no text.
    pub(super) fn read_bytes(&mut self, path: &Path) -> std::io::Result<Vec<u8>> {
        let bytes = plain(path).inspect_err(|_| self.note(path, Fingerprint::Absent))?;
        self.note(path, Fingerprint::of(&bytes));
        Ok(bytes)
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

/// The names in a folder; none where it cannot be listed.
fn names(folder: &Path) -> BTreeSet<String> {
    // An empty path is the present folder, which `read_dir` does not take.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}
