//! `music active-passive`: a daemon beside each replica of a service.
//!
//! | module | what it decides |
//! |---|---|
//! | [`config`], [`read`] | what the settings are, and all that is wrong with them |
//! | [`scripts`] | which scripts there are, and whether they can be run |
//! | [`runner`] | how a script is run, and killed |
//! | [`health`] | when a service is healthy |
//! | [`replica`] | what is done in a role |
//! | [`daemon`] | which role comes next |
//! | [`events`] | what is told of it |

pub(crate) mod clock;
pub(crate) mod config;
mod daemon;
mod events;
mod health;
mod read;
mod replica;
mod runner;
mod scripts;

use std::path::PathBuf;

use clap::Args;
use music_client::recipes::{ActivePassive as Recipe, Policy, ReplicaStatus, Role};
use serde::Serialize;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, columns};
use crate::scan;
use config::Config;

const ABOUT: &str = "Keep a replica of a service active or passive, by scripts

Joins as a replica that is passive. When it gets the right to be active, `activate` runs; when that
is lost, or the service fails, `deactivate` does, and another replica is next. Runs until SIGTERM or
SIGINT, which make it passive first. docs/active-passive.md has what happens when; a commented
configuration is deploy/active-passive.toml.

Each script finds in its environment, and the state of the last active replica on standard input:
  MUSIC_FENCING_TOKEN   a number greater than that of all earlier active replicas of the slot: give
                        it to other systems, which refuse what comes with a smaller one
  MUSIC_STATE_FILE      a file with the state; empty where there is none
  MUSIC_SLOT, MUSIC_LOCK_REF, MUSIC_ROLE, MUSIC_REASON, MUSIC_SERVICE, MUSIC_REPLICA, MUSIC_SITE,
  MUSIC_ENDPOINTS

What happens is told on standard error, a line each; with --json also on standard output.";

/// Keep a replica of a service active or passive, by scripts
#[derive(Debug, Args)]
#[command(long_about = ABOUT)]
#[command(after_help = "Examples:
  music active-passive --config billing.toml
  music active-passive --config billing.toml --check
  music active-passive --config billing.toml --status")]
pub(crate) struct ActivePassive {
    /// The file with the settings, TOML
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Only check the settings and the scripts: all faults are told together
    #[arg(long)]
    check: bool,
    /// List the replicas, as the nearest one of the state knows them
    #[arg(long, conflicts_with = "check")]
    status: bool,
}

#[derive(Serialize)]
struct CheckedJson<'a> {
    service: &'a str,
    replica: &'a str,
    endpoints: &'a [String],
}

/// Runs the daemon, or tells of its service.
pub(crate) async fn run(
    global: &Global,
    arguments: &ActivePassive,
    output: &Output,
) -> Result<Exit, Failure> {
    let config = Config::load(&arguments.config)?;
    let mut global = global.clone();
    if let Some(endpoints) = config
        .endpoints
        .as_ref()
        .filter(|_| !global.endpoints_given)
    {
        global.endpoints.clone_from(endpoints);
    }
    let client = global.client_with_lease(config.lease)?;
    let recipe = Recipe::new(&client, &config.service, config.active)?;
    let recipe = recipe.policy(Policy::sites(&config.sites));
    if arguments.check {
        let json = CheckedJson {
            service: &config.service,
            replica: &config.replica,
            endpoints: client.endpoints(),
        };
        let text = || format!("{}: no faults", arguments.config.display());
        output.either(&json, text)?;
        return Ok(Exit::Done);
    }
    if arguments.status {
        let replicas = recipe.replicas().await?;
        let rows: Vec<_> = replicas.iter().map(row).collect();
        let head = ["REPLICA", "SITE", "LOAD", "ROLE"];
        output.either(&replicas, || columns(head, &rows))?;
        return Ok(Exit::Done);
    }
    daemon::run(&config, &client, &recipe, output).await
}

fn row(replica: &ReplicaStatus) -> [String; 4] {
    let role = match replica.role {
        Role::Passive => "passive",
        Role::Waiting => "waiting",
        Role::Active => "active",
    };
    [
        scan::escape(&replica.name),
        scan::escape(&replica.site),
        replica.load.to_string(),
        role.to_owned(),
    ]
}
