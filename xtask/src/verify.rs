//! `cargo xtask verify`: the formal models in `formal/`.
//!
//! Every model is checked as it is, and again with one rule broken at a time:
//! the first must find no counterexample, the second must find one, for a
//! check that cannot fail shows nothing.
//!
//! | module | what it does |
//! |---|---|
//! | [`spin`] | makes, runs and reads Spin's verifiers |
//! | [`spin_cases`] | what Spin checks, and within which bounds |
//! | [`alloy`] | runs the Alloy analyzer, reads its answers |
//! | [`verdict`] | what was asked, what was found, and the table of it |
//! | [`side_by_side`] | runs cases on as many cores as there are |

mod alloy;
mod side_by_side;
mod spin;
mod spin_cases;
mod verdict;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::clock::Stopwatch;
use crate::packages::{self, Package, package};
use crate::shell;
use verdict::{Finding, table};

/// What is run.
const NEEDED: &[Package] = &[
    package("spin", "spin"),
    package("gcc", "gcc"),
    // The headers that a verifier includes: gcc only recommends them.
    package("libc6-dev", "ld"),
    package("default-jre-headless", "java"),
];

/// Checks the models, prints a table, and shows what went wrong.
///
/// # Errors
///
/// When something is missing that cannot be installed, when a model has a
/// counterexample, and when a broken rule has none.
pub(crate) fn run(root: &Path) -> Result<()> {
    let stopwatch = Stopwatch::start();
    let folder = shell::target(root)?.join("verify");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    packages::ensure_debian_packages(root, NEEDED)?;
    let analyzer = alloy::Analyzer::find(root, &folder)?;

    let mut findings = Vec::new();
    println!("\n== Spin");
    findings.extend(side_by_side::run(spin_cases::all(), |case| {
        spin::check(&root.join("formal/spin"), &folder, &case)
    })?);
    println!("\n== Alloy");
    findings.extend(side_by_side::run(analyzer.commands()?, |command| {
        analyzer.check(&command)
    })?);

    println!("\n{}", table(&findings));
    println!("verify: {} s", stopwatch.elapsed().as_secs());
    let unexpected: Vec<&Finding> = findings.iter().filter(|f| !f.is_expected()).collect();
    for finding in &unexpected {
        println!("\n{}", finding.report());
    }
    ensure!(
        unexpected.is_empty(),
        "{} of {} cases are not as they must be",
        unexpected.len(),
        findings.len()
    );
    Ok(())
}
