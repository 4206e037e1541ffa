//! The environment, which settings may come from.
#![expect(
    clippy::disallowed_methods,
    reason = "this module owns the environment"
)]

/// The value of a variable; `None` where it is not set or no UTF-8.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
