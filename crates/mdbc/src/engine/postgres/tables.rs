//! The changes of digests, done on tables.

use std::collections::HashMap;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Statement as Prepared, Transaction};

use super::apply::{SETTINGS, does_not_apply};
use super::digest::{Change, Delta, Name, Statement};
use super::link::told;
use super::names;
use crate::error::{Result, SqlError};

/// Tables that are changed in one transaction.
pub(super) struct Tables<'t, 'c> {
    transaction: &'t Transaction<'c>,
    /// The statements for those that were changed, as the schema is now.
    known: HashMap<Name, Table>,
}

/// Statements that take rows out, and put rows in.
#[derive(Clone)]
struct Table {
    delete: Prepared,
    insert: Prepared,
}

/// Changes the schema as a statement of a site did, which is noted here, too.
pub(super) async fn change_schema(
    transaction: &Transaction<'_>,
    statement: &Statement,
) -> Result<()> {
    for (name, value) in &statement.settings {
        let set = "SELECT set_config($1, $2, true)";
        let done = transaction.execute(set, &[name, value]).await;
        done.map_err(told)?;
    }
    let before = "SELECT mdbc_internal.before_ddl()";
    transaction.batch_execute(before).await.map_err(told)?;
    let done = transaction.batch_execute(&statement.text).await;
    done.map_err(told)?;
    let settings = serde_json::to_string(&statement.settings).map_err(SqlError::internal)?;
    let after = "SELECT mdbc_internal.after_ddl($1, $2, $3, \
                 $4::pg_catalog.text::pg_catalog.jsonb)";
    let (text, kind) = (&statement.text, statement.kind.name());
    let given: [&(dyn ToSql + Sync); 4] = [text, &kind, &statement.group, &settings];
    transaction.execute(after, &given).await.map_err(told)?;
    transaction.batch_execute(SETTINGS).await.map_err(told)
}

impl<'t, 'c> Tables<'t, 'c> {
    pub(super) fn new(transaction: &'t Transaction<'c>) -> Self {
        Self {
            transaction,
            known: HashMap::new(),
        }
    }

    /// Does what one change says.
    pub(super) async fn apply(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Id(_) => Err(does_not_apply("it has two ids")),
            Change::Delta(delta) => self.delta(delta).await,
            Change::Statement(statement) => self.statement(statement).await,
        }
    }

    async fn statement(&mut self, statement: &Statement) -> Result<()> {
        self.known.clear();
        let changed = change_schema(self.transaction, statement).await;
        changed.map_err(|error| does_not_apply(&error.message))
    }

    async fn delta(&mut self, delta: &Delta) -> Result<()> {
        let refused =
            |error| does_not_apply(&format!("table {}: {}", delta.table, told(error).message));
        let table = self.table(&delta.table, refused).await?;
        let transaction = self.transaction;
        if delta.is_emptied {
            let text = format!("DELETE FROM ONLY {}", delta.table.quoted());
            transaction.batch_execute(&text).await.map_err(refused)?;
        }
        if !delta.gone.is_empty() {
            let count = transaction.execute(&table.delete, &[&delta.gone]).await;
            if Ok(count.map_err(refused)?) != u64::try_from(delta.gone.len()) {
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
        let done = transaction.execute(&table.insert, &[&delta.new]).await;
        done.map_err(refused)?;
        transaction.batch_execute(SETTINGS).await.map_err(told)
    }

    async fn table(
        &mut self,
        name: &Name,
        refused: impl Fn(tokio_postgres::Error) -> SqlError,
    ) -> Result<Table> {
        if let Some(table) = self.known.get(name) {
            return Ok(table.clone());
        }
        let columns = names::columns(self.transaction, name).await?;
        let (delete, insert) = (columns.delete(name), columns.insert(name));
        let table = Table {
            delete: self.transaction.prepare(&delete).await.map_err(&refused)?,
            insert: self.transaction.prepare(&insert).await.map_err(&refused)?,
        };
        self.known.insert(name.clone(), table.clone());
        Ok(table)
    }
}
