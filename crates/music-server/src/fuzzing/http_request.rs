//! Requests at a node, past the part of a connection that reads HTTP itself:
//! that part is not ours.

use std::cell::LazyCell;
use std::sync::Arc;
use std::time::Duration;

use music_store::engine::{LockEngine, StateEngine};
use music_store::memory::{Memory, Propagation};
use tokio::runtime::Runtime;

use super::judge::Answer;
use super::script;
use crate::config::{Config, Overrides};
use crate::http::app::App;
use crate::http::front::Front;
use crate::node;
use crate::serve;
use crate::topology::Topology;

/// Low limits are soon reached; leases do not end, for then two runs of one
/// input would differ.
const CONFIG: &str = "
site = 'a'
tables = [{ name = 'kv', mode = 'eventual' }, { name = 'locks', mode = 'critical' }]
[cluster]
node_lease_ms = 86400000
value_bytes_max = 1024
[limits]
body_bytes_max = 4096
sections_max = 4
wait_max_ms = 2
watchers_max = 1
";

/// How long a node may take until it keeps sections.
const READY: Duration = Duration::from_secs(10);

thread_local! {
    static WORLD: LazyCell<Option<World>> = LazyCell::new(World::start);
}

/// Sends requests to a new node, one after the other: each is answered, as
/// clients rely on, and no answer says that the node failed.
///
/// # Panics
/// Where an answer is another.
pub fn http_request(bytes: &[u8]) {
    WORLD.with(|world| {
        assert!(world.is_some(), "the engine does not open");
        if let Some(world) = &**world {
            world.runtime.block_on(world.send(bytes));
        }
    });
}

/// What all nodes of a thread share.
struct World {
    runtime: Runtime,
    config: Arc<Config>,
    /// Only told of by `/v1/status`: the nodes have a lighter engine.
    topology: Topology,
}

impl World {
    fn start() -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .ok()?;
        let config = Config::parse(CONFIG, |_| None, &Overrides::default()).ok()?;
        let topology = runtime.block_on(Topology::open(&config.engine)).ok()?;
        Some(Self {
            runtime,
            config: Arc::new(config),
            topology,
        })
    }

    async fn send(&self, bytes: &[u8]) {
        let node = self.node().await;
        assert!(node.is_some(), "the node does not start");
        let Some((app, front)) = node else { return };
        let mut lock = None;
        for part in script::parts(bytes) {
            let Some(request) = script::request(part, lock.as_deref()) else {
                continue;
            };
            let method = request.method().clone();
            let answer = Answer::read(Arc::clone(&front).answer(request).await).await;
            answer.judge(&method);
            lock = answer.lock_ref().or(lock);
        }
        app.killed.cancel();
        app.node.kill();
    }

    /// A node that remembers nothing, so that an input is the same each time.
    async fn node(&self) -> Option<(Arc<App>, Arc<Front>)> {
        let site = Memory::new(1, Propagation::Immediate).site(0)?;
        let ports = (StateEngine::from(site.clone()), LockEngine::from(site));
        let config = Arc::clone(&self.config);
        let engine = (Some(self.topology.clone()), ports);
        let node = serve::assemble(config, node::World::of_the_machine(), engine).await;
        let (app, front) = node.ok()?;
        app.node.ready(READY).await.then_some((app, front))
    }
}
