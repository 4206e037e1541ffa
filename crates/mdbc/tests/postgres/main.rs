//! The local side of PostgreSQL as engine: what is captured at one site and
//! applied at another, and what crashes leave behind.

#![cfg(test)]
#![cfg(feature = "postgres")]

mod capture;
#[path = "../common/cluster.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod cluster;
mod crashes;
mod schema;
mod site;
mod snapshot;
mod types;
