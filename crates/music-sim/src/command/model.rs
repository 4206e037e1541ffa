//! `music-sim model`: explores small worlds to their end.

use music_sim::model::{Check, Report, checks};

use crate::clock::Stopwatch;

/// What to explore.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this one
    #[arg(long)]
    scenario: Option<String>,
    /// How many threads explore
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Break this rule first, to see the history that shows it
    #[cfg(feature = "mutations")]
    #[arg(long)]
    mutation: Option<String>,
    /// Name the properties of each, too
    #[arg(long)]
    verbose: bool,
}

/// Explores every scenario; whether all is as it should be.
pub(crate) fn run(arguments: &Arguments) -> bool {
    let wanted = |check: &Check| {
        let name = arguments.scenario.as_deref();
        name.is_none_or(|name| name == check.name)
    };
    #[cfg(feature = "mutations")]
    if let Some(name) = &arguments.mutation {
        let mutation = music_core::mutation::Mutation::named(name);
        if mutation.is_none() {
            println!("no mutation is named {name}");
            return false;
        }
        music_core::mutation::switch(mutation);
    }
    let stopwatch = Stopwatch::start();
    let (mut explored, mut states, mut is_fine) = (0, 0, true);
    for check in checks().into_iter().filter(wanted) {
        let one = Stopwatch::start();
        let report = check.run(arguments.threads);
        let seconds = one.elapsed().as_secs_f32();
        explored += 1;
        states += report.states;
        is_fine &= report.is_fine();
        print(&check, &report, seconds, arguments.verbose);
    }
    let seconds = stopwatch.elapsed().as_secs();
    println!("{explored} scenarios, {states} states, {seconds} s");
    is_fine && explored > 0
}

fn print(check: &Check, report: &Report, seconds: f32, verbose: bool) {
    let Report {
        states,
        steps,
        depth,
        ..
    } = report;
    println!("{}: {}", check.name, check.about);
    println!("  {}", check.bounds);
    println!("  {states} states, {steps} steps, depth {depth}, {seconds:.1} s");
    if verbose {
        println!("  always: {}", report.holds.join("; "));
        println!("  sometimes: {}", report.reached.join("; "));
    }
    if !report.missed.is_empty() {
        println!("  NEVER REACHED: {}", report.missed.join("; "));
    }
    if let Some((name, history)) = &report.broken {
        println!("  BROKEN: {name}");
        for step in history {
            println!("    {step}");
        }
    }
}
