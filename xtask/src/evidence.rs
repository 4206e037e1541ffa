//! `cargo xtask model` and `cargo xtask mutations`: the checks of `music-sim`.
//!
//! They are built in the profile `sim`: fast, and every assertion stays on.

use std::path::Path;

use anyhow::Result;

use crate::shell;

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
