//! Rows of eventual tables: what a transaction has left of them, and what of
//! another site's prevails here.

use std::collections::BTreeSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::error::Translated;
use super::functions::value_of;
use super::lane::Held;
use super::{conflicts, mail, stamps, store};
use crate::catalog::schema::{Column, Schema, Table, TableKind};
use crate::dialect::parse::quote;
use crate::dialect::stored_columns;
use crate::engine::digest::Change;
use crate::engine::{Notes, Row, Rows, Stamped};
use crate::error::{Result, SqlError, state};
use crate::outbox::Stamp;
use crate::types::Value;

/// What columns hold that were added after a row was written elsewhere.
pub(super) const TABLES: &str = "
CREATE TABLE mdbc_missing (relation INTEGER NOT NULL, number INTEGER NOT NULL, value ANY,
    PRIMARY KEY (relation, number)) STRICT, WITHOUT ROWID;
";

/// The name in [`store`] of the number of the last letter.
const LAST_LETTER: &str = "last_letter";

impl Held {
    /// What a transaction has left of the rows that it touched.
    pub(super) fn rows_of(&self, touched: Vec<Change>) -> Result<Rows> {
        if touched.is_empty() {
            return Ok(Rows::default());
        }
        let schema = Arc::clone(&self.context.lock().schema);
        let seen = mail::received(&self.connection)?;
        let mut rows = Rows {
            schema: schema.version,
            seen,
            rows: Vec::new(),
        };
        let mut known = BTreeSet::new();
        for change in touched {
            let Change::Touch { table: oid, key } = change else {
                continue;
            };
            // It may be dropped since.
            let Some(table) = eventual(&schema, oid) else {
                continue;
            };
            let name = stamps::name(table, &key)?;
            if !known.insert((oid, name.clone())) {
                continue;
            }
            let over = stamps::get(&self.connection, oid, &name)?.map(|version| version.stamp);
            let values = read(&self.connection, table, &key)?;
            if values.is_none() && over.is_none() {
                // It came and went.
                continue;
            }
            let numbers = stored_columns(table).map(|column| column.number);
            let values = values.map(|values| numbers.zip(values).collect());
            rows.rows.push(Row {
                table: oid,
                key,
                values,
                over,
            });
        }
        Ok(rows)
    }

    /// Keeps, beside rows that this site has written, their stamps, and the
    /// letter that tells of them.
    pub(super) fn keep_rows(&self, notes: &Notes) -> Result<()> {
        let connection = &self.connection;
        let Some(stamped) = &notes.rows else {
            return Ok(());
        };
        let mut stamped = stamped.clone();
        if let Some(letter) = &notes.letter {
            stamped.sequence = keep_letter(connection, &stamped.stamp, letter)?;
        }
        let schema = Arc::clone(&self.context.lock().schema);
        for row in &stamped.rows.rows {
            let Some(table) = eventual(&schema, row.table) else {
                continue;
            };
            let name = stamps::name(table, &row.key)?;
            let place = (row.table, name.as_slice());
            stamps::put(
                connection,
                place,
                &stamped.version(row),
                row.values.is_none(),
            )?;
        }
        stamps::see(connection, stamped.stamp.at_us)
    }

    /// Makes of rows what a transaction of this site has made of them, whose local
    /// transaction was rolled back, and keeps the letter that tells of them.
    pub(super) fn redo_letter(
        &mut self,
        rows: &Stamped,
        letter: &[u8],
        schema: &Schema,
    ) -> Result<()> {
        self.connection.execute_batch("BEGIN IMMEDIATE").plain()?;
        let redo = || {
            let mut stamped = rows.clone();
            stamped.sequence = keep_letter(&self.connection, &stamped.stamp, letter)?;
            self.take_rows(&stamped, schema)
        };
        self.end(redo())
    }

    /// Takes what other sites have made of rows, where it prevails. Rows that
    /// were written under a later schema than this one wait for it.
    pub(super) fn take_rows(&self, stamped: &Stamped, schema: &Schema) -> Result<()> {
        if stamped.rows.schema > schema.version {
            return mail::wait(&self.connection, stamped);
        }
        for row in &stamped.rows.rows {
            // A table that is not there now is dropped.
            if let Some(table) = eventual(schema, row.table) {
                self.take_row(table, row, stamped)?;
            }
        }
        stamps::see(&self.connection, stamped.stamp.at_us)
    }

    fn take_row(&self, table: &Table, row: &Row, stamped: &Stamped) -> Result<()> {
        let connection = &self.connection;
        let name = stamps::name(table, &row.key)?;
        let version = stamped.version(row);
        let stored = stamps::get(connection, table.oid, &name)?;
        if stored
            .as_ref()
            .is_some_and(|stored| stored.stamp == version.stamp)
        {
            return Ok(());
        }
        let come = values_of(connection, table, row)?;
        let here = read(connection, table, &row.key)?;
        let is_later = stored
            .as_ref()
            .is_none_or(|stored| version.stamp > stored.stamp);
        if let Some(stored) = &stored
            && come != here
            && version.is_in_conflict_with(stored)
        {
            let lost = if is_later { &here } else { &come };
            let (lost_version, kept) = if is_later {
                (stored, &version)
            } else {
                (&version, stored)
            };
            conflicts::note(
                connection,
                (table, &row.key),
                lost.as_deref(),
                (lost_version, kept),
            )?;
        }
        if is_later {
            write(connection, table, &row.key, come.as_deref())
                .map_err(|error| refused(table, stamped, error))?;
            stamps::put(connection, (table.oid, &name), &version, come.is_none())?;
        }
        Ok(())
    }
}

/// Keeps a letter of this site under its number.
fn keep_letter(connection: &Connection, stamp: &Stamp, letter: &[u8]) -> Result<u64> {
    let sequence = last_letter(connection)?.saturating_add(1);
    mail::keep(connection, (sequence, stamp), letter)?;
    store::set(connection, LAST_LETTER, stamps::signed(sequence))?;
    Ok(sequence)
}

/// The number of the last letter that this site has written; 0 before the first.
pub(super) fn last_letter(connection: &Connection) -> Result<u64> {
    Ok(store::get(connection, LAST_LETTER)?.map_or(0, stamps::unsigned))
}

/// Makes this the number of the last letter that this site has written.
pub(super) fn set_last_letter(connection: &Connection, number: u64) -> Result<()> {
    store::set(connection, LAST_LETTER, stamps::signed(number))
}

fn eventual(schema: &Schema, oid: u32) -> Option<&Arc<Table>> {
    let mut tables = schema.tables();
    tables.find(|table| table.oid == oid && table.kind == TableKind::Eventual)
}

fn refused(table: &Table, stamped: &Stamped, error: SqlError) -> SqlError {
    let Stamped {
        stamp, sequence, ..
    } = stamped;
    if !error.state.code().starts_with("23") {
        return error;
    }
    SqlError::new(
        state::DATA_CORRUPTED,
        format!(
            "a row of table {} in letter {sequence} of site {} does not apply here: {}",
            table.name, stamp.site, error.message
        ),
    )
    .with_hint("The schemas of the sites differ. Restore the local database from another site.")
}

fn key_test(table: &Table) -> String {
    let tests: Vec<String> = table
        .key()
        .iter()
        .map(|name| format!("{} = ?", quote(name)))
        .collect();
    tests.join(" AND ")
}

fn column_list(table: &Table) -> String {
    let columns: Vec<String> = stored_columns(table)
        .map(|column| quote(&column.name))
        .collect();
    columns.join(", ")
}

/// The values of a row, but for generated columns.
fn read(connection: &Connection, table: &Table, key: &[Value]) -> Result<Option<Vec<Value>>> {
    let sql = format!(
        "SELECT {} FROM main.{} WHERE {}",
        column_list(table),
        quote(&table.name),
        key_test(table)
    );
    let mut statement = connection.prepare_cached(&sql).plain()?;
    let mut rows = statement.query(params_from_iter(key)).plain()?;
    let Some(row) = rows.next().plain()? else {
        return Ok(None);
    };
    let columns = 0..stored_columns(table).count();
    let values: Result<Vec<Value>> = columns
        .map(|at| value_of(row.get_ref(at).plain()?))
        .collect();
    values.map(Some)
}

/// The values that a row of another site has in the columns of this schema.
fn values_of(connection: &Connection, table: &Table, row: &Row) -> Result<Option<Vec<Value>>> {
    let Some(given) = &row.values else {
        return Ok(None);
    };
    let value = |column: &Column| match given.iter().find(|(number, _)| *number == column.number) {
        Some((_, value)) => Ok(value.clone()),
        None => missing(connection, table.oid, column.number),
    };
    let values: Result<Vec<Value>> = stored_columns(table).map(value).collect();
    values.map(Some)
}

/// What a column holds that was added after the row was written: what rows
/// that were there got then.
fn missing(connection: &Connection, relation: u32, number: i16) -> Result<Value> {
    let found = connection
        .prepare_cached("SELECT value FROM mdbc_missing WHERE relation = ?1 AND number = ?2")
        .plain()?
        .query_row(params![relation, number], |row| {
            Ok(value_of(row.get_ref(0)?))
        })
        .optional()
        .plain()?;
    found.unwrap_or(Ok(Value::Null))
}

fn write(
    connection: &Connection,
    table: &Table,
    key: &[Value],
    values: Option<&[Value]>,
) -> Result<()> {
    let name = quote(&table.name);
    let (sql, values) = match values {
        Some(values) => {
            let marks = vec!["?"; values.len()].join(", ");
            let columns = column_list(table);
            (
                format!("INSERT OR REPLACE INTO main.{name} ({columns}) VALUES ({marks})"),
                values,
            )
        }
        None => (
            format!("DELETE FROM main.{name} WHERE {}", key_test(table)),
            key,
        ),
    };
    connection
        .prepare_cached(&sql)
        .and_then(|mut statement| statement.execute(params_from_iter(values)))
        .plain()
        .map(drop)
}
