//! The files of the sites: which `sites:` names, and which of them must be read anew.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::claims::{self, Candidate, Origin, Spot};
use super::files::{Files, Listing};
use super::problem::Problem;
use super::resolve::{self, Library, Scope, Shared, at};
use super::seen::Fingerprint;
use super::tree::{self, Node};
use crate::consent::cookie::Secrets;
use crate::site::{HostPattern, Mode, Site, Sites};

/// One site, what it was made from, and what its operator should know.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) site: Arc<Site>,
    /// Its hosts, and where they are written.
    pub(super) hosts: Vec<(HostPattern, Spot)>,
    /// Where its file begins.
    pub(super) start: Spot,
    is_filled_in: bool,
    files: Vec<(PathBuf, Fingerprint)>,
    listings: Vec<Listing>,
    common: Arc<Common>,
    warnings: Vec<Problem>,
}

/// What all sites are made from.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) defaults: Node,
    pub(super) secrets: Arc<Secrets>,
    /// Tells the secrets from others.
    pub(super) secrets_fingerprint: Fingerprint,
    pub(super) listeners: Vec<std::net::SocketAddr>,
    pub(super) html_token: usize,
}

impl PartialEq for Common {
    fn eq(&self, other: &Self) -> bool {
        self.defaults == other.defaults
            && self.secrets_fingerprint == other.secrets_fingerprint
            && self.listeners == other.listeners
            && self.html_token == other.html_token
    }
}

/// The sites in force, by the path of their files.
#[derive(Debug, Default)]
pub(super) struct Known(BTreeMap<PathBuf, Arc<Entry>>);

impl Known {
    pub(super) fn find(&self, path: &Path) -> Option<&Arc<Entry>> {
        self.0.get(path)
    }

    /// The site as it is in force, to stay although its files say something else.
    pub(super) fn outdated(&self, path: PathBuf) -> Option<Candidate> {
        let entry = Arc::clone(self.find(&path)?);
        Some(Candidate { path, entry, origin: Origin::Outdated })
    }

    /// All of them, in the order of their files.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.0.values()
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// All sites, and what became of their files.
#[derive(Default)]
pub(super) struct Found {
    pub(super) sites: Sites,
    pub(super) known: Known,
    /// The names of those whose privacy document is not filled in.
    pub(super) not_filled_in: Vec<Box<str>>,
    /// The names of those that stay as they were because of errors.
    pub(super) outdated: Vec<Box<str>>,
}

/// Loads the file of every site that `pattern` names, relative to the main file. What nothing has changed of is
/// taken from `before`, and so is what has errors now.
pub(super) fn load(
    files: &mut Files,
    main: &Node,
    pattern: &str,
    common: &Arc<Common>,
    before: Option<&Known>,
) -> Found {
    let paths = paths(&mut Scope { files, tree: main }, pattern);
    let mut reading = Reading { files, common, before, library: Library::default() };
    let candidates = paths.into_iter().filter_map(|path| reading.candidate(path)).collect();
    let candidates = claims::settle(candidates, before, &mut files.problems);
    let mut found = Found::default();
    for Candidate { path, entry, origin } in candidates {
        if !entry.is_filled_in && entry.site.mode != Mode::Off {
            found.not_filled_in.push(entry.site.name.clone());
        }
        for (host, _) in &entry.hosts {
            // At a start, what is claimed twice is told, and these settings are never used.
            let _ = found.sites.insert(host.clone(), &entry.site);
        }
        if origin == Origin::Outdated {
            found.outdated.push(entry.site.name.clone());
        }
        found.known.0.insert(path, entry);
    }
    found
}

/// The sites' files on their way.
struct Reading<'a> {
    files: &'a mut Files,
    common: &'a Arc<Common>,
    before: Option<&'a Known>,
    library: Library,
}

impl Reading<'_> {
    fn candidate(&mut self, path: PathBuf) -> Option<Candidate> {
        let known = self.before.and_then(|known| known.find(&path));
        if let Some(entry) = known.filter(|entry| self.is_current(entry)) {
            let entry = Arc::clone(entry);
            self.files.problems.extend_from_slice(&entry.warnings);
            return Some(Candidate { path, entry, origin: Origin::Unchanged });
        }
        let (problems, looks) = (self.files.problems.len(), self.files.looks.len());
        self.files.listings.clear();
        let entry = self.read(&path);
        let mut noted = self.files.problems.split_off(problems);
        if let Some(before) = self.before
            && noted.iter().any(Problem::is_error)
        {
            // What is doubtful about settings that are not taken would be read as if they were.
            noted.retain(Problem::is_error);
            self.files.problems.append(&mut noted);
            return before.outdated(path);
        }
        let warnings = noted.clone();
        self.files.problems.append(&mut noted);
        let files = self.files.looks.split_off(looks);
        let listings = std::mem::take(&mut self.files.listings);
        let entry = Arc::new(Entry { warnings, files, listings, ..entry? });
        Some(Candidate { path, entry, origin: Origin::Read })
    }

    fn is_current(&mut self, entry: &Entry) -> bool {
        (Arc::ptr_eq(&entry.common, self.common) || entry.common == *self.common)
            && entry.files.iter().all(|(path, found)| self.files.look(path) == *found)
            && entry
                .listings
                .iter()
                .all(|before| self.files.list(&before.folder, &before.start, before.end) == before.found)
    }

    fn read(&mut self, path: &Path) -> Option<Entry> {
        let files = &mut *self.files;
        let file = files.read(path)?;
        let name = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
        let tree = tree::parse(files, file)?;
        let mut tree = resolve::with_defaults(tree, &self.common.defaults);
        let raw = super::decode::decode(files, &mut tree)?;
        let Common { secrets, listeners, html_token, .. } = &**self.common;
        // It was learnt from traffic, not from files: a reload keeps it.
        let known = self.before.and_then(|known| known.find(path));
        let observed = &known.map(|entry| Arc::clone(&entry.site.filter.observed)).unwrap_or_default();
        let shared = Shared { secrets, listeners, html_token: *html_token, observed };
        let mut scope = Scope { files, tree: &tree };
        let resolved = resolve::site(&mut scope, &raw, name, &shared, &mut self.library);
        let spot = |spot| {
            let (file, place) = self.files.place(spot);
            Spot { file, place }
        };
        Some(Entry {
            site: resolved.site,
            hosts: resolved.hosts.into_iter().map(|(host, at)| (host, spot(at))).collect(),
            start: spot(tree.spot),
            is_filled_in: resolved.is_filled_in,
            files: Vec::new(),
            listings: Vec::new(),
            common: Arc::clone(self.common),
            warnings: Vec::new(),
        })
    }
}

/// The files that a pattern names, in the order of their names.
fn paths(scope: &mut Scope<'_>, pattern: &str) -> Vec<PathBuf> {
    let at = at!["sites"];
    if pattern.contains("**") {
        scope.error(at, "`**` is not understood", "name the folders: `sites: sites/*.yaml`");
        return Vec::new();
    }
    let folder = scope.folder(at);
    let mut failure = None;
    let paths = expand(scope.files, &folder, pattern, &mut failure);
    if paths.is_empty() {
        let looked = std::path::absolute(&folder).unwrap_or(folder);
        let help = format!("looked in {}; write one file a site there", looked.display());
        let why = failure.map(|error| format!(": {error}")).unwrap_or_default();
        scope.error(at, format!("`{pattern}` names no file{why}"), help);
    }
    paths
}

/// Follows a pattern part by part; `*` stands for anything but a slash, and never for hidden files. `failure` is of a
/// folder that is there and cannot be listed.
fn expand(files: &mut Files, folder: &Path, pattern: &str, failure: &mut Option<io::Error>) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for part in Path::new(pattern).components() {
        let text = part.as_os_str().to_string_lossy();
        found = match part {
            Component::Normal(_) if text.contains('*') => {
                found.iter().for_each(|folder| files.seen.note_folder(folder, &text));
                found.iter().flat_map(|folder| matching(folder, &text, failure)).collect()
            }
            _ => found.iter().map(|folder| folder.join(part)).collect(),
        };
    }
    found.retain(|path| {
        // A link that leads nowhere is a file that cannot be read: it was put there for a site.
        let is_read = path.is_file() || path.is_symlink() && !path.exists();
        if !is_read {
            files.look(path);
        }
        is_read
    });
    found
}

fn matching(folder: &Path, pattern: &str, failure: &mut Option<io::Error>) -> Vec<PathBuf> {
    // An empty path is the present folder, which `read_dir` does not take.
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(listed).map_err(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            *failure = Some(error);
        }
    });
    let mut found: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| fits(name, pattern))
        .map(|name| folder.join(name))
        .collect();
    found.sort();
    found
}

/// Whether a name fits a pattern in which each `*` stands for any text; hidden names fit none.
pub(super) fn fits(name: &str, pattern: &str) -> bool {
    !name.starts_with('.') && covers(name, pattern)
}

fn covers(name: &str, pattern: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return name == pattern };
    let Some(name) = name.strip_prefix(start) else { return false };
    let Some((middle, end)) = rest.rsplit_once('*') else { return name.ends_with(rest) };
    let mut name = match name.strip_suffix(end) {
        Some(name) => name,
        None => return false,
    };
    for part in middle.split('*') {
        match name.find(part) {
            Some(at) => name = name.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (name, pattern, expected) in [
            ("a.yaml", "*.yaml", true),
            (".yaml", "*.yaml", false),
            ("a.yml", "*.yaml", false),
            ("shop-1.yaml", "shop-*.yaml", true),
            ("shop.yaml", "shop-*.yaml", false),
            ("abcbd", "a*b*d", true),
            ("abd", "a*b*b*d", false),
            ("aa", "a*a", true),
            ("a", "a*a", false),
            ("a", "a", true),
        ] {
            assert_eq!(fits(name, pattern), expected, "{name} {pattern}");
        }
    }
}
