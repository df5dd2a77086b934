//! How banner and pages look, what they say, and how long they take no for an answer.

use std::collections::HashMap;
use std::time::Duration;

use super::documents::{Documents, check_language};
use super::{Scope, at};
use crate::config::decode::nearest;
use crate::config::raw::site::Site;
use crate::config::tree::Step;
use crate::site::Lifetime;
use crate::web::language::Language;
use crate::web::{Look, Theme, contrast};

const DAY: Duration = Duration::from_secs(86_400);
/// Refusals are remembered at least as long (CNIL 2020-092 calls six months good practice).
const LEAST_REFUSED: Duration = Duration::from_secs(180 * 86_400);
/// Agreement is renewed at least as often.
const MOST_AGREED: Duration = Duration::from_secs(365 * 86_400);
/// Browsers keep no cookie longer than 400 days (RFC 6265bis).
const MOST_REFUSED: Duration = Duration::from_secs(400 * 86_400);

/// Resolves `banner`, but for what the filters need of it.
pub(super) fn resolve(
    scope: &mut Scope<'_>,
    raw: &Site,
    languages: &[Language],
    controller: &str,
    own_path: &str,
    documents: &Documents,
) -> Look {
    let notice = documents.privacy.as_deref().and_then(|id| documents.shelf.find(id));
    Look {
        languages: languages.to_vec(),
        controller: controller.into(),
        notice_path: notice
            .filter(|document| !document.texts.is_empty())
            .map(|document| document.path.as_str().into()),
        own_path: own_path.into(),
        position: raw.banner.position,
        theme: theme(scope, raw),
        texts: texts(scope, raw, languages),
        prepared: Default::default(),
    }
}

fn theme(scope: &mut Scope<'_>, raw: &Site) -> Theme {
    let Theme { accent, background, text } = Theme::default();
    let written = &raw.banner.theme;
    let theme = Theme {
        accent: written.accent.as_ref().map_or(accent, |colour| colour.0.clone()),
        background: written.background.as_ref().map_or(background, |colour| colour.0.clone()),
        text: written.text.as_ref().map_or(text, |colour| colour.0.clone()),
    };
    for (key, colour) in [("text", &theme.text), ("accent", &theme.accent)] {
        // What is no colour has been reported where it was read.
        let contrast = contrast(colour, &theme.background).unwrap_or(f32::MAX);
        if contrast < 4.5 {
            let message = format!(
                "`{key}` {colour} on `background` {} has a contrast of {contrast:.2}, hard to read for many",
                theme.background
            );
            scope.warn(
                at!["banner", "theme", key],
                message,
                "choose colours with 4.5 at least (WCAG 2.2, 1.4.3)",
            );
        }
    }
    theme
}

type Texts = HashMap<Language, HashMap<Box<str>, Box<str>>>;

fn texts(scope: &mut Scope<'_>, raw: &Site, languages: &[Language]) -> Texts {
    let mut texts = Texts::new();
    for (tag, written) in &raw.banner.texts.0 {
        check_language(scope, at!["banner", "texts", tag.as_str()], tag, languages);
        for (key, _) in written.0.iter().filter(|(key, _)| !crate::web::texts::is_known(key)) {
            let known: Vec<_> = crate::web::texts::keys().collect();
            let help = match nearest(key, &known) {
                Some(known) => format!("the nearest is `{known}`"),
                None => format!("the texts are {}", known.join(", ")),
            };
            let message = format!("there is no text `{key}`");
            scope.error_key(at!["banner", "texts", tag.as_str(), key.as_str()], message, help);
        }
        if let Ok(language) = Language::parse(tag) {
            let written = written.0.iter().map(|(key, text)| (key.as_str().into(), text.0.clone()));
            texts.entry(language).or_default().extend(written);
        }
    }
    for (index, language) in languages.iter().enumerate() {
        let primary = language.as_str().split('-').next();
        let is_built_in = crate::web::texts::languages().any(|known| primary == Some(known.as_str()));
        if !is_built_in && !texts.contains_key(language) {
            let message = format!("banner and pages have no texts in `{language}`: they speak English");
            let help = format!("write them in `banner: {{ texts: {{ {language}: … }} }}`");
            scope.warn(at!["languages", index], message, help);
        }
    }
    texts
}

/// Resolves `banner.lifetime`.
pub(super) fn lifetime(scope: &mut Scope<'_>, raw: &Site) -> Lifetime {
    let written = &raw.banner.lifetime;
    let agreed = written.agreed.map_or(LEAST_REFUSED, |time| time.0);
    let refused = written.refused.map_or(LEAST_REFUSED, |time| time.0);
    let mut check = |key: &str, is_right: bool, message: &str, help: &str| {
        if !is_right {
            scope.error(&[Step::Key("banner"), Step::Key("lifetime"), Step::Key(key)], message, help);
        }
    };
    check("agreed", agreed <= MOST_AGREED, "agreement cannot stand longer than a year", "write 365d or less");
    check(
        "agreed",
        agreed >= DAY,
        "visitors would be asked again and again",
        "write 1d at least, such as 180d",
    );
    check(
        "refused",
        refused >= LEAST_REFUSED,
        "those who refused would be asked too soon",
        "write 180d or more",
    );
    check("refused", refused <= MOST_REFUSED, "browsers keep no cookie so long", "write 400d or less");
    Lifetime { agreed, refused }
}
