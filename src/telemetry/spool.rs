//! The lines of the log between those who write them and a thread that takes them out: whoever reads the log slowly, or
//! not at all, holds up no request. What finds no room is lost, counted, and told.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use super::ACCESS;

/// The bytes that may wait. Requests have half of it, so that errors are the last to be lost.
const ROOM: usize = 4 << 20;
/// How long lines are gathered, so that not each of them wakes the thread.
const GATHER: Duration = Duration::from_millis(5);
/// How long a program that ends waits for the reader of its last lines.
const PATIENCE: Duration = Duration::from_secs(1);

/// Lines lost since the start, of whatever log.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Where lines are put. Clones are one spool.
#[derive(Clone, Debug)]
pub(super) struct Spool(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Since the last time that this was told.
    lost: u64,
    is_closed: bool,
}

/// Keeps a log going; when it is dropped, what was written is out, or nobody takes it.
#[derive(Debug)]
#[must_use = "the last lines are lost without it"]
pub struct Log {
    spool: Spool,
    emptied: Receiver<()>,
}

impl Drop for Log {
    fn drop(&mut self) {
        self.spool.state().is_closed = true;
        self.spool.0.filled.notify_one();
        let _ = self.emptied.recv_timeout(PATIENCE);
    }
}

impl Spool {
    /// A spool whose lines go to `out`.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<(Self, Log)> {
        let spool = Spool(Arc::default());
        let (done, emptied) = mpsc::channel();
        let of_thread = spool.clone();
        thread::Builder::new().name("log".into()).spawn(move || {
            of_thread.empty_into(out);
            // Where nobody waits, the program goes on.
            let _ = done.send(());
        })?;
        Ok((spool.clone(), Log { spool, emptied }))
    }

    fn empty_into(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        let mut untold = 0;
        loop {
            let mut state = self.state();
            while state.waiting.is_empty() && !state.is_closed {
                state = self.0.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if !state.is_closed {
                drop(state);
                thread::sleep(GATHER);
                state = self.state();
            }
            let is_last = state.is_closed;
            std::mem::swap(&mut state.waiting, &mut lines);
            untold += std::mem::take(&mut state.lost);
            drop(state);
            let unwritten = write(&mut out, &lines);
            LOST.fetch_add(unwritten, Ordering::Relaxed);
            untold += unwritten;
            lines.clear();
            // A log that cannot be written has nowhere to say so, until it can be again.
            let is_told = untold > 0 && unwritten == 0;
            if is_told {
                let lost = std::mem::take(&mut untold);
                tracing::warn!(lost, "lines of the log were lost: nobody took them in time");
            }
            if is_last && !is_told {
                return;
            }
        }
    }

    fn put(&self, line: &[u8], most: usize) {
        let mut state = self.state();
        if state.waiting.len() + line.len() > most {
            state.lost += 1;
            LOST.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = state.waiting.is_empty();
        state.waiting.extend_from_slice(line);
        drop(state);
        if was_empty {
            self.0.filled.notify_one();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes lines, and says how many were not taken. Who reads at their own pace is waited for.
fn write(out: &mut impl Write, lines: &[u8]) -> u64 {
    let mut rest = lines;
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => break,
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(GATHER),
            Err(_) => break,
        }
    }
    let _ = out.flush();
    memchr::memchr_iter(b'\n', rest).count() as u64
}

/// Puts one event into the spool.
#[derive(Debug)]
pub(super) struct Pen<'a> {
    spool: &'a Spool,
    most: usize,
}

impl Write for Pen<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.spool.put(line, self.most);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Spool {
    type Writer = Pen<'a>;

    fn make_writer(&'a self) -> Pen<'a> {
        Pen { spool: self, most: ROOM }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> Pen<'a> {
        let most = if event.target() == ACCESS { ROOM / 2 } else { ROOM };
        Pen { spool: self, most }
    }
}

/// Tells how many lines were lost.
#[derive(Debug)]
pub(super) struct Lost;

impl Collector for Lost {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let help =
            "Lines of the log that were lost because nobody took them in time or they could not be written";
        let descriptor = encoder.encode_descriptor("log_lines_lost", help, None, MetricType::Counter)?;
        ConstCounter::new(LOST.load(Ordering::Relaxed)).encode(descriptor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader that takes something only when the test does.
    struct Valve(mpsc::SyncSender<Vec<u8>>);

    impl Write for Valve {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_writes_never_waits_and_requests_are_lost_before_errors() {
        let (sender, read) = mpsc::sync_channel(0);
        let (spool, log) = Spool::start(Valve(sender)).unwrap();
        let line = [b'x'; 1024];
        spool.put(b"first\n", ROOM);
        assert_eq!(read.recv().unwrap(), b"first\n");
        // The thread waits for the next reading with this, and takes nothing more.
        spool.put(b"second\n", ROOM);
        while !spool.state().waiting.is_empty() {
            thread::yield_now();
        }
        let requests = 2 * ROOM / line.len();
        for _ in 0..requests {
            spool.put(&line, ROOM / 2);
        }
        let lost = spool.state().lost;
        assert_eq!(lost, 3 * requests as u64 / 4);
        spool.put(b"an error\n", ROOM);
        assert_eq!(spool.state().lost, lost);
        // Who ends takes out what there is.
        let reader = thread::spawn(move || read.into_iter().flatten().collect::<Vec<u8>>());
        drop(log);
        drop(spool);
        assert!(reader.join().unwrap().ends_with(b"an error\n"));
    }

    /// Takes three bytes at a time, when it takes any.
    struct Moody(Vec<io::ErrorKind>, Vec<u8>);

    impl Write for Moody {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if let Some(kind) = self.0.pop() {
                return Err(kind.into());
            }
            let taken = bytes.len().min(3);
            self.1.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_cannot_be_written_is_lost_and_counted_and_who_is_slow_is_waited_for() {
        use io::ErrorKind::{BrokenPipe, Interrupted, StorageFull, WouldBlock};
        let lines = b"one\ntwo\nthree\n";
        for (moods, lost) in [
            (vec![], 0),
            (vec![WouldBlock, Interrupted, WouldBlock], 0),
            (vec![StorageFull], 3),
            (vec![BrokenPipe, WouldBlock], 3),
        ] {
            let mut out = Moody(moods, Vec::new());
            assert_eq!(write(&mut out, lines), lost);
            assert_eq!(out.1 == lines, lost == 0);
        }
    }

    #[test]
    fn a_reader_that_takes_nothing_does_not_hold_up_the_end() {
        let (sender, _read) = mpsc::sync_channel(0);
        let (spool, log) = Spool::start(Valve(sender)).unwrap();
        spool.put(b"a line\n", ROOM);
        drop(log);
    }
}
