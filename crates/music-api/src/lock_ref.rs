//! The lockRef string: a ticket for a key set, good at any node.
//!
//! To clients it is opaque. It names the section (its request id), its keys
//! and its terms, so that any node can find its tickets in the queues. The
//! numbers of the tickets are not in it: those of a key set may change while
//! the section waits.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::lock::LockMode;

/// The most keys that one lockRef may cover.
pub const KEYS_MAX: usize = 32;

/// The longest lockRef string, in bytes.
pub const LOCK_REF_BYTES_MAX: usize = 12 * 1024;

const VERSION: u8 = 1;

/// What a lockRef string says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRef {
    /// The section's request id.
    pub request: u128,
    /// Exclusive or shared.
    pub mode: LockMode,
    /// The client's lease, in ms.
    pub lease_ms: u64,
    /// The keys, in sorted order, each once: the number of the table and the
    /// bytes of the key.
    pub keys: Vec<(u64, Vec<u8>)>,
}

/// A string that is no lockRef of this version, or a damaged one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a lockRef: use the string exactly as `POST /v1/locks` returned it")]
pub struct MalformedLockRef;

impl LockRef {
    /// The string.
    pub fn encode(&self) -> String {
        let mut bytes = vec![VERSION, u8::from(self.mode == LockMode::Shared)];
        bytes.extend(self.request.to_be_bytes());
        bytes.extend(self.lease_ms.to_be_bytes());
        for (table, key) in &self.keys {
            let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
            bytes.extend(table.to_be_bytes());
            bytes.extend(length.to_be_bytes());
            bytes.extend(key);
        }
        seal(bytes)
    }

    /// Reads a string.
    ///
    /// # Errors
    /// Where it is not what [`LockRef::encode`] makes of a lockRef.
    pub fn decode(text: &str) -> Result<Self, MalformedLockRef> {
        if text.len() > LOCK_REF_BYTES_MAX {
            return Err(MalformedLockRef);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().ok_or(MalformedLockRef)?;
        Self::read(&bytes).ok_or(MalformedLockRef)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<4>()?;
        if u32::from_be_bytes(*sum) != checksum(body) {
            return None;
        }
        let ([version, shared], rest) = body.split_first_chunk::<2>()?;
        let mode = match (*version, *shared) {
            (VERSION, 0) => LockMode::Exclusive,
            (VERSION, 1) => LockMode::Shared,
            _ => return None,
        };
        let (request, rest) = rest.split_first_chunk::<16>()?;
        let (lease_ms, mut rest) = rest.split_first_chunk::<8>()?;
        let mut keys = Vec::new();
        while !rest.is_empty() && keys.len() < KEYS_MAX {
            let (table, after) = rest.split_first_chunk::<8>()?;
            let (length, after) = after.split_first_chunk::<2>()?;
            let length = usize::from(u16::from_be_bytes(*length));
            let (key, after) = after.split_at_checked(length)?;
            keys.push((u64::from_be_bytes(*table), key.to_vec()));
            rest = after;
        }
        let sorted = keys.is_sorted_by(|a, b| a < b);
        (rest.is_empty() && sorted && !keys.is_empty()).then_some(Self {
            request: u128::from_be_bytes(*request),
            mode,
            lease_ms: u64::from_be_bytes(*lease_ms),
            keys,
        })
    }
}

/// The string of these bytes and their checksum.
pub(crate) fn seal(mut bytes: Vec<u8>) -> String {
    bytes.extend(checksum(&bytes).to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// FNV-1a: finds slips of the hand, not attacks; nothing rests on it.
fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lock_ref() -> impl Strategy<Value = LockRef> {
        let key = (any::<u64>(), proptest::collection::vec(any::<u8>(), 1..64));
        let keys = proptest::collection::btree_set(key, 1..KEYS_MAX);
        (any::<u128>(), any::<bool>(), any::<u64>(), keys).prop_map(
            |(request, shared, lease_ms, keys)| LockRef {
                request,
                mode: if shared {
                    LockMode::Shared
                } else {
                    LockMode::Exclusive
                },
                lease_ms,
                keys: keys.into_iter().collect(),
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(lock_ref in lock_ref()) {
            prop_assert_eq!(LockRef::decode(&lock_ref.encode()), Ok(lock_ref));
        }

        #[test]
        fn a_slip_of_the_hand_is_found(lock_ref in lock_ref(), at in any::<usize>()) {
            let mut text = lock_ref.encode().into_bytes();
            let at = at % text.len();
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(text).unwrap();
            prop_assert_ne!(LockRef::decode(&text).ok(), Some(lock_ref));
        }

        #[test]
        fn nothing_panics(text in ".{0,200}") {
            drop(LockRef::decode(&text));
        }
    }
}
