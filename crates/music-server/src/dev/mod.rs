//! A whole deployment in one process: an engine, a node a site, and controls.
//!
//! ```text
//!   control address ── /v1/dev ──► suspend, kill, start · cut, heal, delay · stop
//!                                      │                     │              │
//!   node of site a ─┐                nodes                 links          sites
//!   node of site b ─┼─ one embedded engine
//!   node of site c ─┘
//! ```
//!
//! The controls have a listener of their own, so that they answer whatever
//! the nodes do.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use music_api::status::{DevNode, DevStatus};
use music_core::time::Lease;
use music_store::fault::Faults;
use music_store::{TableMode, TableName};
use tokio::net::TcpListener;

use crate::config::{Config, EmbeddedConfig, EngineConfig, TableConfig};
use crate::http::front::{Front, Setup};
use crate::http::metrics::Metrics;
use crate::listen::{Bounds, Server};
use crate::serve;
use crate::topology::{self, Embedded, EngineError};

mod control;
mod routes;

pub use control::Error as ControlError;

use control::Control;

/// The tables of a new deployment: `kv`, eventual, and `locks`, critical.
pub const TABLES: [(&str, TableMode); 2] =
    [("kv", TableMode::Eventual), ("locks", TableMode::Critical)];

/// The port of the control address where nothing else is asked for; the nodes
/// have the ports after it.
pub const BASE_PORT: u16 = 7400;

/// What a deployment is made of.
#[derive(Clone, Debug)]
pub struct DevConfig {
    /// The profile of delays, by name.
    pub profile: String,
    /// How many of its sites; `None` for all.
    pub sites: Option<usize>,
    /// Where the engine keeps its files; `None` for memory only.
    pub dir: Option<PathBuf>,
    /// Where everything listens.
    pub host: IpAddr,
    /// The control's port, the nodes' follow; 0 for any free ones.
    pub base_port: u16,
    /// How long a node may go unheard; `None` for the default.
    pub node_lease: Option<Lease>,
    /// A client's lease where it does not ask for another; `None` for the
    /// default.
    pub client_lease: Option<Lease>,
    /// The tables to create.
    pub tables: Vec<TableConfig>,
    /// What happens to the engine's calls, and how many there are; `None` for
    /// nothing.
    pub faults: Option<Faults>,
}

impl DevConfig {
    /// Sites of that profile, in memory, at the usual ports, with the usual
    /// tables.
    pub fn new(profile: impl Into<String>) -> Self {
        // The names of the usual tables are allowed, as a test makes sure.
        let tables = TABLES.into_iter().filter_map(|(name, mode)| {
            Some(TableConfig {
                name: TableName::new(name).ok()?,
                mode,
            })
        });
        Self {
            profile: profile.into(),
            sites: None,
            dir: None,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            base_port: BASE_PORT,
            node_lease: None,
            client_lease: None,
            tables: tables.collect(),
            faults: None,
        }
    }
}

/// Why a deployment does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration that nodes start from is faulty: a variable of the
    /// environment, most likely.
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    /// The control address cannot be listened at.
    #[error("cannot listen at {address}: {source}; choose another base port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The engine or a node does not start.
    #[error(transparent)]
    Serve(#[from] serve::Error),
}

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        Self::Serve(error.into())
    }
}

/// A deployment that runs.
pub struct Deployment {
    control: Arc<Control>,
    server: Server,
}

impl Drop for Deployment {
    fn drop(&mut self) {
        self.server.cut();
    }
}

impl Deployment {
    /// Starts an engine, a node a site, and the controls. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// Where some part does not start; then none runs.
    pub async fn start(config: DevConfig) -> Result<Self, Error> {
        let embedded = embedded_config(&config)?;
        let base = base_config(&config, &embedded)?;
        let engine = Embedded::open(&embedded).await?;
        let names = engine.names().to_vec();
        let control = Arc::new(Control::new(
            engine,
            config.profile.clone(),
            base.limits.clone(),
            config.faults.clone(),
        ));
        for (name, number) in names.into_iter().zip(1_u16..) {
            let port = if config.base_port == 0 {
                0
            } else {
                config.base_port.saturating_add(number)
            };
            let node = Config {
                node: format!("{name}-1"),
                site: name,
                listen: SocketAddr::new(config.host, port),
                ..base.clone()
            };
            control.add(node).await?;
        }
        let address = SocketAddr::new(config.host, config.base_port);
        let listen = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let server = serve_control(&control, listener, &base).map_err(listen)?;
        Ok(Self { control, server })
    }

    /// The address of the controls, as `http://HOST:PORT`.
    pub fn control_url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The nodes, and the address of each.
    pub fn nodes(&self) -> Vec<DevNode> {
        self.control.nodes()
    }

    /// The whole deployment.
    pub fn status(&self) -> DevStatus {
        self.control.status()
    }

    /// Stops everything in a node where it is, as SIGSTOP would.
    ///
    /// # Errors
    /// Where there is no such node, or it does not run.
    pub fn suspend(&self, node: &str) -> Result<(), ControlError> {
        self.control.set_suspended(node, true)
    }

    /// Lets a suspended node go on.
    ///
    /// # Errors
    /// Where there is no such node, or it does not run.
    pub fn resume(&self, node: &str) -> Result<(), ControlError> {
        self.control.set_suspended(node, false)
    }

    /// Ends a node at once, as SIGKILL would.
    ///
    /// # Errors
    /// Where there is no such node, or it does not run.
    pub async fn kill(&self, node: &str) -> Result<(), ControlError> {
        self.control.kill(node).await
    }

    /// Starts a node that was killed, at its old address.
    ///
    /// # Errors
    /// Where there is no such node, it runs, or it does not start.
    pub async fn start_node(&self, node: &str) -> Result<(), ControlError> {
        self.control.start(node).await
    }

    /// Cuts (or heals) the link between two sites, or with `oneway` only what
    /// is sent from `a` to `b`.
    ///
    /// # Errors
    /// Where there is no such site.
    pub fn set_link(&self, a: &str, b: &str, oneway: bool, cut: bool) -> Result<(), ControlError> {
        self.control.set_link((a, b), oneway, cut)
    }

    /// Sets the round trip time between two sites.
    ///
    /// # Errors
    /// Where there is no such site.
    pub fn set_rtt(&self, a: &str, b: &str, rtt: Duration) -> Result<(), ControlError> {
        self.control.set_rtt(a, b, rtt)
    }

    /// Cuts (or heals) every link of a site.
    ///
    /// # Errors
    /// Where there is no such site.
    pub fn set_site_cut(&self, site: &str, cut: bool) -> Result<(), ControlError> {
        self.control.set_site_cut(site, cut)
    }

    /// Stops (or starts) the replica of a site.
    ///
    /// # Errors
    /// Where there is no such site.
    pub fn set_site_running(&self, site: &str, running: bool) -> Result<(), ControlError> {
        self.control.set_site_running(site, running)
    }

    /// Ends all nodes, each releasing what it holds, then the controls, then
    /// the engine: its directory is free when this returns.
    ///
    /// # Cancel safety
    /// Nodes that have not ended yet end at once, as by a crash.
    pub async fn shutdown(self) {
        self.control.shutdown().await;
        self.server.shutdown(Duration::ZERO).await;
        self.control.engine().clone().close().await;
    }
}

fn embedded_config(config: &DevConfig) -> Result<EmbeddedConfig, Error> {
    let mut embedded = EmbeddedConfig {
        dir: config.dir.clone(),
        profile: config.profile.clone(),
        sites: Vec::new(),
    };
    if let Some(count) = config.sites {
        embedded.sites = topology::first_sites(&config.profile, count)?;
    }
    Ok(embedded)
}

fn base_config(config: &DevConfig, embedded: &EmbeddedConfig) -> Result<Config, Error> {
    let mut base = Config::load(None, &crate::config::Overrides::default())?;
    base.engine = EngineConfig::Embedded(embedded.clone());
    base.cluster.node_lease = config.node_lease.unwrap_or(base.cluster.node_lease);
    let client_lease = config
        .client_lease
        .unwrap_or(base.cluster.client_lease_default);
    base.cluster.client_lease_default = client_lease;
    base.cluster.client_lease_max = base.cluster.client_lease_max.max(client_lease);
    base.tables.clone_from(&config.tables);
    Ok(base)
}

fn serve_control(
    control: &Arc<Control>,
    listener: TcpListener,
    base: &Config,
) -> io::Result<Server> {
    let front = Front::new(Setup {
        router: routes::router(Arc::clone(control)),
        node: None,
        metrics: Metrics::new(),
        site: "control".to_owned(),
        in_flight_max: base.limits.in_flight_max,
    });
    let Config { limits, .. } = base;
    let (connections_max, head_timeout) = (limits.connections_max, limits.head_timeout);
    Server::start(
        listener,
        front,
        Bounds {
            connections_max,
            head_timeout,
        },
    )
}
