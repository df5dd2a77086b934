//! What operators see: the log's set-up and the metrics.

mod durations;
mod log;

use std::fmt;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

pub use durations::Durations;
pub use log::{ACCESS, LogFormat, start_log};

/// The one label that most counters carry; its values are words of the program, never of a request.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Reason {
    /// Such as `rewritten`, `not-html`, `no-host`.
    pub reason: &'static str,
}

/// A counter for each word.
pub type Reasons = Family<Reason, Counter>;

/// What an answer is counted by.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Answered {
    /// The class of its status: `2xx` and so on, or `none` where the connection ended before there was one.
    pub class: &'static str,
    /// What answered: `upstream`, `own`, `gate`, `refused`, `failure`, `panic`, or `nobody`.
    pub by: &'static str,
}

/// All counters of the process, in one place so that names stay alike.
pub struct Metrics {
    registry: Registry,
    /// Requests by class of status, and by what answered them. Each counts once, answered or not.
    pub answers: Family<Answered, Counter>,
    /// Requests that are not answered to the end yet.
    pub under_way: Gauge,
    /// From a request to the head of its answer.
    pub head: Durations,
    /// From a request to the end of its answer.
    pub total: Durations,
    /// Bytes of answers' bodies.
    pub sent: Counter,
    /// Bytes of requests' bodies.
    pub received: Counter,
    /// Answers that did not come to their end, by reason.
    pub broken_off: Reasons,
    /// Answers of upstreams, by what became of them: `rewritten`, or the reason why not.
    pub pages: Reasons,
    /// Bodies that were cut off because they could not be filtered to the end, by reason.
    pub cut_off: Reasons,
    /// Requests refused before any site saw them, by reason.
    pub refused: Reasons,
    /// What gates said: `admitted`, `shown`, `held`, `refused`.
    pub gates: Reasons,
    /// From a request sent to an upstream to the head of its answer.
    pub upstream: Durations,
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
    /// Reloads: `applied`, `refused`.
    pub reloads: Reasons,
    /// 1 while the settings on disk are not those in force, because they have errors.
    pub settings_refused: Gauge,
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
            answers: Family::default(),
            under_way: Gauge::default(),
            head: Durations::default(),
            total: Durations::default(),
            sent: Counter::default(),
            received: Counter::default(),
            broken_off: Reasons::default(),
            pages: Reasons::default(),
            cut_off: Reasons::default(),
            refused: Reasons::default(),
            gates: Reasons::default(),
            upstream: Durations::default(),
            upstream_failures: Reasons::default(),
            decisions: Reasons::default(),
            ledger_failures: Reasons::default(),
            ledger_queue: Gauge::default(),
            ledger_commit: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            reloads: Reasons::default(),
            settings_refused: Gauge::default(),
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
            ("broken_off", "Answers that did not come to their end", &self.broken_off),
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
            ("sites", "Sites being served", &self.sites),
            ("sites_not_filled_in", "Sites without a filled-in privacy document", &self.sites_not_filled_in),
            ("connections", "Connections open now", &self.connections),
            ("under_way", "Requests that are not answered to the end yet", &self.under_way),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "answers",
            "Requests by class of status and by what answered",
            self.answers.clone(),
        );
        for (name, help, durations) in [
            ("head_seconds", "From a request to the head of its answer", &self.head),
            (
                "upstream_seconds",
                "From a request sent to an upstream to the head of its answer",
                &self.upstream,
            ),
            ("total_seconds", "From a request to the end of its answer", &self.total),
        ] {
            registry.register(name, help, durations.clone());
        }
        for (name, help, bytes) in [
            ("sent_bytes", "Bytes of answers' bodies", &self.sent),
            ("received_bytes", "Bytes of requests' bodies", &self.received),
        ] {
            registry.register(name, help, bytes.clone());
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
