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
pub(crate) fn wall_us() -> u64 {
    #[cfg(feature = "simulation")]
    if let Some(simulated) = wall::simulated() {
        return simulated;
    }
    machine_us()
}

#[allow(clippy::disallowed_methods, reason = "this module owns the clock")]
fn machine_us() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let since = since.unwrap_or_default().as_micros();
    u64::try_from(since).unwrap_or(u64::MAX)
}

/// The wall clock of a simulation.
#[cfg(feature = "simulation")]
pub(crate) mod wall {
    use std::cell::Cell;

    use super::{Instant, now};

    /// What it says at the start: later than any length that is subtracted.
    const START_US: u64 = 1_700_000_000_000_000;

    thread_local! {
        /// When this thread's wall clock began, if it is not the machine's.
        static STARTED: Cell<Option<Instant>> = const { Cell::new(None) };
    }

    tokio::task_local! {
        /// By how much the clock of a task's machine is ahead.
        static SKEW_US: i64;
    }

    pub(crate) fn start() {
        STARTED.set(Some(now()));
    }

    pub(crate) async fn with_skew<T>(skew_us: i64, work: impl Future<Output = T>) -> T {
        SKEW_US.scope(skew_us, work).await
    }

    pub(super) fn simulated() -> Option<u64> {
        let since = now().saturating_duration_since(STARTED.get()?).as_micros();
        let skew = SKEW_US.try_with(|skew| *skew).unwrap_or_default();
        let wall = START_US.saturating_add(u64::try_from(since).unwrap_or(u64::MAX));
        Some(wall.saturating_add_signed(skew))
    }

    #[cfg(test)]
    mod tests {
        use std::time::Duration;

        use super::super::wall_us;
        use super::*;

        #[tokio::test(start_paused = true)]
        async fn it_goes_by_the_runtime_and_is_skewed_by_task() {
            start();
            assert_eq!(wall_us(), START_US);
            tokio::time::advance(Duration::from_millis(3)).await;
            assert_eq!(wall_us(), START_US + 3000);
            assert_eq!(with_skew(-5, async { wall_us() }).await, START_US + 2995);
            STARTED.set(None);
            assert!(simulated().is_none());
        }
    }
}
