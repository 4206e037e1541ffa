//! Clients of sites whose local engine is PostgreSQL.

#![cfg(test)]
#![cfg(feature = "postgres")]

#[cfg(feature = "clients")]
mod application;
#[path = "../common/asked.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod asked;
#[path = "../sql/bank.rs"]
#[allow(dead_code, reason = "this engine has no ranges")]
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
#[path = "../common/process.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod process;
mod restore;
#[path = "../common/shell.rs"]
mod shell;
mod site;
mod sites;
mod three;
#[path = "../common/way.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod way;
