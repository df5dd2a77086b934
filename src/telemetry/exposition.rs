//! The two text formats in which metrics are asked for: OpenMetrics, and Prometheus' own from before it.

use std::fmt::Write;

/// A format of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4, which everything can read.
    Classic,
}

impl Exposition {
    /// The format that an `Accept` header would rather have (RFC 9110 section 12.5.1).
    pub fn preferred(accept: Option<&str>) -> Self {
        let accept = accept.unwrap_or_default();
        let quality = |kind: &str| {
            let of_kind = accept.split(',').filter(|range| {
                range.split(';').next().is_some_and(|found| found.trim().eq_ignore_ascii_case(kind))
            });
            of_kind.map(quality).fold(0.0, f32::max)
        };
        let open = quality("application/openmetrics-text");
        // Whoever takes anything is a person with curl, or older than OpenMetrics.
        if open > 0.0 && open >= quality("text/plain") {
            Exposition::OpenMetrics
        } else {
            Exposition::Classic
        }
    }

    /// What `Content-Type` says of it.
    pub fn content_type(self) -> &'static str {
        match self {
            Exposition::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Exposition::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

fn quality(range: &str) -> f32 {
    let written = range.split(';').skip(1).find_map(|parameter| parameter.trim().strip_prefix("q="));
    written.map_or(1.0, |number| number.trim().parse().unwrap_or(0.0))
}

/// Turns OpenMetrics into the classic format: there a metric is described under the very name of its samples, and
/// it knows neither units nor an end.
pub(super) fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len() + 256);
    let mut help = "";
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ').map_or("", |(_, help)| help);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            // Writing into a String does not fail.
            let _ = writeln!(text, "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}");
        } else if !line.starts_with('#') {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        use Exposition::{Classic, OpenMetrics};
        for (accept, expected) in [
            (None, Classic),
            (Some("*/*"), Classic),
            (Some("text/html"), Classic),
            (Some("application/openmetrics-text"), OpenMetrics),
            (Some("Application/OpenMetrics-Text; version=1.0.0, text/plain"), OpenMetrics),
            (
                Some(
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                     text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ),
                OpenMetrics,
            ),
            (Some("text/plain;version=0.0.4;q=0.6,application/openmetrics-text;q=0.5"), Classic),
            (Some("application/openmetrics-text;q=0"), Classic),
            (Some("application/openmetrics-text;q=x, text/plain"), Classic),
        ] {
            assert_eq!(Exposition::preferred(accept), expected, "{accept:?}");
        }
    }

    #[test]
    fn the_classic_format_describes_what_its_samples_are_called() {
        let open = "# HELP a_b Text of it.\n# TYPE a_b counter\na_b_total{x=\"# y\"} 1\n# HELP c C.\n# TYPE c info\n\
                    c_info{v=\"1\"} 1\n# HELP d_seconds D.\n# TYPE d_seconds gauge\n# UNIT d_seconds seconds\n\
                    d_seconds 2\n# EOF\n";
        assert_eq!(
            classic(open),
            "# HELP a_b_total Text of it.\n# TYPE a_b_total counter\na_b_total{x=\"# y\"} 1\n# HELP c_info C.\n\
             # TYPE c_info gauge\nc_info{v=\"1\"} 1\n# HELP d_seconds D.\n# TYPE d_seconds gauge\nd_seconds 2\n"
        );
    }
}
