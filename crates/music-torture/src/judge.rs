//! What is said of a run, once it is over.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use music_history::{EndOutcome, Event, History, Limits, Report, What, lines};

use crate::faults::{self, Act};
use crate::merge::{self, Run};
use crate::standstill::{self, Standstill};

/// How long an operation may take, with all its retries at all nodes, where
/// the process that asks is paused meanwhile.
const DEADLINE: Duration = Duration::from_secs(90);

/// What to judge.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a run, or a history alone
    path: PathBuf,
    /// How long the effects of faults may last
    #[arg(long, default_value_t = 30_000)]
    settling_ms: u64,
}

/// Judges a run and prints what was found. Whether nothing is wrong.
///
/// # Errors
/// When there is no history, or none that can be one.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let limits = Limits {
        deadline: DEADLINE,
        settling: Duration::from_millis(arguments.settling_ms),
    };
    let path = &arguments.path;
    if path.is_file() {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let events = lines::read(BufReader::new(file))
            .with_context(|| format!("{} is no history", path.display()))?;
        let history = read(&events, limits)?;
        let report = Report::of(&history);
        print!("{report}");
        return Ok(report.is_clean());
    }
    let run = merge::read(path)?;
    let kept = path.join("history.jsonl");
    keep(&run.history, &kept)?;
    let history = read(&run.history, limits)?;
    let judgement = Judgement::of(&run, &history);
    print!("{judgement}");
    println!("history: {}", kept.display());
    Ok(judgement.is_clean())
}

fn read(events: &[Event], limits: Limits) -> Result<History> {
    History::read(events, limits).context("this cannot have happened")
}

fn keep(events: &[Event], path: &Path) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    let file = File::create(path).with_context(context)?;
    lines::write(events, BufWriter::new(file)).with_context(context)
}

/// All that is said of a run.
struct Judgement {
    report: Report,
    faults: BTreeMap<String, usize>,
    preempted: usize,
    standstill: Standstill,
    /// What did not come to rest.
    failures: Vec<String>,
}

impl Judgement {
    fn of(run: &Run, history: &History) -> Self {
        let mut faults = faults::count(&run.faults);
        let by_hand = |event: &&Event| matches!(event.what, What::Forced { .. });
        let forced = run.history.iter().filter(by_hand).count();
        faults.insert("section forced by hand".to_owned(), forced);
        let failure = |line: &faults::Line| match &line.act {
            Act::Failed { text } => Some(text.clone()),
            _ => None,
        };
        let ousted = history.sections.values().filter(|section| {
            let at_end = matches!(section.ended, Some((_, EndOutcome::Lost)));
            section.granted.is_some() && (at_end || section.lost.is_some())
        });
        Self {
            report: Report::of(history),
            faults,
            preempted: ousted.count(),
            standstill: standstill::measure(&run.faults, run.start_ns, history),
            failures: run.faults.iter().filter_map(failure).collect(),
        }
    }

    fn is_clean(&self) -> bool {
        self.report.is_clean() && self.failures.is_empty()
    }
}

impl std::fmt::Display for Judgement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            standstill: still,
            report,
            ..
        } = self;
        let seconds = |length: Duration| length.as_secs_f64();
        write!(f, "{report}")?;
        writeln!(f, "granted, then preempted or lost: {}", self.preempted)?;
        writeln!(f, "faults:")?;
        for (kind, count) in &self.faults {
            writeln!(f, "  {count:>5}  {kind}")?;
        }
        writeln!(
            f,
            "majority side while a site is cut off and nothing else is wrong, {} times, {:.0} s: \
             {} sections granted; longest without any grant {:.1} s; longest that a key stood \
             still {:.1} s",
            still.cuts,
            seconds(still.measured),
            still.grants,
            seconds(still.side),
            seconds(still.key)
        )?;
        for failure in &self.failures {
            writeln!(f, "guarantee 6, at rest: {failure}")?;
        }
        let violations = report.violations().count() + self.failures.len();
        writeln!(f, "violations: {violations}")
    }
}
