//! The keys that sign cookies: read, or made at the first start.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Scope, at, looked_for};
use crate::config::FirstStart;
use crate::config::seen::Fingerprint;
use crate::consent::cookie::Secrets;

/// The keys, and whether they still have to be written.
pub(in crate::config) struct Keys {
    /// The keys.
    pub(in crate::config) secrets: Arc<Secrets>,
    /// Tells them from others.
    pub(in crate::config) fingerprint: Fingerprint,
    /// The file to make, once everything else is known to be right.
    pub(in crate::config) to_write: Option<NewFile>,
}

impl Keys {
    /// Keys that nobody will use: what was written cannot be used, and the rest is still to be read.
    pub(in crate::config) fn none() -> Self {
        let secrets = Secrets::parse(&"-".repeat(32)).expect("32 characters are a secret");
        Keys { secrets: Arc::new(secrets), fingerprint: Fingerprint::Absent, to_write: None }
    }
}

/// A file of secrets that does not exist yet.
pub(in crate::config) struct NewFile {
    pub(in crate::config) path: PathBuf,
    text: String,
}

/// Reads the keys, or draws them where their file does not exist yet.
pub(super) fn resolve(scope: &mut Scope<'_>, written: Option<&str>, first_start: FirstStart) -> Option<Keys> {
    let path = at!["secrets"];
    let written = written.unwrap_or("file:../data/secrets");
    let mut to_write = None;
    let text = match written.strip_prefix("file:").map(|name| scope.locate(path, name)) {
        Some(file) if first_start != FirstStart::Past && !file.try_exists().unwrap_or(true) => {
            scope.files.look(&file);
            let text = draw(scope)?;
            to_write = (first_start == FirstStart::MakeSecrets)
                .then(|| NewFile { path: file, text: format!("{text}\n") });
            text
        }
        Some(file) => {
            check_mode(scope, &file);
            let read = scope.files.read_text(&file);
            read.map_err(|error| {
                scope.error(path, format!("the secrets cannot be read: {error}"), looked_for(&file));
            })
            .ok()?
            .as_ref()
            .to_owned()
        }
        None => {
            if !written.starts_with("env:") {
                let message = "a secret in a file of settings is read by all who read those";
                scope.warn(path, message, "write `secrets: file:../data/secrets` or `env:NAME`");
            }
            scope.look_up(path, written)?
        }
    };
    match Secrets::parse(&text) {
        Ok(secrets) => {
            let fingerprint = Fingerprint::of(text.trim().as_bytes());
            Some(Keys { secrets: Arc::new(secrets), fingerprint, to_write })
        }
        Err(error) => {
            scope.error(path, "the secrets cannot be used", error.to_string());
            None
        }
    }
}

fn check_mode(scope: &mut Scope<'_>, file: &Path) {
    let mode = std::fs::metadata(file).map(|metadata| metadata.mode()).unwrap_or_default();
    if mode & 0o077 != 0 {
        let message = format!("others may read or change the secrets (mode {:03o})", mode & 0o777);
        scope.warn(at!["secrets"], message, format!("run `chmod 600 {}`", file.display()));
    }
}

/// 256 random bits as hexadecimal digits.
fn draw(scope: &mut Scope<'_>) -> Option<String> {
    let mut bytes = [0u8; 32];
    if let Err(error) = getrandom::fill(&mut bytes) {
        scope.error(at!["secrets"], format!("the machine gives no random numbers: {error}"), "");
        return None;
    }
    Some(bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

impl NewFile {
    /// Makes the file, readable by its owner alone, and the folders above it.
    pub(in crate::config) fn write(&self) -> std::io::Result<()> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::DirBuilder::new().recursive(true).mode(0o750).create(folder)?;
        }
        // Never over a file that another start has made meanwhile: its cookies would be void.
        let mut file =
            std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        file.write_all(self.text.as_bytes())?;
        file.sync_all()
    }
}
