//! `music serve`.

use std::path::PathBuf;

use clap::Args;
use music_server::config::{Config, Overrides};
use music_server::logging;
use music_server::serve::NodeServer;
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;

/// Run a node
///
/// Each setting comes from the command line, else from the environment (`MUSIC_` and its path, as
/// `MUSIC_LISTEN`), else from the file, else it has its default. SIGTERM and Ctrl-C end the node
/// gracefully: requests under way end, and what it holds is released. A second one ends it at once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music serve --config music.toml
  music serve --config music.toml --listen 0.0.0.0:7701 --log-format json
  MUSIC_LISTEN=127.0.0.1:7701 music serve --check")]
pub(crate) struct Serve {
    /// The file with the settings, TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only check the settings: all faults are told together
    #[arg(long)]
    check: bool,
    /// The node's name
    #[arg(long)]
    node: Option<String>,
    /// The node's site
    #[arg(long)]
    site: Option<String>,
    /// The address to listen at
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where the engine keeps its data
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The delays between the sites of the embedded engine
    #[arg(long)]
    profile: Option<String>,
    /// What is logged to standard error
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How it is logged: human or json
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// The rule of the protocol that this node breaks, for a check to find
    #[cfg(feature = "mutations")]
    #[arg(long, value_name = "NAME", value_parser = mutation)]
    mutation: Option<music_core::mutation::Mutation>,
}

#[cfg(feature = "mutations")]
fn mutation(name: &str) -> Result<music_core::mutation::Mutation, String> {
    let named = music_core::mutation::Mutation::named(name);
    named.ok_or_else(|| format!("there is no mutation {name}"))
}

#[derive(Serialize)]
struct Serving<'a> {
    node: &'a str,
    site: &'a str,
    url: String,
}

#[derive(Serialize)]
struct Checked {
    valid: bool,
}

/// Runs a node until a signal.
pub(crate) async fn run(serve: Serve, output: &Output) -> Result<Exit, Failure> {
    #[cfg(feature = "mutations")]
    music_core::mutation::switch(serve.mutation);
    let overrides = Overrides {
        node: serve.node,
        site: serve.site,
        listen: serve.listen,
        state: None,
        locks: None,
        dir: serve.data,
        profile: serve.profile,
        log_level: serve.log_level,
        log_format: serve.log_format,
    };
    let config = Config::load(serve.config.as_deref(), &overrides)?;
    if serve.check {
        output.either(&Checked { valid: true }, || {
            "the settings are valid".to_owned()
        })?;
        return Ok(Exit::Done);
    }
    let mut signals = Signals::new()?;
    let (name, site) = (&config.node, &config.site);
    let traces = logging::install_traced(&config.log, &config.trace, name, site)?;
    let node = tokio::select! {
        node = NodeServer::open(config) => node?,
        signal = signals.next() => return Ok(Exit::signal(signal.as_raw())),
    };
    let url = format!("http://{}", node.address());
    let (name, site) = (node.name(), node.site());
    let serving = Serving {
        node: name,
        site,
        url: url.clone(),
    };
    output.either(&serving, || {
        format!("node {name} serves site {site} at {url}")
    })?;
    signals.next().await;
    output.progress("ending: a second signal ends at once");
    tokio::select! {
        open = node.shutdown() => {
            traces.close().await;
            if open > 0 {
                output.warning(&format!("{open} sections are left: their leases end them"));
            }
            Ok(Exit::Done)
        }
        signal = signals.next() => Ok(Exit::signal(signal.as_raw())),
    }
}
