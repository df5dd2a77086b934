//! A row of the ledger as it is kept: what the chain is made of, and what verification reads.

use uuid::Uuid;

use super::entry::Person;
use super::seal::Seal;

/// A SHA-256.
pub type Hash = [u8; 32];

/// One entry as it is kept. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The chain that it stands in; each writer has one.
    pub chain: Uuid,
    /// Its place there, from 1.
    pub sequence: i64,
    /// Its id, a UUID of version 7.
    pub id: Uuid,
    /// When it was recorded.
    pub at: i64,
    /// The site's name.
    pub site: Box<str>,
    /// `choice`, `acceptance` or `decline`.
    pub kind: Box<str>,
    /// The document that it is about.
    pub document: Option<Box<str>>,
    /// Until when it holds.
    pub valid_until: Option<i64>,
    /// What was decided, as JSON. The hash covers this very text, so that a program that knows more or fewer fields
    /// verifies it all the same.
    pub body: Box<str>,
    /// Who decided.
    pub whose: Whose,
    /// A salted digest of who decided, which stays after an erasure: the hash covers it in their place.
    pub digest: Hash,
    /// The SHA-256 of what was shown.
    pub shown: Hash,
    /// The hash of the entry before.
    pub previous: Hash,
    /// The hash of this entry, which covers all of the above but `whose`.
    pub hash: Hash,
    /// The seal on the hash: who has no secret of the proxy cannot make another chain look like this one.
    pub seal: Seal,
}

/// Who decided, or that it was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// As recorded.
    Known {
        /// Who decided.
        person: Person,
        /// What the digest was made with, so that nobody finds out by trial whose it was once this is gone.
        salt: [u8; 16],
    },
    /// Taken out on request (GDPR art. 17).
    Erased {
        /// When.
        at: i64,
        /// That it was this program which did so.
        seal: Seal,
    },
}

/// Where a chain ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The chain.
    pub chain: Uuid,
    /// The place of its last entry; 0 for none yet.
    pub sequence: i64,
    /// The hash of its last entry.
    pub hash: Hash,
    /// When it was sealed.
    pub at: i64,
    /// The seal on all of it.
    pub seal: Seal,
}

/// What stands where entries were purged: the chain goes on over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tombstone {
    /// The chain.
    pub chain: Uuid,
    /// The place of the first entry that was purged.
    pub first: i64,
    /// The place of the last.
    pub last: i64,
    /// The hash before the first.
    pub before: Hash,
    /// The hash of the last.
    pub after: Hash,
    /// When they were purged.
    pub at: i64,
    /// The seal on all of it.
    pub seal: Seal,
}
