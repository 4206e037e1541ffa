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
