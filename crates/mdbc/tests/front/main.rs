//! Clients of sites whose local engine is PostgreSQL.
#![cfg(feature = "postgres")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[cfg(feature = "clients")]
mod application;
#[path = "../sql/bank.rs"]
mod bank;
#[path = "../common/cluster.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod cluster;
#[path = "../common/deployment.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod deployment;
#[path = "../redo/dice.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod dice;
mod one;
#[path = "../it/other_clients.rs"]
mod other_clients;
mod site;
mod sites;
mod three;
