//! Where draws come from: a seed, so that the same clients draw the same.

use std::ops::RangeInclusive;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

/// Draws of one client.
#[derive(Debug)]
pub(crate) struct Dice(SmallRng);

impl Dice {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// One of these numbers.
    pub(crate) fn one_of(&mut self, numbers: RangeInclusive<i64>) -> i64 {
        self.0.random_range(numbers)
    }

    /// Whether it is one of so many of a hundred.
    pub(crate) fn per_cent(&mut self, part: i64) -> bool {
        self.one_of(1..=100) <= part
    }
}
