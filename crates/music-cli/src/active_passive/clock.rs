//! The daemon's only clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) use tokio::time::Instant;

/// Now, by a clock that never goes back.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// When `length` has passed, in milliseconds since 1970: for people and other
/// programs to read.
pub(super) fn wall_ms_after(length: Duration) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let then = now.unwrap_or_default().saturating_add(length);
    u64::try_from(then.as_millis()).unwrap_or(u64::MAX)
}
