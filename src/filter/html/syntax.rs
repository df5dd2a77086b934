//! Pages that browsers read as XML: one letter that is none, and they show an error in the page's place. Pure.

use std::borrow::Cow;

use super::references;

/// How browsers read a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Syntax {
    /// As HTML: whatever stands there is a page.
    #[default]
    Html,
    /// As XML (`application/xhtml+xml`).
    Xml,
}

const CDATA: &str = "<![CDATA[";
const END: &str = "]]>";

impl Syntax {
    /// Whether a whole start tag is all of its element.
    pub(super) fn is_empty(self, tag: &[u8]) -> bool {
        self == Syntax::Xml && tag.ends_with(b"/>")
    }

    /// An element's name without its prefix, which says in XML of what language it is.
    pub(super) fn local(self, name: &str) -> &str {
        match self {
            Syntax::Html => name,
            Syntax::Xml => name.rsplit(':').next().unwrap_or_default(),
        }
    }

    /// What says of an element of ours that it is one of HTML, whatever stands around it.
    pub(super) fn namespace(self) -> &'static str {
        match self {
            Syntax::Html => "",
            Syntax::Xml => " xmlns=\"http://www.w3.org/1999/xhtml\"",
        }
    }

    /// A script of ours, as it stands in its element; `code` must be fit for one in HTML.
    pub(super) fn script(self, code: &str) -> Cow<'_, str> {
        match self {
            Syntax::Html => code.into(),
            Syntax::Xml => format!("{CDATA}{}{END}", code.replace(END, "]]]]><![CDATA[>")).into(),
        }
    }

    /// What browsers read in an element of script or style where that is not what is written there: remarks and
    /// instructions are no part of it. What is not ASCII, and references that the page has made itself, stay as they are
    /// written: [`Syntax::written`] turns all of it back.
    pub(super) fn read(self, text: &str) -> Option<String> {
        if self == Syntax::Html || !text.contains(['&', '<']) {
            return None;
        }
        let mut read = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('<') {
            read.push_str(&references::decode_xml(before));
            let section = |start: &str, end: &str| {
                let section = after.strip_prefix(start)?;
                Some(section.split_once(end).unwrap_or((section, "")))
            };
            rest = if let Some((section, after)) = section("![CDATA[", END) {
                read.push_str(section);
                after
            } else if let Some((_, after)) = section("!--", "-->").or_else(|| section("?", "?>")) {
                after
            } else {
                read.push('<');
                after
            };
        }
        Some(read + &references::decode_xml(rest))
    }

    /// The markup that a browser reads in an attribute.
    pub(super) fn read_value(self, value: &str) -> String {
        match self {
            Syntax::Html => references::decode_markup(value),
            // Ends of lines are blanks there (XML 1.0, section 3.3.3).
            Syntax::Xml => references::decode_xml(&value.replace(['\n', '\r', '\t'], " ")),
        }
    }

    /// Markup, as it stands in an attribute.
    pub(super) fn written_value(self, markup: String) -> String {
        let value = references::encode_markup(&markup);
        match self {
            Syntax::Html => value,
            Syntax::Xml => value.replace('\n', "&#10;").replace('\r', "&#13;").replace('\t', "&#9;"),
        }
    }

    /// Code or rules, as they stand in their element.
    pub(super) fn written(self, code: String) -> String {
        match self {
            Syntax::Html => code,
            Syntax::Xml => references::encode_markup(&code).replace(END, "]]&gt;"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_browsers_read_in_xml_is_judged_and_written_back() {
        for (text, read, written) in [
            ("a()", None, "a()"),
            (
                "if (a &lt; b &amp;&amp; c) d('&#229;')",
                Some("if (a < b && c) d('\0#229;')"),
                "if (a &lt; b &amp;&amp; c) d('&#229;')",
            ),
            (
                "//<![CDATA[\na && '&amp;'\n//]]>",
                Some("//\na && '&amp;'\n//"),
                "//\na &amp;&amp; '&amp;amp;'\n//",
            ),
            ("<![CDATA[x[y[0]]]]><![CDATA[>1]]>", Some("x[y[0]]>1"), "x[y[0]]&gt;1"),
            ("<![CDATA[open", Some("open"), "open"),
            ("<!-- a() --><?b c?>d(&own; < 1)", Some("d(\0own; < 1)"), "d(&own; &lt; 1)"),
        ] {
            assert_eq!(Syntax::Xml.read(text).as_deref(), read, "{text}");
            assert_eq!(Syntax::Xml.written(read.unwrap_or(text).to_owned()), written, "{text}");
            assert_eq!(Syntax::Html.read(text), None);
            assert_eq!(Syntax::Html.written(text.to_owned()), text);
        }
    }

    #[test]
    fn a_script_of_ours_is_read_to_the_letter() {
        let code = "if (a<b&&c[d[0]]>1) e('</b>')";
        assert_eq!(Syntax::Xml.read(&Syntax::Xml.script(code)).as_deref(), Some(code));
        assert_eq!(Syntax::Html.script(code), code);
    }
}
