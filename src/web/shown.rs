//! A text as it was shown, made so that it can be read again on another page: every word stays, and nothing acts.

use std::sync::LazyLock;

use ammonia::Builder;

/// Elements that a banner, a form or a document is made of, beside those that ammonia lets through.
const ELEMENTS: [&str; 6] = ["button", "fieldset", "input", "label", "legend", "section"];

static SANITIZER: LazyLock<Builder<'static>> = LazyLock::new(|| {
    let mut sanitizer = Builder::default();
    sanitizer.add_tags(ELEMENTS);
    sanitizer.add_generic_attributes(["dir"]);
    sanitizer.add_tag_attributes("details", ["open"]);
    sanitizer.add_tag_attribute_values("input", "type", ["checkbox", "hidden"]);
    sanitizer.set_tag_attribute_value("input", "disabled", "");
    sanitizer.set_tag_attribute_value("button", "disabled", "");
    // What could be opened is: nobody should have to look for what they were shown.
    sanitizer.set_tag_attribute_value("details", "open", "");
    allow_tables(&mut sanitizer);
    sanitizer
});

/// Lets through what the tables of documents are made of. Narrow windows show them as lists; the roles keep them tables
/// for those who listen.
pub fn allow_tables(sanitizer: &mut Builder<'_>) {
    sanitizer.add_tag_attributes("td", ["data-label"]);
    sanitizer.add_tag_attributes("span", ["dir"]);
    sanitizer.add_allowed_classes("div", &["scroll", "stack"]);
    for (tag, roles) in [
        ("table", &["table"][..]),
        ("thead", &["rowgroup"]),
        ("tbody", &["rowgroup"]),
        ("tr", &["row"]),
        ("th", &["columnheader", "rowheader"]),
        ("td", &["cell"]),
    ] {
        sanitizer.add_tag_attribute_values(tag, "role", roles);
    }
}

/// The text of a banner, a placeholder, a form or a document, as markup without scripts, styles and forms: its
/// buttons and boxes are there and cannot be used.
pub fn to_read(shown: &str) -> String {
    // A parser keeps what stands in a template apart, and with it every word of a banner.
    let opened = shown.replace("<template shadowrootmode=\"open\">", "").replace("</template>", "");
    SANITIZER.clean(&opened).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::signal::Signal;
    use crate::web::banner::{Asking, Place};
    use crate::web::language::Language;
    use crate::web::tests::look;

    #[test]
    fn a_banner_can_be_read_again_and_not_be_answered() {
        let language = Language::parse("en").unwrap();
        let asking = Asking { generation: 1, signal: Signal::Absent, services: &Vec::new };
        let banner = look().banner(&language, &asking, Place::default()).to_string();
        let read = to_read(&banner);
        for words in ["May we use cookies?", "Accept all", "Reject all", "Save my choices", "Statistics"] {
            assert!(read.contains(words), "{words}\n{read}");
        }
        for acts in ["<form", "<style", "<template", "<script", " name=", "consentry-banner", "choose"] {
            assert!(!read.contains(acts), "{acts}\n{read}");
        }
        let (buttons, boxes) = (read.matches("<button").count(), read.matches("<input").count());
        assert!(buttons > 2 && boxes > 2);
        assert_eq!(read.matches("disabled=\"\"").count(), buttons + boxes, "{read}");
        assert_eq!(read.matches("<details").count(), read.matches("open=\"\"").count(), "{read}");
    }

    #[test]
    fn whatever_stands_in_the_ledger_it_does_not_act() {
        for text in [
            "<script>x</script>",
            "<img src=x onerror=x>",
            "<a href=javascript:x>a</a>",
            "<templ<template shadowrootmode=\"open\">ate><script>x</script>",
            "<input type=image src=x onerror=x><button formaction=//e>b</button>",
        ] {
            let read = to_read(text);
            for acts in ["<script", "onerror", "javascript:", "formaction", "<template", "image"] {
                assert!(!read.contains(acts), "{text} -> {read}");
            }
        }
    }
}
