//! Takes out who decided, on request (GDPR art. 17). That somebody decided, what and when stays, for the
//! establishment, exercise or defence of legal claims (art. 17(3)(e)), and nothing tells any more whose it was.

use std::ops::ControlFlow;

use super::record::{Record, Whose};
use super::seal::{Keys, Statement};
use super::store::{Erasure, Filter, Mend, StoreFailure, each};
use crate::clock::Timestamp;
use crate::consent::Subject;

/// Erases one visitor, of one site or of all, and says from how many entries they were taken out.
pub fn erase(
    store: &(impl Mend + ?Sized),
    subject: Subject,
    site: Option<&str>,
    now: Timestamp,
    keys: &Keys,
) -> Result<usize, StoreFailure> {
    let filter = Filter { subject: Some(subject), site: site.map(str::to_owned), ..Filter::default() };
    let mut erasures = Vec::new();
    each(store, &filter, |record| {
        if matches!(record.whose, Whose::Known { .. }) {
            erasures.push(erasure(&record, now, keys));
        }
        Ok::<_, StoreFailure>(ControlFlow::Continue(()))
    })?;
    store.erase(&erasures)?;
    if !erasures.is_empty() {
        store.scrub()?;
    }
    Ok(erasures.len())
}

/// The erasure of one entry.
pub(super) fn erasure(record: &Record, now: Timestamp, keys: &Keys) -> Erasure {
    let at = now.as_millisecond();
    let seal = keys.seal(Statement::Erasure(&record.hash, at));
    Erasure { place: (record.chain, record.sequence), at, seal }
}
