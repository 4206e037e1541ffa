//! All that runs while a system is measured, beside its servers: clients at
//! each site, probes of the network, and what reads counters.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::SITES;
use super::agent::Agent;
use super::meter::{CLIENTS, Meter};
use super::probe::{Link, Prober};
use super::system::{self, Programs, System};
use crate::shell;
use crate::torture::{self, Stage};

/// What stands for the round trips of a deployment in one process: the
/// shortest of its delays, one way.
const TIMER: Duration = Duration::from_micros(12_100);

/// Where a system is measured.
pub(super) struct Ground {
    /// In the order of the sites.
    pub(super) agents: Vec<Agent>,
    pub(super) prober: Prober,
    pub(super) meter: Meter,
    /// Ends last.
    _process: Option<Process>,
}

/// The deployment that is one process.
struct Process(Child);

#[derive(Deserialize)]
struct Ready {
    urls: Vec<String>,
}

impl Ground {
    /// Beside servers at the sites.
    ///
    /// # Errors
    ///
    /// When something does not start.
    pub(super) fn at_sites(
        system: System,
        programs: &Programs,
        stage: &Stage<'_>,
        links: &[torture::Link],
    ) -> Result<Self> {
        let sites = 0..SITES.len();
        let agents = sites.map(|site| Agent::start(system.clients(programs, site)));
        let agents: Vec<Agent> = agents.collect::<Result<_>>()?;
        let mut processes = stage.pids();
        // Nodes that only stand by are not looked at.
        processes.retain(|(name, _)| system.is_music() || *name != "music");
        processes.extend(agents.iter().map(|agent| (CLIENTS, agent.pid())));
        Ok(Self {
            prober: prober(links)?,
            meter: Meter {
                processes,
                sites: agents.iter().map(Agent::pid).collect(),
            },
            agents,
            _process: None,
        })
    }

    /// All sites in one process, which makes their delays itself.
    ///
    /// # Errors
    ///
    /// As [`Ground::at_sites`].
    pub(super) fn embedded(programs: &Programs, data: &Path, profile: &str) -> Result<Self> {
        if data.exists() {
            fs::remove_dir_all(data).context("cannot remove what an earlier run left")?;
        }
        fs::create_dir_all(data).with_context(|| format!("cannot make {}", data.display()))?;
        let mut music = Command::new(&programs.music);
        music.args(["bench", "deployment", "--profile", profile, "--data"]);
        let (process, ready) = Process::start(music.arg(data))?;
        let agents = ready
            .urls
            .iter()
            .map(|url| Agent::start(system::of_node(programs, url)));
        let agents: Vec<Agent> = agents.collect::<Result<_>>()?;
        let mut processes = vec![("music", process.0.id())];
        processes.extend(agents.iter().map(|agent| (CLIENTS, agent.pid())));
        Ok(Self {
            agents,
            prober: Prober::of_timers(TIMER),
            meter: Meter {
                processes,
                sites: Vec::new(),
            },
            _process: Some(process),
        })
    }
}

impl Process {
    fn start(command: &mut Command) -> Result<(Self, Ready)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.process_group(0).spawn();
        let mut process = Self(child.context("cannot start the deployment")?);
        let output = process.0.stdout.take().context("it has no output")?;
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        read.context("the deployment does not say where it listens")?;
        let ready = serde_json::from_str(&line).context("the deployment does not start")?;
        Ok((process, ready))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap_or_default();
        drop(self.0.wait());
    }
}

/// Probes all links, each from its first site. It comes before all else that
/// wants a processor, as the kernel's answers do.
///
/// # Errors
///
/// When a probe does not start.
pub(in crate::bench) fn prober(all: &[torture::Link]) -> Result<Prober> {
    let hosts = Stage::hosts();
    let own = std::env::current_exe().context("this program is gone")?;
    let mut commands = Vec::new();
    for site in 0..SITES.len() {
        let links = all.iter().enumerate();
        let links = links.filter(|(_, link)| link.ends.0 == site);
        let (numbers, others): (Vec<_>, Vec<_>) = links
            .filter_map(|(number, link)| Some((number, hosts.get(link.ends.1)?)))
            .unzip();
        if others.is_empty() {
            continue;
        }
        let mut probe = Command::new("chrt");
        probe.args(["--fifo", "1"]).arg(&own);
        if !shell::is_on_path("chrt") {
            probe = Command::new(&own);
        }
        probe.args(["bench", "probe"]).args(others);
        commands.push((Stage::at(site, probe), numbers));
    }
    let name = |site: usize| SITES.get(site).copied().unwrap_or_default();
    let link = |link: &torture::Link| Link {
        name: format!("{} to {}", name(link.ends.0), name(link.ends.1)),
        rtt_ms: link.rtt_ms,
    };
    Prober::start(all.iter().map(link).collect(), commands)
}
