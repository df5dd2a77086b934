//! What the sites' traffic showed: kept on disk now and then, and told to operators where nobody has declared it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::{Clock, Timestamp};
use crate::config::{self, Problem};
use crate::observed::{self, Observed, Store};
use crate::telemetry::Metrics;

/// How often what the traffic showed is written and told, where it changed.
const EVERY: Duration = Duration::from_secs(60);

/// What the traffic of all sites showed.
#[derive(Debug)]
pub(super) struct Observations {
    inner: Arc<Inner>,
    keeper: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    settings: Arc<ArcSwap<config::Settings>>,
    clock: Clock,
    metrics: Arc<Metrics>,
    told: Mutex<Told>,
}

/// What has been told, so that nothing is told twice.
#[derive(Debug, Default)]
struct Told {
    /// Of what it was made: the settings in force, and what was seen.
    of: Option<(usize, u64)>,
    problems: HashSet<Problem>,
}

impl Observations {
    /// Gives the sites what was seen of them before, and begins to keep what is seen. Must be called inside a Tokio
    /// runtime.
    pub(super) fn begin(
        settings: &Arc<ArcSwap<config::Settings>>,
        clock: &Clock,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let present = settings.load();
        let inner = Arc::new(Inner {
            store: Store::new(present.observed_file()),
            settings: Arc::clone(settings),
            clock: clock.clone(),
            metrics: Arc::clone(metrics),
            told: Mutex::default(),
        });
        inner.store.adopt(of(&present));
        let kept = Arc::clone(&inner);
        let keeper = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(EVERY);
            loop {
                ticks.tick().await;
                kept.keep().await;
            }
        });
        Observations { inner, keeper }
    }

    /// Gives sites that are new what was seen of them before.
    pub(super) fn adopt(&self, settings: &config::Settings) {
        self.inner.store.adopt(of(settings));
        self.inner.told.lock().unwrap_or_else(PoisonError::into_inner).of = None;
    }

    /// Writes what was seen, for the last time.
    pub(super) async fn end(&self) {
        self.keeper.abort();
        self.inner.keep().await;
    }
}

impl Drop for Observations {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Inner {
    /// It waits for a disk, so it runs beside the requests.
    async fn keep(self: &Arc<Self>) {
        let inner = Arc::clone(self);
        let now = self.clock.now();
        // A panic there would have been told already.
        let _ = tokio::task::spawn_blocking(move || inner.keep_now(now)).await;
    }

    fn keep_now(&self, now: Timestamp) {
        let settings = self.settings.load_full();
        self.store.save(of(&settings), observed::day(now));
        self.tell(&settings);
    }

    /// Says in the log what the traffic showed and nobody has declared, each once.
    fn tell(&self, settings: &Arc<config::Settings>) {
        let seen = of(settings).fold(0_u64, |sum, (_, observed)| sum.wrapping_add(observed.generation()));
        let is_of = (Arc::as_ptr(settings).addr(), seen);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.of == Some(is_of) {
            return;
        }
        told.of = Some(is_of);
        let problems = settings.undeclared(|site| site.filter.observed.snapshot());
        self.metrics.undeclared.set(i64::try_from(problems.len()).unwrap_or(i64::MAX));
        for problem in &problems {
            if !told.problems.contains(problem) {
                tracing::warn!("{problem}");
            }
        }
        told.problems = problems.into_iter().collect();
    }
}

fn of(settings: &config::Settings) -> impl Iterator<Item = (&str, &Observed)> {
    settings.sites.iter().map(|site| (&*site.name, &*site.filter.observed))
}
