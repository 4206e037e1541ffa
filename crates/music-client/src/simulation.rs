//! Chance as a simulation has it.

/// Lets all clients of this thread draw from one seed from now on.
pub fn seed(seed: u64) {
    crate::dice::seed(seed);
}
