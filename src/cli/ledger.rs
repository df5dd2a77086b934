//! `consentry ledger`: the proof, given out, verified, and kept small. All of it works while the proxy runs.

mod answer;
mod export;
mod place;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;
use uuid::Uuid;

use crate::clock::Clock;
use crate::consent::Subject;
use crate::ledger::{Place, carry, checkpoint, erase, retention, verify};
use answer::bar;
use place::Chosen;

/// What to do with the ledger.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The ledger's file or PostgreSQL address; without it, the one that the settings name.
    #[arg(long, global = true, value_name = "PLACE", env = "CONSENTRY_LEDGER", hide_env_values = true)]
    ledger: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print entries, in the order of the chain.
    Export(export::Args),
    /// Print one entry, and the very text that was shown.
    Show {
        /// The entry's id, which is the receipt.
        id: Uuid,
    },
    /// Walk the chain, and name the first entry that was changed, removed, reordered or cut off.
    Verify {
        /// A file of checkpoints to compare with; without it, the one that the settings name.
        #[arg(long, value_name = "FILE")]
        checkpoints: Option<PathBuf>,
    },
    /// Take a visitor out of all their entries. What was decided stays, as proof that is nobody's any more.
    Erase {
        /// The visitor's id, as receipts and exports have it (`pii_principal_id`).
        #[arg(long, value_name = "ID")]
        subject: Uuid,
        /// Only in entries of this site.
        #[arg(long, value_name = "NAME")]
        site: Option<String>,
    },
    /// Remove the entries whose time is over, by the `retention` of each site; the proxy does so daily.
    Purge,
    /// Count entries by site and kind.
    Stats,
    /// Write a copy to a new file, whole and as it is at one moment.
    Backup {
        /// The new file, a SQLite ledger.
        file: PathBuf,
    },
    /// Carry a ledger over into another place, which must be new or empty. Stop the proxy before.
    Migrate {
        /// Where it is: a file, or an address of PostgreSQL.
        #[arg(long, value_name = "PLACE")]
        from: String,
        /// Where it is to be.
        #[arg(long, value_name = "PLACE")]
        to: String,
    },
}

/// Exit codes: 0 done or intact, 1 not intact or not found, 2 the ledger cannot be used.
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
    let ledger = args.ledger.as_deref();
    match args.command {
        Command::Export(args) => args.run(&*Chosen::find(ledger, config)?.read()?),
        Command::Show { id } => answer::show(&*Chosen::find(ledger, config)?.read()?, id),
        Command::Verify { checkpoints } => check(&Chosen::find(ledger, config)?, checkpoints),
        Command::Erase { subject, site } => {
            take_out(&Chosen::find(ledger, config)?, subject, site.as_deref())
        }
        Command::Purge => purge(&Chosen::find(ledger, config)?),
        Command::Stats => answer::stats(&*Chosen::find(ledger, config)?.read()?),
        Command::Backup { file } => backup(&Chosen::find(ledger, config)?, file),
        Command::Migrate { from, to } => migrate(config, &from, &to),
    }
}

fn check(chosen: &Chosen, checkpoints: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let reader = chosen.read()?;
    let points = match checkpoints.as_ref().or(chosen.checkpoints.as_ref()) {
        // The proxy makes it when there is something to tell.
        Some(file) if checkpoints.is_none() && !file.exists() => Vec::new(),
        Some(file) => checkpoint::read(file)
            .with_context(|| format!("the checkpoints {} cannot be read", file.display()))?,
        None => Vec::new(),
    };
    let bar = bar(reader.count(&Default::default())?);
    let finding = verify::verify(&*reader, chosen.keys.as_ref(), &points, |done| bar.set_position(done))?;
    bar.finish_and_clear();
    Ok(answer::tell(&finding))
}

fn take_out(chosen: &Chosen, subject: Uuid, site: Option<&str>) -> anyhow::Result<ExitCode> {
    let store = chosen.mend()?;
    let count = erase::erase(&*store, Subject(subject), site, Clock::system().now(), chosen.keys()?)?;
    if count == 0 {
        eprintln!("consentry: no entry is of subject {}", subject.as_simple());
        return Ok(ExitCode::FAILURE);
    }
    println!(
        "erased: {count} entries do not say any more who decided. What was decided, when and on which wording stays, \
         to prove it if need be (GDPR art. 17(3)(e)); nothing leads from there to a person. Backups made before still do."
    );
    Ok(ExitCode::SUCCESS)
}

fn purge(chosen: &Chosen) -> anyhow::Result<ExitCode> {
    let retention = chosen.retention.as_ref().context("what is kept how long is said in the settings")?;
    let store = chosen.mend()?;
    let bar = bar(store.count(&Default::default())?);
    let now = Clock::system().now();
    let purged = retention::purge(&*store, retention, now, chosen.keys()?, |done| bar.set_position(done))?;
    bar.finish_and_clear();
    println!("purged: {} entries and {} wordings", purged.entries, purged.wordings);
    Ok(ExitCode::SUCCESS)
}

fn backup(chosen: &Chosen, file: PathBuf) -> anyhow::Result<ExitCode> {
    if file.exists() {
        anyhow::bail!("{} exists already; a backup overwrites nothing", file.display());
    }
    let entries = match &chosen.place {
        Place::Sqlite(path) => {
            let ledger = chosen.sqlite(path)?;
            ledger.copy_to(&file)?;
            Place::Sqlite(file.clone()).read()?.count(&Default::default())?
        }
        Place::Postgres(_) => carry(chosen, &Place::Sqlite(file.clone()))?,
    };
    println!("backed up: {entries} entries to {}", file.display());
    Ok(ExitCode::SUCCESS)
}

fn migrate(config: &Path, from: &str, to: &str) -> anyhow::Result<ExitCode> {
    let from = Chosen::find(Some(from), config)?;
    let to = place::parse(to)?;
    let entries = carry(&from, &to)?;
    println!(
        "carried over: {entries} entries to {to}; name it in the settings, under `ledger`, and start the proxy"
    );
    Ok(ExitCode::SUCCESS)
}

fn carry(from: &Chosen, to: &Place) -> anyhow::Result<u64> {
    let reader = from.read()?;
    let bar = bar(reader.count(&Default::default())?);
    let entries = carry::over(&*reader, &from.place, to, from.keys()?, |done| bar.set_position(done))?;
    bar.finish_and_clear();
    Ok(entries)
}
