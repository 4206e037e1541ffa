//! What eventual tables cannot have: constraints that look beyond a row, and
//! changes of the schema that rows on their way from other sites may not fit.
//!
//! `NOT NULL` and checks are of one row, and hold at every site if all rows were
//! written under them: so they come with the table alone.

use crate::catalog::schema::{Column, Table, TableKind};
use crate::error::{Result, SqlError};
use crate::types::Class;

/// Refuses something, by its name, on an eventual table.
pub(super) fn refuse(table: &Table, what: &str, why: &str) -> Result<()> {
    if table.kind != TableKind::Eventual {
        return Ok(());
    }
    Err(
        SqlError::refused(format!("{what} on the eventual table \"{}\"", table.name))
            .with_detail(why),
    )
}

/// Why a constraint over several rows is refused.
pub(super) const BEYOND_A_ROW: &str =
    "It would hold at one site alone: others write at the same time.";
/// Why a new condition on rows is refused.
pub(super) const ON_THE_WAY: &str = "Rows on their way from other sites were written without it.";

/// Refuses keys whose equal values look different.
pub(super) fn check_key(table: &Table) -> Result<()> {
    let mut columns = table.key().iter().filter_map(|name| table.column(name));
    if columns.any(|column| column.ty.class() == Class::Interval) {
        return refuse(
            table,
            "a primary key of the type interval",
            "Equal intervals have several forms.",
        );
    }
    Ok(())
}

/// Refuses a new column that rows written without it cannot have.
pub(super) fn check_column(table: &Table, column: &Column) -> Result<()> {
    if column.identity.is_some() || column.is_not_null && column.default.is_none() {
        return refuse(
            table,
            "ADD COLUMN of one that needs a value in each row",
            ON_THE_WAY,
        );
    }
    Ok(())
}
