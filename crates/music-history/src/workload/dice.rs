//! Chance, as a workload has it: numbers that depend on the seed alone.

pub use rand::Rng;
use rand::SeedableRng as _;
pub use rand::rngs::StdRng as Dice;

/// Dice for one part of a run: what it draws depends on nothing but the seed.
pub fn dice(seed: u64, part: u64) -> Dice {
    Dice::seed_from_u64(seed ^ part)
}
