//! Chance and the wall clock, as a simulation has them.

use crate::{clock, dice};

/// Lets all clients of this thread draw from one seed from now on.
pub fn seed(seed: u64) {
    dice::seed(seed);
}

/// Lets the wall clock of this thread go by its runtime's time from now on, and
/// begin at the same moment whenever that is. To be called inside the runtime.
pub fn start_wall_clock() {
    clock::wall::start();
}

/// What that clock says, in microseconds since 1970, if nothing skews it.
pub fn wall_us() -> u64 {
    clock::wall_us()
}

/// Does some work on a machine whose wall clock is ahead by so many
/// microseconds, or behind. What the work spawns is on another machine.
pub async fn with_skew<T>(skew_us: i64, work: impl Future<Output = T>) -> T {
    clock::wall::with_skew(skew_us, work).await
}
