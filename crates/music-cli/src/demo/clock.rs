//! The demonstration's only clock.

pub(super) use tokio::time::Instant;

/// Now, by a clock that never goes back.
pub(super) fn now() -> Instant {
    Instant::now()
}
