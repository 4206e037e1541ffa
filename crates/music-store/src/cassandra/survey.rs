//! How a deployment looks from this machine: which nodes there are, how far
//! away, how they are set, and how the keyspace is replicated.
//!
//! Facts only: what is wrong with them is judged elsewhere.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::cluster::Node as DriverNode;
use scylla::cluster::metadata::Strategy;
use scylla::deserialize::row::DeserializeRow;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::{Consistency, Statement};
use scylla::value::CqlTimestamp;

use super::failure::Failure;
use super::register::{Contents, Register};
use super::schema::{self, OpenError};
use super::session::Cql;
use super::{Cassandra, Config};
use crate::probe::{self, ClockOffset};
use crate::{Error, Level};

/// How often each node is asked for the time.
const SAMPLES: usize = 5;
/// How many nodes are asked at a time.
const AT_ONCE: usize = 16;
/// How many nodes of a data centre [`Cassandra::look`] tries.
const TRIES: usize = 3;
/// How long a node may take to answer [`Cassandra::look`].
const LOOK_TIME: Duration = Duration::from_secs(2);

/// The settings of Cassandra that MUSIC depends on.
const SETTINGS: &[&str] = &[
    "cas_contention_timeout",
    "cas_contention_timeout_in_ms",
    "maximum_timestamp_fail_threshold",
    "maximum_timestamp_warn_threshold",
    "minimum_timestamp_fail_threshold",
    "minimum_timestamp_warn_threshold",
    "paxos_state_purging",
    "paxos_variant",
    "read_request_timeout",
    "read_request_timeout_in_ms",
    "user_timestamps_enabled",
    "write_request_timeout",
    "write_request_timeout_in_ms",
];
/// The setting of ScyllaDB that MUSIC depends on.
const SCYLLA_SETTING: &str = "restrict_future_timestamp";

/// A deployment of Cassandra.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Every node that the driver finds, by data centre and address.
    pub nodes: Vec<Node>,
    /// How the keyspace is replicated; `None` where there is none.
    pub replication: Option<Replication>,
    /// The schema in the keyspace.
    pub schema: Schema,
    /// The mode of read repair of each CQL table in the keyspace; `None`
    /// where the server does not tell, as ScyllaDB.
    pub read_repair: Option<BTreeMap<String, String>>,
}

/// A node of Cassandra or ScyllaDB.
#[derive(Clone, Debug)]
pub struct Node {
    /// Where it serves.
    pub address: SocketAddr,
    /// Its data centre; empty where it does not say.
    pub datacentre: String,
    /// What it says of itself, or why it does not.
    pub answer: Result<Answer, String>,
}

/// What a node says of itself.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The version of Cassandra, or that which ScyllaDB is compatible with.
    pub version: String,
    /// Whether it is ScyllaDB.
    pub scylla: bool,
    /// The round trip from here: the median of several.
    pub rtt: Duration,
    /// Its clock and ours, by the quickest of several answers.
    pub clock: ClockOffset,
    /// Those of its settings that matter and are set; `None` where it does
    /// not tell.
    pub settings: Option<BTreeMap<String, String>>,
}

/// How a keyspace is replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replication {
    /// So many replicas in each data centre.
    PerDatacentre(BTreeMap<String, usize>),
    /// In another way, without regard to data centres.
    Other(String),
}

/// The schema, as a majority has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schema {
    /// It was never set up.
    Missing,
    /// Its version.
    Version(u32),
    /// A majority did not say.
    Unknown(String),
}

/// A node, as a session that is in use sees it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Where it serves.
    pub address: SocketAddr,
    /// Its data centre; empty where it does not say.
    pub datacentre: String,
    /// Whether it is connected, and answered where it was asked.
    pub reachable: bool,
    /// The round trip, where it was asked.
    pub rtt: Option<Duration>,
    /// The version, where it was asked.
    pub version: Option<String>,
}

/// Looks at a deployment.
///
/// # Cost
/// A session of its own, some small reads at each node, and one at a majority.
///
/// # Errors
/// Where no contact point answers, or the credentials are refused.
///
/// # Cancel safety
/// It changes nothing.
pub async fn take(config: &Config) -> Result<Survey, OpenError> {
    let cql = schema::reach(config).await?;
    let nodes = stream::iter(nodes(&cql))
        .map(|node| survey_node(&cql, node, config.request_time))
        .buffered(AT_ONCE)
        .collect();
    Ok(Survey {
        nodes: nodes.await,
        replication: replication(&cql),
        schema: version(&cql).await,
        read_repair: read_repair(&cql).await,
    })
}

/// The nodes, by data centre and address.
fn nodes(cql: &Cql) -> Vec<Arc<DriverNode>> {
    let cluster = cql.session().get_cluster_state();
    let mut nodes = cluster.get_nodes_info().to_vec();
    nodes.sort_by_key(|node| (node.datacenter.clone(), address(node)));
    nodes
}

fn address(node: &DriverNode) -> SocketAddr {
    SocketAddr::new(node.address.ip(), node.address.port())
}

async fn survey_node(cql: &Cql, node: Arc<DriverNode>, patience: Duration) -> Node {
    let one = One::new(cql.session(), &node, patience);
    Node {
        address: address(&node),
        datacentre: node.datacenter.clone().unwrap_or_default(),
        answer: one.survey(node.sharder().is_some()).await,
    }
}

/// The statements' way to one node, and to no other.
struct One<'a> {
    session: &'a Session,
    node: &'a Arc<DriverNode>,
    patience: Duration,
}

impl<'a> One<'a> {
    fn new(session: &'a Session, node: &'a Arc<DriverNode>, patience: Duration) -> Self {
        Self {
            session,
            node,
            patience,
        }
    }

    async fn survey(&self, scylla: bool) -> Result<Answer, String> {
        let (version,) = self
            .first("SELECT release_version FROM system.local")
            .await?;
        let now = "SELECT toTimestamp(now()) FROM system.local";
        let answers = probe::repeated(SAMPLES, || self.first::<(CqlTimestamp,)>(now)).await?;
        let clock = answers.first().map(|quickest| {
            let (CqlTimestamp(ms),) = quickest.answer;
            quickest.offset(ms)
        });
        Ok(Answer {
            version,
            scylla,
            rtt: probe::median(&answers).unwrap_or_default(),
            clock: clock.unwrap_or_default(),
            settings: self.settings(scylla).await,
        })
    }

    /// The settings that are set, where the node tells.
    async fn settings(&self, scylla: bool) -> Option<BTreeMap<String, String>> {
        let text = if scylla {
            format!("SELECT name, value FROM system.config WHERE name = '{SCYLLA_SETTING}'")
        } else {
            let names = SETTINGS.join("', '");
            format!("SELECT name, value FROM system_views.settings WHERE name IN ('{names}')")
        };
        let rows = self.rows::<(String, Option<String>)>(&text).await.ok()?;
        let set = |(name, value): (String, Option<String>)| {
            let value = value.filter(|value| !value.is_empty() && value != "null")?;
            Some((name, value))
        };
        Some(rows.into_iter().filter_map(set).collect())
    }

    async fn first<R>(&self, text: &str) -> Result<R, String>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let rows = self.rows(text).await?;
        let first = rows.into_iter().next();
        first.ok_or_else(|| "it answers without a row".to_owned())
    }

    async fn rows<R>(&self, text: &str) -> Result<Vec<R>, String>
    where
        R: for<'frame> DeserializeRow<'frame, 'frame>,
    {
        let asked = self.session.query_unpaged(self.statement(text), ());
        let result = asked.await.map_err(|error| error.to_string())?;
        let rows = result
            .into_rows_result()
            .map_err(|error| error.to_string())?;
        let rows = rows.rows::<R>().map_err(|error| error.to_string())?;
        rows.collect::<Result<_, _>>()
            .map_err(|error| error.to_string())
    }

    fn statement(&self, text: &str) -> Statement {
        let node = NodeIdentifier::Node(Arc::clone(self.node));
        let profile = ExecutionProfile::builder()
            .load_balancing_policy(SingleTargetLoadBalancingPolicy::new(node, None))
            .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
            .request_timeout(Some(self.patience))
            .consistency(Consistency::One)
            .build();
        let mut statement = Statement::new(text);
        statement.set_execution_profile_handle(Some(profile.into_handle()));
        statement.set_is_idempotent(true);
        statement
    }
}

fn replication(cql: &Cql) -> Option<Replication> {
    let cluster = cql.session().get_cluster_state();
    let keyspace = cluster.get_keyspace(cql.keyspace().as_str())?;
    Some(match &keyspace.strategy {
        Strategy::NetworkTopologyStrategy {
            datacenter_repfactors,
        } => {
            let replicas = datacenter_repfactors.iter();
            let replicas = replicas.map(|(name, replicas)| (name.clone(), *replicas));
            Replication::PerDatacentre(replicas.collect())
        }
        Strategy::SimpleStrategy { replication_factor } => {
            Replication::Other(format!("SimpleStrategy, {replication_factor} replicas"))
        }
        Strategy::Other { name, .. } => Replication::Other(name.clone()),
        other => Replication::Other(format!("{other:?}")),
    })
}

async fn version(cql: &Cql) -> Schema {
    let place = schema::version_place();
    let register = Register::new(cql, &place);
    let version: Result<Contents<u32>, Failure> = register.read().await;
    match version {
        Ok(version) if version.state.value == 0 => Schema::Missing,
        Ok(version) => Schema::Version(version.state.value),
        Err(Failure::Invalid(_)) => Schema::Missing,
        Err(failure) => Schema::Unknown(Error::from(failure).to_string()),
    }
}

async fn read_repair(cql: &Cql) -> Option<BTreeMap<String, String>> {
    let text = "SELECT table_name, read_repair FROM system_schema.tables WHERE keyspace_name = ?";
    // Any node tells the same, so that of another data centre will do.
    let access = super::session::Access::Plain(Level::Majority);
    let bound = (cql.keyspace().as_str(),);
    let rows: Vec<(String, Option<String>)> =
        cql.rows(text.to_owned(), access, bound).await.ok()?;
    let told = |(table, mode): (String, Option<String>)| Some((table, mode?));
    rows.into_iter().map(told).collect()
}

impl Cassandra {
    /// The nodes, and the round trip to the first of each data centre that
    /// answers.
    ///
    /// # Cost
    /// A small read in each data centre, or as many as do not answer.
    ///
    /// # Cancel safety
    /// It changes nothing.
    pub async fn look(&self) -> Vec<Seen> {
        let mut datacentres: BTreeMap<String, Vec<Arc<DriverNode>>> = BTreeMap::new();
        for node in nodes(&self.inner.cql) {
            let name = node.datacenter.clone().unwrap_or_default();
            datacentres.entry(name).or_default().push(node);
        }
        let session = self.inner.cql.session();
        let seen = datacentres
            .into_values()
            .map(|nodes| look_at(session, nodes));
        let seen = futures_util::future::join_all(seen).await;
        seen.into_iter().flatten().collect()
    }
}

/// The nodes of a data centre; the first that answers is timed.
async fn look_at(session: &Session, nodes: Vec<Arc<DriverNode>>) -> Vec<Seen> {
    let mut seen: Vec<Seen> = nodes.iter().map(|node| by_connection(node)).collect();
    let connected = nodes
        .iter()
        .zip(&mut seen)
        .filter(|(_, seen)| seen.reachable);
    for (node, seen) in connected.take(TRIES) {
        let one = One::new(session, node, LOOK_TIME);
        let ask = one.first::<(String,)>("SELECT release_version FROM system.local");
        match probe::timed(ask).await {
            Ok(timed) => {
                (seen.rtt, seen.version) = (Some(timed.took), Some(timed.answer.0));
                break;
            }
            Err(error) => {
                tracing::debug!(address = %seen.address, error, "a Cassandra node does not answer");
                seen.reachable = false;
            }
        }
    }
    seen
}

fn by_connection(node: &DriverNode) -> Seen {
    Seen {
        address: address(node),
        datacentre: node.datacenter.clone().unwrap_or_default(),
        reachable: node.is_connected(),
        rtt: None,
        version: None,
    }
}
