//! Whether the emulated network was what it should be: round trips that are
//! measured all along, beside those of the profile.
//!
//! A probe connects to a port where nobody listens: the refusal comes after a
//! round trip, from the other site's kernel, and troubles no server.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::agent::lock;
use super::latency::Latencies;
use crate::clock::{self, Stopwatch};

/// What a probe is on the way, there and back: a segment that opens a
/// connection, with its options, and one that refuses it.
pub(super) const BYTES: u64 = 60 + 40;
pub(super) const PACKETS: u64 = 2;
/// Where nobody listens.
const PORT: u16 = 9;
/// How long a probe may take, and how long it is until the next.
const PROBE_TIME: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);

/// How late round trips may be, in milliseconds: half of them, and 99 of 100.
const LATE_MEDIAN_MS: f64 = 1.0;
const LATE_P99_MS: f64 = 5.0;
/// Less are no proof.
const PROBES_MIN: u64 = 3;

/// A way that is probed.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) name: String,
    /// What it takes by the profile.
    pub(super) rtt_ms: f64,
}

/// One probe.
struct Probe {
    at_ns: u64,
    link: usize,
    took: Duration,
}

/// All that was probed.
#[derive(Clone, Default)]
struct Probes(Arc<Mutex<Vec<Probe>>>);

/// What probes; it ends when this is dropped.
pub(in crate::bench) struct Prober {
    links: Vec<Link>,
    probes: Probes,
    children: Vec<Child>,
}

/// What was found of a link.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Found {
    link: String,
    rtt_ms: f64,
    median_ms: f64,
    p99_ms: f64,
    probes: u64,
}

/// What was found of all.
#[derive(Clone, Debug, Default, Serialize)]
pub(in crate::bench) struct Emulation {
    links: Vec<Found>,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::bench) late: Option<String>,
}

/// Probes the way to each host again and again, and prints what it takes; run
/// at a site.
///
/// # Errors
///
/// When there is no way.
pub(crate) fn run(hosts: &[Ipv4Addr]) -> Result<()> {
    loop {
        for (link, host) in hosts.iter().enumerate() {
            let stopwatch = Stopwatch::start();
            // It is refused, after a round trip.
            let refused = TcpStream::connect_timeout(&SocketAddr::from((*host, PORT)), PROBE_TIME);
            println!("{link} {}", stopwatch.elapsed().as_nanos());
            drop(refused);
        }
        thread::sleep(PAUSE);
    }
}

impl Prober {
    /// Probes links by processes that print, each for some of them.
    ///
    /// # Errors
    ///
    /// When one does not start.
    pub(super) fn start(links: Vec<Link>, commands: Vec<(Command, Vec<usize>)>) -> Result<Self> {
        let mut prober = Self::of(links);
        for (mut command, links) in commands {
            command.stdin(Stdio::null()).stdout(Stdio::piped());
            let child = command.process_group(0).spawn();
            let mut child = child.context("cannot start a probe")?;
            let output = child.stdout.take().context("a probe without an output")?;
            prober.children.push(child);
            let probes = prober.probes.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if let Some((link, took)) = parse(&line, &links) {
                        probes.add(link, took);
                    }
                }
            });
        }
        Ok(prober)
    }

    /// Probes how late timers are, where delays are made by those of a process.
    pub(super) fn of_timers(length: Duration) -> Self {
        let prober = Self::of(vec![Link {
            name: "timer".to_owned(),
            rtt_ms: length.as_secs_f64() * 1e3,
        }]);
        let probes = Arc::downgrade(&prober.probes.0);
        thread::spawn(move || {
            while let Some(probes) = probes.upgrade().map(Probes) {
                let stopwatch = Stopwatch::start();
                thread::sleep(length);
                probes.add(0, stopwatch.elapsed());
                drop(probes);
                thread::sleep(PAUSE);
            }
        });
        prober
    }

    fn of(links: Vec<Link>) -> Self {
        Self {
            links,
            probes: Probes::default(),
            children: Vec::new(),
        }
    }

    /// How many probes there were between two times.
    pub(super) fn count(&self, (from_ns, to_ns): (u64, u64)) -> u64 {
        let probes = lock(&self.probes.0);
        let within = probes
            .iter()
            .filter(|probe| (from_ns..to_ns).contains(&probe.at_ns));
        within.count() as u64
    }

    /// What was found between two times.
    pub(in crate::bench) fn judge(&self, (from_ns, to_ns): (u64, u64)) -> Emulation {
        let probes = lock(&self.probes.0);
        let found = self.links.iter().enumerate().map(|(number, link)| {
            let mut latencies = Latencies::new();
            for probe in probes.iter().filter(|probe| probe.link == number) {
                if (from_ns..to_ns).contains(&probe.at_ns) {
                    latencies.add(probe.took);
                }
            }
            found(link, &latencies)
        });
        let links: Vec<Found> = found.collect();
        let late = links.iter().find_map(late);
        Emulation { links, late }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        for child in &mut self.children {
            child.kill().unwrap_or_default();
            drop(child.wait());
        }
    }
}

impl Probes {
    fn add(&self, link: usize, took: Duration) {
        let at_ns = clock::monotonic_ns();
        lock(&self.0).push(Probe { at_ns, link, took });
    }
}

fn parse(line: &str, links: &[usize]) -> Option<(usize, Duration)> {
    let (link, took) = line.split_once(' ')?;
    let link = links.get(link.parse::<usize>().ok()?)?;
    Some((*link, Duration::from_nanos(took.parse().ok()?)))
}

fn found(link: &Link, latencies: &Latencies) -> Found {
    Found {
        link: link.name.clone(),
        rtt_ms: link.rtt_ms,
        median_ms: latencies.quantile_ms(0.5),
        p99_ms: latencies.quantile_ms(0.99),
        probes: latencies.len(),
    }
}

/// What is wrong with a link.
fn late(found: &Found) -> Option<String> {
    let Found { link, rtt_ms, .. } = found;
    if found.probes < PROBES_MIN {
        return Some(format!("{link} was probed {} times only", found.probes));
    }
    let beyond = |what: &str, ms: f64, late_max: f64| {
        let is_late = ms > rtt_ms + late_max || ms < rtt_ms - late_max;
        is_late.then(|| format!("{link} takes {rtt_ms} ms, but its {what} was {ms:.2} ms"))
    };
    beyond("median", found.median_ms, LATE_MEDIAN_MS)
        .or_else(|| beyond("p99", found.p99_ms, LATE_P99_MS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(took_ms: &[f64]) -> Option<String> {
        let link = Link {
            name: "a to b".to_owned(),
            rtt_ms: 24.2,
        };
        let prober = Prober::of(vec![link]);
        for ms in took_ms {
            prober.probes.add(0, Duration::from_secs_f64(ms / 1e3));
        }
        prober.judge((0, u64::MAX)).late
    }

    #[test]
    fn a_network_that_holds_its_profile_is_accepted() {
        assert_eq!(judged(&[24.3, 24.4, 24.2, 26.0]), None);
    }

    #[test]
    fn a_late_network_is_refused_and_so_is_a_quick_one() {
        for all in [[25.9, 25.9, 25.9], [24.2, 24.2, 80.0], [0.1, 0.1, 0.1]] {
            let late = judged(&all).unwrap();
            assert!(late.starts_with("a to b takes 24.2 ms"), "{late}");
        }
    }

    #[test]
    fn what_was_not_probed_is_refused() {
        assert!(judged(&[24.2]).unwrap().contains("1 times only"));
    }

    #[test]
    fn a_probe_is_a_line() {
        assert_eq!(
            parse("1 1500", &[5, 7]),
            Some((7, Duration::from_nanos(1500)))
        );
        assert_eq!(parse("2 1500", &[5, 7]), None);
        assert_eq!(parse("none", &[5]), None);
    }
}
