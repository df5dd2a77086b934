//! Banner and settings link for pages that browsers read as XML, where there are no shadow roots in markup: well formed,
//! elements of the page itself, with their looks in attributes and without a script.

use serde_json::json;

use super::banner::Item;
use super::language::Language;
use super::{Look, Markup, Place, Shows, ascii, style, templates};
use crate::consent::signal::Signal;

impl Look {
    /// The banner, where the link waits for it to go, else the link alone; as ASCII markup.
    pub fn xml<'a>(&self, language: &Language, shows: Shows, signal: Signal, place: Place<'a>) -> Markup<'a> {
        let item = Item::Xml { shows, signal: signal.name() };
        self.fill_prepared(language, item, place, || self.prepare_xml(language, shows, signal))
    }

    fn prepare_xml(&self, language: &Language, shows: Shows, signal: Signal) -> String {
        let texts = self.texts(language);
        let [accent, background, text] = style::sound(&self.theme.light);
        let values = json!({
            "asks": shows == Shows::AfterTheBanner,
            "lang": texts.language(),
            "dir": texts.direction(),
            "asked": language.as_str(),
            "t": texts.all(),
            "own_path": self.own_path,
            "notice_path": self.notice_path,
            "controller": self.controller,
            "signal": signal.name(),
            "background": background,
            "text": text,
            "link": style::link(&accent),
            "button": style::button(&accent, &background),
        });
        // In XML a blank behind it would be text of the page.
        ascii::markup(templates::render("xml.html", &values).trim())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::look;
    use super::super::texts;
    use super::*;

    /// Whether every element is closed in its order, and those without an end tag by a slash.
    fn is_balanced(markup: &str) -> bool {
        let mut open = Vec::new();
        for tag in markup.split('<').skip(1) {
            let (tag, _) = tag.split_once('>').unwrap();
            let name = tag.split([' ', '/']).find(|word| !word.is_empty()).unwrap();
            match tag {
                tag if tag.starts_with('/') && open.pop() != Some(name) => return false,
                tag if tag.starts_with('/') || tag.ends_with('/') => {}
                _ => open.push(name),
            }
        }
        open.is_empty()
    }

    #[test]
    fn it_is_well_formed_ascii_in_every_language() {
        let place = Place { origin: "https://www.example.se", return_to: "/a?b=1&c=\"><script>]]>" };
        for language in texts::languages() {
            for shows in [Shows::Now, Shows::AfterTheBanner] {
                for signal in [Signal::Absent, Signal::GlobalPrivacyControl] {
                    let markup = look().xml(language, shows, signal, place).to_string();
                    assert!(markup.is_ascii() && is_balanced(&markup), "{language}: {markup}");
                    // XML knows five names of characters (XML 1.0, section 4.6).
                    for reference in markup.split('&').skip(1) {
                        let name = reference.split(';').next().unwrap();
                        assert!(
                            name.starts_with('#') || ["amp", "lt", "gt", "quot"].contains(&name),
                            "{language}: {name}"
                        );
                    }
                    assert!(!markup.contains("<script") && !markup.contains("{["), "{markup}");
                }
            }
        }
    }

    // COMPLIANCE C5, C6, C8, C37.
    #[test]
    fn c5_c6_c8_accept_and_reject_are_the_same_element_in_xml_too() {
        let english = Language::parse("en").unwrap();
        let banner =
            look().xml(&english, Shows::AfterTheBanner, Signal::Absent, Place::default()).to_string();
        let buttons: Vec<_> = banner.lines().filter(|line| line.contains("<button")).collect();
        assert_eq!(
            buttons[0].replace("accept-all", "reject-all").replace("Accept all", "Reject all"),
            buttons[1]
        );
    }
}
