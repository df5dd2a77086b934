//! The points of the file system at which settings can change: the files themselves, every symbolic link on the
//! way to them, and what is not there yet.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::config::seen::Seen;
use crate::config::sites::fits;

/// As many links as Linux follows in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// The points that matter, by paths without a link in them.
#[derive(Debug, Default)]
pub(super) struct Points {
    names: HashSet<PathBuf>,
    patterns: HashMap<PathBuf, BTreeSet<Box<str>>>,
    folders: BTreeSet<PathBuf>,
    /// Where folders really are, as far as it is known.
    real: HashMap<PathBuf, Option<PathBuf>>,
}

impl Points {
    /// Where that can change which a reading has seen.
    pub(super) fn of(seen: &Seen) -> Self {
        let mut points = Points::default();
        for file in seen.files() {
            if let Ok(file) = std::path::absolute(file) {
                points.add(&file, 0);
            }
        }
        for (folder, pattern) in seen.folders() {
            // The empty path is the present folder.
            let folder = std::path::absolute(Path::new(".").join(folder)).ok();
            if let Some(folder) = folder.and_then(|folder| points.real(&folder, 0)) {
                points.folders.insert(folder.clone());
                points.patterns.entry(folder).or_default().insert(pattern.into());
            }
        }
        points
    }

    /// The folders to watch: what happens in them happens at these points.
    pub(super) fn folders(&self) -> &BTreeSet<PathBuf> {
        &self.folders
    }

    /// Whether a change of `path` may change the settings.
    pub(super) fn concern(&self, path: &Path) -> bool {
        let fits = || {
            let patterns = self.patterns.get(path.parent()?)?;
            let name = path.file_name()?.to_str()?;
            Some(patterns.iter().any(|pattern| fits(name, pattern)))
        };
        self.names.contains(path) || self.folders.contains(path) || fits() == Some(true)
    }

    /// Adds a file, and where it leads.
    fn add(&mut self, path: &Path, links: usize) {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
        let Some(folder) = self.real(folder, links) else { return };
        let path = folder.join(name);
        let target = std::fs::read_link(&path).map(|target| folder.join(target));
        self.note(folder, path);
        if let Ok(target) = target
            && links < MOST_LINKS
        {
            self.add(&target, links + 1);
        }
    }

    /// Where a folder really is; nothing while it is not there.
    fn real(&mut self, path: &Path, links: usize) -> Option<PathBuf> {
        if let Some(known) = self.real.get(path) {
            return known.clone();
        }
        let real = self.walk(path, links);
        self.real.insert(path.to_owned(), real.clone());
        real
    }

    fn walk(&mut self, path: &Path, links: usize) -> Option<PathBuf> {
        let Some(parent) = path.parent() else { return Some(path.to_owned()) };
        let folder = self.real(parent, links)?;
        let name = match path.components().next_back()? {
            Component::ParentDir => return Some(folder.parent().unwrap_or(&folder).to_owned()),
            Component::Normal(name) => name,
            Component::CurDir | Component::RootDir | Component::Prefix(_) => return Some(folder),
        };
        let next = folder.join(name);
        match std::fs::read_link(&next) {
            Ok(target) => {
                let target = folder.join(target);
                self.note(folder, next);
                (links < MOST_LINKS).then(|| self.real(&target, links + 1)).flatten()
            }
            // It is there, and no link.
            Err(error) if error.kind() == ErrorKind::InvalidInput => Some(next),
            Err(_) => {
                self.note(folder, next);
                None
            }
        }
    }

    fn note(&mut self, folder: PathBuf, name: PathBuf) {
        self.folders.insert(folder);
        self.names.insert(name);
    }
}
