//! Sites of engines that are services of their own.
//!
//! The nodes run in this process, one a data centre; the engines run where the
//! configuration says. They are not ours to harm: a site that is cut off is one
//! whose node finds no majority, while its own replica answers.

use std::path::Path;

use clap::ValueEnum;
use music_client::{Client, Options};
use music_core::time::Lease;
use music_placement::service;
use music_server::config::{Config, EngineConfig, LocksConfig, Overrides, ServicesConfig};
use music_server::serve::NodeServer;
use music_store::cassandra::Keyspace;
use music_store::fault::Faults;
use tokio::sync::Mutex;

use super::{LEASE, Site};
use crate::demo::error::Error;
use crate::failure::Failure;

/// What the demonstration keeps is kept apart from what else the engines hold.
const KEYSPACE: &str = "music_demo";
const PREFIX: &str = "music-demo/queues/";
const ROOT: &str = "/music-demo/queues";

/// Which engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    /// All sites in this process
    Embedded,
    /// State and locks in Cassandra
    Cassandra,
    /// State in Cassandra, locks in etcd
    #[value(name = "cassandra+etcd")]
    CassandraEtcd,
    /// State in Cassandra, locks in ZooKeeper
    #[value(name = "cassandra+zookeeper")]
    CassandraZookeeper,
}

impl EngineName {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Cassandra => "cassandra",
            Self::CassandraEtcd => "cassandra+etcd",
            Self::CassandraZookeeper => "cassandra+zookeeper",
        }
    }

    /// The engines' names in a configuration, state and locks.
    fn settings(self) -> (&'static str, &'static str) {
        match self {
            Self::Embedded => ("embedded", "embedded"),
            Self::Cassandra => ("cassandra", "cassandra"),
            Self::CassandraEtcd => ("cassandra", "etcd"),
            Self::CassandraZookeeper => ("cassandra", "zookeeper"),
        }
    }
}

/// Nodes on engines that run elsewhere.
pub(super) struct Services {
    engine: EngineName,
    nodes: Vec<Place>,
}

/// A node, running or not.
struct Place {
    config: Config,
    faults: Faults,
    server: Mutex<Option<NodeServer>>,
}

impl Services {
    /// Sets the engines up, and starts a node for each data centre that holds
    /// state.
    pub(super) async fn open(engine: EngineName, file: Option<&Path>) -> Result<Self, Failure> {
        let (state, locks) = engine.settings();
        let overrides = Overrides {
            state: Some(state.to_owned()),
            locks: Some(locks.to_owned()),
            listen: Some("127.0.0.1:0".to_owned()),
            ..Overrides::default()
        };
        let mut config = Config::load(file, &overrides)?;
        let mut nodes = Vec::new();
        for (turn, site) in set_apart(&mut config).into_iter().enumerate() {
            let mut config = Config {
                node: format!("{site}-1"),
                site: site.clone(),
                ..config.clone()
            };
            move_to(&mut config.engine, &site, turn);
            if nodes.is_empty() {
                music_server::engine::init(&config).await?;
            }
            let faults = Faults::default();
            let server = NodeServer::open_faulty(config.clone(), &faults).await?;
            // Where it is to be found when it was killed and started again.
            config.listen = server.address();
            nodes.push(Place {
                config,
                faults,
                server: Mutex::new(Some(server)),
            });
        }
        let services = Self { engine, nodes };
        services.clear().await?;
        Ok(services)
    }

    /// Drops what an earlier demonstration has left.
    async fn clear(&self) -> Result<(), Failure> {
        let urls = self.sites().into_iter().map(|site| site.url);
        let client = Client::new(urls, Options::default())?;
        let dropped = service::drop_tables(&client).await;
        Ok(dropped.map_err(Error::from)?)
    }

    pub(super) fn engine(&self) -> EngineName {
        self.engine
    }

    pub(super) fn sites(&self) -> Vec<Site> {
        let site = self.nodes.iter().map(|place| Site {
            name: place.config.site.clone(),
            node: place.config.node.clone(),
            url: format!("http://{}", place.config.listen),
        });
        site.collect()
    }

    /// Ends all nodes, each releasing what it holds.
    pub(super) async fn close(self) {
        let servers = self.nodes.into_iter().map(|place| async move {
            if let Some(server) = place.server.into_inner() {
                server.shutdown().await;
            }
        });
        futures_util::future::join_all(servers).await;
    }

    pub(super) fn set_cut(&self, site: &str, cut: bool) {
        for place in self.nodes.iter().filter(|place| place.config.site == site) {
            place.faults.set_cut_off(cut);
        }
    }

    pub(super) async fn kill(&self, node: &str) {
        for place in self.named(node) {
            let server = place.server.lock().await.take();
            if let Some(server) = server {
                server.kill().await;
            }
        }
    }

    pub(super) async fn start(&self, node: &str) -> Result<(), Error> {
        for place in self.named(node) {
            let config = place.config.clone();
            let server = NodeServer::open_faulty(config, &place.faults).await?;
            *place.server.lock().await = Some(server);
        }
        Ok(())
    }

    fn named(&self, node: &str) -> impl Iterator<Item = &Place> {
        let nodes = self.nodes.iter();
        nodes.filter(move |place| place.config.node == node)
    }
}

/// Gives the demonstration a place of its own in the engines, short leases,
/// and no tables but its own. Returns the data centres.
fn set_apart(config: &mut Config) -> Vec<String> {
    config.tables.clear();
    let cluster = &mut config.cluster;
    cluster.node_lease = Lease::new(LEASE).unwrap_or(cluster.node_lease);
    cluster.client_lease_default = cluster.node_lease;
    let EngineConfig::Services(services) = &mut config.engine else {
        return Vec::new();
    };
    let ServicesConfig { state, locks } = services.as_mut();
    state.keyspace = Keyspace::new(KEYSPACE).unwrap_or_default();
    match locks {
        LocksConfig::Cassandra => {}
        LocksConfig::Etcd(etcd) => PREFIX.clone_into(&mut etcd.prefix),
        LocksConfig::ZooKeeper(zookeeper) => ROOT.clone_into(&mut zookeeper.root),
    }
    state.replication.keys().cloned().collect()
}

/// Makes the engines' settings those of a site: its data centre, and another
/// server of the lock queues first.
fn move_to(engine: &mut EngineConfig, site: &str, turn: usize) {
    let EngineConfig::Services(services) = engine else {
        return;
    };
    site.clone_into(&mut services.state.datacentre);
    let endpoints = match &mut services.locks {
        LocksConfig::Cassandra => return,
        LocksConfig::Etcd(etcd) => &mut etcd.endpoints,
        LocksConfig::ZooKeeper(zookeeper) => &mut zookeeper.endpoints,
    };
    let turn = turn.checked_rem(endpoints.len()).unwrap_or_default();
    endpoints.rotate_left(turn);
}
