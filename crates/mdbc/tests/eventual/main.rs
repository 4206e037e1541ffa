//! Eventual tables at three real sites in this process, each with its server and
//! clients over TCP: whatever is cut off or killed, all sites end equal, and
//! nothing is lost.

#![cfg(test)]

mod chaos;
mod conflicts;
mod cuts;
mod freshness;
mod schema;
#[path = "../redo/dice.rs"]
#[allow(dead_code, reason = "shared with the tests of the redo log")]
mod dice;
mod kills;
mod mixed;
mod sites;
