//! Stamps: the numbers that order all writes of a cell.
//!
//! ```text
//! 63 bits:  CRITICAL (1) | lockRef (34) | incarnation (8) | tick (20)
//!           0            | microseconds since 1970 (62)
//! ```
//!
//! The order of stamps is the order of writes. A later section has a higher
//! lockRef, so whatever a preempted holder still has on its way loses,
//! whenever it lands; no clock has a part in it. The worst failure survived:
//! a put that arrives years after its section was preempted.

use core::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::lock_ref::{Holding, Incarnation, LockRef, Tick};
use crate::mutation::{self, Mutation};
use crate::time::WallTime;

const CRITICAL: u64 = 1 << 62;
/// How far to the left the lockRef, the incarnation and the tick stand.
const SHIFTS: [u32; 3] = [28, 20, 0];

/// Orders the writes of a cell: the highest wins.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp(#[serde(deserialize_with = "number")] u64);

/// A stamp above all others would never lose: bytes that hold one are damaged.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let stamp = Stamp::from_number(u64::deserialize(deserializer)?);
    let stamp = stamp.ok_or_else(|| D::Error::custom("a stamp is below 2^63"))?;
    Ok(stamp.get())
}

impl Stamp {
    /// The stamp of a critical write.
    pub fn critical(holding: Holding, tick: Tick) -> Self {
        let [lock_ref, incarnation, shift] = shifts();
        Self(
            CRITICAL
                | holding.lock_ref.get() << lock_ref
                | u64::from(holding.incarnation.0) << incarnation
                | u64::from(tick.get()) << shift,
        )
    }

    /// The stamp of a write to an eventual table.
    ///
    /// Times past the year 148,000 count as its last microsecond.
    pub fn eventual(time: WallTime) -> Self {
        Self(time.0.min(CRITICAL.saturating_sub(1)))
    }

    /// A plain counter as stamp, as the proof of life of a node uses it.
    pub fn counter(count: u64) -> Self {
        Self(count.min(CRITICAL.saturating_sub(1)))
    }

    /// The number, below 2^63.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Takes a number as read from an engine; `None` from 2^63 on.
    pub const fn from_number(number: u64) -> Option<Self> {
        if number < CRITICAL << 1 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// Whether a critical section wrote it.
    pub const fn is_critical(self) -> bool {
        self.0 & CRITICAL != 0
    }

    /// The lockRef and incarnation of the writer; `None` of an eventual write.
    pub fn holding(self) -> Option<Holding> {
        if !self.is_critical() {
            return None;
        }
        let [lock_ref, incarnation, _] = shifts();
        let lock_ref = LockRef::new((self.0 & !CRITICAL) >> lock_ref & LockRef::MAX.get())?;
        let incarnation = u8::try_from(self.0 >> incarnation & 0xff).ok()?;
        Some(Holding {
            lock_ref,
            incarnation: Incarnation(incarnation),
        })
    }

    /// The tick of a critical write; `None` of an eventual one.
    pub fn tick(self) -> Option<Tick> {
        let [.., shift] = shifts();
        let number = u32::try_from(self.0 >> shift & u64::from(Tick::MAX.get())).ok()?;
        if self.is_critical() {
            Tick::new(number)
        } else {
            None
        }
    }
}

fn shifts() -> [u32; 3] {
    if mutation::is_on(Mutation::TickBeforeLockRef) {
        return [8, 0, 42];
    }
    SHIFTS
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.holding(), self.tick()) {
            (Some(holding), Some(tick)) => {
                write!(
                    f,
                    "{}.{}.{}",
                    holding.lock_ref,
                    holding.incarnation.0,
                    tick.get()
                )
            }
            _ => write!(f, "{}us", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holding() -> impl Strategy<Value = Holding> {
        (0..=LockRef::MAX.get(), any::<u8>()).prop_map(|(lock_ref, incarnation)| Holding {
            lock_ref: LockRef::new(lock_ref).unwrap(),
            incarnation: Incarnation(incarnation),
        })
    }

    fn tick() -> impl Strategy<Value = Tick> {
        (0..=Tick::MAX.get()).prop_map(|number| Tick::new(number).unwrap())
    }

    proptest! {
        #[test]
        fn order_is_lock_ref_then_incarnation_then_tick(
            a in (holding(), tick()), b in (holding(), tick()),
        ) {
            let stamps = Stamp::critical(a.0, a.1).cmp(&Stamp::critical(b.0, b.1));
            prop_assert_eq!(stamps, a.cmp(&b));
        }

        #[test]
        fn parts_come_back(holding in holding(), tick in tick()) {
            let stamp = Stamp::critical(holding, tick);
            prop_assert_eq!(stamp.holding(), Some(holding));
            prop_assert_eq!(stamp.tick(), Some(tick));
            prop_assert_eq!(Stamp::from_number(stamp.get()), Some(stamp));
        }

        #[test]
        fn every_critical_stamp_is_above_every_eventual_one(
            holding in holding(), tick in tick(), micros in any::<u64>(),
        ) {
            prop_assert!(Stamp::critical(holding, tick) > Stamp::eventual(WallTime(micros)));
        }
    }

    #[test]
    fn a_stamp_has_63_bits() {
        let highest = Holding {
            lock_ref: LockRef::MAX,
            incarnation: Incarnation(255),
        };
        assert_eq!(Stamp::critical(highest, Tick::MAX).get(), (1 << 63) - 1);
        assert_eq!(Stamp::from_number(1 << 63), None);
    }
}
