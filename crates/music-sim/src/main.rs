//! The evidence, on the command line: one file a subcommand.

#![allow(clippy::print_stdout, reason = "a check reports on standard output")]

mod clock;
mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use command::sim;

/// Checks of the protocol.
#[derive(Parser)]
#[command(name = "music-sim")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run whole deployments under many seeds
    Sim(sim::Arguments),
}

fn main() -> ExitCode {
    let is_fine = match Arguments::parse().command {
        Command::Sim(arguments) => sim::run(&arguments),
    };
    if is_fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
