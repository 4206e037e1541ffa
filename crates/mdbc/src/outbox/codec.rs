//! How a record of the outbox holds a letter.

use bytes::{Bytes, BytesMut};
use music_client::Content;
use music_client::api::name::Fields;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::Stamp;
use crate::redo_log::entry::{DIGEST_BYTES_MAX, PIECE_BYTES, pieces};

/// The version of the encoding.
const VERSION: u8 = 1;

/// The bytes of a record's checksum.
const SUM_BYTES: usize = 8;

/// What a record says beside the digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    version: u8,
    pub(super) stamp: Stamp,
    digest_bytes: u32,
    digest_sum: u64,
    pieces: u16,
}

pub(super) fn take(fields: &mut Fields, name: &str) -> Option<Bytes> {
    let value = fields.remove(name)?;
    Content::from_value(value).ok().map(|content| content.bytes)
}

pub(super) fn encode(stamp: &Stamp, digest: &Bytes) -> Bytes {
    let head = Head {
        version: VERSION,
        stamp: stamp.clone(),
        digest_bytes: u32::try_from(digest.len()).unwrap_or(u32::MAX),
        digest_sum: xxh3_64(digest),
        pieces: u16::try_from(pieces(digest).count()).unwrap_or(u16::MAX),
    };
    // Into memory, it cannot fail.
    let mut rest = postcard::to_allocvec(&head).unwrap_or_default();
    if head.pieces == 0 {
        rest.extend_from_slice(digest);
    }
    let mut value = BytesMut::from(xxh3_64(&rest).to_le_bytes().as_slice());
    value.extend_from_slice(&rest);
    value.freeze()
}

pub(super) fn decode(value: &Bytes) -> Option<(Head, Bytes)> {
    let (sum, rest) = value.split_at_checked(SUM_BYTES)?;
    let (head, inline) = postcard::take_from_bytes::<Head>(rest).ok()?;
    let is_sound = xxh3_64(rest).to_le_bytes() == *sum && head.version == VERSION;
    let bytes = usize::try_from(head.digest_bytes).ok()?;
    let is_bounded =
        bytes <= DIGEST_BYTES_MAX && usize::from(head.pieces) <= DIGEST_BYTES_MAX / PIECE_BYTES + 1;
    (is_sound && is_bounded).then(|| (head, value.slice_ref(inline)))
}

/// The digest, where all its pieces are there.
pub(super) fn whole(head: &Head, inline: Bytes, mut fields: Fields) -> Option<Bytes> {
    let digest = if head.pieces == 0 {
        inline
    } else {
        let mut digest = BytesMut::new();
        for number in 0..head.pieces {
            digest.extend_from_slice(&take(&mut fields, &format!("p{number}"))?);
        }
        digest.freeze()
    };
    (xxh3_64(&digest) == head.digest_sum).then_some(digest)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn stamp() -> Stamp {
        Stamp {
            at_us: 5,
            site: "ohio".to_owned(),
        }
    }

    #[test]
    fn a_large_digest_is_whole_only_with_all_its_pieces() {
        let digest = Bytes::from(vec![7; PIECE_BYTES + 1]);
        let (head, inline) = decode(&encode(&stamp(), &digest)).unwrap();
        let content = |piece: &[u8]| Content::from(piece.to_vec()).to_value();
        let fields: Fields = (0..)
            .zip(pieces(&digest))
            .map(|(number, piece): (u16, _)| (format!("p{number}"), content(piece)))
            .collect();
        assert_eq!(whole(&head, inline.clone(), fields.clone()), Some(digest));
        let mut fields = fields;
        fields.remove("p1");
        assert_eq!(whole(&head, inline, fields), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(digest in vec(any::<u8>(), 0..200)) {
            let digest = Bytes::from(digest);
            let (head, inline) = decode(&encode(&stamp(), &digest)).unwrap();
            prop_assert_eq!(&head.stamp, &stamp());
            prop_assert_eq!(whole(&head, inline, Fields::new()), Some(digest));
        }

        #[test]
        fn no_bytes_are_more_than_unreadable(
            bytes in vec(any::<u8>(), 0..100), flip in any::<bool>(),
        ) {
            let mut sealed = xxh3_64(&bytes).to_le_bytes().to_vec();
            sealed.extend(bytes);
            if flip {
                sealed[0] ^= 1;
                prop_assert!(decode(&sealed.into()).is_none());
            } else if let Some((head, _)) = decode(&sealed.into()) {
                prop_assert_eq!(head.version, VERSION);
            }
        }
    }
}
