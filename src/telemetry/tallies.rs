//! Counters by words of the program.

use std::hash::Hash;
use std::sync::OnceLock;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// How many labels are found by looking at them one after the other: those that are counted first, which are those
/// that nearly every request is counted by.
const USUAL: usize = 8;

/// A counter for each label.
pub struct Tallies<L> {
    family: Family<L, Counter>,
    /// What the family would find by a lock and a hash.
    usual: [OnceLock<(L, Counter)>; USUAL],
}

impl<L: Copy + Hash + Eq> Tallies<L> {
    /// Counts so many more.
    pub fn add(&self, label: L, times: u64) {
        for slot in &self.usual {
            let (known, counter) = slot.get_or_init(|| (label, self.of(label)));
            if *known == label {
                counter.inc_by(times);
                return;
            }
        }
        self.of(label).inc_by(times);
    }

    /// The counter of a label.
    pub fn of(&self, label: L) -> Counter {
        self.family.get_or_create_owned(&label)
    }
}

impl<L> Tallies<L> {
    /// All of them, for the registry.
    pub(super) fn family(&self) -> Family<L, Counter> {
        self.family.clone()
    }
}

impl<L: Copy + Hash + Eq> Default for Tallies<L> {
    fn default() -> Self {
        Tallies { family: Family::default(), usual: Default::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_labels_and_all_others_are_counted_alike() {
        let tallies = Tallies::<usize>::default();
        for _ in 0..2 {
            for label in 0..2 * USUAL {
                tallies.add(label, label as u64 + 1);
            }
        }
        for label in 0..2 * USUAL {
            let expected = 2 * (label as u64 + 1);
            assert_eq!(tallies.of(label).get(), expected);
            assert_eq!(tallies.family().get_or_create(&label).get(), expected);
        }
    }
}
