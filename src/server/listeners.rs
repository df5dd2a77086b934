//! The listeners that run. A reload opens and closes them and gives them new certificates, while the others go on.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Timestamp;
use crate::listener::certificates::Certificates;
use crate::listener::tickets::Tickets;
use crate::listener::{self, Bound, Conditions, Settings, Transport, Workers};
use crate::proxy::Proxy;

/// How soon an address that could not be had is tried again.
pub const TRY_AGAIN: Duration = Duration::from_secs(5);

/// The listeners of a run, in the order of the YAML.
#[derive(Debug)]
pub(super) struct Listeners {
    running: Mutex<Vec<Running>>,
    tasks: TaskTracker,
    proxy: Proxy,
    conditions: Conditions,
    workers: Workers,
    tickets: Tickets,
    shutdown: CancellationToken,
}

#[derive(Debug)]
struct Running {
    settings: Settings,
    local_address: SocketAddr,
    certificates: Option<Certificates>,
    /// The socket once more: for other settings on the same address, or for a process that is to replace this one.
    socket: OwnedFd,
    shutdown: CancellationToken,
}

impl Listeners {
    /// None yet; all of them end with `shutdown`.
    pub(super) fn new(
        proxy: Proxy,
        conditions: Conditions,
        workers: Workers,
        tickets: Tickets,
        shutdown: CancellationToken,
    ) -> Self {
        Listeners {
            running: Mutex::default(),
            tasks: TaskTracker::new(),
            proxy,
            conditions,
            workers,
            tickets,
            shutdown,
        }
    }

    /// Serves these, which are bound already.
    pub(super) fn serve(&self, bound: impl IntoIterator<Item = (Settings, Bound)>) -> io::Result<()> {
        for (settings, bound) in bound {
            let running = self.begin(settings, bound)?;
            self.running().push(running);
        }
        Ok(())
    }

    /// Where they listen.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.running().iter().map(|running| running.local_address).collect()
    }

    /// Their sockets.
    pub(super) fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        self.running().iter().map(|running| running.socket.try_clone()).collect()
    }

    /// The keys of their tickets.
    pub(super) fn tickets(&self) -> Tickets {
        self.tickets.clone()
    }

    /// When each of their certificates ends.
    pub(super) fn expiries(&self) -> Vec<(Box<str>, Timestamp)> {
        let running = self.running();
        running
            .iter()
            .filter_map(|running| running.certificates.as_ref())
            .flat_map(Certificates::expiries)
            .collect()
    }

    /// Makes them those of new settings. Where an address cannot be had, it is told, and the listeners that are no
    /// longer wanted stay until it can, so that a site is never without any. Gives back how many are missing.
    pub(super) fn adapt(&self, wanted: &[Settings]) -> usize {
        let mut running = self.running();
        let mut before = std::mem::take(&mut *running);
        let mut missing = 0;
        for settings in wanted {
            let same = before.iter().position(|old| old.settings.address == settings.address);
            match same.map(|index| before.remove(index)) {
                Some(old) => running.push(self.change(old, settings)),
                None => match self.bind(settings, None) {
                    Ok(new) => {
                        tracing::info!(address = %new.local_address, "listening");
                        running.push(new);
                    }
                    Err(error) => {
                        tracing::error!("{error:#}: tried again every {} seconds", TRY_AGAIN.as_secs());
                        missing += 1;
                    }
                },
            }
        }
        if missing > 0 {
            running.append(&mut before);
        }
        for old in before {
            tracing::info!(address = %old.local_address, "no longer listening: connections under way may end");
            old.shutdown.cancel();
        }
        missing
    }

    /// Takes nothing new.
    pub(super) fn close(&self) {
        // The kernel refuses nobody while anybody has the socket.
        self.running().clear();
        self.shutdown.cancel();
        self.tasks.close();
    }

    /// Waits until all connections have ended, or have been cut off.
    pub(super) async fn ended(&self) {
        self.tasks.wait().await;
    }

    fn begin(&self, settings: Settings, bound: Bound) -> io::Result<Running> {
        let shutdown = self.shutdown.child_token();
        let running = Running {
            settings,
            local_address: bound.local_address(),
            certificates: bound.certificates(),
            socket: bound.socket()?,
            shutdown: shutdown.clone(),
        };
        let (proxy, conditions, workers) =
            (self.proxy.clone(), self.conditions.clone(), self.workers.clone());
        self.tasks.spawn(bound.serve(proxy, conditions, workers, shutdown));
        Ok(running)
    }

    fn change(&self, mut old: Running, settings: &Settings) -> Running {
        let speaks_the_same = old.settings.proxy_protocol == settings.proxy_protocol;
        match (&settings.transport, &old.certificates) {
            (Transport::Tls(files), Some(certificates)) if speaks_the_same => {
                // Also where the settings are the same: the files may have been renewed.
                for error in certificates.replace(files) {
                    // Whoever read the settings has told it already, at its line.
                    tracing::debug!(%error, "this certificate stays as it was");
                }
                old.settings = settings.clone();
                old
            }
            _ if old.settings == *settings => old,
            _ => self.replace(old, settings),
        }
    }

    /// The same socket with other settings: whoever connects meanwhile waits, and is refused by nobody.
    fn replace(&self, old: Running, settings: &Settings) -> Running {
        let socket = old.socket.try_clone().map(TcpListener::from);
        match socket.map_err(Into::into).and_then(|socket| self.bind(settings, Some(socket))) {
            Ok(new) => {
                tracing::info!(address = %new.local_address, "what is spoken here has changed");
                old.shutdown.cancel();
                new
            }
            Err(error) => {
                tracing::error!("{error:#}: this listener stays as it was");
                old
            }
        }
    }

    fn bind(&self, settings: &Settings, socket: Option<TcpListener>) -> anyhow::Result<Running> {
        let bound = listener::bind(settings, &self.tickets, socket)?;
        Ok(self.begin(settings.clone(), bound)?)
    }

    fn running(&self) -> MutexGuard<'_, Vec<Running>> {
        // A panic elsewhere leaves each listener whole.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
