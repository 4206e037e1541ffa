//! Exhaustive checks of the real core, in small worlds.
//!
//! | module | what is real | what is small |
//! |---|---|---|
//! | [`sections`] | the section's machine, the queue, the majority read | 2 to 4 sections, one key of two fields, three copies |
//! | [`lock_store`] | acceptors, transactions, peeks | three replicas, 2 or 3 nodes |
//! | [`lease`] | a node's session, its observer | one owner, one watcher, 9 ticks |
//!
//! `always` properties are the guarantees of PROTOCOL.md; `sometimes`
//! properties say that the rare branches are reached, lest a check be empty.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a model that indexes wrongly checks nothing: it must stop"
)]

mod check;
mod judge;
pub mod lease;
pub mod lock_store;
mod plan;
mod scenarios;
pub mod sections;
mod state;
mod steps;
mod tenure;

pub use check::{Check, Report, checks};
pub use plan::{End, Faults, Op, Plan, Reach, Scenario, Start};
pub use scenarios::SCENARIOS;
pub use state::State;
