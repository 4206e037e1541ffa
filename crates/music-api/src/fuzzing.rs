//! What a fuzzer, and the test that repeats its finds, tries on a lockRef.

use crate::lock_ref::{self, LockRef};

/// Reads a lockRef: one that can be read is written as it was.
///
/// The checksum refuses almost all bytes before they are looked at, so they
/// are also tried with the checksum that belongs to them.
///
/// # Panics
/// Where that does not hold.
pub fn lock_ref(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        written_as_read(text);
    }
    written_as_read(&lock_ref::seal(bytes.to_vec()));
}

fn written_as_read(text: &str) {
    if let Ok(lock_ref) = LockRef::decode(text) {
        assert_eq!(lock_ref.encode(), text, "{lock_ref:?}");
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_of_lock_refs() {
        replay::replay("lock_ref", lock_ref);
    }
}
