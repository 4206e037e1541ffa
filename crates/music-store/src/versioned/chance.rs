//! What is random: the name of a writer, and how long it waits. And the time.

use std::time::Duration;

use rand::Rng;
use tokio::time::Instant;

use super::value::Writer;

/// The longest delay after the first attempt that failed; doubles with each.
const BACKOFF_FIRST: Duration = Duration::from_millis(2);
/// The longest delay of all.
const BACKOFF_MAX: Duration = Duration::from_millis(200);

/// A name that no other writer has, but for one chance in 2^64.
pub(super) fn writer() -> Writer {
    Writer(rand::rng().random())
}

/// Lets others go first, for a random time that grows with each failure.
pub(super) async fn back_off(failures: u32) {
    let doubled = 2_u32.saturating_pow(failures);
    let most = BACKOFF_FIRST.saturating_mul(doubled).min(BACKOFF_MAX);
    tokio::time::sleep(up_to(most)).await;
}

/// A random time below `most`.
pub(super) fn up_to(most: Duration) -> Duration {
    most.mul_f64(rand::rng().random_range(0.0..1.0))
}

/// The time, by the runtime's clock.
pub(super) fn now() -> Instant {
    Instant::now()
}
