//! Sites that get their database from another: new ones, those that were away for
//! too long, and those whose disk was lost.

#![cfg(test)]

mod away;
#[allow(dead_code, reason = "shared by several tests")]
#[path = "../common/deployment.rs"]
mod deployment;
mod donors;
mod life;
mod lost;
#[path = "../common/process.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod process;
#[path = "../common/way.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod way;
