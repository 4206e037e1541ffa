//! Clients of sites whose local engine is PostgreSQL.
#![cfg(feature = "postgres")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

#[path = "../common/cluster.rs"]
mod cluster;
#[path = "../common/deployment.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod deployment;
mod one;
mod site;
