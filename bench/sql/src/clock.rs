//! The clock of the clients.

pub(crate) use tokio::time::Instant;

/// The time.
pub(crate) fn now() -> Instant {
    Instant::now()
}
