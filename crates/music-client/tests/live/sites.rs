//! A deployment of three sites, and clients at each: of this process, or on
//! real engines.

use std::num::NonZeroU32;
use std::time::Duration;

use music_client::api::queue::Queue;
use music_client::{Client, CriticalSection, Options, RetryPolicy, WatchEvent, WatchTarget};
use music_core::lock_ref::FencingToken;
use music_core::time::Lease;
use music_server::config::{Config, Overrides};
use music_server::dev::{Deployment, DevConfig};
use music_server::serve::NodeServer;
use music_store::fault::Faults;

/// The time after which a test has failed; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a node may go unheard.
const NODE_LEASE: Duration = Duration::from_millis(600);

/// The sites of the engines.
const SITES: [&str; 3] = ["ohio", "ncalifornia", "oregon"];

/// The table of the tests, critical.
pub(crate) const TABLE: &str = "locks";
/// The key of the tests.
pub(crate) const KEY: (&str, &str) = (TABLE, "k");

/// Three sites without delays.
pub(crate) struct Sites {
    running: Running,
    /// The names of the nodes.
    pub(crate) nodes: Vec<String>,
    /// The names of the sites.
    pub(crate) names: Vec<String>,
    /// The addresses of the nodes.
    pub(crate) urls: Vec<String>,
}

/// What runs at the sites.
enum Running {
    Dev(Deployment),
    Engines(Vec<(NodeServer, Faults)>),
}

impl Sites {
    /// Starts them: on the engines that `MUSIC_TEST_LOCKS` says, which run at
    /// the addresses of `cargo xtask engines`, or in memory.
    #[allow(clippy::disallowed_methods, reason = "a test is no library")]
    pub(crate) async fn start() -> Self {
        match std::env::var("MUSIC_TEST_LOCKS") {
            Ok(locks) => Self::on_engines(&locks).await,
            Err(_) => Self::in_memory().await,
        }
    }

    async fn on_engines(locks: &str) -> Self {
        let keyspace = format!("music_client_{}", uuid::Uuid::new_v4().simple());
        let mut nodes = Vec::new();
        for site in 0..SITES.len() {
            let config = engines_config(locks, site, &keyspace);
            if site == 0 {
                music_server::engine::init(&config).await.unwrap();
            }
            let faults = Faults::default();
            let node = NodeServer::open_faulty(config, &faults).await.unwrap();
            nodes.push((node, faults));
        }
        Self {
            nodes: nodes
                .iter()
                .map(|(node, _)| node.name().to_owned())
                .collect(),
            names: SITES.map(str::to_owned).to_vec(),
            urls: nodes
                .iter()
                .map(|(node, _)| format!("http://{}", node.address()))
                .collect(),
            running: Running::Engines(nodes),
        }
    }

    /// What does harm to nodes and links of this process.
    pub(crate) fn deployment(&self) -> &Deployment {
        match &self.running {
            Running::Dev(deployment) => deployment,
            Running::Engines(_) => panic!("this test is one of sites in memory"),
        }
    }

    /// Stops a node where it is, or lets it go on.
    pub(crate) fn set_suspended(&self, node: usize, suspended: bool) {
        match (&self.running, suspended) {
            (Running::Dev(dev), true) => dev.suspend(&self.nodes[node]).unwrap(),
            (Running::Dev(dev), false) => dev.resume(&self.nodes[node]).unwrap(),
            (Running::Engines(nodes), true) => nodes[node].0.node().suspend(),
            (Running::Engines(nodes), false) => nodes[node].0.node().resume(),
        }
    }

    /// Cuts a site off from all others, or connects it again: on real engines,
    /// its node from the engines.
    pub(crate) fn set_cut(&self, site: usize, cut: bool) {
        match &self.running {
            Running::Dev(dev) => dev.set_site_cut(&self.names[site], cut).unwrap(),
            Running::Engines(nodes) => nodes[site].1.set_cut_off(cut),
        }
    }

    /// Ends a node at once.
    pub(crate) async fn kill(&self, node: usize) {
        match &self.running {
            Running::Dev(dev) => dev.kill(&self.nodes[node]).await.unwrap(),
            Running::Engines(nodes) => nodes[node].0.kill().await,
        }
    }

    async fn in_memory() -> Self {
        let config = DevConfig {
            base_port: 0,
            node_lease: Lease::new(NODE_LEASE),
            ..DevConfig::new("local3")
        };
        Self::of(config).await
    }

    /// Sites in memory whose engine's calls are counted. Nodes prove life so
    /// seldom that they do not in a test.
    pub(crate) async fn counted(faults: &Faults) -> Self {
        let config = DevConfig {
            base_port: 0,
            node_lease: Lease::new(Duration::from_mins(5)),
            faults: Some(faults.clone()),
            ..DevConfig::new("local3")
        };
        Self::of(config).await
    }

    async fn of(config: DevConfig) -> Self {
        let deployment = Deployment::start(config).await.unwrap();
        let nodes = deployment.nodes();
        Self {
            nodes: nodes.iter().map(|node| node.name.clone()).collect(),
            names: nodes.iter().map(|node| node.site.clone()).collect(),
            urls: nodes.iter().map(|node| node.url.clone()).collect(),
            running: Running::Dev(deployment),
        }
    }

    /// A client of these nodes, in this order.
    pub(crate) fn client(&self, nodes: &[usize]) -> Client {
        client(nodes.iter().map(|node| self.urls[*node].clone()))
    }

    /// Waits until the queue of the key is as it should be.
    pub(crate) async fn queue(&self, node: usize, done: impl Fn(&Queue) -> bool) -> Queue {
        let mut watch = self.client(&[node]).watch(&WatchTarget::Queue(KEY.into()));
        loop {
            match soon(watch.next()).await.unwrap() {
                WatchEvent::Queue(queue) if done(&queue) => return queue,
                _ => {}
            }
        }
    }

    /// Waits until that many tickets are in the queue of the key.
    pub(crate) async fn tickets(&self, node: usize, count: u64) {
        self.queue(node, |queue| queue.length == count).await;
    }
}

/// The settings of a node on real engines: those of the example of
/// deployments, with addresses of the tests' servers.
fn engines_config(locks: &str, site: usize, keyspace: &str) -> Config {
    let servers = |scheme: &str, port: u16| {
        let mut numbers = [31, 32, 33];
        numbers.rotate_left(site);
        numbers
            .map(|number| format!("{scheme}127.0.0.{number}:{port}"))
            .join(",")
    };
    let node = format!("{}-1", SITES[site]);
    let own = |name: &str| {
        Some(match name {
            "MUSIC_NODE" => node.clone(),
            "MUSIC_SITE" => SITES[site].to_owned(),
            "MUSIC_LISTEN" => "127.0.0.1:0".to_owned(),
            "MUSIC_CLUSTER_NODE_LEASE_MS" => "2000".to_owned(),
            "MUSIC_ENGINE_LOCKS" => locks.to_owned(),
            "MUSIC_CASSANDRA_CONTACT_POINTS" => servers("", 9042),
            "MUSIC_CASSANDRA_KEYSPACE" => keyspace.to_owned(),
            "MUSIC_CASSANDRA_CALL_TIMEOUT_MS" => "30000".to_owned(),
            "MUSIC_ETCD_ENDPOINTS" => servers("http://", 2379),
            "MUSIC_ETCD_PREFIX" => format!("{keyspace}/"),
            _ => return None,
        })
    };
    let text = include_str!("../../../../deploy/cassandra-etcd.toml");
    Config::parse(text, own, &Overrides::default()).unwrap()
}

/// A client of these addresses, whose leases are short.
pub(crate) fn client(urls: impl IntoIterator<Item = String>) -> Client {
    client_with_lease(urls, Duration::from_secs(2))
}

/// How often a request is tried: often on real engines, which share the
/// machine with all the tests and may be slow for a while.
#[allow(clippy::disallowed_methods, reason = "a test is no library")]
fn attempts() -> NonZeroU32 {
    let usual = RetryPolicy::default().attempts;
    match std::env::var("MUSIC_TEST_LOCKS") {
        Ok(_) => usual.saturating_add(30),
        Err(_) => usual,
    }
}

/// A client of these addresses with that lease.
pub(crate) fn client_with_lease(urls: impl IntoIterator<Item = String>, lease: Duration) -> Client {
    let retry = RetryPolicy {
        attempts: attempts(),
        pause_min: Duration::from_millis(2),
        pause_max: Duration::from_millis(50),
    };
    let options = Options {
        lease,
        retry,
        ..Options::default()
    };
    Client::new(urls, options).unwrap()
}

/// The number of the ticket that a section with this fencing token has.
pub(crate) fn ticket_of(token: u64) -> u64 {
    FencingToken::from_number(token).lock_ref().get()
}

/// The section of the key.
pub(crate) async fn section(client: &Client) -> CriticalSection {
    soon(client.lock([KEY]).acquire()).await.unwrap()
}

/// The text that a later section at that node reads.
pub(crate) async fn read(sites: &Sites, node: usize) -> Option<String> {
    let client = sites.client(&[node]);
    let section = section(&client).await;
    let stored = soon(section.get(KEY)).await.unwrap();
    section.release().await.unwrap();
    stored.map(|stored| stored.content.text().unwrap().to_owned())
}

/// Waits for something that has to happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, Box::pin(what))
        .await
        .expect("it has to happen soon")
}
