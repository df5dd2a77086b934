//! A folder for what a command needs while it runs, and nobody afterwards.

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A temporary folder that only its owner can enter: secrets and ledgers lie in it. Removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    /// Makes a folder that is named after a command.
    pub(super) fn of(command: &str) -> io::Result<Self> {
        let name = format!("consentry-{command}-{}", Uuid::now_v7().simple());
        let folder = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Scratch(folder))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // There is nobody left to tell, and the system clears its temporary folder in time.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn others_on_the_machine_cannot_enter_and_nothing_is_left_behind() {
        let scratch = Scratch::of("test").unwrap();
        let path = scratch.path().to_owned();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
        std::fs::write(path.join("ledger"), "x").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
