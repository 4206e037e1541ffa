//! The checks that `cargo xtask` runs: `sim`, and more.
#![allow(clippy::print_stdout, reason = "a check reports on standard output")]

mod sim;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(bin_name = "music-sim")]
struct Arguments {
    #[command(subcommand)]
    check: Check,
}

#[derive(Subcommand)]
enum Check {
    /// Whole deployments under many seeds
    Sim(sim::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().check {
        Check::Sim(arguments) => sim::run(&arguments),
    }
}
