//! `GET /v1/status`, and the development controls of `music dev`.

use serde::{Deserialize, Serialize};

/// A node as it sees itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Status {
    /// The node's name.
    pub node: String,
    /// Its site.
    pub site: String,
    /// The version of the program.
    pub version: String,
    /// The node session, in hexadecimal.
    pub session: String,
    /// Whether its lease is valid, so that it may keep sections.
    pub lease_valid: bool,
    /// How many critical sections are open here.
    pub sections: u64,
    /// In how many lock queues they hold or wait.
    #[serde(default)]
    pub queues: u64,
    /// The engine's name.
    pub engine: String,
    /// A checksum of the settings that must agree across sites.
    pub cluster_checksum: String,
    /// The sites, as the engine knows them.
    pub sites: Vec<SiteStatus>,
    /// The links between sites, each pair once. Where the engines are services
    /// of their own, those from the node's site, as far as they were measured.
    pub links: Vec<LinkStatus>,
    /// The servers of engines that are services of their own.
    #[serde(default)]
    pub servers: Vec<ServerStatus>,
}

/// A server of an engine that is a service of its own, as the node saw it some
/// seconds ago.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServerStatus {
    /// Which engine: `cassandra`, `etcd`, `zookeeper`.
    pub engine: String,
    /// Where it serves.
    pub address: String,
    /// Its site, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Whether it is connected, and answered if it was asked.
    pub reachable: bool,
    /// The round trip time from the node, in ms; of each site's servers of
    /// Cassandra one is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// Its part, in the engine's words: `leader`, `follower`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The version of the engine, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// A site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SiteStatus {
    /// The name.
    pub name: String,
    /// Whether its replica runs; where the engines are services of their own,
    /// whether the node reaches it.
    pub running: bool,
}

/// A link between two sites.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LinkStatus {
    /// One site.
    pub a: String,
    /// The other.
    pub b: String,
    /// The round trip time, in ms.
    pub rtt_ms: f64,
    /// Whether messages from `a` to `b` are dropped.
    pub cut_a_to_b: bool,
    /// Whether messages from `b` to `a` are dropped.
    pub cut_b_to_a: bool,
}

/// What a node of a development deployment is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It runs.
    Running,
    /// Nothing in it runs, as after SIGSTOP; its connections stay open.
    Suspended,
    /// It is dead, as after SIGKILL.
    Stopped,
}

/// A node of a development deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DevNode {
    /// The name.
    pub name: String,
    /// Its site.
    pub site: String,
    /// The address of its API.
    pub url: String,
    /// What it is doing.
    pub state: NodeState,
}

/// `GET /v1/dev` at the control address: the whole deployment.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DevStatus {
    /// The name of the profile of delays.
    pub profile: String,
    /// The nodes.
    pub nodes: Vec<DevNode>,
    /// The sites.
    pub sites: Vec<SiteStatus>,
    /// The links, each pair once.
    pub links: Vec<LinkStatus>,
}

/// Body of `POST /v1/dev/links/{a}/{b}/delay`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct LinkDelay {
    /// The round trip time from now on, in ms.
    pub rtt_ms: f64,
}
