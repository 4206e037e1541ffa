//! Eventual tables at three real sites in this process, each with its server and
//! clients over TCP: whatever is cut off or killed, all sites end equal, and
//! nothing is lost.

#![cfg(test)]

mod chaos;
mod conflicts;
mod cuts;
#[allow(dead_code, reason = "shared by several tests")]
#[path = "../common/deployment.rs"]
mod deployment;
#[path = "../redo/dice.rs"]
#[allow(dead_code, reason = "shared with the tests of the redo log")]
mod dice;
mod freshness;
mod kills;
mod mixed;
mod schema;
mod sites;
