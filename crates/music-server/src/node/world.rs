//! The one place where a node asks the world for time, chance and other nodes.
#![expect(
    clippy::disallowed_methods,
    reason = "this module owns the clocks and the dice of a node"
)]

#[cfg(feature = "simulation")]
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(feature = "simulation")]
use music_client::in_process::Nodes;
use music_core::id::{RequestId, SessionId};
use music_core::time::{MonotonicTime, WallTime};
use tokio::time::Instant;

use super::courier::Courier;

/// The clocks and the dice of one node, and its way to others.
#[derive(Debug)]
pub struct World {
    start: Instant,
    /// The last wall time given out, in microseconds since 1970.
    wall_last: AtomicU64,
    source: Source,
}

/// Where readings and numbers come from.
#[derive(Debug)]
enum Source {
    Machine,
    /// All that happens depends on the seed and on the runtime's own time.
    #[cfg(feature = "simulation")]
    Seed {
        seed: u64,
        drawn: AtomicU64,
        rate: f64,
        wall_us: u64,
        nodes: Option<Arc<dyn Nodes>>,
    },
}

impl World {
    /// The machine's clocks, and numbers that nobody has seen before.
    pub fn of_the_machine() -> Self {
        Self::new(Source::Machine)
    }

    /// A monotonic clock that runs at `rate` times the runtime's, a wall clock
    /// that says `wall_us` now, and numbers that depend on `seed` alone; other nodes,
    /// if it reaches them, are reached by calls.
    #[cfg(feature = "simulation")]
    pub fn simulated(seed: u64, rate: f64, wall_us: u64, nodes: Option<Arc<dyn Nodes>>) -> Self {
        Self::new(Source::Seed {
            seed,
            drawn: AtomicU64::new(0),
            rate,
            wall_us,
            nodes,
        })
    }

    fn new(source: Source) -> Self {
        Self {
            start: Instant::now(),
            wall_last: AtomicU64::new(0),
            source,
        }
    }

    /// The time since the node started; stands still for nobody.
    pub(super) fn now(&self) -> MonotonicTime {
        let elapsed = self.start.elapsed();
        MonotonicTime::from_start(match &self.source {
            Source::Machine => elapsed,
            #[cfg(feature = "simulation")]
            Source::Seed { rate, .. } => elapsed.mul_f64(*rate),
        })
    }

    /// The instant of a monotonic time, to sleep until.
    pub(super) fn instant(&self, time: MonotonicTime) -> Instant {
        let after = match &self.source {
            Source::Machine => time.since_start(),
            #[cfg(feature = "simulation")]
            Source::Seed { rate, .. } => time.since_start().min(FAR).div_f64(*rate),
        };
        self.start
            .checked_add(after)
            .unwrap_or_else(|| self.start + FAR)
    }

    /// A wall time above every one that this node has given out before, so
    /// that its own writes to a cell keep their order when the clock steps
    /// back.
    pub(super) fn wall_next(&self) -> WallTime {
        let now = match &self.source {
            Source::Machine => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            #[cfg(feature = "simulation")]
            Source::Seed { wall_us, .. } => {
                std::time::Duration::from_micros(*wall_us).saturating_add(self.start.elapsed())
            }
        };
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let next = |last: u64| Some(now.max(last.saturating_add(1)));
        let last = self
            .wall_last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .unwrap_or_else(|last| last);
        WallTime(now.max(last.saturating_add(1)))
    }

    /// The way to other nodes.
    pub(super) fn courier(&self) -> Option<Courier> {
        match &self.source {
            Source::Machine => Some(Courier::Http(reqwest::Client::new())),
            #[cfg(feature = "simulation")]
            Source::Seed { nodes, .. } => nodes.clone().map(Courier::InProcess),
        }
    }

    /// An id for a new node session.
    pub(super) fn session_id(&self) -> SessionId {
        SessionId(self.number())
    }

    /// A name for a ticket that no section gives its own.
    pub(super) fn request_id(&self) -> RequestId {
        RequestId(self.number())
    }

    /// A number that nobody has seen before.
    fn number(&self) -> u128 {
        match &self.source {
            Source::Machine => uuid::Uuid::new_v4().as_u128(),
            #[cfg(feature = "simulation")]
            Source::Seed { seed, drawn, .. } => {
                u128::from(*seed) << 64 | u128::from(drawn.fetch_add(1, Ordering::Relaxed))
            }
        }
    }
}

/// An id for a request whose client gave none.
pub fn request_id() -> RequestId {
    RequestId(uuid::Uuid::new_v4().as_u128())
}

/// Farther away than any lease or wait.
const FAR: std::time::Duration = std::time::Duration::from_hours(100 * 365 * 24);
