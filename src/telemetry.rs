//! What operators see: the log's set-up and the metrics.

mod durations;
mod exposition;
mod log;
mod process;
mod spool;
mod tallies;

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use durations::Durations;
pub use exposition::Exposition;
pub use log::{ACCESS, LogFormat, start_log};
pub use spool::Log;
pub use tallies::Tallies;

/// The one label that most counters carry; its values are words of the program, never of a request.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Reason {
    /// Such as `rewritten`, `not-html`, `no-host`.
    pub reason: &'static str,
}

/// A counter for each word.
pub type Reasons = Tallies<Reason>;

/// What an answer is counted by.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Answered {
    /// The class of its status: `2xx` and so on, or `none` where the connection ended before there was one.
    pub class: &'static str,
    /// What answered: `upstream`, `own`, `gate`, `redirect`, `refused`, `failure`, `panic`, or `nobody`.
    pub by: &'static str,
}

/// What the answers of one site are counted by, where that is asked for.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct AnsweredFor {
    /// The site's name: as many values as there are sites in the settings.
    pub site: String,
    /// The class of its status, as in [`Answered`].
    pub class: &'static str,
}

/// What a policy stopped, or would have. All are words of the program, never of a report.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Reported {
    /// The directive, such as `script-src-elem`, or `other`.
    pub directive: &'static str,
    /// Whose it was: `held` or `acting` for services, `unknown`, `inline`, or `scheme` where it has no host.
    pub party: &'static str,
    /// `enforce` where it was stopped, `report` where it would have been.
    pub disposition: &'static str,
}

/// A certificate, by the first of its names.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Certificate {
    /// Such as `www.example.se`: as many values as there are certificates in the settings.
    pub certificate: String,
}

/// One address of an upstream.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct UpstreamAddress {
    /// `HOST:PORT` or `unix:PATH`: as many values as there are addresses in the settings.
    pub address: String,
}

/// How one address of an upstream is doing, for [`Metrics::note_upstreams`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamState<'a> {
    /// `HOST:PORT` or `unix:PATH`.
    pub address: &'a str,
    /// Whether requests go there.
    pub is_healthy: bool,
    /// Requests under way there.
    pub requests: usize,
    /// Connections that are open.
    pub connections: usize,
}

/// All counters of the process, in one place so that names stay alike.
pub struct Metrics {
    registry: Registry,
    /// What is not of this program alone, and so has another prefix.
    process: Registry,
    /// Requests by class of status, and by what answered them. Each counts once, answered or not.
    pub answers: Tallies<Answered>,
    /// The same by site, where `admin.count_by_site` asks for it: thousands of sites are normal.
    pub site_answers: Family<AnsweredFor, Counter>,
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
    /// What pages held that nobody could judge, or not in parts, by reason.
    pub unjudged: Reasons,
    /// What browsers reported of the policy.
    pub reports: Family<Reported, Counter>,
    /// Reports that were not read, by reason.
    pub reports_refused: Reasons,
    /// Requests and connections refused before any site saw them, by reason.
    pub refused: Reasons,
    /// What gates said: `admitted`, `shown`, `held`, `refused`.
    pub gates: Reasons,
    /// From a request sent to an upstream to the head of its answer.
    pub upstream: Durations,
    /// Upstreams that gave no answer, by reason.
    pub upstream_failures: Reasons,
    /// 1 for each address that requests go to, 0 for one that is left alone.
    upstream_up: Family<UpstreamAddress, Gauge>,
    /// Requests under way at each address.
    upstream_requests: Family<UpstreamAddress, Gauge>,
    /// Connections that are open to each address.
    upstream_connections: Family<UpstreamAddress, Gauge>,
    /// Decisions recorded: `choice`, `refusal`, `withdrawal`, `acceptance`.
    pub decisions: Reasons,
    /// Decisions that could not be recorded, by reason.
    pub ledger_failures: Reasons,
    /// Checkpoints of the ledger that could not be told, by where: `file`, `receiver`.
    pub ledger_checkpoint_failures: Reasons,
    /// Entries that wait for the ledger's next commit.
    pub ledger_queue: Gauge,
    /// 1 while decisions can be recorded: as the last commit went.
    pub ledger_works: Gauge,
    /// How long the ledger's commits take, in seconds.
    pub ledger_commit: Histogram,
    /// Reloads: `applied`, `partly`, `refused`.
    pub reloads: Reasons,
    /// 1 while the settings on disk are not those in force, because they have errors.
    pub settings_refused: Gauge,
    /// Addresses that could not be listened on after a reload, and are tried again.
    pub listeners_missing: Gauge,
    /// When the settings in force were read, in Unix time.
    pub settings_applied: Gauge,
    /// When each certificate expires, in Unix time; [`Metrics::note_certificates`] writes it.
    pub certificate_expiry: Family<Certificate, Gauge>,
    /// Sites that run on older settings than those on disk, because these have errors.
    pub sites_outdated: Gauge,
    /// Sites being served.
    pub sites: Gauge,
    /// Sites whose privacy document is not filled in, so that they ask nobody for anything.
    pub sites_not_filled_in: Gauge,
    /// Texts of documents that are not filled in: one for each site, document and language.
    pub texts_not_filled_in: Gauge,
    /// Services, cookies and third parties that the traffic showed and no settings declare.
    pub undeclared: Gauge,
    /// Connections open now.
    pub connections: Gauge,
    /// Requests that ended in a panic.
    pub panics: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics {
            registry: Registry::with_prefix("consentry"),
            process: Registry::default(),
            answers: Tallies::default(),
            site_answers: Family::default(),
            under_way: Gauge::default(),
            head: Durations::default(),
            total: Durations::default(),
            sent: Counter::default(),
            received: Counter::default(),
            broken_off: Reasons::default(),
            pages: Reasons::default(),
            cut_off: Reasons::default(),
            unjudged: Reasons::default(),
            reports: Family::default(),
            reports_refused: Reasons::default(),
            refused: Reasons::default(),
            gates: Reasons::default(),
            upstream: Durations::default(),
            upstream_failures: Reasons::default(),
            upstream_up: Family::default(),
            upstream_requests: Family::default(),
            upstream_connections: Family::default(),
            decisions: Reasons::default(),
            ledger_failures: Reasons::default(),
            ledger_checkpoint_failures: Reasons::default(),
            ledger_queue: Gauge::default(),
            ledger_works: Gauge::default(),
            ledger_commit: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            reloads: Reasons::default(),
            settings_refused: Gauge::default(),
            listeners_missing: Gauge::default(),
            settings_applied: Gauge::default(),
            certificate_expiry: Family::default(),
            sites_outdated: Gauge::default(),
            sites: Gauge::default(),
            sites_not_filled_in: Gauge::default(),
            texts_not_filled_in: Gauge::default(),
            undeclared: Gauge::default(),
            connections: Gauge::default(),
            panics: Counter::default(),
        }
        .registered()
        .prepared()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        for (name, help, family) in [
            ("broken_off", "Answers that did not come to their end", &self.broken_off),
            ("pages", "Answers of upstreams by what became of them", &self.pages),
            ("cut_off", "Bodies cut off because they could not be filtered to the end", &self.cut_off),
            (
                "unjudged",
                "What pages held that could not be judged, or not in parts, and was held",
                &self.unjudged,
            ),
            ("reports_refused", "Reports of browsers that were not read", &self.reports_refused),
            ("refused", "Requests and connections refused before any site saw them", &self.refused),
            ("gates", "Verdicts of the gates", &self.gates),
            ("upstream_failures", "Upstreams that gave no answer", &self.upstream_failures),
            ("decisions", "Decisions recorded in the ledger, and erasures of receipts", &self.decisions),
            ("ledger_failures", "Decisions that could not be recorded", &self.ledger_failures),
            (
                "ledger_checkpoint_failures",
                "Checkpoints of the ledger that could not be told",
                &self.ledger_checkpoint_failures,
            ),
            ("reloads", "Reloads of the settings", &self.reloads),
        ] {
            registry.register(name, help, family.family());
        }
        for (name, help, gauge) in [
            ("ledger_works", "1 while decisions can be recorded", &self.ledger_works),
            (
                "settings_applied_timestamp_seconds",
                "When the settings in force were read, in Unix time",
                &self.settings_applied,
            ),
            ("ledger_queue", "Entries that wait for the next commit", &self.ledger_queue),
            ("listeners_missing", "Addresses that could not be listened on", &self.listeners_missing),
            ("settings_refused", "1 while the settings on disk have errors", &self.settings_refused),
            ("sites_outdated", "Sites that run on older settings than those on disk", &self.sites_outdated),
            ("sites", "Sites being served", &self.sites),
            ("sites_not_filled_in", "Sites without a filled-in privacy document", &self.sites_not_filled_in),
            (
                "texts_not_filled_in",
                "Texts of documents that are not filled in, by site, document and language",
                &self.texts_not_filled_in,
            ),
            (
                "undeclared",
                "Services, cookies and third parties that were seen and no settings declare",
                &self.undeclared,
            ),
            ("connections", "Connections open now", &self.connections),
            ("under_way", "Requests that are not answered to the end yet", &self.under_way),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register("reports", "What browsers reported of the policy", self.reports.clone());
        registry.register(
            "answers",
            "Requests by class of status and by what answered",
            self.answers.family(),
        );
        registry.register(
            "site_answers",
            "Requests by site and class of status, where `admin.count_by_site` asks for it",
            self.site_answers.clone(),
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
        for (name, help, addresses) in [
            (
                "upstream_up",
                "1 for an address that requests go to, 0 while it is left alone",
                &self.upstream_up,
            ),
            ("upstream_requests", "Requests under way at an address", &self.upstream_requests),
            ("upstream_connections", "Connections open to an address", &self.upstream_connections),
        ] {
            registry.register(name, help, addresses.clone());
        }
        registry.register("ledger_commit_seconds", "Time of a commit", self.ledger_commit.clone());
        registry.register("panics", "Requests that ended in a panic", self.panics.clone());
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "When a certificate expires, in Unix time",
            self.certificate_expiry.clone(),
        );
        registry.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register_collector(Box::new(spool::Lost));
        self.process.register_collector(Box::new(process::Process));
        self
    }

    /// Has the words that alerts ask for from the start: a counter that appears at 1 has not increased.
    fn prepared(self) -> Self {
        let cut_off = ["upstream-broke-off", "decoding", "bomb", "rewriting", "encoding"];
        for (family, words) in [
            (
                &self.broken_off,
                &[&cut_off[..], &["upstream-stalled", "connection-ended", "panic"]].concat()[..],
            ),
            (&self.cut_off, &cut_off),
            (&self.pages, &["rewritten"]),
            (&self.gates, &["admitted", "shown", "held", "refused"]),
            (&self.upstream_failures, &["connect", "protocol", "timed-out", "busy"]),
            (
                &self.decisions,
                &["choice", "once", "refusal", "withdrawal", "acceptance", "decline", "erasure"],
            ),
            (&self.ledger_failures, &["store", "busy", "closed"]),
            (&self.ledger_checkpoint_failures, &["file", "receiver"]),
            (&self.reloads, &["applied", "partly", "refused"]),
        ] {
            for reason in words {
                family.of(Reason { reason });
            }
        }
        for class in ["2xx", "3xx", "4xx", "5xx"] {
            self.answers.of(Answered { class, by: "upstream" });
        }
        self
    }

    /// Everything in the OpenMetrics text format.
    pub fn render(&self) -> String {
        self.render_as(Exposition::OpenMetrics)
    }

    /// Everything in the format asked for.
    pub fn render_as(&self, format: Exposition) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode_registry(&mut text, &self.registry)
            .and_then(|()| encode_registry(&mut text, &self.process))
            .and_then(|()| encode_eof(&mut text));
        match format {
            Exposition::OpenMetrics => text,
            Exposition::Classic => exposition::classic(&text),
        }
    }

    /// Notes when certificates expire, by their names and in Unix time, in the place of what was noted before; of several of one
    /// name, the first to expire.
    pub fn note_certificates<'a>(&self, certificates: impl IntoIterator<Item = (&'a str, i64)>) {
        let mut first = BTreeMap::new();
        for (certificate, expires) in certificates {
            let known = first.entry(certificate).or_insert(expires);
            *known = expires.min(*known);
        }
        self.certificate_expiry.clear();
        for (certificate, expires) in first {
            let name = Certificate { certificate: certificate.to_owned() };
            self.certificate_expiry.get_or_create(&name).set(expires);
        }
    }

    /// Notes how the addresses of upstreams are doing, in the place of what was noted before.
    pub fn note_upstreams<'a>(&self, states: impl IntoIterator<Item = UpstreamState<'a>>) {
        let families = [&self.upstream_up, &self.upstream_requests, &self.upstream_connections];
        families.iter().for_each(|family| family.clear());
        for UpstreamState { address, is_healthy, requests, connections } in states {
            let name = UpstreamAddress { address: address.to_owned() };
            for (family, value) in families.iter().zip([usize::from(is_healthy), requests, connections]) {
                family.get_or_create(&name).set(i64::try_from(value).unwrap_or(i64::MAX));
            }
        }
    }

    /// Says in the log which of these certificates should be renewed now. Times are Unix times.
    pub fn warn_of_certificates<'a>(certificates: impl IntoIterator<Item = (&'a str, i64)>, now: i64) {
        const SOON: i64 = 14;
        const DAY: i64 = 86_400;
        for (certificate, expires) in certificates {
            let days = (expires - now).div_euclid(DAY);
            if expires <= now {
                tracing::error!(certificate, days, "a certificate has expired");
            } else if days < SOON {
                tracing::warn!(certificate, days, "a certificate expires soon");
            }
        }
    }
}

/// Counts one more for a word.
pub fn count(reasons: &Reasons, reason: &'static str) {
    reasons.add(Reason { reason }, 1);
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

    #[test]
    fn every_metric_says_what_it_is_in_both_formats() {
        let metrics = Metrics::default();
        for (format, version) in [
            (Exposition::OpenMetrics, "consentry_build_info{version=\"0"),
            (Exposition::Classic, "# TYPE consentry_build_info gauge"),
        ] {
            let text = metrics.render_as(format);
            assert!(text.contains(version), "{text}");
            for line in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
                let (name, help) = line.split_once(' ').unwrap();
                assert!(name.starts_with("consentry_") || name.starts_with("process_"), "{name}");
                assert!(help.len() > 5, "{line}");
            }
            assert_eq!(text.ends_with("# EOF\n"), format == Exposition::OpenMetrics);
        }
    }

    #[test]
    fn certificates_are_those_that_were_noted_last_by_the_first_end_of_each_name() {
        let metrics = Metrics::default();
        metrics.note_certificates([("old.example", 5), ("kept.example", 6)]);
        // Of two with one name, that which ends first is what an alert must see.
        metrics.note_certificates([("kept.example", 1_900_000_000), ("kept.example", 1_950_000_000)]);
        let text = metrics.render();
        let found: Vec<_> = text.lines().filter(|line| line.starts_with("consentry_certificate")).collect();
        let expected =
            "consentry_certificate_expiry_timestamp_seconds{certificate=\"kept.example\"} 1900000000";
        assert_eq!(found, [expected]);
    }

    #[test]
    fn addresses_of_upstreams_are_those_that_were_noted_last() {
        let metrics = Metrics::default();
        let state = UpstreamState { address: "10.0.0.1:80", is_healthy: true, requests: 2, connections: 3 };
        metrics.note_upstreams([UpstreamState { address: "gone:80", ..state }]);
        metrics.note_upstreams([state, UpstreamState { address: "10.0.0.2:80", is_healthy: false, ..state }]);
        let text = metrics.render();
        for line in [
            "consentry_upstream_up{address=\"10.0.0.1:80\"} 1",
            "consentry_upstream_up{address=\"10.0.0.2:80\"} 0",
            "consentry_upstream_requests{address=\"10.0.0.1:80\"} 2",
            "consentry_upstream_connections{address=\"10.0.0.1:80\"} 3",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(!text.contains("gone"));
    }

    #[test]
    fn a_certificate_is_spoken_of_from_two_weeks_before_its_end() {
        const DAY: i64 = 86_400;
        let said = |expires: i64| {
            log::written(LogFormat::Json, || {
                Metrics::warn_of_certificates([("a.example", expires)], 100 * DAY);
            })
        };
        assert_eq!(said(114 * DAY), "");
        let soon = said(114 * DAY - 1);
        assert!(soon.contains("a certificate expires soon") && soon.contains("\"days\":13"), "{soon}");
        assert!(said(100 * DAY).contains("a certificate has expired"));
    }
}
