//! One node with its HTTP side.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use music_store::engine::{LockEngine, StateEngine};
use music_store::fault::Faults;
use tokio::net::TcpListener;

use crate::config::{Config, TableConfig};
use crate::http::app::App;
use crate::http::front::{Front, Setup};
use crate::http::router;
use crate::listen::{Bounds, Server};
use crate::node::{self, Node, NodeConfig, World};
use crate::topology::{EngineError, Topology};

/// How long to wait between tries to create the tables of the configuration.
const TABLES_PAUSE: Duration = Duration::from_secs(1);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The engine does not open.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A table of the configuration exists in the other mode.
    #[error("the table {0} exists in the other mode, and a mode is fixed")]
    TableExists(music_store::TableName),
    /// The node's own client cannot be set up.
    #[error("the node's own client cannot be set up: {0}")]
    Client(#[from] music_client::Error),
}

/// Opens the engine, serves one node, and ends when `shutdown` does: requests
/// under way end, what the node holds is released, in that order, within the
/// time that the configuration allows.
///
/// # Errors
/// Where the node does not start.
///
/// # Cancel safety
/// Ends the node at once, as a crash would.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    let node = NodeServer::open(config).await?;
    tracing::info!(address = %node.address(), node = node.name(), site = node.site(), "serving");
    shutdown.await;
    tracing::info!("shutting down");
    let open = node.shutdown().await;
    tracing::info!(sections_left = open, "ended");
    Ok(())
}

/// A node that serves its API.
pub struct NodeServer {
    app: Arc<App>,
    /// What the node asks itself, at the end of a shutdown too.
    _front: Arc<Front>,
    server: Server,
}

impl Drop for NodeServer {
    fn drop(&mut self) {
        self.app.killed.cancel();
        self.app.node.kill();
        self.server.cut();
    }
}

impl NodeServer {
    /// Opens the engines of the configuration, and starts a node on them. An
    /// engine that is a service of its own and does not answer is waited for;
    /// until it does, nobody listens, so that clients use other nodes.
    ///
    /// # Errors
    /// Where either does not start.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn open(config: Config) -> Result<Self, Error> {
        let topology = Topology::open(&config.engine).await?;
        Self::start(Arc::new(config), topology, None).await
    }

    /// The same with engines that fail as told.
    ///
    /// # Errors
    /// As [`NodeServer::open`].
    ///
    /// # Cancel safety
    /// As [`NodeServer::open`].
    pub async fn open_faulty(config: Config, faults: &Faults) -> Result<Self, Error> {
        let topology = Topology::open(&config.engine).await?;
        Self::start(Arc::new(config), topology, Some(faults)).await
    }

    /// Starts a node on an engine, which fails as told, if anything is told.
    pub(crate) async fn start(
        config: Arc<Config>,
        topology: Topology,
        faults: Option<&Faults>,
    ) -> Result<Self, Error> {
        let (mut state, mut locks) = topology.ports(&config).map_err(EngineError::from)?;
        if let Some(faults) = faults {
            state = state.faulty(faults.clone());
            locks = locks.faulty(faults.clone());
        }
        Self::start_on(config, topology, (state, locks)).await
    }

    async fn start_on(
        config: Arc<Config>,
        topology: Topology,
        ports: (StateEngine, LockEngine),
    ) -> Result<Self, Error> {
        let listen = |source| Error::Listen {
            address: config.listen,
            source,
        };
        let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
        let world = World::of_the_machine();
        let engine = (Some(topology), ports);
        let advertise = reached_at(&config, listener.local_addr().ok());
        let config = Arc::new(Config {
            advertise,
            ..Config::clone(&config)
        });
        let (app, front) = assemble(Arc::clone(&config), world, engine).await?;
        let bounds = Bounds {
            connections_max: config.limits.connections_max,
            head_timeout: config.limits.head_timeout,
        };
        let server = Server::start(listener, Arc::clone(&front), bounds).map_err(listen)?;
        Ok(Self {
            app,
            _front: front,
            server,
        })
    }

    /// Where the API listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// The node's name.
    pub fn name(&self) -> &str {
        &self.app.config.node
    }

    /// The node's site.
    pub fn site(&self) -> &str {
        &self.app.config.site
    }

    /// The node itself.
    pub fn node(&self) -> &Node {
        &self.app.node
    }

    /// What its handlers share.
    pub(crate) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Ends the node: new requests are refused, those under way end, what is
    /// held is released. Returns how many sections were still open when the
    /// time was over.
    ///
    /// # Cancel safety
    /// Goes on ending when called again; dropping the server ends it at once.
    pub async fn shutdown(&self) -> usize {
        let limit = self.app.config.shutdown_timeout;
        // A suspended node would never end by itself.
        self.app.node.resume();
        self.app.stopping.cancel();
        // Half of the time for the requests, so that some is left to take back
        // what they waited for, and to release what they held.
        self.server.shutdown(limit / 2).await;
        self.app.tasks.close();
        let _in_time = tokio::time::timeout(limit / 4, self.app.client.close()).await;
        let released = self.app.node.shutdown(limit / 4).await;
        self.app.killed.cancel();
        self.app.tasks.wait().await;
        released
    }

    /// Ends the node at once, as a crash would: connections are cut, nothing
    /// is released.
    pub async fn kill(&self) {
        self.app.node.kill();
        self.app.killed.cancel();
        self.app.tasks.close();
        self.server.kill().await;
        self.app.tasks.wait().await;
    }
}

/// A node on the two ports of its site, with its tables and with what answers
/// requests, but without a listener.
pub(crate) async fn assemble(
    config: Arc<Config>,
    world: World,
    (topology, ports): (Option<Topology>, (StateEngine, LockEngine)),
) -> Result<(Arc<App>, Arc<Front>), Error> {
    let node = NodeConfig {
        address: config.advertise.clone().into(),
        lease: config.cluster.node_lease,
        sections_max: config.limits.sections_max,
        affinity: config.affinity,
        ..NodeConfig::default()
    };
    let (app, own) = App::new(Node::start(node, world, ports), config, topology)?;
    let front = Front::new(Setup {
        router: router::router(Arc::clone(&app)),
        node: Some(app.node.clone()),
        metrics: app.metrics.clone(),
        site: app.config.site.clone(),
        in_flight_max: app.config.limits.in_flight_max,
    });
    own.arrive(&front);
    create_tables(&app).await?;
    Ok((app, front))
}

/// Where other nodes reach one that listens there; empty if they do not.
fn reached_at(config: &Config, listens_at: Option<SocketAddr>) -> String {
    if !config.advertise.is_empty() {
        return config.advertise.clone();
    }
    let address = listens_at.filter(|address| !address.ip().is_unspecified());
    address.map_or_else(String::new, |address| address.to_string())
}

/// Creates the tables of the configuration; those that a majority is missing
/// for are created later.
async fn create_tables(app: &Arc<App>) -> Result<(), Error> {
    let mut later = Vec::new();
    for table in &app.config.tables {
        match app.node.create_table(&table.name, table.mode).await {
            Ok(_) => {}
            Err(node::Error::WrongMode { .. }) => {
                return Err(Error::TableExists(table.name.clone()));
            }
            Err(error) => {
                tracing::warn!(table = %table.name, %error, "the table is created later");
                later.push(table.clone());
            }
        }
    }
    if !later.is_empty() {
        let (stopping, killed) = (app.stopping.clone(), app.killed.clone());
        let task = stopping.run_until_cancelled_owned(create_later(app.node.clone(), later));
        app.tasks.spawn(killed.run_until_cancelled_owned(task));
    }
    Ok(())
}

async fn create_later(node: Node, tables: Vec<TableConfig>) {
    for table in tables {
        loop {
            match node.create_table(&table.name, table.mode).await {
                Ok(_) => break,
                Err(error @ node::Error::WrongMode { .. }) => {
                    tracing::error!(table = %table.name, %error, "the table is not created");
                    break;
                }
                Err(_) => tokio::time::sleep(TABLES_PAUSE).await,
            }
        }
    }
}

#[cfg(test)]
mod tests;
