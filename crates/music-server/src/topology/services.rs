//! Engines that are services of their own, as a node of one site sees them.

use music_api::status::{LinkStatus, ServerStatus, SiteStatus};
use music_store::cassandra::Cassandra;
use music_store::engine::{LockEngine, StateEngine};
use music_store::etcd::Etcd;
use music_store::zookeeper::ZooKeeper;

use super::EngineError;
use super::monitor::Monitor;
use crate::config::{LocksConfig, ServicesConfig};

/// A node's connections; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    name: &'static str,
    state: Cassandra,
    locks: LockEngine,
    sites: Vec<String>,
    monitor: Monitor,
}

impl Services {
    /// Connects to both.
    pub(crate) async fn connect(config: &ServicesConfig) -> Result<Self, EngineError> {
        let name = config.name();
        let ServicesConfig { state, locks } = config;
        let sites = state.replication.keys().cloned().collect();
        let state = Cassandra::connect(state.clone()).await?;
        let monitor = Monitor::start(state.clone(), locks)?;
        let locks = match locks {
            LocksConfig::Cassandra => LockEngine::from(state.clone()),
            LocksConfig::Etcd(etcd) => Etcd::connect(etcd.clone()).await?.into(),
            LocksConfig::ZooKeeper(zookeeper) => {
                ZooKeeper::connect(zookeeper.clone()).await?.into()
            }
        };
        Ok(Self {
            name,
            state,
            locks,
            sites,
            monitor,
        })
    }

    /// Creates what the engines need, where it is not there yet.
    pub(crate) async fn init(config: &ServicesConfig) -> Result<(), EngineError> {
        Cassandra::init(&config.state).await?;
        // Beginning to use the lock store makes what it needs.
        Self::connect(config).await.map(drop)
    }

    /// The two ports.
    pub(crate) fn ports(&self) -> (StateEngine, LockEngine) {
        (self.state.clone().into(), self.locks.clone())
    }

    /// Their names.
    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The sites that hold state, by the names of their data centres.
    pub(crate) fn sites(&self) -> Vec<SiteStatus> {
        let connected = self.state.connected_datacentres();
        let view = self.monitor.view();
        view.sites(&self.sites, |name| connected.contains(name))
    }

    /// The links from the node's own site to the others that were measured.
    pub(crate) fn links(&self) -> Vec<LinkStatus> {
        let view = self.monitor.view();
        view.links(&self.sites, self.state.datacentre())
    }

    /// The servers, as they were last seen.
    pub(crate) fn servers(&self) -> Vec<ServerStatus> {
        self.monitor.view().servers
    }

    /// Whether a node of the state store at this node's site is connected.
    pub(crate) fn is_running(&self) -> bool {
        let connected = self.state.connected_datacentres();
        connected.contains(self.state.datacentre())
    }
}
