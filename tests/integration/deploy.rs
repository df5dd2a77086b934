//! The examples for operators' own programs name what there is.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use consentry::telemetry::{Exposition, Metrics, UpstreamState};
use serde_json::Value;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

/// The names of all samples that a running proxy tells.
fn told() -> BTreeSet<String> {
    let metrics = Metrics::default();
    // There is one for each certificate and address, and so none by itself.
    metrics.note_certificates([("a.example", i64::MAX)]);
    metrics.note_upstreams([UpstreamState {
        address: "127.0.0.1:3000",
        is_healthy: true,
        requests: 0,
        connections: 0,
    }]);
    metrics.refused.add(consentry::telemetry::Reason { reason: "no-host" }, 1);
    let text = metrics.render();
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.split(['{', ' ']).next().unwrap().to_owned()).collect()
}

/// The names of metrics in an expression.
fn named(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let ours = words.filter(|word| word.starts_with("consentry_") || word.starts_with("process_"));
    ours.map(str::to_owned).collect()
}

/// All values of this key, however deep.
fn all<'a>(value: &'a Value, key: &str) -> Vec<&'a Value> {
    let below = match value {
        Value::Object(map) => map.values().flat_map(|value| all(value, key)).collect(),
        Value::Array(list) => list.iter().flat_map(|value| all(value, key)).collect::<Vec<_>>(),
        _ => Vec::new(),
    };
    value.get(key).into_iter().chain(below).collect()
}

#[test]
fn every_alert_names_metrics_that_exist() {
    let alerts: Value = serde_yaml::from_str(&read("prometheus/alerts.yml")).unwrap();
    let expressions = all(&alerts, "expr");
    assert!(expressions.len() > 10, "{expressions:?}");
    // Prose names metrics, too.
    for text in [expressions, all(&alerts, "description")].concat() {
        let missing: Vec<_> = named(text.as_str().unwrap()).difference(&told()).cloned().collect();
        // A description speaks of a histogram by its name without a suffix.
        let unknown = |name: &String| !told().contains(&format!("{name}_bucket"));
        assert!(!missing.iter().any(unknown), "{missing:?} in {text}");
    }
}

#[test]
fn every_panel_names_metrics_that_exist_and_the_dashboard_leaves_out_nothing_that_goes_wrong() {
    let dashboard: Value = serde_json::from_str(&read("grafana/dashboard.json")).unwrap();
    let told = told();
    let mut shown = BTreeSet::new();
    for expression in [all(&dashboard, "expr"), all(&dashboard, "definition")].concat() {
        let names = named(expression.as_str().unwrap());
        assert!(!names.is_empty(), "{expression}");
        assert!(names.is_subset(&told), "{:?} in {expression}", names.difference(&told));
        shown.extend(names);
    }
    let gone_wrong = told.iter().filter(|name| {
        ["failures", "refused", "cut_off", "broken_off", "panics"].iter().any(|word| name.contains(word))
    });
    for name in gone_wrong {
        assert!(shown.contains(name), "{name} is on no panel");
    }
    let ids: Vec<_> = all(&dashboard, "id").into_iter().map(Value::to_string).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each panel has an id of its own");
}

/// What Prometheus's own tool says of this text.
fn promtool(words: &[&str], text: &str) -> Output {
    let mut command = Command::new("promtool");
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = command.spawn().expect("promtool (Debian: prometheus), which tests/run installs");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    promtool.wait_with_output().unwrap()
}

#[test]
fn prometheus_takes_alerts_expressions_of_panels_and_metrics() {
    let dashboard: Value = serde_json::from_str(&read("grafana/dashboard.json")).unwrap();
    // The tool reads rules alone: each panel stands for one.
    let rules = all(&dashboard, "expr").into_iter().map(|expression| {
        let expression = expression.as_str().unwrap();
        let expression = expression.replace("$__rate_interval", "5m").replace("$instance", ".*");
        serde_json::json!({ "record": "panel", "expr": expression })
    });
    let panels = serde_json::json!({ "groups": [{ "name": "panels", "rules": rules.collect::<Vec<_>>() }] });
    let metrics = Metrics::default().render_as(Exposition::Classic);
    for (words, text) in [
        (&["check", "rules", "/dev/stdin"][..], read("prometheus/alerts.yml")),
        (&["check", "rules", "--lint=none", "/dev/stdin"], panels.to_string()),
        (&["check", "metrics"], metrics),
    ] {
        let output = promtool(words, &text);
        let told = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&told));
    }
}
