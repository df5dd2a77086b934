//! YAML to settings: read as written, checked whole, and built into what each stage owns.

mod claims;
mod decode;
mod files;
mod problem;
mod raw;
mod reload;
mod resolve;
mod schema;
mod seen;
mod sites;
mod tree;
mod undeclared;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::consent::cookie::Secrets;
use crate::site::Sites;
use crate::visit::ClientAddress;
use crate::{ledger, listener, telemetry, upstream};
use files::Files;
pub use problem::{Colours, Place, Problem, Severity};
pub use reload::{Reread, reload};
use resolve::{Keys, NewFile, Scope, at};
pub use schema::{File, schema_of, schema_of_both};
use seen::Fingerprint;
pub use seen::Seen;
use sites::{Common, Known};
pub use watch::Watch;

/// Everything that a run of the proxy needs to know: an immutable snapshot.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen.
    pub listeners: Vec<listener::Settings>,
    /// Where health and metrics are served; none: nowhere.
    pub admin: Option<SocketAddr>,
    /// Whether answers are counted for each site by itself, too (`admin.count_by_site`).
    pub is_counted_by_site: bool,
    /// Networks whose forwarding headers are believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// The keys that sign cookies.
    pub secrets: Arc<Secrets>,
    /// Where the ledger is kept.
    pub ledger: ledger::Settings,
    /// How the log is written.
    pub log_format: telemetry::LogFormat,
    /// What the log says of visitors' addresses.
    pub log_client_address: ClientAddress,
    /// How long clients may take.
    pub timeouts: listener::Timeouts,
    /// How long upstreams may take.
    pub upstream_timeouts: upstream::Timeouts,
    /// How much clients may take.
    pub limits: listener::Limits,
    /// The largest form that is kept while a document is read, in bytes.
    pub held_form: usize,
    /// The sites.
    pub sites: Sites,
    /// What all this was made from.
    origin: Origin,
}

/// What settings were made from: the next reading compares with it.
#[derive(Clone, Debug)]
struct Origin {
    /// `consentry.yaml`.
    main: Fingerprint,
    common: Arc<Common>,
    known: Arc<Known>,
    seen: Arc<Seen>,
    warnings: Vec<Problem>,
}

impl Settings {
    /// What was found on the disk when these settings were read.
    pub fn seen(&self) -> &Arc<Seen> {
        &self.origin.seen
    }

    /// What an operator was told about these settings when they were read.
    pub fn warnings(&self) -> &[Problem] {
        &self.origin.warnings
    }
}

/// What to do where the file of secrets does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstStart {
    /// Make it, readable by its owner alone: `consentry run`.
    MakeSecrets,
    /// Leave the disk alone: `consentry check`.
    ReadOnly,
    /// It has existed, so it is an error: new secrets would void every cookie. A reload.
    Past,
}

/// Settings, and what an operator should still look at.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// Keys without behaviour yet, documents that are not filled in, and the like. Certificates that cannot be
    /// used stand here as errors: they stop a start, and at a reload the listener keeps those it has.
    pub warnings: Vec<Problem>,
    /// The sites whose privacy document is not filled in: they ask nobody for anything.
    pub not_filled_in: Vec<Box<str>>,
}

/// Reads `consentry.yaml` at `path` and every file it names. All errors of all files come back at once, with the
/// warnings among them, in the order of the files.
pub fn load(path: &Path, first_start: FirstStart) -> Result<Loaded, Vec<Problem>> {
    let mut files = Files::default();
    let mut read = read(&mut files, path, first_start, None);
    if let Some(Read { to_write: Some(new), .. }) = &read
        && !files.has_errors()
    {
        if let Err(error) = new.write() {
            files.problems.push(not_written(&new.path, &error));
        }
        files.look_anew(&new.path);
    }
    // Certificates that cannot be used stop a start, and say nothing against the rest of the settings.
    let is_usable = !files.has_errors();
    if let Some(read) = &mut read {
        files.problems.append(&mut read.of_certificates);
    }
    let problems = in_order(std::mem::take(&mut files.problems));
    match read {
        Some(read) if is_usable => {
            let not_filled_in = read.not_filled_in;
            let origin =
                Origin { seen: Arc::new(files.seen), warnings: problems.clone(), ..read.settings.origin };
            let settings = Settings { origin, ..read.settings };
            Ok(Loaded { settings, warnings: problems, not_filled_in })
        }
        _ => Err(problems),
    }
}

/// Where `consentry.yaml` at `path` says that health is served, or that it is not. Errors elsewhere in the file are
/// of no account.
pub fn admin_address(path: &Path) -> Result<Option<SocketAddr>, Vec<Problem>> {
    let mut files = Files::default();
    let address = files.read(path).and_then(|file| {
        let mut tree = tree::parse(&mut files, file)?;
        let raw: raw::Main = decode::decode(&mut files, &mut tree)?;
        resolve::admin(&mut Scope { files: &mut files, tree: &tree }, &raw, &[])
    });
    match address {
        None if files.problems.iter().any(Problem::is_error) => Err(in_order(files.problems)),
        address => Ok(address),
    }
}

/// What one reading of all files gave.
struct Read {
    settings: Settings,
    not_filled_in: Vec<Box<str>>,
    to_write: Option<NewFile>,
    outdated: Vec<Box<str>>,
    /// What is wrong or doubtful in the files of certificates.
    of_certificates: Vec<Problem>,
}

/// Nothing comes back where the main file leaves nothing to go on with.
fn read(files: &mut Files, path: &Path, first_start: FirstStart, before: Option<&Settings>) -> Option<Read> {
    let file = files.read(path)?;
    let main = files.look(path);
    let mut tree = tree::parse(files, file)?;
    let raw: raw::Main = decode::decode(files, &mut tree)?;
    let defaults = tree.take("defaults").unwrap_or_else(|| tree::Node::empty(tree.spot));
    let proxy = resolve::proxy(&mut Scope { files, tree: &tree }, &raw, first_start);
    let (proxy, to_write) = match before.filter(|_| files.has_errors()) {
        // Only something beside the file can be wrong, such as the file of secrets, where it is as it was itself.
        Some(before) if before.origin.main == main => (before.clone(), None),
        Some(_) => return None,
        None => without_sites(proxy, &raw, defaults, main),
    };
    let found = match raw.sites.as_deref() {
        // What `sites` should have named is unknown: the usual folder would only raise false alarms.
        None if tree.has_lost(at!["sites"]) => sites::Found::default(),
        pattern => {
            let before = before.map(|before| &*before.origin.known);
            sites::load(files, &tree, pattern.unwrap_or("sites/*.yaml"), &proxy.origin.common, before)
        }
    };
    // Set aside: what is wrong here concerns one listener, and no site's settings.
    let already = files.problems.len();
    resolve::certificates(&mut Scope { files, tree: &tree }, &raw, &found.sites);
    let of_certificates = files.problems.split_off(already);
    let origin = Origin { known: Arc::new(found.known), ..proxy.origin };
    let settings = Settings { sites: found.sites, origin, ..proxy };
    let (not_filled_in, outdated) = (found.not_filled_in, found.outdated);
    Some(Read { settings, not_filled_in, to_write, outdated, of_certificates })
}

/// What the main file says of the proxy itself, and of all sites.
fn without_sites(
    proxy: resolve::Proxy,
    raw: &raw::Main,
    defaults: tree::Node,
    main: Fingerprint,
) -> (Settings, Option<NewFile>) {
    let Keys { secrets, fingerprint, to_write } = proxy.keys.unwrap_or_else(Keys::none);
    let common = Arc::new(Common {
        defaults,
        secrets: Arc::clone(&secrets),
        secrets_fingerprint: fingerprint,
        listeners: proxy.listeners.iter().map(|listener| listener.address).collect(),
        html_token: proxy.html_token,
    });
    let settings = Settings {
        listeners: proxy.listeners,
        admin: proxy.admin,
        is_counted_by_site: raw.admin.as_ref().is_some_and(|admin| admin.count_by_site),
        trusted_proxies: proxy.trusted_proxies,
        secrets,
        ledger: proxy.ledger,
        log_format: raw.log.format,
        log_client_address: proxy.log_client_address,
        timeouts: proxy.timeouts,
        upstream_timeouts: proxy.upstream_timeouts,
        limits: proxy.limits,
        held_form: proxy.held_form,
        sites: Sites::default(),
        origin: Origin { main, common, known: Arc::default(), seen: Arc::default(), warnings: Vec::new() },
    };
    (settings, to_write)
}

fn not_written(path: &Path, error: &std::io::Error) -> Problem {
    Problem {
        severity: Severity::Error,
        file: path.to_owned(),
        place: None,
        message: format!("the secrets of the first start cannot be written: {error}"),
        help: Some("let the proxy write this folder, or make the file: `openssl rand -hex 32`".into()),
    }
}

/// By file, in the order in which they were first found wrong, then by line; what several sites inherit, once.
fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    let mut files: HashMap<PathBuf, usize> = HashMap::new();
    for problem in &problems {
        let next = files.len();
        files.entry(problem.file.clone()).or_insert(next);
    }
    let place = |problem: &Problem| problem.place.as_ref().map(|place| (place.line, place.column));
    problems.sort_by_cached_key(|problem| {
        (files.get(&problem.file).copied(), place(problem), problem.severity, problem.message.clone())
    });
    problems.dedup();
    problems
}
