//! The stamps of rows in eventual tables.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use crate::clock;

/// Orders writes of a row: the highest wins at every site.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Microseconds since 1970 by the writer's clock, or more.
    pub at_us: u64,
    /// The writer's site; decides between equal times.
    pub site: String,
}

/// A clock of one site that never goes back, nor below a stamp that it has
/// seen: what is written after something was read wins over it, however wrong
/// the machines' clocks are.
#[derive(Debug, Default)]
pub(super) struct StampClock {
    last_us: AtomicU64,
}

impl StampClock {
    /// A time later than all before.
    pub(super) fn next_us(&self) -> u64 {
        self.next_after(clock::wall_us())
    }

    fn next_after(&self, wall_us: u64) -> u64 {
        let later = |last: u64| Some(wall_us.max(last.saturating_add(1)));
        let before = self
            .last_us
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, later);
        // It is never refused.
        later(before.unwrap_or_default()).unwrap_or(wall_us)
    }

    /// Notes a time that was seen.
    pub(super) fn observe(&self, at_us: u64) {
        self.last_us.fetch_max(at_us, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_stamp_is_later_than_all_that_was_seen(
            steps in proptest::collection::vec((any::<bool>(), 0..1_000_u64), 1..50),
        ) {
            let clock = StampClock::default();
            let mut seen = 0;
            for (is_write, at) in steps {
                if is_write {
                    let next = clock.next_after(at);
                    prop_assert!(next > seen && next >= at);
                    seen = next;
                } else {
                    clock.observe(at);
                    seen = seen.max(at);
                }
            }
        }
    }
}
