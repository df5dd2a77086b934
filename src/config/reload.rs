//! Reading the settings again while they are in force: a file with an error leaves what it describes as it was.

use std::path::Path;
use std::sync::Arc;

use super::files::Files;
use super::problem::Problem;
use super::seen::Seen;
use super::{FirstStart, Origin, Read, Settings, in_order};

/// What a reading after the first gave.
#[derive(Debug)]
pub struct Reread {
    /// The settings to take from here on; none: all stay as they are.
    pub settings: Option<Settings>,
    /// Everything that is wrong or doubtful, in the order of the files.
    pub problems: Vec<Problem>,
    /// The sites that stay as they were because of errors.
    pub outdated: Vec<Box<str>>,
    /// What was found on the disk.
    pub seen: Arc<Seen>,
}

/// Reads again what `before` was read from. Sites of which nothing has changed are those of `before` themselves;
/// those with errors, too, but for new ones, which are not there yet. With errors in `consentry.yaml` all stay.
pub fn reload(path: &Path, before: &Settings) -> Reread {
    let mut files = Files::default();
    let mut read = super::read(&mut files, path, FirstStart::Past, Some(before));
    let has_changed = read.as_ref().is_none_or(|read| read.settings.origin.main != before.origin.main);
    let Files { mut problems, mut seen, .. } = files;
    seen.inherit_certificates(before.seen());
    // Defaults may show their errors in single sites; still it is the main file that has them.
    let is_main_wrong = problems.iter().any(|problem| problem.is_error() && problem.file == path);
    if let Some(read) = &mut read {
        // They are those of one listener, which goes on with what it has.
        problems.append(&mut read.of_certificates);
    }
    let (problems, seen) = (in_order(problems), Arc::new(seen));
    match read.filter(|read| read.has_sites() && !(has_changed && is_main_wrong)) {
        None => {
            let outdated = before.origin.known.entries().map(|entry| entry.site.name.clone()).collect();
            Reread { settings: None, problems, outdated, seen }
        }
        Some(Read { settings, outdated, .. }) => {
            let warnings = problems.iter().filter(|problem| !problem.is_error()).cloned().collect();
            let origin = Origin { seen: Arc::clone(&seen), warnings, ..settings.origin };
            Reread { settings: Some(Settings { origin, ..settings }), problems, outdated, seen }
        }
    }
}

impl Read {
    /// A folder that is empty all at once is more likely gone than meant so.
    fn has_sites(&self) -> bool {
        self.settings.origin.known.len() > 0
    }
}

#[cfg(test)]
mod tests;
