//! The rewriter of one page: holds what may not act, and inserts guard, banner and settings link.
//!
//! It runs byte-transparently: whatever the page's character set, bytes that it has no reason to change leave
//! as they came.

mod address;
mod again;
mod anonymize;
mod code;
mod css;
mod elements;
mod embeds;
mod insert;
mod links;
mod passages;
mod places;
mod recollection;
mod references;
mod scripts;
mod sheet;
mod skim;
mod stubs;
mod syntax;
mod unjudged;
mod verdicts;
mod xml;

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use lol_html::send::{ElementContentHandlers, HtmlRewriter, Settings as LolSettings};
use lol_html::{AsciiCompatibleEncoding, MemorySettings, Selector};

use super::Settings;
use super::own_csp::Inserted;
use super::page::Address;
use super::scope::Scope;
use crate::consent::Granted;
use crate::consent::signal::Signal;
use crate::web::language::Language;

pub use address::plain;
use again::Look;
pub use embeds::{Asks, Embeds};
pub use sheet::{Sheet, style_sheet};
pub use syntax::Syntax;
pub use unjudged::{Reason, Unjudged};

/// What the rewriter knows of the page and its visitor.
#[derive(Clone, Debug)]
pub struct Page {
    /// The page's own absolute address, against which its links resolve.
    pub url: Address,
    /// What the visitor granted.
    pub granted: Granted,
    /// How browsers read it.
    pub syntax: Syntax,
    /// What is inserted.
    pub inserts: Inserts,
    /// What placeholders must know; none: embeds are held without one.
    pub embeds: Option<Embeds>,
    /// The nonce of the page's own Content-Security-Policy, for the elements that are inserted.
    pub nonce: Option<Box<str>>,
    /// What follows from the site's settings and what the visitor granted.
    pub scope: Arc<Scope>,
}

impl Page {
    /// What is inserted and needs to be let in by policies.
    pub fn inserted(&self) -> Inserted<'_> {
        self.scope.inserted(&self.inserts, &self.url)
    }
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
        /// What the visitor will be asked for before long.
        note: Option<Arc<crate::web::Note>>,
        /// Whether the visitor has yet to choose.
        undecided: bool,
        /// Whether the visitor's browser opted out for them.
        signal: Signal,
        /// The language of the visitor's wishes; the page's own `lang` wins where the site speaks it.
        language: Language,
        /// The language that the site's settings fix for the page, whatever it says itself.
        fixed: Option<Language>,
        /// Where the banner's forms lead back to.
        return_to: Box<str>,
        /// What the page answers.
        request: Request,
        /// Whether it is only presumed to be a page: then a doctype or `<html` must stand in its first KiB.
        presumed: bool,
    },
}

impl Inserts {
    /// About how many bytes that is, rather too many.
    pub fn room(&self) -> usize {
        const BANNER: usize = 12 * 1024;
        const LINKS: usize = 2 * 1024;
        match self {
            Inserts::Nothing => 0,
            Inserts::Guard(guard) => guard.len() + LINKS,
            Inserts::Page { guard, undecided: false, .. } => guard.len() + LINKS,
            Inserts::Page { guard, undecided: true, .. } => guard.len() + LINKS + BANNER,
        }
    }
}

/// What a page answers: no script of ours may load one anew that was posted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// A request that can be repeated.
    Read,
    /// A form.
    Posted,
}

/// Why a page could not be rewritten to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// One token is larger than `limits.html_token`, or the parser gave up.
    #[error("the page cannot be parsed within the memory limit")]
    Parser(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Bytes came after a failure.
    #[error("the page had already failed")]
    Spent,
}

/// Why a tag is given up: it is longer than `limits.html_token`.
#[derive(Debug, thiserror::Error)]
#[error("a tag is larger than the limit")]
struct TooLong;

type Sink = Box<dyn FnMut(&[u8]) + Send>;

/// Rewrites one page, chunk by chunk.
///
/// The parser is given those tags alone that may hold an address of a service; all else passes it by.
pub struct Rewriter {
    lol: Parser,
    output: Arc<Mutex<Vec<u8>>>,
    state: Arc<Mutex<State>>,
    start: Start,
    syntax: Syntax,
    phase: Phase,
    /// What a page that is XML is within.
    inside: xml::Inside,
    place: skim::Place,
    insertion: insert::Insertion,
    recurring: Vec<Range<usize>>,
    /// A tag that has not ended yet.
    kept: Vec<u8>,
    /// How many elements without an end tag of their own the parser has been given.
    left_open: usize,
}

/// The parser, which is not made where nothing comes to it.
enum Parser {
    NotYet,
    Ready(Box<HtmlRewriter<'static, Sink>>),
    /// It has failed, or the page has ended.
    Spent,
}

/// Who reads what comes next.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// The look ahead.
    #[default]
    Skimming,
    /// The parser, up to the end tag of an element.
    Inside(End),
    /// The parser, to the end of the page.
    Parsing,
}

/// What the end tag that is waited for ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The first `>` after an end tag of this name has begun.
    Tag(&'static str),
    /// Any `>`.
    Anywhere,
}

/// What all handlers of one page share.
struct State {
    settings: Arc<Settings>,
    page: Page,
    /// What links may resolve against beside the page's own address: every `<base>` so far. The first counts (HTML section
    /// 4.2.3), but some stand where browsers see none.
    bases: Vec<url::Url>,
    /// The page's own `lang`.
    language: Option<Language>,
    /// Whether a placeholder has brought the script of all of them.
    has_embed_script: std::cell::Cell<bool>,
    /// The text of the script or `noscript` that is being read.
    text: String,
    reading: scripts::Reading,
    /// Whether the text of the element that is being read may come in pieces, with elements in between.
    is_in_pieces: bool,
    /// Whether that text is a CDATA section, which has no references.
    is_cdata: bool,
    /// How many pages this one stands in.
    depth: u8,
    /// What services have been told on this page.
    told: Vec<Box<str>>,
    /// The globals that were given a stub on this page.
    stubbed: Vec<Box<str>>,
    /// What could not be judged.
    unjudged: Unjudged,
    /// The first service that something was held for.
    held_for: Option<Box<str>>,
    /// Whether services act from the host that relative addresses lead to.
    is_host_known: bool,
    /// Whether the element that the look ahead has stopped at is still open.
    is_inside: bool,
    /// Whether the element that was read last was taken out, or something else put in its place.
    is_gone: bool,
}

/// Whether it is known to be a page yet.
enum Start {
    Known,
    /// Only presumed: the first bytes are kept until a doctype or `<html` shows.
    Presumed(Vec<u8>),
}

static EVERY: LazyLock<Selector> = LazyLock::new(|| selector("*"));
static TEXTS: LazyLock<Selector> = LazyLock::new(|| selector("script, noscript, style"));

fn selector(text: &str) -> Selector {
    text.parse().expect("the selectors of the program are well formed")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rewriter {
    /// A rewriter for one page.
    pub fn new(settings: &Arc<Settings>, page: Page) -> Self {
        let is_host_known = settings.services.knows_host(page.url.host());
        Rewriter::of(State::new(settings, page, Vec::new(), is_host_known, 0))
    }

    /// A rewriter for a page within another.
    fn within(outer: &State, page: Page) -> Self {
        let mut state =
            State::new(&outer.settings, page, outer.bases.clone(), outer.is_host_known, outer.depth + 1);
        state.language.clone_from(&outer.language);
        Rewriter::of(state)
    }

    fn of(state: State) -> Self {
        let (page, syntax) = (&state.page, state.page.syntax);
        // What says that it is XML is no accident.
        let presumed = matches!(page.inserts, Inserts::Page { presumed: true, .. }) && syntax == Syntax::Html;
        let start = if presumed { Start::Presumed(Vec::new()) } else { Start::Known };
        let insertion = insert::Insertion::of(page);
        Rewriter {
            lol: Parser::NotYet,
            output: Arc::default(),
            state: Arc::new(Mutex::new(state)),
            start,
            syntax,
            phase: Phase::default(),
            inside: xml::Inside::default(),
            place: skim::Place::default(),
            insertion,
            recurring: Vec::new(),
            kept: Vec::new(),
            left_open: 0,
        }
    }

    /// Rewrites `chunk` and appends to `out` all that can leave. After a failure nothing may be written any more.
    pub fn write(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
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
        // A tag without an end is none (HTML section 13.2.5, end of file in a tag), and the end of a script that has
        // not ended is not the page's.
        let kept = std::mem::take(&mut self.kept);
        if self.phase == Phase::Skimming {
            self.end_xml(out)?;
            out.extend_from_slice(&kept);
        } else {
            self.feed(&kept, out)?;
        }
        let outcome = match std::mem::replace(&mut self.lol, Parser::Spent) {
            Parser::NotYet => Ok(()),
            Parser::Ready(lol) => lol.end().map_err(|error| Failure::Parser(error.into())),
            Parser::Spent => Err(Failure::Spent),
        };
        out.append(&mut locked(&self.output));
        outcome
    }

    /// Where in what was written to last something stands that is put into other pages, too.
    pub fn take_recurring(&mut self) -> Vec<Range<usize>> {
        std::mem::take(&mut self.recurring)
    }

    /// What was found so far.
    pub fn findings(&self) -> Findings {
        let state = locked(&self.state);
        Findings {
            unjudged: state.unjudged.clone(),
            held_for: state.held_for.clone(),
            page: state.page.url.path_as_written().into(),
        }
    }

    fn begin(&mut self, is_page: bool, out: &mut Vec<u8>) -> Result<(), Failure> {
        let Start::Presumed(kept) = std::mem::replace(&mut self.start, Start::Known) else { return Ok(()) };
        if !is_page {
            self.insertion = insert::Insertion::none();
        }
        self.parse(&kept, out)
    }

    fn parse(&mut self, chunk: &[u8], out: &mut Vec<u8>) -> Result<(), Failure> {
        let mut kept = std::mem::take(&mut self.kept);
        let mut rest = if kept.is_empty() {
            chunk
        } else {
            kept.extend_from_slice(chunk);
            &kept
        };
        while !rest.is_empty() {
            let read = match self.phase {
                Phase::Skimming if self.syntax == Syntax::Xml => self.read_xml(rest, out)?,
                Phase::Skimming => self.skim(rest, out)?,
                Phase::Inside(end) => self.inside(rest, end, out)?,
                Phase::Parsing => self.feed(rest, out)?,
            };
            rest = rest.get(read..).unwrap_or_default();
            if read == 0 {
                break;
            }
        }
        self.keep(rest)
    }

    /// Keeps the beginning of a tag until the rest of it is there.
    fn keep(&mut self, rest: &[u8]) -> Result<(), Failure> {
        if rest.len() > locked(&self.state).settings.html_token {
            self.lol = Parser::Spent;
            return Err(Failure::Parser(TooLong.into()));
        }
        self.kept = rest.to_vec();
        Ok(())
    }

    /// Passes what can hold no address of a service, inserts what belongs there, and gives the parser the next tag
    /// that it must read.
    fn skim(&mut self, page: &[u8], out: &mut Vec<u8>) -> Result<usize, Failure> {
        use skim::{Next, Tells};
        let is_told_of_all = !self.insertion.is_done();
        let (passes, next) = {
            let state = locked(&self.state);
            let ground = address::Ground::of(&state);
            let is_harmless = |address: &[u8]| ground.is_harmless(address);
            let marks = |known, word: &[u8]| embeds::is_mark(&state.settings.services, known, word).is_some();
            if is_told_of_all {
                skim::skim(Syntax::Html, &mut self.place, page, Tells::EveryTag, is_harmless, marks)
            } else {
                let grounds = passages::Grounds::new(&state.settings.identity, state.is_host_known);
                passages::skim(grounds, &mut self.place, page, is_harmless, marks)
            }
        };
        let (passing, rest) = page.split_at(passes);
        out.extend_from_slice(passing);
        let Next::Tag(length, reads) = next else { return Ok(passes) };
        let read = if !is_told_of_all {
            self.read(rest, length, reads, out)?
        } else {
            let around = self.insertion.around(rest.get(..length).unwrap_or(rest));
            if let Some(language) = self.insertion.language() {
                locked(&self.state).language.get_or_insert_with(|| language.clone());
            }
            self.insert(around, insert::Side::Before, out);
            let read = self.read(rest, length, reads, out)?;
            self.insert(around, insert::Side::After, out);
            read
        };
        Ok(passes + read)
    }

    fn insert(&mut self, around: insert::Around, side: insert::Side, out: &mut Vec<u8>) {
        if around.is_empty(side) {
            return;
        }
        let state = locked(&self.state);
        // A `<base>` would lead our addresses elsewhere.
        let origin = (!state.bases.is_empty()).then(|| state.page.url.origin().ascii_serialization());
        let origin = origin.as_deref().unwrap_or_default();
        let out = insert::Out { page: out, recurring: &mut self.recurring };
        self.insertion.write(around, side, &state.page, &state.settings, origin, out);
    }

    /// Reads the tag of this length that `page` begins with, and says how much it has read: the whole element, where
    /// that is known already.
    fn read(
        &mut self,
        page: &[u8],
        length: usize,
        reads: skim::Reads,
        out: &mut Vec<u8>,
    ) -> Result<usize, Failure> {
        use skim::Reads;
        let tag = page.get(..length).unwrap_or(page);
        match reads {
            Reads::Nothing => out.extend_from_slice(tag),
            Reads::Tag => {
                self.feed(tag, out)?;
                self.forget_open_elements();
            }
            Reads::Element(name) => return self.element(page, tag, name, out),
            Reads::Rest => {
                self.feed(tag, out)?;
                self.phase = Phase::Parsing;
            }
        }
        Ok(tag.len())
    }

    /// Reads an element that `page` begins with: its start tag, or all of it where it came before.
    fn element(
        &mut self,
        page: &[u8],
        tag: &[u8],
        name: &'static str,
        out: &mut Vec<u8>,
    ) -> Result<usize, Failure> {
        let element = again::element(page, tag.len(), name);
        let unjudged = locked(&self.state).unjudged.clone();
        let key = match element.map_or(Look::New, |element| again::look(&locked(&self.state), element)) {
            Look::Known(became) => {
                became.write(&mut locked(&self.state), out);
                return Ok(became.length);
            }
            Look::Again(key) => Some(key),
            Look::New => None,
        };
        let start = out.len();
        self.feed(tag, out)?;
        if !locked(&self.state).is_inside {
            return Ok(tag.len());
        }
        self.phase = Phase::Inside(End::Tag(name));
        let Some(key) = key else { return Ok(tag.len()) };
        let read = self.inside(page.get(tag.len()..).unwrap_or_default(), End::Tag(name), out)?;
        let state = locked(&self.state);
        // What cannot be judged is counted on each page.
        if !state.is_inside && state.unjudged == unjudged {
            key.learn(tag.len() + read, out.get(start..).unwrap_or_default(), &state);
        }
        Ok(tag.len() + read)
    }

    /// Gives the parser an element's content, so that no piece goes on behind its end tag; the parser alone knows
    /// which end tag that is.
    fn inside(&mut self, page: &[u8], end: End, out: &mut Vec<u8>) -> Result<usize, Failure> {
        let (piece, may_end) = match end {
            End::Tag(name) => skim::before_end(page, name),
            End::Anywhere => (memchr::memchr(b'>', page).map_or(page.len(), |end| end + 1), true),
        };
        let read = self.feed(page.get(..piece).unwrap_or(page), out)?;
        if !locked(&self.state).is_inside {
            self.phase = Phase::Skimming;
        } else if may_end {
            // It was an end tag in a comment of a script, or one with a `>` among its attributes.
            self.phase = Phase::Inside(End::Anywhere);
        }
        Ok(read)
    }

    /// The parser never sees the end of an element that it was given the start tag of alone, and must not keep a list
    /// of them that grows with the page.
    fn forget_open_elements(&mut self) {
        const MOST: usize = 64;
        self.left_open += 1;
        if self.left_open > MOST {
            self.left_open = 0;
            self.lol = Parser::NotYet;
        }
    }

    fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<usize, Failure> {
        // It is taken out while it works, so that it is never written to after an error: lol_html panics then.
        let mut lol = match std::mem::replace(&mut self.lol, Parser::Spent) {
            Parser::NotYet => Box::new(parser(&self.state, &self.output)),
            Parser::Ready(lol) => lol,
            Parser::Spent => return Err(Failure::Spent),
        };
        lol.write(piece).map_err(|error| Failure::Parser(error.into()))?;
        self.lol = Parser::Ready(lol);
        out.append(&mut locked(&self.output));
        Ok(piece.len())
    }
}

/// What was found in a page.
#[derive(Clone, Debug)]
pub struct Findings {
    /// What could not be judged.
    pub unjudged: Unjudged,
    /// The first service that something was held for.
    pub held_for: Option<Box<str>>,
    /// The path of the page, as the visitor wrote it.
    pub page: Box<str>,
}

impl State {
    fn new(
        settings: &Arc<Settings>,
        page: Page,
        bases: Vec<url::Url>,
        is_host_known: bool,
        depth: u8,
    ) -> Self {
        State {
            settings: Arc::clone(settings),
            bases,
            language: None,
            has_embed_script: std::cell::Cell::default(),
            text: String::new(),
            reading: scripts::Reading::Nothing,
            is_in_pieces: false,
            is_cdata: false,
            depth,
            told: Vec::new(),
            stubbed: Vec::new(),
            unjudged: Unjudged::default(),
            held_for: None,
            is_host_known,
            is_inside: false,
            is_gone: false,
            page,
        }
    }

    /// What links resolve against, if not the page's own address.
    fn base(&self) -> Option<&url::Url> {
        self.bases.first()
    }

    /// All that links may resolve against. A page's own address is taken apart where one does.
    fn bases(&self) -> impl Iterator<Item = &url::Url> + Clone {
        std::iter::once(&*self.page.url).chain(&self.bases)
    }
}

fn parser(state: &Arc<Mutex<State>>, output: &Arc<Mutex<Vec<u8>>>) -> HtmlRewriter<'static, Sink> {
    HtmlRewriter::new(handlers(state), sink(output))
}

fn sink(output: &Arc<Mutex<Vec<u8>>>) -> Sink {
    let output = Arc::clone(output);
    Box::new(move |bytes| locked(&output).extend_from_slice(bytes))
}

fn handlers(state: &Arc<Mutex<State>>) -> LolSettings<'static, 'static> {
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
            Cow::Borrowed(&*EVERY),
            ElementContentHandlers::default().element(move |element: &mut elements::Element<'_, '_>| {
                elements::element(&elements, element)
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

fn looks_like_a_page(start: &[u8]) -> bool {
    let start = start.get(..1024).unwrap_or(start).to_ascii_lowercase();
    let has = |mark: &[u8]| start.windows(mark.len()).any(|window| window == mark);
    has(b"<!doctype") || has(b"<html")
}

#[cfg(test)]
mod tests;
