//! Inline scripts and `noscript`: read to their end, judged, and put back untouched, held, or not at all.

use lol_html::html_content::{ContentType, TextChunk};

use super::{Embeds, Inserts, Page, Rewriter, State, locked};
use crate::filter::judge::{Judgement, judge};
use crate::services::Service;

/// What the text that comes next belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Something that is none of our business: it passes as it comes.
    Nothing,
    /// An inline script of a JavaScript type.
    Script {
        /// Whether it is a module.
        module: bool,
    },
    /// What browsers without scripts see: markup that the tokenizer takes for text.
    NoScript,
}

/// Why a text is given up: it is longer than `limits.html_token`.
#[derive(Debug, thiserror::Error)]
#[error("an inline script is larger than the limit")]
struct TooLong;

/// Takes a piece of text out of the page, and puts the whole back when its last piece is there.
pub(super) fn text(
    state: &mut State,
    chunk: &mut TextChunk<'_>,
    limit: usize,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if state.reading == Reading::Nothing {
        return Ok(());
    }
    if state.text.len().saturating_add(chunk.as_str().len()) > limit {
        return Err(TooLong.into());
    }
    state.text.push_str(chunk.as_str());
    if !chunk.last_in_text_node() {
        chunk.remove();
        return Ok(());
    }
    let whole = std::mem::take(&mut state.text);
    let put_back = match state.reading {
        Reading::Script { module } => script(state, whole, module),
        Reading::NoScript => noscript(state, &whole)?,
        Reading::Nothing => whole,
    };
    state.reading = Reading::Nothing;
    chunk.replace(&put_back, ContentType::Html);
    Ok(())
}

/// An inline script, or what stands in its place: its start tag has left already, so a held one becomes an empty
/// element, and a second one that does not run keeps the text.
fn script(state: &State, text: String, module: bool) -> String {
    let services = &state.settings.services;
    let worst = services
        .identify_script(text.as_bytes())
        .into_iter()
        .inspect(|service| state.settings.observed.saw_service(&service.id))
        .map(|service| (judge(services, service, &state.page.granted), service))
        .filter(|(judgement, _)| matches!(judgement, Judgement::Hold | Judgement::Strip))
        // Held rather than stripped: the site's own code in it comes back with agreement.
        .min_by_key(|(judgement, _)| matches!(judgement, Judgement::Strip));
    match worst {
        None => text,
        Some((Judgement::Strip, service)) => {
            tracing::debug!(site = %state.settings.site, service = %service.id, "an inline script is stripped");
            String::new()
        }
        Some((_, service)) => {
            tracing::debug!(site = %state.settings.site, service = %service.id, "an inline script is held");
            let kind = if module { " data-consentry-type=\"module\"" } else { "" };
            format!("</script><script type=\"text/plain\"{kind} {}>{text}", marks(service))
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

/// The markup inside `noscript`, in a pass of its own.
fn noscript(state: &State, text: &str) -> Result<String, super::Failure> {
    nested(state, text, state.page.embeds.clone())
}

/// Rewrites markup that stands inside of something else; nothing is inserted into it but placeholders, where
/// `embeds` says so: from a page within an attribute, forms would lead into its frame.
pub(super) fn nested(state: &State, markup: &str, embeds: Option<Embeds>) -> Result<String, super::Failure> {
    let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(markup);
    let url = state.base.as_ref().unwrap_or(&state.page.url).clone();
    let page = Page { inserts: Inserts::Nothing, embeds, url, ..state.page.clone() };
    let mut rewriter = Rewriter::new(&state.settings, page);
    locked(&rewriter.state).language.clone_from(&state.language);
    let mut out = Vec::with_capacity(bytes.len());
    rewriter.write(&bytes, &mut out)?;
    rewriter.end(&mut out)?;
    Ok(encoding_rs::WINDOWS_1252.decode_without_bom_handling(&out).0.into_owned())
}

/// Whether a script with this `type` and `language` runs (HTML section 4.12.1.1); if so, whether as a module.
pub(super) fn runs(kind: Option<&str>, language: Option<&str>) -> Option<bool> {
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
        "module" => Some(true),
        ""
        | "application/javascript"
        | "application/x-javascript"
        | "application/ecmascript"
        | "application/x-ecmascript"
        | "text/ecmascript"
        | "text/x-ecmascript"
        | "text/jscript"
        | "text/livescript"
        | "text/x-javascript" => Some(false),
        _ => essence.starts_with("text/javascript").then_some(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_javascript_types_run() {
        for (kind, language, expected) in [
            (None, None, Some(false)),
            (Some(""), None, Some(false)),
            (Some(" Text/JavaScript "), None, Some(false)),
            (Some("text/javascript1.5"), None, Some(false)),
            (Some("module"), None, Some(true)),
            (None, Some("JavaScript1.2"), Some(false)),
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
