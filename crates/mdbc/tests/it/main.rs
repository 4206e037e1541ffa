//! The front with real clients, against a site in this process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod group;
mod local;
mod noise;
mod other_clients;
mod psql;
mod site;
mod transcripts;
