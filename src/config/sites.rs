//! The files of the sites: which `sites:` names, and what is wrong only when all are seen together.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use super::files::{Files, Spot};
use super::resolve::{self, Library, Resolved, Scope, Shared, at};
use super::tree::{self, Node};
use crate::site::{HostPattern, Sites};

/// All sites, and the names of those whose privacy document is not filled in.
#[derive(Default)]
pub(super) struct Found {
    pub(super) sites: Sites,
    pub(super) not_filled_in: Vec<Box<str>>,
}

/// Loads the file of every site that `pattern` names, relative to the main file.
pub(super) fn load(
    files: &mut Files,
    main: &Node,
    pattern: &str,
    defaults: &Node,
    shared: &Shared<'_>,
) -> Found {
    let mut scope = Scope { files, tree: main };
    let paths = paths(&mut scope, pattern);
    let mut found = Found::default();
    let mut library = Library::default();
    let mut owners = HashMap::new();
    let mut names: HashMap<Box<str>, PathBuf> = HashMap::new();
    for path in paths {
        let Some((mut tree, name)) = read(files, &path) else { continue };
        if let Some(first) = names.insert(name.clone(), path.clone()) {
            let message = format!("a second site is called `{name}`");
            let help =
                format!("the first is {}; cookies and ledger know sites by this name", first.display());
            files.error(tree.spot, message, help);
        }
        tree = resolve::with_defaults(tree, defaults);
        let Some(raw) = super::decode::decode(files, &mut tree) else { continue };
        let mut scope = Scope { files, tree: &tree };
        let resolved = resolve::site(&mut scope, &raw, &name, shared, &mut library);
        if !resolved.is_filled_in && resolved.site.mode != crate::site::Mode::Off {
            found.not_filled_in.push(name);
        }
        insert(files, &mut found.sites, &mut owners, resolved);
    }
    found
}

fn read(files: &mut Files, path: &Path) -> Option<(Node, Box<str>)> {
    let file = files.read(path)?;
    let name = path.file_stem().and_then(OsStr::to_str).unwrap_or_default().into();
    Some((tree::parse(files, file)?, name))
}

/// Gives the site its hosts; what another has already, or the site itself, is an error with both places.
fn insert(files: &mut Files, sites: &mut Sites, owners: &mut HashMap<HostPattern, Spot>, resolved: Resolved) {
    for (host, spot) in resolved.hosts {
        if let Some(first) = owners.get(&host) {
            let place = format!("{}:{}", files.path(first.file).display(), first.line);
            let help = format!("{place} has it already; a host belongs to one site");
            files.error(spot, "this host stands here a second time", help);
        } else if sites.insert(host.clone(), &resolved.site).is_ok() {
            owners.insert(host, spot);
        }
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
    let paths = expand(&folder, pattern);
    if paths.is_empty() {
        let looked = std::path::absolute(&folder).unwrap_or(folder);
        let help = format!("looked in {}; write one file a site there", looked.display());
        scope.error(at, format!("`{pattern}` names no file"), help);
    }
    paths
}

/// Follows a pattern part by part; `*` stands for anything but a slash, and never for hidden files.
fn expand(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for part in Path::new(pattern).components() {
        let text = part.as_os_str().to_string_lossy();
        found = match part {
            Component::Normal(_) if text.contains('*') => {
                found.iter().flat_map(|folder| matching(folder, &text)).collect()
            }
            _ => found.iter().map(|folder| folder.join(part)).collect(),
        };
    }
    found.retain(|path| path.is_file());
    found
}

fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    // An empty path is the present folder, which `read_dir` does not take.
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found: Vec<PathBuf> = std::fs::read_dir(listed)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.') && fits(name, pattern))
        .map(|name| folder.join(name))
        .collect();
    found.sort();
    found
}

/// Whether a name fits a pattern in which each `*` stands for any text.
fn fits(name: &str, pattern: &str) -> bool {
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
            (".yaml", "*.yaml", true),
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
