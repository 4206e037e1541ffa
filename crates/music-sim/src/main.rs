//! The evidence, on the command line: one file a subcommand.

#![allow(clippy::print_stdout, reason = "a check reports on standard output")]

mod clock;
mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use command::model;
#[cfg(feature = "mutations")]
use command::mutations;

/// Checks of the protocol.
#[derive(Parser)]
#[command(name = "music-sim")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Explore small worlds to their end
    Model(model::Arguments),
    /// Break each rule of the protocol, and demand that a check finds it
    #[cfg(feature = "mutations")]
    Mutations(mutations::Arguments),
}

fn main() -> ExitCode {
    let is_fine = match Arguments::parse().command {
        Command::Model(arguments) => model::run(&arguments),
        #[cfg(feature = "mutations")]
        Command::Mutations(arguments) => mutations::run(&arguments),
    };
    if is_fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
