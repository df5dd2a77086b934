//! Where guard and banner go: once a document, whatever tags its author left out. Pure.

use std::ops::Range;

use super::{Inserts, Page, Request, Syntax, embeds, skim, xml};
use crate::filter::{Banner, Settings};
use crate::web::guard::known_script_source;
use crate::web::{self, Markup, Part, language::Language};

/// How far the insertion has come.
#[derive(Debug, Default)]
pub(super) struct Insertion {
    guard: Progress,
    banner: Progress,
    /// The language that the site's settings fix, else the page's own `lang`.
    language: Option<Language>,
    /// How browsers read the page.
    syntax: Syntax,
    /// Whether the page's first element has begun: XML has nothing but comments beside it (XML 1.0, section 2.1).
    is_within: bool,
    /// Whether what the page declares can bring in what nobody has read.
    declares: bool,
    /// How many `template` elements are open: what stands in them is no part of the page yet.
    templates: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Pending,
    Done,
}

/// What goes in around one tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Around {
    guard: Option<Side>,
    banner: Option<(Side, Room)>,
}

impl Around {
    /// Whether nothing goes in on this side.
    pub(super) fn is_empty(self, side: Side) -> bool {
        self.guard != Some(side) && self.banner.is_none_or(|(at, _)| at != side)
    }
}

/// Where the banner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// In the body.
    Body,
    /// In the head, put away: a frameset has no body, and would be none behind anything that belongs into one (HTML
    /// section 13.2.6.4.6). A script of ours lays it over the frames.
    Head,
}

/// On which side of a tag something goes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

/// Elements that may stand before the body begins (HTML section 13.2.6.4.4).
const HEAD: [&str; 13] = [
    "html", "head", "title", "base", "basefont", "bgsound", "link", "meta", "noframes", "script", "style",
    "noscript", "template",
];

impl Insertion {
    /// Where a page's insertion begins.
    pub(super) fn of(page: &Page) -> Self {
        let (guard, banner) = match page.inserts {
            Inserts::Nothing => return Insertion::none(),
            Inserts::Guard(_) => (Progress::Pending, Progress::Done),
            Inserts::Page { .. } => (Progress::Pending, Progress::Pending),
        };
        let language = match &page.inserts {
            Inserts::Page { fixed, .. } => fixed.clone(),
            Inserts::Nothing | Inserts::Guard(_) => None,
        };
        Insertion { guard, banner, language, syntax: page.syntax, ..Insertion::default() }
    }

    /// Where nothing is inserted.
    pub(super) fn none() -> Self {
        Insertion { guard: Progress::Done, banner: Progress::Done, ..Insertion::default() }
    }

    /// The page's own `lang`, once it is known.
    pub(super) fn language(&self) -> Option<&Language> {
        self.language.as_ref()
    }

    /// Whether nothing is left to be inserted.
    pub(super) fn is_done(&self) -> bool {
        (self.guard, self.banner) == (Progress::Done, Progress::Done)
    }

    /// Looks at the declarations of a page that is XML.
    pub(super) fn heed_declarations(&mut self, doctype: &[u8]) {
        self.declares |= xml::declares(doctype);
    }

    /// What goes in around this tag, which stands outside of scripts and the like.
    pub(super) fn around(&mut self, tag: &[u8]) -> Around {
        let (kind, name) = skim::name(tag);
        let name = self.syntax.local(&name);
        let is_template = name == "template" && !self.syntax.is_empty(tag);
        if kind == skim::Kind::End {
            self.templates = self.templates.saturating_sub(usize::from(is_template));
            return Around::default();
        }
        if name == "html" && self.language.is_none() {
            let lang = skim::attribute(tag, "lang").and_then(|lang| std::str::from_utf8(lang).ok());
            self.language = lang.and_then(|lang| Language::parse(lang.trim()).ok());
        }
        let is_first = !std::mem::replace(&mut self.is_within, true) && self.syntax == Syntax::Xml;
        let around = if self.templates > 0 || name == "html" || is_first {
            Around::default()
        } else {
            self.put(name, self.syntax.is_empty(tag))
        };
        self.templates += usize::from(is_template);
        around
    }

    fn put(&mut self, name: &str, is_empty: bool) -> Around {
        let mut around = Around::default();
        if self.guard == Progress::Pending {
            self.guard = Progress::Done;
            let is_around = matches!(name, "head" | "body") && !is_empty;
            around.guard = Some(if is_around { Side::After } else { Side::Before });
        }
        let takes_banner = match self.syntax {
            Syntax::Html => !HEAD.contains(&name),
            Syntax::Xml => name == "body" && !is_empty,
        };
        if self.banner == Progress::Pending && takes_banner {
            self.banner = Progress::Done;
            around.banner = match name {
                "frameset" => Some((Side::Before, Room::Head)),
                "body" => Some((Side::After, Room::Body)),
                _ => Some((Side::Before, Room::Body)),
            };
        }
        around
    }

    /// Writes what goes in on one side of a tag.
    pub(super) fn write(
        &self,
        around: Around,
        side: Side,
        page: &Page,
        settings: &Settings,
        origin: &str,
        mut out: Out<'_>,
    ) {
        if around.guard == Some(side) {
            guard(page, &mut out);
            if self.declares {
                closed_policy(page, side, &mut out);
            }
        }
        match around.banner {
            Some((at, Room::Body)) if at == side && self.syntax == Syntax::Xml => {
                banner_in_xml(page, settings, self.language.as_ref(), origin, &mut out);
            }
            Some((at, Room::Body)) if at == side => {
                note(page, settings, self.language.as_ref(), origin, &mut out);
                banner(page, settings, self.language.as_ref(), origin, &mut out);
            }
            Some((at, Room::Head)) if at == side => {
                out.put("<template data-consentry=\"frameset\">");
                banner(page, settings, self.language.as_ref(), origin, &mut out);
                out.put("</template>");
            }
            Some(_) | None => {}
        }
    }
}

/// The page as it leaves.
pub(super) struct Out<'a> {
    pub(super) page: &'a mut Vec<u8>,
    /// Where something stands in it that is put into other pages, too.
    pub(super) recurring: &'a mut Vec<Range<usize>>,
}

impl Out<'_> {
    fn put(&mut self, text: &str) {
        self.page.extend_from_slice(text.as_bytes());
    }

    fn put_all<const N: usize>(&mut self, texts: [&str; N]) {
        texts.iter().for_each(|text| self.put(text));
    }

    fn put_recurring(&mut self, text: &str) {
        self.put(text);
        self.mark(self.page.len() - text.len()..self.page.len());
    }

    fn put_markup(&mut self, markup: &Markup<'_>) {
        markup.parts().for_each(|part| match part {
            Part::Recurring(text) => self.put_recurring(text),
            Part::OfThePage(text) => self.put(text),
        });
    }

    fn mark(&mut self, place: Range<usize>) {
        match self.recurring.last_mut() {
            Some(last) if last.end == place.start => last.end = place.end,
            Some(_) | None => self.recurring.push(place),
        }
    }
}

fn guard(page: &Page, out: &mut Out<'_>) {
    let (Inserts::Guard(guard) | Inserts::Page { guard, .. }) = &page.inserts else { return };
    let nonce = page.nonce.as_ref();
    let nonce =
        nonce.map_or_else(String::new, |nonce| format!(" nonce=\"{}\"", nonce.replace('"', "&quot;")));
    let namespace = page.syntax.namespace();
    let is_set = if page.syntax == Syntax::Xml { "=\"\"" } else { "" };
    out.put_all(["<script", namespace, " data-consentry=\"guard\""]);
    if matches!(page.inserts, Inserts::Page { request: Request::Posted, .. }) {
        out.put_all([" data-posted", is_set]);
    }
    out.put_all([&nonce, ">"]);
    out.put_recurring(&page.syntax.script(guard));
    out.put_recurring("</script>");
    if let Some(path) = &page.scope.list {
        // Policies let it in by its hash, which takes `integrity` (CSP 3, section 6.7.1.1).
        let hash = known_script_source().trim_matches('\'');
        let recurring = [
            ["<script", namespace, " data-consentry=\"known\" async", is_set],
            [" src=\"", path, "\" integrity=\"", hash],
        ];
        recurring.as_flattened().iter().for_each(|text| out.put_recurring(text));
        if !page.scope.hiding.is_empty() {
            ["\" data-acting=\"", &page.scope.hiding].iter().for_each(|text| out.put_recurring(text));
        }
        out.put_recurring("\"");
        out.put(&nonce);
        out.put_recurring("></script>");
    }
}

/// A policy that leaves nothing open, where references and attributes of the page's own making may bring in an address
/// that is not looked at. It counts in a head alone (HTML section 4.2.5.3).
fn closed_policy(page: &Page, side: Side, out: &mut Out<'_>) {
    let Some(policy) = &page.scope.policy else { return };
    let policy = policy.closed().replace('&', "&amp;").replace('"', "&quot;");
    let namespace = page.syntax.namespace();
    let meta = format!("<meta{namespace} http-equiv=\"Content-Security-Policy\" content=\"{policy}\" />");
    match side {
        Side::After => out.put(&meta),
        Side::Before => out.put(&format!("<head{namespace}>{meta}</head>")),
    }
}

fn note(page: &Page, settings: &Settings, own: Option<&Language>, origin: &str, out: &mut Out<'_>) {
    let Inserts::Page { note: Some(note), language, return_to, .. } = &page.inserts else { return };
    let language = embeds::language(&settings.look, own, language);
    let place = web::Place { origin, return_to };
    out.put(&settings.look.note(language, note, place));
}

fn banner(page: &Page, settings: &Settings, own: Option<&Language>, origin: &str, out: &mut Out<'_>) {
    let Inserts::Page { banner, undecided, signal, language, return_to, .. } = &page.inserts else { return };
    let language = embeds::language(&settings.look, own, language);
    let place = web::Place { origin, return_to };
    let mut shows = web::Shows::Now;
    match banner {
        Banner::NothingToAsk => return,
        Banner::Shown if *undecided => {
            out.put_markup(&settings.banner(language, *signal, place));
            out.put_recurring(web::FIXED);
            shows = web::Shows::AfterTheBanner;
        }
        Banner::Shown | Banner::Off => {}
    }
    out.put_markup(&settings.look.settings_link(language, shows, place));
}

fn banner_in_xml(page: &Page, settings: &Settings, own: Option<&Language>, origin: &str, out: &mut Out<'_>) {
    let Inserts::Page { banner, undecided, signal, language, return_to, .. } = &page.inserts else { return };
    let language = embeds::language(&settings.look, own, language);
    let shows = match banner {
        Banner::NothingToAsk => return,
        Banner::Shown if *undecided => web::Shows::AfterTheBanner,
        Banner::Shown | Banner::Off => web::Shows::Now,
    };
    let place = web::Place { origin, return_to };
    out.put_markup(&settings.look.xml(language, shows, *signal, place));
}
