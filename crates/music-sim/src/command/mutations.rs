//! `music-sim mutations`: breaks each rule, and demands that a check finds it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use music_core::mutation::{Mutation, passed, switch};
use music_sim::deployment;
use music_sim::deployment::settings::Settings;
use music_sim::exploration::explore;
use music_sim::model::{Check, checks};

use crate::clock::Stopwatch;

/// What to break.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this mutation
    #[arg(long)]
    only: Option<String>,
    /// Ask this check alone
    #[arg(long)]
    by: Option<Finder>,
    /// How many random histories are tried at most
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// How many deployments are tried at most
    #[arg(long, default_value_t = 2_000)]
    deployments: u64,
    /// Write the table there
    #[arg(long)]
    table: Option<PathBuf>,
}

/// A check that may find a mutation, in the order in which they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Finder {
    /// Small worlds, explored to their end.
    Model,
    /// Random histories of the core.
    Exploration,
    /// Whole deployments.
    Simulation,
}

const FINDERS: &[Finder] = &[Finder::Model, Finder::Exploration, Finder::Simulation];

/// How a mutation was found.
struct Found {
    by: String,
    needed: String,
    broken: String,
}

/// How hard the finders try.
struct Effort {
    coverage: Vec<(Check, Vec<Mutation>)>,
    seeds: u64,
    deployments: u64,
}

impl Finder {
    fn find(self, mutation: Mutation, effort: &Effort) -> Option<Found> {
        match self {
            Self::Model => by_model(mutation, &effort.coverage),
            Self::Exploration => by_exploration(mutation, effort.seeds),
            Self::Simulation => by_simulation(effort.deployments),
        }
    }
}

/// The checks that find nothing without a mutation, and which mutations each
/// comes by.
fn coverage() -> Vec<(Check, Vec<Mutation>)> {
    let cover = |check: Check| {
        passed().for_each(drop);
        let is_fine = check.run(2).is_fine();
        if !is_fine {
            println!("model `{}` fails without any mutation", check.name);
        }
        is_fine.then(|| (check, passed().collect()))
    };
    checks().into_iter().filter_map(cover).collect()
}

fn by_model(mutation: Mutation, coverage: &[(Check, Vec<Mutation>)]) -> Option<Found> {
    let may_find = |(_, passed): &&(Check, Vec<Mutation>)| passed.contains(&mutation);
    coverage.iter().filter(may_find).find_map(|(check, _)| {
        // One thread, so that the same states are found each time.
        let run = catch_unwind(AssertUnwindSafe(|| check.run(1)));
        let by = format!("model `{}`", check.name);
        let Ok(report) = run else {
            let broken = "the core stopped at an assertion".to_owned();
            let needed = "-".to_owned();
            return Some(Found { by, needed, broken });
        };
        let (broken, history) = report.broken?;
        Some(Found {
            by,
            needed: format!("{} states, {} steps", report.states, history.len()),
            broken: broken.to_owned(),
        })
    })
}

fn by_exploration(mutation: Mutation, seeds: u64) -> Option<Found> {
    (0..seeds).find_map(|seed| {
        let failed = explore(seed, false).err()?;
        // A history that fails without the mutation, too, says nothing of it.
        switch(None);
        let holds = explore(seed, false).is_ok();
        switch(Some(mutation));
        if !holds {
            println!("seed {seed} fails without any mutation");
            return None;
        }
        let why = failed.why.lines().next().unwrap_or_default();
        let broken = why.split(": ").find(|it| !it.starts_with("assertion"));
        let broken = broken.unwrap_or(why);
        Some(Found {
            by: "exploration".to_owned(),
            needed: format!("{} seeds", seed + 1),
            broken: broken.to_owned(),
        })
    })
}

fn by_simulation(seeds: u64) -> Option<Found> {
    (0..seeds).find_map(|seed| {
        let run = deployment::run(&Settings::of_seed(seed)).ok()?;
        let verdict = deployment::verdict(&run);
        let broken = verdict.first()?.split(':').next().unwrap_or_default();
        Some(Found {
            by: "simulation".to_owned(),
            needed: format!("{} seeds", seed + 1),
            broken: broken.to_owned(),
        })
    })
}

/// Tries every mutation; whether all were found.
pub(crate) fn run(arguments: &Arguments) -> bool {
    std::panic::set_hook(Box::new(|_| {}));
    let wanted = |mutation: &&Mutation| {
        let only = arguments.only.as_deref();
        only.is_none_or(|name| name == mutation.name())
    };
    let asked = |finder: &&Finder| arguments.by.is_none_or(|by| by == **finder);
    let finders: Vec<Finder> = FINDERS.iter().filter(asked).copied().collect();
    let effort = Effort {
        coverage: if finders.contains(&Finder::Model) {
            coverage()
        } else {
            Vec::new()
        },
        seeds: arguments.seeds,
        deployments: arguments.deployments,
    };
    let mut rows = Vec::new();
    for mutation in Mutation::ALL.iter().filter(wanted) {
        let stopwatch = Stopwatch::start();
        switch(Some(*mutation));
        let found = finders
            .iter()
            .find_map(|finder| finder.find(*mutation, &effort));
        switch(None);
        let seconds = stopwatch.elapsed().as_secs_f32();
        let name = mutation.name();
        match &found {
            Some(Found { by, needed, broken }) => {
                println!("{name:<26} {by}, {needed}: {broken} ({seconds:.1} s)");
            }
            None => println!("{name:<26} NOT FOUND ({seconds:.1} s)"),
        }
        rows.push((*mutation, found));
    }
    let missed = rows.iter().filter(|(_, found)| found.is_none()).count();
    println!("{} mutations, {missed} not found", rows.len());
    let written = arguments
        .table
        .as_ref()
        .map(|path| std::fs::write(path, table(&rows)));
    if let Some(Err(error)) = &written {
        println!("the table was not written: {error}");
    }
    missed == 0 && !rows.is_empty() && !matches!(written, Some(Err(_)))
}

const HEAD: &str = "# Mutations

What was broken on purpose, and what found it. Written by `cargo xtask mutations`, which fails when
a mutation is not found. Each breaks one rule at its one place in `music-core`; the feature
`mutations` compiles them in, and without it there is none. The finders are asked in order: the
[model](model.md), its scenarios one after the other, then the random exploration, seed after seed.
*Needed* is what the finder had to look at: states and the length of the history that breaks the
guarantee, or seeds.

| mutation | what goes wrong | found by | needed | broken guarantee |
|---|---|---|---|---|
";

fn table(rows: &[(Mutation, Option<Found>)]) -> String {
    let row = |(mutation, found): &(Mutation, Option<Found>)| {
        let (name, what) = (mutation.name(), mutation.description().trim());
        let found = match found {
            Some(Found { by, needed, broken }) => format!("{by} | {needed} | {broken}"),
            None => "**not found** | | ".to_owned(),
        };
        format!("| `{name}` | {what} | {found} |\n")
    };
    let rows: String = rows.iter().map(row).collect();
    format!("{HEAD}{rows}")
}
