//! What the commands of the ledger say.

use std::io::{IsTerminal, stdout};
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

use crate::clock::Timestamp;
use crate::ledger::Method;
use crate::ledger::export::record;
use crate::ledger::store::Read;
use crate::ledger::verify::{Damage, Finding, Intact};

/// A bar on standard error, where somebody looks at it and standard output goes elsewhere.
pub(super) fn bar(entries: u64) -> ProgressBar {
    if stdout().is_terminal() || entries < 10_000 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{wide_bar} {human_pos} of {human_len} entries, {eta} left");
    ProgressBar::new(entries).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// One entry, and the text that was shown.
pub(super) fn show(reader: &dyn Read, id: Uuid) -> anyhow::Result<ExitCode> {
    let Some(row) = reader.find(id)? else {
        eprintln!(
            "consentry: no entry has the id {id}; it never was, or its time was over and it was purged"
        );
        return Ok(ExitCode::FAILURE);
    };
    let shown = reader.shown(&row.shown)?;
    let sequence = row.sequence;
    let Some(entry) = row.read() else { anyhow::bail!("entry {sequence} is damaged") };
    println!("{:#}", record(&entry));
    match shown.as_deref() {
        Some(signal) if entry.decision.method == Method::Signal => {
            println!("\nNothing was shown: the visitor's browser sent {signal}.");
        }
        Some("") => println!("\nNothing of ours was shown: a program of the site sent it."),
        Some(text) => println!("\nAs shown:\n{text}"),
        None => anyhow::bail!("the wording that entry {sequence} names is missing"),
    }
    Ok(ExitCode::SUCCESS)
}

/// How many entries there are.
pub(super) fn stats(reader: &dyn Read) -> anyhow::Result<ExitCode> {
    let counts = reader.counts()?;
    let day = |at: i64| Timestamp::from_millisecond(at).unwrap_or_default().strftime("%Y-%m-%d").to_string();
    println!(
        "{:<24} {:<12} {:>10} {:>10}  {:<10}  {:<10}",
        "site", "kind", "entries", "erased", "first", "last"
    );
    for count in &counts {
        let (first, last) = (day(count.first), day(count.last));
        println!(
            "{:<24} {:<12} {:>10} {:>10}  {first}  {last}",
            count.site, count.kind, count.entries, count.erased
        );
    }
    let tombstones = reader.tombstones()?;
    let purged: i64 = tombstones.iter().map(|tombstone| tombstone.last - tombstone.first + 1).sum();
    let entries: i64 = counts.iter().map(|count| count.entries).sum();
    println!(
        "{entries} entries in {} chains, {purged} purged, {:.1} MiB",
        reader.heads()?.len(),
        reader.size()? as f64 / f64::from(1 << 20)
    );
    Ok(ExitCode::SUCCESS)
}

/// What a verification found, as words and as an exit code.
pub(super) fn tell(finding: &Finding) -> ExitCode {
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
