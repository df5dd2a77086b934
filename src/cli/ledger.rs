//! `consentry ledger`: the proof, given out and verified. Both work while the proxy runs.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};

use crate::config::{self, FirstStart};
use crate::ledger::Settings;
use crate::ledger::export::{FIELDS, csv, record};
use crate::ledger::sqlite::Reader;
use crate::ledger::verify::{Finding, verify};

/// What to do with the ledger.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The ledger's file; without it, the one that the settings name.
    #[arg(long, global = true, value_name = "FILE")]
    ledger: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print every entry, the oldest first.
    Export {
        /// How entries are written.
        #[arg(long, value_enum, default_value_t = Format::Jsonl)]
        format: Format,
        /// Only those of this site.
        #[arg(long, value_name = "NAME")]
        site: Option<String>,
    },
    /// Walk the chain, and name the first entry that was changed, removed or reordered.
    Verify,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a heading.
    Csv,
}

/// Exit codes: 0 done or intact, 1 not intact, 2 the ledger cannot be read.
pub(super) fn run(args: Args, config: &Path) -> ExitCode {
    match act(args, config) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("consentry: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn act(args: Args, config: &Path) -> anyhow::Result<ExitCode> {
    let path = match args.ledger {
        Some(path) => path,
        None => named(config)?,
    };
    let reader =
        Reader::open(&path).with_context(|| format!("the ledger {} cannot be read", path.display()))?;
    match args.command {
        Command::Export { format, site } => export(&reader, format, site.as_deref()),
        Command::Verify => Ok(tell(&verify(&reader)?)),
    }
}

fn named(config: &Path) -> anyhow::Result<PathBuf> {
    match config::load(config, FirstStart::ReadOnly) {
        Ok(loaded) => match loaded.settings.ledger {
            Settings::Sqlite(path) => Ok(path),
        },
        Err(problems) => {
            super::check::print(&problems);
            anyhow::bail!("the settings have errors; `--ledger FILE` works without them")
        }
    }
}

fn export(reader: &Reader, format: Format, site: Option<&str>) -> anyhow::Result<ExitCode> {
    let mut output = BufWriter::new(io::stdout().lock());
    let mut written = match format {
        Format::Csv => writeln!(output, "{}", FIELDS.join(",")),
        Format::Jsonl => Ok(()),
    };
    reader.each(site, |sequence, entry| {
        let record = record(Some(sequence), &entry);
        written = match format {
            Format::Jsonl => writeln!(output, "{record}"),
            Format::Csv => writeln!(output, "{}", csv(&record)),
        };
        if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    match written.and_then(|()| output.flush()) {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        outcome => outcome.map(|()| ExitCode::SUCCESS).context("the export could not be written"),
    }
}

fn tell(finding: &Finding) -> ExitCode {
    match finding {
        Finding::Intact { entries } => {
            println!("intact: {entries} entries");
            return ExitCode::SUCCESS;
        }
        Finding::Changed(sequence, id) => println!("not intact: entry {sequence} ({id}) was changed"),
        Finding::Broken(sequence, id) => {
            println!(
                "not intact: before entry {sequence} ({id}) something was removed, inserted or reordered"
            );
        }
        Finding::WordingLost(sequence, id) => {
            println!("not intact: the wording shown for entry {sequence} ({id}) is missing or changed");
        }
        Finding::CutOff { expected, found } => {
            println!("not intact: {found} entries where there were {expected}; the end was cut off");
        }
    }
    ExitCode::FAILURE
}
