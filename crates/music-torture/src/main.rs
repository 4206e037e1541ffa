//! The clients of a deployment that is tortured, and the judgement of what
//! they saw. `cargo xtask torture` starts the deployment, does the harm and
//! starts this; `docs/evidence/torture.md` says how it works.

#![allow(clippy::print_stdout, reason = "a check reports on standard output")]

mod client;
mod clock;
mod faults;
mod journal;
mod judge;
mod merge;
mod rest;
mod standstill;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Clients of a deployment that is tortured, and the judgement of what they saw.
#[derive(Parser)]
#[command(name = "music-torture")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Work until standard input ends, then show that everything can be had
    Client(client::Arguments),
    /// Wait until no ticket is left in any queue
    Rest(rest::Arguments),
    /// Judge what clients saw
    Judge(judge::Arguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Client(arguments) => client::run(&arguments).map(|()| true),
        Command::Rest(arguments) => rest::run(&arguments).map(|()| true),
        Command::Judge(arguments) => judge::run(&arguments),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("music-torture: {error:#}");
            ExitCode::FAILURE
        }
    }
}
