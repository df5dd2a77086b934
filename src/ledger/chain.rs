//! The chain: each entry's hash covers the one before, and each hash bears a seal.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::entry::{Decision, Person};
use super::record::{Hash, Head, Record, Whose};
use super::seal::{Keys, Statement};
use crate::clock::Timestamp;

/// The version of the encoding below; a change of it starts a new schema.
const ENCODING: &[u8] = b"2";

/// What is to become an entry.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// Its id.
    pub id: Uuid,
    /// When.
    pub at: Timestamp,
    /// Who decided.
    pub person: Person,
    /// What.
    pub decision: &'a Decision,
    /// The SHA-256 of what was shown.
    pub shown: Hash,
    /// Fresh random bits.
    pub salt: [u8; 16],
}

/// The hash that stands before the first entry of a chain: no entry can be moved into another.
pub fn root(chain: Uuid) -> Hash {
    digest([b"consentry ledger".as_slice(), chain.as_bytes()])
}

/// The head of a chain without entries.
pub fn begin(chain: Uuid, at: Timestamp, keys: &Keys) -> Head {
    sealed(Head { chain, sequence: 0, hash: root(chain), at: at.as_millisecond(), seal: [0; 20] }, keys)
}

/// The same head with a seal of the newest key.
pub fn sealed(head: Head, keys: &Keys) -> Head {
    let seal = keys.seal(Statement::Head(&head));
    Head { seal, ..head }
}

/// Chains drafts to the head, in order: the records, and the head that they make.
pub fn link(head: &Head, keys: &Keys, drafts: &[Draft<'_>]) -> (Vec<Record>, Head) {
    let mut end = head.clone();
    let records = drafts.iter().map(|draft| {
        let record = record(&end, draft, keys);
        (end.sequence, end.hash, end.at) = (record.sequence, record.hash, record.at);
        record
    });
    let records = records.collect();
    (records, sealed(end, keys))
}

fn record(end: &Head, draft: &Draft<'_>, keys: &Keys) -> Record {
    let Draft { id, at, person, decision, shown, salt } = *draft;
    let mut record = Record {
        chain: end.chain,
        sequence: end.sequence + 1,
        id,
        at: at.as_millisecond(),
        site: decision.site.clone(),
        kind: decision.action.kind().into(),
        document: decision.action.document().map(Into::into),
        valid_until: decision.valid_until.map(Timestamp::as_millisecond),
        body: decision.to_body().into(),
        whose: Whose::Known { person, salt },
        digest: of_person(&person, &salt),
        shown,
        previous: end.hash,
        hash: [0; 32],
        seal: [0; 20],
    };
    record.hash = hash(&record);
    record.seal = keys.seal(Statement::Entry(&record.hash));
    record
}

/// The hash of an entry: SHA-256 over an unambiguous encoding of all its fields but who decided, for whom their
/// salted digest stands.
pub fn hash(record: &Record) -> Hash {
    digest([
        ENCODING,
        &record.previous,
        &record.sequence.to_be_bytes(),
        record.id.as_bytes(),
        &record.at.to_be_bytes(),
        record.site.as_bytes(),
        record.kind.as_bytes(),
        record.document.as_deref().unwrap_or_default().as_bytes(),
        &record.valid_until.unwrap_or(i64::MIN).to_be_bytes(),
        record.body.as_bytes(),
        &record.digest,
        &record.shown,
    ])
}

/// The salted digest of who decided.
pub fn of_person(person: &Person, salt: &[u8; 16]) -> Hash {
    let identity = person.identity.as_ref().map_or(&[][..], |identity| identity);
    digest([b"person".as_slice(), salt, person.subject.0.as_bytes(), identity])
}

fn digest<const N: usize>(parts: [&[u8]; N]) -> Hash {
    let mut sha = Sha256::new();
    for part in parts {
        // Lengths go first, so that no two lists of fields run together into the same bytes.
        sha.update((part.len() as u64).to_be_bytes());
        sha.update(part);
    }
    sha.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consent::Subject;
    use crate::ledger::tests::{choice, keys};

    fn draft(decision: &Decision) -> Draft<'_> {
        Draft {
            id: Uuid::from_u128(1),
            at: Timestamp::from_second(5).unwrap(),
            person: Subject(Uuid::from_u128(2)).into(),
            decision,
            shown: [4; 32],
            salt: [5; 16],
        }
    }

    #[test]
    fn every_field_changes_the_hash() {
        let changes: [fn(&mut Record); 11] = [
            |r| r.previous = [1; 32],
            |r| r.sequence = 9,
            |r| r.id = Uuid::from_u128(9),
            |r| r.at += 1,
            |r| r.site = "other".into(),
            |r| r.kind = "acceptance".into(),
            |r| r.document = Some("privacy".into()),
            |r| r.valid_until = Some(0),
            |r| r.body = "{}".into(),
            |r| r.digest = [9; 32],
            |r| r.shown = [9; 32],
        ];
        let decision = choice();
        let (records, _) =
            link(&begin(Uuid::nil(), Timestamp::UNIX_EPOCH, &keys()), &keys(), &[draft(&decision)]);
        let record = &records[0];
        let mut seen = std::collections::HashSet::from([record.hash]);
        for change in changes {
            let mut changed = record.clone();
            change(&mut changed);
            assert!(seen.insert(hash(&changed)));
        }
    }

    #[test]
    fn one_visitor_leaves_no_two_digests_alike() {
        let person = Person { subject: Subject(Uuid::from_u128(2)), identity: Some([1; 32]) };
        let digests = [
            of_person(&person, &[1; 16]),
            of_person(&person, &[2; 16]),
            of_person(&Person { identity: None, ..person }, &[1; 16]),
            of_person(&Person { identity: Some([2; 32]), ..person }, &[1; 16]),
        ];
        assert_eq!(std::collections::HashSet::from(digests).len(), 4);
    }

    #[test]
    fn links_made_in_one_batch_or_in_many_are_the_same() {
        let decision = choice();
        let drafts: Vec<_> = (0..5).map(|n| Draft { id: Uuid::from_u128(n), ..draft(&decision) }).collect();
        let start = begin(Uuid::from_u128(7), Timestamp::UNIX_EPOCH, &keys());
        let (at_once, end) = link(&start, &keys(), &drafts);
        let mut head = start;
        let mut singly = Vec::new();
        for draft in &drafts {
            let (records, next) = link(&head, &keys(), std::slice::from_ref(draft));
            singly.extend(records);
            head = next;
        }
        assert_eq!((at_once, end), (singly, head));
    }
}
