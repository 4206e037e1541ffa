//! `music bench deployment`: the deployment that is measured, in a process of
//! its own. Nobody types this command; [`super::server`] starts it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use music_server::dev::{Deployment, DevConfig};
use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;

/// The profile without delays, three sites.
pub(super) const LOCAL: &str = "local";
/// The profile whose sites it has.
const LOCAL_SITES: &str = "local3";

/// Run the deployment that `music bench` measures
#[derive(Debug, Args)]
pub(crate) struct ForBench {
    /// The delays between the sites
    #[arg(long)]
    profile: String,
    /// Where it keeps its data
    #[arg(long)]
    data: PathBuf,
}

/// What is printed when it is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    /// Where the nodes listen, one a site.
    pub(super) urls: Vec<String>,
}

/// Runs a deployment at free ports until it is told to end.
pub(super) async fn run(wanted: ForBench, output: &Output) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let is_local = wanted.profile == LOCAL;
    let profile = if is_local {
        LOCAL_SITES
    } else {
        &wanted.profile
    };
    let mut config = DevConfig::new(profile);
    config.dir = Some(wanted.data);
    config.base_port = 0;
    let deployment = Box::pin(Deployment::start(config))
        .await
        .map_err(Error::from)?;
    if is_local {
        for link in deployment.status().links {
            let set = deployment.set_rtt(&link.a, &link.b, Duration::ZERO);
            set.map_err(Error::from)?;
        }
    }
    let urls = deployment
        .nodes()
        .into_iter()
        .map(|node| node.url)
        .collect();
    output.line(&serde_json::to_string(&Ready { urls })?)?;
    signals.next().await;
    deployment.shutdown().await;
    Ok(Exit::Done)
}
