//! Time as an argument: the core never asks for it.

use core::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// Time since some start, by a clock that never goes back; one per process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonotonicTime(Duration);

impl MonotonicTime {
    /// The time `elapsed` after the start.
    pub const fn from_start(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    /// How long after the start this is.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time `duration` later; stays at the end of time.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Microseconds since 1970 by a clock that may be wrong or step back.
///
/// Orders the writes of eventual tables and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WallTime(pub u64);

/// How long a node session or a client may go unheard.
///
/// It decides when others go on, never which write wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lease(#[serde(deserialize_with = "length")] Duration);

/// A lease of no time would make every owner look dead.
fn length<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let lease = Lease::new(Duration::deserialize(deserializer)?);
    let lease = lease.ok_or_else(|| D::Error::custom("a lease is 100 ms to a day"))?;
    Ok(lease.get())
}

impl Lease {
    /// The shortest lease: below it, delays of a wide area look like deaths.
    pub const MIN: Self = Self(Duration::from_millis(100));
    /// The lease of nodes and clients that ask for no other.
    pub const DEFAULT: Self = Self(Duration::from_secs(5));
    /// The longest lease: a day.
    pub const MAX: Self = Self(Duration::from_hours(24));

    /// Takes a length; `None` outside [`Lease::MIN`] to [`Lease::MAX`].
    pub fn new(length: Duration) -> Option<Self> {
        (Self::MIN.0 <= length && length <= Self::MAX.0).then_some(Self(length))
    }

    /// The length.
    pub const fn get(self) -> Duration {
        self.0
    }

    /// How often its keeper proves life: three times a lease.
    pub fn renewal_interval(self) -> Duration {
        self.0.checked_div(3).unwrap_or_default()
    }

    /// How long others wait before they take its keeper for dead: a quarter
    /// more than the lease, for clocks of different rates.
    pub fn suspicion_after(self) -> Duration {
        let quarter = self.0.checked_div(4).unwrap_or_default();
        self.0.saturating_add(quarter)
    }
}
