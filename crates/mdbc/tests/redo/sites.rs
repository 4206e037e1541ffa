//! A deployment of three sites, and logs at each.

use std::time::Duration;

use bytes::Bytes;
use mdbc::partition::{Partition, PartitionSet};
use mdbc::redo_log::{Access, Applied, Error, Footprint, LogOptions, RedoLog, Turn};
use mdbc::sites::SiteList;
use music_client::{Client, Options, RetryPolicy};
use music_core::time::Lease;
use music_server::dev::{Deployment, DevConfig};
use music_store::fault::Faults;

/// The time after which a test has failed; nothing waits for it to pass.
const DEADLINE: Duration = Duration::from_mins(3);

/// How long a node may go unheard, where some do.
const NODE_LEASE: Duration = Duration::from_secs(1);

/// How long a client may go unheard, where some do.
pub(crate) const LEASE: Duration = Duration::from_millis(1_500);

/// The lease of tests where nobody stops: on a busy machine it holds as well.
const LONG_LEASE: Duration = Duration::from_secs(30);

/// Three sites without delays.
pub(crate) struct Sites {
    pub(crate) deployment: Deployment,
    pub(crate) nodes: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) urls: Vec<String>,
}

impl Sites {
    pub(crate) async fn start() -> Self {
        Self::of(LONG_LEASE, None).await
    }

    /// Sites where nodes are taken for dead soon.
    pub(crate) async fn hasty() -> Self {
        Self::of(NODE_LEASE, None).await
    }

    /// Sites whose engine's calls are counted. Nodes prove life so seldom that
    /// they do not in a test.
    pub(crate) async fn counted(faults: &Faults) -> Self {
        Self::of(Duration::from_mins(5), Some(faults.clone())).await
    }

    async fn of(lease: Duration, faults: Option<Faults>) -> Self {
        let config = DevConfig {
            base_port: 0,
            node_lease: Lease::new(lease),
            faults,
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

    /// What a site's log is opened with.
    pub(crate) fn options(&self, site: usize) -> LogOptions {
        let list = SiteList::new(1, self.names.clone()).unwrap();
        LogOptions::new("bank", self.names[site].clone(), list)
    }

    /// The log of a site.
    pub(crate) async fn log(&self, site: usize) -> RedoLog {
        self.log_with(site, self.options(site)).await
    }

    pub(crate) async fn log_with(&self, site: usize, options: LogOptions) -> RedoLog {
        let client = client(&self.urls[site]);
        soon(RedoLog::open(client, options)).await.unwrap()
    }
}

/// A client of this address alone.
pub(crate) fn client(url: &str) -> Client {
    client_with(url, LONG_LEASE, Duration::from_secs(12))
}

/// A client that is taken for dead soon, and gives its requests up soon.
pub(crate) fn hasty_client(url: &str) -> Client {
    client_with(url, LEASE, Duration::from_secs(3))
}

/// A client with this lease, which waits that long for a majority.
pub(crate) fn client_with(url: &str, lease: Duration, majority_timeout: Duration) -> Client {
    let retry = RetryPolicy {
        pause_min: Duration::from_millis(2),
        pause_max: Duration::from_millis(50),
        ..RetryPolicy::default()
    };
    let options = Options {
        local_timeout: Duration::from_secs(1),
        majority_timeout,
        lease,
        retry,
        ..Options::default()
    };
    Client::new([url], options).unwrap()
}

pub(crate) fn partition(name: &str) -> Partition {
    Partition::of_table(name).unwrap()
}

pub(crate) fn set(names: &[&str]) -> PartitionSet {
    PartitionSet::new(names.iter().map(|name| partition(name))).unwrap()
}

/// What a transaction touches that changes all that it reads.
pub(crate) fn writes(names: &[&str]) -> Footprint {
    Footprint {
        writes: set(names),
        reads: [].into(),
    }
}

/// Becomes the owner, for a database that has applied that much, and notes what
/// it applies.
pub(crate) async fn own(
    log: &RedoLog,
    names: &[&str],
    applied: &mut Applied,
) -> Result<Turn, Error> {
    let turn = soon(log.turn(&set(names), Access::Write, applied, DEADLINE)).await?;
    for entry in turn.missed() {
        applied.advance(entry);
    }
    Ok(turn)
}

/// Appends an entry and waits for the acknowledgement.
pub(crate) async fn append(turn: &Turn, names: &[&str], digest: &str, applied: &mut Applied) {
    let digest = Bytes::copy_from_slice(digest.as_bytes());
    let ticket = soon(turn.append(&writes(names), digest)).await.unwrap();
    let places = ticket.places().to_vec();
    soon(ticket.acknowledged()).await.unwrap();
    for place in places {
        applied.set(place.partition, place.point);
    }
}

/// The digests of what a turn missed.
pub(crate) fn digests(turn: &Turn) -> Vec<String> {
    let text = |digest: &Bytes| String::from_utf8(digest.to_vec()).unwrap();
    turn.missed()
        .iter()
        .map(|entry| text(&entry.digest))
        .collect()
}

/// Waits for something that has to happen.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, Box::pin(what))
        .await
        .expect("it has to happen soon")
}
