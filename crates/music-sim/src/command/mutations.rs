//! `music-sim mutations`: breaks each rule, and demands that a check finds it.
//! Rules of the protocol are looked for by all checks, the promises of recipes
//! by deployments whose clients use them.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use music_client::mutation as promises;
use music_core::mutation::{Mutation, passed, switch};
use music_sim::deployment;
use music_sim::deployment::settings::Settings;
use music_sim::exploration::explore;
use music_sim::model::{Check, checks};
use music_sim::recipes::trades::Trade;

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
    by_deployments("simulation", seeds, Settings::of_seed)
}

/// Deployments whose clients use the recipe alone.
fn by_recipes(trade: Trade, seeds: u64) -> Option<Found> {
    by_deployments(&format!("simulation of `{trade}`"), seeds, |seed| {
        Settings {
            trades: BTreeSet::from([trade]),
            ..Settings::of_recipes(seed)
        }
    })
}

/// The recipe that breaks its promise.
fn trade(mutation: promises::Mutation) -> Trade {
    match mutation {
        promises::Mutation::ChangeMadeTwice => Trade::Counter,
        promises::Mutation::PermitTooMany => Trade::Semaphore,
        promises::Mutation::PartyTooFew => Trade::Barrier,
        promises::Mutation::StepBegunAgain => Trade::Once,
        promises::Mutation::ClaimIgnored => Trade::Queue,
    }
}

fn by_deployments(by: &str, seeds: u64, settings: impl Fn(u64) -> Settings) -> Option<Found> {
    (0..seeds).find_map(|seed| {
        let run = deployment::run(&settings(seed)).ok()?;
        let verdict = deployment::verdict(&run);
        // A judge's word, before that something hangs because of it.
        let judged = verdict.iter().find(|line| !line.starts_with("guarantee 6"));
        let broken = judged.or(verdict.first())?.split(':').next();
        let broken = broken.unwrap_or_default();
        Some(Found {
            by: by.to_owned(),
            needed: format!("{} seeds", seed + 1),
            broken: broken.to_owned(),
        })
    })
}

/// A mutation that was tried.
struct Row {
    name: &'static str,
    what: &'static str,
    found: Option<Found>,
}

impl Row {
    /// Looks for it, and tells how long that took.
    fn of(
        (name, what): (&'static str, &'static str),
        find: impl FnOnce() -> Option<Found>,
    ) -> Self {
        let stopwatch = Stopwatch::start();
        let found = find();
        let seconds = stopwatch.elapsed().as_secs_f32();
        match &found {
            Some(Found { by, needed, broken }) => {
                println!("{name:<26} {by}, {needed}: {broken} ({seconds:.1} s)");
            }
            None => println!("{name:<26} NOT FOUND ({seconds:.1} s)"),
        }
        Self { name, what, found }
    }
}

/// Tries every mutation; whether all were found.
pub(crate) fn run(arguments: &Arguments) -> bool {
    std::panic::set_hook(Box::new(|_| {}));
    let mut rows = of_protocol(arguments);
    let rules = rows.len();
    rows.extend(of_recipes(arguments));
    let missed = rows.iter().filter(|row| row.found.is_none()).count();
    println!("{} mutations, {missed} not found", rows.len());
    let (protocol, recipes) = rows.split_at(rules);
    let written = arguments
        .table
        .as_ref()
        .map(|path| std::fs::write(path, table(protocol, recipes)));
    if let Some(Err(error)) = &written {
        println!("the table was not written: {error}");
    }
    missed == 0 && !rows.is_empty() && !matches!(written, Some(Err(_)))
}

fn is_wanted(arguments: &Arguments, name: &str) -> bool {
    let only = arguments.only.as_deref();
    only.is_none_or(|only| only == name)
}

fn of_protocol(arguments: &Arguments) -> Vec<Row> {
    let wanted = |mutation: &Mutation| is_wanted(arguments, mutation.name());
    let wanted: Vec<Mutation> = Mutation::ALL.iter().copied().filter(wanted).collect();
    let asked = |finder: &&Finder| arguments.by.is_none_or(|by| by == **finder);
    let finders: Vec<Finder> = FINDERS.iter().filter(asked).copied().collect();
    let effort = Effort {
        coverage: if finders.contains(&Finder::Model) && !wanted.is_empty() {
            coverage()
        } else {
            Vec::new()
        },
        seeds: arguments.seeds,
        deployments: arguments.deployments,
    };
    let row = |mutation: Mutation| {
        Row::of((mutation.name(), mutation.description()), || {
            switch(Some(mutation));
            let mut finders = finders.iter();
            let found = finders.find_map(|finder| finder.find(mutation, &effort));
            switch(None);
            found
        })
    };
    wanted.into_iter().map(row).collect()
}

fn of_recipes(arguments: &Arguments) -> Vec<Row> {
    let asked = arguments.by.is_none_or(|by| by == Finder::Simulation);
    let wanted = |mutation: &promises::Mutation| asked && is_wanted(arguments, mutation.name());
    let row = |mutation: promises::Mutation| {
        Row::of((mutation.name(), mutation.description()), || {
            promises::switch(Some(mutation));
            let found = by_recipes(trade(mutation), arguments.deployments);
            promises::switch(None);
            found
        })
    };
    let all = promises::Mutation::ALL.into_iter();
    all.filter(wanted).map(row).collect()
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

const RECIPES_HEAD: &str = "
## Recipes

Each breaks one promise in the recipes of `music-client`, and is looked for by the
[simulation](recipes.md), seed after seed, with clients that use this recipe alone.

| mutation | what goes wrong | found by | needed | judge |
|---|---|---|---|---|
";

fn table(protocol: &[Row], recipes: &[Row]) -> String {
    let line = |row: &Row| {
        let found = match &row.found {
            Some(Found { by, needed, broken }) => format!("{by} | {needed} | {broken}"),
            None => "**not found** | | ".to_owned(),
        };
        format!("| `{}` | {} | {found} |\n", row.name, row.what.trim())
    };
    let lines = |rows: &[Row]| rows.iter().map(line).collect::<String>();
    format!("{HEAD}{}{RECIPES_HEAD}{}", lines(protocol), lines(recipes))
}
