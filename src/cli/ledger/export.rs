//! `consentry ledger export`: entries one after the other, however many there are.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::Context;
use clap::ValueEnum;
use uuid::Uuid;

use super::answer::bar;
use crate::clock::Timestamp;
use crate::consent::Subject;
use crate::ledger::export::{FIELDS, csv, record};
use crate::ledger::store::{Filter, Read, StoreFailure, each};

/// Which entries, and how they are written.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How entries are written.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Only those of this site.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// Only those from this day or moment on, such as 2026-01-31 or 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = beginning)]
    since: Option<Timestamp>,
    /// Only those up to the end of this day, or before this moment.
    #[arg(long, value_name = "TIME", value_parser = end)]
    until: Option<Timestamp>,
    /// Only those of this visitor.
    #[arg(long, value_name = "ID")]
    subject: Option<Uuid>,
    /// Only those about this document.
    #[arg(long, value_name = "NAME")]
    document: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a heading.
    Csv,
}

/// The beginning of a day in UTC, or a moment.
fn beginning(text: &str) -> Result<Timestamp, String> {
    moment(text, 0)
}

/// The end of a day in UTC, or a moment.
fn end(text: &str) -> Result<Timestamp, String> {
    moment(text, 1)
}

fn moment(text: &str, days: i64) -> Result<Timestamp, String> {
    let day = || {
        let day: jiff::civil::Date = text.parse().ok()?;
        let day = day.checked_add(jiff::Span::new().days(days)).ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
    };
    let moment = text.parse().ok().or_else(day);
    moment
        .ok_or_else(|| "write a day such as 2026-01-31, or a moment such as 2026-01-31T12:00:00Z".to_owned())
}

/// Why an export ends before its end.
enum Stop {
    Store(StoreFailure),
    Output(io::Error),
}

impl From<StoreFailure> for Stop {
    fn from(failure: StoreFailure) -> Self {
        Stop::Store(failure)
    }
}

impl Args {
    pub(super) fn run(self, reader: &dyn Read) -> anyhow::Result<ExitCode> {
        let Args { format, site, since, until, subject, document } = self;
        let filter = Filter { site, subject: subject.map(Subject), document, since, until };
        let count = reader.count(&filter)?;
        if let (0, Some(subject)) = (count, subject) {
            eprintln!("consentry: no entry is of subject {}", subject.as_simple());
            return Ok(ExitCode::FAILURE);
        }
        let bar = bar(count);
        let mut output = BufWriter::new(io::stdout().lock());
        let mut write = || -> Result<(), Stop> {
            if matches!(format, Format::Csv) {
                writeln!(output, "{}", FIELDS.join(",")).map_err(Stop::Output)?;
            }
            each(reader, &filter, |row| {
                let sequence = row.sequence;
                let record = record(&row.read().ok_or(StoreFailure::Damaged(sequence))?);
                let written = match format {
                    Format::Jsonl => writeln!(output, "{record}"),
                    Format::Csv => writeln!(output, "{}", csv(&record)),
                };
                written.map_err(Stop::Output)?;
                bar.inc(1);
                Ok::<_, Stop>(ControlFlow::Continue(()))
            })?;
            output.flush().map_err(Stop::Output)
        };
        let outcome = write();
        bar.finish_and_clear();
        match outcome {
            Ok(()) => Ok(ExitCode::SUCCESS),
            // Whoever reads has seen enough, as `head` does.
            Err(Stop::Output(error)) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            Err(Stop::Output(error)) => Err(error).context("the export could not be written"),
            Err(Stop::Store(failure)) => Err(failure).context("the ledger could not be read to its end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_meant_whole() {
        assert_eq!(beginning("2026-01-31").unwrap().to_string(), "2026-01-31T00:00:00Z");
        assert_eq!(end("2026-01-31").unwrap().to_string(), "2026-02-01T00:00:00Z");
        assert_eq!(end("2026-01-31T12:00:00+01:00").unwrap().to_string(), "2026-01-31T11:00:00Z");
        assert!(beginning("yesterday").unwrap_err().contains("2026-01-31"));
    }
}
