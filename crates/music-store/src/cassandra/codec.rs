//! What the columns hold, as bytes.
//!
//! A value of a cell is one blob: a kind byte, then the bytes that were put.
//! Cassandra lets the larger blob win between equal timestamps, so a deletion,
//! the higher kind, wins over every value, and among values the larger one:
//! the rule of [`Record::merge`].
//!
//! ```text
//! cell    0 | value          a value          1          a deletion
//! state   1 | postcard(attempts, value)
//! ```

use std::collections::VecDeque;

use bytes::Bytes;
use music_core::lock_ref::{Holding, Incarnation, LockRef};
use music_core::record::{Cell, Record};
use music_core::stamp::Stamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The kind of a cell that has a value.
const VALUE: u8 = 0;
/// The kind of a cell that was deleted.
const DELETED: u8 = 1;
/// The form of a state that this code writes, and the highest that it reads.
const STATE_VERSION: u8 = 1;
/// How many attempts a register remembers, the latest first.
pub(super) const ATTEMPTS_KEPT: usize = 32;
/// Where the lockRef begins in a release as a number.
const INCARNATION_BITS: u32 = 8;

/// Bytes or numbers that this code does not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("a cell in Cassandra has the unknown kind {0}")]
    Kind(u8),
    #[error("a register in Cassandra has the unknown version {0}: it was written by a newer MUSIC")]
    Version(u8),
    #[error("a row in Cassandra is damaged, or was not written by MUSIC")]
    Damaged,
}

/// A cell's value as a blob.
pub(super) fn encode_value(value: Option<&Bytes>) -> Vec<u8> {
    let Some(value) = value else {
        return vec![DELETED];
    };
    let mut blob = Vec::with_capacity(value.len().saturating_add(1));
    blob.push(VALUE);
    blob.extend_from_slice(value);
    blob
}

/// The value of a blob, which it shares.
pub(super) fn decode_value(blob: &Bytes) -> Result<Option<Bytes>, DecodeError> {
    match blob.split_first() {
        Some((&VALUE, _)) => Ok(Some(blob.slice(1..))),
        Some((&DELETED, [])) => Ok(None),
        Some((&DELETED, _)) | None => Err(DecodeError::Damaged),
        Some((kind, _)) => Err(DecodeError::Kind(*kind)),
    }
}

/// A stamp as a timestamp: 63 bits fit.
pub(super) fn timestamp(stamp: Stamp) -> i64 {
    i64::try_from(stamp.get()).unwrap_or(i64::MAX)
}

/// The stamp of a timestamp.
pub(super) fn stamp(timestamp: i64) -> Result<Stamp, DecodeError> {
    let number = u64::try_from(timestamp).ok();
    number
        .and_then(Stamp::from_number)
        .ok_or(DecodeError::Damaged)
}

/// One row of a key's partition: field, blob and timestamp, each null where
/// the partition has no row, and the stamp of the last deletion of the key.
pub(super) type CellRow = (Option<String>, Option<Bytes>, Option<i64>, Option<i64>);

/// The record of a partition's rows.
pub(super) fn decode_record(rows: Vec<CellRow>) -> Result<Record, DecodeError> {
    let mut deleted = None;
    let mut cells = Vec::with_capacity(rows.len());
    for (field, blob, written, key_deleted) in rows {
        deleted = deleted.max(key_deleted.map(stamp).transpose()?);
        let (Some(field), Some(blob), Some(written)) = (field, blob, written) else {
            continue;
        };
        let field = music_core::id::Field::new(field);
        let field = field.ok().ok_or(DecodeError::Damaged)?;
        let (stamp, value) = (stamp(written)?, decode_value(&blob)?);
        cells.push((field, Cell { stamp, value }));
    }
    Ok(Record::from_cells(deleted, cells))
}

/// A release as a number, in the order of releases; never 0.
pub(super) fn encode_release(holding: Holding) -> i64 {
    let lock_ref = i64::try_from(holding.lock_ref.get()).unwrap_or(i64::MAX);
    (lock_ref << INCARNATION_BITS) | i64::from(holding.incarnation.0)
}

/// The release of a number; nothing was released where there is none.
pub(super) fn decode_release(number: Option<i64>) -> Result<Holding, DecodeError> {
    let Some(number) = number else {
        return Ok(Holding::default());
    };
    let number = u64::try_from(number).ok().ok_or(DecodeError::Damaged)?;
    let lock_ref = LockRef::new(number >> INCARNATION_BITS).ok_or(DecodeError::Damaged)?;
    let [incarnation, ..] = number.to_le_bytes();
    Ok(Holding {
        lock_ref,
        incarnation: Incarnation(incarnation),
    })
}

/// What a register's `state` column holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State<T> {
    /// The names of the attempts that made the last versions, latest first.
    pub(super) attempts: VecDeque<u64>,
    /// The value.
    pub(super) value: T,
}

/// A state as bytes.
pub(super) fn encode_state<T: Serialize>(state: &State<T>) -> Vec<u8> {
    // Postcard fails on a sequence of unknown length only; there is none here.
    postcard::to_extend(state, vec![STATE_VERSION]).unwrap_or_default()
}

/// The state of these bytes.
pub(super) fn decode_state<T: DeserializeOwned>(bytes: &[u8]) -> Result<State<T>, DecodeError> {
    let (version, rest) = bytes.split_first().ok_or(DecodeError::Damaged)?;
    if *version != STATE_VERSION {
        return Err(DecodeError::Version(*version));
    }
    match postcard::take_from_bytes(rest) {
        Ok((state, [])) => Ok(state),
        Ok(_) | Err(_) => Err(DecodeError::Damaged),
    }
}

#[cfg(test)]
mod tests;
