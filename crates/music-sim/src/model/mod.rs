//! Exhaustive checks of the real core, in small worlds.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a model that indexes wrongly checks nothing: it must stop"
)]

mod judge;
mod plan;
mod scenarios;
mod sections;
mod state;
mod steps;

pub use plan::{End, Faults, Op, Plan, Reach, Scenario, Start};
pub use scenarios::SCENARIOS;
pub use sections::{Action, Sections};
pub use state::State;
