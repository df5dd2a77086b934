//! The body of a page on its way: decode, rewrite, encode, frame by frame.
//!
//! It holds nothing longer than the upstream pauses, and no step of it grows with what a body decodes to. What
//! cannot be filtered to its end breaks off with an error, so that the connection is aborted, never ended.

use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Frame;

use super::start::{self, Start};
use super::{Body, Error};
use crate::filter::charset::{self, More, Transcoder};
use crate::filter::encoding::{Coding, Decoder, Encoder, Failure, Step};
use crate::filter::{Settings, html};
use crate::telemetry::{Metrics, Reason, count};

/// A frame leaves when it has grown to this size, even while more of the page is at hand.
const FRAME: usize = 16 * 1024;

/// How many steps are taken before others get their turn: about 1 MiB of page.
const TURN: usize = 32;

/// Why a page was cut off.
#[derive(Debug, thiserror::Error)]
pub enum CutOff {
    /// The upstream broke off.
    #[error("the upstream broke off")]
    Upstream(#[source] Error),
    /// What came cannot be decoded.
    #[error("the page cannot be decoded")]
    Decode(#[from] Failure),
    /// What came cannot be rewritten.
    #[error("the page cannot be rewritten")]
    Rewrite(#[from] html::Failure),
    /// What was rewritten cannot be encoded.
    #[error("the page cannot be encoded")]
    Encode(#[from] std::io::Error),
    /// It was cut off before, and is asked for more.
    #[error("the page was cut off")]
    Before,
}

impl CutOff {
    /// The word under which it is counted.
    pub fn reason(&self) -> &'static str {
        match self {
            CutOff::Upstream(_) => "upstream-broke-off",
            CutOff::Decode(Failure::Bomb(_)) => "bomb",
            CutOff::Decode(_) => "decoding",
            CutOff::Rewrite(_) => "rewriting",
            CutOff::Encode(_) => "encoding",
            CutOff::Before => "cut-off",
        }
    }
}

/// What became of one answer: known with its head, or for a page once its body begins.
#[derive(Clone, Debug, Default)]
pub struct Fate(Arc<OnceLock<&'static str>>);

impl Fate {
    /// `rewritten`, or the reason why not; none before it is known.
    pub fn reason(&self) -> Option<&'static str> {
        self.0.get().copied()
    }
}

/// To whom the body reports what became of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Those of the site, for its name in the log.
    settings: Arc<Settings>,
    metrics: Arc<Metrics>,
    fate: Fate,
}

impl Report {
    /// Nothing has become of the answer yet.
    pub fn new(settings: &Arc<Settings>, metrics: &Arc<Metrics>) -> Self {
        Report { settings: Arc::clone(settings), metrics: Arc::clone(metrics), fate: Fate::default() }
    }

    /// What the request's own line in the log will say of it.
    pub fn fate(&self) -> &Fate {
        &self.fate
    }

    /// Counts what became of an answer, and keeps it for the request's own line in the log.
    pub fn page(&self, reason: &'static str) {
        count(&self.metrics.pages, reason);
        // The first word stays: a page that begins is rewritten, however it ends.
        let _ = self.fate.0.set(reason);
    }

    /// Counts and logs an answer that was refused before its body began.
    pub fn refused(&self, reason: &'static str) {
        self.page(reason);
        count(&self.metrics.cut_off, reason);
        tracing::warn!(site = %self.settings.site, reason, "a page was refused");
    }

    /// Counts what could not be judged in a page, and tells of it once.
    pub(super) fn found(&self, findings: &html::Findings) {
        for (reason, times) in findings.unjudged.iter() {
            let reason = reason.as_str();
            self.metrics.unjudged.add(Reason { reason }, times.into());
            let page = &*findings.page;
            tracing::info!(site = %self.settings.site, page, reason, times, "what a page holds could not be judged and is held");
        }
    }

    fn cut_off(&self, cause: &CutOff) {
        count(&self.metrics.cut_off, cause.reason());
        let source = std::error::Error::source(cause).map(ToString::to_string).unwrap_or_default();
        tracing::warn!(site = %self.settings.site, reason = cause.reason(), error = source, "a page was cut off");
    }
}

/// The body of one page.
pub struct Page<B> {
    upstream: Pin<Box<B>>,
    filter: Filter,
    /// What came and was not decoded yet.
    arrived: Bytes,
    /// Whether the decoder has more to give without further input.
    is_full: bool,
    stage: Stage,
    report: Report,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Flowing,
    Ended,
    Broken,
}

/// How a page comes, and how it leaves.
#[derive(Clone, Copy, Debug)]
pub struct Forms {
    /// The coding in which it comes.
    pub from: Coding,
    /// The coding in which it leaves.
    pub to: Coding,
    /// The character set of the Content-Type header, if it names one.
    pub charset: Option<&'static encoding_rs::Encoding>,
}

/// The three machines that a page runs through.
struct Filter {
    decoder: Decoder,
    reader: Reader,
    rewritten: Vec<u8>,
    encoder: Encoder,
    /// Whether something was encoded that the client cannot read yet.
    is_dirty: bool,
    /// What was found in the page, when it has ended.
    findings: Option<html::Findings>,
}

enum Reader {
    /// Blanks so far, kept until it is known what they stand before.
    Waiting { beginning: Vec<u8>, waiting: Box<Waiting> },
    /// Markup.
    Rewriting(Box<html::Rewriter>),
    /// Markup in a character set that has to be read as another.
    Transcoding(Box<(Transcoder, html::Rewriter)>),
    /// No markup: it passes as it is.
    Passing,
}

/// What a reader needs as soon as it is known what it reads.
struct Waiting {
    settings: Arc<Settings>,
    page: html::Page,
    charset: Option<&'static encoding_rs::Encoding>,
}

impl<B> Page<B>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    /// A page that comes and leaves in these forms.
    pub fn new(
        upstream: B,
        Forms { from, to, charset }: Forms,
        settings: &Arc<Settings>,
        page: html::Page,
        report: Report,
    ) -> Result<Self, CutOff> {
        let waiting = Box::new(Waiting { settings: Arc::clone(settings), page, charset });
        let reader = Reader::Waiting { beginning: Vec::new(), waiting };
        let filter = Filter {
            decoder: Decoder::new(from)?,
            reader,
            rewritten: Vec::new(),
            encoder: Encoder::new(to)?,
            is_dirty: false,
            findings: None,
        };
        Ok(Page {
            upstream: Box::pin(upstream),
            filter,
            arrived: Bytes::new(),
            is_full: false,
            stage: Stage::Flowing,
            report,
        })
    }

    /// The page as a body like all others.
    pub fn boxed(self) -> Body {
        Body::new(self)
    }

    /// What was found in a page of markup, once it has ended.
    pub(super) fn take_findings(&mut self) -> Option<html::Findings> {
        self.filter.findings.take()
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, CutOff>>> {
        for _ in 0..TURN {
            // The end of it leaves with the last of it.
            if self.filter.encoder.waiting() >= FRAME && !self.is_at_end() {
                return Poll::Ready(Some(Ok(self.filter.encoder.take())));
            }
            if !self.arrived.is_empty() || self.is_full {
                self.step()?;
                continue;
            }
            match self.upstream.as_mut().poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers speak of the upstream's bytes: a digest, a signature.
                    self.arrived = frame.into_data().unwrap_or_default();
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(CutOff::Upstream(error.into()))));
                }
                Poll::Ready(None) => return Poll::Ready(self.finish().transpose()),
                Poll::Pending => return self.pause().map(Some),
            }
        }
        // A small body can decode to a large one: others get their turn in between.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Whether all of it has come and been read.
    fn is_at_end(&self) -> bool {
        self.arrived.is_empty() && !self.is_full && self.upstream.is_end_stream()
    }

    fn step(&mut self) -> Result<(), CutOff> {
        let step = self.filter.advance(&self.arrived, &self.report)?;
        self.arrived.advance(step.consumed);
        self.is_full = step.is_full;
        Ok(())
    }

    /// The upstream pauses: the client gets all there is.
    fn pause(&mut self) -> Poll<Result<Bytes, CutOff>> {
        self.filter.flush()?;
        if self.filter.encoder.waiting() == 0 {
            return Poll::Pending;
        }
        Poll::Ready(Ok(self.filter.encoder.take()))
    }

    fn finish(&mut self) -> Result<Option<Bytes>, CutOff> {
        let last = self.filter.finish(&self.report)?;
        self.stage = Stage::Ended;
        Ok((!last.is_empty()).then(|| last.into()))
    }
}

impl Filter {
    fn advance(&mut self, arrived: &[u8], report: &Report) -> Result<Step, CutOff> {
        let (step, decoded) = self.decoder.step(arrived)?;
        if !decoded.is_empty() {
            self.reader.read(decoded, &mut self.rewritten, report)?;
        }
        self.encode()?;
        Ok(step)
    }

    fn finish(&mut self, report: &Report) -> Result<Vec<u8>, CutOff> {
        self.decoder.finish()?;
        self.findings = self.reader.finish(&mut self.rewritten, report)?;
        if let Some(findings) = &self.findings {
            report.found(findings);
        }
        self.encode()?;
        let spent = Encoder::new(Coding::Identity)?;
        Ok(std::mem::replace(&mut self.encoder, spent).finish()?)
    }

    fn encode(&mut self) -> Result<(), CutOff> {
        if !self.rewritten.is_empty() {
            self.encoder.write_out(&mut self.rewritten, &self.reader.take_recurring())?;
            self.is_dirty = true;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CutOff> {
        if std::mem::take(&mut self.is_dirty) {
            self.encoder.flush()?;
        }
        Ok(())
    }
}

impl Reader {
    fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>, report: &Report) -> Result<(), CutOff> {
        match self {
            Reader::Passing => out.extend_from_slice(bytes),
            Reader::Rewriting(rewriter) => {
                out.reserve(bytes.len());
                rewriter.write(bytes, out)?;
            }
            Reader::Transcoding(both) => transcode(both, bytes, More::Comes, out)?,
            Reader::Waiting { beginning, .. } => {
                let mut kept = std::mem::take(beginning);
                let so_far = if kept.is_empty() {
                    bytes
                } else {
                    kept.extend_from_slice(bytes);
                    &kept
                };
                match start::of(so_far) {
                    Start::Blank => *beginning = so_far.to_vec(),
                    start => self.begin(start, so_far, out, report)?,
                }
            }
        }
        Ok(())
    }

    /// Ends the waiting: the beginning tells what the body is.
    fn begin(
        &mut self,
        start: Start,
        beginning: &[u8],
        out: &mut Vec<u8>,
        report: &Report,
    ) -> Result<(), CutOff> {
        if let Reader::Waiting { waiting, .. } = std::mem::replace(self, Reader::Passing) {
            if start == Start::Markup {
                let Waiting { settings, page, charset } = *waiting;
                // It need not grow piece by piece.
                out.reserve(beginning.len() + page.inserts.room());
                let syntax = page.syntax;
                let rewriter = html::Rewriter::new(&settings, page);
                *self = match charset::opaque(syntax, beginning, charset) {
                    None => Reader::Rewriting(Box::new(rewriter)),
                    Some(set) => Reader::Transcoding(Box::new((Transcoder::new(set), rewriter))),
                };
                self.read(beginning, out, report)?;
                report.page("rewritten");
            } else {
                out.extend_from_slice(beginning);
                report.page("not-markup");
            }
        }
        Ok(())
    }

    /// What of the page, as it was written last, recurs in others.
    fn take_recurring(&mut self) -> Vec<Range<usize>> {
        match self {
            Reader::Rewriting(rewriter) => rewriter.take_recurring(),
            // In another character set it stands elsewhere.
            Reader::Transcoding(_) | Reader::Waiting { .. } | Reader::Passing => Vec::new(),
        }
    }

    /// Ends the page; what was found in it, if it was markup.
    fn finish(&mut self, out: &mut Vec<u8>, report: &Report) -> Result<Option<html::Findings>, CutOff> {
        match self {
            Reader::Passing => Ok(None),
            Reader::Rewriting(rewriter) => {
                rewriter.end(out)?;
                Ok(Some(rewriter.findings()))
            }
            Reader::Transcoding(both) => {
                transcode(both, &[], More::No, out)?;
                Ok(Some(both.1.findings()))
            }
            Reader::Waiting { beginning, .. } => {
                out.append(beginning);
                report.page("empty");
                Ok(None)
            }
        }
    }
}

/// Rewrites a piece of a page by way of UTF-8.
fn transcode(
    (transcoder, rewriter): &mut (Transcoder, html::Rewriter),
    bytes: &[u8],
    more: More,
    out: &mut Vec<u8>,
) -> Result<(), CutOff> {
    let mut rewritten = Vec::new();
    rewriter.write(transcoder.decode(bytes, more), &mut rewritten)?;
    if more == More::No {
        rewriter.end(&mut rewritten)?;
    }
    transcoder.encode(&rewritten, more, out);
    Ok(())
}

impl<B> http_body::Body for Page<B>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Error>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.stage {
            Stage::Flowing => {}
            Stage::Ended => return Poll::Ready(None),
            // Who asks again after the error must not take the end of it for the end of the page.
            Stage::Broken => return Poll::Ready(Some(Err(CutOff::Before.into()))),
        }
        let polled = ready!(self.poll(context));
        Poll::Ready(polled.map(|result| {
            result.map(Frame::data).map_err(|cause| {
                self.stage = Stage::Broken;
                self.report.cut_off(&cause);
                cause.into()
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.stage == Stage::Ended
    }
}

#[cfg(test)]
mod tests;
