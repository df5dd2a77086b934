//! What reaches the browser: guard, banner, page templates, and the texts of each language.
//!
//! Everything that is put into a page of an upstream is ASCII, words as character references: the page's
//! character set is then of no importance.

mod ascii;
mod banner;
mod contrast;
mod embed;
mod grammar;
pub mod guard;
pub mod language;
mod note;
mod pack;
pub mod page;
pub mod preview;
pub mod shown;
mod style;
pub(crate) mod templates;
pub mod texts;
pub mod worker;
mod xml;

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

pub use banner::{Asking, FIXED, Markup, Part, Place, Prepared, Shows};
pub use contrast::contrast;
pub use embed::{Embed, Offer, embed_frame_policy, embed_script, embed_script_name};
use language::{Language, Wishes};
pub use note::Note;
pub use style::{Colours, Font, Logo, Theme};
use texts::Texts;

/// How one site's banner and pages look and what they say.
#[derive(Clone, Debug)]
pub struct Look {
    /// The site's languages; the first is the fallback. Never empty.
    pub languages: Vec<Language>,
    /// The controller's name, as banner and pages show it.
    pub controller: Box<str>,
    /// Where the privacy document is published; none while there is none.
    pub notice_path: Option<Box<str>>,
    /// Where the proxy's own pages live, with a slash at both ends.
    pub own_path: Box<str>,
    /// Where the banner stands.
    pub position: Position,
    /// Its colours, letters and corners.
    pub theme: Theme,
    /// Texts of the site's own, by language and key; they win over the built-in ones.
    pub texts: HashMap<Language, HashMap<Box<str>, Box<str>>>,
    /// What is prepared when it is first asked for; begins as [`Prepared::default`].
    pub prepared: Prepared,
}

/// Where the banner stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// At the lower edge.
    #[default]
    Bottom,
    /// In the middle of the window.
    Center,
    /// At the upper edge.
    Top,
}

/// The name of an asset below `assets/`, which changes with its content.
fn asset_name(name: &str, content: &str, kind: &str) -> String {
    let hash = Sha256::digest(content.as_bytes());
    let hash: String = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{name}.{hash}.{kind}")
}

/// The hash of a text, as `integrity` and policies write it (Subresource Integrity, section 3.1).
pub fn integrity(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

impl Look {
    /// The site's language that meets a visitor's wishes best; its first where none does.
    pub fn language(&self, wishes: &Wishes) -> &Language {
        let chosen = wishes.choose(self.languages.iter()).or(self.languages.first());
        chosen.expect("a site speaks at least one language")
    }

    /// What banner and pages say in one language: the built-in texts, and the site's own over them.
    pub fn texts<'a>(&'a self, language: &'a Language) -> Texts<'a> {
        Texts::new(language, self.texts.get(language))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A look for tests, with Swedish, English and a language that has no built-in texts.
    pub(crate) fn look() -> Look {
        Look {
            languages: ["sv", "en", "vo"].map(|tag| Language::parse(tag).unwrap()).to_vec(),
            controller: "Exempelbyrån AB".into(),
            notice_path: Some("/privacy".into()),
            own_path: "/_consent/".into(),
            position: Position::Bottom,
            theme: Theme::default(),
            texts: HashMap::new(),
            prepared: Prepared::default(),
        }
    }
}
