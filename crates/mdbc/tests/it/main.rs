//! The front with real clients, against a site in this process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "../redo/dice.rs"]
mod dice;
mod group;
mod local;
mod noise;
mod other_clients;
mod psql;
mod ranges;
#[path = "../common/shell.rs"]
mod shell;
mod site;
mod transcripts;
