//! Fills `@@name@@` in the demo's texts. Each is filled once: a value is never searched for names.

/// `template` with each `@@name@@` replaced by its value; an unknown name stays as it stands.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("@@") {
        filled.push_str(before);
        let known = after.split_once("@@").and_then(|(name, behind)| {
            let (_, value) = values.iter().find(|(known, _)| *known == name)?;
            Some((value, behind))
        });
        match known {
            Some((value, behind)) => {
                filled.push_str(value);
                rest = behind;
            }
            None => {
                filled.push_str("@@");
                rest = after;
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// `text` as it may stand in HTML, between tags and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_and_values_are_left_alone() {
        for (template, expected) in [
            ("a @@x@@ b", "a 1 b"),
            ("@@x@@@@y@@", "1@@x@@"),
            ("@@unknown@@ @@x@@", "@@unknown@@ 1"),
            ("no names @@", "no names @@"),
            ("", ""),
        ] {
            assert_eq!(fill(template, &[("x", "1"), ("y", "@@x@@")]), expected, "{template}");
        }
    }

    #[test]
    fn what_a_visitor_typed_cannot_become_markup() {
        assert_eq!(escape(r#"<b title="x">'&"#), "&lt;b title=&quot;x&quot;&gt;&#39;&amp;");
    }
}
