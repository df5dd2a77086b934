//! Addresses, inline scripts and cookie names to services, in time that does not grow with their number.

use std::collections::{BTreeSet, HashMap, HashSet};

use aho_corasick::AhoCorasick;
use foldhash::fast::RandomState;
use memchr::memmem::Finder;
use url::Url;

use super::{Mark, NamePattern, Service};

/// What is looked up by a name. Pages choose what is looked up and not what stands here, so that a quick hash will do.
type Named<T> = HashMap<Box<str>, T, RandomState>;

/// Indexes into the services that it was made from.
#[derive(Debug)]
pub(super) struct Matcher {
    /// By host: what the path begins with, and whose it is; the longest beginning first.
    exact: Named<Vec<(Box<str>, usize)>>,
    /// The same for hosts and all below them.
    below: Named<Vec<(Box<str>, usize)>>,
    /// By the name of the file, on any host.
    files: Named<usize>,
    /// The last segments of `files`, where those have two.
    file_ends: HashSet<Box<str>, RandomState>,
    /// By a folder anywhere in the path, on any host; a handful.
    folders: Vec<Folder>,
    /// By how the query of a folder begins, on any host; a handful.
    queries: Vec<(Box<str>, usize)>,
    inline: Option<AhoCorasick>,
    inline_of: Vec<usize>,
    whole_cookies: Named<usize>,
    /// By how the name begins; the lengths that occur, the longest first.
    cookie_starts: Named<usize>,
    cookie_lengths: Vec<usize>,
    ids: Named<usize>,
    /// What their scripts fill, by a word of its class, and by its `id`.
    classes: Named<usize>,
    elements: Named<usize>,
}

#[derive(Debug)]
struct Folder {
    whole: Finder<'static>,
    /// Without the slash before it, which a relative address may leave out.
    bare: Finder<'static>,
    index: usize,
}

impl Matcher {
    pub(super) fn new(services: &[Service]) -> Self {
        let (mut exact, mut below, mut files) = (Named::default(), Named::default(), Named::default());
        let (mut whole_cookies, mut cookie_starts) = (Named::default(), Named::default());
        let (mut signatures, mut inline_of) = (Vec::new(), Vec::new());
        let (mut folders, mut queries) = (Vec::new(), Vec::new());
        let mut ids = Named::default();
        let (mut classes, mut elements) = (Named::default(), Named::default());
        for (index, service) in services.iter().enumerate() {
            ids.entry(service.id.clone()).or_insert(index);
            for mark in service.embed.iter().flat_map(|embed| &embed.marks) {
                match mark {
                    Mark::Class(word) => _ = classes.entry(word.clone()).or_insert(index),
                    Mark::Id(id) => _ = elements.entry(id.clone()).or_insert(index),
                }
            }
            for pattern in &service.urls {
                let entry = (pattern.path.clone(), index);
                match (pattern.host.as_ref(), pattern.host.strip_prefix("*.")) {
                    ("*", _) if pattern.path.starts_with("/?") => {
                        queries.push((pattern.path.trim_start_matches("/?").into(), index));
                    }
                    ("*", _) if pattern.path.ends_with('/') => {
                        folders.push(Folder::new(&pattern.path, index))
                    }
                    ("*", _) => {
                        let file = pattern.path.trim_start_matches('*').trim_start_matches('/');
                        files.entry(file.into()).or_insert(index);
                    }
                    (_, Some(host)) => below.entry(host.into()).or_insert_with(Vec::new).push(entry),
                    (host, None) => exact.entry(host.into()).or_insert_with(Vec::new).push(entry),
                }
            }
            for text in &service.inline {
                signatures.push(text.as_bytes());
                inline_of.push(index);
            }
            for NamePattern { start, whole } in service.cookies.iter().map(|cookie| &cookie.name) {
                let names = if *whole { &mut whole_cookies } else { &mut cookie_starts };
                names.entry(start.clone()).or_insert(index);
            }
        }
        for paths in exact.values_mut().chain(below.values_mut()) {
            let paths: &mut Vec<(Box<str>, usize)> = paths;
            paths.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        }
        let file_ends = file_ends(&files);
        let lengths: BTreeSet<_> = cookie_starts.keys().map(|start| <str>::len(start)).collect();
        Matcher {
            exact,
            below,
            files,
            file_ends,
            folders,
            queries,
            inline: AhoCorasick::new(signatures).ok().filter(|_| !inline_of.is_empty()),
            inline_of,
            whole_cookies,
            cookie_starts,
            cookie_lengths: lengths.into_iter().rev().collect(),
            ids,
            classes,
            elements,
        }
    }

    pub(super) fn class(&self, word: &str) -> Option<usize> {
        self.classes.get(word).copied()
    }

    pub(super) fn element(&self, id: &str) -> Option<usize> {
        self.elements.get(id).copied()
    }

    pub(super) fn id(&self, id: &str) -> Option<usize> {
        self.ids.get(id).copied()
    }

    /// By its host, then by a host above it, then by the name of the file.
    pub(super) fn url(&self, url: &Url) -> Option<usize> {
        let host = url.host_str()?;
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let beginning = |paths: &Vec<(Box<str>, usize)>| {
            paths.iter().find(|(path, _)| target.starts_with(&**path)).map(|(_, index)| *index)
        };
        self.exact
            .get(host)
            .and_then(beginning)
            .or_else(|| above(host).find_map(|host| self.below.get(host).and_then(beginning)))
            .or_else(|| self.file(url.path()))
            .or_else(|| self.folder(url.path()))
            .or_else(|| self.query(url))
    }

    fn folder(&self, path: &str) -> Option<usize> {
        let mut found = self.folders.iter().filter(|folder| folder.whole.find(path.as_bytes()).is_some());
        found.next().map(|folder| folder.index)
    }

    fn query(&self, url: &Url) -> Option<usize> {
        let query = url.query().filter(|_| url.path().ends_with('/'))?;
        self.queries.iter().find(|(start, _)| query.starts_with(&**start)).map(|(_, index)| *index)
    }

    /// Whether some address of this host, whatever its path, belongs to a service.
    pub(super) fn knows_host(&self, host: &str) -> bool {
        self.exact.contains_key(host) || above(host).any(|host| self.below.contains_key(host))
    }

    /// Whether this path and query, as an address writes them, may belong to a service whatever the host: rather once
    /// too often.
    pub(super) fn knows_place(&self, path: &str, query: &str) -> bool {
        let file = path.bytes().rposition(|byte| byte == b'/').map_or(0, |slash| slash + 1);
        let file = path.get(file..).unwrap_or_default();
        let in_folder = |folder: &Folder| folder.bare.find(path.as_bytes()).is_some();
        // What the query begins with may be written as a reference.
        let is_open =
            |start: &str| query.get(1..2).is_some_and(|first| start.starts_with(first) || first == "&");
        self.file_ends.contains(file)
            || self.folders.iter().any(in_folder)
            || file.is_empty() && self.queries.iter().any(|(start, _)| is_open(start))
    }

    /// A copy on any host, by one or two last segments of the path.
    fn file(&self, path: &str) -> Option<usize> {
        let (folder, file) = path.rsplit_once('/')?;
        self.files.get(file).copied().or_else(|| {
            let parent = folder.rsplit_once('/').map_or(folder, |(_, parent)| parent);
            self.files.get(format!("{parent}/{file}").as_str()).copied()
        })
    }

    pub(super) fn script(&self, text: &[u8]) -> BTreeSet<usize> {
        let Some(inline) = &self.inline else { return BTreeSet::new() };
        inline
            .find_overlapping_iter(text)
            .filter_map(|found| self.inline_of.get(found.pattern().as_usize()).copied())
            .collect()
    }

    pub(super) fn cookie(&self, name: &str) -> Option<usize> {
        self.whole_cookies.get(name).copied().or_else(|| {
            self.cookie_lengths
                .iter()
                .find_map(|length| self.cookie_starts.get(name.get(..*length)?))
                .copied()
        })
    }
}

impl Folder {
    fn new(path: &str, index: usize) -> Self {
        let finder = |path: &str| Finder::new(path).into_owned();
        Folder { whole: finder(path), bare: finder(path.trim_start_matches('/')), index }
    }
}

fn file_ends(files: &Named<usize>) -> HashSet<Box<str>, RandomState> {
    files.keys().filter_map(|file| file.rsplit('/').next()).map(Into::into).collect()
}

/// A host and every domain above it.
fn above(host: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(host), |host| {
        let dot = host.bytes().position(|byte| byte == b'.')?;
        host.get(dot + 1..)
    })
}
