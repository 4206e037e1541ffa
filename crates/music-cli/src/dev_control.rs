//! `music dev suspend`, `music dev cut` and the other controls of a
//! development deployment.

use std::time::Duration;

use clap::{Args, Subcommand};
use music_client::api::status::{DevStatus, NodeState};
use music_client::{DevControls, Link, NodeControl, Options, SiteControl};
use serde::Serialize;

use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, columns};
use crate::status;

/// A node by its name.
#[derive(Debug, Args)]
pub(crate) struct Node {
    /// The node, as `music dev state` names it
    node: String,
}

/// A site by its name.
#[derive(Debug, Args)]
pub(crate) struct Site {
    /// The site, as `music dev state` names it
    site: String,
}

/// A link, or all links of a site.
#[derive(Debug, Args)]
pub(crate) struct Ends {
    /// The site that sends
    from: String,
    /// The site that receives; all others if left out
    to: Option<String>,
    /// This direction only
    #[arg(long, requires = "to")]
    oneway: bool,
}

/// What to do to a development deployment.
#[derive(Debug, Subcommand)]
pub(crate) enum Control {
    /// Show the nodes, the sites and the links
    State,
    /// Stop everything in a node, as SIGSTOP does; its connections stay open
    Suspend(Node),
    /// Let a suspended node go on
    Resume(Node),
    /// End a node at once, as SIGKILL does
    Kill(Node),
    /// Start a node that was killed
    Start(Node),
    /// Drop what is sent between two sites, or between one and all others
    Cut(Ends),
    /// Let through again what is sent between sites
    Heal(Ends),
    /// Set the round trip time between two sites
    Delay {
        /// One site
        a: String,
        /// The other
        b: String,
        /// The round trip time, as 80ms
        #[arg(value_parser = duration::parse)]
        round_trip: Duration,
    },
    /// Stop the replica of a site; its node goes on without it
    StopSite(Site),
    /// Start the replica of a site again
    StartSite(Site),
}

#[derive(Serialize)]
struct Done {
    done: String,
}

/// Does it.
pub(crate) async fn run(url: &str, control: Control, output: &Output) -> Result<Exit, Failure> {
    let controls = DevControls::new(url, Options::default())?;
    let done = match control {
        Control::State => {
            let state = controls.status().await?;
            output.either(&state, || state_text(&state))?;
            return Ok(Exit::Done);
        }
        Control::Suspend(Node { node }) => {
            controls.node(&node, NodeControl::Suspend).await?;
            format!("{node} is suspended")
        }
        Control::Resume(Node { node }) => {
            controls.node(&node, NodeControl::Resume).await?;
            format!("{node} goes on")
        }
        Control::Kill(Node { node }) => {
            controls.node(&node, NodeControl::Kill).await?;
            format!("{node} is killed")
        }
        Control::Start(Node { node }) => {
            controls.node(&node, NodeControl::Start).await?;
            format!("{node} is started")
        }
        Control::StopSite(Site { site }) => {
            controls.site(&site, SiteControl::Stop).await?;
            format!("{site} is stopped")
        }
        Control::StartSite(Site { site }) => {
            controls.site(&site, SiteControl::Start).await?;
            format!("{site} is started")
        }
        links => link(&controls, links).await?,
    };
    output.either(&Done { done: done.clone() }, || done)?;
    Ok(Exit::Done)
}

async fn link(controls: &DevControls, control: Control) -> Result<String, Failure> {
    Ok(match control {
        Control::Cut(Ends {
            from,
            to: Some(to),
            oneway,
        }) => {
            let link = Link { from, to };
            controls.cut(&link, oneway).await?;
            format!("{} is cut", between(&link, oneway))
        }
        Control::Cut(Ends { from: site, .. }) => {
            controls.site(&site, SiteControl::Cut).await?;
            format!("{site} is cut off")
        }
        Control::Heal(Ends {
            from,
            to: Some(to),
            oneway,
        }) => {
            let link = Link { from, to };
            controls.heal(&link, oneway).await?;
            format!("{} is healed", between(&link, oneway))
        }
        Control::Heal(Ends { from: site, .. }) => {
            controls.site(&site, SiteControl::Heal).await?;
            format!("{site} is connected again")
        }
        Control::Delay { a, b, round_trip } => {
            let link = Link { from: a, to: b };
            controls.delay(&link, round_trip).await?;
            format!(
                "{} takes {round_trip:?} there and back",
                between(&link, false)
            )
        }
        _ => String::new(),
    })
}

fn between(link: &Link, one_way: bool) -> String {
    let Link { from, to } = link;
    if one_way {
        format!("the way from {from} to {to}")
    } else {
        format!("the link {from}-{to}")
    }
}

fn state_text(state: &DevStatus) -> String {
    let nodes = state.nodes.iter().map(|node| {
        let state = match node.state {
            NodeState::Running => "running",
            NodeState::Suspended => "suspended",
            NodeState::Stopped => "stopped",
        };
        [
            node.name.clone(),
            node.site.clone(),
            node.url.clone(),
            state.to_owned(),
        ]
    });
    let sites = state.sites.iter().map(|site| {
        let state = if site.running { "running" } else { "stopped" };
        [site.name.clone(), state.to_owned()]
    });
    format!(
        "profile {}\n\n{}\n\n{}\n\n{}",
        state.profile,
        columns(
            ["NODE", "SITE", "ADDRESS", "STATE"],
            &nodes.collect::<Vec<_>>()
        ),
        columns(["SITE", "REPLICA"], &sites.collect::<Vec<_>>()),
        status::links(&state.links),
    )
}
