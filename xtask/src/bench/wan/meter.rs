//! What sections cost beside time: processor time of servers and clients, and
//! what goes between sites.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use super::probe;

/// What the processes are called that are no servers.
pub(super) const CLIENTS: &str = "clients";

/// The processes that are looked at.
pub(super) struct Meter {
    /// By what they run; several may run the same.
    pub(super) processes: Vec<(&'static str, u32)>,
    /// A process at each site, whose network is counted; none where sites are
    /// not apart.
    pub(super) sites: Vec<u32>,
}

/// What all counters showed at one time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reading {
    /// In milliseconds.
    cpu_ms: BTreeMap<&'static str, f64>,
    network: Traffic,
}

/// What the sites received from each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Traffic {
    bytes: u64,
    packets: u64,
}

/// What one section costs.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Cost {
    /// Processor time in milliseconds, of all sites together.
    cpu_ms: BTreeMap<&'static str, f64>,
    /// Received by sites from others.
    bytes_between_sites: Option<f64>,
    messages_between_sites: Option<f64>,
}

impl Meter {
    /// Reads all counters.
    ///
    /// # Errors
    ///
    /// When a process has ended.
    pub(super) fn read(&self) -> Result<Reading> {
        let mut reading = Reading::default();
        for (name, pid) in &self.processes {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
            let ticks = stat.as_deref().and_then(ticks);
            let ticks = ticks.with_context(|| format!("{name} has ended (process {pid})"))?;
            let ms = ticks * 1000 / rustix::param::clock_ticks_per_second().max(1);
            *reading.cpu_ms.entry(name).or_default() += count(ms);
        }
        for pid in &self.sites {
            let devices = fs::read_to_string(format!("/proc/{pid}/net/dev"));
            let devices = devices.context("clients have ended")?;
            reading.network.bytes += received(&devices).bytes;
            reading.network.packets += received(&devices).packets;
        }
        Ok(reading)
    }

    /// What a section cost, of so many, beside so many probes.
    pub(super) fn cost(
        &self,
        (before, after): (&Reading, &Reading),
        sections: u64,
        probes: u64,
    ) -> Cost {
        let each = |total: f64| {
            if sections == 0 {
                0.0
            } else {
                total / count(sections)
            }
        };
        let cpu_ms = after.cpu_ms.iter().map(|(name, ms)| {
            let before = before.cpu_ms.get(name).copied().unwrap_or_default();
            (*name, each(ms - before))
        });
        let (before, now) = (before.network, after.network);
        let between = |before: u64, after: u64, of_probe: u64| {
            let bytes = (after - before).saturating_sub(probes * of_probe);
            (!self.sites.is_empty()).then(|| each(count(bytes)))
        };
        Cost {
            cpu_ms: cpu_ms.collect(),
            bytes_between_sites: between(before.bytes, now.bytes, probe::BYTES),
            messages_between_sites: between(before.packets, now.packets, probe::PACKETS),
        }
    }
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "each")?;
        for (name, ms) in &self.cpu_ms {
            write!(f, " {name} {ms:.1} ms of CPU,")?;
        }
        match (self.bytes_between_sites, self.messages_between_sites) {
            (Some(bytes), Some(messages)) => {
                write!(f, " {bytes:.0} B in {messages:.0} messages between sites")
            }
            _ => write!(f, " no network between sites"),
        }
    }
}

impl Cost {
    /// Processor time of all servers together.
    pub(super) fn servers_cpu_ms(&self) -> f64 {
        let servers = self.cpu_ms.iter().filter(|(name, _)| **name != CLIENTS);
        servers.map(|(_, ms)| ms).sum()
    }
}

/// Fields 14 and 15 of a process: time in the program and in the system for it.
fn ticks(stat: &str) -> Option<u64> {
    // The name, field 2, may have anything in it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// What a site received, but for itself and the machine that it is on.
fn received(devices: &str) -> Traffic {
    let mut all = Traffic::default();
    for (device, numbers) in devices.lines().filter_map(|line| line.split_once(':')) {
        if ["lo", "host"].contains(&device.trim()) {
            continue;
        }
        let mut numbers = numbers.split_ascii_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next().and_then(Result::ok).unwrap_or_default();
        all.bytes += next();
        all.packets += next();
    }
    all
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(super) fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_site_receives_from_others_alone() {
        let devices = "Inter-|   Receive |  Transmit\n face |bytes packets errs\n    \
                       lo: 999 9 0 0 0 0 0 0 999 9 0 0 0 0 0 0\n \
                       to1from0: 100 2 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n \
                       to2from0: 10 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n host: 7 7 0 0\n";
        let all = received(devices);
        assert_eq!((all.bytes, all.packets), (110, 3));
    }

    #[test]
    fn both_times_of_a_process_are_counted() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 250 31 0 0 20 0 4 0";
        assert_eq!(ticks(stat), Some(281));
    }

    #[test]
    fn a_cost_is_that_of_one_section_without_the_probes() {
        let reading = |ms, bytes| Reading {
            cpu_ms: BTreeMap::from([("etcd", ms)]),
            network: Traffic { bytes, packets: 0 },
        };
        let mut meter = Meter {
            processes: Vec::new(),
            sites: vec![1],
        };
        let cost = meter.cost(
            (&reading(10.0, 1000), &reading(50.0, 3000 + probe::BYTES)),
            4,
            1,
        );
        assert!((cost.servers_cpu_ms() - 10.0).abs() < 1e-9);
        assert_eq!(cost.bytes_between_sites, Some(500.0));
        assert_eq!(cost.messages_between_sites, Some(0.0));
        meter.sites.clear();
        let cost = meter.cost((&reading(1.0, 0), &reading(2.0, 0)), 0, 0);
        assert!(cost.servers_cpu_ms().abs() < 1e-9);
        assert_eq!(cost.bytes_between_sites, None);
    }
}
