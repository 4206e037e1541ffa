//! Many seeds, on all cores.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::settings::{Fault, Settings};
use super::shrink::{self, Failing};
use super::sightings::Sightings;
use super::{Error, verdict};
use crate::recipes::trades::Trade;

/// Which seeds to run, and how.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// How many at a time.
    pub jobs: usize,
    /// What narrows every run down.
    pub narrowing: Narrowing,
    /// Every so many seeds, one is run twice, and must give the same trace.
    pub twice_every: u64,
}

/// What makes a run smaller than its seed does.
#[derive(Clone, Debug, Default)]
pub struct Narrowing {
    /// Faults for no longer than this.
    pub length: Option<Duration>,
    /// No more clients than this.
    pub clients: Option<usize>,
    /// None of these faults.
    pub without: BTreeSet<Fault>,
    /// Whether clients use recipes.
    pub recipes: bool,
    /// Which ones; those of the seed where there are none.
    pub trades: BTreeSet<Trade>,
}

impl Narrowing {
    /// The settings of a seed, made smaller.
    pub fn settings(&self, seed: u64) -> Settings {
        let mut settings = if self.recipes {
            Settings::of_recipes(seed)
        } else {
            Settings::of_seed(seed)
        };
        if self.recipes && !self.trades.is_empty() {
            settings.trades.clone_from(&self.trades);
        }
        settings.length = self.length.unwrap_or(settings.length);
        settings.clients = self.clients.unwrap_or(settings.clients);
        settings.faults = &settings.faults - &self.without;
        settings
    }
}

/// What a batch gave.
#[derive(Debug, Default)]
pub struct Report {
    /// How many seeds were run.
    pub seeds: u64,
    /// How many events their histories have.
    pub events: u64,
    /// What happened, and how often.
    pub sightings: Sightings,
    /// The first failing seed, made as small as could be.
    pub failing: Option<Failing>,
    /// The trace of all seeds together, in their order.
    pub trace: u64,
}

/// Runs a batch, until a seed fails or `goes_on` says that no other is to
/// begin.
///
/// # Errors
/// Where the simulation itself cannot run.
pub fn run(batch: &Batch, goes_on: impl Fn() -> bool + Sync) -> Result<Report, Error> {
    let next = AtomicU64::new(0);
    let shared = Mutex::new(Shared::default());
    let work = || -> Result<(), Error> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= batch.seeds || !goes_on() || lock(&shared).failing.is_some() {
                return Ok(());
            }
            one(batch, number, &shared)?;
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..batch.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    })?;
    let shared = shared
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let failing = match shared.failing {
        Some(settings) => Some(shrink::shrink(settings)?),
        None => None,
    };
    Ok(Report {
        failing,
        ..shared.report
    })
}

#[derive(Default)]
struct Shared {
    report: Report,
    failing: Option<Settings>,
}

fn lock(shared: &Mutex<Shared>) -> std::sync::MutexGuard<'_, Shared> {
    shared
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn one(batch: &Batch, number: u64, shared: &Mutex<Shared>) -> Result<(), Error> {
    let settings = batch.narrowing.settings(batch.from + number);
    let mut run = super::run(&settings)?;
    if batch.twice_every > 0 && number.is_multiple_of(batch.twice_every) {
        let again = super::run(&settings)?;
        if again.trace != run.trace {
            run.failures
                .push("the same seed gave two histories".to_owned());
        }
    }
    let failed = !verdict(&run).is_empty();
    let mut shared = lock(shared);
    let report = &mut shared.report;
    report.seeds += 1;
    let events = run.history.len() + run.recipes.len();
    report.events += u64::try_from(events).unwrap_or(u64::MAX);
    report.sightings.merge(&run.sightings);
    // Whatever the order in which the seeds end.
    report.trace ^= run
        .trace
        .rotate_left(u32::try_from(number % 64).unwrap_or(0));
    if failed && shared.failing.is_none() {
        shared.failing = Some(settings);
    }
    Ok(())
}
