//! Thousands of random histories, judged by the guarantees of PROTOCOL.md.
//!
//! `MUSIC_SEED=n` replays one history with its trace, `MUSIC_SEEDS=n` runs
//! another number of them.

#[cfg(test)]
#[path = "../common/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "what one test crate does not use, another does"
)]
mod common;
#[cfg(test)]
mod dice;
#[cfg(test)]
mod flight;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use crate::simulation::Simulation;

    const EVENTS: usize = 350;
    const SEEDS: u64 = 3000;

    #[derive(Default)]
    struct Counts {
        granted: usize,
        lost: usize,
        confirmed: usize,
        gets: usize,
        acknowledged: usize,
    }

    fn run(simulation: &mut Simulation) {
        for _ in 0..EVENTS {
            simulation.event();
        }
        simulation.rest();
        simulation.probe();
    }

    fn replay(seed: u64) {
        let mut simulation = Simulation::new(seed, true);
        let result = catch_unwind(AssertUnwindSafe(|| run(&mut simulation)));
        for line in simulation.trace.unwrap_or_default() {
            println!("{line}");
        }
        assert!(result.is_ok(), "seed {seed} fails: see the trace above");
    }

    fn number(name: &str) -> Option<u64> {
        std::env::var(name).ok()?.parse().ok()
    }

    #[test]
    fn no_history_breaks_a_guarantee_and_all_come_to_rest() {
        if let Some(seed) = number("MUSIC_SEED") {
            return replay(seed);
        }
        let mut counts = Counts::default();
        for seed in 0..number("MUSIC_SEEDS").unwrap_or(SEEDS) {
            let mut simulation = Simulation::new(seed, false);
            if catch_unwind(AssertUnwindSafe(|| run(&mut simulation))).is_err() {
                return replay(seed);
            }
            counts.granted += simulation.granted;
            counts.lost += simulation.lost;
            counts.confirmed += simulation.confirmed;
            counts.gets += simulation.oracle.gets;
            counts.acknowledged += simulation.oracle.acknowledged;
        }
        let Counts {
            granted,
            lost,
            confirmed,
            gets,
            acknowledged,
        } = counts;
        println!("{granted} granted, {lost} lost, {confirmed} confirmed");
        println!("{gets} gets, {acknowledged} puts acknowledged");
        assert!(granted > 0 && lost > 0 && confirmed > 0 && gets > 0 && acknowledged > 0);
    }
}
