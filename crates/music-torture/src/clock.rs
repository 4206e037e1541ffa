//! The clock that all processes of the machine share.

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// The runtime's time.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds of the machine's monotonic clock, which no process sets.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}
