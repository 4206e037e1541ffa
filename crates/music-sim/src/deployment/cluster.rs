//! The nodes of a deployment, which start, stand still and die.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use music_history::workload::{CRITICAL, EVENTUAL};
use music_server::config::{Config, Overrides};
use music_server::node::World;
use music_server::simulated::SimulatedNode;
use music_store::simulated::Deployment;
use music_store::simulated::network::Network;
use tokio_util::sync::CancellationToken;

use super::peers::{Peers, Relayed};
use super::world;

/// By how much the rates of two nodes' clocks differ at most, from one: a
/// little less than the quarter that leases allow for.
const RATES: std::ops::RangeInclusive<f64> = 0.9..=1.1;

/// All nodes, and the replicas below them.
pub(super) struct Cluster {
    pub(super) deployment: Deployment,
    config: String,
    seed: u64,
    started: AtomicU64,
    slots: Mutex<Vec<Slot>>,
    pub(super) relayed: Relayed,
    /// For the nodes, which know each other by it.
    own: Weak<Self>,
}

/// A node's place.
struct Slot {
    site: usize,
    running: Option<Arc<Running>>,
}

/// A node while it lives.
pub(super) struct Running {
    pub(super) node: SimulatedNode,
    /// Cancelled when it dies.
    pub(super) dead: CancellationToken,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

/// A setting of the simulation that the server refuses.
#[derive(Debug, thiserror::Error)]
#[error("a simulated node does not start: {0}")]
pub struct StartError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Cluster {
    /// Places for `nodes_per_site` nodes at each site; none runs yet.
    pub(super) fn new(
        deployment: Deployment,
        sites: usize,
        nodes_per_site: usize,
        (seed, node_lease_ms): (u64, u64),
    ) -> Arc<Self> {
        let config = format!(
            "tables = [{{ name = '{CRITICAL}', mode = 'critical' }}, \
             {{ name = '{EVENTUAL}', mode = 'eventual' }}]\n\
             [cluster]\nnode_lease_ms = {node_lease_ms}\n"
        );
        let slot = |site| Slot {
            site,
            running: None,
        };
        let places = (0..nodes_per_site).flat_map(|_| (0..sites).map(slot));
        let slots = Mutex::new(places.collect());
        Arc::new_cyclic(|own| Self {
            deployment,
            config,
            seed,
            started: AtomicU64::new(0),
            slots,
            relayed: Relayed::default(),
            own: own.clone(),
        })
    }

    fn slots(&self) -> MutexGuard<'_, Vec<Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The network between the sites.
    pub(super) fn network(&self) -> &Network {
        self.deployment.network()
    }

    /// Whether a site is connected to another, or is that one.
    pub(super) fn reaches(&self, from: usize, to: usize) -> bool {
        from == to || self.network().connected(from, to)
    }

    /// A message passes, or never arrives.
    pub(super) async fn pass(&self, from: usize, to: usize) {
        match self.network().fates(from, to).first() {
            Some(delay) => world::sleep(*delay).await,
            None => std::future::pending().await,
        }
    }

    /// How many nodes there may be.
    pub(super) fn len(&self) -> usize {
        self.slots().len()
    }

    /// The site of a node.
    pub(super) fn site_of(&self, node: usize) -> Option<usize> {
        self.slots().get(node).map(|slot| slot.site)
    }

    /// The node at a place, if one lives there.
    pub(super) fn running(&self, node: usize) -> Option<Arc<Running>> {
        self.slots().get(node).and_then(|slot| slot.running.clone())
    }

    /// The addresses of all nodes, those of one site first.
    pub(super) fn addresses(&self, own: usize) -> Vec<String> {
        let slots = self.slots();
        let mut nodes: Vec<usize> = (0..slots.len()).collect();
        nodes.sort_by_key(|node| slots.get(*node).is_none_or(|slot| slot.site != own));
        nodes.iter().map(|node| format!("http://n{node}")).collect()
    }

    /// Starts the node of a place, if none lives there.
    ///
    /// # Errors
    /// Where it does not start, for a mistake in the simulation.
    pub(super) async fn start(&self, node: usize) -> Result<(), StartError> {
        let Some(site) = self.site_of(node) else {
            return Ok(());
        };
        if self.running(node).is_some() {
            return Ok(());
        }
        let life = self.started.fetch_add(1, Ordering::Relaxed);
        let text = format!(
            "node = 'n{node}'\nsite = 's{site}'\nadvertise = 'n{node}:80'\n{}",
            self.config
        );
        let config = Config::parse(&text, |_| None, &Overrides::default());
        let config = config.map_err(|error| StartError(error.into()))?;
        let share = f64::from(u16::try_from(self.network().below(1000)).unwrap_or(0)) / 999.0;
        let rate = RATES.start() + (RATES.end() - RATES.start()) * share;
        // Started again, a node finds the wall clock as it would have been.
        let wall_us = music_client::simulation::wall_us();
        let dead = CancellationToken::new();
        let peers = Arc::new(Peers::new(self.own.clone(), site, dead.clone()));
        let world = World::simulated(self.seed ^ (life << 32), rate, wall_us, Some(peers));
        let started = SimulatedNode::start(config, world, self.deployment.site(site)).await;
        let running = Arc::new(Running {
            node: started.map_err(|error| StartError(error.into()))?,
            dead,
        });
        if let Some(slot) = self.slots().get_mut(node) {
            slot.running = Some(running);
        }
        Ok(())
    }

    /// Ends a node at once. Whether one lived there.
    pub(super) fn kill(&self, node: usize) -> bool {
        let running = self
            .slots()
            .get_mut(node)
            .and_then(|slot| slot.running.take());
        let Some(running) = running else {
            return false;
        };
        running.dead.cancel();
        running.node.kill();
        true
    }
}
