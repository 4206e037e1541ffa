//! Logs: structured, for people or for programs, on standard error; and traces
//! beside them, where they are wanted.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::config::{LogConfig, LogFormat, TraceConfig};
use crate::trace::{self, Traces, Tracing};

/// What the engines' drivers say is said again by the node, in its own words;
/// and spans are for traces. A directive of the configuration that names them
/// wins.
const SILENT: &str = "scylla=off,zookeeper_client=off,music_trace=off";

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
    /// There are no traces.
    #[error(transparent)]
    Trace(#[from] trace::Error),
}

/// Sends what the process logs from now on to standard error.
///
/// # Errors
/// Where the level is none, or logs were set up before.
pub fn install(config: &LogConfig) -> Result<(), Error> {
    let registry = tracing_subscriber::registry().with(filter(config)?);
    let installed = registry.with(lines(config)).try_init();
    installed.map_err(|error| Error::Installed(error.into()))
}

/// The same, and sends traces where the configuration says, if it does. `node`
/// and `site` are what the process is called in them. Must be called within a
/// runtime, which sends them.
///
/// # Errors
/// Also where there can be no traces.
pub fn install_traced(
    log: &LogConfig,
    trace: &TraceConfig,
    node: &str,
    site: &str,
) -> Result<Traces, Error> {
    let Some(tracing) = Tracing::new(trace, node, site)? else {
        install(log)?;
        return Ok(Traces::default());
    };
    let lines = lines(log).with_filter(filter(log)?);
    let registry = tracing_subscriber::registry().with(tracing.layer());
    let installed = registry.with(lines).try_init();
    installed.map_err(|error| Error::Installed(error.into()))?;
    Ok(tracing.begin())
}

fn filter(config: &LogConfig) -> Result<EnvFilter, Error> {
    Ok(format!("{SILENT},{}", config.level).parse()?)
}

/// What writes the lines.
fn lines<S>(config: &LogConfig) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    match config.format {
        LogFormat::Human => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}
