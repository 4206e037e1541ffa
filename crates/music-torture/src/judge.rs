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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use super::*;
    use crate::journal;
    use music_history::{ClientId, OpId, PutOutcome, SectionId};

    /// What one process wrote; its client has the process's number.
    #[derive(Clone, Default)]
    struct Process {
        lines: Vec<journal::Line>,
        client: u32,
    }

    impl Process {
        fn new(client: u32) -> Self {
            let process = Self {
                lines: Vec::new(),
                client,
            };
            let (client, site) = (ClientId(client), client - 1);
            process.then(1, What::Client { client, site })
        }

        fn then(mut self, at: u64, what: What) -> Self {
            let at_ns = at * 1_000_000_000;
            self.lines.push(journal::Line { at_ns, what });
            self
        }

        /// The client's section holds from one second to the next.
        fn holds(self, at: u64, token: u64) -> Self {
            let (client, section) = (ClientId(self.client), self.section());
            let keys = BTreeSet::from(["k0".to_owned()]);
            let asked = What::Asked {
                client,
                section,
                keys,
                shared: false,
            };
            let tokens = BTreeMap::from([("k0".to_owned(), token)]);
            self.then(at, asked)
                .then(at + 1, What::Granted { section, tokens })
        }

        fn section(&self) -> SectionId {
            SectionId(self.client)
        }

        fn puts(self, at: u64, op: u64, outcome: PutOutcome) -> Self {
            let (section, op) = (self.section(), OpId(op));
            let put = What::Put {
                section,
                op,
                key: "k0".to_owned(),
                fields: BTreeMap::from([("x".to_owned(), true)]),
                whole: false,
            };
            self.then(at, put)
                .then(at + 1, What::PutEnded { op, outcome })
        }

        fn reads(self, at: u64, seen: Option<u64>) -> Self {
            let (section, op) = (self.section(), OpId(1000 + at));
            let key = "k0".to_owned();
            let seen = seen.map(|put| ("x".to_owned(), OpId(put)));
            let fields = Some(seen.into_iter().collect());
            self.then(at, What::Get { section, op, key })
                .then(at + 1, What::Got { op, fields })
        }

        fn ends(self, at: u64, confirm: bool, outcome: EndOutcome) -> Self {
            let section = self.section();
            self.then(at, What::Ending { section, confirm })
                .then(at + 1, What::Ended { section, outcome })
        }
    }

    fn acknowledged(token: u64) -> PutOutcome {
        // Of the first put of a section.
        // Ticket 0 of a key, handed over so many times.
        let lock_ref = token >> 16;
        let stamp = 1 << 62 | lock_ref << 28;
        PutOutcome::Acknowledged { stamp }
    }

    fn text<T: serde::Serialize>(lines: &[T]) -> String {
        lines.iter().fold(String::new(), |mut text, line| {
            writeln!(text, "{}", serde_json::to_string(line).unwrap()).unwrap();
            text
        })
    }

    /// The names of the judges that find something in what was left.
    fn found(processes: &[Process], faults: &[(u64, Act)]) -> Vec<&'static str> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("clients")).unwrap();
        for process in processes {
            let name = format!("clients/p{}.jsonl", process.client);
            std::fs::write(folder.path().join(name), text(&process.lines)).unwrap();
        }
        let fault = |(at, act): &(u64, Act)| faults::Line {
            at_ns: at * 1_000_000_000,
            act: act.clone(),
        };
        let faults: Vec<faults::Line> = faults.iter().map(fault).collect();
        std::fs::write(folder.path().join("faults.jsonl"), text(&faults)).unwrap();
        let run = merge::read(folder.path()).unwrap();
        let limits = Limits {
            deadline: DEADLINE,
            settling: Duration::from_secs(30),
        };
        let history = read(&run.history, limits).unwrap();
        let judgement = Judgement::of(&run, &history);
        let violations = judgement.report.violations();
        let mut found: Vec<_> = violations
            .map(|violation| violation.breach.judge().name)
            .collect();
        found.dedup();
        assert_eq!(judgement.is_clean(), found.is_empty());
        found
    }

    fn first() -> Process {
        let first = Process::new(1).holds(2, 5).puts(4, 10, acknowledged(5));
        first.ends(6, false, EndOutcome::Released)
    }

    #[test]
    fn a_run_that_keeps_all_guarantees_passes() {
        let second = Process::new(2).holds(8, 6).reads(10, Some(10));
        let second = second.ends(12, true, EndOutcome::Confirmed);
        assert!(found(&[first(), second], &[]).is_empty());
    }

    #[test]
    fn an_acknowledged_put_that_is_missed_is_found() {
        let second = Process::new(2).holds(8, 6).reads(10, None);
        let found = found(&[first(), second], &[]);
        assert!(found.contains(&"latest_state"), "{found:?}");
        assert!(found.contains(&"linearizability"), "{found:?}");
    }

    #[test]
    fn one_that_is_unknown_may_be_missed_and_may_be_seen() {
        let first = Process::new(1).holds(2, 5).puts(4, 10, PutOutcome::Unknown);
        for seen in [None, Some(10)] {
            let second = Process::new(2).holds(8, 6).reads(10, seen);
            assert!(found(&[first.clone(), second], &[]).is_empty());
        }
    }

    #[test]
    fn a_put_that_a_killed_process_never_saw_answered_may_be_seen() {
        let mut first = Process::new(1).holds(2, 5).puts(4, 10, PutOutcome::Unknown);
        first.lines.pop();
        let (site, process) = (0, "p1".to_owned());
        let died = (6, Act::Died { site, process });
        for seen in [None, Some(10)] {
            let second = Process::new(2).holds(8, 6).reads(10, seen);
            assert!(found(&[first.clone(), second], std::slice::from_ref(&died)).is_empty());
        }
    }

    #[test]
    fn a_value_that_nobody_wrote_is_found() {
        let second = Process::new(2).holds(8, 6).reads(10, Some(99));
        assert!(!found(&[first(), second], &[]).is_empty());
    }

    #[test]
    fn two_sections_with_one_token_are_found() {
        let second = Process::new(2).holds(8, 5);
        assert!(found(&[first(), second], &[]).contains(&"exclusion"));
    }

    #[test]
    fn a_confirmation_that_others_were_granted_before_is_found() {
        let first = Process::new(1).holds(2, 5);
        let first = first.ends(6, true, EndOutcome::Confirmed);
        let second = Process::new(2).holds(3, 6);
        assert!(found(&[first, second], &[]).contains(&"confirmed"));
    }

    #[test]
    fn a_grant_at_a_site_that_was_cut_off_is_found() {
        let cut = [(1, Act::CutOff { site: 0 }), (20, Act::Healed { site: 0 })];
        assert_eq!(found(&[first()], &cut), ["availability"]);
        assert!(found(&[first()], &cut.map(|(at, act)| (at + 20, act))).is_empty());
    }

    #[test]
    fn a_waiter_that_is_never_granted_is_found() {
        let mut second = Process::new(2).holds(8, 6);
        second.lines.pop();
        let faults = [(60, Act::Calm), (120, Act::End)];
        assert_eq!(found(&[first(), second], &faults), ["liveness"]);
    }
}
