//! The texts that were shown to be accepted, by their hash: an acceptance is of the very text that its reader saw, even
//! where the tables in it have changed since.

use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use sha2::{Digest, Sha256};

use super::{Call, documents};
use crate::documents::Text;
use crate::ledger::{Ledger, hexadecimal};

/// What all texts that are remembered may weigh together.
const BYTES: u64 = 32 << 20;

/// How long a text counts as kept by the ledger: what nobody accepts is cleared out of it daily.
const KEPT_FOR: Duration = Duration::from_secs(3600);

/// The hash of a text as it was shown.
pub(super) type Hash = [u8; 32];

/// The texts that were shown lately.
#[derive(Clone, Debug)]
pub struct ShownTexts(Cache<Hash, Arc<str>>);

impl Default for ShownTexts {
    fn default() -> Self {
        let weight = |_: &Hash, text: &Arc<str>| u32::try_from(text.len() + 128).unwrap_or(u32::MAX);
        ShownTexts(Cache::builder().max_capacity(BYTES).weigher(weight).time_to_live(KEPT_FOR).build())
    }
}

impl ShownTexts {
    /// Remembers a text that is shown to be accepted. The ledger keeps it, too, for other proxies and after a restart;
    /// nobody waits for that.
    pub(super) fn remember(&self, ledger: &Ledger, text: &Arc<str>) -> Hash {
        let hash: Hash = Sha256::digest(text.as_bytes()).into();
        if !self.0.contains_key(&hash) {
            self.0.insert(hash, Arc::clone(text));
            let (ledger, text) = (ledger.clone(), Arc::clone(text));
            tokio::spawn(async move {
                if let Err(failure) = ledger.keep(text).await {
                    let error = &failure as &dyn std::error::Error;
                    tracing::warn!(error, "the ledger does not keep a text that was shown");
                }
            });
        }
        hash
    }

    /// The text of a hash: as the document reads now, as it was shown here lately, or as the ledger keeps it.
    pub(super) async fn find(&self, call: &Call<'_>, text: &Text, hash: &Hash) -> Option<Arc<str>> {
        let present = documents::html(call.site, text);
        if Sha256::digest(present.as_bytes())[..] == hash[..] {
            return Some(present);
        }
        if let Some(found) = self.0.get(hash) {
            return Some(found);
        }
        call.own.ledger.wording(*hash).await.ok().flatten().map(Into::into)
    }
}

/// A hash as a form carries it.
pub(super) fn read(written: &str) -> Option<Hash> {
    let halves = written.split_at_checked(32)?;
    let half = |text: &str| Some(u128::from_str_radix(text, 16).ok()?.to_be_bytes());
    let (first, second) = (half(halves.0)?, half(halves.1)?);
    let hash: Hash = [first, second].concat().try_into().ok()?;
    // One hash has one spelling.
    (hexadecimal::of(&hash) == written).then_some(hash)
}
