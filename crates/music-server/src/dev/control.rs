//! What the controls do.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use music_api::status::{DevNode, DevStatus, NodeState};
use music_store::embedded::{Direction, NoSuchSite};
use music_store::fault::Faults;

use crate::config::{Config, Limits};
use crate::http::app::App;
use crate::serve::{self, NodeServer};
use crate::topology::{Embedded, Topology};

/// The longest round trip that a link can be given.
pub(super) const RTT_MAX: Duration = Duration::from_mins(1);

/// Why a control did nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The deployment has no such node.
    #[error("there is no node {0}")]
    NoSuchNode(String),
    /// The deployment has no such site.
    #[error(transparent)]
    NoSuchSite(#[from] NoSuchSite),
    /// A link is between two sites.
    #[error("a link is between two sites, not from {0} to itself")]
    SameSite(String),
    /// The node does not run.
    #[error("the node {0} does not run: start it first")]
    NotRunning(String),
    /// The node runs.
    #[error("the node {0} runs already")]
    Running(String),
    /// The node does not start.
    #[error(transparent)]
    Serve(#[from] serve::Error),
}

/// A node, running or not.
struct Place {
    config: Arc<Config>,
    /// Where it was told to listen, or got at its first start.
    address: SocketAddr,
    server: Option<Arc<NodeServer>>,
    /// Being started or killed: it is not to be touched meanwhile.
    busy: bool,
}

/// A deployment, for its controls.
pub(super) struct Control {
    engine: Embedded,
    /// What happens to the engine's calls.
    faults: Option<Faults>,
    profile: String,
    limits: Limits,
    places: Mutex<Vec<Place>>,
}

impl Control {
    pub(super) fn new(
        engine: Embedded,
        profile: String,
        limits: Limits,
        faults: Option<Faults>,
    ) -> Self {
        Self {
            engine,
            faults,
            profile,
            limits,
            places: Mutex::default(),
        }
    }

    pub(super) fn engine(&self) -> &Embedded {
        &self.engine
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Adds a node and starts it.
    pub(super) async fn add(&self, config: Config) -> Result<(), serve::Error> {
        let config = Arc::new(config);
        let server = self.serve(Arc::clone(&config)).await?;
        let place = Place {
            config,
            address: server.address(),
            server: Some(Arc::new(server)),
            busy: false,
        };
        self.places().push(place);
        Ok(())
    }

    async fn serve(&self, config: Arc<Config>) -> Result<NodeServer, serve::Error> {
        let topology = Topology::Embedded(self.engine.clone());
        NodeServer::start(config, topology, self.faults.as_ref()).await
    }

    fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        node: &str,
        control: impl FnOnce(&mut Place) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut places = self.places();
        let place = places.iter_mut().find(|place| place.config.node == node);
        control(place.ok_or_else(|| Error::NoSuchNode(node.to_owned()))?)
    }

    pub(super) fn nodes(&self) -> Vec<DevNode> {
        let places = self.places();
        let node = |place: &Place| DevNode {
            name: place.config.node.clone(),
            site: place.config.site.clone(),
            url: format!("http://{}", place.address),
            state: match &place.server {
                None => NodeState::Stopped,
                Some(server) if server.node().is_suspended() => NodeState::Suspended,
                Some(_) => NodeState::Running,
            },
        };
        places.iter().map(node).collect()
    }

    pub(super) fn status(&self) -> DevStatus {
        DevStatus {
            profile: self.profile.clone(),
            nodes: self.nodes(),
            sites: self.engine.sites(),
            links: self.engine.links(),
        }
    }

    /// The nodes that answer, to ask about queues.
    pub(super) fn running(&self) -> Vec<Arc<App>> {
        let places = self.places();
        let servers = places.iter().filter_map(|place| place.server.as_ref());
        let running = servers.filter(|server| !server.node().is_suspended());
        running.map(|server| Arc::clone(server.app())).collect()
    }

    pub(super) fn set_suspended(&self, node: &str, suspended: bool) -> Result<(), Error> {
        self.with(node, |place| {
            let server = place.server.as_ref();
            let server = server.ok_or_else(|| Error::NotRunning(node.to_owned()))?;
            if suspended {
                server.node().suspend();
            } else {
                server.node().resume();
            }
            Ok(())
        })
    }

    pub(super) async fn kill(&self, node: &str) -> Result<(), Error> {
        let server = self.with(node, |place| {
            let server = place.server.take().filter(|_| !place.busy);
            place.busy = server.is_some();
            server.ok_or_else(|| Error::NotRunning(node.to_owned()))
        })?;
        let _idle = Idle {
            control: self,
            node,
        };
        server.kill().await;
        Ok(())
    }

    pub(super) async fn start(&self, node: &str) -> Result<(), Error> {
        let config = self.with(node, |place| {
            if place.server.is_some() || place.busy {
                return Err(Error::Running(node.to_owned()));
            }
            place.busy = true;
            Ok(Config {
                listen: place.address,
                ..(*place.config).clone()
            })
        })?;
        let _idle = Idle {
            control: self,
            node,
        };
        let server = self.serve(Arc::new(config)).await?;
        self.with(node, |place| {
            place.server = Some(Arc::new(server));
            Ok(())
        })
    }

    pub(super) fn set_link(
        &self,
        (a, b): (&str, &str),
        oneway: bool,
        cut: bool,
    ) -> Result<(), Error> {
        different(a, b)?;
        let direction = if oneway {
            Direction::OneWay
        } else {
            Direction::Both
        };
        Ok(self.engine.set_cut((a, b), direction, cut)?)
    }

    pub(super) fn set_rtt(&self, a: &str, b: &str, rtt: Duration) -> Result<(), Error> {
        different(a, b)?;
        Ok(self.engine.set_rtt(a, b, rtt)?)
    }

    pub(super) fn set_site_cut(&self, site: &str, cut: bool) -> Result<(), Error> {
        Ok(self.engine.set_site_cut(site, cut)?)
    }

    pub(super) fn set_site_running(&self, site: &str, running: bool) -> Result<(), Error> {
        Ok(self.engine.set_running(site, running)?)
    }

    /// Ends all nodes, each releasing what it holds.
    pub(super) async fn shutdown(&self) {
        let servers: Vec<_> = self
            .places()
            .iter_mut()
            .filter_map(|place| place.server.take())
            .collect();
        let ends = servers.iter().map(|server| server.shutdown());
        futures_util::future::join_all(ends).await;
    }
}

fn different(a: &str, b: &str) -> Result<(), Error> {
    if a == b {
        Err(Error::SameSite(a.to_owned()))
    } else {
        Ok(())
    }
}

/// Marks a node as free for controls again, whatever became of the last one.
struct Idle<'a> {
    control: &'a Control,
    node: &'a str,
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        let mut places = self.control.places();
        if let Some(place) = places
            .iter_mut()
            .find(|place| place.config.node == self.node)
        {
            place.busy = false;
        }
    }
}
