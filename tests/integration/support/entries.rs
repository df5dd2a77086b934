//! Ledgers with many entries, made without a proxy.

use std::path::Path;

use consentry::clock::{Clock, Timestamp};
use consentry::consent::cookie::Secrets;
use consentry::consent::{Categories, Subject};
use consentry::ledger::chain::{Draft, link};
use consentry::ledger::entry::Action;
use consentry::ledger::seal::Keys;
use consentry::ledger::store::Batch;
use consentry::ledger::{Decision, Method, Place};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The secret that they are sealed with.
pub const SECRET: &str = "ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss";

/// Fills a new ledger with choices of as many visitors of the site `example`, a second apart from 1970 on.
pub fn fill(file: &Path, entries: u32) {
    let keys = Keys::new(&Secrets::parse(SECRET).unwrap());
    let place = Place::Sqlite(file.to_owned());
    let mut store = place.append(&keys, &Clock::fixed(0)).unwrap();
    let decision = Decision {
        site: "example".into(),
        action: Action::Choice {
            categories: Categories::ALL,
            services: vec!["youtube".into()],
            withdraws: false,
            under_signal: false,
        },
        method: Method::Banner,
        language: "sv".into(),
        epoch: 7,
        valid_until: Timestamp::from_second(180 * 86_400).ok(),
    };
    let wording = "<consentry-banner>".repeat(50);
    let shown = Sha256::digest(wording.as_bytes()).into();
    let numbers: Vec<_> = (0..entries).collect();
    for numbers in numbers.chunks(10_000) {
        let drafts: Vec<_> = numbers
            .iter()
            .map(|number| {
                let random = Sha256::digest(number.to_be_bytes());
                let at = Timestamp::from_second(i64::from(*number)).unwrap();
                Draft {
                    // As it would be: the time first, then at random.
                    id: Uuid::from_u128(((u128::from(*number) * 1_000) << 80) | (0x7000 << 64) | (1 << 63)),
                    at,
                    person: Subject(Uuid::from_slice(&random[..16]).unwrap()).into(),
                    decision: &decision,
                    shown,
                    salt: random[16..].try_into().unwrap(),
                }
            })
            .collect();
        let (records, head) = link(store.head(), &keys, &drafts);
        store.append(&Batch { records: &records, wordings: &[(shown, &wording)], head: &head }).unwrap();
    }
}
