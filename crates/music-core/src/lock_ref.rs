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

/// How many sections had a ticket before, where its node keeps it for several
/// of its clients' sections, one after the other. 16 bits.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct HandOvers(pub u16);

impl HandOvers {
    /// One more; `None` when all are used up.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// What other systems know a section by: greater than those of all earlier
/// sections of the key. 50 bits, so that a JSON number holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    const HAND_OVERS_BITS: u32 = u16::BITS;

    /// That of a section with this ticket, after so many others.
    pub fn new(lock_ref: LockRef, hand_overs: HandOvers) -> Self {
        Self(lock_ref.get() << Self::HAND_OVERS_BITS | u64::from(hand_overs.0))
    }

    /// The token of that number.
    pub fn from_number(number: u64) -> Self {
        Self(number)
    }

    /// The number; 0 where there is no ticket.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whether other sections had the ticket before.
    pub fn is_handed_over(self) -> bool {
        self > Self::new(self.lock_ref(), HandOvers::default())
    }

    /// The lockRef of the ticket.
    pub fn lock_ref(self) -> LockRef {
        LockRef::new(self.0 >> Self::HAND_OVERS_BITS).unwrap_or(LockRef::MAX)
    }
}
