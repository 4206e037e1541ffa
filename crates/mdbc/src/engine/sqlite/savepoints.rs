//! Savepoints of the transaction on the writing connection.

use std::sync::Arc;

use super::error::Translated;
use super::lane::Held;
use super::store;
use crate::catalog::schema::Schema;
use crate::error::{Result, SqlError, state};

/// Savepoints of one transaction.
const SAVEPOINTS_MAX: usize = 1000;

impl Held {
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
