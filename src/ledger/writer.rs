//! The one writer: a thread, a bounded queue, and one commit for all entries that wait when it starts.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use uuid::{ContextV7, Timestamp as UuidTime, Uuid};

use super::Failure;
use super::entry::{Decision, Recorded, Shown};
use super::sqlite::{Store, StoreFailure};
use crate::clock::{Clock, Timestamp};
use crate::telemetry::{Metrics, count};

/// How many entries may wait; more are refused at once, so that no visitor waits behind a ledger that hangs.
const QUEUE: usize = 1024;

/// An entry that waits, and whom to tell.
struct Waiting {
    decision: Decision,
    shown: Shown,
    answer: oneshot::Sender<Result<Recorded, Failure>>,
}

/// The way to the writer.
#[derive(Debug)]
pub(super) struct Queue {
    sender: SyncSender<Message>,
    metrics: Arc<Metrics>,
}

enum Message {
    Record(Waiting),
    Close(oneshot::Sender<()>),
}

impl Queue {
    /// Starts the writer of a store: an opened one, or none while the process before has it.
    pub(super) fn start(
        store: Option<Store>,
        path: PathBuf,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let (sender, messages) = sync_channel(QUEUE);
        let turn = if store.is_some() { Turn::Ours } else { Turn::Predecessors };
        let ids = ContextV7::new();
        let writer = Writer { store, turn, path, clock, ids, metrics: Arc::clone(&metrics) };
        std::thread::Builder::new().name("ledger".into()).spawn(move || writer.run(&messages))?;
        Ok(Queue { sender, metrics })
    }

    /// Puts a decision into the queue; the answer comes once it is on disk.
    pub(super) fn put(
        &self,
        decision: Decision,
        shown: Shown,
    ) -> Result<oneshot::Receiver<Result<Recorded, Failure>>, Failure> {
        let (answer, answered) = oneshot::channel();
        self.metrics.ledger_queue.inc();
        let waiting = Message::Record(Waiting { decision, shown, answer });
        self.sender.try_send(waiting).map_err(|error| {
            self.metrics.ledger_queue.dec();
            match error {
                TrySendError::Full(_) => Failure::Busy,
                TrySendError::Disconnected(_) => Failure::Closed,
            }
        })?;
        Ok(answered)
    }

    /// Asks the writer to end after all that was put in before.
    pub(super) async fn close(&self) {
        let (done, ended) = oneshot::channel();
        let sender = self.sender.clone();
        // A full queue blocks the sender, which must not block the runtime.
        let _ = tokio::task::spawn_blocking(move || sender.send(Message::Close(done)).is_ok()).await;
        let _ = ended.await;
    }
}

struct Writer {
    /// None after a failure: the next entries open it again.
    store: Option<Store>,
    turn: Turn,
    path: PathBuf,
    clock: Clock,
    ids: ContextV7,
    metrics: Arc<Metrics>,
}

/// Whose turn it is to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Ours,
    /// The process that this one replaces has not ended yet.
    Predecessors,
}

/// How often a ledger that another process has is asked for.
const ASK_EVERY: Duration = Duration::from_millis(20);
/// How long decisions wait for it; less than their own patience, so that the reason is known.
const TURN_COMES_WITHIN: Duration = Duration::from_secs(4);

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Some(first) = self.next(messages) {
            let mut waiting = Vec::new();
            let mut closing = None;
            for message in std::iter::once(first).chain(messages.try_iter().take(QUEUE)) {
                match message {
                    Message::Record(entry) => waiting.push(entry),
                    Message::Close(done) => {
                        closing = Some(done);
                        break;
                    }
                }
            }
            self.metrics.ledger_queue.dec_by(i64::try_from(waiting.len()).unwrap_or(0));
            if !waiting.is_empty() {
                self.commit(waiting);
            }
            if let Some(done) = closing {
                drop(self);
                let _ = done.send(());
                return;
            }
        }
    }

    /// The next message. Until it comes, a ledger that is still another's is asked for.
    fn next(&mut self, messages: &Receiver<Message>) -> Option<Message> {
        while self.turn == Turn::Predecessors {
            match messages.recv_timeout(ASK_EVERY) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => match Store::open(&self.path) {
                    Err(StoreFailure::InUse) => {}
                    // Any other failure is met again, and told, when there is something to write.
                    opened => {
                        self.store = opened.ok();
                        self.turn = Turn::Ours;
                    }
                },
            }
        }
        messages.recv().ok()
    }

    fn commit(&mut self, waiting: Vec<Waiting>) {
        let start = Instant::now();
        let at = self.clock.now();
        let recorded: Vec<_> = waiting.iter().map(|_| Recorded { id: self.id(at), at }).collect();
        let rows: Vec<_> = waiting
            .iter()
            .zip(&recorded)
            .map(|(entry, recorded)| (recorded.id, recorded.at, &entry.decision, &entry.shown))
            .collect();
        let outcome = self.store().and_then(|store| store.write(&rows));
        drop(rows);
        self.metrics.ledger_commit.observe(start.elapsed().as_secs_f64());
        match outcome {
            Ok(()) => {
                self.metrics.ledger_works.set(1);
                for (entry, recorded) in waiting.into_iter().zip(recorded) {
                    let _ = entry.answer.send(Ok(recorded));
                }
            }
            Err(error) => {
                // A connection that failed once is not trusted again.
                self.store = None;
                self.metrics.ledger_works.set(0);
                tracing::error!(%error, path = %self.path.display(), "the ledger could not be written");
                let cause = Arc::new(error);
                for entry in waiting {
                    count(&self.metrics.ledger_failures, "store");
                    let _ = entry.answer.send(Err(Failure::Store(Box::new(Arc::clone(&cause)))));
                }
            }
        }
    }

    fn store(&mut self) -> Result<&mut Store, StoreFailure> {
        let deadline = Instant::now() + TURN_COMES_WITHIN;
        let store = loop {
            match self.store.take().map_or_else(|| Store::open(&self.path), Ok) {
                Err(StoreFailure::InUse) if self.turn == Turn::Predecessors && Instant::now() < deadline => {
                    std::thread::sleep(ASK_EVERY);
                }
                opened => break opened?,
            }
        };
        self.turn = Turn::Ours;
        Ok(self.store.insert(store))
    }

    /// A UUID of version 7; the counter of its context keeps the order of ids made in one millisecond.
    fn id(&self, at: Timestamp) -> Uuid {
        let seconds = u64::try_from(at.as_second()).unwrap_or(0);
        let nanoseconds = u32::try_from(at.subsec_nanosecond()).unwrap_or(0);
        Uuid::new_v7(UuidTime::from_unix(&self.ids, seconds, nanoseconds))
    }
}
