//! Settings to running parts: start, reload, drain.

mod listeners;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Health};
use crate::clock::Clock;
use crate::config::{self, FirstStart, Loaded, Problem};
use crate::ledger::Ledger;
use crate::listener::{self, Conditions, Giver, Inherited};
use crate::own::Own;
use crate::proxy::Proxy;
use crate::telemetry::{Metrics, count};
use crate::upstream::Upstreams;
use listeners::Listeners;

/// A proxy that runs. Dropping it leaves its tasks running; [`Server::stop`] ends them.
#[derive(Debug)]
pub struct Server {
    settings: Arc<ArcSwap<config::Settings>>,
    listeners: Listeners,
    admin_address: Option<SocketAddr>,
    /// The admin listener's socket once more, for a process that is to replace this one.
    admin_socket: Option<OwnedFd>,
    upstreams: Arc<Upstreams>,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    admin_shutdown: CancellationToken,
}

impl Server {
    /// Opens the ledger, binds every listener, and serves. Nothing is bound where anything fails.
    pub async fn start(settings: config::Settings, clock: Clock) -> anyhow::Result<Self> {
        Self::start_on(settings, clock, Inherited::none()).await
    }

    /// The same, on sockets that were handed over, where their addresses are those of the settings.
    pub async fn start_on(
        settings: config::Settings,
        clock: Clock,
        inherited: Inherited,
    ) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let open = match inherited.giver() {
            Giver::ServiceManager => Ledger::open,
            Giver::Predecessor => Ledger::inherit,
        };
        let ledger = open(&settings.ledger, clock.clone(), Arc::clone(&metrics))?;
        let wanted: Vec<_> =
            settings.listeners.iter().map(|listener| listener.address).chain(settings.admin).collect();
        let mut handed = inherited.claim(&wanted).into_iter();
        let bound: Vec<_> = settings
            .listeners
            .iter()
            .map(|listener| listener::bind(listener, handed.next().flatten()))
            .collect::<Result<_, _>>()?;
        let admin = match settings.admin {
            Some(address) => {
                Some(admin::bind(address, handed.next().flatten()).await.context("the admin listener")?)
            }
            None => None,
        };
        let admin_socket = admin.as_ref().map(admin::Bound::socket).transpose()?;
        let conditions = Conditions::new(settings.timeouts, settings.limits, Arc::clone(&metrics));
        let upstreams = Arc::new(Upstreams::new(settings.upstream_timeouts));
        let own = Own { ledger: ledger.clone(), clock: clock.clone(), metrics: Arc::clone(&metrics) };
        let served: Vec<_> = settings.listeners.iter().cloned().zip(bound).collect();
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let proxy =
            Proxy::new(Arc::clone(&settings), Arc::clone(&upstreams), own, clock, Arc::clone(&metrics));
        let shutdown = CancellationToken::new();
        let listeners = Listeners::new(proxy, conditions, shutdown.clone());
        listeners.serve(served)?;
        let admin_shutdown = CancellationToken::new();
        let admin_address = admin.as_ref().and_then(|admin| admin.local_address());
        if let Some(admin) = admin {
            let health = Health::new(Arc::clone(&metrics), shutdown);
            tokio::spawn(admin.serve(health, admin_shutdown.clone()));
        }
        let server = Server {
            settings,
            listeners,
            admin_address,
            admin_socket,
            upstreams,
            ledger,
            metrics,
            admin_shutdown,
        };
        server.count_sites();
        Ok(server)
    }

    /// Where it listens, in the order of the YAML, with the ports that the system chose for port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.addresses()
    }

    /// Where health and metrics are served.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Its listening sockets, the admin listener's last: for a process that is to replace this one.
    pub fn sockets(&self) -> std::io::Result<Vec<OwnedFd>> {
        let mut sockets = self.listeners.sockets()?;
        sockets.extend(self.admin_socket.as_ref().map(OwnedFd::try_clone).transpose()?);
        Ok(sockets)
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Reads the settings again and swaps them in between two requests; with any error the old ones stay.
    ///
    /// Listeners come and go, and what still runs on them ends. The ledger, limits, timeouts and the admin listener
    /// are those of the start: what of them has changed is named in the log and waits for a restart. Must be
    /// called inside a Tokio runtime.
    pub fn reload(&self, path: &Path) -> Result<Vec<Problem>, Vec<Problem>> {
        let loaded = config::load(path, FirstStart::MakeSecrets);
        match loaded {
            Ok(Loaded { settings, warnings, .. }) => {
                self.apply(settings);
                count(&self.metrics.reloads, "applied");
                // A certificate that cannot be used leaves its listener with those it has.
                self.metrics.settings_refused.set(warnings.iter().any(Problem::is_error).into());
                Ok(warnings)
            }
            Err(problems) => {
                count(&self.metrics.reloads, "refused");
                self.metrics.settings_refused.set(1);
                Err(problems)
            }
        }
    }

    fn apply(&self, settings: config::Settings) {
        let before = self.settings.load_full();
        for (what, same) in [
            ("ledger", before.ledger == settings.ledger),
            ("timeouts", before.timeouts == settings.timeouts),
            ("limits", before.limits == settings.limits),
            ("admin", before.admin == settings.admin),
        ] {
            if !same {
                tracing::warn!(key = what, "changed, and waits for a restart");
            }
        }
        self.listeners.adapt(&settings.listeners);
        // A renewed file of authorities is read when the next connection needs it.
        self.upstreams.forget_authorities();
        self.settings.store(Arc::new(settings));
        self.count_sites();
    }

    fn count_sites(&self) {
        let settings = self.settings.load();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.sites.set(number(settings.sites.iter().count()));
        let silent =
            settings.sites.iter().filter(|site| site.filter.banner == crate::filter::Banner::NothingToAsk);
        self.metrics.sites_not_filled_in.set(number(silent.count()));
    }

    /// Takes no new connections, lets what is under way end (for at most `timeouts.drain`), and closes the ledger.
    pub async fn stop(self) {
        self.listeners.close();
        self.listeners.ended().await;
        self.ledger.close().await;
        self.admin_shutdown.cancel();
    }

    /// The same, where another process serves the same sockets by now. It has the ledger soon, and does not wait
    /// for the last download: who agrees over there waits meanwhile, and who agrees here afterwards is told to
    /// try again.
    pub async fn hand_over(self) {
        const LEDGER_AFTER: Duration = Duration::from_millis(1_500);
        // Health and metrics are the other's from now on.
        self.admin_shutdown.cancel();
        self.listeners.close();
        let _ = tokio::time::timeout(LEDGER_AFTER, self.listeners.ended()).await;
        self.ledger.close().await;
        self.listeners.ended().await;
    }
}
