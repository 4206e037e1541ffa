//! The client's only clock: monotonic, so that a lease is never stretched by
//! a change of the wall clock.

use std::time::Duration;

pub(crate) use tokio::time::Instant;

/// Now.
#[allow(clippy::disallowed_methods, reason = "this module owns the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Waits.
#[allow(clippy::disallowed_methods, reason = "this module owns the clock")]
pub(crate) async fn sleep(length: Duration) {
    tokio::time::sleep(length).await;
}

/// A length in whole milliseconds, as the API has it.
pub(crate) fn to_ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}
