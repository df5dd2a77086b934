//! The placeholder of an embed: says who would receive what, and lets the visitor load it. ASCII but for what the
//! page wrote itself, with a declarative shadow root, and complete without scripts.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::language::Language;
use super::texts::Texts;
use super::{Look, ascii, pack, style, templates, texts};
use crate::services::{EmbedKind, Service, catalogue_text};

static STYLE: LazyLock<String> = LazyLock::new(|| ascii::squeeze(include_str!("embed.css"), ""));

static SCRIPT: LazyLock<String> = LazyLock::new(|| pack::pack(include_str!("embed.js")));

static SCRIPT_NAME: LazyLock<String> = LazyLock::new(|| super::asset_name("embed", &SCRIPT, "js"));

const FRAME_STYLE: &str = "html,body,iframe{display:block;width:100%;height:100%;margin:0;border:0}";

static FRAME_POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(Sha256::digest(FRAME_STYLE));
    format!(
        "default-src 'none'; frame-src http: https:; style-src 'sha256-{hash}'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'self'"
    )
});

/// The script that loads embeds in their place.
pub fn embed_script() -> &'static str {
    &SCRIPT
}

/// Its name below `assets/`; it changes with every change of the script.
pub fn embed_script_name() -> &'static str {
    &SCRIPT_NAME
}

/// The Content-Security-Policy of [`Look::embed_frame`].
pub fn embed_frame_policy() -> &'static str {
    &FRAME_POLICY
}

/// One embed of a page. What the page wrote is escaped already, byte for byte as the page has it.
#[derive(Clone, Copy, Debug)]
pub struct Embed<'a> {
    /// The attributes of the element that it stands for, to be kept, with a blank before each.
    pub attributes: &'a str,
    /// What the page calls it; may be empty.
    pub title: &'a str,
    /// Where its provider shows it; none: nobody knows.
    pub link: Option<&'a str>,
    /// The element itself, held: what is loaded in its place.
    pub element: &'a str,
    /// The attributes of the script that loads embeds in their place; none: another placeholder brought it.
    pub script: Option<&'a str>,
    /// Whether and how it can be loaded.
    pub offer: Offer<'a>,
}

/// Whether and how an embed can be loaded.
#[derive(Clone, Copy, Debug)]
pub enum Offer<'a> {
    /// It cannot: the site asks nobody for anything.
    None,
    /// The form's address, and what it sends along.
    Form {
        /// The origin before the path; empty where the path alone leads to the site.
        origin: &'a str,
        /// The page, for the grant.
        page: &'a str,
        /// The embed, for the grant; none: all that the service shows on the page.
        embed: Option<&'a str>,
        /// Where the form leads back to.
        return_to: &'a str,
    },
}

impl Look {
    /// The placeholder of an embed of `service` in one language.
    pub fn embed(&self, service: &Service, language: &Language, embed: Embed<'_>) -> String {
        self.embed_as("embed.html", service, language, embed)
    }

    /// The same for a page that browsers read as XML, where there are no shadow roots in markup: elements of the page itself,
    /// with their looks in attributes and without a script.
    pub fn embed_in_xml(&self, service: &Service, language: &Language, embed: Embed<'_>) -> String {
        self.embed_as("embed.xml.html", service, language, Embed { element: "", script: None, ..embed })
    }

    fn embed_as(&self, template: &str, service: &Service, language: &Language, embed: Embed<'_>) -> String {
        let words = templates::render(template, &self.words(service, language, embed));
        let words = ascii::markup(words.trim());
        // What the page wrote has a letter for every byte, and goes in after our words have become references.
        let mut out = String::with_capacity(words.len() + 512);
        let mut rest = &*words;
        while let Some((before, (name, after))) =
            rest.split_once("{[").and_then(|(before, after)| Some((before, after.split_once("]}")?)))
        {
            out.push_str(before);
            out.push_str(&self.filled(name, embed));
            rest = after;
        }
        out.push_str(rest);
        out
    }

    /// The placeholder as it is shown, less what is one page's: what the ledger keeps of it.
    pub fn embed_words(&self, service: &Service, language: &Language) -> String {
        let offer = Offer::Form { origin: "", page: "", embed: Some(""), return_to: "" };
        self.embed(
            service,
            language,
            Embed { attributes: "", title: "", link: Some(""), element: "", script: None, offer },
        )
    }

    fn filled(&self, name: &str, embed: Embed<'_>) -> String {
        match (name, embed.offer) {
            ("attributes", _) => embed.attributes.into(),
            ("title", _) => embed.title.into(),
            ("link", _) => embed.link.unwrap_or_default().into(),
            ("element", _) if embed.element.is_empty() => String::new(),
            ("element", _) => format!("<template data-consentry=\"embed\">{}</template>", embed.element),
            ("script", Offer::Form { origin, .. }) => embed.script.map_or_else(String::new, |attributes| {
                let address = format!("{origin}{}assets/{}", self.own_path, &*SCRIPT_NAME);
                format!("<script defer src=\"{}\"{attributes}></script>", ascii::text(&address))
            }),
            ("action", Offer::Form { origin, .. }) => {
                ascii::text(&format!("{origin}{}choices", self.own_path)).into_owned()
            }
            ("fields", Offer::Form { page, embed, return_to, .. }) => {
                let field = |name, value: &str| {
                    format!("<input type=\"hidden\" name=\"{name}\" value=\"{}\" />", ascii::text(value))
                };
                let embed = embed.map(|embed| field("embed", embed)).unwrap_or_default();
                format!("{}{embed}{}", field("page", page), field("return", return_to))
            }
            _ => String::new(),
        }
    }

    /// The page around an embed that was agreed to.
    pub fn embed_frame(language: &Language, address: &url::Url, title: &str) -> String {
        let values = json!({
            "lang": language.as_str(),
            "dir": texts::direction(language.as_str()),
            "style": FRAME_STYLE,
            "address": address.as_str(),
            "title": title,
        });
        templates::render("frame.html", &values)
    }

    /// The text of a placeholder's only style element, the same for every site.
    pub fn embed_style() -> &'static str {
        &STYLE
    }

    fn words(&self, service: &Service, language: &Language, embed: Embed<'_>) -> Value {
        let texts = self.texts(language);
        let named = [("service", &*service.name)];
        let (purpose, lang) = catalogue_text(&service.purpose, texts.language());
        let around = texts.fill("embed_purpose", &[("category", texts.get(service.category.as_str()))]);
        let (before, after) = around.split_once("{purpose}").unwrap_or((&around, ""));
        let (asks, is_single) = match embed.offer {
            Offer::None => (false, true),
            Offer::Form { embed, .. } => (true, embed.is_some()),
        };
        let provider = receiver(service, &texts);
        let why = if asks { "embed_why" } else { "embed_unavailable" };
        let [accent, background, text] = style::sound(&self.theme.light);
        json!({
            "lang": texts.language(),
            "dir": texts.direction(),
            "asked": language.as_str(),
            "style": Look::embed_style(),
            "box": format!(
                "display:block;box-sizing:border-box;min-height:100%;max-width:40em;margin:0 auto;padding:1em;\
                 border:1px solid {text};background:{background};color:{text};font:14px/1.4 system-ui,sans-serif;text-align:start"
            ),
            "line": "display:block;margin:0 0 .375em",
            "button": style::button(&accent, &background),
            "link": style::link(&accent),
            "service": service.id,
            "category": service.category.as_str(),
            "what": texts.fill("embed_from", &[("kind", texts.get(kind(service))), ("service", &service.name)]),
            "why": texts.fill(why, &[("provider", &provider)]),
            "purpose": {
                "before": before,
                "text": purpose,
                "lang": lang.map(|lang| format!(" lang=\"{lang}\" dir=\"ltr\"")).unwrap_or_default(),
                "after": after,
            },
            "asks": asks,
            "has_link": embed.link.is_some(),
            "once": texts.get(if is_single { "embed_once" } else { "embed_page_once" }),
            "always": texts.fill("embed_always", &named),
            "open": texts.fill("embed_open", &named),
        })
    }
}

fn kind(service: &Service) -> &'static str {
    match service.embed.as_ref().map(|embed| embed.kind) {
        Some(EmbedKind::Video) => "embed_video",
        Some(EmbedKind::Audio) => "embed_audio",
        Some(EmbedKind::Map) => "embed_map",
        Some(EmbedKind::Post) => "embed_post",
        Some(EmbedKind::Comments) => "embed_comments",
        Some(EmbedKind::Chat) => "embed_chat",
        Some(EmbedKind::Form) => "embed_form",
        Some(EmbedKind::Other) | None => "embed_other",
    }
}

/// Who would learn of the visit, and from where.
fn receiver(service: &Service, texts: &Texts<'_>) -> String {
    let provider = if service.provider.is_empty() { &service.name } else { &service.provider };
    if service.country.is_empty() {
        return provider.to_string();
    }
    format!("{provider} ({})", texts.country(&service.country))
}

#[cfg(test)]
mod tests {
    use super::super::tests::look;
    use super::*;
    use crate::services::Set;

    // COMPLIANCE C41.
    #[test]
    fn c41_a_purpose_that_is_not_told_in_the_language_of_the_page_is_marked() {
        let set = Set::default();
        let youtube = set.find("youtube").unwrap();
        for (tag, is_marked) in [("sv", false), ("en", false), ("vo", false), ("de", true), ("ar", true)] {
            let language = Language::parse(tag).unwrap();
            let words = look().embed_words(youtube, &language);
            assert_eq!(words.contains("<span lang=\"en\" dir=\"ltr\">"), is_marked, "{tag}: {words}");
            assert!(!words.contains("{purpose}") && words.contains("<span"), "{tag}: {words}");
        }
    }
}
