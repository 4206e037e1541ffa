//! Entries, and how a slot of the ring holds one.
//!
//! ```text
//!  field e<slot>        checksum (8 bytes) | head (postcard) | digest, if it fits
//!  fields e<slot>.<k>   the digest in pieces, if it does not; put before the head
//! ```
//!
//! The checksum covers all that follows it; that of the digest stands in the
//! head, so that pieces which an earlier entry left in the slot are never taken
//! for this one's.

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::partition::{PARTITIONS_MAX, Partition};
use crate::redo_log::point::Point;

/// The version of the encoding.
const VERSION: u8 = 1;

/// The bytes of a slot's checksum.
const SUM_BYTES: usize = 8;

/// The largest digest, in bytes.
pub const DIGEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How much of a digest one value of MUSIC holds, in bytes: less than the
/// largest value of a deployment with default settings.
pub(crate) const PIECE_BYTES: usize = 512 * 1024;

/// A transaction's place in one partition's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Whose log.
    pub partition: Partition,
    /// Where, and by whom.
    pub point: Point,
    /// The token of the entry before it. It counts only if that one is at the
    /// position before.
    pub token_before: u64,
}

impl Place {
    /// The entry before it.
    pub fn before(&self) -> Point {
        Point {
            position: self.point.position.saturating_sub(1),
            token: self.token_before,
        }
    }
}

/// One committed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its places, in the order of the partitions' names. The first is its
    /// commit point.
    pub places: Vec<Place>,
    /// What it changed; only the database knows what the bytes mean.
    pub digest: Bytes,
}

/// What a slot says of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    version: u8,
    /// Which of the places this slot is; 0 at the commit point.
    pub(crate) at: u8,
    /// As [`Entry::places`].
    pub(crate) places: Vec<Place>,
    /// Up to which entry of this partition the owner had acknowledgements.
    pub(crate) committed: Point,
    digest_bytes: u32,
    digest_sum: u64,
    /// How many further fields hold the digest; 0 where this one does.
    pub(crate) pieces: u16,
}

/// A slot that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) head: Head,
    /// What of the digest is in this field.
    inline: Bytes,
    /// How many bytes the slot has in all.
    pub(crate) bytes: usize,
}

/// A slot that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the slot holds no entry of this format")]
pub(crate) struct Malformed;

impl Head {
    /// The slot of an entry at one of its places.
    pub(crate) fn new(entry: &Entry, at: usize, committed: Point) -> Self {
        let is_commit_point = at == 0;
        let digest: &[u8] = if is_commit_point { &entry.digest } else { &[] };
        Self {
            version: VERSION,
            at: u8::try_from(at).unwrap_or(u8::MAX),
            places: entry.places.clone(),
            committed,
            digest_bytes: u32::try_from(digest.len()).unwrap_or(u32::MAX),
            digest_sum: xxh3_64(digest),
            pieces: u16::try_from(pieces(digest).count()).unwrap_or(u16::MAX),
        }
    }

    /// This slot's place.
    pub(crate) fn place(&self) -> Option<&Place> {
        self.places.get(usize::from(self.at))
    }

    /// The commit point's place.
    pub(crate) fn commit_point(&self) -> Option<&Place> {
        self.places.first()
    }

    /// Whether it only prepares: another partition's slot decides.
    pub(crate) fn is_prepared(&self) -> bool {
        self.at > 0
    }

    fn is_sound(&self) -> bool {
        let sorted = self
            .places
            .is_sorted_by(|one, other| one.partition < other.partition);
        let positions = self.places.iter().all(|place| place.point.position > 0);
        let count = (1..=PARTITIONS_MAX).contains(&self.places.len());
        let size = usize::try_from(self.digest_bytes).is_ok_and(|size| size <= DIGEST_BYTES_MAX);
        self.version == VERSION && sorted && positions && count && size && self.place().is_some()
    }

    /// The field's value.
    pub(crate) fn encode(&self, digest: &Bytes) -> Bytes {
        let mut value = BytesMut::zeroed(SUM_BYTES);
        // Into memory, it cannot fail.
        value.extend(postcard::to_allocvec(self).unwrap_or_default());
        if self.pieces == 0 && !self.is_prepared() {
            value.extend_from_slice(digest);
        }
        let sum = xxh3_64(value.get(SUM_BYTES..).unwrap_or_default());
        if let Some(mut place) = value.get_mut(..SUM_BYTES) {
            place.put_u64_le(sum);
        }
        value.freeze()
    }
}

/// The pieces of a digest that is too large for one value; none of others.
pub(crate) fn pieces(digest: &[u8]) -> impl Iterator<Item = &[u8]> {
    let cut = if digest.len() > PIECE_BYTES {
        digest
    } else {
        &[]
    };
    cut.chunks(PIECE_BYTES)
}

impl Slot {
    /// Reads a field's value.
    pub(crate) fn decode(value: &Bytes) -> Result<Self, Malformed> {
        let (sum, rest) = value.split_at_checked(SUM_BYTES).ok_or(Malformed)?;
        if xxh3_64(rest).to_le_bytes() != *sum {
            return Err(Malformed);
        }
        let Ok((head, inline)) = postcard::take_from_bytes::<Head>(rest) else {
            return Err(Malformed);
        };
        if !head.is_sound() {
            return Err(Malformed);
        }
        let inline = value.slice_ref(inline);
        let bytes = value.len();
        Ok(Self {
            head,
            inline,
            bytes,
        })
    }

    /// The entry's digest, of its own field or of these pieces.
    pub(crate) fn digest(&self, piece: impl Fn(u16) -> Option<Bytes>) -> Result<Bytes, Malformed> {
        let digest = if self.head.pieces == 0 {
            self.inline.clone()
        } else {
            let mut digest = BytesMut::new();
            for number in 0..self.head.pieces {
                digest.extend_from_slice(&piece(number).ok_or(Malformed)?);
            }
            digest.freeze()
        };
        let is_whole = u32::try_from(digest.len()) == Ok(self.head.digest_bytes)
            && xxh3_64(&digest) == self.head.digest_sum;
        if is_whole { Ok(digest) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn entry(digest: Vec<u8>) -> Entry {
        let place = |name: &str, position| Place {
            partition: Partition::of_table(name).unwrap(),
            point: Point {
                position,
                token: 65_536,
            },
            token_before: 7,
        };
        Entry {
            places: vec![place("a", 3), place("b", 9)],
            digest: digest.into(),
        }
    }

    #[test]
    fn a_large_digest_is_cut_and_put_together_again() {
        let digest: Vec<u8> = (0..=250_u8).cycle().take(PIECE_BYTES * 2 + 5).collect();
        let entry = entry(digest);
        let head = Head::new(&entry, 0, Point::START);
        let cut: Vec<Bytes> = pieces(&entry.digest).map(Bytes::copy_from_slice).collect();
        assert_eq!((head.pieces, cut.len()), (3, 3));
        let slot = Slot::decode(&head.encode(&entry.digest)).unwrap();
        let piece = |number: u16| cut.get(usize::from(number)).cloned();
        assert_eq!(slot.digest(piece), Ok(entry.digest.clone()));
        let other = |number: u16| cut.get(usize::from(2 - number)).cloned();
        assert_eq!(
            slot.digest(other),
            Err(Malformed),
            "pieces of another entry"
        );
        assert_eq!(slot.digest(|_| None), Err(Malformed));
    }

    #[test]
    fn only_the_commit_point_holds_the_digest() {
        let entry = entry(b"changes".to_vec());
        let prepared = Head::new(&entry, 1, Point::START);
        let slot = Slot::decode(&prepared.encode(&entry.digest)).unwrap();
        assert!(slot.head.is_prepared());
        assert_eq!(slot.digest(|_| None), Ok(Bytes::new()));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(digest in vec(any::<u8>(), 0..200), at in 0..2_usize) {
            let entry = entry(digest);
            let head = Head::new(&entry, at, Point { position: 2, token: 3 });
            let slot = Slot::decode(&head.encode(&entry.digest)).unwrap();
            prop_assert_eq!(&slot.head, &head);
            if at == 0 {
                prop_assert_eq!(slot.digest(|_| None), Ok(entry.digest));
            }
        }

        #[test]
        fn any_changed_byte_is_found(
            digest in vec(any::<u8>(), 0..50), place in any::<usize>(), flip in 1..=255_u8,
        ) {
            let entry = entry(digest);
            let value = Head::new(&entry, 0, Point::START).encode(&entry.digest);
            let mut changed = value.to_vec();
            let place = place % changed.len();
            changed[place] ^= flip;
            prop_assert_eq!(Slot::decode(&changed.into()), Err(Malformed));
        }

        #[test]
        fn no_bytes_are_more_than_malformed(bytes in vec(any::<u8>(), 0..300)) {
            let mut sealed = xxh3_64(&bytes).to_le_bytes().to_vec();
            sealed.extend(bytes);
            if let Ok(slot) = Slot::decode(&sealed.into()) {
                prop_assert!(slot.head.place().is_some());
            }
        }
    }
}
