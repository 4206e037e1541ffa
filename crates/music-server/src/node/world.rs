//! The one place where a node asks the world for time and chance.
#![expect(
    clippy::disallowed_methods,
    reason = "this module owns the clocks and the dice of a node"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use music_core::id::{RequestId, SessionId};
use music_core::time::{MonotonicTime, WallTime};

/// The clocks of one node.
#[derive(Debug)]
pub(super) struct Clock {
    start: Instant,
    /// The last wall time given out, in microseconds since 1970.
    wall_last: AtomicU64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            start: Instant::now(),
            wall_last: AtomicU64::new(0),
        }
    }

    /// The time since the node started; stands still for nobody.
    pub(super) fn now(&self) -> MonotonicTime {
        MonotonicTime::from_start(self.start.elapsed())
    }

    /// The instant of a monotonic time, to sleep until.
    pub(super) fn instant(&self, time: MonotonicTime) -> tokio::time::Instant {
        let far = self.start + FAR;
        self.start
            .checked_add(time.since_start())
            .unwrap_or(far)
            .into()
    }

    /// A wall time above every one that this node has given out before, so
    /// that its own writes to a cell keep their order when the clock steps
    /// back.
    pub(super) fn wall_next(&self) -> WallTime {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let next = |last: u64| Some(now.max(last.saturating_add(1)));
        let last = self
            .wall_last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .unwrap_or_else(|last| last);
        WallTime(now.max(last.saturating_add(1)))
    }
}

/// Farther away than any lease or wait.
const FAR: std::time::Duration = std::time::Duration::from_hours(100 * 365 * 24);

/// An id for a new node session.
pub(super) fn session_id() -> SessionId {
    SessionId(uuid::Uuid::new_v4().as_u128())
}

/// An id for a request whose client gave none.
pub fn request_id() -> RequestId {
    RequestId(uuid::Uuid::new_v4().as_u128())
}
