//! Evidence that the guarantees of PROTOCOL.md hold, on the code that runs in
//! production.
//!
//! | module | what it holds |
//! |---|---|
//! | [`deployment`] | whole deployments under one seed, with faults |
//! | [`history`] | what clients did and saw, and the judges of it: a crate of its own |
//! | [`oracle`] | the judge that knows the queues and the copies too |
//! | [`recipes`] | recipes in such deployments, and the judges of their promises |
//! | [`exploration`] | thousands of random histories of the core |
//! | [`model`] | exhaustive checks of the core, in small worlds |

use std::fmt;

use clap::ValueEnum;

pub mod deployment;
pub mod exploration;
pub mod model;
pub mod oracle;
pub mod recipes;

pub use music_history as history;

/// Writes a value as the command line has it.
fn cli_name(value: &impl ValueEnum, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let named = value.to_possible_value();
    f.write_str(named.as_ref().map_or("", |named| named.get_name()))
}
