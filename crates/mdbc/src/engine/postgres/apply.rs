//! Digests of other sites, done again here.
//!
//! Digests that follow each other are one transaction on a connection of mdbc's
//! own, on which neither triggers fire nor foreign keys are looked at: what they
//! did there is part of the digest. It is `READ COMMITTED`: what it changes is owned by
//! no transaction of this site, so none has a snapshot that it could spoil, but
//! those that read without owning, and those that come to own it later. The
//! latter are told by [`Postgres::has_changed_since`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio_postgres::{Client, Transaction};

use super::Postgres;
use super::digest::{Change, Id};
use super::link::{Held, told};
use super::progress::{self, Noted, Plan};
use super::tables::Tables;
use crate::clock;
use crate::engine::{Applied, Change as Any, Position};
use crate::error::{Result, SqlError, state};

/// How long a digest waits for local transactions that read what it changes.
/// Then these are ended.
const BLOCKED_WAIT: Duration = Duration::from_secs(2);

/// Settings under which rows are written as text; what `mdbc_internal.capture`
/// has.
pub(super) const SETTINGS: &str = "SET LOCAL session_replication_role = replica; \
    SET LOCAL search_path = pg_catalog; SET LOCAL datestyle = 'ISO, YMD'; \
    SET LOCAL intervalstyle = 'postgres'; SET LOCAL timezone = 'UTC'; \
    SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; \
    SET LOCAL lc_monetary = 'C'; SET LOCAL xmloption = 'content'";

/// What one site has done, as it is applied here.
pub(super) struct Entry<'d> {
    id: Id,
    changes: Vec<&'d Change>,
    positions: &'d BTreeMap<String, Position>,
}

impl Postgres {
    /// Does what digests say, in one transaction, and writes how far the logs are
    /// applied. One that changes the schema is alone.
    pub(super) async fn redo(&self, run: &[Applied]) -> Result<()> {
        let mut held = self.inner.replayer.hold().await?;
        let process = process(&held).await?;
        if run.iter().any(changes_schema) {
            // Until the schema is read again, nobody knows what statements touch. Left so
            // where this is dropped: the entry comes again.
            self.inner.is_schema_moving.send_replace(true);
        }
        let work = self.apply_on(&mut held, run);
        let done = self.unblocked(process, work).await;
        drop(held);
        if done.is_ok() {
            self.note_changed(run).await?;
        } else if *self.inner.is_schema_moving.borrow() {
            self.reload().await?;
        }
        self.inner.is_schema_moving.send_replace(false);
        done
    }

    /// Does work on a connection, and ends local transactions that it waits for too
    /// long for.
    pub(super) async fn unblocked<T>(&self, process: i32, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = clock::sleep(BLOCKED_WAIT) => self.end_blockers(process).await,
            }
        }
    }

    async fn apply_on(&self, held: &mut Held<'_>, run: &[Applied]) -> Result<()> {
        let entries: Vec<Entry<'_>> = run.iter().map(entry).collect::<Result<_>>()?;
        let transaction = held.transaction().await.map_err(told)?;
        transaction.batch_execute(SETTINGS).await.map_err(told)?;
        let new = take_ids(&transaction, &entries).await?;
        let written = self.written(&transaction).await?;
        let mut reached = written.clone();
        let mut tables = Tables::new(&transaction);
        for entry in &entries {
            let advanced = progress::advance(&mut reached, entry.positions);
            // One whose positions are there was applied by a call that was dropped.
            let is_open = entry.positions.is_empty() || !advanced.is_empty();
            if is_open && new.contains(&entry.id.to_string()) {
                for change in &entry.changes {
                    tables.apply(change).await?;
                }
            }
        }
        self.write(&transaction, written, &entries).await?;
        transaction.commit().await.map_err(told)
    }

    /// How far the logs are applied; nobody else changes it until the transaction
    /// ends.
    pub(super) async fn written(
        &self,
        transaction: &Transaction<'_>,
    ) -> Result<BTreeMap<String, Position>> {
        let query = "LOCK TABLE mdbc_internal.positions IN SHARE ROW EXCLUSIVE MODE";
        transaction.batch_execute(query).await.map_err(told)?;
        let query = "SELECT partition, position, id FROM mdbc_internal.positions";
        let rows = transaction.query(query, &[]).await.map_err(told)?;
        rows.iter().map(super::install::position).collect()
    }

    /// Writes positions that are noted, and those of entries that are applied.
    /// Forgets what was noted only when that is committed.
    pub(super) async fn write(
        &self,
        transaction: &Transaction<'_>,
        mut written: BTreeMap<String, Position>,
        applied: &[Entry<'_>],
    ) -> Result<Vec<Id>> {
        let noted: Vec<Noted> = self.inner.noted().clone();
        let Plan {
            mut positions,
            mut passed,
        } = progress::plan(&written, &noted);
        progress::advance(&mut written, &positions);
        for entry in applied {
            positions.extend(progress::advance(&mut written, entry.positions));
            passed.push(entry.id);
        }
        for (partition, position) in &positions {
            let at = i64::try_from(position.position).map_err(SqlError::internal)?;
            transaction
                .execute(
                    "INSERT INTO mdbc_internal.positions VALUES ($1, $2, $3) \
                     ON CONFLICT (partition) DO UPDATE SET position = $2, id = $3",
                    &[partition, &at, &position.id],
                )
                .await
                .map_err(told)?;
        }
        let ids: Vec<String> = passed.iter().map(ToString::to_string).collect();
        transaction
            .execute(
                "DELETE FROM mdbc_internal.own WHERE id = ANY ($1::text[]::uuid[])",
                &[&ids],
            )
            .await
            .map_err(told)?;
        Ok(passed)
    }

    /// Ends local transactions that a digest has waited for too long.
    async fn end_blockers(&self, process: i32) {
        let ended = async {
            let keeper = self.inner.keeper.hold().await?;
            let query = "SELECT pg_terminate_backend(pid) FROM unnest(pg_blocking_pids($1)) \
                         AS pid WHERE pid <> 0";
            let rows = keeper.query(query, &[&process]).await.map_err(told)?;
            Ok::<_, SqlError>(rows.len())
        };
        match ended.await {
            Ok(0) => {}
            Ok(count) => tracing::warn!(
                count,
                "local transactions were ended that held up what other sites committed"
            ),
            Err(error) => tracing::warn!(%error, "it cannot be told what holds a digest up"),
        }
    }

    /// Tells later transactions what was changed under them.
    async fn note_changed(&self, run: &[Applied]) -> Result<()> {
        let mut has_schema = false;
        let mut tables = BTreeSet::new();
        for change in run.iter().flat_map(|applied| &applied.digest.changes) {
            match change {
                Any::Postgres(Change::Delta(delta)) => {
                    tables.insert(delta.table.to_string());
                }
                Any::Postgres(Change::Statement(_)) => has_schema = true,
                _ => {}
            }
        }
        self.inner.moments.note(tables, has_schema);
        if has_schema {
            self.reload().await?;
        }
        Ok(())
    }
}

/// Whether a digest changes the schema.
pub(super) fn changes_schema(applied: &Applied) -> bool {
    let is_schema = |change: &Any| matches!(change, Any::Postgres(Change::Statement(_)));
    applied.digest.changes.iter().any(is_schema)
}

pub(super) async fn process(client: &Client) -> Result<i32> {
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    row.and_then(|row| row.try_get(0)).map_err(told)
}

/// A digest's id and changes, which are those of a PostgreSQL.
fn entry(applied: &Applied) -> Result<Entry<'_>> {
    let changes = applied.digest.changes.iter().map(|change| match change {
        Any::Postgres(change) => Ok(change),
        _ => Err(does_not_apply(
            "the engine of the site that made it is SQLite",
        )),
    });
    let changes: Vec<&Change> = changes.collect::<Result<_>>()?;
    let Some((Change::Id(id), changes)) = changes.split_first() else {
        return Err(does_not_apply("it has no id"));
    };
    Ok(Entry {
        id: *id,
        changes: changes.to_vec(),
        positions: &applied.positions,
    })
}

/// Takes the ids of entries; those that were not there. Waits for transactions of
/// this site that are still to commit.
async fn take_ids(
    transaction: &Transaction<'_>,
    entries: &[Entry<'_>],
) -> Result<BTreeSet<String>> {
    let ids: Vec<String> = entries.iter().map(|entry| entry.id.to_string()).collect();
    let insert = "INSERT INTO mdbc_internal.own SELECT id::uuid FROM unnest($1::text[]) AS id \
                  ON CONFLICT DO NOTHING RETURNING id::text";
    let rows = transaction.query(insert, &[&ids]).await.map_err(told)?;
    rows.iter()
        .map(|row| row.try_get(0).map_err(told))
        .collect()
}

pub(super) fn does_not_apply(reason: &str) -> SqlError {
    SqlError::new(
        state::DATA_CORRUPTED,
        format!("a change of another site does not apply here: {reason}"),
    )
    .with_hint("The local database differs from the log. Restore it from another site.")
}
