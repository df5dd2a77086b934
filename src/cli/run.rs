//! `consentry run`: the proxy, until SIGTERM or Ctrl-C. SIGHUP and changed files have the settings read again,
//! SIGUSR2 starts its successor.

mod service_manager;
mod successor;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};

use crate::clock::Clock;
use crate::config::{self, FirstStart, Loaded, Problem, Seen, Severity, Watch};
use crate::listener::Inherited;
use crate::server::files;
use crate::server::{Occasion, Outcome, Reload, Server, TRY_AGAIN};
use crate::telemetry;
use successor::Successor;

/// How often the dates of certificates are looked at.
const DAY: Duration = Duration::from_secs(86_400);
/// When the ledger is purged first; daily from then on.
const FIRST_PURGE: Duration = Duration::from_secs(300);

/// Runs the proxy with the settings at `path`.
pub(super) fn run(path: &Path) -> ExitCode {
    let inherited = Inherited::from_environment();
    let loaded = match config::load(path, FirstStart::MakeSecrets) {
        Ok(loaded) if !loaded.warnings.iter().any(Problem::is_error) => loaded,
        Ok(Loaded { warnings: problems, .. }) | Err(problems) => {
            super::check::print(&problems);
            return ExitCode::FAILURE;
        }
    };
    let _log = match telemetry::start_log(loaded.settings.log_format) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("error: the log cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    match serve(loaded, inherited, path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the proxy cannot run");
            ExitCode::FAILURE
        }
    }
}

fn serve(loaded: Loaded, inherited: Inherited, path: &Path) -> anyhow::Result<()> {
    // For signals, accepting and what is done beside: connections have threads of their own (`listener::Workers`).
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        // Before anything is served, so that no signal is lost.
        let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        let mut replace = signal(SignalKind::user_defined2()).context("SIGUSR2")?;
        let mut reopen = signal(SignalKind::user_defined1()).context("SIGUSR1")?;
        let giver = inherited.giver();
        tell(&loaded.warnings);
        files::raise();
        let seen = Arc::clone(loaded.settings.seen());
        let server = Arc::new(Server::start_on(loaded.settings, Clock::system(), inherited).await?);
        service_manager::keep_alive(server.pulse());
        for address in server.addresses() {
            tracing::info!(%address, "listening");
        }
        if let Some(address) = server.admin_address() {
            tracing::info!(%address, "health and metrics");
        }
        let (sites, listeners) = (server.metrics().sites.get(), server.addresses().len());
        tracing::info!(version = env!("CARGO_PKG_VERSION"), sites, listeners, "started");
        let mut watch = Watch::start(&seen);
        service_manager::ready();
        successor::tell_predecessor(giver);
        let mut successor = None;
        let mut reading = None;
        let mut again = tokio::time::interval(TRY_AGAIN);
        let mut purge = tokio::time::interval_at(tokio::time::Instant::now() + FIRST_PURGE, DAY);
        let mut daily = tokio::time::interval_at(tokio::time::Instant::now() + DAY, DAY);
        loop {
            // One at a time: a successor has the sockets of before, and reads the files itself.
            let is_settled = successor.is_none() && reading.is_none();
            let occasion = tokio::select! {
                _ = hangup.recv(), if is_settled => Occasion::Asked,
                () = watch.changed(), if is_settled => Occasion::FilesChanged,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                read = read(&mut reading) => {
                    reading = None;
                    match read {
                        Ok(seen) => watch.follow(&seen),
                        Err(error) => {
                            tracing::error!(%error, "the settings could not be read again: the old ones stay in force");
                            service_manager::ready();
                        }
                    }
                    continue;
                }
                // Only then: an address that a successor has would be missing here.
                _ = again.tick(), if server.misses_listeners() && is_settled => {
                    server.complete_listeners();
                    continue;
                }
                _ = purge.tick() => {
                    server.purge_ledger();
                    continue;
                }
                _ = daily.tick() => {
                    let server = Arc::clone(&server);
                    tokio::task::spawn_blocking(move || server.warn_of_certificates());
                    continue;
                }
                // What rotates the logs of nginx sends it, and it would end the process.
                _ = reopen.recv() => {
                    tracing::info!("SIGUSR1 does nothing here: the log goes to standard error, and has no file of its own");
                    continue;
                }
                _ = replace.recv(), if reading.is_none() => {
                    begin_to_replace(&server, &mut successor);
                    continue;
                }
                ready = ready(&mut successor) => match ready {
                    Ok(id) => return hand_over(&server, id).await,
                    Err(error) => {
                        tracing::error!("not replaced: {error:#}; this process goes on");
                        successor = None;
                        continue;
                    }
                },
            };
            // Beside all else: thousands of sites take seconds to read, and a disk that hangs takes for ever.
            let (files, reader) = (path.to_owned(), Arc::clone(&server));
            reading = Some(tokio::task::spawn_blocking(move || reload(&reader, &files, occasion)));
        }
        service_manager::stopping();
        tracing::info!("stopping: requests under way may end");
        tokio::select! {
            () = server.stop() => tracing::info!("stopped"),
            _ = terminate.recv() => tracing::warn!("stopped at once: asked for a second time"),
            _ = interrupt.recv() => tracing::warn!("stopped at once: asked for a second time"),
        }
        Ok(())
    });
    // Whoever still looks up a name need not be waited for.
    runtime.shutdown_background();
    ended
}

fn begin_to_replace(server: &Server, successor: &mut Option<Successor>) {
    if successor.is_some() {
        tracing::warn!("a new process is being started already");
        return;
    }
    match server.legacy().context("the sockets cannot be kept").and_then(Successor::start) {
        Ok(started) => {
            tracing::info!("a new process is being started on the same sockets");
            *successor = Some(started);
        }
        Err(error) => tracing::error!("not replaced: {error:#}; this process goes on"),
    }
}

/// Waits until the successor serves; for ever while there is none.
async fn ready(successor: &mut Option<Successor>) -> anyhow::Result<u32> {
    match successor {
        Some(successor) => successor.ready().await,
        None => std::future::pending().await,
    }
}

/// Waits until the settings have been read again; for ever while nobody reads them.
async fn read(reading: &mut Option<JoinHandle<Arc<Seen>>>) -> Result<Arc<Seen>, JoinError> {
    match reading {
        Some(reading) => reading.await,
        None => std::future::pending().await,
    }
}

async fn hand_over(server: &Server, successor: u32) -> anyhow::Result<()> {
    service_manager::replaced_by(successor);
    tracing::info!(successor, "replaced: requests under way may end");
    server.hand_over().await;
    Ok(())
}

/// Reads the settings again, says what came of it, and gives back which files matter now.
fn reload(server: &Server, path: &Path, occasion: Occasion) -> Arc<Seen> {
    service_manager::reloading();
    let Reload { outcome, news, errors, outdated, seen } = server.reload(path, occasion);
    tell(&news);
    match outcome {
        Outcome::Unchanged => {}
        Outcome::Applied => tracing::info!("the settings have been read again"),
        Outcome::Partly => {
            tracing::error!(
                errors,
                sites_outdated = outdated,
                "what has errors stays as it was, the rest is new"
            );
        }
        Outcome::Refused => tracing::error!(errors, "the old settings stay in force"),
    }
    // Also after a refusal: the service goes on as it was.
    service_manager::ready();
    seen
}

fn tell(problems: &[Problem]) {
    for (severity, line) in lines(problems) {
        match severity {
            Severity::Error => tracing::error!("{line}"),
            Severity::Warning => tracing::warn!("{line}"),
        }
    }
}

/// One line each, but of what is merely doubtful one line a file: a text that has yet to be written has dozens.
fn lines(problems: &[Problem]) -> Vec<(Severity, String)> {
    let mut files: BTreeMap<&Path, Vec<&Problem>> = BTreeMap::new();
    for problem in problems.iter().filter(|problem| !problem.is_error()) {
        files.entry(&problem.file).or_default().push(problem);
    }
    let told = problems.iter().filter_map(|problem| {
        if problem.is_error() {
            return Some((Severity::Error, problem.to_string()));
        }
        // At the place of the first.
        let of_the_file = files.remove(&*problem.file)?;
        let first = of_the_file.first()?;
        let line = match of_the_file.len() - 1 {
            0 => first.to_string(),
            more => format!("{first} (and {more} more in this file: `consentry check` tells all)"),
        };
        Some((Severity::Warning, line))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_has_one_line_a_file_of_what_is_merely_doubtful() {
        let problem = |severity, file: &str, message: &str| Problem {
            severity,
            file: file.into(),
            place: None,
            message: message.into(),
            help: None,
        };
        use Severity::{Error, Warning};
        let problems = [
            problem(Warning, "a.md", "one"),
            problem(Error, "a.md", "two"),
            problem(Warning, "b.md", "three"),
            problem(Warning, "a.md", "four"),
            problem(Error, "a.md", "five"),
            problem(Warning, "a.md", "six"),
        ];
        let told = lines(&problems);
        let told: Vec<_> = told.iter().map(|(severity, line)| (*severity, &**line)).collect();
        assert_eq!(
            told,
            [
                (Warning, "a.md: one (and 2 more in this file: `consentry check` tells all)"),
                (Error, "a.md: two"),
                (Warning, "b.md: three"),
                (Error, "a.md: five"),
            ]
        );
    }
}
