//! Settings to running parts: start, reload, drain.

pub mod files;
mod listeners;
mod observations;
mod reload;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Concerns, Health, Look, Missing};
use crate::clock::{Clock, Timestamp};
use crate::config;
use crate::filter::Banner;
use crate::ledger::{self, Ledger};
use crate::listener::certificates::examine;
use crate::listener::{self, Conditions, Giver, Inherited, Legacy, Pulse, Workers};
use crate::own::Own;
use crate::proxy::Proxy;
use crate::site::Mode;
use crate::telemetry::{LogFormat, Metrics, UpstreamState};
use crate::upstream::Upstreams;
use listeners::Listeners;
pub use listeners::TRY_AGAIN;
use observations::Observations;
use reload::Last;

pub use reload::{Occasion, Outcome, Reload};

/// What a reload cannot change.
#[derive(Debug)]
struct AtStart {
    ledger: ledger::Settings,
    admin: Option<SocketAddr>,
    log_format: LogFormat,
}

/// A proxy that runs. Dropping it leaves its tasks running; [`Server::stop`] ends them.
#[derive(Debug)]
pub struct Server {
    settings: Arc<ArcSwap<config::Settings>>,
    listeners: Listeners,
    admin_address: Option<SocketAddr>,
    /// The admin listener's socket once more, for a process that is to replace this one.
    admin_socket: Option<OwnedFd>,
    conditions: Conditions,
    upstreams: Arc<Upstreams>,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    health: Health,
    pulse: Pulse,
    clock: Clock,
    observations: Observations,
    /// The sites that stay as they were because of errors.
    outdated: ArcSwap<Vec<Box<str>>>,
    last: Last,
    at_start: AtStart,
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
        let keys = ledger::seal::Keys::new(&settings.secrets);
        let (kept, its_clock, its_metrics) = (settings.ledger.clone(), clock.clone(), Arc::clone(&metrics));
        // It reaches for a disk, or for a server: not a thing to do where requests are served.
        let ledger = tokio::task::spawn_blocking(move || open(&kept, keys, its_clock, its_metrics)).await??;
        let wanted: Vec<_> =
            settings.listeners.iter().map(|listener| listener.address).chain(settings.admin).collect();
        let tickets = inherited.tickets(&clock);
        let mut handed = inherited.claim(&wanted).into_iter();
        let bound: Vec<_> = settings
            .listeners
            .iter()
            .map(|listener| listener::bind(listener, &tickets, handed.next().flatten()))
            .collect::<Result<_, _>>()?;
        let admin = match settings.admin {
            Some(address) => Some(
                admin::bind(address, handed.next().flatten())
                    .with_context(|| format!("the admin listener cannot listen on {address}"))?,
            ),
            None => None,
        };
        let admin_socket = admin.as_ref().map(admin::Bound::socket).transpose()?;
        let workers = Workers::start().context("no threads can be started to serve connections")?;
        let conditions =
            Conditions::new(settings.timeouts, files::fitting(settings.limits), Arc::clone(&metrics));
        let upstreams = Arc::new(Upstreams::new(settings.upstream_timeouts));
        upstreams.adopt(settings.sites.iter().map(|site| &site.upstream));
        let own = Own::new(ledger.clone(), clock.clone(), Arc::clone(&metrics));
        let last = Last::of(&settings);
        let at_start = AtStart {
            ledger: settings.ledger.clone(),
            admin: settings.admin,
            log_format: settings.log_format,
        };
        let served: Vec<_> = settings.listeners.iter().cloned().zip(bound).collect();
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let observations = Observations::begin(&settings, &clock, &metrics);
        let proxy = Proxy::new(
            Arc::clone(&settings),
            Arc::clone(&upstreams),
            own,
            clock.clone(),
            Arc::clone(&metrics),
        );
        let shutdown = CancellationToken::new();
        let pulse = workers.pulse();
        let health = Health::new(Arc::clone(&metrics), shutdown.clone(), look_at(&upstreams), pulse.clone());
        let listeners = Listeners::new(proxy, conditions.clone(), workers, tickets, shutdown);
        listeners.serve(served)?;
        let admin_shutdown = CancellationToken::new();
        let admin_address = admin.as_ref().and_then(|admin| admin.local_address());
        if let Some(admin) = admin {
            tokio::spawn(admin.serve(health.clone(), admin_shutdown.clone()));
        }
        let server = Server {
            settings,
            listeners,
            admin_address,
            admin_socket,
            conditions,
            upstreams,
            ledger,
            metrics,
            health,
            pulse,
            clock,
            observations,
            outdated: ArcSwap::default(),
            last,
            at_start,
            admin_shutdown,
        };
        server.note_settings();
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

    /// What a process that is to replace this one needs; the admin listener's socket is the last.
    pub fn legacy(&self) -> std::io::Result<Legacy> {
        let mut sockets = self.listeners.sockets()?;
        sockets.extend(self.admin_socket.as_ref().map(OwnedFd::try_clone).transpose()?);
        Ok(Legacy { sockets, tickets: self.listeners.tickets() })
    }

    /// Whether all threads do what they are given.
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Puts settings in force. Must be called inside a Tokio runtime.
    fn apply(&self, settings: config::Settings) {
        let before = self.settings.load_full();
        let AtStart { ledger: place, admin, log_format } = &self.at_start;
        for (what, same) in [
            ("ledger", *place == settings.ledger),
            ("admin", *admin == settings.admin),
            ("log.format", *log_format == settings.log_format),
        ] {
            if !same {
                tracing::warn!(key = what, "not as at the start, and waits for a restart");
            }
        }
        self.adapt_listeners(&settings);
        // A renewed file of authorities is read when the next connection needs it; without one, those that stand
        // go on being used.
        if settings.seen().has_other_certificates(before.seen()) {
            self.upstreams.forget_certificates();
        }
        self.conditions.change(settings.timeouts, files::fitting(settings.limits));
        self.upstreams.change(settings.upstream_timeouts);
        self.upstreams.adopt(settings.sites.iter().map(|site| &site.upstream));
        self.observations.adopt(&settings);
        self.ledger.change_keys(ledger::seal::Keys::new(&settings.secrets));
        self.settings.store(Arc::new(settings));
        self.note_settings();
    }

    fn adapt_listeners(&self, settings: &config::Settings) {
        let missing = self.listeners.adapt(&settings.listeners);
        self.metrics.listeners_missing.set(i64::try_from(missing).unwrap_or(i64::MAX));
    }

    /// Whether an address of the settings in force could not be had: somebody else listens there, or it is no
    /// address of this machine yet.
    pub fn misses_listeners(&self) -> bool {
        self.metrics.listeners_missing.get() > 0
    }

    /// Tries again to listen where that was not possible. Must be called inside a Tokio runtime.
    pub fn complete_listeners(&self) {
        let settings = self.settings.load();
        self.adapt_listeners(&settings);
        self.note_settings();
    }

    /// Tells operators of the settings in force.
    fn note_settings(&self) {
        let settings = self.settings.load();
        self.metrics.sites.set(i64::try_from(settings.sites.iter().count()).unwrap_or(i64::MAX));
        let outdated = self.outdated.load();
        self.health.note(concerns(&settings, &outdated));
        self.metrics.settings_applied.set(self.clock.now().as_second());
        let expiries = self.expiries();
        self.metrics.note_certificates(expiries.iter().map(|(name, at)| (&**name, at.as_second())));
    }

    /// Says in the log which certificates should be renewed. For once a day: at a start and at a reload, the reading
    /// of the settings has said it.
    pub fn warn_of_certificates(&self) {
        let expiries = self.expiries();
        let expiries = expiries.iter().map(|(name, at)| (&**name, at.as_second()));
        Metrics::warn_of_certificates(expiries, self.clock.now().as_second());
    }

    /// When each certificate ends that is shown to browsers or to applications.
    fn expiries(&self) -> Vec<(Box<str>, Timestamp)> {
        let settings = self.settings.load();
        let to_applications: HashSet<_> =
            settings.sites.iter().flat_map(|site| site.upstream.identities()).collect();
        let to_applications = to_applications.into_iter().filter_map(|files| {
            // One that cannot be read any more was told at the reload, and by each request.
            let ends = examine(files).ok()?.validity?.not_after;
            Some((files.certificate.display().to_string().into(), ends))
        });
        self.listeners.expiries().into_iter().chain(to_applications).collect()
    }

    /// Purges the ledger of what no site wants to keep any longer, beside what else is done.
    pub fn purge_ledger(&self) {
        let settings = self.settings.load();
        let retention = settings.sites.iter().map(|site| (site.name.clone(), site.retention)).collect();
        let ledger = self.ledger.clone();
        tokio::spawn(async move {
            match ledger.purge(retention).await {
                Ok(purged) if purged.entries > 0 => {
                    let (entries, wordings) = (purged.entries, purged.wordings);
                    tracing::info!(
                        entries,
                        wordings,
                        "the ledger was purged of what need not be kept any longer"
                    );
                }
                Ok(_) => {}
                Err(failure) => {
                    let error = &failure as &dyn std::error::Error;
                    tracing::error!(error, "the ledger could not be purged");
                }
            }
        });
    }

    /// Takes no new connections, lets what is under way end (for at most `timeouts.drain`), and closes the ledger.
    pub async fn stop(&self) {
        self.listeners.close();
        self.listeners.ended().await;
        self.ledger.close().await;
        self.observations.end().await;
        self.admin_shutdown.cancel();
    }

    /// The same, where another process serves the same sockets by now. It has the ledger soon, and does not wait
    /// for the last download: who agrees over there waits meanwhile, and who agrees here afterwards is told to
    /// try again.
    pub async fn hand_over(&self) {
        const LEDGER_AFTER: Duration = Duration::from_millis(1_500);
        // Health and metrics are the other's from now on.
        self.admin_shutdown.cancel();
        self.listeners.close();
        let _ = tokio::time::timeout(LEDGER_AFTER, self.listeners.ended()).await;
        self.ledger.close().await;
        self.listeners.ended().await;
        self.observations.end().await;
    }
}

/// How the addresses of upstreams are doing, whenever the metrics are asked for.
fn look_at(upstreams: &Arc<Upstreams>) -> Look {
    let upstreams = Arc::clone(upstreams);
    Look::new(move |metrics| {
        let states = upstreams.states();
        metrics.note_upstreams(states.iter().map(|state| UpstreamState {
            address: &state.address,
            is_healthy: state.is_healthy,
            requests: state.requests,
            connections: state.connections,
        }));
    })
}

fn concerns(settings: &config::Settings, outdated: &[Box<str>]) -> Concerns {
    let treated = || settings.sites.iter().filter(|site| site.mode != Mode::Off);
    let silent = treated().filter(|site| site.filter.banner == Banner::NothingToAsk);
    let missing = treated().flat_map(|site| {
        site.documents.gaps.iter().map(|gap| Missing {
            site: site.name.clone(),
            document: gap.document.clone(),
            language: gap.language.as_str().into(),
            file: gap.file.as_ref().map(|file| file.display().to_string().into()),
        })
    });
    Concerns {
        sites_not_filled_in: silent.map(|site| site.name.clone()).collect(),
        texts_not_filled_in: missing.collect(),
        sites_outdated: outdated.to_vec(),
    }
}
