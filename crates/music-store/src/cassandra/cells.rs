//! The state store's side of a node: records as partitions.
//!
//! ```text
//! cells_N:  key -> deleted (static)  | field -> value    each with its stamp
//!                                                        as timestamp
//! ```
//!
//! What the port needs to know, deletions included, are live cells: a field
//! that was deleted is a value of another kind, and `deleted` holds the stamp
//! of the last deletion of the whole key. So nothing rests on a tombstone, and
//! `gc_grace_seconds` and a repair that came too late bring nothing back: a
//! value that `deleted` covers is left out wherever it comes from.
//!
//! A deletion of a key at stamp `s` also deletes the partition at `s - 1`, to
//! free its space. (At `s` it would delete the cell that tells of it.)

use std::collections::BTreeSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use music_core::id::{Key, RecordId, TableId};
use music_core::record::Record;
use scylla::errors::{NextRowError, PagerExecutionError};
use scylla::value::CqlValue;

use super::codec::{self, CellRow};
use super::failure::Failure;
use super::session::{Access, Cql, unexpected};
use crate::error::Needed;
use crate::{Level, ScanRange};

/// How many keys of a page of a scan are read at once.
const PAGE_ROWS: i32 = 1_000;
/// How many keys a scan notes in one pass, beside those that it must return:
/// some may be of records that do not exist.
const SPARE_KEYS: usize = 1_000;
/// How many records a scan reads at a time.
const READS_MAX: usize = 16;

/// The name of a table's CQL table.
pub(super) fn name(cql: &Cql, table: TableId) -> String {
    format!("{}.cells_{}", cql.keyspace(), table.0)
}

/// Writes a change: one mutation, so all of it or nothing at each replica.
pub(super) async fn write(
    cql: &Cql,
    id: &RecordId,
    change: &Record,
    level: Level,
) -> Result<(), Failure> {
    let writes = writes(&name(cql, id.table), &id.key, change);
    if writes.is_empty() {
        return Ok(());
    }
    cql.write(writes, level).await
}

/// The statements of a change, with what is bound to them.
fn writes(table: &str, key: &Key, change: &Record) -> Vec<(String, Vec<CqlValue>)> {
    let key = || CqlValue::Blob(key.as_bytes().to_vec());
    let mut writes = Vec::new();
    if let Some(deleted) = change.deleted().map(codec::timestamp) {
        if let Some(before) = deleted.checked_sub(1).filter(|before| *before >= 0) {
            writes.push((
                format!("DELETE FROM {table} USING TIMESTAMP ? WHERE key = ?"),
                vec![CqlValue::BigInt(before), key()],
            ));
        }
        writes.push((
            format!("UPDATE {table} USING TIMESTAMP ? SET deleted = ? WHERE key = ?"),
            vec![CqlValue::BigInt(deleted), CqlValue::BigInt(deleted), key()],
        ));
    }
    for (field, cell) in change.cells() {
        writes.push((
            format!("UPDATE {table} USING TIMESTAMP ? SET value = ? WHERE key = ? AND field = ?"),
            vec![
                CqlValue::BigInt(codec::timestamp(cell.stamp)),
                CqlValue::Blob(codec::encode_value(cell.value.as_ref())),
                key(),
                CqlValue::Text(field.as_str().to_owned()),
            ],
        ));
    }
    writes
}

/// Reads a whole record: a read of the whole partition, so that its repair is
/// of the whole record too.
pub(super) async fn read(cql: &Cql, id: &RecordId, level: Level) -> Result<Record, Failure> {
    let text = format!(
        "SELECT field, value, WRITETIME(value), deleted FROM {} WHERE key = ?",
        name(cql, id.table)
    );
    let bound = (id.key.as_bytes(),);
    let rows: Vec<CellRow> = cql.rows(text, Access::Plain(level), bound).await?;
    Ok(codec::decode_record(rows)?)
}

/// The records of a range that exist at the local replica.
///
/// Cassandra does not keep keys in order. So a pass goes over the keys of the
/// table, not their values, and notes the lowest; then those are read.
pub(super) async fn scan(cql: &Cql, range: &ScanRange) -> Result<Vec<(Key, Record)>, Failure> {
    let mut found = Vec::new();
    let mut after = range.after.clone();
    while found.len() < range.limit {
        let wanted = range.limit.saturating_add(SPARE_KEYS);
        let keys = lowest_keys(cql, range, after.as_ref(), wanted).await?;
        let is_last = keys.len() < wanted;
        after = keys.last().cloned();
        let reads = stream::iter(keys).map(|key| read_one(cql, range.table, key));
        let mut records = reads.buffered(READS_MAX);
        while let Some((key, record)) = records.try_next().await? {
            if record.exists() {
                found.push((key, record));
            }
            if found.len() >= range.limit {
                break;
            }
        }
        if is_last {
            break;
        }
    }
    Ok(found)
}

async fn read_one(cql: &Cql, table: TableId, key: Key) -> Result<(Key, Record), Failure> {
    let id = RecordId { table, key };
    let record = read(cql, &id, Level::Local).await?;
    Ok((id.key, record))
}

/// The lowest keys of a range, no more than `wanted`.
async fn lowest_keys(
    cql: &Cql,
    range: &ScanRange,
    after: Option<&Key>,
    wanted: usize,
) -> Result<BTreeSet<Key>, Failure> {
    let text = format!("SELECT DISTINCT key FROM {}", name(cql, range.table));
    let statement = cql
        .statement(text, Access::Plain(Level::Local))
        .with_page_size(PAGE_ROWS);
    let pager = cql.caching().execute_iter(statement, ()).await;
    let pager = pager.map_err(failed)?;
    let mut rows = pager.rows_stream::<(Vec<u8>,)>().map_err(unexpected)?;
    let mut lowest = BTreeSet::new();
    while let Some((key,)) = rows.try_next().await.map_err(|error| match error {
        NextRowError::NextPageError(error) => failed(PagerExecutionError::NextPageError(error)),
        error => unexpected(error),
    })? {
        let Ok(key) = Key::new(key) else {
            continue;
        };
        if !key.as_bytes().starts_with(&range.prefix) || after.is_some_and(|after| key <= *after) {
            continue;
        }
        lowest.insert(key);
        if lowest.len() > wanted {
            lowest.pop_last();
        }
    }
    Ok(lowest)
}

/// What it means that a page did not come.
fn failed(error: PagerExecutionError) -> Failure {
    use scylla::errors::{ExecutionError, NextPageError, RequestError};
    let error = match error {
        PagerExecutionError::PrepareError(error) => ExecutionError::PrepareError(error),
        PagerExecutionError::NextPageError(NextPageError::RequestFailure(error)) => match error {
            RequestError::EmptyPlan => ExecutionError::EmptyPlan,
            RequestError::ConnectionPoolError(error) => ExecutionError::ConnectionPoolError(error),
            RequestError::RequestTimeout(time) => ExecutionError::RequestTimeout(time),
            RequestError::LastAttemptError(error) => ExecutionError::LastAttemptError(error),
            _ => return Failure::TimedOut,
        },
        error => return unexpected(error),
    };
    Failure::new(error, Needed::Local)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use music_core::id::Field;
    use music_core::stamp::Stamp;

    use super::*;

    #[test]
    fn a_deletion_leaves_its_stamp_beside_the_tombstone() {
        let key = Key::new("key").unwrap();
        let timestamps = |stamp: u64| {
            let writes = writes("t", &key, &Record::deletion(Stamp::counter(stamp)));
            let first = |bound: &[CqlValue]| bound[0].as_bigint().unwrap();
            let of = |(text, bound): &(String, Vec<CqlValue>)| (text[..6].to_owned(), first(bound));
            writes.iter().map(of).collect::<Vec<_>>()
        };
        let delete = ("DELETE".to_owned(), 6);
        assert_eq!(timestamps(7), [delete, ("UPDATE".to_owned(), 7)]);
        // The first stamp has nothing before it.
        assert_eq!(timestamps(0), [("UPDATE".to_owned(), 0)]);
    }

    #[test]
    fn a_put_is_one_statement_a_field() {
        let key = Key::new("key").unwrap();
        let fields = [
            (Field::DEFAULT, Some(Bytes::from("x"))),
            (Field::new("a").unwrap(), None),
        ];
        let change = Record::write(Stamp::counter(3), fields);
        assert_eq!(writes("t", &key, &change).len(), 2);
        assert!(writes("t", &key, &Record::empty()).is_empty());
    }
}
