//! A case, from its tables to its result.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::clients::{Answer, Clients, Order, Program, Seen, Tally};
use super::judge::{self, Done};
use super::report::{Evidence, Measured};
use super::system::{Ready, System};
use super::workload::{Case, Workload};
use super::{site_name, wan};
use crate::clock::{self, Stopwatch};
use crate::torture::Link;
use wan::probe::Prober;

/// How long servers may take until they serve together.
const START_TIME: Duration = Duration::from_mins(2);
/// How long clients work before a system's first measurement, and how many a
/// site has then: Java compiles what it runs.
const FIRST_TIME: Duration = Duration::from_secs(10);
const FIRST_CLIENTS: u32 = 4;
/// How long sites may take until all have what was done.
const AGREE_TIME: Duration = Duration::from_secs(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// How long is measured.
#[derive(Clone, Copy)]
pub(super) struct Amount {
    /// Whether nobody looks at how quick it is.
    pub(super) is_trial: bool,
    pub(super) warm_up: Duration,
    pub(super) time: Duration,
}

/// What measures, and what it has so far.
pub(super) struct Measurer {
    amount: Amount,
    links: Vec<Link>,
    /// Set by Ctrl-C.
    stop: Arc<AtomicBool>,
    /// How many runs there were.
    runs: u32,
    pub(super) measured: Vec<Measured>,
    pub(super) evidence: Vec<Evidence>,
}

/// The clients of all sites, and what is done on the tables of one workload.
struct Ground<'a> {
    system: System,
    sites: Vec<Clients>,
    ready: &'a Ready,
    prober: Prober,
    /// Whether clients have worked on it.
    is_warm: bool,
}

impl Measurer {
    pub(super) fn new(amount: Amount, links: Vec<Link>, stop: Arc<AtomicBool>) -> Self {
        let (measured, evidence) = (Vec::new(), Vec::new());
        Self {
            amount,
            links,
            stop,
            runs: 0,
            measured,
            evidence,
        }
    }

    /// Whether somebody has pressed Ctrl-C.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// All cases of a system, those on the same tables after each other.
    ///
    /// # Errors
    ///
    /// When the servers do not serve, or have ended.
    pub(super) fn all(
        &mut self,
        system: System,
        ready: &Ready,
        program: &Program,
        cases: &[Case],
    ) -> Result<()> {
        let sites = ready.clients.iter().enumerate().map(|(site, words)| {
            let words = words
                .iter()
                .map(String::as_str)
                .chain(system.words().iter().copied());
            program.start(site, &words.collect::<Vec<_>>())
        });
        let prober = wan::ground::prober(&self.links)?;
        let sites = sites.collect::<Result<_>>()?;
        let mut ground = Ground {
            system,
            sites,
            ready,
            prober,
            is_warm: self.amount.is_trial,
        };
        ground.wait_until_whole()?;
        for cases in cases.chunk_by(|one, other| one.workload == other.workload) {
            self.workload(&mut ground, cases)?;
        }
        self.evidence.extend(ground.evidence()?);
        Ok(())
    }

    fn workload(&mut self, ground: &mut Ground<'_>, cases: &[Case]) -> Result<()> {
        let Some(workload) = cases.first().map(|case| case.workload) else {
            return Ok(());
        };
        let form = match ground.at(0, Order::Make(workload))? {
            Answer::Made { form } => form,
            Answer::Refused { why } => {
                let refused = |case: &Case| Measured::skipped(ground.system, *case, &why);
                let all: Vec<Measured> = cases.iter().map(refused).collect();
                for measured in &all {
                    println!("{}", measured.text());
                }
                self.measured.extend(all);
                return Ok(());
            }
            answer => bail!("tables were not made: {answer:?}"),
        };
        let (_, problems, _) = ground.agree(workload)?;
        ensure!(
            problems.is_empty(),
            "before anything was done: {}",
            problems.join("; ")
        );
        let mut done = Done::default();
        if !ground.is_warm {
            self.warm_up(ground, workload, &mut done)?;
        }
        for case in cases {
            ensure!(!self.is_stopped(), "the run was interrupted");
            let measured = self.case(ground, *case, &form, &mut done)?;
            println!("{}", measured.text());
            self.measured.push(measured);
        }
        Ok(())
    }

    fn warm_up(
        &mut self,
        ground: &mut Ground<'_>,
        workload: Workload,
        done: &mut Done,
    ) -> Result<()> {
        self.runs += 1;
        let tallies = ground.run(Order::Run {
            workload,
            number: self.runs,
            clients: FIRST_CLIENTS,
            warm_up: FIRST_TIME,
            time: Duration::ZERO,
        })?;
        done.add(&tallies);
        ground.is_warm = true;
        Ok(())
    }

    fn case(
        &mut self,
        ground: &mut Ground<'_>,
        case: Case,
        form: &str,
        done: &mut Done,
    ) -> Result<Measured> {
        self.runs += 1;
        let Amount { warm_up, time, .. } = self.amount;
        let Case { workload, clients } = case;
        let order = Order::Run {
            workload,
            number: self.runs,
            clients,
            warm_up,
            time,
        };
        let from = clock::monotonic_ns() + nanoseconds(warm_up);
        let tallies = ground.run(order)?;
        let emulation = ground.prober.judge((from, from + nanoseconds(time)));
        done.add(&tallies);
        let (seen, mut problems, agreed_after) = ground.agree(workload)?;
        problems.extend(judge::lost(done, &seen));
        Ok(
            Measured::of(ground.system, (case, form), &tallies, time).judged(
                agreed_after,
                problems,
                emulation,
            ),
        )
    }
}

impl Ground<'_> {
    fn at(&mut self, site: usize, order: Order<'_>) -> Result<Answer> {
        let clients = self.sites.get_mut(site).context("no such site")?;
        let answer = clients.obey(order);
        answer.map_err(|error| match self.ready.servers.ended() {
            Some(words) => error.context(format!("a server has ended: {words}")),
            None => error.context(format!("at {}", site_name(site))),
        })
    }

    /// Gives an order to all sites at once.
    fn run(&mut self, order: Order<'_>) -> Result<Vec<Tally>> {
        let answers = thread::scope(|scope| {
            let all = self
                .sites
                .iter_mut()
                .map(|site| scope.spawn(move || site.obey(order)));
            let all: Vec<_> = all.collect();
            all.into_iter()
                .map(thread::ScopedJoinHandle::join)
                .collect::<Vec<_>>()
        });
        let tally = |answer| match answer {
            Ok(Ok(Answer::Done(tally))) => Ok(tally),
            Ok(Ok(answer)) => bail!("transactions were not done: {answer:?}"),
            Ok(Err(error)) => Err(error),
            Err(_) => bail!("whoever waits for the clients panicked"),
        };
        answers.into_iter().map(tally).collect()
    }

    fn rows(&mut self, site: usize, question: &str) -> Result<Vec<Vec<String>>> {
        match self.at(site, Order::Ask(question))? {
            Answer::Rows { rows } => Ok(rows),
            answer => bail!("not what was asked for: {answer:?}"),
        }
    }

    /// Waits until the servers serve together.
    fn wait_until_whole(&mut self) -> Result<()> {
        let stopwatch = Stopwatch::start();
        let ready = self.ready;
        for whole in &ready.whole {
            loop {
                let rows = self.rows(whole.site, whole.question);
                let last = |row: &Vec<String>| row.last().cloned().unwrap_or_default();
                let said = rows.map(|rows| {
                    let mut said: Vec<String> = rows.iter().map(last).collect();
                    said.sort();
                    said
                });
                if said.as_ref().is_ok_and(|said| said == whole.answer) {
                    break;
                }
                if let Some(words) = ready.servers.ended() {
                    bail!("a server has ended: {words}");
                }
                if stopwatch.elapsed() > START_TIME {
                    bail!("{} is not ready: {said:?}", site_name(whole.site));
                }
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// What shows that the servers are what they are to be, and is printed.
    fn evidence(&mut self) -> Result<Vec<Evidence>> {
        let ready = self.ready;
        let mut all = Vec::new();
        for (site, question) in &ready.evidence {
            let rows = self.rows(*site, question)?;
            let evidence = Evidence {
                system: self.system,
                site: site_name(*site),
                rows: rows.iter().map(|row| row.join(" ")).collect(),
            };
            println!("{}", evidence.text());
            all.push(evidence);
        }
        Ok(all)
    }

    /// Waits until every site's own copy is what was acknowledged: what that
    /// is, what is wrong with it, and how long it took.
    fn agree(&mut self, workload: Workload) -> Result<(Seen, Vec<String>, Duration)> {
        let stopwatch = Stopwatch::start();
        loop {
            // Anew each time: what is unknown may come late.
            let seen = self.look(0, workload, true)?;
            let took = stopwatch.elapsed();
            let mut differing = Vec::new();
            for site in 0..self.sites.len() {
                let copy = self.look(site, workload, false)?;
                differing.extend(judge::differing(site_name(site), &seen, &copy));
            }
            if differing.is_empty() || stopwatch.elapsed() > AGREE_TIME {
                let problems = seen.problems.iter().cloned().chain(differing).collect();
                return Ok((seen, problems, took));
            }
            thread::sleep(PAUSE);
        }
    }

    fn look(&mut self, site: usize, workload: Workload, freshly: bool) -> Result<Seen> {
        match self.at(site, Order::Look { workload, freshly })? {
            Answer::Seen(seen) => Ok(seen),
            answer => bail!("not what is in the tables: {answer:?}"),
        }
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
