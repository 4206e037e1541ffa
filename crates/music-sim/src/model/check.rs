//! Running a model to its end, and what came of it.

use stateright::{Checker, Expectation, HasDiscoveries, Model};

use super::lease::Leases;
use super::lock_store::{LockStore, Operation, enqueue, first};
use super::scenarios::SCENARIOS;
use super::sections::Sections;
use music_core::id::{Moves, SessionId};
use music_core::lock_queue::Command;
use music_core::time::Lease;

/// A small world that can be explored to its end.
#[derive(Clone, Debug)]
pub struct Check {
    /// A name for the command line.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Its bounds, in words.
    pub bounds: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Sections(Sections),
    LockStore(LockStore),
    Leases,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many different states there are.
    pub states: usize,
    /// How many steps lead from one to another.
    pub steps: usize,
    /// The length of the longest of the shortest ways to a state.
    pub depth: usize,
    /// The properties that hold in every state.
    pub holds: Vec<&'static str>,
    /// What is reached in some state.
    pub reached: Vec<&'static str>,
    /// What should be reached and is not.
    pub missed: Vec<&'static str>,
    /// What is broken, and the shortest history found that breaks it.
    pub broken: Option<(&'static str, Vec<String>)>,
}

impl Report {
    /// Whether everything holds, and all is reached that should be.
    pub fn is_fine(&self) -> bool {
        self.broken.is_none() && self.missed.is_empty()
    }
}

/// All checks.
pub fn checks() -> Vec<Check> {
    let mut checks = vec![Check {
        name: "lease",
        about: "an owner proves life, and a watcher suspects it",
        bounds: "9 ticks, of which a lease has 4; 3 raises, 3 reads".to_owned(),
        kind: Kind::Leases,
    }];
    checks.extend(SCENARIOS.iter().map(|scenario| Check {
        name: scenario.name,
        about: scenario.about,
        bounds: scenario.bounds(),
        kind: Kind::Sections(Sections::new(*scenario)),
    }));
    checks.extend(lock_stores());
    checks
}

fn lock_stores() -> [Check; 2] {
    let confirm = Operation::Apply(Command::Confirm(first(0)));
    let adopt = Operation::Apply(Command::Adopt {
        holding: first(0),
        owner: SessionId(9),
        lease: Lease::MIN,
        moves: Moves::default(),
    });
    let peeks = LockStore {
        scripts: vec![
            vec![adopt],
            vec![Operation::Release(first(0))],
            vec![Operation::Peek],
        ],
        lost: 0,
        attempts: vec![1; 3],
    };
    let interrupted = LockStore {
        scripts: vec![vec![confirm], vec![Operation::Apply(enqueue(7))]],
        lost: 0,
        attempts: vec![2, 1],
    };
    let check = |name, about, model: LockStore| Check {
        name,
        about,
        bounds: model.bounds(),
        kind: Kind::LockStore(model),
    };
    [
        check(
            "lock-store-peek",
            "peeks beside a release and an adoption",
            peeks,
        ),
        check(
            "lock-store-interrupted",
            "transactions that interrupt each other",
            interrupted,
        ),
    ]
}

impl Check {
    /// Explores it to its end, or to the first thing that is broken.
    pub fn run(&self, threads: usize) -> Report {
        match &self.kind {
            Kind::Sections(model) => explore(model.clone(), threads),
            Kind::LockStore(model) => explore(model.clone(), threads),
            Kind::Leases => explore(Leases, threads),
        }
    }
}

fn explore<M>(model: M, threads: usize) -> Report
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + std::fmt::Debug + std::hash::Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static,
{
    let checker = model
        .checker()
        .threads(threads)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let mut report = Report {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        holds: Vec::new(),
        reached: Vec::new(),
        missed: Vec::new(),
        broken: None,
    };
    let mut discoveries = checker.discoveries();
    for property in checker.model().properties() {
        match (property.expectation, discoveries.remove(property.name)) {
            (Expectation::Sometimes, Some(_)) => report.reached.push(property.name),
            (Expectation::Sometimes, None) => report.missed.push(property.name),
            (_, None) => report.holds.push(property.name),
            (_, Some(path)) => {
                let actions = path.into_actions();
                let history = actions.iter().map(|action| format!("{action:?}"));
                report.broken = Some((property.name, history.collect()));
            }
        }
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo xtask model` explores all of them, in an optimised build.
    #[test]
    fn the_smallest_worlds_keep_every_guarantee() {
        let small = ["turns", "deletion", "adoption", "adopter-leaves"];
        let checks = checks();
        for name in small {
            let check = checks.iter().find(|check| check.name == name).unwrap();
            let report = check.run(2);
            assert!(report.is_fine(), "{name}: {report:?}");
        }
    }

    #[test]
    fn names_are_unique() {
        let checks = checks();
        let names: std::collections::BTreeSet<_> = checks.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), checks.len());
    }
}
