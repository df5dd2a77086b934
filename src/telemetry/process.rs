//! What the kernel says of this process, under the names that Prometheus' own client libraries use.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Reads `/proc/self` at every scrape. Where there is none, it has nothing to tell.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let usage = Usage::read();
        if let Some(seconds) = usage.cpu_seconds {
            let help = "Processor time used, in seconds";
            let descriptor =
                encoder.encode_descriptor("process_cpu_seconds", help, None, MetricType::Counter)?;
            ConstCounter::new(seconds).encode(descriptor)?;
        }
        for (name, help, value) in [
            ("process_start_time_seconds", "When the process started, in Unix time", usage.started_at),
            ("process_resident_memory_bytes", "Memory that is resident", usage.resident_bytes),
            ("process_open_fds", "File descriptors that are open", usage.open_files),
            ("process_max_fds", "File descriptors that may be open", usage.most_files),
        ] {
            let Some(value) = value else { continue };
            ConstGauge::new(value).encode(encoder.encode_descriptor(
                name,
                help,
                None,
                MetricType::Gauge,
            )?)?;
        }
        Ok(())
    }
}

/// One look at `/proc`.
#[derive(Debug)]
struct Usage {
    cpu_seconds: Option<f64>,
    started_at: Option<f64>,
    resident_bytes: Option<f64>,
    open_files: Option<f64>,
    most_files: Option<f64>,
}

impl Usage {
    fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let stat = text("/proc/self/stat");
        let open = fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
        Usage {
            cpu_seconds: cpu_seconds(&stat),
            started_at: started_at(&stat, &text("/proc/stat")),
            resident_bytes: first_number(&text("/proc/self/status"), "VmRSS:")
                .map(|kibibytes| kibibytes * 1024.0),
            // The folder itself is open while it is read.
            open_files: open.map(|count| count.saturating_sub(1) as f64),
            most_files: first_number(&text("/proc/self/limits"), "Max open files"),
        }
    }
}

/// The kernel counts in hundredths of a second wherever this program runs (USER_HZ, proc_pid_stat(5)).
const TICKS: f64 = 100.0;

/// A field of `/proc/self/stat` by its number in proc_pid_stat(5). The second, the program's name, may hold blanks.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_ascii_whitespace().nth(number - 3)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    let (user, system) = (field(stat, 14)?, field(stat, 15)?);
    Some((user + system) / TICKS)
}

fn started_at(stat: &str, machine: &str) -> Option<f64> {
    const STARTED: usize = 22;
    Some(first_number(machine, "btime")? + field(stat, STARTED)? / TICKS)
}

/// The first number of the line that begins with `name`.
fn first_number(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_found_behind_a_name_with_blanks_and_brackets() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 12345 1 2";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(started_at(stat, "cpu 1 2\nbtime 1000\n"), Some(1123.45));
        assert_eq!((cpu_seconds(""), started_at(stat, "")), (None, None));
    }

    #[test]
    fn this_process_is_found_to_run() {
        let usage = Usage::read();
        assert!(usage.resident_bytes.unwrap() > 1024.0 * 1024.0, "{usage:?}");
        assert!(usage.open_files.unwrap() >= 1.0 && usage.most_files.unwrap() >= 1.0, "{usage:?}");
        assert!(usage.started_at.unwrap() > 1.6e9 && usage.cpu_seconds.is_some(), "{usage:?}");
    }
}
