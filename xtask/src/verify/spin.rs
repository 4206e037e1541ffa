//! Makes, runs and reads Spin's verifiers.
//!
//! Spin turns a model into a C program that explores its states. A
//! counterexample is a trail, which Spin replays: what the model prints then is
//! the history that is shown.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::spin_cases::{Case, Search};
use super::verdict::{Finding, Verdict};
use crate::clock::Stopwatch;
use crate::shell;

/// The file that includes the others.
const MODEL: &str = "music.pml";

/// What a verifier printed, read.
#[derive(Debug, PartialEq, Eq)]
struct Reading {
    verdict: Verdict,
    states: u64,
}

/// Checks one case in a folder of its own below `folder`.
///
/// # Errors
///
/// When the verifier cannot be made, or ends before it has an answer.
pub(super) fn check(sources: &Path, folder: &Path, case: &Case) -> Result<Finding> {
    let stopwatch = Stopwatch::start();
    let folder = folder.join("spin").join(case.slug());
    copy(sources, &folder)?;
    let definitions = case.definitions();
    let mut spin = shell::program(&folder, "spin", &["-a"]);
    quietly(spin.args(&definitions).arg(MODEL))?;
    let mut compiler = shell::program(&folder, "gcc", &["-O2", "-w", "-o", "pan", "pan.c"]);
    quietly(compiler.args(compiler_flags(case.search)))?;
    let mut verifier = shell::program(&folder, "./pan", arguments(case.search));
    let output = printed(&mut verifier)?;
    let reading = read(&output, case.search)
        .with_context(|| format!("{}: no answer from Spin:\n{output}", case.slug()))?;
    let history = match reading.verdict {
        Verdict::Found(_) => replay(&folder, &definitions)?,
        Verdict::Holds => String::new(),
    };
    Ok(Finding {
        question: case.question(),
        verdict: reading.verdict,
        states: Some(reading.states),
        is_exhaustive: case.search != Search::Sampled,
        took: stopwatch.elapsed(),
        history,
    })
}

fn compiler_flags(search: Search) -> &'static [&'static str] {
    match search {
        Search::Exhaustive => &["-DSAFETY", "-DCOLLAPSE", "-DMEMLIM=2800"],
        Search::Liveness => &["-DCOLLAPSE", "-DNFAIR=3", "-DMEMLIM=2800"],
        Search::Sampled => &["-DSAFETY", "-DBITSTATE"],
    }
}

/// Invalid end states are not looked for: a node may stop anywhere.
fn arguments(search: Search) -> &'static [&'static str] {
    match search {
        Search::Exhaustive => &["-E", "-m10000"],
        // Acceptance cycles, under weak fairness.
        Search::Liveness => &["-a", "-f", "-m10000"],
        // 2^32 bits, for a minute at most.
        Search::Sampled => &["-E", "-m10000", "-w32", "-Q1"],
    }
}

fn copy(sources: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let context = || format!("cannot copy {} to {}", sources.display(), folder.display());
    for entry in fs::read_dir(sources).with_context(context)? {
        let entry = entry.with_context(context)?;
        fs::copy(entry.path(), folder.join(entry.file_name())).with_context(context)?;
    }
    Ok(())
}

/// The history of a counterexample, in the model's own words.
fn replay(folder: &Path, definitions: &[String]) -> Result<String> {
    let mut spin = shell::program(folder, "spin", &["-t"]);
    let output = printed(spin.args(definitions).arg(MODEL))?;
    let steps: Vec<&str> = output
        .lines()
        .take_while(|line| !line.starts_with("#processes"))
        .map(str::trim)
        .collect();
    Ok(format!(
        "{}\n\nevery step: cd {}; spin -t -p {} {MODEL}",
        steps.join("\n"),
        folder.display(),
        definitions.join(" ")
    ))
}

fn quietly(command: &mut Command) -> Result<()> {
    let output = command.output().context("cannot start a program")?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// What a program prints; a verifier that finds something may fail or not.
fn printed(command: &mut Command) -> Result<String> {
    let output = command.output().context("cannot start a program")?;
    let (printed, error) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    Ok(format!("{printed}{error}"))
}

/// Reads what a verifier printed.
fn read(output: &str, search: Search) -> Result<Reading> {
    let errors = number_after(output, "errors: ").context("it did not end")?;
    let states = output
        .lines()
        .find_map(|line| line.split_once(" states, stored"))
        .and_then(|(number, _)| number.trim().parse().ok())
        .context("it does not say how many states there are")?;
    if errors > 0 {
        let property = violated(output).context("it does not say what is violated")?;
        let verdict = Verdict::Found(property);
        return Ok(Reading { verdict, states });
    }
    if output.contains("max search depth too small") {
        bail!("a history was cut off at the search depth");
    }
    if search != Search::Sampled && output.contains("Search not completed") {
        bail!("the search was not completed");
    }
    let verdict = Verdict::Holds;
    Ok(Reading { verdict, states })
}

/// The property that the first error is about.
fn violated(output: &str) -> Option<String> {
    if output.contains("acceptance cycle") {
        return Some("liveness".to_owned());
    }
    let (_, rest) = output.split_once("assertion violated ")?;
    let (name, _) = rest.split_once(" (at depth")?;
    Some(name.trim_matches(['(', ')']).replace('_', " "))
}

fn number_after(output: &str, before: &str) -> Option<u64> {
    let (_, rest) = output.split_once(before)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Spin 6.5.2 prints it, in part.
    fn printed(head: &str, errors: u32, states: &str) -> String {
        format!(
            "{head}\n(Spin Version 6.5.2 -- 6 December 2019)\n\t+ Partial Order Reduction\n\n\
             Full statespace search for:\n\tassertion violations\t+\n\n\
             State-vector 120 byte, depth reached 72, errors: {errors}\n    {states}\n"
        )
    }

    #[test]
    fn no_error_in_a_whole_search_is_an_answer() {
        let output = printed("", 0, "  6862901 states, stored");
        let reading = read(&output, Search::Exhaustive).unwrap();
        assert_eq!(reading.verdict, Verdict::Holds);
        assert_eq!(reading.states, 6_862_901);
    }

    #[test]
    fn a_violated_assertion_names_the_property() {
        let head = "pan:1: assertion violated majority_holds_value (at depth 45)\n\
                    pan: wrote music.pml.trail\nWarning: Search not completed";
        let output = printed(head, 1, "1078 states, stored");
        let reading = read(&output, Search::Exhaustive).unwrap();
        let found = Verdict::Found("majority holds value".to_owned());
        assert_eq!(
            reading,
            Reading {
                verdict: found,
                states: 1078
            }
        );
    }

    #[test]
    fn an_acceptance_cycle_violates_liveness() {
        let head = "pan:1: acceptance cycle (at depth 66)\nWarning: Search not completed";
        let output = printed(head, 1, "490 states, stored (1534 visited)");
        let reading = read(&output, Search::Liveness).unwrap();
        assert_eq!(reading.verdict, Verdict::Found("liveness".to_owned()));
        assert_eq!(reading.states, 490);
    }

    #[test]
    fn a_search_that_was_not_completed_is_no_answer() {
        let head = "pan: reached -DMEMLIM bound\nWarning: Search not completed";
        let output = printed(head, 0, "100 states, stored");
        assert!(read(&output, Search::Exhaustive).is_err());
        assert!(read(&output, Search::Sampled).is_ok());
    }

    #[test]
    fn a_history_that_was_cut_off_is_no_answer() {
        let head = "error: max search depth too small";
        let output = printed(head, 0, "100 states, stored");
        assert!(read(&output, Search::Exhaustive).is_err());
        assert!(read(&output, Search::Sampled).is_err());
    }

    #[test]
    fn a_verifier_that_dies_gives_no_answer() {
        for output in ["", "Killed", "pan: out of memory"] {
            assert!(read(output, Search::Exhaustive).is_err(), "{output}");
        }
        let unknown = printed(
            "pan:1: invalid end state (at depth 3)",
            1,
            "9 states, stored",
        );
        assert!(read(&unknown, Search::Exhaustive).is_err());
    }
}
