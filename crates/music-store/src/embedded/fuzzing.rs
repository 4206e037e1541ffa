//! What a fuzzer, and the test that repeats its finds, tries on the bytes of a
//! disk: each is refused, or is a value that comes back from its own bytes.

use std::fmt::Debug;

use bytes::Bytes;
use music_core::id::ReplicaId;
use music_core::lock_ref::LockRef;
use music_core::stamp::Stamp;
use music_core::time::Lease;

use super::catalogue::View;
use super::codec::{self, DecodeError};
use super::profile::Profile;
use crate::TableName;

/// Reads a record, and the key that it lies under.
///
/// # Panics
/// Where a value does not come back, or has a stamp that is none.
pub fn stored_record(bytes: &[u8]) {
    let decode = |bytes: &[u8]| codec::decode_record(&Bytes::copy_from_slice(bytes));
    if let Some(record) = comes_back(bytes, decode, codec::encode_record) {
        let stamps = record.cells().map(|(_, cell)| cell.stamp);
        for stamp in stamps.chain(record.deleted()) {
            assert_eq!(Stamp::from_number(stamp.get()), Some(stamp));
        }
    }
    let key = Bytes::copy_from_slice(bytes);
    if let (Ok(id), Some(replica)) = (codec::record_id(&key), bytes.first()) {
        assert_eq!(codec::disk_key(ReplicaId(*replica), &id), bytes);
    }
}

/// Reads an acceptor, and looks at the queue that it keeps.
///
/// # Panics
/// Where it does not come back, or has a number that is none.
pub fn stored_acceptor(bytes: &[u8]) {
    let Some(acceptor) = comes_back(bytes, codec::decode_acceptor, codec::encode_acceptor) else {
        return;
    };
    let queue = acceptor.queue();
    for (lock_ref, ticket) in queue.tickets() {
        assert_eq!(LockRef::new(lock_ref.get()), Some(lock_ref));
        assert_eq!(Lease::new(ticket.lease.get()), Some(ticket.lease));
        assert!(queue.holding_of(ticket.request).is_some());
    }
    for lock_ref in [
        queue.last(),
        queue.forced(),
        queue.synced(),
        queue.released().lock_ref,
    ] {
        assert_eq!(LockRef::new(lock_ref.get()), Some(lock_ref));
    }
}

/// Reads a catalogue of tables.
///
/// # Panics
/// Where it does not come back, or has a name that is none.
pub fn stored_catalogue(bytes: &[u8]) {
    if let Some(view) = comes_back(bytes, View::decode, View::encode) {
        for table in view.tables() {
            assert_eq!(
                TableName::new(table.name.as_str()).as_ref(),
                Ok(&table.name)
            );
            assert_eq!(view.table(&table.name), Some(table));
        }
    }
}

/// Reads a profile of delays.
///
/// # Panics
/// Where one that can be read has no distance between two of its sites, or
/// two from one to the other.
pub fn profile(bytes: &[u8]) {
    let Some(profile) = std::str::from_utf8(bytes)
        .ok()
        .and_then(|text| Profile::parse(text).ok())
    else {
        return;
    };
    let sites = profile.sites();
    assert_eq!(profile.in_order(sites).as_ref(), Some(&profile));
    for a in 0..sites.len() {
        for b in 0..sites.len() {
            assert_eq!(profile.rtt(a, b), profile.rtt(b, a));
            assert!(profile.rtt(a, b) <= super::profile::RTT_MAX);
        }
    }
}

/// The value of these bytes, if there is one: it is the same once written and
/// read again, and no other bytes may follow it.
fn comes_back<T: Debug + PartialEq>(
    bytes: &[u8],
    decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
    encode: impl Fn(&T) -> Bytes,
) -> Option<T> {
    let value = decode(bytes).ok()?;
    assert_eq!(decode(&encode(&value)).as_ref(), Ok(&value));
    let longer = [bytes, &[0]].concat();
    assert!(decode(&longer).is_err(), "{value:?} may be followed");
    Some(value)
}

#[cfg(test)]
#[path = "../../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_of_stored_records() {
        replay::replay("stored_record", stored_record);
    }

    #[test]
    fn the_corpus_of_stored_acceptors() {
        replay::replay("stored_acceptor", stored_acceptor);
    }

    #[test]
    fn the_corpus_of_stored_catalogues() {
        replay::replay("stored_catalogue", stored_catalogue);
    }

    #[test]
    fn the_corpus_of_profiles() {
        replay::replay("profile", profile);
    }
}
