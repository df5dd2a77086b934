//! Decoding, step by step: no step gives more than a fixed number of bytes, so that no body, however small it
//! came, can fill the memory.

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use flate2::{Decompress, FlushDecompress};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, Operation};

use super::Coding;

/// The most that one step gives.
const STEP: usize = 32 * 1024;

/// How far a body may grow whatever it came as: the export of a large table, most of it empty cells, grows by 600.
const FREE: u64 = 8 * 1024 * 1024;

/// How many times its coded length a body may grow beyond that. Pages of text grow by 10, tables of figures by 100.
const GROWTH: u64 = 200;

/// 8 MiB: what RFC 9659 section 3 lets a browser refuse to exceed.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Why a body cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The decoder could not be made.
    #[error("no decoder could be made")]
    Start(#[source] std::io::Error),
    /// The bytes are not what the header calls them.
    #[error("the body is not {}", .0.as_str())]
    Malformed(Coding),
    /// The body ends before its coding does.
    #[error("the {} body is cut short", .0.as_str())]
    Truncated(Coding),
    /// It decodes to so much more than came that it was made for it.
    #[error("the {} body grows beyond all measure", .0.as_str())]
    Bomb(Coding),
    /// Something other than zeros follows the end.
    #[error("bytes follow the end of the {} body", .0.as_str())]
    Trailing(Coding),
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How much of the input it took.
    pub consumed: usize,
    /// Whether it stopped because the output was full: the next step may give more without further input.
    pub is_full: bool,
}

/// Decodes one body.
pub struct Decoder {
    coding: Coding,
    engine: Engine,
    position: Position,
    scratch: Box<[u8]>,
    /// How much came so far, and how much it gave.
    taken: u64,
    given: u64,
}

enum Engine {
    Identity,
    /// Bare or wrapped deflate is told apart by the first two bytes; the first waits here.
    Undetermined(Option<u8>),
    Flate(Decompress),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(ZstdDecoder<'static>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Nothing has come: an empty body is no error, many servers send one under any coding.
    Start,
    Inside,
    /// After a whole member or frame; another one may follow.
    Between,
    /// After the end, or in the zeros that pad it.
    After,
}

struct Progress {
    consumed: usize,
    produced: usize,
    has_ended: bool,
}

impl Decoder {
    /// A decoder for one body.
    pub fn new(coding: Coding) -> Result<Self, Failure> {
        let engine = match coding {
            Coding::Identity => Engine::Identity,
            Coding::Gzip => Engine::Flate(gzip()),
            Coding::Deflate => Engine::Undetermined(None),
            Coding::Brotli => Engine::Brotli(Box::new(BrotliState::new_strict(
                StandardAlloc::default(),
                StandardAlloc::default(),
                StandardAlloc::default(),
            ))),
            Coding::Zstd => {
                let mut decoder = ZstdDecoder::new().map_err(Failure::Start)?;
                let window = DParameter::WindowLogMax(ZSTD_WINDOW_LOG);
                decoder.set_parameter(window).map_err(Failure::Start)?;
                Engine::Zstd(decoder)
            }
        };
        let scratch = if coding == Coding::Identity { Box::default() } else { vec![0; STEP].into() };
        Ok(Decoder { coding, engine, position: Position::Start, scratch, taken: 0, given: 0 })
    }

    /// Takes some of `input` and gives what it decodes to, at most 32 KiB.
    pub fn step<'a>(&'a mut self, input: &'a [u8]) -> Result<(Step, &'a [u8]), Failure> {
        if matches!(self.engine, Engine::Identity) {
            let taken = input.get(..STEP).unwrap_or(input);
            return Ok((Step { consumed: taken.len(), is_full: false }, taken));
        }
        match self.position {
            Position::Between | Position::After if !input.is_empty() => {
                let padding = input.iter().take_while(|byte| **byte == 0).count();
                if padding > 0 {
                    self.position = Position::After;
                    return Ok((Step { consumed: padding, is_full: false }, &[]));
                }
                if self.position == Position::After || self.coding != Coding::Gzip {
                    return Err(Failure::Trailing(self.coding));
                }
                self.engine = Engine::Flate(gzip());
            }
            Position::Between | Position::After => return Ok((Step { consumed: 0, is_full: false }, &[])),
            Position::Start if input.is_empty() => return Ok((Step { consumed: 0, is_full: false }, &[])),
            Position::Start | Position::Inside => {}
        }
        self.advance(input)
    }

    /// Ends the body; an error unless its coding is complete.
    pub fn finish(&self) -> Result<(), Failure> {
        match self.position {
            Position::Inside if !matches!(self.engine, Engine::Identity) => {
                Err(Failure::Truncated(self.coding))
            }
            _ => Ok(()),
        }
    }

    fn advance(&mut self, input: &[u8]) -> Result<(Step, &[u8]), Failure> {
        let progress = match &mut self.engine {
            Engine::Identity => Progress { consumed: 0, produced: 0, has_ended: false },
            Engine::Undetermined(first) => match determine(first, input) {
                Some((engine, head)) => {
                    self.engine = engine;
                    return self.after_determined(head, input);
                }
                None => Progress { consumed: input.len(), produced: 0, has_ended: false },
            },
            Engine::Flate(engine) => {
                inflate(engine, input, &mut self.scratch).ok_or(Failure::Malformed(self.coding))?
            }
            Engine::Brotli(state) => {
                unbrotli(state, input, &mut self.scratch).ok_or(Failure::Malformed(self.coding))?
            }
            Engine::Zstd(decoder) => {
                unzstd(decoder, input, &mut self.scratch).ok_or(Failure::Malformed(self.coding))?
            }
        };
        let is_full = progress.produced == self.scratch.len();
        let is_stuck = progress.consumed == 0 && progress.produced == 0 && !input.is_empty();
        if is_stuck && !progress.has_ended {
            return Err(Failure::Malformed(self.coding));
        }
        let moved = progress.consumed > 0 || progress.produced > 0;
        self.position = match (progress.has_ended, self.coding) {
            // zstd begins its next frame by itself, and refuses what is none.
            (true, Coding::Zstd) if moved => Position::Start,
            (true, _) => Position::Between,
            (false, _) if moved => Position::Inside,
            (false, _) => self.position,
        };
        self.measure(&progress)?;
        let produced = self.scratch.get(..progress.produced).unwrap_or_default();
        Ok((Step { consumed: progress.consumed, is_full: is_full && !progress.has_ended }, produced))
    }

    fn measure(&mut self, progress: &Progress) -> Result<(), Failure> {
        self.taken += progress.consumed as u64;
        self.given += progress.produced as u64;
        match self.given > FREE + GROWTH * self.taken {
            true => Err(Failure::Bomb(self.coding)),
            false => Ok(()),
        }
    }

    /// The byte that waited goes first; one byte of deflate gives no output worth a step of its own.
    fn after_determined(&mut self, head: Option<u8>, input: &[u8]) -> Result<(Step, &[u8]), Failure> {
        if let (Some(byte), Engine::Flate(engine)) = (head, &mut self.engine) {
            let fed = inflate(engine, &[byte], &mut self.scratch).filter(|fed| fed.consumed == 1);
            fed.ok_or(Failure::Malformed(self.coding))?;
        }
        self.advance(input)
    }
}

fn gzip() -> Decompress {
    Decompress::new_gzip(15)
}

/// Whether a deflate body carries the header of zlib: its first two bytes are a multiple of 31, and the first
/// names the method 8 (RFC 1950 section 2.2).
fn determine(first: &mut Option<u8>, input: &[u8]) -> Option<(Engine, Option<u8>)> {
    let (one, two, head) = match (*first, input) {
        (Some(one), [two, ..]) => (one, *two, Some(one)),
        (None, [one, two, ..]) => (*one, *two, None),
        (None, [one]) => {
            *first = Some(*one);
            return None;
        }
        (_, []) => return None,
    };
    let is_zlib = one & 0x0f == 8 && u16::from_be_bytes([one, two]) % 31 == 0;
    Some((Engine::Flate(Decompress::new(is_zlib)), head))
}

fn inflate(engine: &mut Decompress, input: &[u8], output: &mut [u8]) -> Option<Progress> {
    let (before_in, before_out) = (engine.total_in(), engine.total_out());
    let status = engine.decompress(input, output, FlushDecompress::None).ok()?;
    Some(Progress {
        consumed: usize::try_from(engine.total_in() - before_in).ok()?,
        produced: usize::try_from(engine.total_out() - before_out).ok()?,
        has_ended: status == flate2::Status::StreamEnd,
    })
}

fn unbrotli(
    state: &mut BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    input: &[u8],
    output: &mut [u8],
) -> Option<Progress> {
    let (mut left, mut consumed, mut room, mut produced, mut total) = (input.len(), 0, output.len(), 0, 0);
    let result = BrotliDecompressStream(
        &mut left,
        &mut consumed,
        input,
        &mut room,
        &mut produced,
        output,
        &mut total,
        state,
    );
    match result {
        BrotliResult::ResultFailure => None,
        BrotliResult::ResultSuccess => Some(Progress { consumed, produced, has_ended: true }),
        BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {
            Some(Progress { consumed, produced, has_ended: false })
        }
    }
}

fn unzstd(decoder: &mut ZstdDecoder<'static>, input: &[u8], output: &mut [u8]) -> Option<Progress> {
    let status = decoder.run_on_buffers(input, output).ok()?;
    let moved = status.bytes_read > 0 || status.bytes_written > 0;
    Some(Progress {
        consumed: status.bytes_read,
        produced: status.bytes_written,
        has_ended: moved && status.remaining == 0,
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::super::Encoder;
    use super::*;

    const CODINGS: [Coding; 5] =
        [Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];

    fn encode(coding: Coding, body: &[u8]) -> Vec<u8> {
        let mut encoder = Encoder::new(coding).unwrap();
        encoder.write(body).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(coding: Coding, frames: &[&[u8]]) -> Result<Vec<u8>, Failure> {
        let mut decoder = Decoder::new(coding)?;
        let mut decoded = Vec::new();
        for frame in frames {
            let mut rest = *frame;
            loop {
                let (step, bytes) = decoder.step(rest)?;
                assert!(bytes.len() <= STEP);
                decoded.extend_from_slice(bytes);
                rest = &rest[step.consumed..];
                if rest.is_empty() && !step.is_full {
                    break;
                }
            }
        }
        decoder.finish()?;
        Ok(decoded)
    }

    fn body() -> Vec<u8> {
        (0..8_000u32).flat_map(|n| format!("<p>{}</p>", n.wrapping_mul(2_654_435_761)).into_bytes()).collect()
    }

    #[test]
    fn each_coding_brings_back_what_it_was_given() {
        for coding in CODINGS {
            for body in [Vec::new(), b"<p>x".to_vec(), body()] {
                assert_eq!(decode(coding, &[&encode(coding, &body)]).unwrap(), body, "{coding:?}");
            }
        }
    }

    #[test]
    fn a_coded_body_cut_short_is_an_error_wherever_it_is_cut() {
        let body = &body()[..5_000];
        for coding in &CODINGS[1..] {
            let coded = encode(*coding, body);
            for end in (1..coded.len()).step_by(7).chain([coded.len() - 1]) {
                assert!(decode(*coding, &[&coded[..end]]).is_err(), "{coding:?} cut at {end}");
            }
        }
    }

    #[test]
    fn an_empty_body_is_whole_under_any_coding() {
        for coding in CODINGS {
            assert_eq!(decode(coding, &[]).unwrap(), b"");
            assert_eq!(decode(coding, &[b""]).unwrap(), b"");
        }
    }

    #[test]
    fn bytes_after_the_end_are_an_error_unless_they_are_zeros() {
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli] {
            let coded = encode(coding, b"<p>whole</p>");
            let with = |tail: &[u8]| decode(coding, &[&coded, tail]);
            assert_eq!(with(&[0; 700]).unwrap(), b"<p>whole</p>", "{coding:?}");
            assert!(matches!(with(b"<script>"), Err(Failure::Trailing(_) | Failure::Malformed(_))));
            assert!(matches!(with(b"\0\0x"), Err(Failure::Trailing(_))), "{coding:?}");
        }
        assert!(decode(Coding::Zstd, &[&encode(Coding::Zstd, b"x"), b"<script>"]).is_err());
    }

    #[test]
    fn members_and_frames_that_follow_each_other_are_one_body() {
        for coding in [Coding::Gzip, Coding::Zstd] {
            let both = [encode(coding, b"one, "), encode(coding, b"two")].concat();
            assert_eq!(decode(coding, &[&both]).unwrap(), b"one, two");
            let bytes: Vec<&[u8]> = both.chunks(1).collect();
            assert_eq!(decode(coding, &bytes).unwrap(), b"one, two");
        }
    }

    #[test]
    fn deflate_is_read_with_and_without_the_header_of_zlib() {
        let mut bare = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
        bare.write_all(&body()).unwrap();
        let bare = bare.finish().unwrap();
        assert_eq!(decode(Coding::Deflate, &[&bare]).unwrap(), body());
        let bytes: Vec<&[u8]> = bare.chunks(1).collect();
        assert_eq!(decode(Coding::Deflate, &bytes).unwrap(), body());
    }

    #[test]
    fn a_changed_checksum_is_an_error() {
        let mut coded = encode(Coding::Gzip, &body());
        let at = coded.len() - 6;
        coded[at] ^= 1;
        assert!(matches!(decode(Coding::Gzip, &[&coded]), Err(Failure::Malformed(_))));
    }

    #[test]
    fn garbage_is_an_error_under_every_coding() {
        for coding in &CODINGS[1..] {
            assert!(decode(*coding, &[b"<!doctype html><p>not coded at all</p>"]).is_err(), "{coding:?}");
        }
    }

    #[test]
    fn a_body_that_grows_beyond_all_measure_is_a_bomb_and_a_table_is_none() {
        let cell = b"<td class=xl65></td>";
        for coding in [Coding::Gzip, Coding::Zstd] {
            let small = cell.repeat(usize::try_from(FREE).unwrap() / cell.len());
            assert_eq!(decode(coding, &[&encode(coding, &small)]).unwrap().len(), small.len(), "{coding:?}");
            let bomb = encode(coding, &vec![b' '; small.len() / 2 * 3]);
            assert!(matches!(decode(coding, &[&bomb]), Err(Failure::Bomb(_))), "{coding:?}");
        }
    }

    #[test]
    fn a_zstd_window_beyond_what_browsers_take_is_refused() {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        encoder.set_parameter(zstd::stream::raw::CParameter::WindowLog(27)).unwrap();
        encoder.write_all(&body()).unwrap();
        let coded = encoder.finish().unwrap();
        assert!(matches!(decode(Coding::Zstd, &[&coded]), Err(Failure::Malformed(_))));
    }

    proptest! {
        #[test]
        fn any_split_into_frames_gives_the_same_bytes(
            text in proptest::collection::vec(any::<u8>(), 0..4_000),
            cuts in proptest::collection::vec(1usize..400, 0..40),
            coding in proptest::sample::select(&CODINGS[..]),
        ) {
            let coded = encode(coding, &text);
            let mut rest = coded.as_slice();
            let mut frames = Vec::new();
            for cut in cuts {
                let (frame, after) = rest.split_at(cut.min(rest.len()));
                frames.push(frame);
                rest = after;
            }
            frames.push(rest);
            prop_assert_eq!(decode(coding, &frames).unwrap(), text);
        }

        #[test]
        fn no_input_panics(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            for coding in CODINGS {
                let _ = decode(coding, &[&bytes]);
            }
        }
    }
}
