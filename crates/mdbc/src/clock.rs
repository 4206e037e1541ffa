//! The clocks. The order of strong transactions rests on neither.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(crate) use tokio::time::Instant;

/// Now, for waits and for the age of turns.
#[allow(clippy::disallowed_methods, reason = "this module owns the clocks")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits.
#[allow(clippy::disallowed_methods, reason = "this module owns the clocks")]
pub(crate) async fn sleep(length: Duration) {
    tokio::time::sleep(length).await;
}

/// What the machine's clock says, in microseconds since 1970: for the stamps of
/// rows in eventual tables, where the last writer wins.
#[allow(clippy::disallowed_methods, reason = "this module owns the clocks")]
pub(crate) fn wall_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.unwrap_or_default().as_micros()).unwrap_or(u64::MAX)
}

/// The same for SQL's clock, which is signed.
pub(crate) fn unix_micros() -> i64 {
    i64::try_from(wall_us()).unwrap_or(i64::MAX)
}
