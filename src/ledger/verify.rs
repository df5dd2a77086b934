//! Walks the chain, and names the first entry that is not what was recorded.
//!
//! It proves against everybody who can change the file but cannot run this program over it: whoever can write the
//! file can also rebuild the whole chain, until checkpoints are kept elsewhere.

use std::ops::ControlFlow;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::chain;
use super::sqlite::{Reader, StoreFailure};

/// What the walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Every entry is as it was recorded.
    Intact {
        /// How many there are.
        entries: u64,
    },
    /// An entry's fields do not match its hash.
    Changed(i64, Uuid),
    /// An entry does not follow the one before: something was removed, inserted or reordered here.
    Broken(i64, Uuid),
    /// The wording that an entry names is missing or not the same.
    WordingLost(i64, Uuid),
    /// Entries at the end are gone.
    CutOff {
        /// How many there should be.
        expected: i64,
        /// How many there are.
        found: i64,
    },
}

/// Walks the whole chain.
pub fn verify(reader: &Reader) -> Result<Finding, StoreFailure> {
    let mut last = [0; 32];
    let mut entries = 0;
    let mut finding = None;
    let mut failure = None;
    reader.each(None, |sequence, entry| {
        entries += 1;
        finding = if entry.previous != last {
            Some(Finding::Broken(sequence, entry.id))
        } else if chain::hash(&entry) != entry.hash {
            Some(Finding::Changed(sequence, entry.id))
        } else {
            match reader.shown(&entry.shown) {
                Ok(Some(text)) if Sha256::digest(text.as_bytes()).as_slice() == entry.shown => None,
                Ok(_) => Some(Finding::WordingLost(sequence, entry.id)),
                Err(error) => {
                    failure = Some(error);
                    return ControlFlow::Break(());
                }
            }
        };
        last = entry.hash;
        if finding.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    if let Some(finding) = finding {
        return Ok(finding);
    }
    let (expected, end) = reader.state()?;
    if expected > entries || end != last && expected == entries {
        return Ok(Finding::CutOff { expected, found: entries });
    }
    Ok(Finding::Intact { entries: u64::try_from(entries).unwrap_or(0) })
}
