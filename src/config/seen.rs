//! What a reading found on the disk: each file with the fingerprint of its content, and each folder that was
//! listed. Where two readings have seen the same, nothing has changed between them.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// What a reading found on the disk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    files: HashMap<PathBuf, Fingerprint>,
    folders: BTreeSet<(PathBuf, Box<str>)>,
    certificates: BTreeSet<PathBuf>,
}

/// What a file held when it was read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fingerprint {
    /// Nothing: it was not there, or could not be read.
    Absent,
    /// The first half of the SHA-256 of its bytes.
    Content([u8; 16]),
    /// Now this, now that: it changed while the reading went on.
    Changing,
}

impl Seen {
    /// Whether a certificate or a key for upstreams is another than `before`. One that is gone is none.
    pub fn has_other_certificates(&self, before: &Seen) -> bool {
        let is_other = |path: &PathBuf| {
            let now = self.file(path);
            now.is_some_and(Fingerprint::is_content) && now != before.file(path)
        };
        self.certificates.iter().any(is_other)
    }

    /// Every file that was looked for, found or not.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// The folders that were listed, each with the pattern that names had to fit.
    pub(super) fn folders(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.folders.iter().map(|(folder, pattern)| (folder.as_path(), &**pattern))
    }

    pub(super) fn file(&self, path: &Path) -> Option<Fingerprint> {
        self.files.get(path).copied()
    }

    pub(super) fn note(&mut self, path: &Path, found: Fingerprint) {
        let before = self.files.insert(path.to_owned(), found);
        if before.is_some_and(|before| before != found) {
            self.files.insert(path.to_owned(), Fingerprint::Changing);
        }
    }

    pub(super) fn forget(&mut self, path: &Path) {
        self.files.remove(path);
    }

    /// Remembers that a file holds a certificate or a key for upstreams.
    pub(super) fn note_certificate(&mut self, path: &Path) {
        self.certificates.insert(path.to_owned());
    }

    /// What `before` knew of files that are still looked at: sites that are carried over do not say it again.
    pub(super) fn inherit_certificates(&mut self, before: &Seen) {
        let known = before.certificates.iter().filter(|path| self.files.contains_key(*path));
        self.certificates.extend(known.cloned());
    }

    pub(super) fn note_folder(&mut self, folder: &Path, pattern: &str) {
        self.folders.insert((folder.to_owned(), pattern.into()));
    }
}

impl Fingerprint {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Sha256::digest(bytes).first_chunk().map_or(Fingerprint::Absent, |half| Fingerprint::Content(*half))
    }

    /// Only of plain files: a pipe would give its bytes once, or never.
    pub(super) fn of_file(path: &Path) -> Self {
        let bytes = if path.is_file() { std::fs::read(path).ok() } else { None };
        bytes.map_or(Fingerprint::Absent, |bytes| Fingerprint::of(&bytes))
    }

    pub(super) fn is_content(self) -> bool {
        matches!(self, Fingerprint::Content(_))
    }
}

/// What was changing is never the same again: the next reading looks closely.
impl PartialEq for Fingerprint {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Fingerprint::Absent, Fingerprint::Absent) => true,
            (Fingerprint::Content(one), Fingerprint::Content(other)) => one == other,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changes_during_a_reading_is_never_taken_for_unchanged() {
        let (mut first, mut second) = (Seen::default(), Seen::default());
        let path = Path::new("a.yaml");
        first.note(path, Fingerprint::of(b"1"));
        second.note(path, Fingerprint::of(b"1"));
        second.note(path, Fingerprint::of(b"1"));
        assert_eq!(first, second);
        second.note(path, Fingerprint::of(b"2"));
        assert!(first != second && second != second.clone());
    }
}
