//! Records as columns: a batch of any size is one statement with one array for each column (`unnest`).

use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::COLUMNS;
use crate::ledger::record::{Record, Whose};

/// The types of [`COLUMNS`], in order.
const TYPES: [&str; 19] = [
    "uuid", "bigint", "uuid", "bigint", "text", "text", "text", "bigint", "text", "uuid", "bytea", "bytea",
    "bytea", "bytea", "bytea", "bytea", "bytea", "bigint", "bytea",
];

/// The arrays of the columns as parameters, from the one after `before` on.
fn arrays(before: usize) -> String {
    let array = |(index, kind): (usize, &&str)| format!("${}::{kind}[]", before + index + 1);
    TYPES.iter().enumerate().map(array).collect::<Vec<_>>().join(", ")
}

/// Moves a head from a known place on, and adds records only where that went: 1 for gone, 0 for not.
pub(super) fn append() -> String {
    format!(
        "WITH moved AS (UPDATE chains SET sequence = $1, hash = $2, at = $3, seal = $4 \
                        WHERE chain = $5 AND sequence = $6 RETURNING 1), \
         worded AS (INSERT INTO shown (hash, content) SELECT * FROM unnest($7::bytea[], $8::text[]) \
                    ON CONFLICT DO NOTHING), \
         added AS (INSERT INTO entries ({COLUMNS}) SELECT rows.* FROM moved, unnest({}) AS rows) \
         SELECT count(*) FROM moved",
        arrays(8)
    )
}

/// Adds records as they are.
pub(super) fn adopt() -> String {
    format!("INSERT INTO entries ({COLUMNS}) SELECT * FROM unnest({})", arrays(0))
}

/// The values of some records, column by column.
#[derive(Default)]
pub(super) struct Columns<'a> {
    chain: Vec<Uuid>,
    sequence: Vec<i64>,
    id: Vec<Uuid>,
    at: Vec<i64>,
    site: Vec<&'a str>,
    kind: Vec<&'a str>,
    document: Vec<Option<&'a str>>,
    valid_until: Vec<Option<i64>>,
    body: Vec<&'a str>,
    subject: Vec<Option<Uuid>>,
    identity: Vec<Option<&'a [u8]>>,
    salt: Vec<Option<&'a [u8]>>,
    digest: Vec<&'a [u8]>,
    shown: Vec<&'a [u8]>,
    previous: Vec<&'a [u8]>,
    hash: Vec<&'a [u8]>,
    seal: Vec<&'a [u8]>,
    erased_at: Vec<Option<i64>>,
    erased_seal: Vec<Option<&'a [u8]>>,
}

impl<'a> Columns<'a> {
    pub(super) fn of(records: &'a [Record]) -> Self {
        let mut columns = Columns::default();
        for record in records {
            columns.push(record);
        }
        columns
    }

    fn push(&mut self, record: &'a Record) {
        self.chain.push(record.chain);
        self.sequence.push(record.sequence);
        self.id.push(record.id);
        self.at.push(record.at);
        self.site.push(&record.site);
        self.kind.push(&record.kind);
        self.document.push(record.document.as_deref());
        self.valid_until.push(record.valid_until);
        self.body.push(&record.body);
        let (person, salt, erased) = match &record.whose {
            Whose::Known { person, salt } => (Some(person), Some(&salt[..]), None),
            Whose::Erased { at, seal } => (None, None, Some((*at, &seal[..]))),
        };
        self.subject.push(person.map(|person| person.subject.0));
        self.identity.push(person.and_then(|person| person.identity.as_ref()).map(|identity| &identity[..]));
        self.salt.push(salt);
        self.digest.push(&record.digest);
        self.shown.push(&record.shown);
        self.previous.push(&record.previous);
        self.hash.push(&record.hash);
        self.seal.push(&record.seal);
        self.erased_at.push(erased.map(|(at, _)| at));
        self.erased_seal.push(erased.map(|(_, seal)| seal));
    }

    /// In the order of [`COLUMNS`].
    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        vec![
            &self.chain,
            &self.sequence,
            &self.id,
            &self.at,
            &self.site,
            &self.kind,
            &self.document,
            &self.valid_until,
            &self.body,
            &self.subject,
            &self.identity,
            &self.salt,
            &self.digest,
            &self.shown,
            &self.previous,
            &self.hash,
            &self.seal,
            &self.erased_at,
            &self.erased_seal,
        ]
    }
}
