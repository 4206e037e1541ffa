//! The service's clocks. What is placed where rests on neither.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use tokio::time::Instant;

/// Now, for pauses.
#[allow(clippy::disallowed_methods, reason = "this module owns the clocks")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits.
#[allow(clippy::disallowed_methods, reason = "this module owns the clocks")]
pub(crate) async fn sleep(length: Duration) {
    tokio::time::sleep(length).await;
}

/// Milliseconds since 1970, for people who read the records.
#[allow(clippy::disallowed_methods, reason = "this module owns the clocks")]
pub(crate) fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(u64::MAX)
}
