//! The tables in PostgreSQL, in a schema of their own, and how older ones are brought up to date: in one transaction,
//! or not at all.

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::super::{SCHEMA, StoreFailure};

/// Two proxies that start at once make the tables once.
const MIGRATION_LOCK: i64 = 0x636f_6e73_656e_7472;

const TABLES: &str = "
    CREATE TABLE schema_version (version bigint NOT NULL);
    INSERT INTO schema_version VALUES (2);
    CREATE TABLE shown (hash bytea PRIMARY KEY, content text NOT NULL);
    CREATE TABLE entries (
        chain uuid NOT NULL, sequence bigint NOT NULL, id uuid NOT NULL UNIQUE, at bigint NOT NULL,
        site text NOT NULL, kind text NOT NULL, document text, valid_until bigint, body text NOT NULL,
        subject uuid, identity bytea, salt bytea, digest bytea NOT NULL,
        shown bytea NOT NULL REFERENCES shown (hash), previous bytea NOT NULL, hash bytea NOT NULL,
        seal bytea NOT NULL, erased_at bigint, erased_seal bytea,
        PRIMARY KEY (chain, sequence));
    CREATE INDEX of_subject ON entries (subject, id) WHERE subject IS NOT NULL;
    CREATE INDEX of_identity ON entries (identity, id) WHERE identity IS NOT NULL;
    CREATE TABLE chains (
        chain uuid PRIMARY KEY, sequence bigint NOT NULL, hash bytea NOT NULL, at bigint NOT NULL,
        seal bytea NOT NULL);
    CREATE TABLE tombstones (
        chain uuid NOT NULL, first bigint NOT NULL, last bigint NOT NULL, before bytea NOT NULL,
        after bytea NOT NULL, at bigint NOT NULL, seal bytea NOT NULL, PRIMARY KEY (chain, first));";

/// Which held forms were sent on. No entry depends on it, and programs that do not know it get along.
const FORMS: &str = "
    CREATE TABLE consentry.forms (id bytea PRIMARY KEY, has_arrived boolean NOT NULL, until bigint NOT NULL);";

/// What every connection begins with. A server whose commits do not wait for the disk is told to wait.
pub(super) const SESSION: &str = "
    SET search_path = consentry;
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';";

/// Makes the tables, or brings them up to date.
pub(super) async fn migrate(client: &mut Client) -> Result<(), StoreFailure> {
    let transaction = client.transaction().await?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&MIGRATION_LOCK]).await?;
    let exists = "SELECT to_regnamespace('consentry') IS NOT NULL, to_regclass('consentry.schema_version') IS NOT NULL";
    let row = transaction.query_one(exists, &[]).await?;
    let (has_schema, has_tables): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    if !has_schema {
        // Without the right to do so, somebody else makes it: `CREATE SCHEMA consentry AUTHORIZATION …`.
        transaction.batch_execute("CREATE SCHEMA consentry").await?;
    }
    if !has_tables {
        transaction.batch_execute(&format!("SET search_path = consentry; {TABLES}")).await?;
    }
    // Only who may make tables in the schema may ask for one that exists already to be made.
    let has_forms = "SELECT to_regclass('consentry.forms') IS NOT NULL";
    if !transaction.query_one(has_forms, &[]).await?.try_get::<_, bool>(0)? {
        transaction.batch_execute(FORMS).await?;
    }
    transaction.commit().await?;
    expect_current(client).await
}

/// Refuses what is not of this version, or only says that it is.
pub(super) async fn expect_current(client: &Client) -> Result<(), StoreFailure> {
    let version = match client.query_opt("SELECT version FROM consentry.schema_version", &[]).await {
        Ok(Some(row)) => row.try_get::<_, i64>(0)?,
        Ok(None) => return Err(StoreFailure::HalfMigrated(0, "schema_version is empty".into())),
        Err(error) if is_missing(&error) => return Err(StoreFailure::Missing),
        Err(error) => return Err(error.into()),
    };
    match version {
        SCHEMA => {}
        older if older < SCHEMA => return Err(StoreFailure::Older(older)),
        newer => return Err(StoreFailure::Newer(newer)),
    }
    for sql in [
        &format!("SELECT {} FROM consentry.entries LIMIT 0", super::super::COLUMNS),
        "SELECT hash, content FROM consentry.shown LIMIT 0",
        "SELECT chain, sequence, hash, at, seal FROM consentry.chains LIMIT 0",
        "SELECT chain, first, last, before, after, at, seal FROM consentry.tombstones LIMIT 0",
    ] {
        client.prepare(sql).await.map_err(|error| match error.as_db_error() {
            Some(cause) if is_missing(&error) => {
                StoreFailure::HalfMigrated(SCHEMA, cause.message().to_owned())
            }
            _ => error.into(),
        })?;
    }
    Ok(())
}

fn is_missing(error: &tokio_postgres::Error) -> bool {
    let missing = [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN, SqlState::INVALID_SCHEMA_NAME];
    error.code().is_some_and(|code| missing.contains(code))
}
