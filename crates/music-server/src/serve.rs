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
mod tests {
    use music_core::id::{Key, Moves, RecordId, SessionId};
    use music_core::lock_queue::Mode;
    use music_core::time::Lease;

    use super::*;
    use crate::config::Overrides;
    use crate::node::{SectionRef, State, request_id};

    const TABLES: &str = "tables = [{ name = 'locks', mode = 'critical' }]";

    fn config(site: &str) -> Config {
        let text = format!("site = '{site}'\nlisten = '127.0.0.1:0'\n{TABLES}");
        Config::parse(&text, |_| None, &Overrides::default()).unwrap()
    }

    async fn two_nodes() -> [NodeServer; 2] {
        let topology = Topology::open(&config("a").engine).await.unwrap();
        let start = |site| NodeServer::start(Arc::new(config(site)), topology.clone(), None);
        [start("a").await.unwrap(), start("b").await.unwrap()]
    }

    fn section(node: &NodeServer) -> SectionRef {
        let name = music_store::TableName::new("locks").unwrap();
        let table = node.node().table(&name).unwrap().id;
        let key = RecordId {
            table,
            key: Key::new("k").unwrap(),
        };
        let lease = Lease::new(Duration::from_hours(1)).unwrap();
        SectionRef {
            request: request_id(),
            keys: vec![key],
            mode: Mode::Exclusive,
            lease,
            moves: Moves::default(),
        }
    }

    /// Nodes whose lock engine tells of nothing, and which look so seldom that
    /// they do not in a test; tickets are kept for an hour.
    async fn deaf_nodes() -> [NodeServer; 2] {
        let faults = Faults::default();
        faults.deafen();
        let topology = Topology::open(&config("a").engine).await.unwrap();
        let start = |site: &str| {
            let mut config = config(site);
            config.cluster.node_lease = Lease::new(Duration::from_mins(5)).unwrap();
            config.affinity.idle_max = Duration::from_hours(1);
            NodeServer::start(Arc::new(config), topology.clone(), Some(&faults))
        };
        [start("a").await.unwrap(), start("b").await.unwrap()]
    }

    const SOON: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_node_that_releases_tells_the_one_that_waits() {
        let [first, second] = deaf_nodes().await;
        for (here, there) in [(&first, &second), (&second, &first)] {
            let held = section(here);
            let view = here.node().create_lock_ref(held.clone(), SOON).await;
            assert_eq!(view.unwrap().state, State::Granted);
            let waits = section(there);
            let view = there
                .node()
                .create_lock_ref(waits.clone(), Duration::ZERO)
                .await;
            assert_eq!(view.unwrap().state, State::Waiting);
            here.node().release(&held, false).await.unwrap();
            let view = there.node().acquire(&waits, SOON).await;
            assert_eq!(view.unwrap().state, State::Granted);
            there.node().release(&waits, true).await.unwrap();
            // That here was wanted, and then that it is free.
            for node in [here, there] {
                let counts = node.node().hint_counts();
                assert!(counts.heard.get() > 0);
                assert_eq!(counts.lost.get(), 0);
            }
        }
    }

    async fn make_home(server: &NodeServer) {
        while server.node().status().kept == 0 {
            let section = section(server);
            let view = server.node().create_lock_ref(section.clone(), SOON).await;
            assert_eq!(view.unwrap().state, State::Granted);
            server.node().release(&section, false).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_node_that_waits_calls_in_what_another_one_keeps() {
        let [home, away] = deaf_nodes().await;
        make_home(&home).await;
        let visitor = section(&away);
        let view = away.node().create_lock_ref(visitor, SOON).await;
        assert_eq!(view.unwrap().state, State::Granted);
        assert_eq!(home.node().status().kept, 0);
    }

    #[tokio::test]
    async fn a_false_hint_changes_nothing() {
        let [home, _] = deaf_nodes().await;
        make_home(&home).await;
        let keys = section(&home).keys;
        let nobody = SessionId(1);
        home.node()
            .hear_hints(nobody, keys.clone(), keys.clone())
            .await;
        let queue = home.node().queue(&keys[0]).await.unwrap();
        assert_eq!(queue.tickets().count(), 1);
        assert_eq!(home.node().status().kept, 1);
    }

    #[tokio::test]
    async fn a_shutdown_releases_what_is_held() {
        let [first, second] = two_nodes().await;
        let wait = Duration::from_secs(20);
        let held = first
            .node()
            .create_lock_ref(section(&first), wait)
            .await
            .unwrap();
        assert_eq!(held.state, State::Granted);
        assert_eq!(first.shutdown().await, 0);
        // Long before any lease ends.
        let next = second
            .node()
            .create_lock_ref(section(&second), wait)
            .await
            .unwrap();
        assert_eq!(next.state, State::Granted);
    }

    #[tokio::test]
    async fn a_table_in_the_other_mode_is_a_fault() {
        let [first, _] = two_nodes().await;
        let mut other = config("c");
        other.tables[0].mode = music_store::TableMode::Eventual;
        let topology = first.app().topology.clone().unwrap();
        let error = NodeServer::start(Arc::new(other), topology, None)
            .await
            .err()
            .unwrap();
        assert!(matches!(error, Error::TableExists(_)), "{error}");
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let [first, _] = two_nodes().await;
        let busy = Config {
            listen: first.address(),
            ..config("c")
        };
        let topology = first.app().topology.clone().unwrap();
        let error = NodeServer::start(Arc::new(busy), topology, None)
            .await
            .err()
            .unwrap();
        assert!(
            error.to_string().contains(&first.address().to_string()),
            "{error}"
        );
    }
}
