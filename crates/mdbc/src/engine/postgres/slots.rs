//! Slots: each connection of a client has a table of its own for what its
//! transactions change.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Those that are made.
#[derive(Debug, Default)]
pub(super) struct Slots {
    inner: Mutex<Made>,
}

#[derive(Debug, Default)]
struct Made {
    free: Vec<u32>,
    count: u32,
}

impl Slots {
    fn lock(&self) -> MutexGuard<'_, Made> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One that is free, or the number of one that is yet to be made.
    pub(super) fn take(self: &Arc<Self>) -> (Slot, bool) {
        let mut made = self.lock();
        let free = made.free.pop();
        let number = free.unwrap_or_else(|| {
            made.count = made.count.saturating_add(1);
            made.count
        });
        let slot = Slot {
            number,
            slots: Arc::clone(self),
        };
        (slot, free.is_none())
    }
}

/// What a client's connection to the local PostgreSQL needs; given back when
/// dropped. One connection at a time may use it.
#[derive(Debug)]
pub struct Slot {
    number: u32,
    slots: Arc<Slots>,
}

impl Slot {
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// What the connection gives as `options` when it starts: the slot, and that
    /// transactions are serializable.
    pub fn startup_options(&self) -> String {
        format!(
            "-c mdbc.slot={} -c default_transaction_isolation=serializable",
            self.number
        )
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.lock().free.push(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_given_back_is_taken_again() {
        let slots = Arc::new(Slots::default());
        let (first, is_new) = slots.take();
        let (second, _) = slots.take();
        assert!(is_new);
        assert_eq!((first.number(), second.number()), (1, 2));
        drop(first);
        let (again, is_new) = slots.take();
        assert_eq!((again.number(), is_new), (1, false));
    }
}
