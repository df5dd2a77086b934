//! Checkpoints: how far the chains have come, told outside the ledger. Whoever can write the ledger, and even who has
//! the secrets, cannot take back what was told.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::hexadecimal;
use super::record::Head;
use crate::clock::Timestamp;

/// Where checkpoints go, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// The file that a line is added to.
    pub file: PathBuf,
    /// How often at most.
    pub every: Duration,
}

/// A line of the file.
#[derive(Serialize, Deserialize)]
struct Line {
    chain: Uuid,
    sequence: i64,
    hash: String,
    at: Timestamp,
}

/// Tells of heads where there is news.
#[derive(Debug)]
pub(super) struct Teller {
    settings: Checkpoints,
    told: Option<(Uuid, i64)>,
    news: Option<Head>,
    due: Instant,
}

impl Teller {
    pub(super) fn new(settings: Checkpoints) -> Self {
        Teller { settings, told: None, news: None, due: Instant::now() }
    }

    /// Notes where a chain has come to.
    pub(super) fn note(&mut self, head: &Head) {
        if self.told != Some((head.chain, head.sequence)) && head.sequence > 0 {
            self.news = Some(head.clone());
        }
    }

    /// How long until it has something to tell.
    pub(super) fn pause(&self) -> Option<Duration> {
        self.news.as_ref().map(|_| self.due.saturating_duration_since(Instant::now()))
    }

    /// Tells the news, where it is time.
    pub(super) fn tell_when_due(&mut self) {
        if self.pause().is_some_and(|pause| pause.is_zero()) {
            self.tell();
        }
    }

    /// Tells the news now.
    pub(super) fn tell(&mut self) {
        let Some(head) = &self.news else { return };
        self.due = Instant::now() + self.settings.every;
        match write(&self.settings.file, head) {
            Ok(()) => {
                self.told = Some((head.chain, head.sequence));
                self.news = None;
            }
            // It is told with the next one.
            Err(error) => {
                let file = self.settings.file.display();
                tracing::error!(%error, %file, "a checkpoint of the ledger could not be written");
            }
        }
    }
}

fn write(file: &Path, head: &Head) -> std::io::Result<()> {
    let Head { chain, sequence, hash, at, .. } = head;
    let at = Timestamp::from_millisecond(*at).unwrap_or_default();
    let line = Line { chain: *chain, sequence: *sequence, hash: hexadecimal::of(hash), at };
    // One write: lines of several proxies do not run together.
    let text = format!("{}\n", serde_json::to_string(&line)?);
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
    fn news_are_told_once_and_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoints");
        let every = Duration::from_secs(3_600);
        let mut teller = Teller::new(Checkpoints { file: file.clone(), every });
        assert_eq!(teller.pause(), None);
        teller.note(&head(3));
        teller.tell_when_due();
        teller.note(&head(3));
        assert_eq!(teller.pause(), None, "nothing new");
        teller.note(&head(4));
        teller.tell_when_due();
        assert_eq!(read(&file).unwrap(), [head(3)], "not so soon again");
        teller.tell();
        assert_eq!(read(&file).unwrap(), [head(3), head(4)]);
    }

    #[test]
    fn a_line_that_was_cut_off_by_a_crash_is_left_out_and_any_other_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoints");
        write(&file, &head(3)).unwrap();
        let whole = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{whole}{}", &whole[..20])).unwrap();
        assert_eq!(read(&file).unwrap(), [head(3)]);
        std::fs::write(&file, format!("{whole}nonsense\n{whole}")).unwrap();
        assert!(matches!(read(&file), Err(Unreadable::Line(2))));
    }
}
