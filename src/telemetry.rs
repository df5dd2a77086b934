//! What operators see: the log's set-up and the metrics.

use std::fmt;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tracing_subscriber::EnvFilter;

/// Lines for people or for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the log on standard error; `CONSENTRY_LOG` (such as `debug` or `consentry=trace`) sets how much.
pub fn start_log(format: LogFormat) {
    let filter =
        EnvFilter::try_from_env("CONSENTRY_LOG").unwrap_or_else(|_| EnvFilter::new("info,notify=error"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests do it) keeps the first log.
    let _ = match format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
}

/// The one label that most counters carry; its values are words of the program, never of a request.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Reason {
    /// Such as `rewritten`, `not-html`, `no-host`.
    pub reason: &'static str,
}

/// A counter for each word.
pub type Reasons = Family<Reason, Counter>;

/// All counters of the process, in one place so that names stay alike.
pub struct Metrics {
    registry: Registry,
    /// Answers by class of status: `2xx` and so on.
    pub answers: Reasons,
    /// Answers of upstreams, by what became of them: `rewritten`, or the reason why not.
    pub pages: Reasons,
    /// Bodies that were cut off because they could not be filtered to the end, by reason.
    pub cut_off: Reasons,
    /// Requests refused before any site saw them, by reason.
    pub refused: Reasons,
    /// What gates said: `admitted`, `shown`, `held`, `refused`.
    pub gates: Reasons,
    /// Upstreams that gave no answer, by reason.
    pub upstream_failures: Reasons,
    /// Decisions recorded: `choice`, `refusal`, `withdrawal`, `acceptance`.
    pub decisions: Reasons,
    /// Decisions that could not be recorded, by reason.
    pub ledger_failures: Reasons,
    /// Entries that wait for the ledger's next commit.
    pub ledger_queue: Gauge,
    /// How long the ledger's commits take, in seconds.
    pub ledger_commit: Histogram,
    /// Reloads: `applied`, `partly`, `refused`.
    pub reloads: Reasons,
    /// 1 while the settings on disk are not those in force, because they have errors.
    pub settings_refused: Gauge,
    /// Sites that run on older settings than those on disk, because these have errors.
    pub sites_outdated: Gauge,
    /// Sites being served.
    pub sites: Gauge,
    /// Sites whose privacy document is not filled in, so that they ask nobody for anything.
    pub sites_not_filled_in: Gauge,
    /// Connections open now.
    pub connections: Gauge,
    /// Requests that ended in a panic.
    pub panics: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            registry: Registry::with_prefix("consentry"),
            answers: Reasons::default(),
            pages: Reasons::default(),
            cut_off: Reasons::default(),
            refused: Reasons::default(),
            gates: Reasons::default(),
            upstream_failures: Reasons::default(),
            decisions: Reasons::default(),
            ledger_failures: Reasons::default(),
            ledger_queue: Gauge::default(),
            ledger_commit: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            reloads: Reasons::default(),
            settings_refused: Gauge::default(),
            sites_outdated: Gauge::default(),
            sites: Gauge::default(),
            sites_not_filled_in: Gauge::default(),
            connections: Gauge::default(),
            panics: Counter::default(),
        }
        .registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        for (name, help, family) in [
            ("answers", "Answers by class of status", &self.answers),
            ("pages", "Answers of upstreams by what became of them", &self.pages),
            ("cut_off", "Bodies cut off because they could not be filtered to the end", &self.cut_off),
            ("refused", "Requests refused before any site saw them", &self.refused),
            ("gates", "Verdicts of the gates", &self.gates),
            ("upstream_failures", "Upstreams that gave no answer", &self.upstream_failures),
            ("decisions", "Decisions recorded in the ledger", &self.decisions),
            ("ledger_failures", "Decisions that could not be recorded", &self.ledger_failures),
            ("reloads", "Reloads of the settings", &self.reloads),
        ] {
            registry.register(name, help, family.clone());
        }
        for (name, help, gauge) in [
            ("ledger_queue", "Entries that wait for the next commit", &self.ledger_queue),
            ("settings_refused", "1 while the settings on disk have errors", &self.settings_refused),
            ("sites_outdated", "Sites that run on older settings than those on disk", &self.sites_outdated),
            ("sites", "Sites being served", &self.sites),
            ("sites_not_filled_in", "Sites without a filled-in privacy document", &self.sites_not_filled_in),
            ("connections", "Connections open now", &self.connections),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register("ledger_commit_seconds", "Time of a commit", self.ledger_commit.clone());
        registry.register("panics", "Requests that ended in a panic", self.panics.clone());
        self
    }

    /// Everything in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Counts one more for a word.
pub fn count(reasons: &Reasons, reason: &'static str) {
    reasons.get_or_create(&Reason { reason }).inc();
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered_under_its_name() {
        let metrics = Metrics::default();
        count(&metrics.pages, "rewritten");
        assert!(metrics.render().contains("consentry_pages_total{reason=\"rewritten\"} 1"));
    }
}
