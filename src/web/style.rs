//! The looks of the banner: colours, letters, corners, and where it stands.

use std::sync::Arc;

use super::{Position, ascii, contrast};

/// How a site's banner looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Its colours.
    pub light: Colours,
    /// Its colours for visitors who want it dark; none: the same.
    pub dark: Option<Colours>,
    /// How round its corners are, in pixels.
    pub radius: u8,
    /// Its letters.
    pub font: Font,
    /// The picture above its text.
    pub logo: Option<Logo>,
}

/// Colours, as `#rgb` or `#rrggbb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Colours {
    /// Buttons and links.
    pub accent: Box<str>,
    /// The ground.
    pub background: Box<str>,
    /// The letters.
    pub text: Box<str>,
}

/// The letters of the banner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Font {
    /// Those of the visitor's system.
    #[default]
    System,
    /// Those of the page.
    Inherit,
    /// Families as CSS lists them; letters, digits, blanks, commas, hyphens and quotes.
    Given(Box<str>),
}

/// A picture of the operator's, which the proxy serves itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logo {
    /// Its name below `assets/`; it changes with what is in it.
    pub name: Box<str>,
    /// Its media type.
    pub media_type: &'static str,
    /// What is in it.
    pub bytes: Arc<[u8]>,
}

impl Default for Theme {
    fn default() -> Self {
        Theme {
            light: Colours::default(),
            dark: Some(Colours::dark()),
            radius: 8,
            font: Font::System,
            logo: None,
        }
    }
}

impl Default for Colours {
    fn default() -> Self {
        Colours { accent: "#0b57d0".into(), background: "#ffffff".into(), text: "#1f1f1f".into() }
    }
}

impl Colours {
    /// The default colours on dark ground.
    pub fn dark() -> Self {
        Colours { accent: "#8ab4f8".into(), background: "#1f1f1f".into(), text: "#e3e3e3".into() }
    }
}

const SYSTEM: &str = "system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\",Arial,sans-serif";

/// The text of the banner's style element.
pub(super) fn banner(theme: &Theme, position: Position) -> String {
    let radius = format!("{}px", theme.radius);
    let (place, corners) = match position {
        Position::Bottom => ("inset:auto 0 0!important;", format!("{radius} {radius} 0 0")),
        Position::Top => ("inset:0 0 auto!important;", format!("0 0 {radius} {radius}")),
        Position::Center => (
            "inset:0!important;margin:auto!important;height:fit-content!important;width:min(40em,calc(100vw - 2em))!important;",
            radius.clone(),
        ),
    };
    // In the wide the banner is a card, with the buttons beside the text, unless it is a narrow box.
    let wide = match position {
        Position::Bottom => {
            format!(":host{{inset:auto .5em .5em!important;{CARD}}}section{{border-radius:{radius}}}{BESIDE}")
        }
        Position::Top => {
            format!(":host{{inset:.5em .5em auto!important;{CARD}}}section{{border-radius:{radius}}}{BESIDE}")
        }
        Position::Center => "form{padding:1.5em}".to_owned(),
    };
    let dark = theme.dark.as_ref().map(|dark| {
        format!(
            "@media(prefers-color-scheme:dark){{:host{{{};color-scheme:{}!important}}}}",
            colours(dark),
            scheme(dark)
        )
    });
    let font = match &theme.font {
        Font::System => SYSTEM,
        Font::Inherit => "inherit",
        Font::Given(families) => families,
    };
    ascii::squeeze(include_str!("banner.css"), "")
        .replace("$place", place)
        .replace("$wide", &wide)
        .replace("$dark", &dark.unwrap_or_default())
        .replace("$colours", &colours(&theme.light))
        .replace("$scheme", scheme(&theme.light))
        .replace("$corners", &corners)
        .replace("$radius", &radius)
        .replace("$font", font)
}

const CARD: &str = "max-width:72em!important;margin:auto!important";
const BESIDE: &str = "form{flex-direction:row;align-items:center;gap:2em;padding:1.25em 1.5em}form:has(.layer[open]){align-items:end}.text{flex:1;max-height:calc(92vh - 4em)}.choose{grid-template-columns:1fr;min-width:14em}";

/// Colours as properties of the host; what is no colour never gets into a style element.
fn colours(colours: &Colours) -> String {
    let [accent, background, text] = sound(colours);
    format!("--cy-a:{accent}!important;--cy-b:{background}!important;--cy-t:{text}!important")
}

/// Accent, background and text, each the standard one where it is none.
pub(super) fn sound(colours: &Colours) -> [Box<str>; 3] {
    let standard = Colours::default();
    let sound =
        |colour: &str, standard: Box<str>| contrast(colour, colour).map_or(standard, |_| colour.into());
    [
        sound(&colours.accent, standard.accent),
        sound(&colours.background, standard.background),
        sound(&colours.text, standard.text),
    ]
}

/// A link in a page that is XML, as its `style`.
pub(super) fn link(accent: &str) -> String {
    format!("display:inline-block;min-height:24px;margin:0 1em 0 0;color:{accent};text-decoration:underline")
}

/// A button in a page that is XML, as its `style`: each like the other.
pub(super) fn button(accent: &str, background: &str) -> String {
    format!(
        "font:inherit;font-weight:600;vertical-align:top;width:13em;max-width:100%;min-height:44px;margin:0 .75em .5em 0;padding:.375em 1em;\
         border:2px solid {accent};border-radius:8px;background:{accent};color:{background};cursor:pointer"
    )
}

/// Whether controls of the browser's own are drawn for light or for dark ground.
fn scheme(colours: &Colours) -> &'static str {
    let against = |other| contrast(&colours.background, other).unwrap_or_default();
    if against("#000") >= against("#fff") { "light" } else { "dark" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_colour_does_not_reach_the_style() {
        let light = Colours { accent: "red}</style><script>".into(), ..Colours::default() };
        let style = banner(&Theme { light, ..Theme::default() }, Position::Center);
        assert!(!style.contains("script") && style.contains("#0b57d0"));
    }

    #[test]
    fn every_place_is_filled_in_every_position() {
        for position in [Position::Bottom, Position::Center, Position::Top] {
            for font in [Font::System, Font::Inherit, Font::Given("Georgia,serif".into())] {
                let style = banner(&Theme { font, ..Theme::default() }, position);
                assert!(style.is_ascii() && !style.contains(['$', '<']), "{style}");
            }
        }
    }

    #[test]
    fn both_themes_of_ours_have_contrast_enough() {
        for colours in [Colours::default(), Colours::dark()] {
            for colour in [&colours.accent, &colours.text] {
                assert!(contrast(colour, &colours.background).unwrap() >= 4.5);
            }
        }
    }

    #[test]
    fn controls_are_drawn_for_the_ground_they_stand_on() {
        assert_eq!([Colours::default(), Colours::dark()].map(|colours| scheme(&colours)), ["light", "dark"]);
    }
}
