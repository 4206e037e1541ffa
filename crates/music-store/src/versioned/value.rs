//! What a register holds: the queue, and who wrote last.

use std::sync::Arc;

use music_core::lock_queue::LockQueue;
use serde::{Deserialize, Serialize};

/// What this code writes, and the only version it reads.
const FORMAT: u8 = 1;
/// Of how many writers a register remembers the last attempt.
const WRITERS_MAX: usize = 32;

/// One life of one node's connection to the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Writer(pub(super) u64);

/// One try to write a register; no two have the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) writer: Writer,
    /// Grows from one attempt of the writer to its next.
    pub(super) number: u64,
}

/// What a register holds; empty is what an absent one stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Value {
    pub(super) queue: Arc<LockQueue>,
    /// The last attempt of each writer that is part of this value, the latest
    /// at the end: by it a writer whose answer was lost learns whether it
    /// counted. Never shrinks, which [`Value::contains`] rests on.
    attempts: Vec<Attempt>,
}

/// Bytes that are not what this code writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("a lock queue has the unknown format {0}: it was written by a newer version of MUSIC")]
    Format(u8),
    #[error(
        "a lock queue is damaged, or not one: does something else write below the same prefix?"
    )]
    Damaged,
}

impl Value {
    /// The value that an attempt leaves when it makes `queue` of this one's.
    pub(super) fn followed_by(&self, attempt: Attempt, queue: Arc<LockQueue>) -> Self {
        let others = self.attempts.iter().copied();
        let mut attempts: Vec<_> = others
            .filter(|other| other.writer != attempt.writer)
            .collect();
        if attempts.len() >= WRITERS_MAX {
            attempts.remove(0);
        }
        attempts.push(attempt);
        Self { queue, attempts }
    }

    /// Whether its writer's last attempt, this one, is part of the value.
    /// `None` where so many others have written since that nobody can tell.
    pub(super) fn contains(&self, attempt: Attempt) -> Option<bool> {
        let mut attempts = self.attempts.iter();
        match attempts.find(|other| other.writer == attempt.writer) {
            Some(last) => Some(last.number == attempt.number),
            // It would be there still, had it ever been.
            None if self.attempts.len() < WRITERS_MAX => Some(false),
            None => None,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Postcard fails on a sequence of unknown length only; there is none.
        postcard::to_extend(self, vec![FORMAT]).unwrap_or_default()
    }

    /// What [`Value::encode`] wrote; no bytes are an empty value.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let Some((format, rest)) = bytes.split_first() else {
            return Ok(Self::default());
        };
        if *format != FORMAT {
            return Err(DecodeError::Format(*format));
        }
        match postcard::take_from_bytes(rest) {
            Ok((value, [])) => Ok(value),
            Ok(_) | Err(_) => Err(DecodeError::Damaged),
        }
    }
}

#[cfg(test)]
mod tests {
    use music_core::id::KEY_BYTES_MAX;

    use super::*;
    use crate::conformance::enqueue;
    use crate::lock_store;

    fn attempt(writer: u64, number: u64) -> Attempt {
        Attempt {
            writer: Writer(writer),
            number,
        }
    }

    fn written(attempts: impl IntoIterator<Item = Attempt>) -> Value {
        let write = |value: Value, attempt| value.followed_by(attempt, Arc::default());
        attempts.into_iter().fold(Value::default(), write)
    }

    #[test]
    fn values_come_back() {
        let mut queue = LockQueue::default();
        queue.apply(enqueue(1));
        queue.apply(enqueue(u128::MAX));
        let value =
            written([attempt(u64::MAX, 1)]).followed_by(attempt(2, u64::MAX), Arc::new(queue));
        assert_eq!(Value::decode(&value.encode()), Ok(value));
        assert_eq!(Value::decode(&[]), Ok(Value::default()));
    }

    /// ZooKeeper's bound is for the whole request. The znode's path takes two
    /// bytes for each of the key's, and more for the root.
    #[test]
    fn the_largest_value_fits_into_a_request_with_the_longest_key() {
        let attempts = (0..40).map(|writer| attempt(u64::MAX - writer, u64::MAX));
        let value = Value {
            queue: Arc::new(lock_store::tests::fullest()),
            ..written(attempts)
        };
        let request = value.encode().len() + 2 * KEY_BYTES_MAX;
        let jute_maxbuffer = (1 << 20) - 1;
        assert!(request * 5 < jute_maxbuffer * 4, "{request}");
        assert_eq!(Value::decode(&value.encode()), Ok(value));
    }

    #[test]
    fn other_bytes_are_refused() {
        let bytes = written([attempt(1, 1)]).encode();
        for end in 1..bytes.len() {
            assert_eq!(Value::decode(&bytes[..end]), Err(DecodeError::Damaged));
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(Value::decode(&longer), Err(DecodeError::Damaged));
        assert_eq!(Value::decode(&[9, 0]), Err(DecodeError::Format(9)));
    }

    #[test]
    fn a_writer_finds_its_last_attempt_behind_those_of_others() {
        let value = written([attempt(1, 1), attempt(2, 1), attempt(1, 2), attempt(3, 7)]);
        assert_eq!(value.contains(attempt(1, 2)), Some(true));
        assert_eq!(value.contains(attempt(1, 3)), Some(false));
        assert_eq!(value.contains(attempt(4, 1)), Some(false));
    }

    #[test]
    fn a_writer_that_was_pushed_out_cannot_tell() {
        let others = (1..=WRITERS_MAX as u64).map(|writer| attempt(writer, 1));
        let value = written([attempt(0, 1)].into_iter().chain(others));
        assert_eq!(value.contains(attempt(0, 1)), None);
        assert_eq!(value.contains(attempt(1, 1)), Some(true));
        assert_eq!(value.attempts.len(), WRITERS_MAX);
    }
}
