//! Text that acts: inline scripts, styles and `noscript`, read to their end, judged, and put back untouched, held, or
//! not at all. And pages within pages.

use base64::Engine;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use lol_html::html_content::{ContentType, TextChunk, TextType};

use super::code::{self, Kind, Verdict, Why};
use super::elements::Lookup;
use super::unjudged::Reason;
use super::verdicts::{self, Judged};
use super::{Inserts, Page, Rewriter, State, Syntax, anonymize, references, stubs};
use crate::filter::judge::Judgement;
use crate::services::{Service, Set};

/// What the text that comes next belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Something that is none of our business: it passes as it comes.
    Nothing,
    /// An inline script of a JavaScript type.
    Script {
        /// How browsers read it.
        kind: Kind,
    },
    /// Style rules.
    Style,
    /// What browsers without scripts see: markup that the tokenizer takes for text.
    NoScript,
    /// What is given up: it goes.
    Dropped,
}

/// What is left of a page within the page.
pub(super) enum Kept {
    /// All of it.
    Whole,
    /// It was changed to this.
    Changed(String),
    /// It cannot be judged.
    Nothing(Reason),
}

/// Takes a piece of text out of the page, and puts the whole back when its last piece is there.
pub(super) fn text(state: &mut State, chunk: &mut TextChunk<'_>, limit: usize) -> super::elements::Outcome {
    match state.reading {
        Reading::Nothing => return Ok(()),
        Reading::Dropped => {
            chunk.remove();
            if chunk.last_in_text_node() && !state.is_in_pieces {
                state.reading = Reading::Nothing;
            }
            return Ok(());
        }
        Reading::Script { .. } | Reading::Style | Reading::NoScript => {}
    }
    state.is_cdata = chunk.text_type() == TextType::CDataSection;
    state.text.push_str(chunk.as_str());
    if !chunk.last_in_text_node() && state.text.len() <= limit {
        chunk.remove();
        return Ok(());
    }
    let whole = std::mem::take(&mut state.text);
    if chunk.last_in_text_node() {
        let put_back = put_back(state, whole)?;
        if !state.is_in_pieces {
            state.reading = Reading::Nothing;
        }
        chunk.replace(&put_back, ContentType::Html);
    } else {
        let put_back = too_long(state, whole);
        chunk.replace(&put_back, ContentType::Html);
    }
    Ok(())
}

pub(super) fn put_back(state: &mut State, whole: String) -> Result<String, super::Failure> {
    match state.reading {
        Reading::Script { kind } => Ok(script(state, whole, kind)),
        Reading::Style => Ok(style(state, whole)),
        Reading::NoScript => Ok(match nested(state, &whole, state.page.clone())? {
            Kept::Whole => whole,
            Kept::Changed(rewritten) => rewritten,
            Kept::Nothing(_) => String::new(),
        }),
        Reading::Nothing | Reading::Dropped => Ok(whole),
    }
}

/// What stands in the place of the beginning of a text that is longer than may be kept, and who reads the rest.
fn too_long(state: &mut State, beginning: String) -> String {
    match state.reading {
        Reading::Style => {
            // Rule by rule: what has not ended waits for its end.
            let end = beginning.rfind('}').map_or(beginning.len(), |end| end + 1);
            let (rules, rest) = beginning.split_at(end);
            let rules = style(state, rules.to_owned());
            state.text = rest.to_owned();
            rules
        }
        Reading::NoScript => {
            if state.page.granted.is_all() {
                state.reading = Reading::Nothing;
                return beginning;
            }
            state.unjudged.note(Reason::TooLong);
            state.reading = Reading::Dropped;
            String::new()
        }
        Reading::Script { .. } | Reading::Nothing | Reading::Dropped => {
            state.reading = Reading::Nothing;
            if state.page.granted.is_all() {
                return beginning;
            }
            state.unjudged.note(Reason::TooLong);
            let marks = format!(
                "data-consentry-reason=\"{}\" data-consentry-category=\"{}\"",
                Reason::TooLong.as_str(),
                Reason::CATEGORY
            );
            format!("</script><script type=\"text/plain\" {marks}>{beginning}")
        }
    }
}

/// An inline script, or what stands in its place: its start tag has left already, so a held one becomes an empty
/// element, and a second one that does not run keeps the text.
fn script(state: &mut State, text: String, kind: Kind) -> String {
    let settings = std::sync::Arc::clone(&state.settings);
    let syntax = state.page.syntax;
    let (decoded, kind_read) = match (state.is_in_pieces, state.is_cdata) {
        // SVG has references in its scripts, and a piece of one is no script.
        (true, false) => (Some(references::decode(&text)), Kind::Module),
        (true, true) => (None, Kind::Module),
        (false, _) => (syntax.read(&text), kind),
    };
    let read = decoded.as_deref().unwrap_or(&text);
    let Judged { found, verdict } = verdicts::on(state, &settings.services, read, kind_read);
    if found.is_empty() {
        return syntax.written(anonymize::told(state, read)) + &text;
    }
    let stubs = if state.is_in_pieces {
        String::new()
    } else {
        stubs::of(state, found.into_iter().map(|(_, service)| service))
    };
    let (service, runs, held, why) = match verdict {
        Verdict::Runs => return syntax.written(stubs + &anonymize::told(state, read)) + &text,
        Verdict::Held(found, why) => (found, syntax.written(stubs), text, Some(why)),
        Verdict::Parted { service, runs, held } => {
            (service, syntax.written(stubs + &runs), syntax.written(held), None)
        }
    };
    let (judgement, service) = service;
    tracing::debug!(site = %settings.site, service = %service.id, ?why, "an inline script is held");
    match why {
        Some(Why::Unreadable) if kind == Kind::Classic => state.unjudged.note(Reason::UnreadableScript),
        Some(Why::Entangled) => state.unjudged.note(Reason::EntangledScript),
        _ => {}
    }
    state.held_for.get_or_insert_with(|| service.id.clone());
    if judgement == Judgement::Strip {
        return runs;
    }
    let kind = if kind == Kind::Module { " data-consentry-type=\"module\"" } else { "" };
    let (end, start) = if state.is_cdata { ("]]>", "<![CDATA[") } else { ("", "") };
    format!("{runs}{end}</script><script type=\"text/plain\"{kind} {}>{start}{held}", marks(service))
}

/// Style rules without the addresses that may not be loaded; a comment says whose they were.
fn style(state: &mut State, text: String) -> String {
    // SVG has references in its styles, as XML has.
    let syntax = match (state.is_in_pieces, state.is_cdata) {
        (true, false) => Syntax::Xml,
        (true, true) => Syntax::Html,
        (false, _) => state.page.syntax,
    };
    let decoded = syntax.read(&text);
    let read = decoded.as_deref().unwrap_or(&text);
    if super::css::is_harmless(read.as_bytes()) {
        return text;
    }
    let settings = std::sync::Arc::clone(&state.settings);
    let lookup = Lookup { state, services: &settings.services };
    match lookup.style(read, "/* held: ID */") {
        None => text,
        Some(((_, service), changed)) => {
            state.held_for.get_or_insert_with(|| service.id.clone());
            syntax.written(changed)
        }
    }
}

/// The attributes that mark a held element (CONTRACT: markup).
pub(super) fn marks(service: &Service) -> String {
    // Ids of a site's own services are words that the settings have checked.
    format!(
        "data-consentry-service=\"{}\" data-consentry-category=\"{}\"",
        service.id.replace('"', "&quot;"),
        service.category
    )
}

/// A script element of ours; `text` must be fit to stand in one.
pub(super) fn own(kind: &str, text: &str, page: &Page) -> String {
    let nonce = page.nonce.as_ref().map(|nonce| format!(" nonce=\"{}\"", nonce.replace('"', "&quot;")));
    let (namespace, text) = (page.syntax.namespace(), page.syntax.script(text));
    format!("<script{namespace} data-consentry=\"{kind}\"{}>{text}</script>", nonce.unwrap_or_default())
}

/// Markup that stands inside of something else, read as `page` says; nothing is inserted into it but placeholders, where
/// that has `embeds`: from a page within an attribute, forms would lead into its frame.
pub(super) fn nested(state: &mut State, markup: &str, page: Page) -> Result<Kept, super::Failure> {
    /// Nobody writes pages deeper within pages; the stack has its end.
    const DEEPEST: u8 = 8;
    if state.depth >= DEEPEST {
        state.unjudged.note(Reason::TooDeep);
        return Ok(Kept::Nothing(Reason::TooDeep));
    }
    let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(markup);
    let page = Page { inserts: Inserts::Nothing, ..page };
    let mut rewriter = Rewriter::within(state, page);
    let mut out = Vec::with_capacity(bytes.len());
    rewriter.write(&bytes, &mut out)?;
    rewriter.end(&mut out)?;
    let inner = rewriter.findings();
    state.unjudged.add(&inner.unjudged);
    if let Some(id) = inner.held_for {
        state.held_for.get_or_insert(id);
    }
    if *out == *bytes {
        return Ok(Kept::Whole);
    }
    Ok(Kept::Changed(encoding_rs::WINDOWS_1252.decode_without_bom_handling(&out).0.into_owned()))
}

/// The service that a page or script loads which stands in an address itself (`data:`, `javascript:`).
pub(super) fn document<'s>(
    state: &mut State,
    services: &'s Set,
    address: &str,
) -> Option<Result<(Judgement, &'s Service), Reason>> {
    let address: String = address
        .trim_start_matches(|letter: char| letter <= ' ')
        .chars()
        .filter(|letter| !matches!(letter, '\t' | '\n' | '\r'))
        .collect();
    let (scheme, rest) = address.split_once(':')?;
    match scheme.to_ascii_lowercase().as_str() {
        "javascript" => {
            let code = percent_encoding::percent_decode_str(rest).decode_utf8_lossy();
            code::judge_handler(&code, &Lookup { state, services }).map(Ok)
        }
        "data" => data(state, services, rest),
        _ => None,
    }
}

fn data<'s>(
    state: &mut State,
    services: &'s Set,
    rest: &str,
) -> Option<Result<(Judgement, &'s Service), Reason>> {
    let (kind, content) = rest.split_once(',')?;
    let kind = kind.to_ascii_lowercase();
    let bytes: Vec<u8> = percent_encoding::percent_decode_str(content).collect();
    let bytes = if kind.trim_end().ends_with("base64") {
        match FORGIVING
            .decode(bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<_>>())
        {
            Ok(bytes) => bytes,
            Err(_) => return Some(Err(unreadable(state))),
        }
    } else {
        bytes
    };
    let text = encoding_rs::WINDOWS_1252.decode_without_bom_handling(&bytes).0.into_owned();
    if kind.contains("html") || kind.contains("xml") {
        let syntax = if kind.contains("xml") { Syntax::Xml } else { Syntax::Html };
        let page = Page { syntax, embeds: None, ..state.page.clone() };
        return match nested(state, &text, page) {
            Ok(Kept::Whole) => None,
            Ok(Kept::Changed(_)) => {
                let id = state.held_for.clone()?;
                let service = services.find(&id)?;
                Some(Ok((crate::filter::judge::judge(services, service, &state.page.granted), service)))
            }
            Ok(Kept::Nothing(reason)) => Some(Err(reason)),
            Err(_) => Some(Err(unreadable(state))),
        };
    }
    match code::judge(&text, Kind::Classic, &Lookup { state, services }) {
        Verdict::Runs => None,
        Verdict::Held(found, _) | Verdict::Parted { service: found, .. } => Some(Ok(found)),
    }
}

fn unreadable(state: &mut State) -> Reason {
    state.unjudged.note(Reason::UnreadableData);
    Reason::UnreadableData
}

/// Browsers forgive missing and superfluous ends (WHATWG Infra, forgiving-base64).
const FORGIVING: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// How a script with this `type` and `language` runs (HTML section 4.12.1.1), if it does.
pub(super) fn runs(kind: Option<&str>, language: Option<&str>) -> Option<Kind> {
    let kind = match (kind, language) {
        (Some(kind), _) => kind.trim().to_ascii_lowercase(),
        (None, Some(language)) if !language.trim().is_empty() => {
            format!("text/{}", language.trim().to_ascii_lowercase())
        }
        (None, _) => String::new(),
    };
    // Browsers take the essence of the type; `text/javascript; charset=utf-8` does not run in them, but did once.
    let essence = kind.split(';').next().unwrap_or_default().trim();
    match essence {
        "module" => Some(Kind::Module),
        ""
        | "application/javascript"
        | "application/x-javascript"
        | "application/ecmascript"
        | "application/x-ecmascript"
        | "text/ecmascript"
        | "text/x-ecmascript"
        | "text/jscript"
        | "text/livescript"
        | "text/x-javascript" => Some(Kind::Classic),
        _ => essence.starts_with("text/javascript").then_some(Kind::Classic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_javascript_types_run() {
        for (kind, language, expected) in [
            (None, None, Some(Kind::Classic)),
            (Some(""), None, Some(Kind::Classic)),
            (Some(" Text/JavaScript "), None, Some(Kind::Classic)),
            (Some("text/javascript1.5"), None, Some(Kind::Classic)),
            (Some("module"), None, Some(Kind::Module)),
            (None, Some("JavaScript1.2"), Some(Kind::Classic)),
            (Some("application/ld+json"), None, None),
            (Some("application/json"), None, None),
            (Some("text/template"), None, None),
            (Some("importmap"), None, None),
            (Some("text/plain"), Some("javascript"), None),
            (None, Some("vbscript"), None),
        ] {
            assert_eq!(runs(kind, language), expected, "{kind:?} {language:?}");
        }
    }
}
