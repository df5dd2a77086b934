//! The documents of a site: their files, their languages, and whether they are filled in.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Scope, at, front_matter, looked_for, start_of, why_not};
use crate::config::files::{FileId, Files, Spot};
use crate::config::problem::{Problem, Severity};
use crate::config::raw::site::{Document as Raw, Site};
use crate::config::tree::Step;
use crate::documents::{self, Blank, Document, Gap, Shelf, Text};
use crate::visit::path::{CanonicalPath, Clarity};
use crate::web::language::Language;

/// The files of documents that were read so far: many sites may share one.
#[derive(Default)]
pub(in crate::config) struct Library(HashMap<PathBuf, Volume>);

/// One file of a document, found or not, and what is wrong with it for every site that publishes it.
#[derive(Clone)]
struct Volume {
    file: Option<FileId>,
    read: Option<Arc<documents::Read>>,
    problems: Arc<[Problem]>,
}

impl Library {
    /// Reads a file, or remembers it, and notes what is wrong with it.
    fn open(&mut self, files: &mut Files, path: &Path) -> Volume {
        if let Some(known) = self.0.get(path) {
            files.look(path);
            files.problems.extend_from_slice(&known.problems);
            return known.clone();
        }
        let before = files.problems.len();
        let file = match path.metadata() {
            Ok(found) if found.is_file() && found.len() <= LARGEST => files.read(path),
            Ok(found) if found.is_file() => {
                files.problems.push(too_large(path, found.len()));
                None
            }
            _ => None,
        };
        if file.is_none() {
            files.look(path);
        }
        let read = file.and_then(|file| read(files, file)).map(Arc::new);
        let problems = files.problems.get(before..).unwrap_or_default().into();
        let volume = Volume { file, read, problems };
        self.0.insert(path.to_owned(), volume.clone());
        volume
    }
}

/// What a document's file may weigh: a hundred times what a long one does.
const LARGEST: u64 = 1 << 20;

fn too_large(path: &Path, bytes: u64) -> Problem {
    Problem {
        severity: Severity::Error,
        file: path.to_owned(),
        place: None,
        message: format!("the document is larger than a text can be: {} KiB", bytes / 1024),
        help: Some("keep it below 1024 KiB; pictures are linked to, not written into it".into()),
    }
}

fn read(files: &mut Files, file: FileId) -> Option<documents::Read> {
    let read = front_matter::read(files, file)?;
    if read.is_empty {
        files.warn(start_of(file), "the document has no text", "write it below the front matter");
    }
    for Blank { line, column, length, wanted } in &read.to_fill_in {
        let spot = Spot { file, line: *line, column: *column, length: *length };
        let message = format!("still to be filled in: {wanted}");
        files.warn(spot, message, "write it in place of `[FILL IN: …]`");
    }
    Some(read)
}

/// The documents of a site, and which of them is its cookies and privacy information.
pub(super) struct Documents {
    pub(super) shelf: Shelf,
    /// The document named `privacy`, or else the first notice.
    pub(super) privacy: Option<Box<str>>,
    /// Whether the privacy document is filled in for the fallback language (GDPR article 13).
    pub(super) is_filled_in: bool,
}

/// Resolves `documents`.
pub(super) fn resolve(
    scope: &mut Scope<'_>,
    raw: &Site,
    languages: &[Language],
    variables: Value,
    own_path: &str,
    library: &mut Library,
) -> Documents {
    let mut shelf = Shelf { variables: Arc::new(variables), ..Shelf::default() };
    for (id, written) in raw.documents.0.iter().map(|(id, written)| (id.as_str(), written)) {
        check_name(scope, id);
        let path = path(scope, id, written, own_path, &shelf);
        check_languages(scope, id, written, languages);
        let mut texts = Vec::new();
        let mut earlier = Vec::new();
        for language in languages {
            let file = file(scope, id, written, language);
            let text = file.as_ref().and_then(|(tag, file)| {
                let path = at!["documents", id, "files", tag.as_str()];
                text(scope, path, file, language, &shelf.variables, library)
            });
            if let Some((_, file)) = &file {
                earlier.extend(earlier_texts(scope, file, language, text.as_ref(), library));
            }
            // Without a word of the site it speaks every language that is built in, and promises a text in none.
            if text.is_none() && (file.is_some() || raw.languages.is_some()) {
                let file = file.map(|(_, file)| file);
                shelf.gaps.push(Gap { document: id.into(), language: language.clone(), file });
            }
            texts.extend(text);
        }
        check_gaps(scope, id, &shelf.gaps, &texts);
        in_order(&mut earlier);
        let document = Document { id: id.into(), kind: written.kind, path, texts, earlier };
        check_wordings(scope, &document);
        shelf.documents.push(document);
    }
    let privacy = shelf
        .find("privacy")
        .or_else(|| shelf.documents.iter().find(|document| document.kind == documents::Kind::Notice));
    let first = privacy.and_then(|document| document.texts.first());
    let is_filled_in = first.is_some_and(|text| Some(&text.language) == languages.first());
    Documents { privacy: privacy.map(|document| document.id.clone()), is_filled_in, shelf }
}

/// What `{{ … }}` may name; the tables of services and cookies come from the documents' own part.
pub(super) fn variables(
    name: &str,
    controller: &crate::site::Party,
    processor: Option<&crate::site::Party>,
    hosts: &[String],
    languages: &[Language],
    own_path: &str,
) -> Value {
    let languages: Vec<&str> = languages.iter().map(Language::as_str).collect();
    json!({
        "controller": controller,
        "processor": processor,
        "site": { "name": name },
        "hosts": hosts,
        "settings_path": format!("{own_path}settings"),
        "languages": languages,
    })
}

fn check_name(scope: &mut Scope<'_>, id: &str) {
    let is_word = !id.is_empty()
        && id.len() <= 64
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if !is_word {
        let help = "write letters, digits and hyphens: forms, cookies and the ledger carry it";
        scope.error_key(at!["documents", id], format!("`{id}` cannot name a document"), help);
    }
}

fn path(scope: &mut Scope<'_>, id: &str, raw: &Raw, own_path: &str, shelf: &Shelf) -> CanonicalPath {
    let at = at!["documents", id, "path"];
    let path = CanonicalPath::of(&raw.path);
    let written = &raw.path;
    if path.as_str() != *written || path.clarity() != Clarity::Clear || written.contains(['?', '#']) {
        let help = "write a plain path that begins with a slash, such as /privacy.htm";
        scope.error(at, format!("`{written}` is not a path to publish a document at"), help);
    } else if written == "/" {
        scope.error(at, "the document would hide the site's first page", "write a path of its own");
    } else if path.as_str().starts_with(own_path) {
        let help = format!("choose a path outside `own_path` ({own_path})");
        scope.error(at, format!("`{written}` lies among the proxy's own pages"), help);
    } else if let Some(other) = shelf.at(&path) {
        let message = format!("`{written}` is the path of `{}` already", other.id);
        scope.error(at, message, "choose another path");
    }
    path
}

fn check_languages(scope: &mut Scope<'_>, id: &str, raw: &Raw, languages: &[Language]) {
    if raw.files.0.is_empty()
        && scope.tree.find(at!["documents", id, "files"]).is_some_and(|node| node.lost.is_empty())
    {
        scope.error(at!["documents", id, "files"], "no file", "name one a language: `files: { sv: FILE }`");
    }
    for (tag, _) in &raw.files.0 {
        check_language(scope, at!["documents", id, "files", tag.as_str()], tag, languages);
    }
}

/// Notes what is no language, or none of the site's; defaults may serve sites that have fewer.
pub(super) fn check_language(scope: &mut Scope<'_>, path: &[Step<'_>], tag: &str, languages: &[Language]) {
    match Language::parse(tag) {
        Err(error) => scope.error_key(path, format!("`{tag}` is {error}"), "write such a tag"),
        Ok(language) if !languages.contains(&language) && scope.file(path) == scope.tree.spot.file => {
            let known = languages.iter().map(Language::as_str).collect::<Vec<_>>().join(", ");
            let message = format!("`{tag}` is not one of the site's languages ({known})");
            scope.error_key(path, message, format!("add it to `languages`, or take {tag} out here"));
        }
        Ok(_) => {}
    }
}

/// The file in one language, with the tag under which it is written.
fn file(scope: &Scope<'_>, id: &str, raw: &Raw, language: &Language) -> Option<(String, PathBuf)> {
    let is_it = |tag: &str| Language::parse(tag).as_ref() == Ok(language);
    let (tag, name) = raw.files.0.iter().find(|(tag, _)| is_it(tag))?;
    let file = scope.locate(at!["documents", id, "files", tag.as_str()], name);
    Some((tag.clone(), file))
}

/// The text in one language, if it is filled in.
fn text(
    scope: &mut Scope<'_>,
    path: &[Step<'_>],
    file: &Path,
    language: &Language,
    variables: &Value,
    library: &mut Library,
) -> Option<Text> {
    let volume = library.open(scope.files, file);
    let Some(found) = volume.file else {
        if volume.problems.is_empty() {
            let name = match scope.tree.find(path).map(|node| &node.value) {
                Some(crate::config::tree::Value::Text(name)) => name.to_string(),
                _ => file.display().to_string(),
            };
            scope.error(path, why_not(&name, file), looked_for(file));
        }
        return None;
    };
    let source = scope.files.text(found);
    for problem in documents::unknown_variables(&source, variables) {
        front_matter::note(scope.files, found, problem);
    }
    volume.read.as_ref().filter(|read| is_filled_in(read)).map(|read| of(read, language))
}

fn is_filled_in(read: &documents::Read) -> bool {
    read.to_fill_in.is_empty() && !read.is_empty
}

fn of(read: &documents::Read, language: &Language) -> Text {
    let head = &read.front_matter;
    Text {
        language: language.clone(),
        title: head.title.clone(),
        version: head.version.clone(),
        hash: read.hash,
        reacceptance: head.reacceptance,
        effective: head.effective,
        grace: head.grace,
        changes: head.changes.clone(),
        markdown: Arc::clone(&read.markdown),
    }
}

/// The earlier versions beside a file: `privacy.sv.2018-05-25.md` beside `privacy.sv.md`. Only a file that is named
/// after its own version counts, so that no draft is published by chance.
fn earlier_texts(
    scope: &mut Scope<'_>,
    file: &Path,
    language: &Language,
    present: Option<&Text>,
    library: &mut Library,
) -> Vec<Text> {
    let (Some(folder), Some(stem)) = (file.parent(), file.file_stem().and_then(OsStr::to_str)) else {
        return Vec::new();
    };
    let versions = scope.files.list(folder, &format!("{stem}."), ".md");
    let mut texts = Vec::new();
    for version in versions {
        let name = folder.join(format!("{stem}.{version}.md"));
        let volume = library.open(scope.files, &name);
        let (Some(found), Some(read)) = (volume.file, &volume.read) else { continue };
        let own = &read.front_matter.version;
        if **own != *version {
            let message = format!("not published as an earlier version: it is version {own}");
            let help = format!("name it {stem}.{own}.md, or keep drafts in another folder");
            scope.files.warn(start_of(found), message, help);
        } else if is_filled_in(read) && present.is_none_or(|present| present.version != *own) {
            texts.push(of(read, language));
        }
    }
    texts
}

/// The newest first: by the day from which they held, else by the version as it is written.
fn in_order(earlier: &mut [Text]) {
    let since =
        |text: &Text| text.effective.map_or_else(|| text.version.to_string(), |date| date.to_string());
    earlier.sort_by(|one, other| (since(other), &other.version).cmp(&(since(one), &one.version)));
}

/// Says for which of the site's languages a document has no file.
fn check_gaps(scope: &mut Scope<'_>, id: &str, gaps: &[Gap], texts: &[Text]) {
    let Some(first) = texts.first() else { return };
    let without = gaps.iter().filter(|gap| *gap.document == *id && gap.file.is_none());
    for language in without.map(|gap| gap.language.clone()).collect::<Vec<_>>() {
        let message = format!("`{id}` has no file in `{language}`: who reads it gets {}", first.language);
        let help = format!("add `{language}: FILE` to `files`, or take {language} out of `languages`");
        scope.warn(at!["documents", id, "files"], message, help);
    }
}

/// The languages of a document should be one version of it.
fn check_wordings(scope: &mut Scope<'_>, document: &Document) {
    let Some((first, others)) = document.texts.split_first() else { return };
    let path = at!["documents", &*document.id];
    for other in others {
        if other.version != first.version {
            let message = format!(
                "`{}` is version {} in {}, but {} in {}",
                document.id, first.version, first.language, other.version, other.language
            );
            scope.warn(path, message, "give all languages of one wording the same version");
        } else if other.reacceptance != first.reacceptance {
            let message = format!(
                "`{}` has reacceptance {} in {}, but {} in {}: it is asked for again in all",
                document.id, first.reacceptance, first.language, other.reacceptance, other.language
            );
            scope.warn(path, message, "write the same in all languages");
        }
    }
}
