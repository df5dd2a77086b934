//! Checkpoints: how far the chains have come, told outside the ledger. Whoever can write the ledger, and even who has
//! the secrets, cannot take back what was told.

mod post;
mod teller;

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::hexadecimal;
use super::record::Head;
use crate::clock::Timestamp;

pub use post::{Mistake, Receiver};
pub(super) use teller::Tellers;

/// Where checkpoints go, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// The file that a line is added to.
    pub file: Option<PathBuf>,
    /// Who is sent the same line.
    pub receiver: Option<Receiver>,
    /// How often at most.
    pub every: Duration,
}

/// A line of the file, and what a receiver is sent.
#[derive(Serialize, Deserialize)]
struct Line {
    chain: Uuid,
    sequence: i64,
    hash: String,
    at: Timestamp,
}

impl Line {
    fn of(head: &Head) -> Self {
        let Head { chain, sequence, hash, at, .. } = head;
        let at = Timestamp::from_millisecond(*at).unwrap_or_default();
        Line { chain: *chain, sequence: *sequence, hash: hexadecimal::of(hash), at }
    }

    fn text(&self) -> serde_json::Result<String> {
        Ok(format!("{}\n", serde_json::to_string(self)?))
    }
}

/// Where checkpoints are told.
#[derive(Debug)]
enum Place {
    File(PathBuf),
    Receiver(Receiver),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => path.display().fmt(f),
            Place::Receiver(receiver) => receiver.fmt(f),
        }
    }
}

/// Why a checkpoint could not be told.
#[derive(Debug, thiserror::Error)]
enum Untold {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("the file cannot be written")]
    File(#[source] std::io::Error),
    #[error("the receiver did not take it")]
    Receiver(#[source] post::Failure),
}

impl Place {
    fn tell(&self, head: &Head) -> Result<(), Untold> {
        let text = Line::of(head).text()?;
        match self {
            Place::File(path) => write(path, &text).map_err(Untold::File),
            Place::Receiver(receiver) => receiver.post(text).map_err(Untold::Receiver),
        }
    }

    /// The word of the metric.
    fn reason(&self) -> &'static str {
        match self {
            Place::File(_) => "file",
            Place::Receiver(_) => "receiver",
        }
    }
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    // One write: lines of several proxies do not run together.
    let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

/// Why checkpoints cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file cannot be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A line is no checkpoint.
    #[error("line {0} is no checkpoint")]
    Line(usize),
}

/// Reads the checkpoints of a file. A last line without its end was being written when the power went.
pub fn read(file: &Path) -> Result<Vec<Head>, Unreadable> {
    let text = std::fs::read_to_string(file)?;
    let whole = text.rfind('\n').map_or("", |end| text.get(..end).unwrap_or_default());
    let head = |(index, line): (usize, &str)| {
        let line: Line = serde_json::from_str(line).map_err(|_| Unreadable::Line(index + 1))?;
        let hash = hexadecimal::parse(&line.hash).ok_or(Unreadable::Line(index + 1))?;
        let (chain, sequence, at) = (line.chain, line.sequence, line.at.as_millisecond());
        Ok(Head { chain, sequence, hash, at, seal: [0; 20] })
    };
    whole.lines().enumerate().map(head).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(sequence: i64) -> Head {
        Head { chain: Uuid::from_u128(1), sequence, hash: [7; 32], at: 5_000, seal: [0; 20] }
    }

    #[test]
    fn what_is_told_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoints");
        let place = Place::File(file.clone());
        [3, 4].into_iter().for_each(|sequence| place.tell(&head(sequence)).unwrap());
        assert_eq!(read(&file).unwrap(), [head(3), head(4)]);
    }

    #[test]
    fn a_line_that_was_cut_off_by_a_crash_is_left_out_and_any_other_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoints");
        let whole = Line::of(&head(3)).text().unwrap();
        std::fs::write(&file, format!("{whole}{}", &whole[..20])).unwrap();
        assert_eq!(read(&file).unwrap(), [head(3)]);
        std::fs::write(&file, format!("{whole}nonsense\n{whole}")).unwrap();
        assert!(matches!(read(&file), Err(Unreadable::Line(2))));
    }
}
