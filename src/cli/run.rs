//! `consentry run`: the proxy, until SIGTERM or Ctrl-C; SIGHUP reads the settings again.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::config::{self, FirstStart, Loaded, Problem, Severity};
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
            tracing::error!("{error:#}");
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
        let server = Server::start(loaded.settings, Clock::system()).await?;
        for address in server.addresses() {
            tracing::info!(%address, "listening");
        }
        if let Some(address) = server.admin_address() {
            tracing::info!(%address, "health and metrics");
        }
        loop {
            tokio::select! {
                _ = hangup.recv() => reload(&server, path),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            }
        }
        tracing::info!("stopping: requests under way may end");
        server.stop().await;
        Ok(())
    })
}

/// Reads the settings again, and says what came of it.
fn reload(server: &Server, path: &Path) {
    let Reload { outcome, news, errors, outdated, .. } = server.reload(path, Occasion::Asked);
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
}

fn tell(problems: &[Problem]) {
    for problem in problems {
        match problem.severity {
            Severity::Error => tracing::error!("{problem}"),
            Severity::Warning => tracing::warn!("{problem}"),
        }
    }
}
