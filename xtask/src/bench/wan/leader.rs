//! Where the leader is of a server that has one.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::system::{Programs, System};
use crate::clock::Stopwatch;
use crate::engines::{Name, wire};
use crate::torture::Stage;

/// How long an election may take.
const ELECTION_TIME: Duration = Duration::from_mins(1);
/// How often a leader is made anew before it is given up.
const ATTEMPTS: usize = 5;

/// Puts the leader of a system where it serves all sites best.
///
/// # Errors
///
/// When it does not go there.
pub(super) fn place(system: System, programs: &Programs, stage: &mut Stage<'_>) -> Result<()> {
    match system.led() {
        Some((Name::Etcd, site)) => programs.let_etcd_lead(site),
        Some((Name::ZooKeeper, site)) => place_zookeeper(stage, site),
        _ => Ok(()),
    }?;
    ensure!(is_in_place(system), "the leader is not where it was put");
    Ok(())
}

/// Whether it is there still.
pub(super) fn is_in_place(system: System) -> bool {
    system.led().is_none_or(|(name, site)| leads(name, site))
}

/// Of servers that know the same, the one with the highest number is elected:
/// that of the last site, once those that lead without it have ended.
fn place_zookeeper(stage: &mut Stage<'_>, wanted: usize) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let leader = await_leader(None)?;
        if leader == wanted {
            return Ok(());
        }
        stage.without_engine(Name::ZooKeeper, leader, || {
            await_leader(Some(leader)).map(drop)
        })?;
    }
    bail!("ZooKeeper does not elect the server of site {wanted}")
}

/// The site that leads, another than the one that has just ended.
fn await_leader(ended: Option<usize>) -> Result<usize> {
    let stopwatch = Stopwatch::start();
    loop {
        let mut sites = 0..Stage::hosts().len();
        let leader = sites.find(|site| Some(*site) != ended && leads(Name::ZooKeeper, *site));
        if let Some(leader) = leader {
            return Ok(leader);
        }
        ensure!(stopwatch.elapsed() < ELECTION_TIME, "nobody is elected");
        thread::sleep(Duration::from_millis(100));
    }
}

fn leads(name: Name, site: usize) -> bool {
    let asked = || {
        let hosts = Stage::hosts();
        let host = hosts.get(site).context("no such site")?;
        let answer = match name {
            Name::ZooKeeper => wire::ask(host, 2181, "srvr"),
            _ => wire::ask(
                host,
                2379,
                &format!("GET /metrics HTTP/1.0\r\nHost: {host}\r\n\r\n"),
            ),
        };
        answer.context("no answer")
    };
    asked().is_ok_and(|answer| says_leader(&answer))
}

/// What a server answers that leads: ZooKeeper to `srvr`, etcd in its metrics.
fn says_leader(answer: &str) -> bool {
    let mut lines = answer.lines();
    lines.any(|line| line == "Mode: leader" || line == "etcd_server_is_leader 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_says_so() {
        for answer in [
            "Zookeeper version: 3.9.5\nMode: leader\nNode count: 5\n",
            "HTTP/1.0 200 OK\r\n\r\n# TYPE x gauge\netcd_server_is_leader 1\n",
        ] {
            assert!(says_leader(answer), "{answer}");
        }
        for answer in ["Mode: follower\n", "etcd_server_is_leader 0\n", ""] {
            assert!(!says_leader(answer), "{answer}");
        }
    }
}
