//! The tasks of this repository.
//!
//! | command | what it does |
//! |---|---|
//! | `cargo xtask test` | all tests of the workspace, documentation tests included |
//! | `cargo xtask ci` | exactly what CI runs: tests, format, lints, docs, dependencies, tidy |
//! | `cargo xtask bench` | MUSIC beside etcd, critical sections in rounds |
//! | `cargo xtask model` | exhaustive checks of the core, in small worlds |
//! | `cargo xtask mutations` | breaks each rule of the protocol; a check must find it |
//! | `cargo xtask tidy` | the house rules that no other tool checks |
//! | `cargo xtask deps` | licences, sources and direction of dependencies |

#![allow(clippy::print_stdout, reason = "a task reports on standard output")]

mod bench;
mod ci;
mod clock;
mod deps;
mod evidence;
mod licence;
mod packages;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The tasks of this repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run all tests of the workspace
    Test,
    /// Run everything that CI runs
    Ci {
        /// Leave the tests out, because they have just run
        #[arg(long)]
        after_test: bool,
    },
    /// Measure, on a machine that does nothing else
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Explore small worlds of the core to their end
    Model {
        /// Only this scenario
        #[arg(long)]
        scenario: Option<String>,
    },
    /// Break each rule of the protocol, and demand that a check finds it
    Mutations {
        /// Only this mutation; the table stays as it is
        #[arg(long)]
        only: Option<String>,
    },
    /// Check the house rules
    Tidy,
    /// Check licences, sources and direction of dependencies
    Deps,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> anyhow::Result<()> {
    let root = shell::root()?;
    match task {
        Task::Test => test::run(&root),
        Task::Ci { after_test } => ci::run(&root, *after_test),
        Task::Bench(bench) => bench::run(&root, bench),
        Task::Model { scenario } => evidence::model(&root, scenario.as_deref()),
        Task::Mutations { only } => evidence::mutations(&root, only.as_deref()),
        Task::Tidy => tidy::run(&root),
        Task::Deps => deps::run(&root),
    }
}
