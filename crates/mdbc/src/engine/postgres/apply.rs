//! Digests of other sites, done again here.
//!
//! Each digest is one transaction on a connection of mdbc's own, on which
//! neither triggers fire nor foreign keys are looked at: what they did there is
//! part of the digest. It is `READ COMMITTED`: what it changes is owned by
//! no transaction of this site, so none has a snapshot that it could spoil, but
//! those that read without owning, and those that come to own it later. The
//! latter are told by [`Postgres::has_changed_since`].

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::Transaction;

use super::digest::{Change, Delta, Id, Statement};
use super::link::{Held, told};
use super::progress::{self, Noted};
use super::{Postgres, names};
use crate::clock;
use crate::engine::{Applied, Change as Any, Position};
use crate::error::{Result, SqlError, state};

/// How long a digest waits for local transactions that read what it changes.
/// Then these are ended.
const BLOCKED_WAIT: Duration = Duration::from_secs(2);

/// Settings under which rows are written as text; what `mdbc_internal.capture`
/// has.
const SETTINGS: &str = "SET LOCAL session_replication_role = replica; \
    SET LOCAL search_path = pg_catalog; SET LOCAL datestyle = 'ISO, YMD'; \
    SET LOCAL intervalstyle = 'postgres'; SET LOCAL timezone = 'UTC'; \
    SET LOCAL extra_float_digits = 1; SET LOCAL bytea_output = 'hex'; \
    SET LOCAL lc_monetary = 'C'; SET LOCAL xmloption = 'content'";

impl Postgres {
    /// Does what one digest says, and writes how far the logs are applied.
    pub(super) async fn redo(&self, applied: &Applied) -> Result<()> {
        let mut held = self.inner.replayer.hold().await?;
        let process = process(&held).await?;
        let is_schema = |change: &Any| matches!(change, Any::Postgres(Change::Statement(_)));
        if applied.digest.changes.iter().any(is_schema) {
            // Until the schema is read again, nobody knows what statements touch. Left so
            // where this is dropped: the entry comes again.
            self.inner.is_schema_moving.send_replace(true);
        }
        let done = {
            let work = self.apply_on(&mut held, applied);
            let mut work = std::pin::pin!(work);
            loop {
                tokio::select! {
                    done = &mut work => break done,
                    () = clock::sleep(BLOCKED_WAIT) => self.end_blockers(process).await,
                }
            }
        };
        drop(held);
        if done.is_ok() {
            self.note_changed(&applied.digest).await?;
        } else if *self.inner.is_schema_moving.borrow() {
            self.reload().await?;
        }
        self.inner.is_schema_moving.send_replace(false);
        done
    }

    async fn apply_on(&self, held: &mut Held<'_>, applied: &Applied) -> Result<()> {
        let transaction = held.transaction().await.map_err(told)?;
        transaction.batch_execute(SETTINGS).await.map_err(told)?;
        let changes = own(applied)?;
        let Some((Change::Id(id), changes)) = changes.split_first() else {
            return Err(does_not_apply("it has no id"));
        };
        // Waits for a transaction of this site that is still to commit.
        let is_new = transaction
            .execute(
                "INSERT INTO mdbc_internal.own VALUES ($1::text::uuid) ON CONFLICT DO NOTHING",
                &[&id.to_string()],
            )
            .await
            .map_err(told)?
            == 1;
        let written = self.written(&transaction).await?;
        let is_behind = |(partition, position): (&String, &Position)| {
            let written = written.get(partition).map_or(0, |at| at.position);
            written < position.position
        };
        // One whose positions are there was applied by a call that was dropped.
        if is_new && (applied.positions.is_empty() || applied.positions.iter().any(is_behind)) {
            for change in changes {
                apply(&transaction, change).await?;
            }
        }
        self.write(&transaction, written, Some((*id, &applied.positions)))
            .await?;
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

    /// Writes positions that are noted, and those of an entry that is applied.
    /// Forgets what was noted only when that is committed.
    pub(super) async fn write(
        &self,
        transaction: &Transaction<'_>,
        mut written: BTreeMap<String, Position>,
        applied: Option<(Id, &BTreeMap<String, Position>)>,
    ) -> Result<Vec<Id>> {
        let noted: Vec<Noted> = self.inner.noted().clone();
        let mut plan = progress::plan(&written, &noted);
        if let Some((id, positions)) = applied {
            written.extend(plan.positions.clone());
            for (partition, position) in positions {
                let before = written.get(partition).map_or(0, |at| at.position);
                if position.position > before {
                    plan.positions.insert(partition.clone(), position.clone());
                }
            }
            plan.passed.push(id);
        }
        for (partition, position) in &plan.positions {
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
        let ids: Vec<String> = plan.passed.iter().map(ToString::to_string).collect();
        transaction
            .execute(
                "DELETE FROM mdbc_internal.own WHERE id = ANY ($1::text[]::uuid[])",
                &[&ids],
            )
            .await
            .map_err(told)?;
        Ok(plan.passed)
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
    async fn note_changed(&self, digest: &crate::engine::Digest) -> Result<()> {
        let mut has_schema = false;
        let mut tables = Vec::new();
        for change in &digest.changes {
            match change {
                Any::Postgres(Change::Delta(delta)) => tables.push(delta.table.to_string()),
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

async fn process(held: &Held<'_>) -> Result<i32> {
    let row = held.query_one("SELECT pg_backend_pid()", &[]).await;
    row.and_then(|row| row.try_get(0)).map_err(told)
}

/// The changes of a digest, which are those of a PostgreSQL.
fn own(applied: &Applied) -> Result<Vec<&Change>> {
    let changes = applied.digest.changes.iter();
    changes
        .map(|change| match change {
            Any::Postgres(change) => Ok(change),
            _ => Err(does_not_apply(
                "the engine of the site that made it is SQLite",
            )),
        })
        .collect()
}

async fn apply(transaction: &Transaction<'_>, change: &Change) -> Result<()> {
    match change {
        Change::Id(_) => Err(does_not_apply("it has two ids")),
        Change::Delta(delta) => apply_delta(transaction, delta).await,
        Change::Statement(statement) => apply_statement(transaction, statement).await,
    }
}

async fn apply_statement(transaction: &Transaction<'_>, statement: &Statement) -> Result<()> {
    let refused = |error| does_not_apply(&told(error).message);
    for (name, value) in &statement.settings {
        let set = "SELECT set_config($1, $2, true)";
        transaction
            .execute(set, &[name, value])
            .await
            .map_err(refused)?;
    }
    transaction
        .batch_execute("SELECT mdbc_internal.before_ddl()")
        .await
        .map_err(refused)?;
    transaction
        .batch_execute(&statement.text)
        .await
        .map_err(refused)?;
    transaction
        .execute(
            "SELECT mdbc_internal.after_ddl('', $1, $2, NULL)",
            &[&statement.kind.name(), &statement.group],
        )
        .await
        .map_err(refused)?;
    transaction.batch_execute(SETTINGS).await.map_err(told)
}

async fn apply_delta(transaction: &Transaction<'_>, delta: &Delta) -> Result<()> {
    let refused =
        |error| does_not_apply(&format!("table {}: {}", delta.table, told(error).message));
    let columns = names::columns(transaction, &delta.table).await?;
    if delta.is_emptied {
        let text = format!("DELETE FROM ONLY {}", delta.table.quoted());
        transaction.batch_execute(&text).await.map_err(refused)?;
    }
    if !delta.gone.is_empty() {
        let count = transaction
            .execute(&columns.delete(&delta.table), &[&delta.gone])
            .await
            .map_err(refused)?;
        if u64::try_from(delta.gone.len()) != Ok(count) {
            return Err(does_not_apply(&format!(
                "a row of table {} is not as it was",
                delta.table
            )));
        }
    }
    if delta.new.is_empty() {
        return Ok(());
    }
    // Functions of constraints and indexes look for what they name.
    let usual = "SET LOCAL search_path TO DEFAULT";
    transaction.batch_execute(usual).await.map_err(told)?;
    transaction
        .execute(&columns.insert(&delta.table), &[&delta.new])
        .await
        .map_err(refused)?;
    transaction.batch_execute(SETTINGS).await.map_err(told)
}

fn does_not_apply(reason: &str) -> SqlError {
    SqlError::new(
        state::DATA_CORRUPTED,
        format!("a change of another site does not apply here: {reason}"),
    )
    .with_hint("The local database differs from the log. Restore it from another site.")
}
