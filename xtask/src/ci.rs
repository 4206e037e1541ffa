//! `cargo xtask ci`: exactly what CI runs.
//!
//! A failing step does not stop the others, so that one run shows everything
//! there is to mend.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::{clock::Stopwatch, deps, evidence, shell, test, tidy};

/// One thing that has to succeed.
struct Step {
    name: &'static str,
    run: fn(&Path) -> Result<()>,
}

const STEPS: &[Step] = &[
    Step {
        name: "test",
        run: test::run,
    },
    // By itself, as its servers want the whole machine.
    Step {
        name: "engines",
        run: test::run_with_engines,
    },
    Step {
        name: "sim",
        run: evidence::sim_in_ci,
    },
    Step {
        name: "format",
        run: format,
    },
    Step {
        name: "clippy",
        run: clippy,
    },
    Step {
        name: "rustdoc",
        run: rustdoc,
    },
    Step {
        name: "deps",
        run: deps::run,
    },
    Step {
        name: "tidy",
        run: tidy::run,
    },
];

/// Runs every step, then says which failed.
///
/// # Errors
///
/// When at least one step failed.
pub(crate) fn run(root: &Path, after_test: bool) -> Result<()> {
    let steps = STEPS
        .iter()
        .filter(|step| !(after_test && step.name == "test"));
    let mut results = Vec::new();
    for step in steps {
        println!("\n== {}", step.name);
        let stopwatch = Stopwatch::start();
        let result = (step.run)(root);
        if let Err(error) = &result {
            println!("{error:#}");
        }
        results.push((step.name, result.is_ok(), stopwatch.elapsed()));
    }
    println!("\n{}", summary(&results));
    let failed: Vec<&str> = results
        .iter()
        .filter(|(_, is_ok, _)| !is_ok)
        .map(|(name, ..)| *name)
        .collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn format(root: &Path) -> Result<()> {
    let arguments = ["fmt", "--all", "--check"];
    shell::run(&mut shell::program(root, "cargo", &arguments))?;
    // A workspace of its own.
    let mut fuzz = shell::program(root, "cargo", &arguments);
    shell::run(fuzz.args(["--manifest-path", "fuzz/Cargo.toml"]))
}

fn clippy(root: &Path) -> Result<()> {
    let what = [&["clippy", "--all-targets"], &test::WORKSPACE[..]].concat();
    let mut cargo = shell::program(root, "cargo", &what);
    shell::run(cargo.args(["--", "-D", "warnings"]))
}

fn rustdoc(root: &Path) -> Result<()> {
    let what = [&["doc", "--no-deps"], &test::WORKSPACE[..]].concat();
    let mut doc = shell::program(root, "cargo", &what);
    shell::run(doc.env("RUSTDOCFLAGS", "-D warnings"))
}

/// One line a step: its name, its result, how long it took.
fn summary(results: &[(&str, bool, Duration)]) -> String {
    let lines: Vec<String> = results
        .iter()
        .map(|(name, is_ok, took)| {
            let verdict = if *is_ok { "ok" } else { "FAILED" };
            format!("{name:<8} {verdict:<7} {:>4} s", took.as_secs())
        })
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_each_step_and_its_result() {
        let results = [
            ("test", true, Duration::from_secs(61)),
            ("tidy", false, Duration::ZERO),
        ];
        assert_eq!(
            summary(&results),
            "test     ok        61 s\ntidy     FAILED     0 s"
        );
    }
}
