//! The embedded engine's replica, and those who coordinate replicas.
//!
//! Values only: what is sent, delayed, lost or written to disk is the
//! caller's business, so that the engine, a simulator and a model checker
//! run the same code.
//!
//! | module | what it holds |
//! |---|---|
//! | [`register`] | a replica's record of one key; majority read with repair |
//! | [`acceptor`] | a replica's part in the queue of one key |
//! | [`lightweight_transaction`] | how commands change that queue |
//! | [`peek`] | how the queue is read in one round |

pub mod acceptor;
pub mod lightweight_transaction;
pub mod peek;
pub mod register;

#[cfg(test)]
mod tests;
