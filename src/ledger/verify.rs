//! Walks the chains, and names the first entry that is not what was recorded.

use std::collections::HashSet;
use std::ops::ControlFlow;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::chain;
use super::record::{Hash, Head, Record, Tombstone, Whose};
use super::seal::{Keys, Proof, Statement};
use super::store::{Filter, Read, StoreFailure, each};

/// What the walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Every entry is as it was recorded.
    Intact(Intact),
    /// Something is not as it was recorded.
    Broken {
        /// The chain.
        chain: Uuid,
        /// The place in it.
        sequence: i64,
        /// The entry that stands there, or the first that stands after it.
        id: Option<Uuid>,
        /// What is wrong.
        damage: Damage,
    },
}

/// What was found whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intact {
    /// How many entries there are.
    pub entries: u64,
    /// How many of them do not say any more who decided.
    pub erased: u64,
    /// How many of those were taken out under a secret that is not there any more.
    pub erasures_unproven: u64,
    /// How many were purged.
    pub purged: u64,
    /// In how many chains they stand.
    pub chains: u64,
    /// How often an entry is older, by the clock, than the one before it.
    pub clock_set_back: u64,
    /// Whether seals were looked at: without the secrets only the chain is.
    pub is_sealed: bool,
}

/// What is wrong with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Its fields do not match its hash.
    Changed,
    /// It fits its hash, and the chain fits it, but its seal was not made with the secrets.
    Forged,
    /// It does not follow the one before: something was inserted or reordered.
    Reordered,
    /// Entries from here to the named one are gone.
    Removed,
    /// The end is gone: there should be entries up to this place.
    CutOff,
    /// Where the chain should end is not recorded, or not by this program.
    EndForged,
    /// Who decided was taken out or changed, and not by an erasure.
    PersonChanged,
    /// The wording that it names is missing or not the same.
    WordingLost,
    /// A tombstone was not made with the secrets, or does not fit the chain.
    TombstoneForged,
    /// What a checkpoint says of this place is not what stands here.
    NotAsAtCheckpoint,
    /// It was sealed with a secret that is not there any more, and nothing after it with one that is.
    SecretGone,
}

/// Walks all chains, also while a proxy adds to them. Without keys, seals are left out.
pub fn verify(
    reader: &(impl Read + ?Sized),
    keys: Option<&Keys>,
    checkpoints: &[Head],
    mut progress: impl FnMut(u64),
) -> Result<Finding, StoreFailure> {
    loop {
        let tombstones = reader.tombstones()?;
        let finding = walk(reader, keys, checkpoints, &tombstones, &mut progress)?;
        // What was purged during the walk only seems to be gone.
        if matches!(finding, Finding::Intact(_)) || reader.tombstones()? == tombstones {
            return Ok(finding);
        }
    }
}

fn walk(
    reader: &(impl Read + ?Sized),
    keys: Option<&Keys>,
    checkpoints: &[Head],
    tombstones: &[Tombstone],
    progress: &mut impl FnMut(u64),
) -> Result<Finding, StoreFailure> {
    // First of all: what is added meanwhile stands beyond these ends.
    let heads = reader.heads()?;
    let mut walk = Walk {
        reader,
        keys,
        checkpoints,
        heads: &heads,
        chains: heads.iter().map(|head| head.chain).collect(),
        tombstones,
        wordings: HashSet::new(),
        intact: Intact { is_sealed: keys.is_some(), ..Intact::default() },
        now: None,
    };
    let outcome = each(reader, &Filter::default(), |record| {
        walk.take(&record)?;
        progress(walk.intact.entries);
        Ok(ControlFlow::Continue(()))
    });
    match outcome.and_then(|()| walk.end()) {
        Ok(()) => Ok(Finding::Intact(walk.intact)),
        Err(Stop::Found(finding)) => Ok(finding),
        Err(Stop::Failed(failure)) => Err(failure),
    }
}

/// Why a walk ends early.
enum Stop {
    Found(Finding),
    Failed(StoreFailure),
}

fn stop(chain: Uuid, sequence: i64, id: Option<Uuid>, damage: Damage) -> Stop {
    Stop::Found(Finding::Broken { chain, sequence, id, damage })
}

impl From<StoreFailure> for Stop {
    fn from(failure: StoreFailure) -> Self {
        Stop::Failed(failure)
    }
}

/// Where the walk stands in a chain.
#[derive(Clone, Copy)]
struct Position {
    chain: Uuid,
    sequence: i64,
    hash: Hash,
    at: i64,
    /// Whether something that covers all before it was sealed with a secret that is there.
    is_proven: bool,
}

struct Walk<'a, R: ?Sized> {
    reader: &'a R,
    keys: Option<&'a Keys>,
    checkpoints: &'a [Head],
    /// In the order of their chains; taken off as the walk comes by.
    heads: &'a [Head],
    chains: HashSet<Uuid>,
    tombstones: &'a [Tombstone],
    wordings: HashSet<Hash>,
    intact: Intact,
    now: Option<Position>,
}

impl<R: Read + ?Sized> Walk<'_, R> {
    fn take(&mut self, record: &Record) -> Result<(), Stop> {
        let mut at = match self.now {
            Some(at) if at.chain == record.chain => at,
            _ => self.enter(record.chain)?,
        };
        self.pass_tombstones(&mut at)?;
        let found = |damage| stop(record.chain, record.sequence, Some(record.id), damage);
        if record.sequence != at.sequence + 1 {
            let damage = if record.sequence > at.sequence { Damage::Removed } else { Damage::Reordered };
            return Err(Stop::Found(Finding::Broken {
                chain: record.chain,
                sequence: at.sequence + 1,
                id: Some(record.id),
                damage,
            }));
        }
        if record.previous != at.hash {
            return Err(found(Damage::Reordered));
        }
        if chain::hash(record) != record.hash {
            return Err(found(Damage::Changed));
        }
        match self.keys.map(|keys| keys.check(&record.seal, Statement::Entry(&record.hash))) {
            Some(Proof::Forged) => return Err(found(Damage::Forged)),
            Some(Proof::SecretGone) => at.is_proven = false,
            Some(Proof::Genuine) | None => at.is_proven = true,
        }
        if !self.is_whole(record) {
            return Err(found(Damage::PersonChanged));
        }
        if !self.has_wording(&record.shown)? {
            return Err(stop(record.chain, record.sequence, Some(record.id), Damage::WordingLost));
        }
        self.intact.entries += 1;
        self.intact.clock_set_back += u64::from(record.at < at.at);
        (at.sequence, at.hash, at.at) = (record.sequence, record.hash, record.at);
        self.compare(&at, Some(record.id))?;
        self.now = Some(at);
        Ok(())
    }

    /// Leaves the chain before, and those between that have no entries, and enters another.
    fn enter(&mut self, chain: Uuid) -> Result<Position, Stop> {
        self.leave()?;
        while let Some((head, rest)) = self.heads.split_first()
            && head.chain < chain
        {
            self.heads = rest;
            self.close(Position::start(head.chain), head)?;
        }
        Ok(Position::start(chain))
    }

    /// Ends the chain that the walk is in.
    fn leave(&mut self) -> Result<(), Stop> {
        let Some(at) = self.now.take() else { return Ok(()) };
        match self.heads.split_first() {
            Some((head, rest)) if head.chain == at.chain => {
                self.heads = rest;
                self.close(at, head)
            }
            // A chain that was begun during the walk.
            _ => match self.reader.heads()?.iter().find(|head| head.chain == at.chain) {
                Some(head) if !self.chains.contains(&at.chain) => self.close(at, head),
                _ => Err(stop(at.chain, at.sequence, None, Damage::EndForged)),
            },
        }
    }

    fn end(&mut self) -> Result<(), Stop> {
        self.leave()?;
        while let Some((head, rest)) = self.heads.split_first() {
            self.heads = rest;
            self.close(Position::start(head.chain), head)?;
        }
        // A checkpoint of a chain that is nowhere: all of it was removed.
        match self.checkpoints.iter().find(|checkpoint| !self.chains.contains(&checkpoint.chain)) {
            Some(lost) => Err(stop(lost.chain, lost.sequence, None, Damage::CutOff)),
            None => Ok(()),
        }
    }

    /// Compares where the walk has come to with where the chain should end.
    fn close(&mut self, mut at: Position, head: &Head) -> Result<(), Stop> {
        self.pass_tombstones(&mut at)?;
        match self.keys.map(|keys| keys.check(&head.seal, Statement::Head(head))) {
            Some(Proof::Forged) => return Err(stop(at.chain, head.sequence, None, Damage::EndForged)),
            Some(Proof::Genuine) | None => at.is_proven = true,
            Some(Proof::SecretGone) => {}
        }
        let of_here = self.checkpoints.iter().filter(|point| point.chain == at.chain);
        let last = of_here.max_by_key(|point| point.sequence);
        let beyond = last.filter(|point| point.sequence > at.sequence);
        let is_begun_meanwhile = at.sequence > 0 && !self.chains.contains(&at.chain);
        if head.sequence > at.sequence && !is_begun_meanwhile || beyond.is_some() {
            let expected = beyond.map_or(head.sequence, |point| point.sequence.max(head.sequence));
            return Err(stop(at.chain, expected, None, Damage::CutOff));
        }
        if head.sequence == at.sequence && head.hash != at.hash {
            return Err(stop(at.chain, at.sequence, None, Damage::EndForged));
        }
        if !at.is_proven {
            return Err(stop(at.chain, at.sequence, None, Damage::SecretGone));
        }
        self.intact.chains += 1;
        Ok(())
    }

    /// Steps over what was purged from here on.
    fn pass_tombstones(&mut self, at: &mut Position) -> Result<(), Stop> {
        while let Some((tombstone, rest)) = self.tombstones.split_first()
            && (tombstone.chain, tombstone.first) <= (at.chain, at.sequence + 1)
        {
            let fits = (tombstone.chain, tombstone.first, tombstone.before)
                == (at.chain, at.sequence + 1, at.hash)
                && tombstone.last >= tombstone.first;
            let proof = self.keys.map(|keys| keys.check(&tombstone.seal, Statement::Purge(tombstone)));
            if !fits || proof == Some(Proof::Forged) {
                return Err(stop(tombstone.chain, tombstone.first, None, Damage::TombstoneForged));
            }
            at.is_proven = proof != Some(Proof::SecretGone);
            self.intact.purged += u64::try_from(tombstone.last - tombstone.first + 1).unwrap_or(0);
            (at.sequence, at.hash) = (tombstone.last, tombstone.after);
            self.tombstones = rest;
            self.compare(at, None)?;
        }
        Ok(())
    }

    /// Compares with what checkpoints, and the end that was read before the walk, say of this place.
    fn compare(&self, at: &Position, id: Option<Uuid>) -> Result<(), Stop> {
        if self.heads.first().is_some_and(|head| {
            (head.chain, head.sequence) == (at.chain, at.sequence) && head.hash != at.hash
        }) {
            return Err(stop(at.chain, at.sequence, id, Damage::EndForged));
        }
        let other =
            |point: &&Head| point.chain == at.chain && point.sequence == at.sequence && point.hash != at.hash;
        match self.checkpoints.iter().find(other) {
            Some(_) => Err(stop(at.chain, at.sequence, id, Damage::NotAsAtCheckpoint)),
            None => Ok(()),
        }
    }

    /// Whether who decided is as recorded, or was taken out by an erasure.
    fn is_whole(&mut self, record: &Record) -> bool {
        let (at, seal) = match &record.whose {
            Whose::Known { person, salt } => return chain::of_person(person, salt) == record.digest,
            Whose::Erased { at, seal } => (*at, seal),
        };
        self.intact.erased += 1;
        match self.keys.map(|keys| keys.check(seal, Statement::Erasure(&record.hash, at))) {
            Some(Proof::Forged) => false,
            // Erasures are not sealed anew when secrets are changed: it is told, and counted.
            Some(Proof::SecretGone) => {
                self.intact.erasures_unproven += 1;
                *seal != [0; 20]
            }
            Some(Proof::Genuine) | None => true,
        }
    }

    fn has_wording(&mut self, hash: &Hash) -> Result<bool, StoreFailure> {
        if self.wordings.contains(hash) {
            return Ok(true);
        }
        let found = self.reader.shown(hash)?;
        let fits = found.is_some_and(|text| Sha256::digest(text.as_bytes()).as_slice() == hash);
        if fits {
            self.wordings.insert(*hash);
        }
        Ok(fits)
    }
}

impl Position {
    fn start(chain: Uuid) -> Self {
        Position { chain, sequence: 0, hash: chain::root(chain), at: i64::MIN, is_proven: true }
    }
}
