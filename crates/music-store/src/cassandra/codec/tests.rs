use music_core::id::{Field, Moves};
use music_core::lock_queue::{Command, LockQueue, Mode, NewTicket};
use music_core::time::Lease;
use proptest::prelude::*;

use super::*;

fn value() -> impl Strategy<Value = Option<Bytes>> {
    proptest::option::of(proptest::collection::vec(any::<u8>(), 0..4).prop_map(Bytes::from))
}

fn holding() -> impl Strategy<Value = Holding> {
    (0..=LockRef::MAX.get(), any::<u8>()).prop_map(|(lock_ref, incarnation)| Holding {
        lock_ref: LockRef::new(lock_ref).unwrap(),
        incarnation: Incarnation(incarnation),
    })
}

fn record() -> impl Strategy<Value = Record> {
    let cells = proptest::collection::btree_map("[abc]?", (0_u64..6, value()), 0..4);
    (proptest::option::of(0_u64..6), cells).prop_map(|(deleted, cells)| {
        let cells = cells.into_iter().map(|(field, (stamp, value))| {
            let stamp = Stamp::counter(stamp);
            (Field::new(field).unwrap(), Cell { stamp, value })
        });
        Record::from_cells(deleted.map(Stamp::counter), cells)
    })
}

/// The rows that Cassandra returns of a partition with these cells.
fn rows(record: &Record) -> Vec<CellRow> {
    let deleted = record.deleted().map(timestamp);
    let mut rows: Vec<CellRow> = record
        .cells()
        .map(|(field, cell)| {
            let blob = encode_value(cell.value.as_ref()).into();
            let written = timestamp(cell.stamp);
            (
                Some(field.as_str().to_owned()),
                Some(blob),
                Some(written),
                deleted,
            )
        })
        .collect();
    if rows.is_empty() && deleted.is_some() {
        rows.push((None, None, None, deleted));
    }
    rows
}

proptest! {
    #[test]
    fn values_come_back(value in value()) {
        let blob = Bytes::from(encode_value(value.as_ref()));
        prop_assert_eq!(decode_value(&blob), Ok(value));
    }

    /// Cassandra keeps the larger blob of those with one timestamp.
    #[test]
    fn of_one_stamp_the_larger_blob_is_what_a_merge_keeps(left in value(), right in value()) {
        let write = |value: &Option<Bytes>| {
            Record::write(Stamp::counter(1), [(Field::DEFAULT, value.clone())])
        };
        let mut merged = write(&left);
        merged.merge(&write(&right));
        let larger = encode_value(left.as_ref()).max(encode_value(right.as_ref()));
        let kept = decode_value(&larger.into()).unwrap();
        prop_assert_eq!(merged, write(&kept));
    }

    #[test]
    fn records_come_back_with_their_deletions(record in record()) {
        prop_assert_eq!(decode_record(rows(&record)), Ok(record));
    }

    #[test]
    fn releases_come_back_in_their_order(left in holding(), right in holding()) {
        let (a, b) = (encode_release(left), encode_release(right));
        prop_assert_eq!(a.cmp(&b), left.cmp(&right));
        prop_assert_eq!(decode_release(Some(a)), Ok(left));
    }

    #[test]
    fn states_come_back(
        attempts in proptest::collection::vec(any::<u64>(), 0..40), requests in 0_u128..5,
    ) {
        let mut value = LockQueue::default();
        for request in 0..requests {
            value.apply(Command::Enqueue(NewTicket {
                owner: music_core::id::SessionId(request),
                mode: Mode::Exclusive,
                lease: Lease::MAX,
                request: music_core::id::RequestId(request), moves: Moves::default() }));
        }
        let state = State { attempts: attempts.into(), value };
        prop_assert_eq!(decode_state(&encode_state(&state)), Ok(state));
    }

    #[test]
    fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let state = decode_state::<LockQueue>(&bytes);
        let value = decode_value(&bytes.into());
        prop_assert!(state.is_ok() || state.is_err());
        prop_assert!(value.is_ok() || value.is_err());
    }
}

#[test]
fn what_a_newer_version_wrote_is_refused() {
    assert_eq!(
        decode_value(&Bytes::from_static(&[2])),
        Err(DecodeError::Kind(2))
    );
    assert_eq!(decode_state::<u32>(&[9, 0]), Err(DecodeError::Version(9)));
    assert_eq!(decode_state::<u32>(&[]), Err(DecodeError::Damaged));
    assert_eq!(decode_release(Some(-1)), Err(DecodeError::Damaged));
}
