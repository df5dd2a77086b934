//! Gzip (RFC 1952), in which what recurs from page to page is packed once and put in between as it is: our own guard
//! and banner take longer to pack than a page around them that is twice as large.
//!
//! Deflate allows it (RFC 1951): what is put in begins and ends with a whole byte, and nothing before or behind it
//! refers across it.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::thread::LocalKey;

use flate2::{Compress, Compression, Crc, FlushCompress, Status};
use foldhash::fast::RandomState;
use moka::sync::Cache;

use super::kept::{Kept, Machine};

/// The level that keeps up with a fast upstream.
const LEVEL: u32 = 4;

/// The level for what is packed once.
const LEVEL_OF_PARTS: u32 = 6;

/// What is shorter than this is packed with what stands around it.
const SHORTEST_PART: usize = 1024;

/// What is no longer than this is not worth a machine if it stands alone.
const LONGEST_BARE: usize = 128;

/// What parts may weigh together, with what they were before they were packed.
const BYTES_OF_PARTS: u64 = 16 << 20;

/// Room for what one step gives, and for the mark of a flush.
const ROOM: usize = 8 * 1024;

/// No flags, no time, an unknown system.
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// A last block with nothing in it.
const LAST: [u8; 2] = [3, 0];

thread_local! {
    static IDLE: RefCell<Vec<Compress>> = const { RefCell::new(Vec::new()) };
}

/// A part that recurs, packed.
struct Part {
    packed: Box<[u8]>,
    crc: Crc,
}

static PARTS: LazyLock<Cache<Arc<[u8]>, Arc<Part>, RandomState>> = LazyLock::new(|| {
    Cache::builder()
        .max_capacity(BYTES_OF_PARTS)
        .weigher(|text: &Arc<[u8]>, part: &Arc<Part>| {
            u32::try_from(text.len() + part.packed.len() + 128).unwrap_or(u32::MAX)
        })
        .build_with_hasher(RandomState::default())
});

/// Packs one body.
#[derive(Default)]
pub(super) struct Gzip {
    out: Vec<u8>,
    has_begun: bool,
    crc: Crc,
    machine: Option<Kept<Compress>>,
    /// Whether what was written since the last part is still in the machine, or may be referred to by it.
    is_open: bool,
}

impl Gzip {
    /// Packs `bytes`, of which `recurring` stands in other pages, too.
    pub(super) fn write_with(&mut self, bytes: &[u8], recurring: &[Range<usize>]) -> io::Result<()> {
        let mut at = 0;
        for place in recurring.iter().filter(|place| place.len() >= SHORTEST_PART) {
            let (Some(before), Some(text)) = (bytes.get(at..place.start), bytes.get(place.clone())) else {
                continue;
            };
            let part = part(text)?;
            self.write_apart(before)?;
            self.begin();
            self.out.extend_from_slice(&part.packed);
            self.crc.combine(&part.crc);
            at = place.end;
        }
        io::Write::write_all(self, bytes.get(at..).unwrap_or_default())
    }

    /// Packs what a part stands behind.
    fn write_apart(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.is_open || bytes.len() > LONGEST_BARE {
            io::Write::write_all(self, bytes)?;
            self.run(&[], FlushCompress::Full)?;
            self.is_open = false;
        } else if let (false, Ok(length)) = (bytes.is_empty(), u16::try_from(bytes.len())) {
            self.begin();
            self.crc.update(bytes);
            self.out.push(0);
            self.out.extend_from_slice(&length.to_le_bytes());
            self.out.extend_from_slice(&(!length).to_le_bytes());
            self.out.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn begin(&mut self) {
        if !self.has_begun {
            self.has_begun = true;
            self.out.extend_from_slice(&HEAD);
        }
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
        self.begin();
        if self.is_open {
            self.run(&[], FlushCompress::Finish)?;
        } else {
            self.out.extend_from_slice(&LAST);
        }
        self.out.extend_from_slice(&self.crc.sum().to_le_bytes());
        self.out.extend_from_slice(&self.crc.amount().to_le_bytes());
        Ok(self.out)
    }

    fn run(&mut self, bytes: &[u8], flush: FlushCompress) -> io::Result<()> {
        self.begin();
        let machine = match &mut self.machine {
            Some(machine) => machine,
            none => none.insert(Kept::take()?),
        };
        run(machine.machine(), bytes, flush, &mut self.out)
    }
}

impl io::Write for Gzip {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !bytes.is_empty() {
            self.is_open = true;
            self.crc.update(bytes);
            self.run(bytes, FlushCompress::None)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_open { self.run(&[], FlushCompress::Sync) } else { Ok(()) }
    }
}

impl Machine for Compress {
    const MOST: usize = 4;

    fn make() -> io::Result<Self> {
        Ok(Compress::new(Compression::new(LEVEL), false))
    }

    fn clear(&mut self) -> io::Result<()> {
        self.reset();
        Ok(())
    }

    fn shelf() -> &'static LocalKey<RefCell<Vec<Self>>> {
        &IDLE
    }
}

fn run(machine: &mut Compress, mut bytes: &[u8], flush: FlushCompress, out: &mut Vec<u8>) -> io::Result<()> {
    loop {
        out.reserve(ROOM);
        let before = machine.total_in();
        let status = machine.compress_vec(bytes, out, flush).map_err(io::Error::other)?;
        let taken = usize::try_from(machine.total_in() - before).unwrap_or(usize::MAX);
        bytes = bytes.get(taken..).unwrap_or_default();
        // Where room is left, there was nothing more to give.
        let is_full = out.len() == out.capacity();
        if status == Status::StreamEnd || bytes.is_empty() && !is_full {
            return Ok(());
        }
    }
}

/// A part, packed now or before.
fn part(text: &[u8]) -> io::Result<Arc<Part>> {
    if let Some(part) = PARTS.get(text) {
        return Ok(part);
    }
    let (mut packed, mut crc) = (Vec::new(), Crc::new());
    let mut machine = Compress::new(Compression::new(LEVEL_OF_PARTS), false);
    run(&mut machine, text, FlushCompress::Full, &mut packed)?;
    crc.update(text);
    let part = Arc::new(Part { packed: packed.into(), crc });
    PARTS.insert(text.into(), Arc::clone(&part));
    Ok(part)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut text).unwrap();
        text
    }

    /// Text that refers to itself at every distance, and so to what it must not refer to.
    fn part_of(letter: char) -> Vec<u8> {
        (0..400).map(|at| format!("{letter}<p class=row>{}</p>", at % 40)).collect::<String>().into_bytes()
    }

    #[test]
    fn a_part_that_recurs_leaves_as_it_was_packed_before() {
        let (before, after) = (b"<!doctype html>".as_slice(), b"<p class=row>1</p>".as_slice());
        let text = part_of('a');
        let page = [before, &text, after, &text].concat();
        let recurring = [before.len()..before.len() + text.len(), page.len() - text.len()..page.len()];
        let mut gzip = Gzip::default();
        gzip.write_with(&page, &recurring).unwrap();
        let packed = gzip.finish().unwrap();

        let part = part(&text).unwrap().packed.to_vec();
        assert_eq!(packed.windows(part.len()).filter(|window| *window == part).count(), 2);
        assert_eq!(unpacked(&packed), page);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn whatever_recurs_and_however_it_comes_the_page_is_the_same(
            pieces in proptest::collection::vec((0usize..6, 0usize..3, any::<bool>()), 0..12),
        ) {
            let parts = [part_of('a'), part_of('b'), b"too short".to_vec()];
            let between = ["", "x", "<p class=row>3</p>", &"<p class=row>3</p>".repeat(40), &"ab".repeat(20_000), "\n"];
            let (mut gzip, mut page, mut packed) = (Gzip::default(), Vec::new(), Vec::new());
            for (before, part, is_flushed) in pieces {
                let (before, part) = (between[before].as_bytes(), &parts[part]);
                let piece = [before, part, before].concat();
                let place = before.len()..before.len() + part.len();
                gzip.write_with(&piece, std::slice::from_ref(&place)).unwrap();
                page.extend(piece);
                if is_flushed {
                    io::Write::flush(&mut gzip).unwrap();
                    packed.append(gzip.out());
                    let mut read = vec![0; page.len()];
                    let so_far = flate2::read::GzDecoder::new(&*packed).read_exact(&mut read);
                    prop_assert!(so_far.is_ok() && read == page);
                }
            }
            packed.append(&mut gzip.finish().unwrap());
            prop_assert_eq!(unpacked(&packed), page);
        }
    }
}
