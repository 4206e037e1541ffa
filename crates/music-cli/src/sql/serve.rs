//! `music sql serve`.

use std::path::PathBuf;

use clap::Args;
use mdbc::config::Config;
use mdbc::server::Server;
use music_server::config::{LogConfig, LogFormat, TraceConfig};
use music_server::logging;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;

/// Run the database of one site
///
/// SIGTERM and Ctrl-C end it gracefully: transactions that are open are rolled back, and the
/// tables that it owns are given back. A second one ends it at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music sql serve --config mdbc.toml
  psql -h 127.0.0.1 -p 5432 music")]
pub(crate) struct Serve {
    /// The file with the settings, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What is logged to standard error
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: String,
}

#[derive(Serialize)]
struct Serving<'a> {
    database: &'a str,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
}

/// Runs it until a signal.
pub(super) async fn run(serve: Serve, output: &Output) -> Result<Exit, Failure> {
    let config = Config::read(&serve.config)?;
    let mut signals = Signals::new()?;
    let log = LogConfig {
        format: LogFormat::Human,
        level: serve.log_level,
    };
    let trace = TraceConfig::default();
    let traces = logging::install_traced(&log, &trace, "mdbc", "mdbc")?;
    let database = config.database.clone();
    let server = tokio::select! {
        server = Server::open(config) => server?,
        signal = signals.next() => return Ok(Exit::signal(signal.as_raw())),
    };
    let address = server.address().to_string();
    let serving = Serving {
        database: &database,
        address: address.clone(),
        metrics: server.metrics_address().map(|address| address.to_string()),
    };
    output.either(&serving, || {
        format!("database {database} serves clients at {address}")
    })?;
    let shutdown = CancellationToken::new();
    let mut served = std::pin::pin!(server.run(shutdown.clone()));
    tokio::select! {
        served = &mut served => served?,
        _ = signals.next() => {
            output.progress("ending: a second signal ends at once");
            shutdown.cancel();
            tokio::select! {
                served = &mut served => served?,
                signal = signals.next() => return Ok(Exit::signal(signal.as_raw())),
            }
        }
    }
    traces.close().await;
    Ok(Exit::Done)
}
