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

/// What is left of a wait; `None` for one without a limit.
pub(crate) fn left(until: Option<Instant>) -> Option<Duration> {
    until.map(|until| until.saturating_duration_since(now()))
}

/// A length in whole milliseconds, as the API has it.
pub(crate) fn to_ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// What the machine's clock says, in microseconds since 1970. For what other
/// machines are told about time; no lease of a lock and no order rests on it.
#[allow(clippy::disallowed_methods, reason = "this module owns the clock")]
pub(crate) fn wall_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let since = since.unwrap_or_default().as_micros();
    u64::try_from(since).unwrap_or(u64::MAX)
}
