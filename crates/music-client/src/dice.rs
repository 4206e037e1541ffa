//! The client's only source of randomness.

use uuid::Uuid;

/// A number, 0 to 1, 1 excluded.
#[allow(clippy::disallowed_methods, reason = "this module owns the dice")]
pub(crate) fn draw() -> f64 {
    rand::random()
}

/// A name for a changing request, unlike any other.
pub(crate) fn idempotency_key() -> Uuid {
    Uuid::new_v4()
}
