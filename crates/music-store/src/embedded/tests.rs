//! The engine as a whole.

mod conformance;
mod failures;
mod healing;
mod opening;
mod smoke;
mod stress;
