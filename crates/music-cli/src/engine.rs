//! `music engine`: the engines of a deployment.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use music_server::config::{Config, Overrides};
use serde::Serialize;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;

/// Set up the engines that a configuration names
#[derive(Debug, Args)]
pub(crate) struct Engine {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Init(Init),
}

/// Create what the engines need and is not there yet
///
/// The keyspace and tables of Cassandra, replicated as the configuration says, and the root of
/// ZooKeeper. To be run once, before the first node starts; again, or at two nodes at once, it does
/// no harm. A keyspace that exists keeps its replication.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music engine init --config music.toml
  MUSIC_CASSANDRA_PASSWORD=secret music engine init --config music.toml")]
struct Init {
    /// The file with the settings of a node, TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Serialize)]
struct Initialised {
    /// Whether the engines need anything.
    needed: bool,
}

/// Does what is asked of the engines.
pub(crate) async fn run(engine: &Engine, output: &Output) -> Result<Exit, Failure> {
    let Action::Init(init) = &engine.action;
    let config = Config::load(init.config.as_deref(), &Overrides::default())?;
    let needed = music_server::engine::init(&config).await?;
    output.either(&Initialised { needed }, || {
        if needed {
            "the engines are set up: start the nodes with `music serve`".to_owned()
        } else {
            "the embedded engine needs no setting up".to_owned()
        }
    })?;
    Ok(Exit::Done)
}
