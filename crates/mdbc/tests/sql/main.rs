//! Databases at three real sites in this process, for clients of PostgreSQL.

#![cfg(test)]

#[path = "../common/asked.rs"]
mod asked;
mod bank;
#[allow(dead_code, reason = "shared by several tests")]
#[path = "../common/deployment.rs"]
mod deployment;
#[allow(dead_code, reason = "shared with other tests")]
#[path = "../redo/dice.rs"]
mod dice;
mod group;
mod local;
mod ranges;
mod schema;
mod shells;
mod sites;
