//! How long requests take: measured for the metrics, and nothing else.
#![expect(
    clippy::disallowed_methods,
    reason = "this module owns the clock of the metrics"
)]

use std::time::{Duration, Instant};

/// Started when it is made.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
