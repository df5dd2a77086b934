//! `{{ … }}` in a document: names of the site's settings, and nothing else. There is no template language.

use serde_json::Value;

/// One `{{ name }}` in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// Where it begins, in bytes.
    pub(super) start: usize,
    /// Where the text goes on.
    pub(super) end: usize,
    /// What stands between the braces.
    pub(super) name: &'a str,
}

/// The names of tables, which are no settings.
pub(super) const TABLES: [&str; 2] = ["services", "cookies"];

/// Every `{{ name }}` of a text, in order; it ends on the line on which it begins.
pub(super) fn find(text: &str) -> impl Iterator<Item = Found<'_>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        loop {
            let start = from + text.get(from..)?.find("{{")?;
            let inside = text.get(start + 2..)?;
            let line = inside.split('\n').next().unwrap_or_default();
            match line.find("}}") {
                Some(length) => {
                    let end = start + 2 + length + 2;
                    from = end;
                    return Some(Found { start, end, name: inside.get(..length)?.trim() });
                }
                None => from = start + 2,
            }
        }
    })
}

/// Whether a name is that of a table, or of a setting that has a value.
pub(super) fn is_known(name: &str, variables: &Value) -> bool {
    TABLES.contains(&name) || value(name, variables).is_some()
}

/// The text of a setting; none where the site does not set it.
pub(super) fn value(name: &str, variables: &Value) -> Option<String> {
    let found = name.split('.').try_fold(variables, |at, part| at.get(part))?;
    match found {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(items) => Some(items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")),
        Value::Null | Value::Bool(_) | Value::Object(_) => None,
    }
}

/// How to write a setting that the site may have and does not; none for other names.
pub(super) fn unset(name: &str, variables: &Value) -> Option<String> {
    let (group, key) = name.split_once('.')?;
    match variables.get(group)? {
        Value::Null => Some(format!("{group}: {{ {key}: … }}")),
        found if found.get(key)?.is_null() => Some(format!("{group}: {{ {key}: … }}")),
        _ => None,
    }
}

/// All names that [`value`] knows, and the tables.
pub(super) fn names(variables: &Value) -> Vec<String> {
    let mut names: Vec<String> = TABLES.map(str::to_owned).to_vec();
    collect("", variables, &mut names);
    names
}

fn collect(prefix: &str, value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| {
            let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
            collect(&name, value, names);
        }),
        Value::Null | Value::Bool(_) => {}
        Value::String(_) | Value::Number(_) | Value::Array(_) if TABLES.contains(&prefix) => {}
        Value::String(_) | Value::Number(_) | Value::Array(_) => names.push(prefix.to_owned()),
    }
}

/// Replaces every `{{ name }}` of a text by what `fill` says.
pub(super) fn substitute(text: &str, mut fill: impl FnMut(&str) -> String) -> String {
    let mut out = String::with_capacity(text.len() + 256);
    let mut from = 0;
    for found in find(text) {
        out.push_str(text.get(from..found.start).unwrap_or_default());
        out.push_str(&fill(found.name));
        from = found.end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

/// A value as it may stand in Markdown: neither HTML nor Markdown reads anything into it.
pub(super) fn literal(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 16);
    for character in value.chars() {
        match character {
            // Addresses stay addresses: `<{{ controller.email }}>` is a link.
            '@' | '.' | '-' | ',' => out.push(character),
            '\n' | '\r' | '\t' => out.push(' '),
            _ if character.is_ascii_punctuation() => {
                out.push_str("&#");
                out.push_str(&u32::from(character).to_string());
                out.push(';');
            }
            _ => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_between_braces_are_found_and_replaced() {
        let variables = json!({"a": {"b": "B"}, "hosts": ["x.se", "y.se"], "n": 3, "none": null});
        let fill = |name: &str| value(name, &variables).unwrap_or_default();
        for (text, expected) in [
            ("{{ a.b }}", "B"),
            ("1{{a.b}}2{{ hosts }}3{{ n }}", "1B2x.se, y.se33"),
            ("{{ a }}{{ none }}{{ missing.deep }}", ""),
            ("{{ a.b", "{{ a.b"),
            ("{{ a\n.b }} {{ a.b }}", "{{ a\n.b }} B"),
            ("{ a.b } }} {{{ a.b }}", "{ a.b } }} "),
            ("{% if a %}", "{% if a %}"),
        ] {
            assert_eq!(substitute(text, fill), expected, "{text}");
        }
    }

    #[test]
    fn a_value_is_text_whatever_it_looks_like() {
        assert_eq!(literal("<b>*A_B*</b>"), "&#60;b&#62;&#42;A&#95;B&#42;&#60;&#47;b&#62;");
        assert_eq!(literal("data@example.se, Örebro"), "data@example.se, Örebro");
    }
}
