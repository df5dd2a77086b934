//! `consentry demo`: the proxy in front of a small legacy shop that is part of this binary.
//!
//! The shop knows nothing of consent and the settings are read from files, as with any other site: what a person
//! sees here is what the proxy does, not what the demo does.

mod folder;
mod shop;
mod template;

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use crate::clock::Clock;
use crate::config::{self, FirstStart};
use crate::server::Server;
use crate::telemetry;

use folder::Folder;
use shop::Shop;

/// What `consentry demo` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the proxy listens; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
}

/// Runs the demo until Ctrl-C.
pub(super) fn run(args: Args) -> ExitCode {
    let finished = tokio::runtime::Runtime::new()
        .context("the runtime cannot be started")
        .and_then(|runtime| runtime.block_on(play(args.listen)));
    match finished {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem:#}");
            ExitCode::FAILURE
        }
    }
}

async fn play(listen: SocketAddr) -> anyhow::Result<()> {
    check_free(listen)?;
    let shop = Shop::open().await.context("the shop cannot be opened on 127.0.0.1")?;
    let folder = Folder::write(listen, shop.address()).context("the demo's settings cannot be written")?;
    let loaded = config::load(&folder.settings(), FirstStart::MakeSecrets).map_err(|problems| {
        super::check::print(&problems);
        anyhow::anyhow!("the demo's own settings are refused")
    })?;
    // Among the hints below, a log line for each request would bury them: it comes when asked for.
    let wants_log = std::env::var_os("CONSENTRY_LOG").is_some();
    let _log = wants_log.then(|| telemetry::start_log(loaded.settings.log_format)).transpose()?;
    let server = Server::start(loaded.settings, Clock::system()).await?;
    print!("{}", introduction(&server, &shop, &folder));
    interrupted().await?;
    println!("\nStopping. The demo's folder, ledger included, is removed.");
    tokio::select! {
        () = server.stop() => Ok(()),
        again = interrupted() => again,
    }
}

/// Tells what to do when the address is taken, before anything is started.
fn check_free(listen: SocketAddr) -> anyhow::Result<()> {
    match TcpListener::bind(listen) {
        Ok(_) => Ok(()),
        Err(taken) if taken.kind() == ErrorKind::AddrInUse => anyhow::bail!(
            "{listen} is taken by another program.\n\
             Stop that program, or choose another port: consentry demo --listen {}:{}\n\
             (port 0 takes any free one)",
            bracketed(listen),
            listen.port().checked_add(1).unwrap_or(8080),
        ),
        Err(refused) => Err(refused).with_context(|| format!("cannot listen on {listen}")),
    }
}

/// The IP address as it stands in front of a port.
fn bracketed(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// What to open, and what to look at.
fn introduction(server: &Server, shop: &Shop, folder: &Folder) -> String {
    let site = server.addresses().first().map(ToString::to_string).unwrap_or_default();
    let metrics =
        server.admin_address().map(|admin| format!("http://{admin}/metrics")).unwrap_or_else(|| "-".into());
    let program = std::env::args().next().unwrap_or_else(|| "consentry".into());
    template::fill(
        include_str!("demo/introduction.txt"),
        &[
            ("site", &format!("http://{site}")),
            ("shop", &format!("http://{}", shop.address())),
            ("metrics", &metrics),
            ("folder", &folder.root().display().to_string()),
            ("program", &program),
            ("settings", &folder.settings().display().to_string()),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let message = check_free(taken.local_addr().unwrap()).unwrap_err().to_string();
        assert!(message.contains(&taken.local_addr().unwrap().to_string()), "{message}");
        assert!(message.contains("--listen 127.0.0.1:"), "{message}");
    }

    #[test]
    fn the_next_port_of_an_ipv6_address_can_be_typed_as_it_stands() {
        let address: SocketAddr = "[::1]:8080".parse().unwrap();
        let proposed: SocketAddr = format!("{}:8081", bracketed(address)).parse().unwrap();
        assert_eq!(proposed.port(), 8081);
    }
}
