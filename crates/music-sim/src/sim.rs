//! `music-sim sim`: whole deployments under many seeds.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use music_sim::deployment;
use music_sim::deployment::batch::{self, Batch, Narrowing, Report};
use music_sim::deployment::settings::Fault;

/// Fewer seeds than this need not have seen everything.
const SEEDS_FOR_ALL: u64 = 100;

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
    /// How many seeds to run at a time; as many as there are cores if not given
    #[arg(long)]
    jobs: Option<usize>,
    /// Faults for no longer than this
    #[arg(long)]
    length_ms: Option<u64>,
    /// How many clients there are
    #[arg(long)]
    clients: Option<usize>,
    /// A kind of fault to leave out
    #[arg(long)]
    without: Vec<Fault>,
    /// Print the history of the first seed, one JSON object a line, and end
    #[arg(long)]
    history: bool,
}

pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let narrowing = Narrowing {
        length: arguments.length_ms.map(Duration::from_millis),
        clients: arguments.clients,
        without: arguments.without.iter().copied().collect(),
    };
    let batch = Batch {
        from: arguments.from,
        seeds: arguments.seeds,
        limit: arguments
            .minutes
            .map(|minutes| Duration::from_secs_f64(minutes * 60.0)),
        jobs: arguments.jobs.unwrap_or(cores),
        narrowing,
        twice_every: 20,
    };
    if arguments.history {
        return print_history(&batch);
    }
    let start = Instant::now();
    println!("seeds {} to {}", batch.from, batch.from + batch.seeds);
    match batch::run(&batch) {
        Ok(report) => judge(&report, start.elapsed()),
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn print_history(batch: &Batch) -> ExitCode {
    let settings = batch.narrowing.settings(batch.from);
    let run = match deployment::run(&settings) {
        Ok(run) => run,
        Err(error) => {
            println!("{error}");
            return ExitCode::FAILURE;
        }
    };
    for event in &run.history {
        println!("{}", serde_json::to_string(event).unwrap_or_default());
    }
    ExitCode::SUCCESS
}

fn judge(report: &Report, took: Duration) -> ExitCode {
    println!(
        "{} seeds, {} events, {:.1} s, trace {:016x}",
        report.seeds,
        report.events,
        took.as_secs_f64(),
        report.trace
    );
    for (what, count) in report.sightings.iter() {
        println!("{count:>10}  {what}");
    }
    if let Some(failing) = &report.failing {
        for event in &failing.run.history {
            println!("{:>10.3} ms  {:?}", event.at_us as f64 / 1000.0, event.what);
        }
        for line in &failing.verdict {
            println!("{line}");
        }
        println!(
            "seed {} fails; again: cargo xtask sim --seeds 1 --from {}{}",
            failing.settings.seed,
            failing.settings.seed,
            failing.settings.narrowing()
        );
        return ExitCode::FAILURE;
    }
    let missing = report.sightings.missing();
    if report.seeds >= SEEDS_FOR_ALL && !missing.is_empty() {
        println!("never reached: {}", missing.join("; "));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
