//! The ledger in PostgreSQL, which several proxies share: each adds to a chain of its own, which it holds by an
//! advisory lock for as long as it is connected.

mod address;
mod columns;
mod schema;
mod tls;

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod};
use tokio::runtime::Runtime;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};
use uuid::Uuid;

use super::{
    Append, Batch, COLUMNS, Count, Erasure, Filter, Found, Mend, Place, Read, Sending, StoreFailure, judge,
};
use crate::clock::Timestamp;
use crate::consent::Subject;
use crate::ledger::chain;
use crate::ledger::entry::Person;
use crate::ledger::record::{Hash, Head, Record, Tombstone, Whose};
use crate::ledger::seal::Keys;
use columns::Columns;
use tls::Connector;

pub use address::Address;
pub(super) use tls::remedy;

/// How long the server may take for what a visitor waits for: less than their patience.
const SOON: Duration = Duration::from_secs(4);
/// How long it may take for what an operator asks for.
const LONG: Duration = Duration::from_secs(600);
/// How many connections read at a time.
const CONNECTIONS: usize = 8;

/// Runs something on the one runtime of all PostgreSQL ledgers of this process, and waits for it. Only for threads
/// that may block.
fn wait<T>(
    within: Duration,
    future: impl Future<Output = Result<T, StoreFailure>>,
) -> Result<T, StoreFailure> {
    static RUNTIME: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    let start = || {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("ledger-postgres")
            .enable_all()
            .build()
    };
    match RUNTIME.get_or_init(start) {
        Ok(runtime) => runtime.block_on(async {
            tokio::time::timeout(within, future).await.unwrap_or(Err(StoreFailure::TooSlow(within)))
        }),
        Err(error) => Err(std::io::Error::new(error.kind(), error.to_string()).into()),
    }
}

/// A connection of its own.
async fn connect(address: &Address) -> Result<Client, StoreFailure> {
    let tls = Connector::new(address.ca())?;
    let (client, connection) = address.config().connect(tls).await?;
    // Its end is seen by the next statement.
    tokio::spawn(connection);
    client.batch_execute(schema::SESSION).await?;
    Ok(client)
}

/// The database with the right to add to one chain.
pub struct Appender {
    client: Client,
    append: Statement,
    head: Head,
}

impl Appender {
    /// Connects, makes the tables where there are none, and takes a chain that no other proxy has.
    pub fn open(address: &Address, keys: &Keys, now: Timestamp) -> Result<Self, StoreFailure> {
        wait(SOON, async {
            let mut client = connect(address).await?;
            schema::migrate(&mut client).await?;
            if client.query_one("SHOW fsync", &[]).await?.try_get::<_, String>(0)? == "off" {
                tracing::error!(
                    "the PostgreSQL server runs with fsync=off: what it says is kept may be lost"
                );
            }
            let head = match take(&client, keys).await? {
                Some(head) => chain::sealed(head, keys),
                None => {
                    let head = chain::begin(Uuid::new_v4(), now, keys);
                    client.execute("SELECT pg_advisory_lock($1)", &[&lock_of(head.chain)]).await?;
                    head
                }
            };
            put_head(&client, &head).await?;
            let append = client.prepare(&columns::append()).await?;
            Ok(Appender { client, append, head })
        })
    }
}

/// Takes a chain that ends as it was left, and that nobody else holds.
async fn take(client: &Client, keys: &Keys) -> Result<Option<Head>, StoreFailure> {
    let sql = "SELECT chain, sequence, hash, at, seal FROM chains ORDER BY at DESC, chain";
    for row in client.query(sql, &[]).await? {
        let chain: Uuid = row.try_get(0)?;
        let key = lock_of(chain);
        let taken: bool = client.query_one("SELECT pg_try_advisory_lock($1)", &[&key]).await?.try_get(0)?;
        if !taken {
            continue;
        }
        // Read again: until the lock was ours, its holder may have moved it.
        let sql = "SELECT chain, sequence, hash, at, seal FROM chains WHERE chain = $1";
        let found = head(&client.query_one(sql, &[&chain]).await?)?;
        match judge(found, last_of(client, chain).await?, keys) {
            Found::Goes(head) => return Ok(Some(head)),
            Found::Doubtful => {
                tracing::error!(
                    %chain,
                    "a chain of the ledger does not end as it was left: another is used, and `consentry ledger verify` \
                     tells of it"
                );
                client.execute("SELECT pg_advisory_unlock($1)", &[&key]).await?;
            }
        }
    }
    Ok(None)
}

/// The key of the advisory lock of a chain.
fn lock_of(chain: Uuid) -> i64 {
    let (high, _) = chain.as_u64_pair();
    i64::from_be_bytes(high.to_be_bytes())
}

/// The last entry of a chain, or the tombstone that stands there, with its place.
async fn last_of(client: &Client, chain: Uuid) -> Result<Option<(i64, Hash)>, StoreFailure> {
    let sql = "(SELECT sequence, hash FROM entries WHERE chain = $1 ORDER BY sequence DESC LIMIT 1) \
               UNION ALL (SELECT last, after FROM tombstones WHERE chain = $1 ORDER BY first DESC LIMIT 1) \
               ORDER BY 1 DESC LIMIT 1";
    let row = client.query_opt(sql, &[&chain]).await?;
    row.map(|row| Ok((row.try_get(0)?, array(row.try_get(1)?)?))).transpose()
}

impl Append for Appender {
    fn head(&self) -> &Head {
        &self.head
    }

    fn append(&mut self, batch: &Batch<'_>) -> Result<(), StoreFailure> {
        let columns = Columns::of(batch.records);
        let (hashes, texts): (Vec<&[u8]>, Vec<&str>) =
            batch.wordings.iter().map(|(hash, text)| (&hash[..], *text)).unzip();
        let head = batch.head;
        let (hash, seal) = (&head.hash[..], &head.seal[..]);
        let mut values: Vec<&(dyn ToSql + Sync)> =
            vec![&head.sequence, &hash, &head.at, &seal, &head.chain, &self.head.sequence, &hashes, &texts];
        values.extend(columns.values());
        let client = &self.client;
        let statement = &self.append;
        // One statement is one transaction, and one journey to the server.
        let moved: i64 = wait(SOON, async { Ok(client.query_one(statement, &values).await?.try_get(0)?) })?;
        if moved != 1 {
            return Err(StoreFailure::HeadMoved);
        }
        self.head = head.clone();
        Ok(())
    }
}

/// The database as it is read and mended.
pub struct Access {
    pool: Pool,
}

impl Access {
    /// Opens a ledger that exists.
    pub fn open(address: &Address) -> Result<Self, StoreFailure> {
        let access = Access { pool: pool(address)? };
        access.soon(async |client| schema::expect_current(client).await)?;
        Ok(access)
    }

    /// Makes the tables where there are none.
    pub fn create(address: &Address) -> Result<Self, StoreFailure> {
        wait(SOON, async { schema::migrate(&mut connect(address).await?).await })?;
        Self::open(address)
    }

    fn soon<T>(&self, act: impl AsyncFn(&mut Object) -> Result<T, StoreFailure>) -> Result<T, StoreFailure> {
        self.within(SOON, act)
    }

    fn long<T>(&self, act: impl AsyncFn(&mut Object) -> Result<T, StoreFailure>) -> Result<T, StoreFailure> {
        self.within(LONG, act)
    }

    /// Acts on a connection. One that was lost while it was idle is seen when it is used: then another is tried.
    fn within<T>(
        &self,
        within: Duration,
        act: impl AsyncFn(&mut Object) -> Result<T, StoreFailure>,
    ) -> Result<T, StoreFailure> {
        wait(within, async {
            let mut tries = 0;
            loop {
                let mut client = self.pool.get().await?;
                match act(&mut client).await {
                    Err(StoreFailure::Postgres(error)) if client.is_closed() && tries < CONNECTIONS => {
                        tracing::debug!(%error, "a connection to PostgreSQL was lost");
                        tries += 1;
                    }
                    outcome => return outcome,
                }
            }
        })
    }
}

fn pool(address: &Address) -> Result<Pool, StoreFailure> {
    let settings = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    let tls = Connector::new(address.ca())?;
    let manager = Manager::from_config(address.config().clone(), tls, settings);
    let patience = Some(Duration::from_secs(3));
    let begin = deadpool_postgres::Hook::async_fn(|client: &mut deadpool_postgres::ClientWrapper, _| {
        Box::pin(async move {
            client.batch_execute(schema::SESSION).await.map_err(deadpool_postgres::HookError::Backend)
        })
    });
    Pool::builder(manager)
        .max_size(CONNECTIONS)
        .wait_timeout(patience)
        .create_timeout(patience)
        .recycle_timeout(patience)
        .runtime(deadpool_postgres::Runtime::Tokio1)
        .post_create(begin)
        .build()
        .map_err(|error| std::io::Error::other(error).into())
}

impl Read for Access {
    fn page(&self, filter: &Filter, after: Option<Place>, most: usize) -> Result<Vec<Record>, StoreFailure> {
        let mut asked = Asked::of(filter);
        if let Some((chain, sequence)) = after {
            let place = asked.next();
            asked.ask(&format!("(chain, sequence) > (${place}, ${})", place + 1), chain);
            asked.values.push(Box::new(sequence));
        }
        let sql =
            format!("SELECT {COLUMNS} FROM entries{} ORDER BY chain, sequence LIMIT {most}", asked.all());
        self.long(async |client| records(client, &sql, &asked.values()).await)
    }

    fn of(&self, site: &str, subject: Subject) -> Result<Vec<Record>, StoreFailure> {
        let sql = format!(
            "SELECT {COLUMNS} FROM entries WHERE subject = $1 AND site = $2 ORDER BY id DESC LIMIT 100"
        );
        self.soon(async |client| records(client, &sql, &[&subject.0, &site]).await)
    }

    fn accepted_by(&self, site: &str, codes: &[Hash]) -> Result<Vec<Record>, StoreFailure> {
        let sql = format!(
            "SELECT {COLUMNS} FROM entries WHERE identity = ANY($1) AND site = $2 AND kind = 'acceptance' \
             ORDER BY id DESC LIMIT 100"
        );
        let codes: Vec<&[u8]> = codes.iter().map(|code| &code[..]).collect();
        self.soon(async |client| records(client, &sql, &[&codes, &site]).await)
    }

    fn find(&self, id: Uuid) -> Result<Option<Record>, StoreFailure> {
        let sql = format!("SELECT {COLUMNS} FROM entries WHERE id = $1");
        Ok(self.soon(async |client| records(client, &sql, &[&id]).await)?.pop())
    }

    fn shown(&self, hash: &Hash) -> Result<Option<String>, StoreFailure> {
        self.soon(async |client| {
            let statement = client.prepare_cached("SELECT content FROM shown WHERE hash = $1").await?;
            let row = client.query_opt(&statement, &[&&hash[..]]).await?;
            row.map(|row| Ok(row.try_get(0)?)).transpose()
        })
    }

    fn heads(&self) -> Result<Vec<Head>, StoreFailure> {
        self.soon(async |client| {
            let sql = "SELECT chain, sequence, hash, at, seal FROM chains ORDER BY chain";
            client.query(sql, &[]).await?.iter().map(head).collect()
        })
    }

    fn tombstones(&self) -> Result<Vec<Tombstone>, StoreFailure> {
        self.long(async |client| {
            let sql =
                "SELECT chain, first, last, before, after, at, seal FROM tombstones ORDER BY chain, first";
            let rows = client.query(sql, &[]).await?;
            let tombstone = |row: &Row| {
                Ok(Tombstone {
                    chain: row.try_get(0)?,
                    first: row.try_get(1)?,
                    last: row.try_get(2)?,
                    before: array(row.try_get(3)?)?,
                    after: array(row.try_get(4)?)?,
                    at: row.try_get(5)?,
                    seal: array(row.try_get(6)?)?,
                })
            };
            rows.iter().map(tombstone).collect()
        })
    }

    fn counts(&self) -> Result<Vec<Count>, StoreFailure> {
        self.long(async |client| {
            let sql = "SELECT site, kind, count(*), count(erased_at), min(at), max(at) FROM entries \
                       GROUP BY site, kind ORDER BY site, kind";
            let rows = client.query(sql, &[]).await?;
            let count = |row: &Row| {
                Ok(Count {
                    site: row.try_get(0)?,
                    kind: row.try_get(1)?,
                    entries: row.try_get(2)?,
                    erased: row.try_get(3)?,
                    first: row.try_get(4)?,
                    last: row.try_get(5)?,
                })
            };
            rows.iter().map(count).collect()
        })
    }

    fn count(&self, filter: &Filter) -> Result<u64, StoreFailure> {
        let asked = Asked::of(filter);
        let sql = format!("SELECT count(*) FROM entries{}", asked.all());
        let count: i64 =
            self.long(async |client| Ok(client.query_one(&sql, &asked.values()).await?.try_get(0)?))?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    fn size(&self) -> Result<u64, StoreFailure> {
        let sql = "SELECT (pg_total_relation_size('entries') + pg_total_relation_size('shown'))::bigint";
        let bytes: i64 = self.soon(async |client| Ok(client.query_one(sql, &[]).await?.try_get(0)?))?;
        Ok(u64::try_from(bytes).unwrap_or(0))
    }
}

impl Mend for Access {
    fn begin_form(&self, form: &[u8; 16], until: i64, now: i64) -> Result<Sending, StoreFailure> {
        self.soon(async |client| {
            client.execute("DELETE FROM forms WHERE until < $1", &[&now]).await?;
            let sql =
                "INSERT INTO forms (id, has_arrived, until) VALUES ($1, false, $2) ON CONFLICT DO NOTHING";
            if client.execute(sql, &[&&form[..], &until]).await? == 1 {
                return Ok(Sending::Begins);
            }
            let row = client.query_opt("SELECT has_arrived FROM forms WHERE id = $1", &[&&form[..]]).await?;
            let has_arrived = row.map(|row| row.try_get::<_, bool>(0)).transpose()?;
            Ok(if has_arrived == Some(true) { Sending::Arrived } else { Sending::Begun })
        })
    }

    fn end_form(&self, form: &[u8; 16]) -> Result<(), StoreFailure> {
        self.soon(async |client| {
            client.execute("UPDATE forms SET has_arrived = true WHERE id = $1", &[&&form[..]]).await?;
            Ok(())
        })
    }

    fn return_form(&self, form: &[u8; 16]) -> Result<(), StoreFailure> {
        self.soon(async |client| {
            client.execute("DELETE FROM forms WHERE id = $1", &[&&form[..]]).await?;
            Ok(())
        })
    }

    fn erase(&self, erasures: &[Erasure]) -> Result<(), StoreFailure> {
        self.long(async |client| {
            let transaction = client.transaction().await?;
            let sql = "UPDATE entries SET subject = NULL, identity = NULL, salt = NULL, erased_at = $1, \
                       erased_seal = $2 WHERE chain = $3 AND sequence = $4 AND erased_at IS NULL";
            let statement = transaction.prepare_cached(sql).await?;
            for Erasure { place: (chain, sequence), at, seal } in erasures {
                transaction.execute(&statement, &[at, &&seal[..], chain, sequence]).await?;
            }
            Ok(transaction.commit().await?)
        })
    }

    fn bury(&self, tombstones: &[Tombstone]) -> Result<(), StoreFailure> {
        self.long(async |client| {
            let transaction = client.transaction().await?;
            for tombstone in tombstones {
                let Tombstone { chain, first, last, .. } = tombstone;
                for sql in [
                    "DELETE FROM tombstones WHERE chain = $1 AND first >= $2 AND last <= $3",
                    "DELETE FROM entries WHERE chain = $1 AND sequence BETWEEN $2 AND $3",
                ] {
                    let statement = transaction.prepare_cached(sql).await?;
                    transaction.execute(&statement, &[chain, first, last]).await?;
                }
                put_tombstone(&transaction, tombstone).await?;
            }
            Ok(transaction.commit().await?)
        })
    }

    fn forget_wordings(&self) -> Result<u64, StoreFailure> {
        self.long(async |client| {
            let sql = "DELETE FROM shown WHERE hash NOT IN (SELECT DISTINCT shown FROM entries)";
            Ok(client.execute(sql, &[]).await?)
        })
    }

    fn scrub(&self) -> Result<(), StoreFailure> {
        // Rows as they were before stay in the tables until then.
        self.long(async |client| Ok(client.batch_execute("VACUUM entries").await?))
    }

    fn adopt(&self, adopted: &[Record], wordings: &[(Hash, String)]) -> Result<(), StoreFailure> {
        let columns = Columns::of(adopted);
        let (hashes, texts): (Vec<&[u8]>, Vec<&str>) =
            wordings.iter().map(|(hash, text)| (&hash[..], text.as_str())).unzip();
        self.long(async |client| {
            let transaction = client.transaction().await?;
            let wordings =
                "INSERT INTO shown SELECT * FROM unnest($1::bytea[], $2::text[]) ON CONFLICT DO NOTHING";
            transaction.execute(wordings, &[&hashes, &texts]).await?;
            let statement = transaction.prepare_cached(&columns::adopt()).await?;
            transaction.execute(&statement, &columns.values()).await?;
            Ok(transaction.commit().await?)
        })
    }

    fn adopt_chains(&self, heads: &[Head], tombstones: &[Tombstone]) -> Result<(), StoreFailure> {
        self.long(async |client| {
            let transaction = client.transaction().await?;
            for head in heads {
                put_head(&*transaction, head).await?;
            }
            for tombstone in tombstones {
                put_tombstone(&transaction, tombstone).await?;
            }
            Ok(transaction.commit().await?)
        })
    }
}

/// Conditions, and the values that they wait for.
#[derive(Default)]
struct Asked {
    conditions: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync>>,
}

impl Asked {
    fn of(filter: &Filter) -> Self {
        let mut asked = Asked::default();
        if let Some(subject) = filter.subject {
            asked.ask(&format!("subject = ${}", asked.next()), subject.0);
        }
        if let Some(site) = filter.site.clone() {
            asked.ask(&format!("site = ${}", asked.next()), site);
        }
        if let Some(document) = filter.document.clone() {
            asked.ask(&format!("document = ${}", asked.next()), document);
        }
        if let Some(since) = filter.since {
            asked.ask(&format!("at >= ${}", asked.next()), since.as_millisecond());
        }
        if let Some(until) = filter.until {
            asked.ask(&format!("at < ${}", asked.next()), until.as_millisecond());
        }
        asked
    }

    /// The number of the next value.
    fn next(&self) -> usize {
        self.values.len() + 1
    }

    fn ask(&mut self, condition: &str, value: impl ToSql + Sync + 'static) {
        self.conditions.push(condition.to_owned());
        self.values.push(Box::new(value));
    }

    fn all(&self) -> String {
        let conditions = self.conditions.join(" AND ");
        if conditions.is_empty() { conditions } else { format!(" WHERE {conditions}") }
    }

    fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value).collect()
    }
}

async fn records(
    client: &Object,
    sql: &str,
    values: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Record>, StoreFailure> {
    let statement = client.prepare_cached(sql).await?;
    let rows = client.query(&statement, values).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Record, StoreFailure> {
    let whose = match row.try_get::<_, Option<Uuid>>(9)? {
        Some(subject) => Whose::Known {
            person: Person {
                subject: Subject(subject),
                identity: row.try_get::<_, Option<&[u8]>>(10)?.map(array_of).transpose()?,
            },
            salt: array(row.try_get(11)?)?,
        },
        // Without its seal it counts as forged.
        None => Whose::Erased {
            at: row.try_get::<_, Option<i64>>(17)?.unwrap_or_default(),
            seal: row.try_get::<_, Option<&[u8]>>(18)?.map_or(Ok([0; 20]), array)?,
        },
    };
    Ok(Record {
        chain: row.try_get(0)?,
        sequence: row.try_get(1)?,
        id: row.try_get(2)?,
        at: row.try_get(3)?,
        site: row.try_get::<_, &str>(4)?.into(),
        kind: row.try_get::<_, &str>(5)?.into(),
        document: row.try_get::<_, Option<&str>>(6)?.map(Into::into),
        valid_until: row.try_get(7)?,
        body: row.try_get::<_, &str>(8)?.into(),
        whose,
        digest: array(row.try_get(12)?)?,
        shown: array(row.try_get(13)?)?,
        previous: array(row.try_get(14)?)?,
        hash: array(row.try_get(15)?)?,
        seal: array(row.try_get(16)?)?,
    })
}

fn head(row: &Row) -> Result<Head, StoreFailure> {
    Ok(Head {
        chain: row.try_get(0)?,
        sequence: row.try_get(1)?,
        hash: array(row.try_get(2)?)?,
        at: row.try_get(3)?,
        seal: array(row.try_get(4)?)?,
    })
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], StoreFailure> {
    array_of(bytes)
}

fn array_of<const N: usize>(bytes: &[u8]) -> Result<[u8; N], StoreFailure> {
    bytes.try_into().map_err(|_| StoreFailure::Damaged(0))
}

async fn put_head(
    client: &impl tokio_postgres::GenericClient,
    head: &Head,
) -> Result<(), tokio_postgres::Error> {
    let sql = "INSERT INTO chains (chain, sequence, hash, at, seal) VALUES ($1, $2, $3, $4, $5) \
               ON CONFLICT (chain) DO UPDATE SET sequence = $2, hash = $3, at = $4, seal = $5";
    client.execute(sql, &[&head.chain, &head.sequence, &&head.hash[..], &head.at, &&head.seal[..]]).await?;
    Ok(())
}

async fn put_tombstone(
    transaction: &deadpool_postgres::Transaction<'_>,
    tombstone: &Tombstone,
) -> Result<(), StoreFailure> {
    let sql = "INSERT INTO tombstones (chain, first, last, before, after, at, seal) \
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let Tombstone { chain, first, last, before, after, at, seal } = tombstone;
    let statement = transaction.prepare_cached(sql).await?;
    transaction.execute(&statement, &[chain, first, last, &&before[..], &&after[..], at, &&seal[..]]).await?;
    Ok(())
}

impl From<PoolError> for StoreFailure {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => StoreFailure::Postgres(error),
            other => StoreFailure::Io(std::io::Error::other(other)),
        }
    }
}
