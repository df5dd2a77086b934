//! A YAML file as a tree in which every key and value knows its spot.
//!
//! Built from the parser's events, so that duplicate and empty keys are reported with everything else, and
//! nothing of the file is lost behind the first mistake.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle, Span, StrInput, Tag};

use super::files::{FileId, Files, Spot};

/// The most values of one file, aliases written out: a file of settings is smaller, a "billion laughs" larger.
const MOST_NODES: usize = 200_000;
/// The deepest nesting of one file.
const DEEPEST: usize = 64;

/// A value and its spot.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) spot: Spot,
    pub(super) value: Value,
    /// Keys that were taken out because they were wrong, so that nobody reports them as missing, too. A list
    /// that lost an item has an empty one.
    pub(super) lost: Vec<Box<str>>,
}

/// What YAML can say, as far as settings need it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Switch(bool),
    Integer(i64),
    Text(Box<str>),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Box<str>,
    pub(super) key_spot: Spot,
    pub(super) node: Node,
}

/// One step from a value into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Item(usize),
}

impl<'a> From<&'a str> for Step<'a> {
    fn from(key: &'a str) -> Self {
        Step::Key(key)
    }
}

impl From<usize> for Step<'_> {
    fn from(item: usize) -> Self {
        Step::Item(item)
    }
}

impl Node {
    /// A value without what it could hold.
    pub(super) fn new(spot: Spot, value: Value) -> Self {
        Node { spot, value, lost: Vec::new() }
    }

    /// An empty mapping, for a key that is absent.
    pub(super) fn empty(spot: Spot) -> Self {
        Node::new(spot, Value::Map(Vec::new()))
    }

    /// The entries of a mapping.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of this key.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| &*entry.key == key)
    }

    /// Takes the value of a key out.
    pub(super) fn take(&mut self, key: &str) -> Option<Node> {
        let Value::Map(entries) = &mut self.value else { return None };
        let index = entries.iter().position(|entry| &*entry.key == key)?;
        Some(entries.remove(index).node)
    }

    /// The value one step away.
    pub(super) fn step(&self, step: Step<'_>) -> Option<&Node> {
        match (step, &self.value) {
            (Step::Key(key), Value::Map(_)) => self.entry(key).map(|entry| &entry.node),
            (Step::Item(item), Value::List(items)) => items.get(item),
            _ => None,
        }
    }

    /// The value at the end of `path`.
    pub(super) fn find(&self, path: &[Step<'_>]) -> Option<&Node> {
        path.iter().try_fold(self, |node, step| node.step(*step))
    }

    /// Where to point for the value at the end of `path`: the value itself; the key of a list or mapping, which
    /// begins on a later line; what holds it, if it is absent.
    pub(super) fn spot(&self, path: &[Step<'_>]) -> Spot {
        let Some((last, before)) = path.split_last() else { return self.spot };
        let Some(parent) = self.find(before) else { return self.spot(before) };
        match (last, parent.step(*last).map(|node| &node.value)) {
            (_, None) => self.spot(before),
            (Step::Key(key), Some(Value::List(_) | Value::Map(_))) => {
                parent.entry(key).map_or(parent.spot, |entry| entry.key_spot)
            }
            (step, Some(_)) => parent.step(*step).map_or(parent.spot, |node| node.spot),
        }
    }

    /// Where to point for the key at the end of `path`.
    pub(super) fn key_spot(&self, path: &[Step<'_>]) -> Spot {
        let entry = path.split_last().and_then(|(last, before)| match last {
            Step::Key(key) => self.find(before)?.entry(key),
            Step::Item(_) => None,
        });
        entry.map_or_else(|| self.spot(path), |entry| entry.key_spot)
    }

    /// Whether the value at the end of `path` was taken out because it was wrong.
    pub(super) fn has_lost(&self, path: &[Step<'_>]) -> bool {
        let Some((last, before)) = path.split_last() else { return false };
        match (last, self.find(before)) {
            (Step::Key(key), Some(parent)) => parent.lost.iter().any(|lost| &**lost == *key),
            (Step::Item(_), Some(parent)) => !parent.lost.is_empty(),
            (_, None) => self.has_lost(before),
        }
    }

    /// Counts `key` of the mapping at the end of `path` as taken out: it is there under a misspelt name.
    pub(super) fn excuse(&mut self, path: &[Step<'_>], key: &str) {
        match path.split_first() {
            None => self.lost.push(key.into()),
            Some((first, rest)) => {
                if let Some(inner) = self.step_mut(*first) {
                    inner.excuse(rest, key);
                }
            }
        }
    }

    /// Takes the value at the end of `path` out, or the last one on the way to it that there is.
    pub(super) fn prune(&mut self, path: &[Step<'_>]) -> bool {
        let Some((first, rest)) = path.split_first() else { return false };
        match self.step_mut(*first) {
            None => false,
            Some(inner) => inner.prune(rest) || self.remove(*first),
        }
    }

    fn step_mut(&mut self, step: Step<'_>) -> Option<&mut Node> {
        match (step, &mut self.value) {
            (Step::Key(key), Value::Map(entries)) => {
                entries.iter_mut().find(|entry| &*entry.key == key).map(|entry| &mut entry.node)
            }
            (Step::Item(item), Value::List(items)) => items.get_mut(item),
            _ => None,
        }
    }

    fn remove(&mut self, step: Step<'_>) -> bool {
        match (step, &mut self.value) {
            (Step::Key(key), Value::Map(entries)) => {
                entries.retain(|entry| &*entry.key != key);
                self.lost.push(key.into());
            }
            (Step::Item(item), Value::List(items)) if item < items.len() => {
                items.remove(item);
                self.lost.push("".into());
            }
            _ => return false,
        }
        true
    }
}

/// Reads a file of settings. Whatever is wrong is noted and left out; nothing comes back only where the file
/// cannot be understood at all.
pub(super) fn parse(files: &mut Files, file: FileId) -> Option<Node> {
    let text = files.text(file);
    Builder::new(files, file, &text, 0).document().ok().flatten()
}

/// The same of the YAML that begins on the second line of a file.
pub(super) fn parse_front_matter(files: &mut Files, file: FileId, yaml: &str) -> Option<Node> {
    Builder::new(files, file, yaml, 1).document().ok().flatten()
}

/// The problem is noted, and the rest of the file is lost.
struct Unreadable;

struct Builder<'a, 'f> {
    parser: Parser<'a, StrInput<'a>>,
    files: &'f mut Files,
    file: FileId,
    /// How many lines of the file stand above the YAML.
    above: usize,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

impl<'a, 'f> Builder<'a, 'f> {
    fn new(files: &'f mut Files, file: FileId, yaml: &'a str, above: usize) -> Self {
        Builder { parser: Parser::new_from_str(yaml), files, file, above, anchors: HashMap::new(), nodes: 0 }
    }

    fn document(&mut self) -> Result<Option<Node>, Unreadable> {
        let mut root = None;
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => break,
                (Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing, _) => {}
                (_, span) if root.is_some() => {
                    let spot = self.spot(span);
                    self.files.error(
                        spot,
                        "a second YAML document",
                        "keep one document a file: take `---` out",
                    );
                    return Err(Unreadable);
                }
                (event, span) => root = Some(self.node(event, span, 0)?),
            }
        }
        let whole = Spot { file: self.file, line: self.above + 1, column: 1, length: 0 };
        let root = root.flatten();
        match root.as_ref().map(|root| &root.value) {
            Some(Value::Map(_)) => return Ok(root),
            Some(_) => self.files.error(whole, "no settings", "write `key: value`, one a line"),
            None => self.files.error(whole, "the file is empty", "write its settings, or remove it"),
        }
        Err(Unreadable)
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Unreadable> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let spot = self.spot(Span::empty(*error.marker()));
                self.files.error(spot, format!("not YAML: {}", error.info()), remedy(error.info()));
                Err(Unreadable)
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The value that begins with `event`; nothing for an empty one.
    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Option<Node>, Unreadable> {
        let spot = self.spot(span);
        self.grow(1, spot)?;
        if depth > DEEPEST {
            self.files.error(spot, "nested too deeply", "no setting needs more than a few levels");
            return Err(Unreadable);
        }
        let (anchor, node) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, self.scalar(&text, style, tag.as_deref(), spot))
            }
            Event::SequenceStart(anchor, _) => (anchor, Some(self.list(spot, depth)?)),
            Event::MappingStart(anchor, _) => (anchor, Some(self.map(spot, depth)?)),
            Event::Alias(anchor) => return self.alias(anchor, spot),
            _ => (0, None),
        };
        if let (Some(node), 1..) = (&node, anchor) {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, anchor: usize, spot: Spot) -> Result<Option<Node>, Unreadable> {
        let node = self.anchors.get(&anchor).cloned();
        if let Some(node) = &node {
            self.grow(size(node), spot)?;
        }
        Ok(node)
    }

    fn grow(&mut self, by: usize, spot: Spot) -> Result<(), Unreadable> {
        self.nodes += by;
        if self.nodes > MOST_NODES {
            self.files.error(spot, "the file holds too much", "write aliases out, and fewer of them");
            return Err(Unreadable);
        }
        Ok(())
    }

    /// A value as the core schema of YAML 1.2 reads it; `yes`, `on` and `off` are words, numbers keep their spelling.
    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, spot: Spot) -> Option<Node> {
        let is_plain = style == ScalarStyle::Plain && tag.is_none();
        let value = match text {
            "" | "~" | "null" | "Null" | "NULL" if is_plain => return None,
            "true" | "True" | "TRUE" if is_plain => Value::Switch(true),
            "false" | "False" | "FALSE" if is_plain => Value::Switch(false),
            _ => match text.parse::<i64>() {
                Ok(number) if is_plain && number.to_string() == text => Value::Integer(number),
                _ => Value::Text(text.into()),
            },
        };
        if tag.is_some_and(|tag| !(tag.is_yaml_core_schema() && tag.suffix == "str")) {
            self.files.error(spot, "settings have no tags", "take the word that begins with `!` out");
        }
        Some(Node::new(spot, value))
    }

    fn list(&mut self, spot: Spot, depth: usize) -> Result<Node, Unreadable> {
        let mut items = Vec::new();
        let mut lost = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd | Event::StreamEnd) {
                return Ok(Node { spot, value: Value::List(items), lost });
            }
            match self.node(event, span, depth + 1)? {
                Some(item) => items.push(item),
                None => {
                    let spot = self.spot(span);
                    self.files.error(spot, "an empty item", "write its value, or take the line out");
                    lost.push("".into());
                }
            }
        }
    }

    fn map(&mut self, spot: Spot, depth: usize) -> Result<Node, Unreadable> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut lost = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd | Event::StreamEnd) {
                return Ok(Node { spot, value: Value::Map(entries), lost });
            }
            let key_spot = self.spot(span);
            let key = self.key(event, span, depth)?;
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            let Some(key) = key else { continue };
            if let Some(first) = entries.iter().find(|entry| entry.key == key) {
                let message = format!("`{key}` stands here a second time");
                let help = format!("the first is on line {}; keep one of them", first.key_spot.line);
                self.files.error(key_spot, message, help);
            } else if let Some(node) = node {
                entries.push(Entry { key, key_spot, node });
            } else {
                let message = format!("`{key}:` has no value");
                self.files.error(key_spot, message, "write its value, or take the line out");
                lost.push(key);
            }
        }
    }

    fn key(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Option<Box<str>>, Unreadable> {
        if let Event::Scalar(text, ..) = &event {
            return Ok(Some(text.as_ref().into()));
        }
        let spot = self.spot(span);
        self.node(event, span, depth + 1)?;
        self.files.error(spot, "a key must be a word", "write `key: value`");
        Ok(None)
    }

    fn spot(&self, span: Span) -> Spot {
        let length = if span.start.line() == span.end.line() {
            span.end.col().saturating_sub(span.start.col())
        } else {
            0
        };
        Spot { file: self.file, line: self.above + span.start.line(), column: span.start.col() + 1, length }
    }
}

/// What to do about what the parser says.
fn remedy(info: &str) -> &'static str {
    if info.starts_with("mapping values are not allowed") {
        return "a text that holds a colon stands in quotes: `title: \"Privacy: cookies\"`; else look for a crooked indent";
    }
    "look here and above for an open quote or bracket, a tab, or a crooked indent"
}

fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|entry| size(&entry.node)).sum(),
        Value::Switch(_) | Value::Integer(_) | Value::Text(_) => 0,
    }
}
