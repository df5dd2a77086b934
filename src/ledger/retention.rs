//! How long entries are kept, and the purge of those whose time is over (GDPR art. 5(1)(e)).

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use super::record::{Record, Tombstone};
use super::seal::{Keys, Statement};
use super::store::{Filter, Mend, StoreFailure, each};
use crate::clock::Timestamp;

/// How long the entries of one site are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Choices, refusals and withdrawals; none: without end.
    pub choices: Option<Duration>,
    /// Acceptances and declines.
    pub acceptances: Option<Duration>,
}

/// Retention of each site, by its name. Entries of sites that are not there any more are kept.
pub type OfSites = HashMap<Box<str>, Retention>;

impl Retention {
    /// Whether the time of an entry is over. What still holds is kept in any case: it is somebody's proof.
    fn is_over(&self, record: &Record, now: i64) -> bool {
        let kept = if &*record.kind == "choice" { self.choices } else { self.acceptances };
        let Some(kept) = kept.and_then(|kept| i64::try_from(kept.as_millis()).ok()) else { return false };
        let still_holds = record.valid_until.is_some_and(|until| until > now);
        !still_holds && record.at.saturating_add(kept) < now
    }
}

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// How many entries went.
    pub entries: u64,
    /// How many wordings went that no entry names any more.
    pub wordings: u64,
}

/// How many entries go in one transaction: the proxy's own commits wait for it.
const MOST: i64 = 20_000;

/// Purges every entry whose time is over.
pub fn purge(
    store: &(impl Mend + ?Sized),
    retention: &OfSites,
    now: Timestamp,
    keys: &Keys,
    mut progress: impl FnMut(u64),
) -> Result<Purged, StoreFailure> {
    let mut purged = Purged::default();
    let mut run: Option<Tombstone> = None;
    let mut walked = 0;
    if retention.values().all(|retention| *retention == Retention::default()) {
        return Ok(purged);
    }
    let bury = |run: &mut Option<Tombstone>, purged: &mut Purged| {
        let Some(tombstone) = run.take() else { return Ok(()) };
        purged.entries += u64::try_from(tombstone.last - tombstone.first + 1).unwrap_or(0);
        store.bury(&[sealed(tombstone, keys)])
    };
    each(store, &Filter::default(), |record| {
        walked += 1;
        progress(walked);
        let of_site = retention.get(&record.site);
        let is_over = of_site.is_some_and(|retention| retention.is_over(&record, now.as_millisecond()));
        let continues = run.as_ref().is_some_and(|run| {
            is_over
                && (run.chain, run.last + 1) == (record.chain, record.sequence)
                && record.sequence - run.first < MOST
        });
        match &mut run {
            Some(run) if continues => (run.last, run.after) = (record.sequence, record.hash),
            _ => {
                bury(&mut run, &mut purged)?;
                run = is_over.then(|| unsealed(&record, &record, now));
            }
        }
        Ok::<_, StoreFailure>(ControlFlow::Continue(()))
    })?;
    bury(&mut run, &mut purged)?;
    if purged.entries > 0 {
        join_tombstones(store, now, keys)?;
        purged.wordings = store.forget_wordings()?;
        store.scrub()?;
    }
    Ok(purged)
}

/// Makes one tombstone of those that stand side by side.
fn join_tombstones(store: &(impl Mend + ?Sized), now: Timestamp, keys: &Keys) -> Result<(), StoreFailure> {
    let mut joined: Vec<(Tombstone, usize)> = Vec::new();
    for next in store.tombstones()? {
        match joined.last_mut() {
            // A forged one is not sealed over.
            Some((last, count))
                if (last.chain, last.last + 1, last.after) == (next.chain, next.first, next.before)
                    && is_genuine(last, keys)
                    && is_genuine(&next, keys) =>
            {
                *last = sealed(
                    Tombstone {
                        last: next.last,
                        after: next.after,
                        at: now.as_millisecond(),
                        ..last.clone()
                    },
                    keys,
                );
                *count += 1;
            }
            _ => joined.push((next, 1)),
        }
    }
    let anew: Vec<_> = joined.into_iter().filter(|(_, count)| *count > 1).map(|(joined, _)| joined).collect();
    store.bury(&anew)
}

fn is_genuine(tombstone: &Tombstone, keys: &Keys) -> bool {
    keys.check(&tombstone.seal, Statement::Purge(tombstone)) == super::seal::Proof::Genuine
}

/// The tombstone of a run of entries.
#[cfg(test)]
pub(super) fn tombstone(first: &Record, last: &Record, now: Timestamp, keys: &Keys) -> Tombstone {
    sealed(unsealed(first, last, now), keys)
}

fn unsealed(first: &Record, last: &Record, now: Timestamp) -> Tombstone {
    Tombstone {
        chain: first.chain,
        first: first.sequence,
        last: last.sequence,
        before: first.previous,
        after: last.hash,
        at: now.as_millisecond(),
        seal: [0; 20],
    }
}

fn sealed(tombstone: Tombstone, keys: &Keys) -> Tombstone {
    let seal = keys.seal(Statement::Purge(&tombstone));
    Tombstone { seal, ..tombstone }
}
