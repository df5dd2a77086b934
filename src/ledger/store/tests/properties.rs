//! What holds of every chain, whatever somebody without the secrets does to it, and however it was purged.

use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::ledger::erase;
use crate::ledger::retention::{OfSites, Retention, purge};

/// How many entries the chain has that is tampered with.
const ENTRIES: i64 = 24;

/// Every column that says something, and what is put there instead.
const CHANGES: [&str; 17] = [
    "id = x'00112233445566778899aabbccddeeff'",
    "at = at + 1",
    "at = -at",
    "site = site || 'x'",
    "kind = 'decline'",
    "document = 'other'",
    "valid_until = 1",
    "body = body || ' '",
    "subject = x'00112233445566778899aabbccddeeff'",
    "salt = x'00112233445566778899aabbccddeeff'",
    "identity = hash",
    "subject = NULL, salt = NULL",
    "subject = NULL, salt = NULL, erased_at = at, erased_seal = seal",
    "digest = hash",
    "shown = hash",
    "previous = hash",
    "hash = previous",
];

/// What somebody does who can write the database and has no secret.
#[derive(Clone, Debug)]
enum Tampering {
    /// Puts something else into an entry.
    Change(i64, &'static str),
    /// Removes the entries from one place to another.
    Remove(i64, i64),
    /// Exchanges two entries.
    Exchange(i64, i64),
    /// Puts a copy of an entry in the place of another.
    Replace(i64, i64),
    /// Puts a copy of an entry before another, and moves up what follows.
    Insert(i64, i64),
}

use Tampering::{Change, Exchange, Insert, Remove, Replace};

impl Tampering {
    fn sql(&self) -> String {
        // All that stands in an entry but its place, and its id, of which there is one.
        let others = COLUMNS.replace("chain, sequence, id, ", "");
        match self {
            Change(place, change) => format!("UPDATE entries SET {change} WHERE sequence = {place}"),
            Remove(first, last) => format!("DELETE FROM entries WHERE sequence BETWEEN {first} AND {last}"),
            Exchange(one, other) => format!(
                "UPDATE entries SET sequence = 0 WHERE sequence = {one}; \
                 UPDATE entries SET sequence = {one} WHERE sequence = {other}; \
                 UPDATE entries SET sequence = {other} WHERE sequence = 0"
            ),
            Replace(place, from) => format!(
                "UPDATE entries SET ({others}) = (SELECT {others} FROM entries WHERE sequence = {from}) \
                 WHERE sequence = {place}"
            ),
            Insert(place, from) => format!(
                "UPDATE entries SET sequence = -sequence - 1 WHERE sequence >= {place}; \
                 UPDATE entries SET sequence = -sequence WHERE sequence < 0; \
                 INSERT INTO entries (chain, sequence, id, {others}) SELECT chain, {place}, zeroblob(16), {others} \
                 FROM entries WHERE sequence = {}",
                if from < place { *from } else { from + 1 }
            ),
        }
    }

    /// The first place where something is not as it was recorded; of a cut-off end, where it should be.
    fn first_place(&self) -> i64 {
        match self {
            Remove(_, last) if *last == ENTRIES => ENTRIES,
            Change(place, _) | Remove(place, _) | Replace(place, _) | Insert(place, _) => *place,
            Exchange(one, other) => *one.min(other),
        }
    }
}

fn tampering() -> impl Strategy<Value = Tampering> {
    let place = || 1..=ENTRIES;
    let two = || (place(), place()).prop_filter("two places", |(one, other)| one != other);
    prop_oneof![
        4 => (place(), prop::sample::select(&CHANGES[..])).prop_map(|(place, change)| Change(place, change)),
        2 => (place(), place()).prop_map(|(one, other)| Remove(one.min(other), one.max(other))),
        1 => two().prop_map(|(one, other)| Exchange(one, other)),
        1 => two().prop_map(|(place, from)| Replace(place, from)),
        1 => (1..=ENTRIES + 1, place()).prop_map(|(place, from)| Insert(place, from)),
    ]
}

/// A copy of one ledger that was written in three commits.
fn copy() -> File {
    static WRITTEN: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let lab = File::new();
        let mut store = append(&lab);
        [1..=1, 2..=15, 16..=24].into_iter().for_each(|visitors| write(&mut *store, visitors));
        drop(store);
        std::fs::read(lab.file()).unwrap()
    });
    let lab = File::new();
    std::fs::write(lab.file(), &*WRITTEN).unwrap();
    lab
}

fn broken_at(lab: &File) -> Option<i64> {
    match verified(lab) {
        Finding::Broken { sequence, .. } => Some(sequence),
        Finding::Intact(_) => None,
    }
}

/// What is done to a ledger in earnest.
#[derive(Clone, Debug)]
enum Act {
    /// As many entries are written in one commit.
    Write(usize),
    /// Who made the entry with this number, by the order of their times, is erased.
    Erase(u128),
    /// Everything is purged whose number is lower.
    Purge(i64),
    /// The ledger is closed and opened again.
    Reopen,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (1..6_usize).prop_map(Act::Write),
        2 => (1..=40_u128).prop_map(Act::Erase),
        1 => (1..=40_i64).prop_map(Act::Purge),
        1 => Just(Act::Reopen),
    ];
    prop::collection::vec(act, 1..12)
}

/// Puts an act into effect, and notes in `alive` which numbers are there and whether they are erased.
fn perform(
    act: &Act,
    lab: &File,
    store: &mut Option<Box<dyn Append>>,
    numbers: &mut Vec<u128>,
    alive: &mut Alive,
) {
    match act {
        Act::Write(count) => {
            let next: Vec<_> = numbers.drain(..(*count).min(numbers.len())).collect();
            alive.extend(next.iter().map(|number| (*number, false)));
            write(&mut **store.as_mut().unwrap(), next);
        }
        Act::Erase(number) => {
            let mend = lab.place().mend().unwrap();
            let count = erase::erase(&*mend, subject(*number), None, at(99), &keys()).unwrap();
            let found = alive.iter_mut().find(|(other, is_erased)| other == number && !is_erased);
            assert_eq!(count, usize::from(found.is_some()));
            found.into_iter().for_each(|(_, is_erased)| *is_erased = true);
        }
        Act::Purge(number) => {
            let kept = Retention { choices: Some(Duration::from_secs(100)), acceptances: None };
            let retention = OfSites::from([("shop".into(), kept)]);
            let mend = lab.place().mend().unwrap();
            let purged = purge(&*mend, &retention, at(100 + number), &keys(), |_| {}).unwrap();
            let before = alive.len();
            alive.retain(|(other, _)| i64::try_from(*other).unwrap() >= *number);
            assert_eq!(purged.entries, (before - alive.len()) as u64);
        }
        Act::Reopen => {
            *store = None;
            *store = Some(append(lab));
        }
    }
}

/// Numbers in the order of the chain, and whether their visitors are erased.
type Alive = Vec<(u128, bool)>;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_changed_removed_moved_or_added_is_found_and_its_first_place_is_named(tampering in tampering()) {
        let lab = copy();
        lab.sql(&tampering.sql());
        prop_assert_eq!(broken_at(&lab), Some(tampering.first_place()));
    }

    #[test]
    fn of_several_changes_the_first_is_named(
        places in prop::collection::btree_set(1..=ENTRIES, 1..5),
        change in prop::sample::select(&CHANGES[1..])
    ) {
        let lab = copy();
        places.iter().for_each(|place| lab.sql(&Change(*place, change).sql()));
        prop_assert_eq!(broken_at(&lab), places.first().copied());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn erasures_purges_and_restarts_in_any_order_leave_a_chain_that_holds_and_tells_of_every_change(
        mut numbers in Just((1..=40_u128).collect::<Vec<_>>()).prop_shuffle(),
        acts in acts(),
        chosen in any::<prop::sample::Index>()
    ) {
        let lab = File::new();
        let mut store = Some(append(&lab));
        let mut alive = Alive::new();
        for act in &acts {
            perform(act, &lab, &mut store, &mut numbers, &mut alive);
            let Finding::Intact(found) = verified(&lab) else { panic!("{act:?}: {:?}", verified(&lab)) };
            let erased = alive.iter().filter(|(_, is_erased)| *is_erased).count() as u64;
            prop_assert_eq!((found.entries, found.erased, found.chains), (alive.len() as u64, erased, 1));
        }
        drop(store);
        let records = read(&lab);
        let order: Vec<_> = records.iter().map(|record| record.id.as_u128() >> 64).collect();
        prop_assert_eq!(order, alive.iter().map(|(number, _)| *number).collect::<Vec<_>>());
        if !records.is_empty() {
            let place = chosen.get(&records).sequence;
            lab.sql(&Change(place, "body = body || ' '").sql());
            prop_assert_eq!(broken_at(&lab), Some(place));
        }
    }
}
