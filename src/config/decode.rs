//! A tree to the raw types. What does not fit is noted, taken out, and the rest decoded again, so that one
//! mistake never hides another.

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::files::Files;
use super::tree::{Node, Step, Value};

/// Decodes a tree; what was wrong is no longer in it afterwards. Nothing comes back where all of it is wrong.
pub(super) fn decode<T: DeserializeOwned>(files: &mut Files, tree: &mut Node) -> Option<T> {
    loop {
        let error = match serde_path_to_error::deserialize(to_yaml(tree)) {
            Ok(raw) => return Some(raw),
            Err(error) => error,
        };
        let path = error.path().clone();
        let path: Vec<Step<'_>> = path
            .iter()
            .map_while(|segment| match segment {
                Segment::Seq { index } => Some(Step::Item(*index)),
                Segment::Map { key } => Some(Step::Key(key)),
                Segment::Enum { .. } | Segment::Unknown => None,
            })
            .collect();
        let meant = note(files, tree, &path, &error.into_inner().to_string());
        if let (Some(meant), Some((_, before))) = (meant, path.split_last()) {
            tree.excuse(before, &meant);
        }
        if !tree.prune(&path) {
            return None;
        }
    }
}

fn to_yaml(node: &Node) -> serde_yaml::Value {
    match &node.value {
        Value::Switch(switch) => (*switch).into(),
        Value::Integer(number) => (*number).into(),
        Value::Text(text) => text.as_ref().into(),
        Value::List(items) => items.iter().map(to_yaml).collect::<Vec<_>>().into(),
        Value::Map(entries) => serde_yaml::Value::Mapping(
            entries.iter().map(|entry| (entry.key.as_ref().into(), to_yaml(&entry.node))).collect(),
        ),
    }
}

/// Says in the words of an operator what serde says in those of Rust. Gives back the key that a misspelt one
/// was meant to be.
fn note(files: &mut Files, tree: &Node, path: &[Step<'_>], cause: &str) -> Option<String> {
    let name = match path.last() {
        Some(Step::Key(key)) => format!("`{key}`"),
        _ => "this".into(),
    };
    if cause.starts_with("unknown field") {
        let known = expected(cause);
        let message = format!("unknown key {name}");
        let word = name.trim_matches('`');
        files.error(tree.key_spot(path), message, suggest("key", word, &known));
        return nearest(word, &known).map(str::to_owned);
    } else if let Some((word, _)) =
        cause.strip_prefix("unknown variant `").and_then(|rest| rest.split_once('`'))
    {
        let help = suggest("value", word, &expected(cause));
        files.error(tree.spot(path), format!("{name} cannot be `{word}`"), help);
    } else if let Some(key) = cause.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let mut inner = path.to_vec();
        inner.push(Step::Key(key));
        if !tree.has_lost(&inner) {
            files.error(tree.spot(path), format!("`{key}` is missing"), format!("add `{key}: …`"));
        }
    } else if let Some((found, wanted)) =
        cause.strip_prefix("invalid type: ").and_then(|rest| rest.rsplit_once(", expected "))
    {
        files.error(
            tree.spot(path),
            format!("{name} is {}", article(found)),
            format!("expected {}", plain(wanted)),
        );
    } else if let Some((number, wanted)) =
        cause.strip_prefix("invalid value: integer `").and_then(|rest| rest.split_once("`, expected "))
    {
        let help = match wanted {
            "u16" => "expected a number from 0 to 65535",
            _ => "expected a number from 0 on",
        };
        files.error(tree.spot(path), format!("{name} cannot be {number}"), help);
    } else {
        // Types of our own put the remedy on a second line.
        let (message, help) = cause.split_once('\n').unwrap_or((cause, ""));
        files.error(tree.spot(path), message, help);
    }
    None
}

/// The words between backticks after "expected".
fn expected(cause: &str) -> Vec<&str> {
    let list = cause.rsplit_once(", expected ").map_or("", |(_, list)| list);
    list.split('`').skip(1).step_by(2).collect()
}

fn article(found: &str) -> String {
    match found {
        "sequence" => "a list".into(),
        "map" => "a mapping".into(),
        _ => found
            .replace("string ", "the text ")
            .replace("boolean ", "the switch ")
            .replace("integer ", "the number "),
    }
}

fn plain(wanted: &str) -> &str {
    match wanted {
        "a boolean" => "true or false",
        "a sequence" => "a list: `[one, other]`, or a line that begins with `-` for each",
        "a string" | "string" | "string or map" | "a YAML tag starting with '!'" => "a text",
        "usize" | "u64" | "u32" | "u16" | "i64" => "a number",
        _ if wanted.starts_with("struct ") || wanted == "a map" => "a mapping: `key: value`",
        _ => wanted,
    }
}

/// The known word that a mistaken one comes nearest to, or all of them.
pub(super) fn suggest(kind: &str, word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if known.is_empty() => format!("there is no {kind} to choose from"),
        None => format!("expected one of `{}`", known.join("`, `")),
    }
}

/// The known word that a mistaken one is most likely meant to be.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&plain(word), &plain(candidate)), *candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .map(|(_, nearest)| nearest)
}
