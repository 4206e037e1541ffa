//! `music status`.

use clap::Args;
use futures_util::future::join_all;
use music_client::api::status::{LinkStatus, Status as NodeStatus};
use music_client::{Client, Error, Options, RetryPolicy};
use serde::Serialize;
use std::time::Duration;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, columns};

/// Show the nodes, the sites, and the delays between them
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  music status
  music status --endpoint http://127.0.0.1:7701,http://127.0.0.1:7702")]
pub(crate) struct Status {}

/// How long a node may take to tell of itself.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct NodeJson<'a> {
    endpoint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a NodeStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Shows what each node tells.
pub(crate) async fn run(global: &Global, _: Status, output: &Output) -> Result<Exit, Failure> {
    // What is no address is a fault of the command line, not of a node.
    global.client()?;
    let nodes = global.endpoints.iter().map(|endpoint| async move {
        let status = ask(endpoint).await;
        (endpoint.as_str(), status)
    });
    let nodes = join_all(nodes).await;
    let json: Vec<_> = nodes
        .iter()
        .map(|(endpoint, status)| node_json(endpoint, status))
        .collect();
    output.either(&json, || text(&nodes))?;
    if nodes.iter().all(|(_, status)| status.is_err()) {
        return Err(Failure::NoNode { nodes: nodes.len() });
    }
    Ok(Exit::Done)
}

async fn ask(endpoint: &str) -> Result<NodeStatus, Error> {
    let retry = RetryPolicy::never();
    let options = Options {
        local_timeout: PATIENCE,
        retry,
        ..Options::default()
    };
    Client::new([endpoint], options)?.status().await
}

fn node_json<'a>(endpoint: &'a str, status: &'a Result<NodeStatus, Error>) -> NodeJson<'a> {
    let error = status.as_ref().err().map(ToString::to_string);
    NodeJson {
        endpoint,
        status: status.as_ref().ok(),
        error,
    }
}

fn text(nodes: &[(&str, Result<NodeStatus, Error>)]) -> String {
    let rows: Vec<_> = nodes
        .iter()
        .map(|(endpoint, status)| row(endpoint, status))
        .collect();
    let mut text = columns(["ENDPOINT", "NODE", "SITE", "LEASE", "SECTIONS"], &rows);
    if let Some(status) = nodes.iter().find_map(|(_, status)| status.as_ref().ok()) {
        let sites = status.sites.iter().map(|site| {
            let state = if site.running { "running" } else { "stopped" };
            [site.name.clone(), state.to_owned()]
        });
        text.push_str("\n\n");
        text.push_str(&columns(["SITE", "REPLICA"], &sites.collect::<Vec<_>>()));
        text.push_str("\n\n");
        text.push_str(&links(&status.links));
    }
    text
}

fn row(endpoint: &str, status: &Result<NodeStatus, Error>) -> [String; 5] {
    match status {
        Ok(status) => [
            endpoint.to_owned(),
            status.node.clone(),
            status.site.clone(),
            if status.lease_valid {
                "valid"
            } else {
                "expired"
            }
            .to_owned(),
            status.sections.to_string(),
        ],
        Err(_) => [endpoint, "no answer", "", "", ""].map(str::to_owned),
    }
}

/// Links as a table.
pub(crate) fn links(links: &[LinkStatus]) -> String {
    let row = |link: &LinkStatus| {
        let state = match (link.cut_a_to_b, link.cut_b_to_a) {
            (false, false) => "up".to_owned(),
            (true, true) => "cut".to_owned(),
            (true, false) => format!("cut from {} to {}", link.a, link.b),
            (false, true) => format!("cut from {} to {}", link.b, link.a),
        };
        [
            link.a.clone(),
            link.b.clone(),
            format!("{} ms", link.rtt_ms),
            state,
        ]
    };
    columns(
        ["SITE", "SITE", "ROUND TRIP", "STATE"],
        &links.iter().map(row).collect::<Vec<_>>(),
    )
}
