//! What is measured: MUSIC on its engines, and its peers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;

use super::agent::How;
use crate::bench::recipes;
use crate::engines::Name;
use crate::shell;
use crate::torture::{Deployment, Stage};

/// A system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum System {
    /// MUSIC, state and locks in Cassandra
    MusicCassandra,
    /// MUSIC, state in Cassandra and locks in etcd
    MusicCassandraEtcd,
    /// MUSIC, state in Cassandra and locks in ZooKeeper
    MusicCassandraZookeeper,
    /// MUSIC's embedded engine, all sites in one process
    MusicEmbedded,
    /// etcd, by clientv3/concurrency
    Etcd,
    /// ZooKeeper, by kazoo
    Zookeeper,
    /// Lightweight transactions of Cassandra, written by hand
    CassandraTransactions,
}

/// The programs that do sections, but for Python's.
pub(super) struct Programs {
    pub(super) music: PathBuf,
    etcd: PathBuf,
    python: PathBuf,
    zookeeper: PathBuf,
}

impl System {
    /// As it is written, in arguments and results.
    pub(super) fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What it stands on; `None` where it runs in one process.
    pub(super) fn deployment(self) -> Option<Deployment> {
        match self {
            Self::MusicCassandra | Self::CassandraTransactions => Some(Deployment::Cassandra),
            Self::MusicCassandraEtcd => Some(Deployment::CassandraEtcd),
            Self::MusicCassandraZookeeper => Some(Deployment::CassandraZooKeeper),
            Self::MusicEmbedded => None,
            Self::Etcd => Some(Deployment::Etcd),
            Self::Zookeeper => Some(Deployment::ZooKeeper),
        }
    }

    /// Whether it is MUSIC, and not one of its peers.
    pub(super) fn is_music(self) -> bool {
        !matches!(
            self,
            Self::Etcd | Self::Zookeeper | Self::CassandraTransactions
        )
    }

    /// How it makes several puts, of those ways that are its own.
    pub(super) fn hows(self) -> &'static [How] {
        match self {
            Self::Etcd | Self::Zookeeper => &[How::OneByOne, How::Batch],
            Self::CassandraTransactions => &[How::OneByOne, How::Pipelined],
            _ => &[How::OneByOne, How::Pipelined, How::Batch],
        }
    }

    /// The most that one request may hold, in bytes of values, as the system is
    /// configured if nothing else is said.
    pub(super) fn request_bytes_max(self) -> u32 {
        match self {
            Self::Etcd => 1_500_000,
            Self::Zookeeper => 1_000_000,
            // A body of 4 MiB, in base64.
            _ => 3_000_000,
        }
    }

    /// The server that orders its locks and has a leader: that is put where it
    /// serves all sites best.
    pub(super) fn led(self) -> Option<(Name, usize)> {
        match self {
            Self::Etcd | Self::MusicCassandraEtcd => Some((Name::Etcd, 1)),
            Self::Zookeeper | Self::MusicCassandraZookeeper => Some((Name::ZooKeeper, 2)),
            _ => None,
        }
    }

    /// The clients of a site.
    pub(super) fn clients(self, programs: &Programs, site: usize) -> Command {
        let hosts = Stage::hosts();
        let host = hosts.get(site).map_or("", String::as_str);
        let command = match self {
            Self::Etcd => {
                let mut etcd = Command::new(&programs.etcd);
                etcd.args(["-endpoints", &format!("{host}:2379")]);
                etcd
            }
            Self::Zookeeper => {
                let mut python = Command::new(&programs.python);
                python.arg(&programs.zookeeper);
                python.args(["--host", &format!("{host}:2181")]);
                python
            }
            Self::CassandraTransactions => {
                let mut music = Command::new(&programs.music);
                music.args(["bench", "wan", "--cassandra", &format!("{host}:9042")]);
                music.args(["--datacentre", &Stage::datacentre(site)]);
                music
            }
            _ => of_node(programs, &format!("http://{host}:7410")),
        };
        Stage::at(site, command)
    }
}

/// Clients of one node of MUSIC.
pub(super) fn of_node(programs: &Programs, node: &str) -> Command {
    let mut music = Command::new(&programs.music);
    music.args(["bench", "wan", "--node", node]);
    music
}

impl Programs {
    /// Builds those that some systems need.
    ///
    /// # Errors
    ///
    /// When something is missing or does not build.
    pub(super) fn build(
        root: &Path,
        folder: &Path,
        build: impl FnOnce() -> Result<PathBuf>,
        systems: &[System],
    ) -> Result<Self> {
        let needs = |name: Name| {
            let mut led = systems.iter().filter_map(|system| system.led());
            led.any(|(led, _)| led == name)
        };
        let etcd = folder.join("etcd-sections");
        if needs(Name::Etcd) {
            recipes::build_go(root, &etcd, "./sections")?;
        }
        let python = if systems.contains(&System::Zookeeper) {
            recipes::kazoo(root, folder)?
        } else {
            PathBuf::new()
        };
        // The transactions are done by its clients too.
        let no_music = |system: &System| matches!(system, System::Etcd | System::Zookeeper);
        let music = if systems.iter().all(no_music) {
            PathBuf::new()
        } else {
            build()?
        };
        Ok(Self {
            music,
            etcd,
            python,
            zookeeper: root.join("bench/zookeeper/sections.py"),
        })
    }

    /// Lets the member of etcd at a site lead.
    ///
    /// # Errors
    ///
    /// When it cannot.
    pub(super) fn let_etcd_lead(&self, site: usize) -> Result<()> {
        let member = |host: &String| format!("{host}:2379");
        let members: Vec<String> = Stage::hosts().iter().map(member).collect();
        let mut etcd = Command::new(&self.etcd);
        etcd.args(["-endpoints", &members.join(",")]);
        etcd.args(["-leader", members.get(site).map_or("", String::as_str)]);
        shell::run(&mut etcd)
    }
}
