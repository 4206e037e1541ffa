//! The MUSIC protocol as values: events in, effects out.
//!
//! Nothing in this crate does I/O, reads a clock, draws a random number or
//! starts a thread, so that one and the same value runs under the server, a
//! simulator and a model checker.
//!
//! | module | what it holds |
//! |---|---|
//! | [`stamp`], [`lock_ref`] | the numbers that order every write |
//! | [`record`] | last-writer-wins cells of one key, and how copies merge |
//! | [`lock_queue`] | the queue of one key: tickets, released, forced, synced |
//! | [`critical_section`] | one client's section over a key set, as a machine |
//! | [`session`] | a node's proof of life, and its suspicion of other nodes |
//! | [`quorum`] | majority arithmetic |
//! | [`replica`] | the embedded engine's replica: register and transaction |
#![no_std]
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::wildcard_enum_match_arm
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod critical_section;
pub mod id;
pub mod lock_queue;
pub mod lock_ref;
#[cfg(feature = "mutations")]
pub mod mutation;
#[cfg(not(feature = "mutations"))]
mod mutation;
pub mod quorum;
pub mod record;
pub mod replica;
pub mod session;
pub mod stamp;
pub mod time;
