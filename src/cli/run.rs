//! `consentry run`: the proxy, until SIGTERM or Ctrl-C; SIGHUP and changed files have the settings read again.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::config::{self, FirstStart, Loaded, Problem, Seen, Severity, Watch};
use crate::server::{Occasion, Outcome, Reload, Server};
use crate::telemetry;

/// Runs the proxy with the settings at `path`.
pub(super) fn run(path: &Path) -> ExitCode {
    let loaded = match config::load(path, FirstStart::MakeSecrets) {
        Ok(loaded) => loaded,
        Err(problems) => {
            super::check::print(&problems);
            return ExitCode::FAILURE;
        }
    };
    telemetry::start_log(loaded.settings.log_format);
    match serve(loaded, path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the proxy cannot run");
            ExitCode::FAILURE
        }
    }
}

fn serve(loaded: Loaded, path: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anything is served, so that no signal is lost.
        let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        tell(&loaded.warnings);
        let seen = Arc::clone(loaded.settings.seen());
        let server = Server::start(loaded.settings, Clock::system()).await?;
        for address in server.addresses() {
            tracing::info!(%address, "listening");
        }
        if let Some(address) = server.admin_address() {
            tracing::info!(%address, "health and metrics");
        }
        let (sites, listeners) = (server.metrics().sites.get(), server.addresses().len());
        tracing::info!(version = env!("CARGO_PKG_VERSION"), sites, listeners, "started");
        let mut watch = Watch::start(&seen);
        loop {
            let occasion = tokio::select! {
                _ = hangup.recv() => Occasion::Asked,
                () = watch.changed() => Occasion::FilesChanged,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            };
            watch.follow(&reload(&server, path, occasion));
        }
        tracing::info!("stopping: requests under way may end");
        server.stop().await;
        tracing::info!("stopped");
        Ok(())
    })
}

/// Reads the settings again, says what came of it, and gives back which files matter now.
fn reload(server: &Server, path: &Path, occasion: Occasion) -> Arc<Seen> {
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
    seen
}

fn tell(problems: &[Problem]) {
    for problem in problems {
        match problem.severity {
            Severity::Error => tracing::error!("{problem}"),
            Severity::Warning => tracing::warn!("{problem}"),
        }
    }
}
