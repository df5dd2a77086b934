//! A page of the site as the frame of the proxy's documents: nothing of it runs, and nothing of it comes from others.
//!
//! The markup loses what no policy of the answer could hold (refreshes, hints, scripts); [`POLICY`] holds the rest.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::HeaderValue;
use lol_html::html_content::ContentType;
use lol_html::send::{ElementContentHandlers, HtmlRewriter, Settings};
use lol_html::{AsciiCompatibleEncoding, MemorySettings, Selector};

/// What the browser may load on such a page: styles, pictures and fonts of the site itself.
pub const POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     font-src 'self' data:; base-uri 'self'; frame-ancestors 'self'";

/// The most of a page that is taken for a frame, in bytes.
pub const LARGEST: usize = 2 << 20;

const TITLE: &str = "\u{1}consentry-title\u{1}";
const MAIN: &str = "\u{1}consentry-main\u{1}";

/// Which page is the frame, and where in it documents stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The page's path.
    pub page: Box<str>,
    /// The CSS selector of the element whose content is replaced; the first that fits counts.
    pub selector: Box<str>,
}

/// A page in pieces, around title and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pieces: Vec<Piece>,
    content_type: HeaderValue,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Bytes(Bytes),
    Title,
    Main,
}

/// Why a page cannot be the frame.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be parsed.
    #[error("it cannot be parsed: {0}")]
    Parser(String),
    /// No element of it fits the selector.
    #[error("no element fits `{0}`")]
    NoSuchElement(Box<str>),
}

impl Layout {
    /// What is wrong with the selector, if anything.
    pub fn fault(&self) -> Option<String> {
        self.selector.parse::<Selector>().err().map(|error| error.to_string())
    }
}

impl Frame {
    /// Makes a frame of a page of the upstream, which came from the layout's path.
    pub fn of(page: &[u8], content_type: HeaderValue, layout: &Layout) -> Result<Self, Unusable> {
        let bytes = emptied(page, layout).map_err(Unusable::Parser)?;
        let pieces = pieces(&bytes);
        if !pieces.contains(&Piece::Main) {
            return Err(Unusable::NoSuchElement(layout.selector.clone()));
        }
        Ok(Frame { pieces, content_type })
    }

    /// The whole page; title and text are ASCII, so that they stand in any character set.
    pub fn around(&self, title: &str, main: &str) -> Bytes {
        let mut page = Vec::new();
        for piece in &self.pieces {
            page.extend_from_slice(match piece {
                Piece::Bytes(bytes) => bytes,
                Piece::Title => title.as_bytes(),
                Piece::Main => main.as_bytes(),
            });
        }
        page.into()
    }

    /// The page's own, with its character set.
    pub fn content_type(&self) -> &HeaderValue {
        &self.content_type
    }
}

/// Cuts a page at the marks.
fn pieces(page: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = page;
    while let Some(start) = memchr::memchr(1, rest) {
        let (before, from) = rest.split_at(start);
        let found = [(TITLE, Piece::Title), (MAIN, Piece::Main)]
            .into_iter()
            .find(|(mark, _)| from.starts_with(mark.as_bytes()));
        let (length, piece) = found.map_or((1, None), |(mark, piece)| (mark.len(), Some(piece)));
        // A page's own control character is left out: it could be taken for a mark.
        pieces.push(Piece::Bytes(Bytes::copy_from_slice(before)));
        pieces.extend(piece);
        rest = from.get(length..).unwrap_or_default();
    }
    pieces.push(Piece::Bytes(Bytes::copy_from_slice(rest)));
    pieces
}

/// The page without what acts, and with marks where title and text go.
fn emptied(page: &[u8], layout: &Layout) -> Result<Vec<u8>, String> {
    let selector: Selector = layout.selector.parse().map_err(|error| format!("{error}"))?;
    // A mark in the page itself would be taken for one of ours.
    let page: Vec<u8> = page.iter().copied().filter(|byte| *byte != 1).collect();
    let output = Arc::<Mutex<Vec<u8>>>::default();
    let written = Arc::clone(&output);
    let sink = Box::new(move |bytes: &[u8]| {
        written.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
    }) as Box<dyn FnMut(&[u8]) + Send>;
    let mut rewriter = HtmlRewriter::new(settings(&page, selector, &layout.page)?, sink);
    rewriter.write(&page).map_err(|error| error.to_string())?;
    rewriter.end().map_err(|error| error.to_string())?;
    let bytes = std::mem::take(&mut *output.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(bytes)
}

type Element<'r, 't> = lol_html::send::Element<'r, 't>;
type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn settings(page: &[u8], selector: Selector, path: &str) -> Result<Settings<'static, 'static>, String> {
    // windows-1252 has a letter for every byte, so the page's own character set does not matter.
    let encoding = AsciiCompatibleEncoding::new(encoding_rs::WINDOWS_1252).ok_or("no such encoding")?;
    let has_base = page.windows(5).any(|five| five.eq_ignore_ascii_case(b"<base"));
    let base =
        (!has_base).then(|| format!("<base href=\"{}\">", path.replace('&', "&amp;").replace('"', "&quot;")));
    let mut is_placed = false;
    let place = move |element: &mut Element<'_, '_>| -> Outcome {
        if !is_placed {
            is_placed = true;
            element.set_inner_content(MAIN, ContentType::Html);
        }
        Ok(())
    };
    let head = move |element: &mut Element<'_, '_>| -> Outcome {
        if let Some(base) = &base {
            element.prepend(base, ContentType::Html);
        }
        Ok(())
    };
    let title = |element: &mut Element<'_, '_>| -> Outcome {
        element.set_inner_content(TITLE, ContentType::Html);
        Ok(())
    };
    let parsed = |text: &str| text.parse::<Selector>().map_err(|error| error.to_string());
    let handlers = ElementContentHandlers::default;
    Ok(Settings::new_send()
        .with_encoding(encoding)
        .with_memory_settings(MemorySettings::new().with_max_allowed_memory_usage(4 * LARGEST))
        .with_strict(false)
        .append_element_content_handler((std::borrow::Cow::Owned(parsed("*")?), handlers().element(quiet)))
        .append_element_content_handler((std::borrow::Cow::Owned(parsed("head")?), handlers().element(head)))
        .append_element_content_handler((
            std::borrow::Cow::Owned(parsed("head title")?),
            handlers().element(title),
        ))
        .append_element_content_handler((std::borrow::Cow::Owned(selector), handlers().element(place))))
}

/// Takes out what acts, what hints, and what leads elsewhere by itself.
fn quiet(element: &mut Element<'_, '_>) -> Outcome {
    let tag = element.tag_name();
    let attribute = |name: &str| element.get_attribute(name).unwrap_or_default().to_ascii_lowercase();
    let acts = match tag.as_str() {
        // What stands in them is shown where they are not; and a frame has no end, so that what follows would go with it.
        "frame" | "object" | "applet" => {
            element.remove_and_keep_content();
            return Ok(());
        }
        "script" | "noscript" | "iframe" | "frameset" | "embed" | "template" | "portal" | "fencedframe" => {
            true
        }
        "meta" => element.has_attribute("http-equiv") && attribute("http-equiv").trim() != "content-type",
        "link" => {
            let rel = attribute("rel");
            let words = || rel.split_ascii_whitespace();
            let shows =
                words().any(|word| matches!(word, "stylesheet" | "icon" | "shortcut" | "apple-touch-icon"));
            // `preconnect stylesheet` would still connect.
            !shows
                || words().any(|word| {
                    word.contains("connect") || word.starts_with("pre") || word.starts_with("dns")
                })
        }
        _ => false,
    };
    if acts {
        element.remove();
        return Ok(());
    }
    let handlers: Vec<String> = element
        .attributes()
        .iter()
        .map(|attribute| attribute.name())
        .filter(|name| name.starts_with("on") || name == "ping")
        .collect();
    handlers.iter().for_each(|name| element.remove_attribute(name));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(selector: &str) -> Layout {
        Layout { page: "/om/\"oss\"".into(), selector: selector.into() }
    }

    fn framed(page: &str, selector: &str) -> Result<String, Unusable> {
        let kind = HeaderValue::from_static("text/html; charset=iso-8859-1");
        let latin1: Vec<u8> = page.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect();
        let frame = Frame::of(&latin1, kind, &layout(selector))?;
        Ok(frame.around("T", "<p>M</p>").iter().map(|byte| char::from(*byte)).collect())
    }

    #[test]
    fn the_page_stays_as_it_is_around_title_and_text() {
        let page = "<!doctype html><html><head><title>B\u{e5}t</title></head><body class=a><p>H\u{e4}r</p>\
                    <div id=content><p>g\u{f6}r</p><br></div><div id=content>nr 2</div></body></html>";
        let expected = "<!doctype html><html><head><base href=\"/om/&quot;oss&quot;\"><title>T</title></head><body class=a>\
                        <p>H\u{e4}r</p><div id=content><p>M</p></div><div id=content>nr 2</div></body></html>";
        assert_eq!(framed(page, "#content").unwrap(), expected);
    }

    #[test]
    fn nothing_that_acts_is_left() {
        let page = "<head><base href=/x/><script src=//t.example/t.js></script><script>t()</script>\
            <meta http-equiv=refresh content='0;url=//t.example'><meta http-equiv=\"Content-Type\" content=a>\
            <link rel=dns-prefetch href=//t.example><link rel='preconnect stylesheet' href=//t.example>\
            <link rel=stylesheet href=a.css><link rel=prefetch href=b><link rel=modulepreload href=c></head>\
            <body onload=t()><iframe src=//t.example></iframe><noscript><img src=//t.example></noscript>\
            <object data=//t.example></object><a href=/ ping=//t.example onclick='t()'>a</a>\
            <template shadowrootmode=open><script>t()</script></template><main>x<script>t()</script></main>";
        let expected = "<head><base href=/x/><meta http-equiv=\"Content-Type\" content=a><link rel=stylesheet href=a.css></head>\
                        <body><a href=/>a</a><main><p>M</p></main>";
        assert_eq!(framed(page, "main").unwrap(), expected);
    }

    #[test]
    fn what_follows_something_without_an_end_stays() {
        let page = "<body><frame src=//t.example><object data=//t.example><p>Film</p><embed src=//t.example>\
                    <applet code=x>Java</applet><main>x</main>";
        assert_eq!(framed(page, "main").unwrap(), "<body><p>Film</p>Java<main><p>M</p></main>");
    }

    #[test]
    fn a_page_without_the_place_is_no_frame() {
        assert!(matches!(framed("<body><p>x", "#content"), Err(Unusable::NoSuchElement(_))));
        assert!(
            framed("<body>\u{1}consentry-main\u{1}", "#content").is_err(),
            "a mark of the page's own is none"
        );
        assert!(layout("#a[").fault().is_some() && layout("main > .a").fault().is_none());
    }
}
