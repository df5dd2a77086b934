//! Settings to running parts: start, reload, drain.

mod reload;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{self, Health};
use crate::clock::Clock;
use crate::config::{self, Problem, Severity};
use crate::ledger::Ledger;
use crate::listener::certificates::{CertificateFailure, Certificates};
use crate::listener::{self, Conditions, Transport};
use crate::own::Own;
use crate::proxy::Proxy;
use crate::telemetry::Metrics;
use crate::upstream::Upstreams;
use reload::Last;

pub use reload::{Occasion, Outcome, Reload};

/// A proxy that runs. Dropping it leaves its tasks running; [`Server::stop`] ends them.
#[derive(Debug)]
pub struct Server {
    settings: Arc<ArcSwap<config::Settings>>,
    addresses: Vec<SocketAddr>,
    admin_address: Option<SocketAddr>,
    certificates: Vec<Option<Certificates>>,
    conditions: Conditions,
    upstreams: Arc<Upstreams>,
    ledger: Ledger,
    metrics: Arc<Metrics>,
    health: Health,
    clock: Clock,
    last: Last,
    shutdown: CancellationToken,
    listeners: TaskTracker,
    admin_shutdown: CancellationToken,
}

impl Server {
    /// Opens the ledger, binds every listener, and serves. Nothing is bound where anything fails.
    pub async fn start(settings: config::Settings, clock: Clock) -> anyhow::Result<Self> {
        let metrics = Arc::new(Metrics::default());
        let ledger = Ledger::open(&settings.ledger, clock.clone(), Arc::clone(&metrics))?;
        let bound: Vec<_> = settings.listeners.iter().map(listener::bind).collect::<Result<_, _>>()?;
        let admin = match settings.admin {
            Some(address) => Some(admin::bind(address).await.context("the admin listener")?),
            None => None,
        };
        let conditions = Conditions::new(settings.timeouts, settings.limits, Arc::clone(&metrics));
        let upstreams = Arc::new(Upstreams::new(settings.upstream_timeouts));
        upstreams.adopt(settings.sites.iter().map(|site| &site.upstream));
        let own = Own { ledger: ledger.clone(), clock: clock.clone(), metrics: Arc::clone(&metrics) };
        let last = Last::of(&settings);
        let settings = Arc::new(ArcSwap::from_pointee(settings));
        let proxy = Proxy::new(
            Arc::clone(&settings),
            Arc::clone(&upstreams),
            own,
            clock.clone(),
            Arc::clone(&metrics),
        );
        let shutdown = CancellationToken::new();
        let health = Health::new(Arc::clone(&metrics), shutdown.clone());
        let listeners = TaskTracker::new();
        let addresses = bound.iter().map(listener::Bound::local_address).collect();
        let certificates = bound.iter().map(listener::Bound::certificates).collect();
        for bound in bound {
            listeners.spawn(bound.serve(proxy.clone(), conditions.clone(), shutdown.clone()));
        }
        let admin_shutdown = CancellationToken::new();
        let admin_address = admin.as_ref().and_then(|admin| admin.local_address());
        if let Some(admin) = admin {
            tokio::spawn(admin.serve(health.clone(), admin_shutdown.clone()));
        }
        let server = Server {
            settings,
            addresses,
            admin_address,
            certificates,
            conditions,
            upstreams,
            ledger,
            metrics,
            health,
            clock,
            last,
            shutdown,
            listeners,
            admin_shutdown,
        };
        server.note_settings();
        Ok(server)
    }

    /// Where it listens, in the order of the YAML, with the ports that the system chose for port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Where health and metrics are served.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Puts settings in force; gives back what of them cannot be used now.
    fn apply(&self, settings: config::Settings) -> Vec<Problem> {
        let mut problems = Vec::new();
        let before = self.settings.load_full();
        for (what, same) in [
            ("ledger", before.ledger == settings.ledger),
            ("admin", before.admin == settings.admin),
            ("log.format", before.log_format == settings.log_format),
        ] {
            if !same {
                tracing::warn!(key = what, "changed, and waits for a restart");
            }
        }
        if before.listeners.len() != settings.listeners.len() {
            tracing::warn!(key = "listen", "changed, and waits for a restart");
        }
        for ((old, new), certificates) in
            before.listeners.iter().zip(&settings.listeners).zip(&self.certificates)
        {
            match (&new.transport, certificates) {
                (Transport::Tls(files), Some(certificates)) if old.address == new.address => {
                    problems.extend(certificates.replace(files).err().map(|error| certificates_stay(&error)));
                }
                _ if old != new => tracing::warn!(key = "listen", "changed, and waits for a restart"),
                _ => {}
            }
        }
        // A renewed file of authorities is read when the next connection needs it; without one, those that stand
        // go on being used.
        if settings.seen().has_other_certificates(before.seen()) {
            self.upstreams.forget_certificates();
        }
        self.conditions.change(settings.timeouts, settings.limits);
        self.upstreams.change(settings.upstream_timeouts);
        self.upstreams.adopt(settings.sites.iter().map(|site| &site.upstream));
        self.settings.store(Arc::new(settings));
        self.note_settings();
        problems
    }

    /// Tells operators of the settings in force.
    fn note_settings(&self) {
        let settings = self.settings.load();
        self.metrics.sites.set(i64::try_from(settings.sites.iter().count()).unwrap_or(i64::MAX));
        let silent =
            settings.sites.iter().filter(|site| site.filter.banner == crate::filter::Banner::NothingToAsk);
        self.health.note_not_filled_in(silent.map(|site| site.name.clone()));
        self.metrics.settings_applied.set(self.clock.now().as_second());
    }

    /// Takes no new connections, lets what is under way end (for at most `timeouts.drain`), and closes the ledger.
    pub async fn stop(self) {
        self.shutdown.cancel();
        self.listeners.close();
        self.listeners.wait().await;
        self.ledger.close().await;
        self.admin_shutdown.cancel();
    }
}

fn certificates_stay(failure: &CertificateFailure) -> Problem {
    let file = match failure {
        CertificateFailure::Read { path, .. } | CertificateFailure::Empty { path } => path.clone(),
        CertificateFailure::Unusable { certificate, .. } => certificate.clone(),
        CertificateFailure::None => Default::default(),
    };
    let cause = std::error::Error::source(failure).map(|cause| format!(": {cause}")).unwrap_or_default();
    Problem {
        severity: Severity::Error,
        file,
        place: None,
        message: format!("the certificates stay as they were: {failure}{cause}"),
        help: Some("write a chain and the key that belongs to it".into()),
    }
}
