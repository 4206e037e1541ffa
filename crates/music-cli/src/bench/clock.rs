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

/// Nanoseconds of the machine's monotonic clock, which all processes share.
pub(super) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
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
