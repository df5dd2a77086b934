//! The rewriter of one page: holds what may not act, and inserts guard, banner and settings link.
//!
//! It runs byte-transparently: whatever the page's character set, bytes that it has no reason to change leave
//! as they came.

mod address;
mod elements;
mod insert;
mod scripts;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use lol_html::send::{ElementContentHandlers, HtmlRewriter, Settings as LolSettings};
use lol_html::{AsciiCompatibleEncoding, MemorySettings, Selector};

use super::Settings;
use crate::consent::Granted;
use crate::web::language::Language;

/// What the rewriter knows of the page and its visitor.
#[derive(Clone, Debug)]
pub struct Page {
    /// The page's own absolute address, against which its links resolve.
    pub url: url::Url,
    /// What the visitor granted.
    pub granted: Granted,
    /// What is inserted.
    pub inserts: Inserts,
    /// The nonce of the page's own Content-Security-Policy, for the elements that are inserted.
    pub nonce: Option<Box<str>>,
    /// The character set of the Content-Type header, if it names one.
    pub charset: Option<&'static encoding_rs::Encoding>,
}

/// What is inserted into a page.
#[derive(Clone, Debug)]
pub enum Inserts {
    /// Nothing: a fragment, or an answer that no person navigates to. Services are held all the same.
    Nothing,
    /// The guard alone: a frame.
    Guard(Arc<str>),
    /// Guard, settings link and, for the undecided, the banner.
    Page {
        /// The guard's script, without its tag; ASCII.
        guard: Arc<str>,
        /// Whether the banner goes in.
        banner: super::Banner,
        /// Whether the visitor has yet to choose.
        undecided: bool,
        /// The language of the visitor's wishes; the page's own `lang` wins where the site speaks it.
        language: Language,
        /// Where the banner's forms lead back to.
        return_to: Box<str>,
        /// Whether it is only presumed to be a page: then a doctype or `<html` must stand in its first KiB.
        presumed: bool,
    },
}

/// Why a page could not be rewritten to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// One token is larger than `limits.html_token`, or the parser gave up.
    #[error("the page cannot be parsed within the memory limit")]
    Parser(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The page is in a character set in which markup cannot be found byte by byte.
    #[error("the character set {0} is not ASCII-compatible")]
    Charset(&'static str),
    /// Bytes came after a failure.
    #[error("the page had already failed")]
    Spent,
}

type Sink = Box<dyn FnMut(&[u8]) + Send>;

/// Rewrites one page, chunk by chunk.
///
/// Where guard and banner go, every element must be looked at. As soon as both are in, a second parser goes on with
/// those elements alone that can hold an address: that is several times faster, and most of a page comes then.
pub struct Rewriter {
    lol: Option<HtmlRewriter<'static, Sink>>,
    output: Arc<Mutex<Vec<u8>>>,
    state: Arc<Mutex<State>>,
    charset: Option<&'static encoding_rs::Encoding>,
    start: Start,
    phase: Phase,
}

#[derive(Clone, Copy)]
enum Phase {
    /// Guard or banner are still to be inserted; this much of the page has been read.
    Inserting(usize),
    Holding,
}

/// How far the beginning of a page is read tag by tag. Where nothing could be inserted until then, the page is read
/// as it began: a tag that does not end is read anew with every piece.
const BEGINNING: usize = 64 * 1024;

/// What all handlers of one page share.
struct State {
    settings: Arc<Settings>,
    page: Page,
    /// What links resolve against, if not the page's own address: its `<base>`.
    base: Option<url::Url>,
    insertion: insert::Insertion,
    /// The text of the script or `noscript` that is being read.
    text: String,
    reading: scripts::Reading,
}

/// Whether it is known to be a page yet.
enum Start {
    Known,
    /// Only presumed: the first bytes are kept until a doctype or `<html` shows.
    Presumed(Vec<u8>),
}

static EVERY: LazyLock<Selector> = LazyLock::new(|| selector("*"));
static HOLDING: LazyLock<Selector> = LazyLock::new(|| selector(elements::HOLDING));
static TEXTS: LazyLock<Selector> = LazyLock::new(|| selector("script, noscript"));

fn selector(text: &str) -> Selector {
    text.parse().expect("the selectors of the program are well formed")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rewriter {
    /// A rewriter for one page.
    pub fn new(settings: &Arc<Settings>, page: Page) -> Self {
        let presumed = matches!(page.inserts, Inserts::Page { presumed: true, .. });
        let state = Arc::new(Mutex::new(State {
            settings: Arc::clone(settings),
            base: None,
            insertion: insert::Insertion::default(),
            text: String::new(),
            reading: scripts::Reading::Nothing,
            page: page.clone(),
        }));
        let phase = match page.inserts {
            Inserts::Nothing => Phase::Holding,
            Inserts::Guard(_) | Inserts::Page { .. } => Phase::Inserting(0),
        };
        let output = Arc::<Mutex<Vec<u8>>>::default();
        let lol = parser(phase, &state, &output);
        let start = if presumed { Start::Presumed(Vec::new()) } else { Start::Known };
        Rewriter { lol: Some(lol), output, state, charset: page.charset, start, phase }
    }

    /// Rewrites `chunk` and appends to `out` all that can leave. After a failure nothing may be written any more.
    pub fn write(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        if let Some(charset) = self.charset.filter(|charset| !is_transparent(charset)) {
            self.lol = None;
            return Err(Failure::Charset(charset.name()));
        }
        match &mut self.start {
            Start::Known => self.parse(chunk, out),
            Start::Presumed(kept) => {
                kept.extend_from_slice(chunk);
                let looks_whole = looks_like_a_page(kept);
                if !looks_whole && kept.len() < 1024 {
                    return Ok(());
                }
                self.begin(looks_whole, out)
            }
        }
    }

    /// Ends the page and appends what is left.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        if matches!(self.start, Start::Presumed(_)) {
            self.begin(false, out)?;
        }
        let lol = self.lol.take().ok_or(Failure::Spent)?;
        let outcome = lol.end().map_err(|error| Failure::Parser(error.into()));
        out.append(&mut locked(&self.output));
        outcome
    }

    fn begin(&mut self, is_page: bool, out: &mut Vec<u8>) -> Result<(), Failure> {
        let Start::Presumed(kept) = std::mem::replace(&mut self.start, Start::Known) else { return Ok(()) };
        if !is_page {
            locked(&self.state).page.inserts = Inserts::Nothing;
        }
        self.parse(&kept, out)
    }

    fn parse(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let mut rest = chunk;
        while let Phase::Inserting(read @ ..BEGINNING) = self.phase {
            // A start tag ends at such a character, so that nothing of the page is behind it in this piece.
            let Some(end) = rest.iter().position(|byte| *byte == b'>') else { break };
            let (piece, after) = rest.split_at(end + 1);
            self.feed(piece)?;
            rest = after;
            self.phase = Phase::Inserting(read + piece.len());
            if locked(&self.state).insertion.is_settled() {
                self.phase = Phase::Holding;
                self.lol = Some(parser(self.phase, &self.state, &self.output));
            }
        }
        self.feed(rest)?;
        out.append(&mut locked(&self.output));
        Ok(())
    }

    fn feed(&mut self, piece: &[u8]) -> Result<(), Failure> {
        // It is taken out while it works, so that it is never written to after an error: lol_html panics then.
        let mut lol = self.lol.take().ok_or(Failure::Spent)?;
        lol.write(piece).map_err(|error| Failure::Parser(error.into()))?;
        self.lol = Some(lol);
        Ok(())
    }
}

fn parser(
    phase: Phase,
    state: &Arc<Mutex<State>>,
    output: &Arc<Mutex<Vec<u8>>>,
) -> HtmlRewriter<'static, Sink> {
    HtmlRewriter::new(handlers(phase, state), sink(output))
}

fn sink(output: &Arc<Mutex<Vec<u8>>>) -> Sink {
    let output = Arc::clone(output);
    Box::new(move |bytes| locked(&output).extend_from_slice(bytes))
}

fn handlers(phase: Phase, state: &Arc<Mutex<State>>) -> LolSettings<'static, 'static> {
    let memory = locked(state).settings.html_token;
    // windows-1252 has a letter for every byte, so what is decoded and encoded again is the same.
    let encoding = AsciiCompatibleEncoding::new(encoding_rs::WINDOWS_1252).expect("it is ASCII-compatible");
    let limits =
        MemorySettings::new().with_max_allowed_memory_usage(if memory == 0 { usize::MAX } else { memory });
    let (elements, texts) = (Arc::clone(state), Arc::clone(state));
    let limit = if memory == 0 { usize::MAX } else { memory };
    LolSettings::new_send()
        .with_encoding(encoding)
        .with_memory_settings(limits)
        .with_strict(false)
        .append_element_content_handler((
            Cow::Borrowed(match phase {
                Phase::Inserting(_) => &*EVERY,
                Phase::Holding => &*HOLDING,
            }),
            ElementContentHandlers::default().element(move |element: &mut elements::Element<'_, '_>| {
                elements::element(&elements, element, phase)
            }),
        ))
        .append_element_content_handler((
            Cow::Borrowed(&*TEXTS),
            ElementContentHandlers::default().text(
                move |chunk: &mut lol_html::html_content::TextChunk<'_>| {
                    scripts::text(&mut locked(&texts), chunk, limit)
                },
            ),
        ))
}

/// Whether every `<`, `>`, `"` and `&` among the bytes of a charset is that character (Encoding Standard).
fn is_transparent(charset: &'static encoding_rs::Encoding) -> bool {
    charset.is_ascii_compatible()
}

fn looks_like_a_page(start: &[u8]) -> bool {
    let start = start.get(..1024).unwrap_or(start).to_ascii_lowercase();
    let has = |mark: &[u8]| start.windows(mark.len()).any(|window| window == mark);
    has(b"<!doctype") || has(b"<html")
}

#[cfg(test)]
mod tests;
