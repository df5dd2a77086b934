//! Seals: keyed hashes that only a holder of the proxy's secrets can make.
//!
//! The chain of hashes shows every change that is not followed by a rebuilding of all that comes after. Seals show
//! that, too.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::record::{Head, Tombstone};
use crate::consent::cookie::Secrets;

/// The id of a secret, and the first 128 bits of a keyed hash.
pub type Seal = [u8; 20];

const ID: usize = 4;

/// The keys that seal, newest first: the first seals, all confirm.
pub struct Keys(Vec<Key>);

struct Key {
    id: [u8; ID],
    hmac: Hmac<Sha256>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// What is sealed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Statement<'a> {
    /// An entry with this hash was recorded.
    Entry(&'a [u8; 32]),
    /// A chain ends here.
    Head(&'a Head),
    /// Who decided was taken out of the entry with this hash, at this time.
    Erasure(&'a [u8; 32], i64),
    /// Entries were purged.
    Purge(&'a Tombstone),
}

/// What a seal proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// A holder of the secrets made it.
    Genuine,
    /// It does not belong here.
    Forged,
    /// It was made, or so it says, with a secret that is not there any more.
    SecretGone,
}

impl Keys {
    /// The keys that come of the proxy's secrets.
    pub fn new(secrets: &Secrets) -> Self {
        let keys = secrets.derive("ledger").into_iter().map(|(id, key)| Key {
            id,
            hmac: Hmac::<Sha256>::new_from_slice(&key).expect("HMAC takes a key of any length"),
        });
        Keys(keys.collect())
    }

    /// Seals a statement with the newest key.
    pub(super) fn seal(&self, statement: Statement<'_>) -> Seal {
        self.0.first().map(|key| key.seal(statement)).unwrap_or_default()
    }

    /// What a seal proves of a statement.
    pub(super) fn check(&self, seal: &Seal, statement: Statement<'_>) -> Proof {
        match self.0.iter().find(|key| seal.starts_with(&key.id)) {
            None => Proof::SecretGone,
            // Whoever could measure how long this takes could read the ledger, too, and needs no forgery.
            Some(key) if key.seal(statement) == *seal => Proof::Genuine,
            Some(_) => Proof::Forged,
        }
    }
}

impl Key {
    fn seal(&self, statement: Statement<'_>) -> Seal {
        let mut code = self.hmac.clone();
        match statement {
            // Each begins with a letter of its own and has fields of fixed lengths: no two read alike.
            Statement::Entry(hash) => {
                code.update(b"e");
                code.update(hash);
            }
            Statement::Head(Head { chain, sequence, hash, at, seal: _ }) => {
                code.update(b"h");
                code.update(chain.as_bytes());
                code.update(&sequence.to_be_bytes());
                code.update(hash);
                code.update(&at.to_be_bytes());
            }
            Statement::Erasure(hash, at) => {
                code.update(b"x");
                code.update(hash);
                code.update(&at.to_be_bytes());
            }
            Statement::Purge(Tombstone { chain, first, last, before, after, at, seal: _ }) => {
                code.update(b"p");
                code.update(chain.as_bytes());
                code.update(&first.to_be_bytes());
                code.update(&last.to_be_bytes());
                code.update(before);
                code.update(after);
                code.update(&at.to_be_bytes());
            }
        }
        let mut seal = [0; 20];
        let code = code.finalize().into_bytes();
        seal.iter_mut().zip(self.id.iter().chain(code.iter())).for_each(|(to, from)| *to = *from);
        seal
    }
}
