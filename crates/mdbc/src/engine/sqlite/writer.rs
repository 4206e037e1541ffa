//! The writing connection: one transaction at a time.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::Database;
use super::error::Translated;
use super::lane::{Held, Lane};
use super::store;
use crate::catalog::schema::{Schema, TableKind};
use crate::engine::Notes;
use crate::engine::digest::{Change, Digest};
use crate::error::{Result, SqlError, state};

/// Savepoints of one transaction.
const SAVEPOINTS_MAX: usize = 1000;

/// The right to use the writing connection, with a transaction open on it.
/// Dropping it rolls the transaction back.
#[derive(Debug)]
pub(crate) struct Writing {
    database: Database,
    session: u64,
    is_open: bool,
    // Freed last: after the rollback is on its way.
    _permit: OwnedSemaphorePermit,
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.is_open {
            self.database.inner.writer.post(|held| {
                if let Err(error) = held.rollback() {
                    tracing::error!(%error, "a transaction could not be rolled back");
                }
            });
        }
    }
}

impl Writing {
    /// Waits for the connection and begins a transaction.
    ///
    /// A dropped future gives the place in the queue up.
    pub(crate) async fn begin(database: &Database, session: u64) -> Result<Self> {
        let turn = Arc::clone(&database.inner.turn);
        let permit = turn
            .acquire_owned()
            .await
            .map_err(|_| SqlError::new(state::ADMIN_SHUTDOWN, "the local database is closed"))?;
        let writing = Self {
            database: database.clone(),
            session,
            is_open: true,
            _permit: permit,
        };
        writing.lane().call(session, Held::begin).await?;
        Ok(writing)
    }

    pub(crate) fn lane(&self) -> &Lane {
        &self.database.inner.writer
    }

    /// What the transaction has done; it can change nothing more.
    pub(crate) async fn seal(&self) -> Result<Digest> {
        let default_kind = self.database.inner.default_kind;
        self.lane()
            .call(self.session, move |held| held.seal(default_kind))
            .await
    }

    /// Commits. When it fails, the transaction is rolled back, or, after a
    /// crash, may turn out either way.
    pub(crate) async fn commit(mut self, schema: Arc<Schema>, notes: Notes) -> Result<()> {
        let commit = move |held: &mut Held| held.commit(&notes);
        let committed = self.lane().call(self.session, commit).await;
        self.is_open = committed.is_err();
        committed?;
        self.database.set_schema(schema);
        self.database.note_commit();
        Ok(())
    }
}

impl Held {
    fn begin(&mut self) -> Result<()> {
        self.savepoints.clear();
        let mut inner = self.context.lock();
        inner.capture.truncate(0);
        inner.capture.is_on = true;
        drop(inner);
        self.connection.execute_batch("BEGIN IMMEDIATE").plain()
    }

    fn seal(&mut self, default_kind: TableKind) -> Result<Digest> {
        let unstored = std::mem::take(&mut self.context.counters().unstored);
        for oid in unstored {
            let given = self.context.counters().given.get(&oid).copied();
            store::store_given(&self.connection, oid, given.unwrap_or_default())?;
        }
        let (changes, schema) = {
            let mut inner = self.context.lock();
            inner.capture.is_on = false;
            (
                std::mem::take(&mut inner.capture.changes),
                Arc::clone(&inner.schema),
            )
        };
        let (touched, changes): (Vec<Change>, Vec<Change>) = changes
            .into_iter()
            .partition(|change| matches!(change, Change::Touch { .. }));
        self.check_deferred(&changes, &schema)?;
        let rows = self.rows_of(touched)?;
        Ok(Digest {
            changes,
            rows,
            stamp: None,
            default_kind,
        })
    }

    fn commit(&mut self, notes: &Notes) -> Result<()> {
        self.keep_rows(notes)?;
        for (partition, position) in &notes.positions {
            store::set_position(&self.connection, partition, position)?;
        }
        let schema = Arc::clone(&self.context.lock().schema);
        self.savepoints.clear();
        self.connection.execute_batch("COMMIT").translated(&schema)
    }

    pub(crate) fn rollback(&mut self) -> Result<()> {
        self.savepoints.clear();
        let mut inner = self.context.lock();
        inner.capture.truncate(0);
        inner.capture.is_on = false;
        drop(inner);
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.execute_batch("ROLLBACK").plain()
    }

    /// Begins to read a state of the database that does not change; its schema.
    pub(crate) fn take_snapshot(&mut self, known: &Arc<Schema>) -> Result<Arc<Schema>> {
        self.connection.execute_batch("BEGIN DEFERRED").plain()?;
        let version = store::schema_version(&self.connection)?;
        if version == known.version {
            return Ok(Arc::clone(known));
        }
        store::load_shared(&self.connection)
    }

    pub(crate) fn savepoint(&mut self, name: &str) -> Result<()> {
        if self.savepoints.len() >= SAVEPOINTS_MAX {
            return Err(SqlError::new(
                state::PROGRAM_LIMIT_EXCEEDED,
                format!("a transaction has at most {SAVEPOINTS_MAX} savepoints"),
            ));
        }
        let changes = self.context.lock().capture.changes.len();
        self.connection
            .execute_batch(&format!("SAVEPOINT \"mdbc {}\"", self.savepoints.len()))
            .plain()?;
        self.savepoints.push((name.to_owned(), changes));
        Ok(())
    }

    fn find(&self, name: &str) -> Result<usize> {
        let found = self.savepoints.iter().rposition(|(own, _)| own == name);
        found.ok_or_else(|| {
            SqlError::new(
                state::INVALID_SAVEPOINT,
                format!("savepoint \"{name}\" does not exist"),
            )
        })
    }

    pub(crate) fn release(&mut self, name: &str) -> Result<()> {
        let at = self.find(name)?;
        self.savepoints.truncate(at);
        self.connection
            .execute_batch(&format!("RELEASE \"mdbc {at}\""))
            .plain()
    }

    /// Undoes what came after a savepoint; the schema is the one of then.
    pub(crate) fn rollback_to(&mut self, name: &str) -> Result<Arc<Schema>> {
        let at = self.find(name)?;
        let changes = self.savepoints.get(at).map_or(0, |(_, changes)| *changes);
        self.savepoints.truncate(at + 1);
        self.connection
            .execute_batch(&format!("ROLLBACK TO \"mdbc {at}\""))
            .plain()?;
        let schema = store::load_shared(&self.connection)?;
        let mut inner = self.context.lock();
        inner.capture.truncate(changes);
        inner.schema = Arc::clone(&schema);
        Ok(schema)
    }
}
