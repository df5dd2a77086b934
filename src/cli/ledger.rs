//! `consentry ledger`: the proof, given out and verified. Both work while the proxy runs.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Subcommand, ValueEnum};

use crate::config::{self, FirstStart};
use crate::ledger::Place;
use crate::ledger::export::{FIELDS, csv, record};
use crate::ledger::seal::Keys;
use crate::ledger::store::{Filter, Read, StoreFailure, each};
use crate::ledger::verify::{Damage, Finding, Intact, verify};

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
    let (place, keys) = match args.ledger {
        Some(path) => (Place::Sqlite(path), None),
        None => named(config)?,
    };
    let reader = place.read().with_context(|| format!("the ledger {place} cannot be read"))?;
    match args.command {
        Command::Export { format, site } => export(&*reader, format, site),
        Command::Verify => Ok(tell(&verify(&*reader, keys.as_ref(), &[], |_| {})?)),
    }
}

fn named(config: &Path) -> anyhow::Result<(Place, Option<Keys>)> {
    match config::load(config, FirstStart::ReadOnly) {
        Ok(loaded) => {
            let keys = Keys::new(&loaded.settings.secrets);
            Ok((loaded.settings.ledger.place, Some(keys)))
        }
        Err(problems) => {
            super::check::print(&problems);
            anyhow::bail!("the settings have errors; `--ledger FILE` works without them")
        }
    }
}

fn export(reader: &dyn Read, format: Format, site: Option<String>) -> anyhow::Result<ExitCode> {
    let mut output = BufWriter::new(io::stdout().lock());
    let mut written = match format {
        Format::Csv => writeln!(output, "{}", FIELDS.join(",")),
        Format::Jsonl => Ok(()),
    };
    each(reader, &Filter { site, ..Filter::default() }, |record_| {
        let sequence = record_.sequence;
        let entry = record_.read().ok_or(StoreFailure::Damaged(sequence))?;
        let record = record(&entry);
        written = match format {
            Format::Jsonl => writeln!(output, "{record}"),
            Format::Csv => writeln!(output, "{}", csv(&record)),
        };
        Ok::<_, StoreFailure>(if written.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    })?;
    match written.and_then(|()| output.flush()) {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        outcome => outcome.map(|()| ExitCode::SUCCESS).context("the export could not be written"),
    }
}

fn tell(finding: &Finding) -> ExitCode {
    let Finding::Broken { chain, sequence, id, damage } = finding else {
        if let Finding::Intact(intact) = finding {
            tell_intact(intact);
        }
        return ExitCode::SUCCESS;
    };
    let id = id.map(|id| format!(" ({id})")).unwrap_or_default();
    let what = match damage {
        Damage::Changed => format!("entry {sequence}{id} was changed"),
        Damage::Forged => {
            format!(
                "entry {sequence}{id} was made by somebody without the secrets; so may be all that follow"
            )
        }
        Damage::Reordered => {
            format!("before entry {sequence}{id} something was inserted, or the order changed")
        }
        Damage::Removed => format!("entry {sequence} was removed; the next is{id}"),
        Damage::CutOff => format!("the end was cut off: there should be entries up to {sequence}"),
        Damage::EndForged => format!("where the chain ends ({sequence}) was not written by this program"),
        Damage::PersonChanged => {
            format!("who made entry {sequence}{id} was changed or taken out, and not by `ledger erase`")
        }
        Damage::WordingLost => format!("the wording shown for entry {sequence}{id} is missing or changed"),
        Damage::TombstoneForged => {
            format!("entries from {sequence} on were removed, and not by `ledger purge`")
        }
        Damage::NotAsAtCheckpoint => format!("entry {sequence}{id} is not the one that a checkpoint names"),
        Damage::SecretGone => format!(
            "nothing proves the chain up to entry {sequence}: it was sealed with a secret that is not in the settings"
        ),
    };
    println!("not intact: {what} (chain {chain})");
    ExitCode::FAILURE
}

fn tell_intact(intact: &Intact) {
    println!("intact: {} entries", intact.entries);
    for (count, what) in [
        (intact.erased, "do not say any more who decided (erased on request)"),
        (
            intact.erasures_unproven,
            "of these were erased under a secret that is not in the settings any more",
        ),
        (intact.purged, "more were purged when their time was over"),
        (intact.clock_set_back, "are older by the clock than the entry before: the clock was set back"),
    ] {
        if count > 0 {
            println!("  {count} {what}");
        }
    }
    if !intact.is_sealed {
        println!(
            "  seals were not checked, which takes the secrets: name the settings with --config, not --ledger"
        );
    }
}
