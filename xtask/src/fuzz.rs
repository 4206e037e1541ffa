//! `cargo xtask fuzz`: tries everything that parses what a stranger sends.
//!
//! | module | what it does |
//! |---|---|
//! | [`build`] | gets cargo-fuzz, and builds the targets with it |
//! | [`target`] | one target: runs it, and reads what it reported |
//!
//! The targets are the files of `fuzz/fuzz_targets`. Each starts from its
//! committed corpus and from what earlier runs on this machine found, which is
//! kept under `target/fuzz`. `--grow` adds to the committed corpus what of that
//! covers more; an input that breaks a promise is added by hand, for it
//! deserves a name that says what it shows.

mod build;
mod target;

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use clap::Args;

use target::{Report, Target};

/// What is tried, and for how long.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// How long in all; the targets get equal parts of it
    #[arg(long, required_unless_present = "input")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=10_000))]
    minutes: Option<u32>,
    /// The only target
    #[arg(long)]
    target: Option<String>,
    /// Add to the committed corpus what covers more
    #[arg(long)]
    grow: bool,
    /// Try this input alone, as a crash left it
    #[arg(long, requires = "target", conflicts_with_all = ["minutes", "grow"])]
    input: Option<String>,
}

/// Builds the targets once, then runs them in turn.
///
/// # Errors
///
/// When something is missing or does not build, and when an input broke a
/// promise, took too long or too much memory.
pub(crate) fn run(root: &Path, fuzz: &Fuzz) -> Result<()> {
    let targets = chosen(target::all(root)?, fuzz.target.as_deref())?;
    build::run(root, fuzz.target.as_deref())?;
    if let (Some(input), [target]) = (&fuzz.input, targets.as_slice()) {
        return target.try_input(root, input);
    }
    let all = Duration::from_secs(60 * u64::from(fuzz.minutes.unwrap_or(1)));
    let each = all / u32::try_from(targets.len())?;
    let mut reports = Vec::new();
    for target in &targets {
        println!("\n== {} for {} s", target.name(), each.as_secs());
        let report = target.run(root, each)?;
        println!("{report}");
        reports.push(report);
        if fuzz.grow {
            target.grow(root)?;
        }
    }
    println!("\n{}", table(&reports));
    let failed: Vec<&str> = reports
        .iter()
        .filter(|report| report.failed())
        .map(Report::name)
        .collect();
    if !failed.is_empty() {
        bail!("promises were broken: {}", failed.join(", "));
    }
    Ok(())
}

/// The target of that name; all without one.
fn chosen(all: Vec<Target>, name: Option<&str>) -> Result<Vec<Target>> {
    let Some(name) = name else { return Ok(all) };
    let names: Vec<String> = all.iter().map(|target| target.name().to_owned()).collect();
    let chosen: Vec<Target> = all
        .into_iter()
        .filter(|target| target.name() == name)
        .collect();
    ensure!(
        !chosen.is_empty(),
        "no target {name}; there are {}",
        names.join(", ")
    );
    Ok(chosen)
}

/// The reports as a table in Markdown.
fn table(reports: &[Report]) -> String {
    let head = "| target | executions | a second | covered edges | inputs kept | failures |\n\
                |---|---|---|---|---|---|";
    let rows = reports.iter().map(Report::row);
    [head.to_owned()]
        .into_iter()
        .chain(rows)
        .collect::<Vec<_>>()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> Vec<Target> {
        let names = ["config", "lock_ref"];
        names.into_iter().map(Target::new).collect()
    }

    #[test]
    fn a_target_is_chosen_by_its_name_and_all_without_one() {
        assert_eq!(chosen(targets(), None).unwrap().len(), 2);
        let one = chosen(targets(), Some("config")).unwrap();
        assert_eq!(one.len(), 1);
        let error = chosen(targets(), Some("other")).err().unwrap();
        assert!(error.to_string().contains("config, lock_ref"), "{error}");
    }
}
