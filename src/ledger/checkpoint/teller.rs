//! Tells of heads where there is news, on a thread for each place: one that hangs or is gone holds up neither a commit
//! nor the other place.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Checkpoints, Head, Place};
use crate::telemetry::{Metrics, count};

/// How soon a place that failed is tried again, and how late at most: twice as long each time.
const TRY_AGAIN: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

/// How long the end of the ledger waits for its last checkpoint to be told.
const LAST_WORD: Duration = Duration::from_secs(6);

/// The tellers of one ledger.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Tellers(Vec<Teller>);

impl Tellers {
    /// Starts one for each place.
    pub(in crate::ledger) fn start(settings: &Checkpoints, metrics: &Arc<Metrics>) -> std::io::Result<Self> {
        let file = settings.file.clone().map(Place::File);
        let receiver = settings.receiver.clone().map(Place::Receiver);
        let tellers = file.into_iter().chain(receiver);
        let tellers = tellers.map(|place| Teller::start(place, settings.every, Arc::clone(metrics)));
        Ok(Tellers(tellers.collect::<Result<_, _>>()?))
    }

    /// Notes where a chain has come to.
    pub(in crate::ledger) fn note(&self, head: &Head) {
        self.0.iter().for_each(|teller| teller.note(head));
    }

    /// Tells the last news, and waits for that as long as one may at the end.
    pub(in crate::ledger) fn close(self) {
        let ended: Vec<_> = self.0.into_iter().map(Teller::end).collect();
        let deadline = Instant::now() + LAST_WORD;
        for ended in ended {
            // Nothing comes; the thread lets go of its end.
            let _ = ended.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        }
    }
}

/// The way to one teller. Its thread ends with it.
#[derive(Debug)]
struct Teller {
    news: Arc<Mutex<Option<Head>>>,
    wake: Sender<()>,
    ended: Receiver<()>,
}

impl Teller {
    fn start(place: Place, every: Duration, metrics: Arc<Metrics>) -> std::io::Result<Self> {
        let (wake, woken) = channel();
        let (ends, ended) = channel();
        let news = Arc::new(Mutex::new(None));
        let telling = Telling {
            place,
            every,
            metrics,
            news: Arc::clone(&news),
            untold: None,
            told: None,
            due: Instant::now(),
            failures: 0,
        };
        std::thread::Builder::new().name("ledger-told".into()).spawn(move || {
            telling.run(&woken);
            drop(ends);
        })?;
        Ok(Teller { news, wake, ended })
    }

    fn note(&self, head: &Head) {
        let before = self.news.lock().unwrap_or_else(PoisonError::into_inner).replace(head.clone());
        if before.is_none() {
            let _ = self.wake.send(());
        }
    }

    /// Has the thread tell its last news; the receiver is let go of when it has.
    fn end(self) -> Receiver<()> {
        self.ended
    }
}

/// The thread of one place.
struct Telling {
    place: Place,
    every: Duration,
    metrics: Arc<Metrics>,
    news: Arc<Mutex<Option<Head>>>,
    untold: Option<Head>,
    told: Option<Head>,
    due: Instant,
    /// How often it has failed since it last succeeded.
    failures: u32,
}

impl Telling {
    fn run(mut self, woken: &Receiver<()>) {
        while self.wait(woken) {
            self.take_news();
            if self.due <= Instant::now() {
                self.tell();
            }
        }
        self.take_news();
        self.tell();
    }

    /// Waits for news, or until it is time to tell them; false at the end.
    fn wait(&self, woken: &Receiver<()>) -> bool {
        if self.untold.is_none() {
            return woken.recv().is_ok();
        }
        let pause = self.due.saturating_duration_since(Instant::now());
        !matches!(woken.recv_timeout(pause), Err(RecvTimeoutError::Disconnected))
    }

    fn take_news(&mut self) {
        let news = self.news.lock().unwrap_or_else(PoisonError::into_inner).take();
        let is_news =
            |head: &Head| head.sequence > 0 && self.told.as_ref().is_none_or(|told| told.hash != head.hash);
        self.untold = news.filter(is_news).or_else(|| self.untold.take());
    }

    fn tell(&mut self) {
        let Some(head) = &self.untold else { return };
        let place = &self.place;
        match place.tell(head) {
            Ok(()) => {
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!(%place, "checkpoints of the ledger are told again");
                }
                self.told = self.untold.take();
                self.due = Instant::now() + self.every;
            }
            Err(error) => {
                count(&self.metrics.ledger_checkpoint_failures, place.reason());
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, %place, "a checkpoint of the ledger could not be told; it is tried again");
                self.due = Instant::now() + back_off(self.failures);
                self.failures += 1;
            }
        }
    }
}

fn back_off(failures: u32) -> Duration {
    let factor = 2_u32.checked_pow(failures).unwrap_or(u32::MAX);
    TRY_AGAIN.start().saturating_mul(factor).min(*TRY_AGAIN.end())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::read;
    use super::*;

    fn head(sequence: i64) -> Head {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&sequence.to_be_bytes());
        Head { chain: Uuid::from_u128(1), sequence, hash, at: 5_000, seal: [0; 20] }
    }

    #[test]
    fn the_first_news_are_told_at_once_others_when_it_is_time_and_the_last_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("checkpoints");
        let settings =
            Checkpoints { file: Some(file.clone()), receiver: None, every: Duration::from_secs(3_600) };
        let tellers = Tellers::start(&settings, &Arc::default()).unwrap();
        tellers.note(&head(0));
        tellers.note(&head(3));
        while !read(&file).is_ok_and(|told| !told.is_empty()) {
            std::thread::yield_now();
        }
        (4..90).for_each(|sequence| tellers.note(&head(sequence)));
        tellers.close();
        let told: Vec<_> = read(&file).unwrap().into_iter().map(|head| head.sequence).collect();
        assert_eq!(told, [3, 89]);
        // Nothing new, nothing told.
        let again = Tellers::start(&settings, &Arc::default()).unwrap();
        again.note(&head(0));
        again.close();
        assert_eq!(read(&file).unwrap().len(), 2);
    }

    #[test]
    fn a_place_that_fails_is_counted_and_tried_again_ever_more_seldom() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Arc::<Metrics>::default();
        // A folder is no file.
        let settings = Checkpoints {
            file: Some(folder.path().to_owned()),
            receiver: None,
            every: Duration::from_secs(3_600),
        };
        let tellers = Tellers::start(&settings, &metrics).unwrap();
        tellers.note(&head(3));
        tellers.close();
        let text = metrics.render();
        assert!(!text.contains("consentry_ledger_checkpoint_failures_total{reason=\"file\"} 0"), "{text}");
        let pauses: Vec<_> = (0..12).map(|failures| back_off(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(back_off(u32::MAX).as_secs(), 300);
    }
}
