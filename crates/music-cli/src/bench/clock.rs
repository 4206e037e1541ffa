//! The benchmark's only clock.

use std::time::Duration;

pub(super) use std::time::Instant;

/// Now, by a clock that never goes back.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// Waits until then; not at all if that is over. Late by up to a millisecond.
pub(super) async fn until(then: Instant) {
    tokio::time::sleep_until(then.into()).await;
}

/// A length in milliseconds.
pub(super) fn ms(length: Duration) -> f64 {
    length.as_secs_f64() * 1e3
}

/// What the machine's clock says, to tell one measurement's names from
/// another's.
pub(super) fn since_1970() -> Duration {
    std::time::UNIX_EPOCH.elapsed().unwrap_or_default()
}
