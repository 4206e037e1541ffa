//! `music-sim sim`: whole deployments under many seeds.

use std::time::Duration;

use music_sim::deployment;
use music_sim::deployment::batch::{self, Batch, Narrowing, Report};
use music_sim::deployment::settings::Fault;
use music_sim::deployment::shrink::Failing;
use music_sim::deployment::sightings::SOMETIMES;
use music_sim::history::{Event, lines};
use music_sim::recipes::sometimes;
use music_sim::recipes::trades::Trade;

use crate::clock::Stopwatch;

/// Fewer seeds than this need not have reached everything.
const SEEDS_FOR_ALL: u64 = 100;
/// One seed of so many is run twice: the second run must be like the first.
const TWICE_EVERY: u64 = 20;

/// Which seeds to run, and how.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Begin no other seed after so many minutes
    #[arg(long)]
    minutes: Option<f64>,
    /// How many seeds to run at a time; as many as there are cores if left out
    #[arg(long)]
    jobs: Option<usize>,
    /// Faults for so long, in the deployment's time; as the seed says if left out
    #[arg(long)]
    length_ms: Option<u64>,
    /// How many clients there are; as the seed says if left out
    #[arg(long)]
    clients: Option<usize>,
    /// A kind of fault to leave out
    #[arg(long)]
    without: Vec<Fault>,
    /// Let clients use recipes, and judge the promises of these
    #[arg(long)]
    recipes: bool,
    /// A recipe to use; some that the seed says if left out
    #[arg(long, requires = "recipes")]
    recipe: Vec<Trade>,
    /// Print the history of the first seed, one JSON object a line, and no more
    #[arg(long)]
    history: bool,
}

impl Arguments {
    fn batch(&self) -> Batch {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Batch {
            from: self.from,
            seeds: self.seeds,
            jobs: self.jobs.unwrap_or(cores),
            narrowing: Narrowing {
                length: self.length_ms.map(Duration::from_millis),
                clients: self.clients,
                without: self.without.iter().copied().collect(),
                recipes: self.recipes,
                trades: self.recipe.iter().copied().collect(),
            },
            twice_every: TWICE_EVERY,
        }
    }
}

/// Runs the seeds; whether all guarantees were kept.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let batch = arguments.batch();
    if arguments.history {
        return print_history(&batch);
    }
    let stopwatch = Stopwatch::start();
    let limit = arguments.minutes.map(|minutes| minutes * 60.0);
    let goes_on = || limit.is_none_or(|limit| stopwatch.elapsed().as_secs_f64() < limit);
    println!("seeds from {}, {} of them", batch.from, batch.seeds);
    match batch::run(&batch, goes_on) {
        Ok(report) => {
            let seconds = stopwatch.elapsed().as_secs_f64();
            let (seeds, events, trace) = (report.seeds, report.events, report.trace);
            println!("{seeds} seeds, {events} events, {seconds:.1} s, trace {trace:016x}");
            // Some recipes alone do not reach what all of them do.
            let sometimes = match (&batch.narrowing.recipes, batch.narrowing.trades.is_empty()) {
                (false, _) => SOMETIMES,
                (true, true) => sometimes::SOMETIMES,
                (true, false) => &[],
            };
            judge(&report, sometimes)
        }
        Err(error) => {
            println!("{error}");
            false
        }
    }
}

fn judge(report: &Report, sometimes: &[&'static str]) -> bool {
    for (what, count) in report.sightings.iter() {
        println!("{count:>10}  {what}");
    }
    if let Some(failing) = &report.failing {
        print_failing(failing);
        return false;
    }
    let missing = report.sightings.missing(sometimes);
    if report.seeds >= SEEDS_FOR_ALL && !missing.is_empty() {
        println!("never reached: {}", missing.join("; "));
        return false;
    }
    true
}

fn print_failing(failing: &Failing) {
    for (number, event) in (1..).zip(&failing.run.history) {
        let Event { at_us, what } = event;
        let (ms, us) = (at_us / 1000, at_us % 1000);
        println!("{number:>5} {ms:>7}.{us:03} ms  {what:?}");
    }
    for line in &failing.run.recipes {
        println!("{line}");
    }
    for line in &failing.verdict {
        println!("{line}");
    }
    let (seed, narrowing) = (failing.settings.seed, failing.settings.narrowing());
    println!("seed {seed} fails; again: cargo xtask sim --seeds 1 --from {seed}{narrowing}");
}

fn print_history(batch: &Batch) -> bool {
    let settings = batch.narrowing.settings(batch.from);
    match deployment::run(&settings) {
        Ok(run) => lines::write(&run.history, std::io::stdout().lock()).is_ok(),
        Err(error) => {
            println!("{error}");
            false
        }
    }
}
