//! From what is written to what is meant: defaults filled in, words compiled, and everything checked against
//! everything else. After this, nothing is parsed again.

mod certificates;
mod documents;
mod front_matter;
mod gates;
mod ledger;
mod look;
mod proxy;
mod secrets;
mod services;
mod site;
mod upstream;

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::files::{FileId, Files, Spot};
use super::tree::{Node, Step};
pub(super) use certificates::certificates;
pub(super) use documents::Library;
pub(super) use proxy::{Proxy, admin, proxy};
pub(super) use secrets::{Keys, NewFile};
pub(super) use site::{Shared, site, with_defaults};

/// The way to a value: `at!["gates", 2, "cookie"]`.
macro_rules! at {
    ($($step:expr),* $(,)?) => { &[$($crate::config::tree::Step::from($step)),*] };
}
pub(super) use at;

/// One tree, and where to note what is wrong with it.
pub(super) struct Scope<'a> {
    pub(super) files: &'a mut Files,
    pub(super) tree: &'a Node,
}

impl Scope<'_> {
    pub(super) fn error(&mut self, path: &[Step<'_>], message: impl Into<String>, help: impl Into<String>) {
        self.files.error(self.tree.spot(path), message, help);
    }

    fn warn(&mut self, path: &[Step<'_>], message: impl Into<String>, help: impl Into<String>) {
        self.files.warn(self.tree.spot(path), message, help);
    }

    /// As `error`, pointing at the key.
    fn error_key(&mut self, path: &[Step<'_>], message: impl Into<String>, help: impl Into<String>) {
        self.files.error(self.tree.key_spot(path), message, help);
    }

    /// Notes that a key is missing, unless it was there and wrong.
    fn missing(&mut self, path: &[Step<'_>], help: &str) {
        if !self.tree.has_lost(path)
            && let Some(Step::Key(key)) = path.last()
        {
            self.error(path, format!("`{key}` is missing"), help);
        }
    }

    /// The file that holds the value: a site's own, or that of the defaults.
    fn file(&self, path: &[Step<'_>]) -> FileId {
        self.tree.spot(path).file
    }

    /// A path of the file system, relative to the file that names it.
    fn locate(&self, path: &[Step<'_>], name: &str) -> PathBuf {
        straightened(&self.files.folder(self.file(path)).join(name))
    }

    /// The folder that relative paths of this value start from.
    pub(super) fn folder(&self, path: &[Step<'_>]) -> PathBuf {
        self.files.folder(self.file(path)).to_owned()
    }

    /// The same, for a file that must exist.
    fn existing(&mut self, path: &[Step<'_>], name: &str) -> PathBuf {
        let file = self.locate(path, name);
        if !self.files.look(&file).is_content() {
            self.error(path, why_not(name, &file), looked_for(&file));
        }
        file
    }

    /// A value, where `env:NAME` and `file:PATH` stand for what they name.
    fn look_up(&mut self, path: &[Step<'_>], written: &str) -> Option<String> {
        if let Some(name) = written.strip_prefix("env:") {
            let value = std::env::var(name).ok();
            if value.is_none() {
                let message = format!("the environment has no variable `{name}`");
                self.error(path, message, format!("set {name} where the proxy is started"));
            }
            return value.map(|value| value.trim().to_owned());
        }
        let Some(name) = written.strip_prefix("file:") else { return Some(written.to_owned()) };
        let file = self.locate(path, name);
        match self.files.read_text(&file) {
            Ok(text) => Some(text.trim().to_owned()),
            Err(error) => {
                self.error(path, format!("the file `{name}` cannot be read: {error}"), looked_for(&file));
                None
            }
        }
    }
}

/// `sites/../documents` as `documents`, where the folder that is left again is no link to elsewhere.
fn straightened(path: &Path) -> PathBuf {
    let mut straight = PathBuf::new();
    for part in path.components() {
        let is_plain = || matches!(straight.components().next_back(), Some(Component::Normal(_)));
        let is_folder = || straight.symlink_metadata().is_ok_and(|found| found.file_type().is_dir());
        if part == Component::ParentDir && is_plain() && is_folder() {
            straight.pop();
        } else {
            straight.push(part);
        }
    }
    straight
}

/// Why a file cannot be had that is named as `name`.
fn why_not(name: &str, file: &Path) -> String {
    match std::fs::metadata(file) {
        Ok(found) if !found.is_file() => format!("`{name}` is not a file"),
        Ok(_) => match std::fs::File::open(file) {
            Ok(_) => format!("the file `{name}` was not there a moment ago"),
            Err(error) => format!("the file `{name}` cannot be read: {error}"),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => format!("the file `{name}` does not exist"),
        Err(error) => format!("the file `{name}` cannot be read: {error}"),
    }
}

fn looked_for(file: &Path) -> String {
    format!("looked for {}", std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display())
}

/// The first line of a file, for what concerns all of it.
pub(super) fn start_of(file: FileId) -> Spot {
    Spot { file, line: 1, column: 1, length: 0 }
}
