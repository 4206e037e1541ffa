//! The subcommands.

pub(crate) mod model;
#[cfg(feature = "mutations")]
pub(crate) mod mutations;
