//! Thousands of random histories of the core, judged by the guarantees.
//!
//! A few nodes, clients and keys; calls that go on step by step, fail, or land
//! late; nodes that pause or die, clients that move or fall silent. After some
//! hundred events the faults stop: everything must come to rest, and a last
//! client must be granted everything. One seed, one history.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a history ends at the first thing that must not be, and says what it was"
)]

mod dice;
mod flight;
mod simulation;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::oracle::Verdict;
use simulation::Simulation;

/// How many events a history has before its faults stop.
const EVENTS: usize = 350;

/// How often things happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sections that were granted.
    pub granted: usize,
    /// Sections that found they were lost.
    pub lost: usize,
    /// Sections that were confirmed.
    pub confirmed: usize,
    /// Gets that were answered.
    pub gets: usize,
    /// Puts that were acknowledged.
    pub acknowledged: usize,
}

/// A history that broke a guarantee, or a rule of the machines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Failed {
    /// What was broken.
    pub why: String,
    /// What had happened, if it was asked for.
    pub trace: Vec<String>,
}

/// Runs the history of a seed, and keeps its trace if `traced`.
///
/// # Errors
/// The first thing that must not be.
pub fn explore(seed: u64, traced: bool) -> Result<Counts, Failed> {
    let mut simulation = Simulation::new(seed, traced);
    let run = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..EVENTS {
            simulation.event();
        }
        simulation.rest();
        simulation.probe();
    }));
    run.map_err(|panic| Failed {
        why: message(&*panic),
        trace: simulation.trace.take().unwrap_or_default(),
    })?;
    Ok(Counts {
        granted: simulation.granted,
        lost: simulation.lost,
        confirmed: simulation.confirmed,
        gets: simulation.gets,
        acknowledged: simulation.acknowledged,
    })
}

/// What an assertion said.
fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().cloned();
    said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()))
        .unwrap_or_default()
}

/// Ends the history where a guarantee does not hold.
fn must(verdict: Verdict) {
    if let Err(broken) = verdict {
        panic!("{broken}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEDS: u64 = 3000;

    fn number(name: &str) -> Option<u64> {
        std::env::var(name).ok()?.parse().ok()
    }

    /// `MUSIC_SEED=n` replays one history with its trace, `MUSIC_SEEDS=n` runs
    /// another number of them.
    #[test]
    fn no_history_breaks_a_guarantee_and_all_come_to_rest() {
        let seeds = match number("MUSIC_SEED") {
            Some(seed) => seed..seed + 1,
            None => 0..number("MUSIC_SEEDS").unwrap_or(SEEDS),
        };
        let mut sum = Counts::default();
        for seed in seeds.clone() {
            let Ok(counts) = explore(seed, false) else {
                let failed = explore(seed, true).unwrap_err();
                println!("{}", failed.trace.join("\n"));
                panic!("seed {seed} fails, see the trace above: {failed}");
            };
            sum.granted += counts.granted;
            sum.lost += counts.lost;
            sum.confirmed += counts.confirmed;
            sum.gets += counts.gets;
            sum.acknowledged += counts.acknowledged;
        }
        println!("{sum:?}");
        let all = [
            sum.granted,
            sum.lost,
            sum.confirmed,
            sum.gets,
            sum.acknowledged,
        ];
        assert!(
            seeds.end - seeds.start < SEEDS || !all.contains(&0),
            "{sum:?}"
        );
    }

    #[test]
    fn one_seed_is_one_history() {
        let trace = |seed| {
            let mut simulation = Simulation::new(seed, true);
            (0..EVENTS).for_each(|_| simulation.event());
            simulation.trace
        };
        assert_eq!(trace(7), trace(7));
        assert_ne!(trace(7), trace(8));
    }
}
