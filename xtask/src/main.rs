//! The tasks of this repository.
//!
//! | command | what it does |
//! |---|---|
//! | `cargo xtask test` | all tests of the workspace, documentation tests, the Python client's and those with SQL clients included |
//! | `cargo xtask engines` | real servers for tests: install, start, stop, status |
//! | `cargo xtask ci` | exactly what CI runs: tests, format, lints, docs, dependencies, tidy |
//! | `cargo xtask verify` | the formal models, by Spin and Alloy |
//! | `cargo xtask bench` | MUSIC beside etcd, ZooKeeper and Cassandra, critical sections in rounds |
//! | `cargo xtask sim` | whole deployments under many seeds, with faults |
//! | `cargo xtask model` | exhaustive checks of the core, in small worlds |
//! | `cargo xtask mutations` | breaks each rule of the protocol; a check must find it |
//! | `cargo xtask fuzz` | random inputs for everything that parses what a stranger sends |
//! | `cargo xtask torture` | a deployment on real engines, under real faults |
//! | `cargo xtask tidy` | the house rules that no other tool checks |
//! | `cargo xtask deps` | licences, sources and direction of dependencies |

#![allow(clippy::print_stdout, reason = "a task reports on standard output")]

mod bench;
mod ci;
mod clock;
mod deps;
mod engines;
mod evidence;
mod fuzz;
mod licence;
mod packages;
mod python;
mod shell;
mod sql;
mod test;
mod tidy;
mod torture;
mod verify;

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
    Test {
        /// Run those that need real servers instead, and the servers
        #[arg(long)]
        engines: bool,
        /// Run those of the Python client alone
        #[arg(long, conflicts_with = "engines")]
        python: bool,
        /// Run those of mdbc with SQL clients of all kinds alone
        #[arg(long, conflicts_with_all = ["engines", "python"])]
        sql: bool,
    },
    /// Install, start and stop real servers for tests
    #[command(subcommand)]
    Engines(engines::Engines),
    /// Run everything that CI runs
    Ci {
        /// Leave the tests out, because they have just run
        #[arg(long)]
        after_test: bool,
    },
    /// Check the formal models, each also with one rule broken at a time
    Verify,
    /// Measure, on a machine that does nothing else
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Run whole deployments under many seeds, with faults
    Sim(evidence::Sim),
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
    /// Try random inputs on everything that parses what a stranger sends
    Fuzz(fuzz::Fuzz),
    /// Do harm to a deployment on real engines, and judge what its clients saw
    Torture(torture::Torture),
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
        Task::Test { engines: true, .. } => test::run_with_engines(&root),
        Task::Test { python: true, .. } => python::build_and_run(&root),
        Task::Test { sql: true, .. } => sql::run(&root),
        Task::Test { .. } => test::run(&root),
        Task::Engines(engines) => engines::run(&root, engines),
        Task::Ci { after_test } => ci::run(&root, *after_test),
        Task::Verify => verify::run(&root),
        Task::Bench(bench) => bench::run(&root, bench),
        Task::Sim(sim) => evidence::sim(&root, sim),
        Task::Model { scenario } => evidence::model(&root, scenario.as_deref()),
        Task::Mutations { only } => evidence::mutations(&root, only.as_deref()),
        Task::Fuzz(fuzz) => fuzz::run(&root, fuzz),
        Task::Torture(torture) => torture::run(&root, torture),
        Task::Tidy => tidy::run(&root),
        Task::Deps => deps::run(&root),
    }
}
