//! `consentry run`: the proxy, until SIGTERM or Ctrl-C; SIGHUP reads the settings again, SIGUSR2 starts its successor.

mod service_manager;
mod successor;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::config::{self, FirstStart, Loaded, Problem, Severity};
use crate::listener::Inherited;
use crate::server::Server;
use crate::telemetry;
use successor::Successor;

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
    telemetry::start_log(loaded.settings.log_format);
    match serve(loaded, inherited, path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve(loaded: Loaded, inherited: Inherited, path: &Path) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anything is served, so that no signal is lost.
        let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        let mut replace = signal(SignalKind::user_defined2()).context("SIGUSR2")?;
        let giver = inherited.giver();
        warn(&loaded.warnings);
        service_manager::keep_alive();
        let server = Server::start_on(loaded.settings, Clock::system(), inherited).await?;
        for address in server.addresses() {
            tracing::info!(%address, "listening");
        }
        if let Some(address) = server.admin_address() {
            tracing::info!(%address, "health and metrics");
        }
        service_manager::ready();
        successor::tell_predecessor(giver);
        let mut successor = None;
        loop {
            tokio::select! {
                _ = hangup.recv() => reload(&server, path),
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = replace.recv() => begin_to_replace(&server, &mut successor),
                ready = ready(&mut successor) => match ready {
                    Ok(id) => return hand_over(server, id).await,
                    Err(error) => {
                        tracing::error!("not replaced: {error:#}; this process goes on");
                        successor = None;
                    }
                },
            }
        }
        service_manager::stopping();
        tracing::info!("stopping: requests under way may end");
        server.stop().await;
        Ok(())
    })
}

fn begin_to_replace(server: &Server, successor: &mut Option<Successor>) {
    if successor.is_some() {
        tracing::warn!("a new process is being started already");
        return;
    }
    match server.sockets().context("the sockets cannot be kept").and_then(Successor::start) {
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

async fn hand_over(server: Server, successor: u32) -> anyhow::Result<()> {
    service_manager::replaced_by(successor);
    tracing::info!(successor, "replaced: requests under way may end");
    server.hand_over().await;
    Ok(())
}

fn reload(server: &Server, path: &Path) {
    service_manager::reloading();
    match server.reload(path) {
        Ok(warnings) => {
            warn(&warnings);
            tracing::info!("the settings have been read again");
        }
        Err(problems) => {
            for problem in &problems {
                tracing::error!("{problem}");
            }
            tracing::error!(problems = problems.len(), "the old settings stay in force");
        }
    }
    // Also after a refusal: the service goes on as it was.
    service_manager::ready();
}

fn warn(warnings: &[Problem]) {
    for warning in warnings {
        match warning.severity {
            Severity::Error => tracing::error!("{warning}"),
            Severity::Warning => tracing::warn!("{warning}"),
        }
    }
}
