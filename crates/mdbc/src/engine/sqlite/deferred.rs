//! Foreign keys that are checked at the end of a transaction.
//!
//! SQLite checks them as it commits, which is too late: by then the transaction
//! is in the log. So they are checked when it is sealed, row by row, for the
//! rows that it has changed.

use rusqlite::{OptionalExtension, params_from_iter};

use super::error::Translated;
use super::lane::Held;
use crate::catalog::schema::{ForeignKey, Schema, Table};
use crate::dialect::parse::quote;
use crate::dialect::stored_columns;
use crate::engine::digest::Change;
use crate::error::{Result, SqlError, state};
use crate::types::Value;

impl Held {
    /// Refuses a transaction that leaves a row without its parent.
    pub(super) fn check_deferred(&self, changes: &[Change], schema: &Schema) -> Result<()> {
        if !schema
            .tables()
            .any(|table| table.foreign_keys.iter().any(|key| key.is_deferred))
        {
            return Ok(());
        }
        for change in changes {
            let table = schema
                .tables()
                .find(|table| change.table() == Some(table.oid));
            let Some(table) = table else { continue };
            let (before, after) = sides(change);
            for key in table.foreign_keys.iter().filter(|key| key.is_deferred) {
                if let Told::All(own) = values(table, table.key(), &after) {
                    self.check_key((table, key), (table.key(), &own), schema)?;
                }
            }
            for (child, key) in schema
                .children(&table.name)
                .filter(|(_, key)| key.is_deferred)
            {
                match values(table, &key.parent_columns, &before) {
                    Told::All(gone) => {
                        self.check_key((child, key), (&key.columns, &gone), schema)?;
                    }
                    // Which rows it had is not told: all are looked at.
                    Told::Some => self.check_key((child, key), (&[], &[]), schema)?,
                    Told::Nothing => {}
                }
            }
        }
        Ok(())
    }

    /// Refuses a row of the child with these values that has no parent.
    fn check_key(
        &self,
        (child, key): (&Table, &ForeignKey),
        (columns, values): (&[String], &[&Value]),
        schema: &Schema,
    ) -> Result<()> {
        let mut tests: Vec<String> = columns
            .iter()
            .zip(1_usize..)
            .map(|(column, number)| format!("c.{} = ?{number}", quote(column)))
            .collect();
        tests.extend(
            key.columns
                .iter()
                .map(|column| format!("c.{} IS NOT NULL", quote(column))),
        );
        let pairs = key.columns.iter().zip(&key.parent_columns);
        let pairs: Vec<String> = pairs
            .map(|(own, parent)| format!("p.{} = c.{}", quote(parent), quote(own)))
            .collect();
        let sql = format!(
            "SELECT 1 FROM {} AS c WHERE {} AND NOT EXISTS (SELECT 1 FROM {} AS p WHERE \
             {}) LIMIT 1",
            quote(&child.name),
            tests.join(" AND "),
            quote(&key.parent),
            pairs.join(" AND ")
        );
        let found = self
            .connection
            .prepare_cached(&sql)
            .and_then(|mut statement| {
                statement
                    .query_row(params_from_iter(values), |_| Ok(()))
                    .optional()
            })
            .translated(schema)?;
        if found.is_some() {
            return Err(SqlError::new(
                state::FOREIGN_KEY_VIOLATION,
                format!(
                    "insert or update on table \"{}\" violates foreign key constraint \"{}\"",
                    child.name, key.name
                ),
            )
            .with_detail(format!("A row of table \"{}\" has no parent.", child.name)));
        }
        Ok(())
    }
}

/// A row before or after a change, as far as the change tells.
type Side<'c> = Vec<Option<&'c Value>>;

fn sides(change: &Change) -> (Side<'_>, Side<'_>) {
    match change {
        Change::Insert { row, .. } => (Vec::new(), row.iter().map(Some).collect()),
        Change::Delete { row, .. } => (row.iter().map(Some).collect(), Vec::new()),
        Change::Update { before, after, .. } => {
            let old: Side<'_> = before.iter().map(Option::as_ref).collect();
            // What has not changed is as before, where that is told.
            let new = after
                .iter()
                .zip(before)
                .map(|(new, old)| new.as_ref().or(old.as_ref()));
            let new = new.collect();
            (old, new)
        }
        Change::Schema(_) | Change::Touch { .. } | Change::Postgres(_) => (Vec::new(), Vec::new()),
    }
}

/// How much a change tells of some columns.
enum Told<'c> {
    All(Vec<&'c Value>),
    Some,
    Nothing,
}

fn values<'c>(table: &Table, columns: &[String], side: &Side<'c>) -> Told<'c> {
    let told: Vec<Option<&Value>> = columns
        .iter()
        .map(|name| {
            let at = stored_columns(table).position(|column| column.name == *name)?;
            side.get(at).copied().flatten()
        })
        .collect();
    if told.iter().all(Option::is_none) {
        return Told::Nothing;
    }
    let all: Option<Vec<&Value>> = told.into_iter().collect();
    all.map_or(Told::Some, Told::All)
}
