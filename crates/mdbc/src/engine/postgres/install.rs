//! The start: mdbc's own schema, and what an earlier process left behind.

use std::time::Duration;

use tokio_postgres::{Client, Row};

use super::PostgresOptions;
use super::digest::GID;
use super::link::{Held, told};
use crate::clock;
use crate::engine::Position;
use crate::error::{Result, SqlError, state};

macro_rules! setup {
    () => {
        "SET application_name = 'mdbc'; SET client_encoding = 'UTF8'; \
         SET default_transaction_isolation = 'read committed'; SET statement_timeout = 0; \
         SET idle_in_transaction_session_timeout = 0; SET synchronous_commit = on; "
    };
}

/// The schema, its tables and functions.
const INSTALL: &str = concat!(
    include_str!("install.sql"),
    include_str!("restore.sql"),
    include_str!("guard.sql"),
);
/// The version of these.
const FORMAT: &str = "3";
/// The lowest version of PostgreSQL, as it numbers itself.
const VERSION_MIN: i32 = 150_000;
/// What a connection of mdbc's own begins with.
pub(super) const SETUP: &str = concat!(setup!(), "SET lock_timeout = 0");
/// The same for the one that has the lock which one process alone has. It waits
/// for the connection of an earlier process to end.
pub(super) const KEEPER_SETUP: &str = concat!(
    setup!(),
    "SET lock_timeout = 10000; SELECT pg_advisory_lock(1835295331); SET lock_timeout = 0"
);
/// How long the connections of an earlier process may take to end.
const END_WAIT: Duration = Duration::from_secs(10);
/// Between two looks whether they have.
const LOOK_EVERY: Duration = Duration::from_millis(20);

fn wrong(message: impl Into<String>, hint: &str) -> SqlError {
    SqlError::new(state::OBJECT_NOT_IN_PREREQUISITE_STATE, message).with_hint(hint)
}

/// Makes the schema, or checks the one that is there, and ends what an earlier
/// process left.
pub(super) async fn prepare(client: &mut Held<'_>, options: &PostgresOptions) -> Result<()> {
    check_server(client).await?;
    end_earlier(client).await?;
    let is_there = "SELECT to_regnamespace('mdbc_internal') IS NOT NULL";
    let is_there = client.query_one(is_there, &[]).await.map_err(told)?;
    if is_there.try_get(0).map_err(told)? {
        check(client, options).await?;
    } else {
        make(client, options).await?;
    }
    roll_back_prepared(client).await
}

async fn check_server(client: &Client) -> Result<()> {
    let facts = client
        .query_one(
            "SELECT current_setting('server_version_num')::int, \
             current_setting('max_prepared_transactions')::int, \
             current_setting('server_encoding'), current_setting('is_superuser') = 'on'",
            &[],
        )
        .await
        .map_err(told)?;
    let version: i32 = facts.try_get(0).map_err(told)?;
    let prepared: i32 = facts.try_get(1).map_err(told)?;
    let encoding: &str = facts.try_get(2).map_err(told)?;
    if version < VERSION_MIN {
        return Err(wrong(
            format!("the local PostgreSQL has the version {version}"),
            "mdbc needs PostgreSQL 15 or later.",
        ));
    }
    if prepared == 0 {
        return Err(wrong(
            "max_prepared_transactions is 0",
            "Set it in postgresql.conf to as many as there may be clients, and start the \
             server again.",
        ));
    }
    if encoding != "UTF8" {
        return Err(wrong(
            format!("the database has the encoding {encoding}"),
            "Make it with ENCODING 'UTF8'.",
        ));
    }
    if facts.try_get(3).map_err(told)? {
        return Ok(());
    }
    Err(wrong(
        "the user of the local PostgreSQL is no superuser",
        "mdbc applies changes without firing triggers, which needs one.",
    ))
}

/// Ends the connections of an earlier process. A statement of its that is still
/// under way could prepare a transaction when nobody looks any more.
async fn end_earlier(client: &Client) -> Result<()> {
    let began = clock::now();
    let is_late = || clock::now().saturating_duration_since(began) >= END_WAIT;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND usename = current_user \
               AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    loop {
        let left = client.query_one(end, &[]).await;
        let left: i64 = left.and_then(|row| row.try_get(0)).map_err(told)?;
        if left == 0 {
            return Ok(());
        }
        if is_late() {
            return Err(wrong(
                format!("{left} connections of an earlier process do not end"),
                "End them by hand.",
            ));
        }
        clock::sleep(LOOK_EVERY).await;
    }
}

/// What is said of the lock.
pub(super) fn not_alone(error: SqlError) -> SqlError {
    if error.state != state::LOCK_NOT_AVAILABLE {
        return error;
    }
    wrong(
        "another process of mdbc serves the database",
        "End it first.",
    )
}

async fn make(client: &mut Client, options: &PostgresOptions) -> Result<()> {
    let users = "SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n \
                 ON n.oid = c.relnamespace WHERE n.nspname <> 'information_schema' \
                 AND n.nspname !~ '^pg_' AND c.relkind IN ('r', 'p', 'm', 'f') LIMIT 1";
    if let Some(row) = client.query_opt(users, &[]).await.map_err(told)? {
        let name: String = row.try_get(0).map_err(told)?;
        return Err(wrong(
            format!("the database has a table that mdbc does not know: {name}"),
            "Give mdbc an empty database, and make the tables through it.",
        ));
    }
    let transaction = client.transaction().await.map_err(told)?;
    transaction.batch_execute(INSTALL).await.map_err(told)?;
    let facts = [
        ("format", FORMAT.to_owned()),
        ("site", options.site.to_string()),
        ("sites_max", options.sites_max.to_string()),
        ("schema", "0".to_owned()),
        ("sequences", "0".to_owned()),
    ];
    for (name, value) in facts {
        let insert = "INSERT INTO mdbc_internal.meta VALUES ($1, $2)";
        transaction
            .execute(insert, &[&name, &value])
            .await
            .map_err(told)?;
    }
    let insert =
        "INSERT INTO mdbc_internal.meta VALUES ('fingerprint', mdbc_internal.fingerprint())";
    transaction.batch_execute(insert).await.map_err(told)?;
    transaction.commit().await.map_err(told)
}

async fn check(client: &Client, options: &PostgresOptions) -> Result<()> {
    let get = async |name: &str| {
        let query = "SELECT value FROM mdbc_internal.meta WHERE name = $1";
        let row = client.query_opt(query, &[&name]).await.map_err(told)?;
        let value = row.map(|row| row.try_get::<_, String>(0)).transpose();
        Ok::<_, SqlError>(value.map_err(told)?.unwrap_or_default())
    };
    let format = get("format").await?;
    if format != FORMAT {
        return Err(SqlError::new(
            state::DATA_CORRUPTED,
            format!(
                "the schema of mdbc has the format {format:?}, and this mdbc knows only {FORMAT}"
            ),
        ));
    }
    for (name, ours) in [("site", options.site), ("sites_max", options.sites_max)] {
        let theirs = get(name).await?;
        if theirs != ours.to_string() {
            return Err(wrong(
                format!("the database was made with {name} = {theirs}, not {ours}"),
                "Values of sequences rest on it: it cannot be changed.",
            ));
        }
    }
    let row = client.query_one("SELECT mdbc_internal.fingerprint()", &[]);
    let now: String = row.await.and_then(|row| row.try_get(0)).map_err(told)?;
    if get("fingerprint").await? != now {
        return Err(SqlError::new(
            state::DATA_CORRUPTED,
            "the schema of the local database was changed by another program",
        )
        .with_hint("Undo that, or restore the database from another site."));
    }
    Ok(())
}

/// What is in the log is replayed, and nobody was told of the rest.
async fn roll_back_prepared(client: &Client) -> Result<()> {
    let query = "SELECT gid FROM pg_prepared_xacts WHERE database = current_database() \
                 AND starts_with(gid, $1)";
    for row in client.query(query, &[&GID]).await.map_err(told)? {
        let gid: String = row.try_get(0).map_err(told)?;
        let text = format!("ROLLBACK PREPARED {}", super::digest::literal(&gid));
        client.batch_execute(&text).await.map_err(told)?;
        tracing::info!(gid, "a transaction of an earlier process is rolled back");
    }
    Ok(())
}

/// A row of `mdbc_internal.positions`.
pub(super) fn position(row: &Row) -> Result<(String, Position)> {
    let position: i64 = row.try_get(1).map_err(told)?;
    let position = Position {
        position: u64::try_from(position).map_err(SqlError::internal)?,
        id: row.try_get(2).map_err(told)?,
    };
    Ok((row.try_get(0).map_err(told)?, position))
}
