//! The subcommands.

pub(crate) mod sim;
