//! Lock references, and the two numbers that refine them.

use core::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A ticket's number in the queue of one key. It only grows.
///
/// 0 stands for "none yet" in the fields `last`, `released`, `forced` and
/// `synced` of a queue; the first ticket is 1. 34 bits.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct LockRef(#[serde(deserialize_with = "number")] u64);

/// A number that has no room in a stamp would order no write.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let lock_ref = LockRef::new(u64::deserialize(deserializer)?);
    let lock_ref = lock_ref.ok_or_else(|| D::Error::custom("a lockRef has 34 bits"))?;
    Ok(lock_ref.get())
}

impl LockRef {
    /// Before the first ticket.
    pub const NONE: Self = Self(0);
    /// The highest number there is: 27 years at 20 sections a second.
    pub const MAX: Self = Self((1 << 34) - 1);

    /// Takes a number; `None` above [`LockRef::MAX`].
    pub const fn new(number: u64) -> Option<Self> {
        if number <= Self::MAX.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number: 0, or 1 to [`LockRef::MAX`].
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next number; `None` after [`LockRef::MAX`].
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).and_then(Self::new)
    }
}

impl fmt::Display for LockRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often a section was taken over, by a node or to number its puts anew.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Incarnation(pub u8);

impl Incarnation {
    /// The next one; `None` when all 256 are used up.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// A put's number within one incarnation of a section. 20 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(u32);

impl Tick {
    /// The first.
    pub const FIRST: Self = Self(0);
    /// The last of an incarnation.
    pub const MAX: Self = Self((1 << 20) - 1);

    /// Takes a number; `None` above [`Tick::MAX`].
    pub const fn new(number: u32) -> Option<Self> {
        if number <= Self::MAX.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number, 0 to [`Tick::MAX`].
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The next one; `None` after [`Tick::MAX`].
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).and_then(Self::new)
    }
}

/// A ticket as one node holds it: number and incarnation.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Holding {
    /// The ticket's number.
    pub lock_ref: LockRef,
    /// The incarnation under which this node writes.
    pub incarnation: Incarnation,
}
