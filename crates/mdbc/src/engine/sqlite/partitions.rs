//! The partitions that tables are, and their ranges and groups.

use std::collections::{BTreeMap, BTreeSet};

use super::Database;
use crate::catalog::schema::{Table, TableKind};
use crate::dialect::stored_columns;
use crate::engine::Access;
use crate::engine::digest::{Change, Digest};
use crate::error::{Result, SqlError};
use crate::partition::Partition;
use crate::ranges::Key;
use crate::types::Value;

impl Database {
    /// The partitions of all strong tables.
    pub(crate) fn partitions(&self) -> Result<BTreeSet<Partition>> {
        let mut partitions = BTreeSet::new();
        let schema = self.schema();
        for strong in schema.tables().filter(|table| is_strong(table)) {
            partitions.extend(of_table(strong, None)?);
        }
        Ok(partitions)
    }

    /// The partitions that a statement reads, and those that it writes.
    pub(crate) fn touched(
        &self,
        access: &Access,
    ) -> Result<(BTreeSet<Partition>, BTreeSet<Partition>)> {
        let schema = self.schema();
        let of = |names: &BTreeSet<String>, is_write: bool| -> Result<BTreeSet<Partition>> {
            let mut partitions = BTreeSet::new();
            // A table that is not there is being made, by a change of the schema
            // that has named its partitions.
            for table in names.iter().filter_map(|name| schema.table(name)) {
                let ranges = access.ranges.get(&table.name);
                let numbers = ranges.map(|ranges| {
                    if is_write {
                        &ranges.writes
                    } else {
                        &ranges.reads
                    }
                });
                if is_strong(table) || access.is_schema {
                    partitions.extend(of_table(table, numbers)?);
                }
            }
            Ok(partitions)
        };
        let (reads, mut writes) = (of(&access.reads, false)?, of(&access.writes, true)?);
        writes.extend(access.partitions.iter().cloned());
        Ok((reads, writes))
    }

    /// Makes sure that each row that has changed is in a partition that is owned
    /// for writing: what is told of statements must hold of what they did.
    pub(crate) fn check_owned(&self, digest: &Digest, owned: &BTreeSet<Partition>) -> Result<()> {
        let schema = self.schema();
        let tables = schema.tables().map(|table| (table.oid, table.as_ref()));
        let tables: BTreeMap<u32, &Table> = tables.collect();
        let is_schema = |change: &Change| matches!(change, Change::Schema(_));
        let changes_schema = digest.changes.iter().any(is_schema);
        let mut whole: BTreeMap<u32, bool> = BTreeMap::new();
        for change in &digest.changes {
            let Some(oid) = change.table() else { continue };
            let Some(table) = tables.get(&oid) else {
                // One that the transaction has made.
                if changes_schema {
                    continue;
                }
                return Err(not_owned("a table that is not there"));
            };
            let is_whole = match whole.get(&oid) {
                Some(is_whole) => *is_whole,
                None => of_table(table, None)?.is_subset(owned),
            };
            whole.insert(oid, is_whole);
            if !is_whole && !is_row_owned(table, change, owned)? {
                return Err(not_owned(&format!("a row of table \"{}\"", table.name)));
            }
        }
        Ok(())
    }
}

fn is_strong(table: &Table) -> bool {
    table.kind == TableKind::Strong
}

/// The partitions of a table: those of some of its ranges, or all.
fn of_table(table: &Table, numbers: Option<&BTreeSet<u32>>) -> Result<BTreeSet<Partition>> {
    let partitions = table.owned.partitions(&table.name, numbers);
    partitions.map_err(SqlError::refused)
}

fn is_row_owned(table: &Table, change: &Change, owned: &BTreeSet<Partition>) -> Result<bool> {
    match numbers(table, change) {
        Some(numbers) => Ok(of_table(table, Some(&numbers))?.is_subset(owned)),
        None => Ok(false),
    }
}

/// The ranges in which a row is, before and after a change; none where the
/// table has none, or that cannot be told.
fn numbers(table: &Table, change: &Change) -> Option<BTreeSet<u32>> {
    let ranges = table.owned.ranges.as_ref()?;
    let at = stored_columns(table).position(|column| column.number == ranges.column)?;
    let keys = values_at(change, at).into_iter().map(Key::of);
    let numbers: Option<BTreeSet<u32>> = keys.map(|key| Some(ranges.number(&key?))).collect();
    numbers.filter(|numbers| !numbers.is_empty())
}

/// The values of a column in a row, before and after the change.
fn values_at(change: &Change, at: usize) -> Vec<Value> {
    let some = |values: &[Option<Value>]| values.get(at).cloned().flatten();
    match change {
        Change::Insert { row, .. } | Change::Delete { row, .. } => {
            row.get(at).cloned().into_iter().collect()
        }
        Change::Update { before, after, .. } => {
            some(before).into_iter().chain(some(after)).collect()
        }
        Change::Schema(_) | Change::Touch { .. } | Change::Postgres(_) => Vec::new(),
    }
}

fn not_owned(what: &str) -> SqlError {
    SqlError::internal(format!(
        "the transaction has changed {what} that it does not own"
    ))
    .with_hint("The transaction had no effect. Please report the statements that it consists of.")
}
