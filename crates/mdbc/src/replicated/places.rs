//! What of a database is in which log.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::schema::{Schema, Table, TableKind};
use crate::engine::{Access, Change, Digest};
use crate::error::{Result, SqlError};
use crate::partition::Partition;
use crate::ranges::Key;
use crate::types::Value;

/// The partition of the schema. No table has such a name.
pub const SCHEMA: &str = "mdbc_schema";

pub(super) fn schema() -> Result<Partition> {
    Partition::of_table(SCHEMA).map_err(SqlError::refused)
}

/// The partitions of a table: those of some of its ranges, or all.
fn table(table: &Table, numbers: Option<&BTreeSet<u32>>) -> Result<BTreeSet<Partition>> {
    let partitions = table.owned.partitions(&table.name, numbers);
    partitions.map_err(SqlError::refused)
}

/// The partitions of all strong tables, and of the schema.
pub(super) fn all(schema: &Schema) -> Result<BTreeSet<Partition>> {
    let mut partitions = BTreeSet::from([self::schema()?]);
    for strong in schema.tables().filter(|table| is_strong(table)) {
        partitions.extend(table(strong, None)?);
    }
    Ok(partitions)
}

fn is_strong(table: &Table) -> bool {
    table.kind == TableKind::Strong
}

/// The partitions that a statement reads, and those that it writes.
pub(super) fn touched(
    schema: &Schema,
    access: &Access,
) -> Result<(BTreeSet<Partition>, BTreeSet<Partition>)> {
    let of = |names: &BTreeSet<String>, is_write: bool| -> Result<BTreeSet<Partition>> {
        let mut partitions = BTreeSet::new();
        // A table that is not there is being made, by a change of the schema
        // that has named its partitions.
        for own in names.iter().filter_map(|name| schema.table(name)) {
            let ranges = access.ranges.get(&own.name);
            let numbers = ranges.map(|ranges| match is_write {
                true => &ranges.writes,
                false => &ranges.reads,
            });
            if is_strong(own) || access.is_schema {
                partitions.extend(table(own, numbers)?);
            }
        }
        Ok(partitions)
    };
    let (reads, mut writes) = (of(&access.reads, false)?, of(&access.writes, true)?);
    writes.extend(access.partitions.iter().cloned());
    if access.is_schema {
        writes.insert(self::schema()?);
    }
    Ok((reads, writes))
}

/// Makes sure that each row that has changed is in a partition that is owned for
/// writing: what is told of statements must hold of what they did.
pub(super) fn check_owned(
    schema: &Schema,
    digest: &Digest,
    owned: &BTreeSet<Partition>,
) -> Result<()> {
    let changes_schema = digest
        .changes
        .iter()
        .any(|change| matches!(change, Change::Schema(_)));
    let by_oid: BTreeMap<u32, &Table> = schema
        .tables()
        .map(|table| (table.oid, table.as_ref()))
        .collect();
    let mut is_whole: BTreeMap<u32, bool> = BTreeMap::new();
    for change in &digest.changes {
        let Some(oid) = change.table() else { continue };
        let Some(own) = by_oid.get(&oid) else {
            // One that the transaction has made.
            if changes_schema {
                continue;
            }
            return Err(not_owned("a table that is not there"));
        };
        let whole = match is_whole.get(&oid) {
            Some(whole) => *whole,
            None => {
                let whole = table(own, None)?.is_subset(owned);
                is_whole.insert(oid, whole);
                whole
            }
        };
        if !whole && !is_row_owned(own, change, owned)? {
            return Err(not_owned(&format!("a row of table \"{}\"", own.name)));
        }
    }
    Ok(())
}

fn is_row_owned(own: &Table, change: &Change, owned: &BTreeSet<Partition>) -> Result<bool> {
    let (Some(ranges), Some(column)) = (&own.owned.ranges, own.range_column()) else {
        return Ok(false);
    };
    let mut stored = crate::dialect::stored_columns(own);
    let Some(at) = stored.position(|other| other.number == column.number) else {
        return Ok(false);
    };
    let mut numbers = BTreeSet::new();
    for value in values_at(change, at) {
        match Key::of(value) {
            Some(key) => numbers.insert(ranges.number(&key)),
            None => return Ok(false),
        };
    }
    Ok(!numbers.is_empty() && table(own, Some(&numbers))?.is_subset(owned))
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
        Change::Schema(_) | Change::Touch { .. } => Vec::new(),
    }
}

fn not_owned(what: &str) -> SqlError {
    SqlError::internal(format!(
        "the transaction has changed {what} that it does not own"
    ))
    .with_hint("The transaction had no effect. Please report the statements that it consists of.")
}
