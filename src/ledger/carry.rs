//! Carries a ledger over into another store, as it is: chains, erasures and tombstones included.

use std::collections::HashSet;
use std::ops::ControlFlow;

use super::Place;
use super::record::{Hash, Record};
use super::seal::Keys;
use super::store::{Filter, Read, StoreFailure, each};

/// Why a ledger was not carried over.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// One of the stores failed.
    #[error(transparent)]
    Store(#[from] StoreFailure),
    /// The new place holds entries.
    #[error("{0} holds entries already: two ledgers are not mixed; name a new place")]
    NotEmpty(Place),
    /// It is the same place.
    #[error("{0} is where it is kept already")]
    Same(Place),
}

/// How many records are written in one transaction.
const MOST: usize = 2_000;

/// Carries everything over into a place that is new or empty, and says how many entries that were. The new ledger is
/// what the old one was when this began; what is added to the old one meanwhile is left out.
pub fn over(
    from: &(impl Read + ?Sized),
    source: &Place,
    target: &Place,
    keys: &Keys,
    mut progress: impl FnMut(u64),
) -> Result<u64, Failure> {
    if source == target {
        return Err(Failure::Same(target.clone()));
    }
    let to = target.create(keys)?;
    if !to.heads()?.is_empty() || to.count(&Filter::default())? > 0 {
        return Err(Failure::NotEmpty(target.clone()));
    }
    let heads = from.heads()?;
    let tombstones = from.tombstones()?;
    let mut known = HashSet::new();
    let mut waiting: Vec<Record> = Vec::with_capacity(MOST);
    let mut copied = 0;
    let mut flush = |waiting: &mut Vec<Record>| -> Result<u64, Failure> {
        let mut wordings: Vec<(Hash, String)> = Vec::new();
        for record in waiting.iter() {
            if known.insert(record.shown)
                && let Some(text) = from.shown(&record.shown)?
            {
                wordings.push((record.shown, text));
            }
        }
        to.adopt(waiting, &wordings)?;
        let count = waiting.len() as u64;
        waiting.clear();
        Ok(count)
    };
    each(from, &Filter::default(), |record| {
        let end = heads.iter().find(|head| head.chain == record.chain);
        // What stands beyond was added after this began.
        if end.is_none_or(|head| record.sequence <= head.sequence) {
            waiting.push(record);
        }
        if waiting.len() == MOST {
            copied += flush(&mut waiting)?;
            progress(copied);
        }
        Ok::<_, Failure>(ControlFlow::Continue(()))
    })?;
    copied += flush(&mut waiting)?;
    to.adopt_chains(&heads, &tombstones)?;
    Ok(copied)
}
