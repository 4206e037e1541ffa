//! A deployment of three sites, and clients at each.

use std::time::Duration;

use music_client::api::queue::Queue;
use music_client::{Client, CriticalSection, Options, RetryPolicy, WatchEvent, WatchTarget};
use music_core::time::Lease;
use music_server::dev::{Deployment, DevConfig};

/// The time after which a test has failed; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_secs(30);

/// How long a node may go unheard.
const NODE_LEASE: Duration = Duration::from_millis(600);

/// The table of the tests, critical.
pub(crate) const TABLE: &str = "locks";
/// The key of the tests.
pub(crate) const KEY: (&str, &str) = (TABLE, "k");

/// Three sites without delays.
pub(crate) struct Sites {
    pub(crate) deployment: Deployment,
    /// The names of the nodes.
    pub(crate) nodes: Vec<String>,
    /// The names of the sites.
    pub(crate) names: Vec<String>,
    /// The addresses of the nodes.
    pub(crate) urls: Vec<String>,
}

impl Sites {
    /// Starts them, in memory, at any ports.
    pub(crate) async fn start() -> Self {
        let config = DevConfig {
            base_port: 0,
            node_lease: Lease::new(NODE_LEASE),
            ..DevConfig::new("local3")
        };
        let deployment = Deployment::start(config).await.unwrap();
        let nodes = deployment.nodes();
        Self {
            nodes: nodes.iter().map(|node| node.name.clone()).collect(),
            names: nodes.iter().map(|node| node.site.clone()).collect(),
            urls: nodes.iter().map(|node| node.url.clone()).collect(),
            deployment,
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

/// A client of these addresses, whose leases are short.
pub(crate) fn client(urls: impl IntoIterator<Item = String>) -> Client {
    client_with_lease(urls, Duration::from_secs(2))
}

/// A client of these addresses with that lease.
pub(crate) fn client_with_lease(urls: impl IntoIterator<Item = String>, lease: Duration) -> Client {
    let retry = RetryPolicy {
        pause_min: Duration::from_millis(2),
        pause_max: Duration::from_millis(50),
        ..RetryPolicy::default()
    };
    let options = Options {
        lease,
        retry,
        ..Options::default()
    };
    Client::new(urls, options).unwrap()
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
