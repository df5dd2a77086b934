//! Zstandard (RFC 8878).

use std::cell::RefCell;
use std::io;
use std::thread::LocalKey;

use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

use super::kept::{Kept, Machine};

/// The level that keeps up with a fast upstream.
const LEVEL: i32 = 3;

/// 512 KiB: many pages are on their way at once, and each has a window of its own.
const WINDOW_LOG: u32 = 19;

/// Room for what one step gives.
const ROOM: usize = 8 * 1024;

thread_local! {
    static IDLE: RefCell<Vec<Encoder<'static>>> = const { RefCell::new(Vec::new()) };
}

impl Machine for Encoder<'static> {
    /// Each holds more than a megabyte.
    const MOST: usize = 1;

    fn make() -> io::Result<Self> {
        let mut encoder = Encoder::new(LEVEL)?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        Ok(encoder)
    }

    fn clear(&mut self) -> io::Result<()> {
        self.reinit()
    }

    fn shelf() -> &'static LocalKey<RefCell<Vec<Self>>> {
        &IDLE
    }
}

/// Packs one body.
pub(super) struct Zstd {
    machine: Kept<Encoder<'static>>,
    out: Vec<u8>,
}

impl Zstd {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Zstd { machine: Kept::take()?, out: Vec::new() })
    }

    /// What waits to be taken.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// How much waits to be taken.
    pub(super) fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Ends the body and gives all that was not taken.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        while self.step(|machine, out| machine.finish(out, true))? > 0 {}
        Ok(self.out)
    }

    fn step(
        &mut self,
        run: impl FnOnce(&mut Encoder<'static>, &mut OutBuffer<'_, Vec<u8>>) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.out.reserve(ROOM);
        let filled = self.out.len();
        run(self.machine.machine(), &mut OutBuffer::around_pos(&mut self.out, filled))
    }
}

impl io::Write for Zstd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            self.step(|machine, out| machine.run(&mut input, out))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.step(|machine, out| machine.flush(out))? > 0 {}
        Ok(())
    }
}
