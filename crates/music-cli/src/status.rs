//! `music status`.

use clap::Args;
use futures_util::future::join_all;
use music_client::api::status::{LinkStatus, ServerStatus, Status as NodeStatus};
use music_client::{Client, Error, Options, RetryPolicy};
use serde::Serialize;
use std::time::Duration;

use crate::arguments::Global;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{Output, columns};

/// Show the nodes, the sites, the delays between them, and the engines' servers
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
    let head = [
        "ENDPOINT", "NODE", "SITE", "ENGINE", "LEASE", "SECTIONS", "QUEUES",
    ];
    let mut parts = vec![columns(head, &rows)];
    let told: Vec<&NodeStatus> = nodes
        .iter()
        .filter_map(|(_, status)| status.as_ref().ok())
        .collect();
    if let Some(first) = told.first() {
        parts.push(sites(&told));
        parts.push(links(&all_links(&told)));
        if !first.servers.is_empty() {
            parts.push(servers(first));
        }
    }
    parts.join("\n\n")
}

fn row(endpoint: &str, status: &Result<NodeStatus, Error>) -> [String; 7] {
    match status {
        Ok(status) => [
            endpoint.to_owned(),
            status.node.clone(),
            status.site.clone(),
            status.engine.clone(),
            if status.lease_valid {
                "valid"
            } else {
                "expired"
            }
            .to_owned(),
            status.sections.to_string(),
            status.queues.to_string(),
        ],
        Err(_) => [endpoint, "no answer", "", "", "", "", ""].map(str::to_owned),
    }
}

/// The sites, by what all nodes tell: a node whose engines are services of
/// their own knows only which sites it reaches.
fn sites(nodes: &[&NodeStatus]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for site in nodes.iter().flat_map(|node| &node.sites) {
        if !names.contains(&site.name.as_str()) {
            names.push(&site.name);
        }
    }
    let rows: Vec<_> = names
        .into_iter()
        .map(|name| [name.to_owned(), replica(name, nodes)])
        .collect();
    columns(["SITE", "REPLICA"], &rows)
}

fn replica(name: &str, nodes: &[&NodeStatus]) -> String {
    let embedded = nodes.iter().any(|node| node.engine == "embedded");
    let (mut reached, mut missed) = (false, Vec::new());
    for node in nodes {
        match node.sites.iter().find(|site| site.name == name) {
            Some(site) if site.running => reached = true,
            Some(_) => missed.push(node.site.as_str()),
            None => {}
        }
    }
    match (missed.is_empty(), reached) {
        (true, _) if embedded => "running".to_owned(),
        (false, _) if embedded => "stopped".to_owned(),
        (true, _) => "reachable".to_owned(),
        (false, false) => "unreachable".to_owned(),
        (false, true) => {
            missed.dedup();
            format!("unreachable from {}", missed.join(", "))
        }
    }
}

/// The links that any node tells of, each pair once.
fn all_links(nodes: &[&NodeStatus]) -> Vec<LinkStatus> {
    let mut all: Vec<LinkStatus> = Vec::new();
    for link in nodes.iter().flat_map(|node| &node.links) {
        let same = |known: &LinkStatus| {
            (&known.a, &known.b) == (&link.a, &link.b) || (&known.a, &known.b) == (&link.b, &link.a)
        };
        if !all.iter().any(same) {
            all.push(link.clone());
        }
    }
    all
}

/// The servers of the engines, as one node sees them.
fn servers(node: &NodeStatus) -> String {
    let row = |server: &ServerStatus| {
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let rtt = server.rtt_ms.map(|rtt| format!("{rtt} ms"));
        let state = if server.reachable {
            "up"
        } else {
            "unreachable"
        };
        [
            server.engine.clone(),
            server.address.clone(),
            or_dash(&server.site),
            state.to_owned(),
            or_dash(&rtt),
            or_dash(&server.role),
            or_dash(&server.version),
        ]
    };
    let seen = format!("SEEN FROM {}", node.node);
    let head = [
        "ENGINE",
        "SERVER",
        "SITE",
        &seen,
        "ROUND TRIP",
        "ROLE",
        "VERSION",
    ];
    columns(head, &node.servers.iter().map(row).collect::<Vec<_>>())
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

#[cfg(test)]
mod tests {
    use music_client::api::status::SiteStatus;

    use super::*;

    /// A node at `site` of three, whose engines are services of their own.
    fn node(site: &str, reached: &[&str], links: &[(&str, f64)]) -> NodeStatus {
        let sites = ["a", "b", "c"].map(|name| SiteStatus {
            name: name.to_owned(),
            running: reached.contains(&name),
        });
        let links = links.iter().map(|(to, rtt_ms)| LinkStatus {
            a: site.to_owned(),
            b: (*to).to_owned(),
            rtt_ms: *rtt_ms,
            cut_a_to_b: false,
            cut_b_to_a: false,
        });
        let server = ServerStatus {
            engine: "etcd".to_owned(),
            address: "http://a:2379".to_owned(),
            site: None,
            reachable: true,
            rtt_ms: Some(0.4),
            role: Some("leader".to_owned()),
            version: None,
        };
        NodeStatus {
            node: format!("{site}-1"),
            site: site.to_owned(),
            version: "0.1.0".to_owned(),
            session: String::new(),
            lease_valid: true,
            sections: 2,
            queues: 3,
            engine: "cassandra+etcd".to_owned(),
            cluster_checksum: String::new(),
            sites: sites.into(),
            links: links.collect(),
            servers: vec![server],
        }
    }

    #[test]
    fn what_each_node_sees_is_put_together() {
        let nodes = [
            ("http://a:7410", Ok(node("a", &["a", "b"], &[("b", 54.0)]))),
            (
                "http://b:7410",
                Ok(node("b", &["a", "b", "c"], &[("a", 54.1), ("c", 24.0)])),
            ),
        ];
        let text = text(&nodes);
        for line in [
            "http://a:7410  a-1   a     cassandra+etcd  valid  2         3",
            "a     reachable",
            "c     unreachable from a",
            "a     b     54 ms       up",
            "b     c     24 ms       up",
            "etcd    http://a:2379  -     up             0.4 ms      leader  -",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
        }
        assert!(!text.contains("54.1"), "{text}");
    }

    #[test]
    fn a_site_that_nobody_reaches_is_unreachable() {
        let node = node("a", &["a", "b"], &[]);
        assert_eq!(replica("c", &[&node]), "unreachable");
        let mut embedded = node;
        "embedded".clone_into(&mut embedded.engine);
        assert_eq!(replica("c", &[&embedded]), "stopped");
        assert_eq!(replica("b", &[&embedded]), "running");
    }
}
