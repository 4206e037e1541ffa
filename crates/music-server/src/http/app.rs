//! What handlers share.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use music_api::code::Code;
use music_client::Client;
use music_core::id::RequestId;
use music_core::time::Lease;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::http::metrics::Metrics;
use crate::http::own::OwnNode;
use crate::http::problem::{self, Failure};
use crate::http::repeat::Repeats;
use crate::node::{self, Node};
use crate::topology::Topology;

/// A node as its handlers see it.
pub(crate) struct App {
    /// The protocol's side.
    pub(crate) node: Node,
    /// Its settings.
    pub(crate) config: Arc<Config>,
    /// The engine's sites and links, where the engine is one of this process.
    pub(crate) topology: Option<Topology>,
    /// Counts and times of requests.
    pub(crate) metrics: Metrics,
    /// The requests that clients may make again.
    pub(crate) repeats: Repeats,
    /// The node's own client, which its recipes use.
    pub(crate) client: Client,
    /// The node stops: waits and streams end.
    pub(crate) stopping: CancellationToken,
    /// The node is dead: whatever runs for a client ends at once.
    pub(crate) killed: CancellationToken,
    /// Work that goes on when its client has left.
    pub(crate) tasks: TaskTracker,
    watchers: Arc<Semaphore>,
}

impl App {
    /// Puts the parts together, with the way to the node that they will be.
    pub(crate) fn new(
        node: Node,
        config: Arc<Config>,
        topology: Option<Topology>,
    ) -> Result<(Arc<Self>, Arc<OwnNode>), music_client::Error> {
        let killed = CancellationToken::new();
        let own = OwnNode::new(killed.clone());
        let client = own.client(&config)?;
        let watchers = Arc::new(Semaphore::new(config.limits.watchers_max));
        let app = Self {
            node,
            topology,
            metrics: Metrics::new(),
            repeats: Repeats::new(),
            client,
            stopping: CancellationToken::new(),
            killed,
            tasks: TaskTracker::new(),
            watchers,
            config,
        };
        Ok((Arc::new(app), own))
    }

    /// A place among the event streams.
    pub(crate) fn watcher(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let place = Arc::clone(&self.watchers).try_acquire_owned();
        place
            .ok()
            .ok_or_else(|| problem::overloaded("event streams"))
    }

    /// How many event streams there are.
    pub(crate) fn watchers(&self) -> usize {
        self.config
            .limits
            .watchers_max
            .saturating_sub(self.watchers.available_permits())
    }

    /// The wait that a client asks for, within bounds.
    pub(crate) fn wait(&self, wait_ms: Option<u64>) -> Result<Duration, Failure> {
        let wait = Duration::from_millis(wait_ms.unwrap_or(0));
        let max = self.config.limits.wait_max;
        if wait > max {
            let max = max.as_millis();
            return Err(Failure::new(
                Code::OutOfRange,
                format!("`wait_ms` is 0 to {max}. To wait longer, acquire again."),
            ));
        }
        Ok(wait)
    }

    /// The lease that a client asks for, within bounds.
    pub(crate) fn lease(&self, lease_ms: Option<u64>) -> Result<Lease, Failure> {
        let cluster = &self.config.cluster;
        let Some(lease_ms) = lease_ms else {
            return Ok(cluster.client_lease_default);
        };
        let lease = Lease::new(Duration::from_millis(lease_ms));
        lease
            .filter(|lease| *lease <= cluster.client_lease_max)
            .ok_or_else(|| {
                let low = Lease::MIN.get().as_millis();
                let high = cluster.client_lease_max.get().as_millis();
                Failure::new(Code::OutOfRange, format!("`lease_ms` is {low} to {high}."))
            })
    }

    /// Waits for `work`, and tells the node meanwhile that the client lives:
    /// its connection is open.
    pub(crate) async fn hear<T>(
        &self,
        request: RequestId,
        lease: Lease,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        let mut beat = tokio::time::interval(lease.renewal_interval());
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                // Before the section exists there is nothing to renew, and a
                // lost one is told by `work` itself.
                _ = beat.tick() => drop(self.node.renew(request)),
            }
        }
    }

    /// The same for a wait for the grant, which ends early where the node
    /// stops: nothing was written, and what is queued is released.
    pub(crate) async fn hear_wait<T>(
        &self,
        request: RequestId,
        lease: Lease,
        wait: impl Future<Output = Result<T, node::Error>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            biased;
            done = self.hear(request, lease, wait) => done.map_err(Failure::from),
            () = self.stopping.cancelled() => Err(problem::shutting_down()),
        }
    }
}
