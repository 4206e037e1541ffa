//! Doing sections: who does which when.
//!
//! Closed loop: a client begins its next section when the last has ended. Open
//! loop: sections are due at fixed times, and a latency counts from when its
//! section was due, though its client was still busy with the one before.

use std::ops::Range;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::agent::{Agent, Times, Wanted, lock};
use super::scenario::{Case, Scenario};
use crate::clock;

/// Sections before those that count: they make what is missing, and connect.
const FIRST: u32 = 2;
/// Between a release and the section of the next site, where nobody is to wait.
const TURN_PAUSE: Duration = Duration::from_millis(250);
/// How long a section is held that another waits for.
const HOLD: Duration = Duration::from_secs(1);
/// One section of so many is at another site than the key's.
const AWAY_EVERY: usize = 10;
/// What part of the sections that a closed loop did are due in an open one.
const OPEN_LOOP_PART: f64 = 0.8;

/// How much is done.
#[derive(Clone, Copy)]
pub(super) struct Amount {
    /// How long each measurement goes on.
    pub(super) time: Duration,
    /// How many sections of those that are looked at alone there are at least.
    pub(super) count_min: u32,
    /// How many hand-overs there are between each two sites.
    pub(super) hand_overs: u32,
}

/// A section that was done.
#[derive(Clone, Debug)]
pub(super) struct Done {
    pub(super) site: usize,
    /// Which of the sections of that site, where they are not all alike.
    pub(super) what: String,
    pub(super) latency: Duration,
    pub(super) ended_ns: u64,
}

/// All that was done.
#[derive(Default)]
pub(super) struct Record {
    done: Mutex<Vec<Done>>,
    /// Why others failed.
    failures: Mutex<Vec<String>>,
}

/// A case on its way.
pub(super) struct Drive<'a> {
    pub(super) agents: &'a [Agent],
    pub(super) case: &'a Case,
    /// Keys begin with it.
    pub(super) name: &'a str,
    pub(super) amount: Amount,
    pub(super) sites: [&'static str; 3],
}

/// A client, its site's number first.
type Client = (usize, u32);

impl Drive<'_> {
    /// Makes what is missing.
    ///
    /// # Errors
    ///
    /// When a section fails.
    pub(super) fn prepare(&self) -> Result<()> {
        let record = Record::default();
        if self.case.scenario == Scenario::Turn {
            self.turns(0, 1, &record);
        } else {
            self.each_client(|client| {
                for _ in 0..FIRST {
                    let done = self.section(client, &self.own_key(client), 0);
                    record.failed(done.map(drop));
                }
            });
        }
        let first = record.failures().into_iter().next();
        first.map_or(Ok(()), |failure| Err(anyhow::Error::msg(failure)))
    }

    /// Does what is to be measured; the window of sections that count. Where a
    /// rate is looked at, those that end late are not of the window.
    pub(super) fn run(&self, record: &Record) -> Range<u64> {
        let from = clock::monotonic_ns();
        let until = from + nanoseconds(self.amount.time);
        match self.case.scenario {
            Scenario::Home => self.closed("", (until, self.amount.count_min), record),
            Scenario::Turn => self.turns(until, self.amount.count_min, record),
            Scenario::Contended => self.contended(until, record),
            Scenario::HandOver => self.hand_overs(record),
            Scenario::Throughput => self.closed("closed loop", (until, 0), record),
            Scenario::Skew => self.skewed(until, record),
        }
        let ended = clock::monotonic_ns();
        from..if self.case.scenario.is_of_rate() {
            until
        } else {
            ended
        }
    }

    /// As many sections as were done before, but for a part, due at fixed times.
    pub(super) fn open_loop(&self, per_second: &[f64], record: &Record) -> Range<u64> {
        let from = clock::monotonic_ns();
        self.each_client(|client| {
            let rate = per_second.get(client.0).copied().unwrap_or_default();
            let rate = rate * OPEN_LOOP_PART / f64::from(self.case.clients.max(1));
            for due in due_times(rate, self.amount.time, client.1, self.case.clients) {
                let due_ns = from + nanoseconds(due);
                thread::sleep(since(clock::monotonic_ns(), due_ns));
                let times = self.section(client, &self.own_key(client), 0);
                record.add((client.0, "open loop"), times, |times| {
                    since(due_ns, times.ended_ns)
                });
            }
        });
        from..clock::monotonic_ns()
    }

    fn closed(&self, what: &str, (until, count_min): (u64, u32), record: &Record) {
        self.each_client(|client| {
            let mut count = 0;
            while clock::monotonic_ns() < until || count < count_min {
                let times = self.section(client, &self.own_key(client), 0);
                record.add((client.0, what), times, whole);
                count += 1;
            }
        });
    }

    /// As many keys as sites, so that all sites work at once.
    fn turns(&self, until: u64, count_min: u32, record: &Record) {
        self.each_client(|(first, _)| {
            let key = format!("{}-turn-{first}", self.name);
            // It is the same at each site.
            let client = u32::try_from(first).unwrap_or_default();
            let mut round = 0;
            while clock::monotonic_ns() < until || round < count_min {
                for turn in 0..self.agents.len() {
                    let site = (first + turn) % self.agents.len();
                    let times = self.section((site, client), &key, 0);
                    record.add((site, ""), times, whole);
                    thread::sleep(TURN_PAUSE);
                }
                round += 1;
            }
        });
    }

    fn contended(&self, until: u64, record: &Record) {
        let key = format!("{}-all", self.name);
        self.each_client(|client| {
            while clock::monotonic_ns() < until {
                let times = self.section(client, &key, 0);
                record.add((client.0, ""), times, whole);
            }
        });
    }

    fn hand_overs(&self, record: &Record) {
        let sites = 0..self.agents.len();
        let pairs = sites
            .clone()
            .flat_map(|from| sites.clone().map(move |to| (from, to)));
        thread::scope(|scope| {
            for pair in pairs.filter(|(from, to)| from != to) {
                scope.spawn(move || {
                    for _ in 0..self.amount.hand_overs {
                        if record.failed(self.hand_over(pair, record)).is_none() {
                            break;
                        }
                    }
                });
            }
        });
    }

    fn hand_over(&self, (from, to): (usize, usize), record: &Record) -> Result<()> {
        let key = format!("{}-{from}-{to}", self.name);
        let pair = u32::try_from(from * self.agents.len() + to)?;
        let hold_ms = u64::try_from(HOLD.as_millis())?;
        let (first, second) = thread::scope(|scope| {
            let first = scope.spawn(|| self.section((from, pair), &key, hold_ms));
            thread::sleep(HOLD / 2);
            let second = self.section((to, pair), &key, 0);
            (first.join(), second)
        });
        let first = first.ok().context("a client panicked")??;
        let second = second?;
        // Else it did not wait for this one.
        if second.granted_ns > first.released_ns && second.began_ns < first.released_ns {
            let site = self.sites.get(from).copied().unwrap_or_default();
            let latency = since(first.released_ns, second.granted_ns);
            record.done(to, &format!("from {site}"), latency, &second);
        }
        Ok(())
    }

    /// Nobody else wants the key: what another site costs is seen alone.
    fn skewed(&self, until: u64, record: &Record) {
        self.each_client(|(home, client)| {
            let key = self.own_key((home, client));
            // At each site one client works on this key.
            let number = u32::try_from(home).unwrap_or_default();
            let number = client + number * self.case.clients;
            let first = usize::try_from(client).unwrap_or_default();
            let mut turn = first * AWAY_EVERY / 4;
            while clock::monotonic_ns() < until {
                turn += 1;
                let site = site_of(home, turn, self.agents.len());
                let what = if site == home { "home" } else { "away" };
                let times = self.section((site, number), &key, 0);
                record.add((site, what), times, whole);
            }
        });
    }

    /// Runs something for each client, all at once, and waits for all.
    fn each_client(&self, work: impl Fn(Client) + Sync) {
        thread::scope(|scope| {
            for site in 0..self.agents.len() {
                for client in 0..self.case.clients {
                    let work = &work;
                    scope.spawn(move || work((site, client)));
                }
            }
        });
    }

    fn own_key(&self, (site, client): Client) -> String {
        format!("{}-{site}-{client}", self.name)
    }

    fn section(&self, (site, client): Client, key: &str, hold_ms: u64) -> Result<Times> {
        let agent = self.agents.get(site).context("there is no such site")?;
        agent.section(&Wanted {
            client,
            key: key.to_owned(),
            puts: self.case.puts,
            bytes: self.case.value_bytes,
            how: self.case.how,
            hold_ms,
        })
    }
}

impl Record {
    /// What was done so far.
    pub(super) fn so_far(&self) -> Vec<Done> {
        lock(&self.done).clone()
    }

    /// Why sections failed so far.
    pub(super) fn failures(&self) -> Vec<String> {
        lock(&self.failures).clone()
    }

    /// Notes a failure.
    pub(super) fn fail(&self, error: &anyhow::Error) {
        lock(&self.failures).push(format!("{error:#}"));
    }

    /// Adds what another has.
    pub(super) fn append(&self, other: &Self) {
        lock(&self.done).extend(other.so_far());
        lock(&self.failures).extend(other.failures());
    }

    fn add(
        &self,
        (site, what): (usize, &str),
        times: Result<Times>,
        latency: impl FnOnce(&Times) -> Duration,
    ) {
        if let Some(times) = self.failed(times) {
            self.done(site, what, latency(&times), &times);
        }
    }

    fn done(&self, site: usize, what: &str, latency: Duration, times: &Times) {
        lock(&self.done).push(Done {
            site,
            what: what.to_owned(),
            latency,
            ended_ns: times.ended_ns,
        });
    }

    /// Notes a failure; what did not fail.
    fn failed<T>(&self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.fail(&error)).ok()
    }
}

fn whole(times: &Times) -> Duration {
    since(times.began_ns, times.ended_ns)
}

fn since(from_ns: u64, to_ns: u64) -> Duration {
    Duration::from_nanos(to_ns.saturating_sub(from_ns))
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Where a section is, of those on a key of that home: every tenth is at
/// another site, at each in turn.
fn site_of(home: usize, turn: usize, sites: usize) -> usize {
    if turn.is_multiple_of(AWAY_EVERY) {
        let others = sites.saturating_sub(1).max(1);
        (home + 1 + turn / AWAY_EVERY % others) % sites.max(1)
    } else {
        home
    }
}

/// When the sections of a client are due, which does so many a second; clients
/// of a site take turns.
fn due_times(rate: f64, time: Duration, client: u32, clients: u32) -> Vec<Duration> {
    if rate <= 0.0 {
        return Vec::new();
    }
    let interval = 1.0 / rate;
    let first = interval * f64::from(client) / f64::from(clients.max(1));
    let due = (0..u32::MAX).map(|turn| first + interval * f64::from(turn));
    due.take_while(|due| *due < time.as_secs_f64())
        .map(Duration::from_secs_f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_due_at_a_fixed_rate() {
        let due = |client| due_times(2.0, Duration::from_secs(2), client, 2);
        let ms = |due: Vec<Duration>| due.iter().map(Duration::as_millis).collect::<Vec<_>>();
        assert_eq!(ms(due(0)), [0, 500, 1000, 1500]);
        assert_eq!(ms(due(1)), [250, 750, 1250, 1750]);
        assert!(due_times(0.0, Duration::from_secs(2), 0, 1).is_empty());
    }

    #[test]
    fn one_section_of_ten_is_away_at_each_other_site_in_turn() {
        let sites: Vec<_> = (1..=40).map(|turn| site_of(1, turn, 3)).collect();
        let at = |site| sites.iter().filter(|other| **other == site).count();
        assert_eq!([0, 1, 2].map(at), [2, 36, 2]);
    }

    #[test]
    fn a_latency_counts_from_when_the_section_was_due() {
        let times = Times {
            began_ns: 900,
            ended_ns: 1000,
            ..Times::default()
        };
        let record = Record::default();
        record.add((0, "open loop"), Ok(times), |times| {
            since(100, times.ended_ns)
        });
        record.add((1, ""), Ok(times), whole);
        record.add((1, ""), Err(anyhow::Error::msg("no majority")), whole);
        let done = record.so_far();
        let latencies: Vec<_> = done.iter().map(|done| done.latency.as_nanos()).collect();
        assert_eq!(latencies, [900, 100]);
        assert_eq!(record.failures(), ["no majority"]);
    }
}
