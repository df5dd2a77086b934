//! How banner and pages look, what they say, and how long they take no for an answer.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::documents::{Documents, check_language};
use super::{Scope, at, looked_for};
use crate::config::decode::nearest;
use crate::config::raw::site::Site;
use crate::config::raw::words::Colour;
use crate::config::tree::Step;
use crate::site::Lifetime;
use crate::web::language::Language;
use crate::web::{Colours, Logo, Look, Theme, contrast};

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
    let (standard, written) = (Theme::default(), &raw.banner.theme);
    let or = |colour: &Option<Colour>, standard: &str| {
        colour.as_ref().map_or_else(|| standard.into(), |colour| colour.0.clone())
    };
    let light = Colours {
        accent: or(&written.accent, &standard.light.accent),
        background: or(&written.background, &standard.light.background),
        text: or(&written.text, &standard.light.text),
    };
    let own_dark = written.dark.as_ref().map(|dark| Colours {
        accent: dark.accent.0.clone(),
        background: dark.background.0.clone(),
        text: dark.text.0.clone(),
    });
    check_contrast(scope, &[Step::Key("banner"), Step::Key("theme")], &light);
    if let Some(dark) = &own_dark {
        check_contrast(scope, &[Step::Key("banner"), Step::Key("theme"), Step::Key("dark")], dark);
    }
    // Our own dark colours beside others' light ones would be nobody's theme.
    let dark = own_dark.or(standard.dark.filter(|_| light == standard.light));
    Theme {
        light,
        dark,
        radius: written.radius.map_or(standard.radius, |radius| radius.0),
        font: written.font.as_ref().map_or(standard.font, |font| font.0.clone()),
        logo: written.logo.as_deref().and_then(|name| logo(scope, name)),
    }
}

/// Text and buttons must be readable, and what has the focus be seen (WCAG 2.2, 1.4.3, 1.4.11 and 2.4.13).
fn check_contrast(scope: &mut Scope<'_>, path: &[Step<'_>], colours: &Colours) {
    for (key, colour) in [("text", &colours.text), ("accent", &colours.accent)] {
        // What is no colour has been reported where it was read.
        let contrast = contrast(colour, &colours.background).unwrap_or(f32::MAX);
        if contrast < 4.5 {
            let message = format!(
                "`{key}` {colour} on `background` {} has a contrast of {contrast:.2}, hard to read for many",
                colours.background
            );
            let mut path = path.to_vec();
            // Where the colour itself is not written, its counterpart is.
            path.push(Step::Key(key));
            if scope.tree.find(&path).is_none() {
                path.pop();
                path.push(Step::Key("background"));
            }
            scope.error(&path, message, "choose colours with 4.5 at least (WCAG 2.2, 1.4.3)");
        }
    }
}

/// The most that a logo may weigh.
const MOST_LOGO: usize = 64 << 10;

fn logo(scope: &mut Scope<'_>, name: &str) -> Option<Logo> {
    const KINDS: [(&str, &str, &[u8]); 5] = [
        ("svg", "image/svg+xml", b"<"),
        ("png", "image/png", b"\x89PNG"),
        ("jpg", "image/jpeg", b"\xff\xd8"),
        ("jpeg", "image/jpeg", b"\xff\xd8"),
        ("webp", "image/webp", b"RIFF"),
    ];
    let place = at!["banner", "theme", "logo"];
    let file = scope.locate(place, name);
    let bytes = match scope.files.read_bytes(&file) {
        Ok(bytes) => bytes,
        Err(error) => {
            scope.error(place, format!("the file `{name}` cannot be read: {error}"), looked_for(&file));
            return None;
        }
    };
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes).trim_ascii_start();
    let kind = KINDS
        .iter()
        .find(|(known, _, start)| extension.eq_ignore_ascii_case(known) && text.starts_with(start));
    let Some((extension, media_type, _)) = kind else {
        let help = "save it as SVG, PNG, JPEG or WebP, with the ending that goes with it";
        scope.error(place, format!("`{name}` is no picture that every browser shows"), help);
        return None;
    };
    if bytes.len() > MOST_LOGO {
        let message = format!("`{name}` weighs {} bytes", bytes.len());
        scope.error(place, message, "make it 64KiB at most: every new visitor waits for it");
        return None;
    }
    let hash: String = Sha256::digest(&bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Some(Logo { name: format!("logo.{hash}.{extension}").into(), media_type, bytes: bytes.into() })
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
        if !crate::web::texts::is_built_in(language) && !texts.contains_key(language) {
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
