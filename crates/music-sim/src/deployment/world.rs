//! Time and chance, as a simulation has them: the runtime's own time, which is
//! paused, and numbers that depend on the seed.

use std::time::Duration;

pub(super) use rand::Rng;
use rand::SeedableRng as _;
pub(super) use rand::rngs::StdRng as Dice;
pub(super) use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

/// The simulation's time.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The simulation's time after `length`.
pub(super) fn after(length: Duration) -> Instant {
    now() + length
}

/// Dice for one part of a run: what it draws depends on nothing but the seed.
pub(super) fn dice(seed: u64, part: u64) -> Dice {
    Dice::seed_from_u64(seed ^ part)
}
