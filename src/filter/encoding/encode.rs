//! Encoding into memory, from where the body takes it frame by frame.

use std::io::{self, Write};
use std::ops::Range;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::Coding;
use super::gzip::Gzip;
use super::zstd::Zstd;

/// Encodes one body.
pub struct Encoder(Engine);

enum Engine {
    Identity(Vec<u8>),
    Gzip(Box<Gzip>),
    Deflate(ZlibEncoder<Vec<u8>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(Zstd),
}

impl Encoder {
    /// An encoder for one body. The levels are those that keep up with a fast upstream.
    pub fn new(coding: Coding) -> io::Result<Self> {
        Ok(Encoder(match coding {
            Coding::Identity => Engine::Identity(Vec::new()),
            Coding::Gzip => Engine::Gzip(Box::default()),
            Coding::Deflate => Engine::Deflate(ZlibEncoder::new(Vec::new(), Compression::new(4))),
            Coding::Brotli => {
                Engine::Brotli(Box::new(brotli::CompressorWriter::new(Vec::new(), 8 * 1024, 4, 18)))
            }
            Coding::Zstd => Engine::Zstd(Zstd::new()?),
        }))
    }

    /// Encodes `bytes`.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer().write_all(bytes)
    }

    /// The same, and empties `bytes`: what is not encoded changes hands. What of it is `recurring` in other pages need
    /// not be encoded again.
    pub fn write_out(&mut self, bytes: &mut Vec<u8>, recurring: &[Range<usize>]) -> io::Result<()> {
        match &mut self.0 {
            Engine::Identity(out) if out.is_empty() => std::mem::swap(out, bytes),
            Engine::Gzip(gzip) => {
                gzip.write_with(bytes, recurring)?;
                bytes.clear();
            }
            _ => {
                self.write(bytes)?;
                bytes.clear();
            }
        }
        Ok(())
    }

    /// Makes all that was written so far readable for the client.
    pub fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }

    /// How much waits to be taken.
    pub fn waiting(&self) -> usize {
        match &self.0 {
            Engine::Identity(out) => out.len(),
            Engine::Gzip(gzip) => gzip.waiting(),
            Engine::Deflate(encoder) => encoder.get_ref().len(),
            Engine::Brotli(encoder) => encoder.get_ref().len(),
            Engine::Zstd(zstd) => zstd.waiting(),
        }
    }

    /// Takes what waits.
    pub fn take(&mut self) -> Bytes {
        let out = match &mut self.0 {
            Engine::Identity(out) => out,
            Engine::Gzip(gzip) => gzip.out(),
            Engine::Deflate(encoder) => encoder.get_mut(),
            Engine::Brotli(encoder) => encoder.get_mut(),
            Engine::Zstd(zstd) => zstd.out(),
        };
        std::mem::take(out).into()
    }

    /// Ends the body and gives all that was not taken.
    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self.0 {
            Engine::Identity(out) => Ok(out),
            Engine::Gzip(gzip) => gzip.finish(),
            Engine::Deflate(encoder) => encoder.finish(),
            Engine::Brotli(encoder) => Ok(encoder.into_inner()),
            Engine::Zstd(zstd) => zstd.finish(),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match &mut self.0 {
            Engine::Identity(out) => out,
            Engine::Gzip(gzip) => &mut **gzip,
            Engine::Deflate(encoder) => encoder,
            Engine::Brotli(encoder) => encoder,
            Engine::Zstd(zstd) => zstd,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Decoder;
    use super::*;

    #[test]
    fn what_is_flushed_can_be_read_before_the_body_ends() {
        for coding in [Coding::Identity, Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
            let mut encoder = Encoder::new(coding).unwrap();
            let mut decoder = Decoder::new(coding).unwrap();
            for text in ["<!doctype html>", "<p>one</p>", "<p>two</p>"] {
                encoder.write(text.as_bytes()).unwrap();
                encoder.flush().unwrap();
                let coded = encoder.take();
                let (step, decoded) = decoder.step(&coded).unwrap();
                assert_eq!(decoded, text.as_bytes(), "{coding:?}");
                assert_eq!(step.consumed, coded.len(), "{coding:?}");
            }
        }
    }

    #[test]
    fn what_packed_one_body_packs_the_next_as_if_it_were_the_first() {
        let text = "<p class=row>1</p>".repeat(400);
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd] {
            let packed = |is_broken_off: bool| {
                let mut encoder = Encoder::new(coding).unwrap();
                encoder.write(text.as_bytes()).unwrap();
                if is_broken_off { Vec::new() } else { encoder.finish().unwrap() }
            };
            let first = std::thread::scope(|scope| scope.spawn(|| packed(false)).join().unwrap());
            packed(true);
            assert_eq!(packed(false), first, "{coding:?}");
            assert_eq!(packed(false), first, "{coding:?}");
        }
    }
}
