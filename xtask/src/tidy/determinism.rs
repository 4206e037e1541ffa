//! Clocks, dice and the environment are read in the few files that own them.
//!
//! All other code takes the time, a draw or a setting as an argument, which is
//! what lets a simulator run it. Test code may read them.

use super::source::{Line, Source};
use super::{Problem, tree::Tree};

/// Something that makes a run unlike the next one.
struct Chance {
    /// What it is called in messages.
    name: &'static str,
    /// How code reaches it.
    needles: &'static [&'static str],
    /// The files that own it.
    owners: &'static [&'static str],
}

const CHANCES: &[Chance] = &[
    Chance {
        name: "the clock",
        needles: &["Instant::now", "SystemTime::now"],
        owners: &[
            "bench/sql/src/clock.rs",
            "crates/mdbc/src/clock.rs",
            "crates/music-cli/src/active_passive/clock.rs",
            "crates/music-cli/src/bench/clock.rs",
            "crates/music-cli/src/demo/clock.rs",
            "crates/music-client/src/clock.rs",
            "crates/music-placement/src/service/clock.rs",
            "crates/music-server/src/http/stopwatch.rs",
            "crates/music-server/src/node/world.rs",
            "crates/music-sim/src/clock.rs",
            "crates/music-sim/src/deployment/world.rs",
            "crates/music-store/src/cassandra/pace.rs",
            "crates/music-store/src/embedded/network.rs",
            "crates/music-store/src/embedded/shared.rs",
            "crates/music-store/src/probe.rs",
            "crates/music-store/src/versioned/chance.rs",
            "crates/music-torture/src/clock.rs",
            "xtask/src/clock.rs",
        ],
    },
    Chance {
        name: "dice",
        needles: &["rand::", "fastrand::", "getrandom::", "Uuid::new_v4"],
        owners: &[
            "bench/sql/src/dice.rs",
            "crates/mdbc/src/dice.rs",
            "crates/music-client/src/dice.rs",
            "crates/music-history/src/workload/dice.rs",
            "crates/music-server/src/node/world.rs",
            "crates/music-store/src/cassandra/pace.rs",
            "crates/music-store/src/embedded/queues.rs",
            "crates/music-store/src/simulated/network.rs",
            "crates/music-store/src/versioned/chance.rs",
            "xtask/src/torture/nemesis.rs",
        ],
    },
    Chance {
        name: "the environment",
        needles: &["env::var"],
        owners: &[
            "crates/music-cli/src/environment.rs",
            "crates/music-server/src/config/environment.rs",
            "xtask/src/shell.rs",
        ],
    },
];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let used = tree.rust().flat_map(uses);
    let stale = CHANCES
        .iter()
        .flat_map(|chance| chance.owners)
        .filter(|owner| !tree.has(owner));
    let stale = stale.map(|owner| Problem::new(owner, 0, "no such file; see tidy/determinism.rs"));
    used.chain(stale).collect()
}

/// The lines that use what their file does not own.
fn uses(source: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    let foreign = CHANCES
        .iter()
        .filter(|chance| !chance.owners.contains(&source.path.as_str()));
    for chance in foreign {
        let has_needle = |line: &Line| chance.needles.iter().any(|needle| line.has_code(needle));
        for line in source
            .lines
            .iter()
            .filter(|line| !line.is_test && has_needle(line))
        {
            let message = format!(
                "{} belongs to the files in xtask/src/tidy/determinism.rs: take it as an argument",
                chance.name
            );
            problems.push(Problem::new(&source.path, line.number, message));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, text: &str) -> usize {
        uses(&Source::new(path, text)).len()
    }

    #[test]
    fn a_hidden_clock_is_an_error() {
        assert_eq!(count("crates/a/src/b.rs", "let now = Instant::now();"), 1);
        assert_eq!(
            count(
                "crates/a/src/b.rs",
                "let now = std::time::SystemTime::now();"
            ),
            1
        );
    }

    #[test]
    fn hidden_dice_are_an_error() {
        assert_eq!(count("crates/a/src/b.rs", "rand::random()"), 1);
        assert_eq!(count("crates/a/src/b.rs", "Uuid::new_v4()"), 1);
    }

    #[test]
    fn a_hidden_setting_is_an_error() {
        for text in ["env::var(x)", "std::env::var_os(x)", "env::vars()"] {
            assert_eq!(count("crates/a/src/b.rs", text), 1, "{text}");
        }
    }

    #[test]
    fn owners_tests_and_comments_are_none() {
        assert_eq!(count("xtask/src/clock.rs", "Instant::now()"), 0);
        assert_eq!(count("crates/a/tests/b.rs", "Instant::now()"), 0);
        assert_eq!(
            count("crates/a/src/b.rs", "// Instant::now()\nbrand::f();"),
            0
        );
    }

    #[test]
    fn owning_one_is_not_owning_another() {
        assert_eq!(count("xtask/src/clock.rs", "env::var(x)"), 1);
    }

    #[test]
    fn an_owner_that_is_gone_is_an_error() {
        let problems = check(&Tree::of(&[("xtask/src/clock.rs", "")]));
        assert!(
            problems
                .iter()
                .any(|problem| problem.path == "xtask/src/shell.rs")
        );
        assert!(
            problems
                .iter()
                .all(|problem| problem.path != "xtask/src/clock.rs")
        );
    }
}
