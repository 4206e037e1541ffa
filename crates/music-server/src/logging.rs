//! Logs: structured, for people or for programs, on standard error.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// What the engines' drivers say is said again by the node, in its own words.
/// A directive of the configuration that names them wins.
const DRIVERS: &str = "scylla=off,zookeeper_client=off";

/// Why nothing is logged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The level is none.
    #[error("log.level is a level or directives: {0}")]
    Level(#[from] tracing_subscriber::filter::ParseError),
    /// Something else logs already.
    #[error("logs were set up before")]
    Installed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Sends what the process logs from now on to standard error.
///
/// # Errors
/// Where the level is none, or logs were set up before.
pub fn install(config: &LogConfig) -> Result<(), Error> {
    let filter: EnvFilter = format!("{DRIVERS},{}", config.level).parse()?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let installed = match config.format {
        LogFormat::Human => subscriber.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    installed.map_err(Error::Installed)
}
