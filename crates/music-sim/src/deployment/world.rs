//! Time and chance, as a simulation has them: the runtime's own time, which is
//! paused, and numbers that depend on the seed.

use std::time::Duration;

pub(super) use music_history::workload::dice::{Dice, Rng, dice};
pub(super) use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// The simulation's time.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The simulation's time after `length`.
pub(super) fn after(length: Duration) -> Instant {
    now() + length
}
