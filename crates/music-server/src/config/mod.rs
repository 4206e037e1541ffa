//! A node's settings: one TOML file, the environment and flags, checked whole.
//!
//! A setting is declared once, in `setting.rs`: its path, default, bounds and
//! meaning. The file is read against that table, so that every fault in it is
//! found and reported at once; `docs/config.md` is written from it too.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use music_core::time::Lease;
use music_store::{TableMode, TableName};

mod engine;
mod environment;
mod page;
mod read;
mod setting;
mod validate;

pub use crate::node::Affinity;
pub use engine::{EmbeddedConfig, EngineConfig, LocksConfig, ServicesConfig};
pub use page::page;

/// All settings of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name, unique in the deployment.
    pub node: String,
    /// The site that the node serves.
    pub site: String,
    /// Where the API listens; port 0 for any free one.
    pub listen: SocketAddr,
    /// Where the other nodes reach the API, as `host:port`; empty for `listen`,
    /// unless that is every address.
    pub advertise: String,
    /// How long a shutdown may take until connections are cut.
    pub shutdown_timeout: Duration,
    /// What all nodes of a deployment must agree on.
    pub cluster: ClusterConfig,
    /// The engines behind the two ports.
    pub engine: EngineConfig,
    /// Which locks the node keeps between sections.
    pub affinity: Affinity,
    /// What the node takes on.
    pub limits: Limits,
    /// The tables to create at start, where they are not there.
    pub tables: Vec<TableConfig>,
    /// How the node logs.
    pub log: LogConfig,
    /// Where traces of its work go.
    pub trace: TraceConfig,
}

/// The settings that must agree across sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterConfig {
    /// How long a node may go unheard.
    pub node_lease: Lease,
    /// A client's lease where it does not ask for another.
    pub client_lease_default: Lease,
    /// The longest lease that a client may ask for.
    pub client_lease_max: Lease,
    /// The largest value of a field, in bytes.
    pub value_bytes_max: usize,
}

impl ClusterConfig {
    /// A number that two nodes share only where they agree.
    pub fn checksum(&self) -> u64 {
        let Self {
            node_lease,
            client_lease_default,
            client_lease_max,
            value_bytes_max,
        } = self;
        let leases = [node_lease, client_lease_default, client_lease_max];
        let numbers =
            leases.map(|lease| u64::try_from(lease.get().as_millis()).unwrap_or(u64::MAX));
        let value = u64::try_from(*value_bytes_max).unwrap_or(u64::MAX);
        let bytes = numbers
            .into_iter()
            .chain([value])
            .flat_map(u64::to_be_bytes);
        // FNV-1a: finds a deployment's slips, not attacks.
        bytes.fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
            (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// What a node takes on; beyond it, requests are refused as `overloaded`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time.
    pub connections_max: usize,
    /// Requests under way at a time.
    pub in_flight_max: usize,
    /// Event streams at a time.
    pub watchers_max: usize,
    /// Critical sections at a time.
    pub sections_max: usize,
    /// The largest JSON body, in bytes.
    pub body_bytes_max: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// How long a connection may take to send a request's head, the time
    /// between two requests included.
    pub head_timeout: Duration,
    /// The longest wait for a grant that a client may ask for.
    pub wait_max: Duration,
}

/// A table to create at start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableConfig {
    /// The name.
    pub name: TableName,
    /// The mode.
    pub mode: TableMode,
}

/// How a node logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// The form of a line.
    pub format: LogFormat,
    /// What is logged: a level, or directives such as `info,music_server=debug`.
    pub level: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// For programs: one JSON object a line.
    Json,
}

/// Where traces go, and how many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceConfig {
    /// `http://host:port` of a collector that takes OTLP; none for no traces.
    pub otlp_endpoint: Option<String>,
    /// How many of a million traces are kept, of those that begin here.
    pub samples_per_million: u32,
    /// How many spans wait for the collector; further ones are dropped.
    pub queue_spans_max: usize,
}

impl Default for TraceConfig {
    /// Of what goes somewhere, all.
    fn default() -> Self {
        Self {
            otlp_endpoint: None,
            samples_per_million: 1_000_000,
            queue_spans_max: 8192,
        }
    }
}

/// What the command line says; each wins over environment and file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `node`
    pub node: Option<String>,
    /// `site`
    pub site: Option<String>,
    /// `listen`
    pub listen: Option<String>,
    /// `engine.state`
    pub state: Option<String>,
    /// `engine.locks`
    pub locks: Option<String>,
    /// `embedded.dir`
    pub dir: Option<String>,
    /// `embedded.profile`
    pub profile: Option<String>,
    /// `log.level`
    pub log_level: Option<String>,
    /// `log.format`
    pub log_format: Option<String>,
}

impl Config {
    /// Reads the settings of a node: defaults, `file`, the environment
    /// (`MUSIC_…`), `overrides`, each winning over those before it.
    ///
    /// # Errors
    /// All faults together, or why the file cannot be read.
    pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Self, Error> {
        let text = match file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path).map_err(|source| Error::Read {
                path: path.to_owned(),
                source,
            })?,
        };
        Self::parse(&text, environment::variable, overrides)
    }

    /// Reads settings from a file's text, with `environment` to ask for
    /// variables.
    ///
    /// # Errors
    /// All faults together, or the place where the text is no TOML.
    pub fn parse(
        text: &str,
        environment: impl Fn(&str) -> Option<String>,
        overrides: &Overrides,
    ) -> Result<Self, Error> {
        let file = text.parse::<toml::Table>().map_err(Error::Syntax)?;
        validate::config(read::Reader::new(&file, &environment, overrides))
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("the configuration is no TOML: {0}")]
    Syntax(#[source] toml::de::Error),
    /// Settings are unknown, malformed or contradictory.
    #[error("{}", list(.0))]
    Faults(Vec<Fault>),
}

/// What is wrong with one setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The setting, as its path: `limits.wait_max_ms`.
    pub setting: String,
    /// Where its value came from.
    pub source: Source,
    /// What is wrong, and what is allowed.
    pub reason: String,
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// The file.
    File,
    /// A variable of the environment.
    Environment,
    /// The command line.
    Flag,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            setting,
            source,
            reason,
        } = self;
        match source {
            Source::Default | Source::File => write!(f, "{setting}: {reason}"),
            Source::Environment => {
                let variable = setting::variable(setting);
                write!(f, "{setting} (from {variable}): {reason}")
            }
            Source::Flag => write!(f, "{setting} (from the command line): {reason}"),
        }
    }
}

fn list(faults: &[Fault]) -> String {
    let mut list = format!("the configuration has {} fault(s):", faults.len());
    for fault in faults {
        list += "\n  ";
        list += &fault.to_string();
    }
    list
}

#[cfg(test)]
mod tests;
