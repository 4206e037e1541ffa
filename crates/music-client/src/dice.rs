//! The client's only source of randomness.
#![allow(clippy::disallowed_methods, reason = "this module owns the dice")]

use uuid::Uuid;

#[cfg(feature = "simulation")]
thread_local! {
    /// What this thread draws from, if not from the machine.
    static SEEDED: std::cell::RefCell<Option<rand::rngs::StdRng>> =
        const { std::cell::RefCell::new(None) };
}

/// Lets this thread draw from one seed from now on.
#[cfg(feature = "simulation")]
pub(crate) fn seed(seed: u64) {
    use rand::SeedableRng as _;
    SEEDED.set(Some(rand::rngs::StdRng::seed_from_u64(seed)));
}

/// A number, 0 to 1, 1 excluded.
pub(crate) fn draw() -> f64 {
    random()
}

/// A name for a changing request, unlike any other.
pub(crate) fn idempotency_key() -> Uuid {
    uuid::Builder::from_random_bytes(random()).into_uuid()
}

fn random<T>() -> T
where
    rand::distr::StandardUniform: rand::distr::Distribution<T>,
{
    #[cfg(feature = "simulation")]
    if let Some(drawn) = SEEDED.with_borrow_mut(|dice| dice.as_mut().map(rand::Rng::random)) {
        return drawn;
    }
    rand::random()
}
