//! One suite for every store: what is promised of the ledger, wherever it is kept.

use tempfile::TempDir;

use super::*;
use crate::clock::Clock;
use crate::ledger::chain::{self, Draft};
use crate::ledger::record::Whose;
use crate::ledger::tests::{choice, keys};
use crate::ledger::verify::{Damage, Finding, Intact, verify};
use crate::ledger::{Place as Kept, hexadecimal};
use cluster_of_tests::Cluster;

#[expect(unreachable_pub, dead_code, reason = "the integration tests use it, too, and more of it")]
#[path = "../../../tests/integration/support/postgres.rs"]
mod cluster_of_tests;
mod properties;

/// A new store, and a way to tamper with it.
trait Laboratory {
    fn place(&self) -> Kept;
    fn sql(&self, statement: &str);
}

struct File(TempDir);

impl File {
    fn new() -> Self {
        File(TempDir::new().unwrap())
    }

    fn file(&self) -> std::path::PathBuf {
        self.0.path().join("ledger.sqlite")
    }
}

impl Laboratory for File {
    fn place(&self) -> Kept {
        Kept::Sqlite(self.file())
    }

    fn sql(&self, statement: &str) {
        let connection = rusqlite::Connection::open(self.file()).unwrap();
        connection.execute_batch(&format!("PRAGMA foreign_keys = off; {statement}")).unwrap();
    }
}

struct Database(String);

impl Database {
    fn new() -> Self {
        Database(cluster().database())
    }
}

/// One server for all tests of this process.
fn cluster() -> &'static Cluster {
    static CLUSTER: std::sync::LazyLock<Cluster> = std::sync::LazyLock::new(Cluster::start);
    &CLUSTER
}

impl Laboratory for Database {
    fn place(&self) -> Kept {
        Kept::Postgres(postgres::Address::parse(&self.0, None).unwrap())
    }

    fn sql(&self, statement: &str) {
        let (_, name) = self.0.rsplit_once('=').unwrap();
        let begin = "SET search_path = consentry; SET session_replication_role = replica;";
        cluster().sql(name, &format!("{begin} {statement}"));
    }
}

macro_rules! promises {
    ($($(#[$meta:meta])* $name:ident)*) => {
        mod in_sqlite {
            $(#[test] $(#[$meta])* fn $name() { super::$name(&super::File::new()); })*
        }
        mod in_postgres {
            $(#[test] $(#[$meta])* fn $name() { super::$name(&super::Database::new()); })*
        }
    };
}

promises! {
    what_was_written_is_read_back
    filters_find_what_is_meant_and_nothing_else
    c21_every_way_of_tampering_is_named
    a_rebuilt_chain_is_seen_by_its_seals
    a_cut_off_end_is_never_sealed_over
    checkpoints_kept_elsewhere_tell_of_an_older_state
    who_is_erased_is_gone_and_the_chain_still_holds
    the_chain_holds_over_what_was_purged
    a_store_can_be_carried_over_into_another
    a_newer_schema_and_a_half_migrated_one_are_refused
    a_ledger_that_is_not_there_yet_is_named_as_such
}

fn subject(number: u128) -> Subject {
    Subject(Uuid::from_u128(number))
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn append(lab: &dyn Laboratory) -> Box<dyn Append> {
    lab.place().append(&keys(), &Clock::fixed(1_000)).unwrap()
}

/// Writes one entry each for these visitors, a second apart, in one batch.
fn write(store: &mut dyn Append, visitors: impl IntoIterator<Item = u128>) {
    let decision = choice();
    let shown = sha("banner");
    let drafts: Vec<_> = visitors
        .into_iter()
        .map(|number| Draft {
            id: Uuid::from_u128(number << 64 | 7),
            at: at(i64::try_from(number).unwrap()),
            person: subject(number).into(),
            decision: &decision,
            shown,
            salt: [u8::try_from(number % 251).unwrap(); 16],
        })
        .collect();
    let (records, head) = chain::link(store.head(), &keys(), &drafts);
    store.append(&Batch { records: &records, wordings: &[(shown, "banner")], head: &head }).unwrap();
}

fn sha(text: &str) -> Hash {
    use sha2::Digest;
    sha2::Sha256::digest(text.as_bytes()).into()
}

fn read(lab: &dyn Laboratory) -> Vec<Record> {
    records(lab, &Filter::default())
}

fn records(lab: &dyn Laboratory, filter: &Filter) -> Vec<Record> {
    let mut found = Vec::new();
    each(&*lab.place().read().unwrap(), filter, |record| {
        found.push(record);
        Ok::<_, StoreFailure>(ControlFlow::Continue(()))
    })
    .unwrap();
    found
}

fn verified(lab: &dyn Laboratory) -> Finding {
    verify(&*lab.place().read().unwrap(), Some(&keys()), &[], |_| {}).unwrap()
}

#[track_caller]
fn assert_intact(lab: &dyn Laboratory, entries: u64) {
    match verified(lab) {
        Finding::Intact(intact) => assert_eq!(intact.entries, entries),
        broken => panic!("{broken:?}"),
    }
}

fn what_was_written_is_read_back(lab: &dyn Laboratory) {
    let mut store = append(lab);
    write(&mut *store, 1..=3);
    write(&mut *store, 4..=4);
    let head = store.head().clone();
    drop(store);
    assert_eq!(*append(lab).head(), chain::sealed(head, &keys()), "the chain goes on where it ended");
    let records = read(lab);
    assert_eq!(records.iter().map(|record| record.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let third = records.get(2).unwrap();
    assert_eq!(third.clone().read().unwrap().decision, choice());
    let reader = lab.place().read().unwrap();
    assert_eq!(reader.find(third.id).unwrap().as_ref(), Some(third));
    assert_eq!(reader.find(Uuid::nil()).unwrap(), None);
    assert_eq!(reader.of("shop", subject(3)).unwrap(), std::slice::from_ref(third));
    assert!(reader.of("other", subject(3)).unwrap().is_empty(), "each site has its own visitors");
    assert_eq!(reader.shown(&third.shown).unwrap().as_deref(), Some("banner"));
    assert_eq!(reader.shown(&[0; 32]).unwrap(), None);
    let counts = reader.counts().unwrap();
    assert_eq!((counts.len(), counts[0].entries, counts[0].first, counts[0].last), (1, 4, 1_000, 4_000));
    assert!(reader.size().unwrap() > 0);
    assert_intact(lab, 4);
}

fn filters_find_what_is_meant_and_nothing_else(lab: &dyn Laboratory) {
    let mut store = append(lab);
    write(&mut *store, 1..=5_000);
    for (filter, expected) in [
        (Filter::default(), 5_000),
        (Filter { site: Some("shop".into()), ..Filter::default() }, 5_000),
        (Filter { site: Some("other".into()), ..Filter::default() }, 0),
        (Filter { subject: Some(subject(77)), ..Filter::default() }, 1),
        (Filter { document: Some("privacy".into()), ..Filter::default() }, 0),
        (Filter { since: Some(at(4_999)), ..Filter::default() }, 2),
        (Filter { until: Some(at(3)), ..Filter::default() }, 2),
        (Filter { since: Some(at(10)), until: Some(at(20)), ..Filter::default() }, 10),
    ] {
        assert_eq!(records(lab, &filter).len(), expected, "{filter:?}");
        let counted = lab.place().read().unwrap().count(&filter).unwrap();
        assert_eq!(usize::try_from(counted).unwrap(), expected, "{filter:?}");
    }
}

fn c21_every_way_of_tampering_is_named(lab: &dyn Laboratory) {
    use Damage::{
        Changed, CutOff, EndForged, Forged, PersonChanged, Removed, Reordered, TombstoneForged, WordingLost,
    };
    write(&mut *append(lab), 1..=9);
    assert_intact(lab, 9);
    let keep = "CREATE TABLE k_entries AS SELECT * FROM entries; CREATE TABLE k_shown AS SELECT * FROM shown; \
                CREATE TABLE k_chains AS SELECT * FROM chains";
    let restore = "DELETE FROM entries; DELETE FROM shown; DELETE FROM chains; DELETE FROM tombstones; \
                   INSERT INTO shown SELECT * FROM k_shown; INSERT INTO entries SELECT * FROM k_entries; \
                   INSERT INTO chains SELECT * FROM k_chains";
    lab.sql(keep);
    for (tampering, sequence, damage) in [
        ("UPDATE entries SET body = '{}' WHERE sequence = 2", 2, Changed),
        ("UPDATE entries SET site = 'other' WHERE sequence = 3", 3, Changed),
        ("UPDATE entries SET at = at + 1 WHERE sequence = 9", 9, Changed),
        ("UPDATE entries SET hash = digest WHERE sequence = 9", 9, Changed),
        (
            "UPDATE entries SET seal = (SELECT seal FROM k_entries WHERE sequence = 3) WHERE sequence = 4",
            4,
            Forged,
        ),
        (
            "UPDATE entries SET subject = (SELECT subject FROM k_entries WHERE sequence = 3) WHERE sequence = 4",
            4,
            PersonChanged,
        ),
        ("UPDATE entries SET subject = NULL, salt = NULL WHERE sequence = 4", 4, PersonChanged),
        ("DELETE FROM entries WHERE sequence = 5", 5, Removed),
        ("DELETE FROM entries WHERE sequence = 1", 1, Removed),
        (
            "UPDATE entries SET sequence = 99 WHERE sequence = 6; UPDATE entries SET sequence = 6 WHERE sequence = 7; \
             UPDATE entries SET sequence = 7 WHERE sequence = 99",
            6,
            Reordered,
        ),
        ("DELETE FROM entries WHERE sequence > 7", 9, CutOff),
        ("DELETE FROM entries", 9, CutOff),
        (
            "DELETE FROM entries WHERE sequence > 7; UPDATE chains SET sequence = 7, \
             hash = (SELECT hash FROM k_entries WHERE sequence = 7)",
            7,
            EndForged,
        ),
        ("DELETE FROM chains", 9, EndForged),
        (
            "DELETE FROM entries WHERE sequence = 5; INSERT INTO tombstones SELECT chain, 5, 5, previous, hash, at, seal \
             FROM k_entries WHERE sequence = 5",
            5,
            TombstoneForged,
        ),
        ("UPDATE shown SET content = 'other'", 1, WordingLost),
    ] {
        lab.sql(tampering);
        match verified(lab) {
            Finding::Broken { sequence: found, damage: why, .. } => {
                assert_eq!((found, why), (sequence, damage), "{tampering}");
            }
            Finding::Intact(_) => panic!("not seen: {tampering}"),
        }
        lab.sql(restore);
        assert_intact(lab, 9);
    }
}

fn a_rebuilt_chain_is_seen_by_its_seals(lab: &dyn Laboratory) {
    write(&mut *append(lab), 1..=9);
    // Whoever can write the database, and has not the secrets, makes everything from the third entry on anew.
    let others =
        crate::ledger::seal::Keys::new(&crate::consent::cookie::Secrets::parse(&"x".repeat(32)).unwrap());
    let mut records = read(lab);
    let mut previous = None;
    for record in records.iter_mut().skip(2) {
        record.body = record.body.replace("youtube", "vimeo").into();
        if let Some(previous) = previous {
            record.previous = previous;
        }
        record.hash = chain::hash(record);
        previous = Some(record.hash);
        let forged = others.seal(crate::ledger::seal::Statement::Entry(&record.hash));
        // The id of the true secret can be copied; what it would have made of the hash cannot.
        record.seal.iter_mut().zip(forged).skip(4).for_each(|(to, from)| *to = from);
    }
    for record in records.iter().skip(2) {
        lab.sql(&format!(
            "UPDATE entries SET body = '{}', previous = {}, hash = {}, seal = {} WHERE sequence = {}",
            record.body,
            blob(lab, &record.previous),
            blob(lab, &record.hash),
            blob(lab, &record.seal),
            record.sequence,
        ));
    }
    let Finding::Broken { sequence, damage, .. } = verified(lab) else { panic!("not seen") };
    assert_eq!((sequence, damage), (3, Damage::Forged));
    // Nor does it help to name a secret that nobody has.
    lab.sql(&format!(
        "UPDATE entries SET seal = {0} WHERE sequence > 2; UPDATE chains SET seal = {0}, hash = {1}",
        blob(lab, &[9; 20]),
        blob(lab, &records[8].hash),
    ));
    let Finding::Broken { sequence, damage, .. } = verified(lab) else { panic!("not seen") };
    assert_eq!((sequence, damage), (9, Damage::SecretGone));
}

fn blob(lab: &dyn Laboratory, bytes: &[u8]) -> String {
    match lab.place() {
        Kept::Sqlite(_) => format!("x'{}'", hexadecimal::of(bytes)),
        Kept::Postgres(_) => format!("'\\x{}'", hexadecimal::of(bytes)),
    }
}

fn a_cut_off_end_is_never_sealed_over(lab: &dyn Laboratory) {
    write(&mut *append(lab), 1..=9);
    lab.sql("DELETE FROM entries WHERE sequence > 7");
    // The proxy goes on, in a new chain; what happened to the old one stays to be seen.
    let mut store = append(lab);
    assert_eq!(store.head().sequence, 0);
    write(&mut *store, 10..=12);
    drop(store);
    write(&mut *append(lab), 13..=13);
    let Finding::Broken { sequence, damage, .. } = verified(lab) else { panic!("not seen") };
    assert_eq!((sequence, damage), (9, Damage::CutOff));
    assert_eq!(lab.place().read().unwrap().heads().unwrap().len(), 2);
}

fn checkpoints_kept_elsewhere_tell_of_an_older_state(lab: &dyn Laboratory) {
    let mut store = append(lab);
    write(&mut *store, 1..=5);
    let early = store.head().clone();
    write(&mut *store, 6..=9);
    let late = store.head().clone();
    drop(store);
    let check =
        |points: &[Head]| verify(&*lab.place().read().unwrap(), Some(&keys()), points, |_| {}).unwrap();
    assert!(matches!(check(&[early.clone(), late.clone()]), Finding::Intact(_)));
    let elsewhere = Head { chain: Uuid::from_u128(5), ..late.clone() };
    let other = Head { hash: [1; 32], ..early.clone() };
    for (points, sequence, damage) in
        [(vec![elsewhere], 9, Damage::CutOff), (vec![other], 5, Damage::NotAsAtCheckpoint)]
    {
        let Finding::Broken { sequence: found, damage: why, .. } = check(&points) else { panic!("not seen") };
        assert_eq!((found, why), (sequence, damage));
    }
    // A database put back to an older state is whole in itself.
    lab.sql(&format!(
        "DELETE FROM entries WHERE sequence > 5; UPDATE chains SET sequence = 5, at = {}, hash = {}, seal = {}",
        early.at,
        blob(lab, &early.hash),
        blob(lab, &early.seal)
    ));
    assert!(matches!(check(&[early]), Finding::Intact(_)));
    let Finding::Broken { sequence, damage, .. } = check(&[late]) else { panic!("not seen") };
    assert_eq!((sequence, damage), (9, Damage::CutOff));
}

fn who_is_erased_is_gone_and_the_chain_still_holds(lab: &dyn Laboratory) {
    write(&mut *append(lab), 1..=5);
    let record = lab.place().read().unwrap().of("shop", subject(3)).unwrap().pop().unwrap();
    let erasure = crate::ledger::erase::erasure(&record, at(9), &keys());
    let mend = lab.place().mend().unwrap();
    mend.erase(&[erasure]).unwrap();
    // Twice is once.
    mend.erase(&[Erasure { at: 1, ..erasure }]).unwrap();
    mend.scrub().unwrap();
    assert!(mend.of("shop", subject(3)).unwrap().is_empty());
    let erased = mend.find(record.id).unwrap().unwrap();
    assert!(matches!(erased.whose, Whose::Erased { at: 9_000, .. }));
    assert_eq!((erased.hash, &erased.body), (record.hash, &record.body));
    let Finding::Intact(Intact { entries: 5, erased: 1, .. }) = verified(lab) else { panic!() };
    // Another's erasure cannot be put in its place.
    lab.sql("UPDATE entries SET erased_at = erased_at + 1 WHERE erased_at IS NOT NULL");
    assert!(matches!(verified(lab), Finding::Broken { sequence: 3, damage: Damage::PersonChanged, .. }));
}

fn the_chain_holds_over_what_was_purged(lab: &dyn Laboratory) {
    let mut store = append(lab);
    write(&mut *store, 1..=9);
    let records = read(lab);
    let purge = |first: usize, last: usize| {
        let run: Vec<_> = records[first - 1..last].iter().collect();
        let tombstone = crate::ledger::retention::tombstone(run[0], run[run.len() - 1], at(50), &keys());
        lab.place().mend().unwrap().bury(&[tombstone]).unwrap();
    };
    purge(1, 3);
    purge(6, 6);
    let Finding::Intact(Intact { entries: 5, purged: 4, .. }) = verified(lab) else {
        panic!("{:?}", verified(lab))
    };
    // The end as well; the writer, which has it in mind, goes on.
    purge(8, 9);
    let Finding::Intact(Intact { entries: 3, purged: 6, .. }) = verified(lab) else {
        panic!("{:?}", verified(lab))
    };
    write(&mut *store, 10..=10);
    drop(store);
    assert_intact(lab, 4);
    purge(8, 9);
    write(&mut *append(lab), 11..=11);
    assert_intact(lab, 5);
    let heads = lab.place().read().unwrap().heads().unwrap();
    assert_eq!((heads.len(), heads[0].sequence), (1, 11));
    let mend = lab.place().mend().unwrap();
    assert_eq!(mend.forget_wordings().unwrap(), 0, "the wording is still named");
    lab.sql("DELETE FROM entries");
    assert_eq!(mend.forget_wordings().unwrap(), 1);
}

fn a_store_can_be_carried_over_into_another(lab: &dyn Laboratory) {
    write(&mut *append(lab), 1..=5_000);
    let folder = TempDir::new().unwrap();
    let to = File(folder);
    let copied =
        crate::ledger::carry::over(&*lab.place().read().unwrap(), &lab.place(), &to.place(), &keys(), |_| {})
            .unwrap();
    assert_eq!(copied, 5_000);
    assert_eq!(read(lab), read(&to));
    assert_intact(&to, 5_000);
    write(&mut *append(&to), 6_000..=6_000);
    assert_intact(&to, 5_001);
    let again =
        crate::ledger::carry::over(&*lab.place().read().unwrap(), &lab.place(), &to.place(), &keys(), |_| {});
    assert!(again.is_err(), "into a ledger with entries nothing is mixed");
}

fn a_newer_schema_and_a_half_migrated_one_are_refused(lab: &dyn Laboratory) {
    write(&mut *append(lab), 1..=1);
    let open = |lab: &dyn Laboratory| lab.place().append(&keys(), &Clock::fixed(1_000)).err();
    lab.sql("ALTER TABLE entries RENAME TO entries_old");
    assert!(matches!(open(lab), Some(StoreFailure::HalfMigrated(SCHEMA, _))));
    assert!(matches!(lab.place().read().err(), Some(StoreFailure::HalfMigrated(..))));
    lab.sql("ALTER TABLE entries_old RENAME TO entries");
    assert!(open(lab).is_none());
    lab.sql(match lab.place() {
        Kept::Sqlite(_) => "PRAGMA user_version = 99",
        Kept::Postgres(_) => "UPDATE schema_version SET version = 99",
    });
    assert!(matches!(open(lab), Some(StoreFailure::Newer(99))));
    assert!(matches!(lab.place().read().err(), Some(StoreFailure::Newer(99))));
    let message = StoreFailure::Newer(99).to_string();
    assert!(message.contains("schema 99") && message.contains("newer program"), "{message}");
}

fn a_ledger_that_is_not_there_yet_is_named_as_such(lab: &dyn Laboratory) {
    assert!(matches!(lab.place().read().err(), Some(StoreFailure::Missing)));
    assert!(matches!(lab.place().mend().err(), Some(StoreFailure::Missing)));
}

#[test]
fn each_writer_of_one_database_has_a_chain_of_its_own_and_takes_up_one_that_is_free() {
    let lab = Database::new();
    let (mut one, mut two) = (append(&lab), append(&lab));
    assert_ne!(one.head().chain, two.head().chain);
    write(&mut *one, 1..=3);
    write(&mut *two, 4..=5);
    write(&mut *one, 6..=6);
    assert_intact(&lab, 6);
    let free = one.head().chain;
    drop(one);
    // The server notices that its connection is gone.
    let locks = "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database \
                 WHERE locktype = 'advisory' AND datname = current_database()";
    let (_, name) = lab.0.rsplit_once('=').unwrap();
    while cluster().sql(name, locks).trim() != "1" {}
    let again = append(&lab);
    assert_eq!((again.head().chain, again.head().sequence), (free, 4));
    assert_intact(&lab, 6);
}

#[test]
fn a_head_that_another_moved_is_not_written_over() {
    let lab = Database::new();
    let mut store = append(&lab);
    write(&mut *store, 1..=2);
    lab.sql("UPDATE chains SET sequence = 7");
    let before = store.head().clone();
    let head = Head { sequence: 3, ..before };
    let outcome = store.append(&Batch { records: &[], wordings: &[], head: &head });
    assert!(matches!(outcome, Err(StoreFailure::HeadMoved)));
    assert_eq!(read(&lab).len(), 2);
}

#[test]
fn looking_up_a_visitor_uses_the_index_in_postgres() {
    let lab = Database::new();
    write(&mut *append(&lab), 1..=5_000);
    let (_, name) = lab.0.rsplit_once('=').unwrap();
    let of = "SELECT * FROM entries WHERE subject = '00000000-0000-0000-0000-000000000007' AND site = 'shop'";
    for sql in
        [format!("{of} ORDER BY id DESC LIMIT 100"), format!("{of} ORDER BY chain, sequence LIMIT 2000")]
    {
        let plan = cluster().sql(name, &format!("SET search_path = consentry; ANALYZE; EXPLAIN {sql}"));
        assert!(plan.contains("of_subject"), "{plan}");
    }
}

#[test]
fn looking_up_a_visitor_uses_the_index_in_sqlite() {
    let lab = File::new();
    write(&mut *append(&lab), 1..=100);
    let connection = rusqlite::Connection::open(lab.file()).unwrap();
    for sql in [
        "SELECT * FROM entries WHERE subject = ? AND site = ? ORDER BY id DESC LIMIT 100",
        "SELECT * FROM entries WHERE subject = ? AND site = ? AND (chain, sequence) > (?, ?) ORDER BY chain, sequence LIMIT ?",
        "SELECT count(*) FROM entries WHERE subject = ? AND site = ?",
    ] {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let nothing = vec![None::<i64>; plan.parameter_count()];
        let steps =
            plan.query_map(rusqlite::params_from_iter(nothing), |row| row.get::<_, String>(3)).unwrap();
        let steps: Vec<_> = steps.map(Result::unwrap).collect();
        assert!(steps[0].contains("of_subject"), "{sql}: {steps:?}");
    }
}
