//! How records and acceptors lie on disk.
//!
//! A version byte, then postcard. A record's values follow its header as they
//! are, so that reading a record copies no value:
//!
//! ```text
//! 1 | postcard(deleted, [(field, stamp, length or none)]) | value | value | …
//! ```
//!
//! The bytes of equal records are equal. Checksums are the store's business.

use bytes::{BufMut, Bytes, BytesMut};
use music_core::id::{Field, Key, RecordId, ReplicaId, TableId};
use music_core::record::{Cell, Record};
use music_core::replica::acceptor::Acceptor;
use music_core::stamp::Stamp;
use serde::{Deserialize, Serialize};

/// What this code writes, and the highest that it reads.
const VERSION: u8 = 1;

/// The bytes before a key: replica and table.
const KEY_HEADER: usize = 9;

/// Bytes on disk that are not what this code writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("a value on disk is cut short")]
    Short,
    #[error("a value on disk has the unknown version {0}")]
    Version(u8),
    #[error("a value on disk is damaged")]
    Damaged,
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    deleted: Option<Stamp>,
    #[serde(borrow)]
    cells: Vec<(&'a str, Stamp, Option<u32>)>,
}

/// A record as bytes.
pub(super) fn encode_record(record: &Record) -> Bytes {
    let length = |value: &Bytes| u32::try_from(value.len()).unwrap_or(u32::MAX);
    let cells: Vec<_> = record
        .cells()
        .map(|(field, cell)| (field.as_str(), cell.stamp, cell.value.as_ref().map(length)))
        .collect();
    let values = || record.cells().filter_map(|(_, cell)| cell.value.as_ref());
    let value_bytes: usize = values().map(Bytes::len).sum();
    let header = encode(&Header {
        deleted: record.deleted(),
        cells,
    });
    let mut bytes = BytesMut::with_capacity(header.len().saturating_add(value_bytes));
    bytes.put_slice(&header);
    for value in values() {
        bytes.put_slice(value);
    }
    bytes.freeze()
}

/// The record of these bytes; its values share them.
pub(super) fn decode_record(bytes: &Bytes) -> Result<Record, DecodeError> {
    let (header, values) = split::<Header<'_>>(bytes)?;
    let mut at = bytes.len().saturating_sub(values.len());
    let mut cells = Vec::with_capacity(header.cells.len());
    for (field, stamp, length) in header.cells {
        let field = Field::new(field).ok().ok_or(DecodeError::Damaged)?;
        let value = match length {
            None => None,
            Some(length) => {
                let end = usize::try_from(length)
                    .ok()
                    .and_then(|length| at.checked_add(length));
                let end = end
                    .filter(|end| *end <= bytes.len())
                    .ok_or(DecodeError::Short)?;
                let value = bytes.slice(at..end);
                at = end;
                Some(value)
            }
        };
        cells.push((field, Cell { stamp, value }));
    }
    if at < bytes.len() {
        return Err(DecodeError::Damaged);
    }
    Ok(Record::from_cells(header.deleted, cells))
}

/// An acceptor as bytes.
pub(super) fn encode_acceptor(acceptor: &Acceptor) -> Bytes {
    encode(acceptor).into()
}

/// The acceptor of these bytes.
pub(super) fn decode_acceptor(bytes: &[u8]) -> Result<Acceptor, DecodeError> {
    decode(bytes)
}

/// A version byte and the postcard form of a value.
pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    // Postcard fails on a sequence of unknown length only; there is none here.
    postcard::to_extend(value, vec![VERSION]).unwrap_or_default()
}

/// What [`encode`] wrote, and nothing after it.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    match split(bytes)? {
        (value, []) => Ok(value),
        _ => Err(DecodeError::Damaged),
    }
}

/// What [`encode`] wrote, and the bytes after it.
fn split<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<(T, &'a [u8]), DecodeError> {
    let (version, rest) = bytes.split_first().ok_or(DecodeError::Short)?;
    if *version != VERSION {
        return Err(DecodeError::Version(*version));
    }
    postcard::take_from_bytes(rest)
        .ok()
        .ok_or(DecodeError::Damaged)
}

/// The disk key of a record or queue of one replica; keys sort by replica,
/// table and the bytes of the key.
pub(super) fn disk_key(replica: ReplicaId, id: &RecordId) -> Vec<u8> {
    let mut key = table_prefix(replica, id.table);
    key.extend_from_slice(id.key.as_bytes());
    key
}

/// What the disk keys of one replica's table begin with.
pub(super) fn table_prefix(replica: ReplicaId, table: TableId) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(64);
    prefix.push(replica.0);
    prefix.extend_from_slice(&table.0.to_be_bytes());
    prefix
}

/// The record that a disk key belongs to.
pub(super) fn record_id(disk_key: &Bytes) -> Result<RecordId, DecodeError> {
    let header = disk_key.get(1..KEY_HEADER).ok_or(DecodeError::Short)?;
    let table = header.try_into().ok().ok_or(DecodeError::Short)?;
    let key = Key::new(disk_key.slice(KEY_HEADER..))
        .ok()
        .ok_or(DecodeError::Damaged)?;
    Ok(RecordId {
        table: TableId(u64::from_be_bytes(table)),
        key,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use music_core::lock_ref::{Holding, LockRef};
    use music_core::replica::acceptor::Ballot;
    use music_core::time::{Lease, WallTime};
    use proptest::prelude::*;

    use super::*;
    use crate::TableName;

    fn record() -> impl Strategy<Value = Record> {
        let value = proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40));
        let fields = proptest::collection::btree_map("[a-c]{0,2}", (0_u64..9, value), 0..4);
        (fields, proptest::option::of(0_u64..5)).prop_map(|(fields, deleted)| {
            let cells = fields.into_iter().map(|(field, (time, value))| {
                let stamp = Stamp::eventual(WallTime(time));
                (
                    Field::new(field).unwrap(),
                    Cell {
                        stamp,
                        value: value.map(Bytes::from),
                    },
                )
            });
            Record::from_cells(deleted.map(|time| Stamp::eventual(WallTime(time))), cells)
        })
    }

    proptest! {
        #[test]
        fn records_come_back(record in record()) {
            prop_assert_eq!(decode_record(&encode_record(&record)), Ok(record));
        }

        #[test]
        fn damaged_records_are_refused_or_read_without_panic(
            record in record(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = encode_record(&record).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(cut.index(bytes.len()) + 1);
            // Whether it can be read is chance; that this returns is not.
            let _either = decode_record(&bytes.into()).is_ok();
        }

        #[test]
        fn disk_keys_sort_as_their_records(
            left in (0_u64..3, proptest::collection::vec(any::<u8>(), 1..4)),
            right in (0_u64..3, proptest::collection::vec(any::<u8>(), 1..4)),
        ) {
            let id = |(table, key): (u64, Vec<u8>)| {
                RecordId { table: TableId(table), key: Key::new(key).unwrap() }
            };
            let (left, right) = (id(left), id(right));
            let [a, b] = [&left, &right].map(|id| disk_key(ReplicaId(2), id));
            prop_assert_eq!(a.cmp(&b), left.cmp(&right));
            prop_assert_eq!(record_id(&a.into()), Ok(left));
        }
    }

    #[test]
    fn values_are_not_copied() {
        let record = Record::write(
            Stamp::eventual(WallTime(1)),
            [(Field::DEFAULT, Some(Bytes::from(vec![7; 1000])))],
        );
        let bytes = encode_record(&record);
        let decoded = decode_record(&bytes).unwrap();
        let value = decoded.value(&Field::DEFAULT).unwrap();
        assert!(bytes.as_ptr_range().contains(&value.as_ptr()));
    }

    #[test]
    fn acceptors_come_back() {
        let mut acceptor = Acceptor::default();
        acceptor.prepare(Ballot {
            round: 1 << 40,
            site: ReplicaId(3),
        });
        acceptor.release(Holding {
            lock_ref: LockRef::new(1 << 33).unwrap(),
            ..Holding::default()
        });
        assert_eq!(decode_acceptor(&encode_acceptor(&acceptor)), Ok(acceptor));
    }

    #[test]
    fn bytes_that_follow_a_value_are_refused() {
        let record = encode_record(&Record::deletion(Stamp::eventual(WallTime(1))));
        let acceptor = encode_acceptor(&Acceptor::default());
        let longer = |bytes: &Bytes| Bytes::from([bytes, &[0][..]].concat());
        assert_eq!(decode_record(&longer(&record)), Err(DecodeError::Damaged));
        let acceptor = decode_acceptor(&longer(&acceptor));
        assert_eq!(acceptor, Err(DecodeError::Damaged));
    }

    #[test]
    fn numbers_that_no_code_makes_are_refused() {
        let highest: Bytes = encode(&(Some((1_u64 << 63) - 1), Vec::<u8>::new())).into();
        assert!(decode_record(&highest).is_ok());
        let above: Bytes = encode(&(Some(1_u64 << 63), Vec::<u8>::new())).into();
        assert_eq!(decode_record(&above), Err(DecodeError::Damaged));
        assert!(decode::<LockRef>(&encode(&LockRef::MAX.get())).is_ok());
        let above = decode::<LockRef>(&encode(&(LockRef::MAX.get() + 1)));
        assert_eq!(above, Err(DecodeError::Damaged));
        for length in [Duration::ZERO, Duration::MAX] {
            let lease = decode::<Lease>(&encode(&length));
            assert_eq!(lease, Err(DecodeError::Damaged));
        }
    }

    #[test]
    fn names_that_no_code_makes_are_refused() {
        assert_eq!(decode::<Key>(&encode(&"")), Err(DecodeError::Damaged));
        let long = "a".repeat(256);
        assert_eq!(decode::<Field>(&encode(&long)), Err(DecodeError::Damaged));
        let name = decode::<TableName>(&encode(&"K V"));
        assert_eq!(name, Err(DecodeError::Damaged));
    }

    #[test]
    fn a_later_version_is_refused() {
        assert_eq!(
            decode_record(&Bytes::from_static(&[9, 0])),
            Err(DecodeError::Version(9))
        );
    }
}
