//! `music demo`: programs on top of MUSIC, shown at work.

mod cast;
mod chance;
mod clock;
pub(crate) mod error;
mod placement;
mod report;
mod stage;
mod story;

use clap::{Args, Subcommand};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Show a program on top of MUSIC at work, faults included
#[derive(Debug, Args)]
pub(crate) struct Demo {
    #[command(subcommand)]
    which: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    Placement(placement::Arguments),
}

/// Shows it.
pub(crate) async fn run(demo: Demo, output: &Output) -> Result<Exit, Failure> {
    match demo.which {
        Which::Placement(arguments) => placement::run(arguments, output).await,
    }
}
