//! `cargo xtask sim`, `model` and `mutations`: the checks of `music-sim`.
//!
//! They are built in the profile `sim`: fast, and every assertion stays on.

use std::path::Path;

use anyhow::Result;

use crate::{shell, test};

/// Where the table of mutations is kept.
const TABLE: &str = "docs/evidence/mutations.md";

const BUILD: [&str; 7] = [
    "run",
    "--locked",
    "--quiet",
    "--profile",
    "sim",
    "--package",
    "music-sim",
];

/// What to simulate.
#[derive(clap::Args)]
pub(crate) struct Sim {
    /// As `music-sim sim --help` lists them: --seeds N, --from S, --minutes M …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs whole deployments.
///
/// # Errors
///
/// When a guarantee is broken, or a rare event was never reached.
pub(crate) fn sim(root: &Path, sim: &Sim) -> Result<()> {
    let mut arguments = BUILD.to_vec();
    arguments.extend(["--", "sim"]);
    arguments.extend(sim.arguments.iter().map(String::as_str));
    shell::run(&mut shell::program(root, "cargo", &arguments))
}

/// Runs a few hundred deployments, some of them with recipes, by the program that
/// the tests were built with: to build another takes longer than they do.
///
/// # Errors
///
/// As [`sim`].
pub(crate) fn sim_in_ci(root: &Path) -> Result<()> {
    // The same as for the tests, or some crates would be built with other features.
    shell::run(&mut test::cargo_test(root, &["--no-run", "--quiet"]))?;
    let music_sim = shell::target(root)?.join("debug").join("music-sim");
    let music_sim = music_sim.display().to_string();
    for arguments in [
        ["sim", "--seeds", "200"].as_slice(),
        &["sim", "--recipes", "--seeds", "120"],
    ] {
        shell::run(&mut shell::program(root, &music_sim, arguments))?;
    }
    Ok(())
}

/// Explores all small worlds, or one.
///
/// # Errors
///
/// When a guarantee is broken, or a scenario does not reach what it must.
pub(crate) fn model(root: &Path, scenario: Option<&str>) -> Result<()> {
    let mut arguments = BUILD.to_vec();
    arguments.extend(["--", "model", "--verbose"]);
    arguments.extend(scenario.into_iter().flat_map(|name| ["--scenario", name]));
    shell::run(&mut shell::program(root, "cargo", &arguments))
}

/// Tries all mutations and writes the table of them, or tries one.
///
/// # Errors
///
/// When a mutation is not found.
pub(crate) fn mutations(root: &Path, only: Option<&str>) -> Result<()> {
    let mut arguments = BUILD.to_vec();
    arguments.extend(["--features", "mutations", "--", "mutations"]);
    match only {
        Some(name) => arguments.extend(["--only", name]),
        None => arguments.extend(["--table", TABLE]),
    }
    shell::run(&mut shell::program(root, "cargo", &arguments))
}
