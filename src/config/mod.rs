//! YAML to settings: read as written, checked whole, and built into what each stage owns.

mod decode;
mod files;
mod problem;
mod raw;
mod resolve;
mod sites;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::clock::Clock;
use crate::consent::cookie::Secrets;
use crate::site::Sites;
use crate::visit::ClientAddress;
use crate::{ledger, listener, telemetry, upstream};
use files::Files;
pub use problem::{Colours, Place, Problem, Severity};
use resolve::{Keys, NewFile, Scope, Shared, at};

/// Everything that a run of the proxy needs to know: an immutable snapshot.
#[derive(Debug)]
pub struct Settings {
    /// Where to listen.
    pub listeners: Vec<listener::Settings>,
    /// Where health and metrics are served; none: nowhere.
    pub admin: Option<SocketAddr>,
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
    /// The sites.
    pub sites: Sites,
}

/// What to do where the file of secrets does not exist yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstStart {
    /// Make it, readable by its owner alone: `consentry run`.
    MakeSecrets,
    /// Leave the disk alone: `consentry check`.
    ReadOnly,
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
    let read = read(&mut files, path, first_start);
    if let Some((_, Some(new))) = &read
        && !files.problems.iter().any(Problem::is_error)
        && let Err(error) = new.write()
    {
        files.problems.push(not_written(&new.path, &error));
    }
    let is_usable = !files.problems.iter().any(Problem::is_error);
    let of_certificates = read.iter().flat_map(|(loaded, _)| loaded.warnings.clone());
    let problems = in_order(files.problems.into_iter().chain(of_certificates).collect());
    match read {
        Some((mut loaded, _)) if is_usable => {
            loaded.warnings = problems;
            Ok(loaded)
        }
        _ => Err(problems),
    }
}

fn read(files: &mut Files, path: &Path, first_start: FirstStart) -> Option<(Loaded, Option<NewFile>)> {
    let file = files.read(path)?;
    let mut tree = tree::parse(files, file)?;
    let raw: raw::Main = decode::decode(files, &mut tree)?;
    let defaults = tree.take("defaults").unwrap_or_else(|| tree::Node::empty(tree.spot));
    let proxy = resolve::proxy(&mut Scope { files, tree: &tree }, &raw, first_start);
    let Keys { secrets, to_write } = proxy.keys.unwrap_or_else(Keys::none);
    let listeners: Vec<SocketAddr> = proxy.listeners.iter().map(|listener| listener.address).collect();
    let shared = Shared { secrets: &secrets, listeners: &listeners, html_token: proxy.html_token };
    let found = match raw.sites.as_deref() {
        // What `sites` should have named is unknown: the usual folder would only raise false alarms.
        None if tree.has_lost(at!["sites"]) => sites::Found::default(),
        pattern => sites::load(files, &tree, pattern.unwrap_or("sites/*.yaml"), &defaults, &shared),
    };
    // Set aside: what is wrong here concerns one listener, and no site's settings.
    let before = files.problems.len();
    resolve::certificates(&mut Scope { files, tree: &tree }, &raw, &found.sites, Clock::system().now());
    let warnings = files.problems.split_off(before);
    let settings = Settings {
        listeners: proxy.listeners,
        admin: proxy.admin,
        trusted_proxies: proxy.trusted_proxies,
        secrets,
        ledger: proxy.ledger,
        log_format: raw.log.format,
        log_client_address: proxy.log_client_address,
        timeouts: proxy.timeouts,
        upstream_timeouts: proxy.upstream_timeouts,
        limits: proxy.limits,
        sites: found.sites,
    };
    Some((Loaded { settings, warnings, not_filled_in: found.not_filled_in }, to_write))
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
