//! The one writer: a thread, a bounded queue, and one commit for all entries that wait when it starts.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use uuid::{ContextV7, Timestamp as UuidTime, Uuid};

use super::chain::{self, Draft};
use super::checkpoint::Tellers;
use super::entry::{Decision, Person, Recorded, Shown};
use super::record::Hash;
use super::seal::Keys;
use super::store::{Append, Batch, StoreFailure};
use super::{Failure, Place};
use crate::clock::{Clock, Timestamp};
use crate::telemetry::{Metrics, count};

/// How many entries may wait; more are refused at once, so that no visitor waits behind a ledger that hangs.
const QUEUE: usize = 1024;

/// An entry that waits, and whom to tell.
struct Waiting {
    person: Person,
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
    Record(Box<Waiting>),
    Close(oneshot::Sender<()>),
}

impl Queue {
    /// Starts the writer of a store: an opened one, or none while the process before has it.
    pub(super) fn start(
        store: Option<Box<dyn Append>>,
        (place, keys, clock, metrics): (Place, Arc<ArcSwap<Keys>>, Clock, Arc<Metrics>),
        tellers: Tellers,
    ) -> std::io::Result<Self> {
        let (sender, messages) = sync_channel(QUEUE);
        let turn = if store.is_some() { Turn::Ours } else { Turn::Predecessors };
        let latest = clock.now();
        let writer = Writer {
            store,
            turn,
            is_broken: false,
            place,
            keys,
            clock,
            latest,
            tellers,
            ids: ContextV7::new(),
            metrics: Arc::clone(&metrics),
        };
        std::thread::Builder::new().name("ledger".into()).spawn(move || writer.run(&messages))?;
        Ok(Queue { sender, metrics })
    }

    /// Puts a decision into the queue; the answer comes once it is on disk.
    pub(super) fn put(
        &self,
        person: Person,
        decision: Decision,
        shown: Shown,
    ) -> Result<oneshot::Receiver<Result<Recorded, Failure>>, Failure> {
        let (answer, answered) = oneshot::channel();
        self.metrics.ledger_queue.inc();
        let waiting = Message::Record(Box::new(Waiting { person, decision, shown, answer }));
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
    store: Option<Box<dyn Append>>,
    turn: Turn,
    /// Whether the last commit failed.
    is_broken: bool,
    place: Place,
    keys: Arc<ArcSwap<Keys>>,
    clock: Clock,
    /// The time of the last commit.
    latest: Timestamp,
    tellers: Tellers,
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
/// How often a ledger that failed is tried while nobody decides, so that operators know when it works again.
const TRY_EVERY: Duration = Duration::from_secs(5);
/// What a clock may be set back without a word: NTP steps are smaller.
const CLOCK_SLACK: i64 = 10;

impl Writer {
    fn run(mut self, messages: &Receiver<Message>) {
        while let Some(first) = self.next(messages) {
            let mut waiting = Vec::new();
            let mut closing = None;
            for message in std::iter::once(first).chain(messages.try_iter().take(QUEUE)) {
                match message {
                    Message::Record(entry) => waiting.push(*entry),
                    Message::Close(done) => {
                        closing = Some(done);
                        break;
                    }
                }
            }
            self.metrics.ledger_queue.dec_by(i64::try_from(waiting.len()).unwrap_or(0));
            if !waiting.is_empty() {
                self.record(waiting);
            }
            if let Some(done) = closing {
                let Writer { store, tellers, .. } = self;
                drop(store);
                tellers.close();
                let _ = done.send(());
                return;
            }
        }
    }

    /// The next message. Until it comes, a ledger that is still another's is asked for, and one that failed is tried.
    fn next(&mut self, messages: &Receiver<Message>) -> Option<Message> {
        loop {
            let pause = match (self.turn, self.is_broken) {
                (Turn::Predecessors, _) => ASK_EVERY,
                (Turn::Ours, true) => TRY_EVERY,
                (Turn::Ours, false) => return messages.recv().ok(),
            };
            match messages.recv_timeout(pause) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if self.turn == Turn::Predecessors => self.ask(),
                Err(RecvTimeoutError::Timeout) => {
                    if self.commit(&[]).is_ok() {
                        self.note_success();
                    }
                }
            }
        }
    }

    fn ask(&mut self) {
        match self.place.append(&self.keys.load(), &self.clock) {
            Err(StoreFailure::InUse) => {}
            // Any other failure is met again, and told, when there is something to write.
            opened => {
                self.store = opened.ok();
                self.turn = Turn::Ours;
            }
        }
    }

    fn record(&mut self, waiting: Vec<Waiting>) {
        let start = Instant::now();
        let outcome = self.commit(&waiting);
        self.metrics.ledger_commit.observe(start.elapsed().as_secs_f64());
        match outcome {
            Ok(recorded) => {
                self.note_success();
                for (entry, recorded) in waiting.into_iter().zip(recorded) {
                    let _ = entry.answer.send(Ok(recorded));
                }
            }
            Err(error) => {
                self.is_broken = true;
                self.metrics.ledger_works.set(0);
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    ledger = %self.place,
                    "the ledger could not be written"
                );
                let cause = Arc::new(error);
                for entry in waiting {
                    count(&self.metrics.ledger_failures, "store");
                    let _ = entry.answer.send(Err(Failure::Store(Box::new(Arc::clone(&cause)))));
                }
            }
        }
    }

    fn note_success(&mut self) {
        if std::mem::take(&mut self.is_broken) {
            tracing::info!(ledger = %self.place, "the ledger can be written again");
        }
        self.metrics.ledger_works.set(1);
    }

    /// Writes all that waits; nothing at all is written too, to see whether it goes.
    fn commit(&mut self, waiting: &[Waiting]) -> Result<Vec<Recorded>, StoreFailure> {
        let at = self.now();
        let mut salts = vec![[0; 16]; waiting.len()];
        getrandom::fill(salts.as_flattened_mut()).map_err(|_| StoreFailure::NoRandom)?;
        let mut wordings: Vec<(Hash, &str)> = Vec::new();
        let mut drafts = Vec::with_capacity(waiting.len());
        for (entry, salt) in waiting.iter().zip(salts) {
            let shown = wording(&mut wordings, &entry.shown.content);
            let (person, decision) = (entry.person, &entry.decision);
            drafts.push(Draft { id: self.id(at), at, person, decision, shown, salt });
        }
        let keys = self.keys.load_full();
        // A store that fails is closed: it is not trusted again.
        let mut store = self.open()?;
        let (records, head) = chain::link(store.head(), &keys, &drafts);
        store.append(&Batch { records: &records, wordings: &wordings, head: &head })?;
        self.tellers.note(&head);
        self.store = Some(store);
        Ok(records.iter().map(|record| Recorded { id: record.id, at }).collect())
    }

    fn open(&mut self) -> Result<Box<dyn Append>, StoreFailure> {
        let deadline = Instant::now() + TURN_COMES_WITHIN;
        loop {
            let opened =
                self.store.take().map_or_else(|| self.place.append(&self.keys.load(), &self.clock), Ok);
            match opened {
                Err(StoreFailure::InUse) if self.turn == Turn::Predecessors && Instant::now() < deadline => {
                    std::thread::sleep(ASK_EVERY);
                }
                opened => {
                    let store = opened?;
                    self.turn = Turn::Ours;
                    return Ok(store);
                }
            }
        }
    }

    /// The time of a commit. Entries say what the clock says; where it jumps back, the log says so, and the order of
    /// the chain tells what came first.
    fn now(&mut self) -> Timestamp {
        let now = self.clock.now();
        if now.as_second() + CLOCK_SLACK < self.latest.as_second() {
            tracing::warn!(before = %self.latest, %now, "the clock was set back; the chain keeps the order of entries");
        }
        self.latest = now;
        now
    }

    /// A UUID of version 7; the counter of its context keeps the order of ids made in one millisecond.
    fn id(&self, at: Timestamp) -> Uuid {
        let seconds = u64::try_from(at.as_second()).unwrap_or(0);
        let nanoseconds = u32::try_from(at.subsec_nanosecond()).unwrap_or(0);
        Uuid::new_v7(UuidTime::from_unix(&self.ids, seconds, nanoseconds))
    }
}

/// The hash of a text, which is hashed and written once, however many in the batch were shown it.
fn wording<'a>(wordings: &mut Vec<(Hash, &'a str)>, content: &'a str) -> Hash {
    if let Some((hash, _)) =
        wordings.iter().find(|(_, known)| std::ptr::eq(*known, content) || *known == content)
    {
        return *hash;
    }
    let hash = Sha256::digest(content.as_bytes()).into();
    wordings.push((hash, content));
    hash
}
