//! Where guard and banner go: once a document, whatever tags its author left out. Pure.

use super::{Inserts, Page, Request, embeds, skim};
use crate::filter::{Banner, Settings};
use crate::web::guard::known_script_source;
use crate::web::{self, language::Language};

/// How far the insertion has come.
#[derive(Debug, Default)]
pub(super) struct Insertion {
    guard: Progress,
    banner: Progress,
    /// The language that the site's settings fix, else the page's own `lang`.
    language: Option<Language>,
    /// Whether browsers read the page as XML.
    is_xml: bool,
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

/// Where the banner stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    /// In the body.
    Body,
    /// In the head, put away: a frameset has no body, and would be none behind anything that belongs into one (HTML
    /// section 13.2.6.4.6). A script of ours lays it over the frames.
    Head,
    /// In the body of a page that is XML.
    Xml,
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
    pub(super) fn of(inserts: &Inserts) -> Self {
        let (guard, banner) = match inserts {
            Inserts::Nothing => (Progress::Done, Progress::Done),
            Inserts::Guard(_) => (Progress::Pending, Progress::Done),
            Inserts::Page { .. } => (Progress::Pending, Progress::Pending),
            Inserts::Xml { .. } => (Progress::Done, Progress::Pending),
        };
        let language = match inserts {
            Inserts::Page { fixed, .. } | Inserts::Xml { fixed, .. } => fixed.clone(),
            Inserts::Nothing | Inserts::Guard(_) => None,
        };
        let is_xml = matches!(inserts, Inserts::Xml { .. });
        Insertion { guard, banner, language, is_xml, ..Insertion::default() }
    }

    /// The page's own `lang`, once it is known.
    pub(super) fn language(&self) -> Option<&Language> {
        self.language.as_ref()
    }

    /// Whether nothing is left to be inserted.
    pub(super) fn is_done(&self) -> bool {
        (self.guard, self.banner) == (Progress::Done, Progress::Done)
    }

    /// What goes in around this tag, which stands outside of scripts and the like.
    pub(super) fn around(&mut self, tag: &[u8]) -> Around {
        let (kind, name) = skim::name(tag);
        let is_template = name == "template";
        if kind == skim::Kind::End {
            self.templates = self.templates.saturating_sub(usize::from(is_template));
            return Around::default();
        }
        if name == "html" && self.language.is_none() {
            let lang = skim::attribute(tag, "lang").and_then(|lang| std::str::from_utf8(lang).ok());
            self.language = lang.and_then(|lang| Language::parse(lang.trim()).ok());
        }
        let around =
            if self.templates > 0 || name == "html" { Around::default() } else { self.put(&name, tag) };
        self.templates += usize::from(is_template);
        around
    }

    fn put(&mut self, name: &str, tag: &[u8]) -> Around {
        let mut around = Around::default();
        if self.is_xml {
            if self.banner == Progress::Pending && name == "body" && !tag.ends_with(b"/>") {
                self.banner = Progress::Done;
                around.banner = Some((Side::After, Room::Xml));
            }
            return around;
        }
        if self.guard == Progress::Pending {
            self.guard = Progress::Done;
            around.guard = Some(if matches!(name, "head" | "body") { Side::After } else { Side::Before });
        }
        if self.banner == Progress::Pending && !HEAD.contains(&name) {
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
        out: &mut Vec<u8>,
    ) {
        if around.guard == Some(side) {
            guard(page, out);
        }
        match around.banner {
            Some((at, Room::Body)) if at == side => {
                note(page, settings, self.language.as_ref(), origin, out);
                banner(page, settings, self.language.as_ref(), origin, out);
            }
            Some((at, Room::Head)) if at == side => {
                out.extend_from_slice(b"<template data-consentry=\"frameset\">");
                banner(page, settings, self.language.as_ref(), origin, out);
                out.extend_from_slice(b"</template>");
            }
            Some((at, Room::Xml)) if at == side => {
                xml(page, settings, self.language.as_ref(), origin, out);
            }
            Some(_) | None => {}
        }
    }
}

fn guard(page: &Page, out: &mut Vec<u8>) {
    let (Inserts::Guard(guard) | Inserts::Page { guard, .. }) = &page.inserts else { return };
    let nonce = page.nonce.as_ref();
    let nonce =
        nonce.map_or_else(String::new, |nonce| format!(" nonce=\"{}\"", nonce.replace('"', "&quot;")));
    out.extend_from_slice(b"<script data-consentry=\"guard\"");
    if matches!(page.inserts, Inserts::Page { request: Request::Posted, .. }) {
        out.extend_from_slice(b" data-posted");
    }
    out.extend_from_slice(nonce.as_bytes());
    out.push(b'>');
    out.extend_from_slice(guard.as_bytes());
    out.extend_from_slice(b"</script>");
    if let Some(path) = &page.scope.list {
        // Policies let it in by its hash, which takes `integrity` (CSP 3, section 6.7.1.1).
        let hash = known_script_source().trim_matches('\'');
        let acting = match &*page.scope.hiding {
            "" => String::new(),
            ids => format!(" data-acting=\"{ids}\""),
        };
        let known = format!(
            "<script data-consentry=\"known\" async src=\"{path}\" integrity=\"{hash}\"{acting}{nonce}></script>"
        );
        out.extend_from_slice(known.as_bytes());
    }
}

fn note(page: &Page, settings: &Settings, own: Option<&Language>, origin: &str, out: &mut Vec<u8>) {
    let Inserts::Page { note: Some(note), language, return_to, .. } = &page.inserts else { return };
    let language = embeds::language(&settings.look, own, language);
    let place = web::Place { origin, return_to };
    out.extend_from_slice(settings.look.note(language, note, place).as_bytes());
}

fn banner(page: &Page, settings: &Settings, own: Option<&Language>, origin: &str, out: &mut Vec<u8>) {
    let Inserts::Page { banner, undecided, signal, language, return_to, .. } = &page.inserts else { return };
    let language = embeds::language(&settings.look, own, language);
    let place = web::Place { origin, return_to };
    let mut shows = web::Shows::Now;
    match banner {
        Banner::NothingToAsk => return,
        Banner::Shown if *undecided => {
            out.extend_from_slice(settings.banner(language, *signal, place).as_bytes());
            out.extend_from_slice(web::FIXED.as_bytes());
            shows = web::Shows::AfterTheBanner;
        }
        Banner::Shown | Banner::Off => {}
    }
    out.extend_from_slice(settings.look.settings_link(language, shows, place).as_bytes());
}

fn xml(page: &Page, settings: &Settings, own: Option<&Language>, origin: &str, out: &mut Vec<u8>) {
    let Inserts::Xml { banner, undecided, signal, language, return_to, .. } = &page.inserts else { return };
    let language = embeds::language(&settings.look, own, language);
    let shows = match banner {
        Banner::NothingToAsk => return,
        Banner::Shown if *undecided => web::Shows::AfterTheBanner,
        Banner::Shown | Banner::Off => web::Shows::Now,
    };
    let place = web::Place { origin, return_to };
    out.extend_from_slice(settings.look.xml(language, shows, *signal, place).as_bytes());
}
