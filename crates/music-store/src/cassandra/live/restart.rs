//! A node of Cassandra that dies under load, and comes back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::nodes::Nodes;
use super::*;
use crate::conformance::{enqueue, id, put};
use crate::error::Needed;
use crate::table::SYSTEM_TABLE;
use music_core::lock_queue::Outcome;

/// The site whose node dies.
const DEAD: usize = 1;
/// What a call may take in this test; one that takes several times as long
/// does not end.
const CALL_TIME: Duration = Duration::from_secs(5);

/// A client that puts one number after the other into its key, each in a
/// critical section.
struct Client {
    site: Cassandra,
    key: RecordId,
    /// The sections that ended well, by all clients of a site.
    done: Arc<AtomicU64>,
    stop: CancellationToken,
}

impl Client {
    /// Runs until it is told to stop; returns the last number that was
    /// acknowledged, and how many calls failed.
    async fn run(self) -> (u64, u32) {
        let (mut acknowledged, mut failed) = (0, 0);
        for number in 1.. {
            if self.stop.is_cancelled() {
                break;
            }
            match self.section(number).await {
                Ok(()) => {
                    acknowledged = number;
                    self.done.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    failed += 1;
                }
            }
        }
        (acknowledged, failed)
    }

    async fn section(&self, number: u64) -> Result<(), Error> {
        let (site, key) = (&self.site, &self.key);
        let applied = in_time(site.apply(key, enqueue(number.into()))).await?;
        let Outcome::Done(holding) = applied.outcome else {
            panic!("{:?}", applied.outcome);
        };
        in_time(site.write(key, put(number, number.to_string()), Level::Majority)).await?;
        // What is in the way is this client's own: tickets of calls that
        // failed.
        let released = in_time(site.release(key, holding)).await;
        if let Err(error) = released {
            tracing::debug!(%error, "a ticket stays until the next release");
        }
        Ok(())
    }
}

async fn in_time<T>(call: impl Future<Output = T>) -> T {
    let answer = timeout(CALL_TIME * 4, call).await;
    answer.expect("a call ends by its deadline")
}

/// Waits until all these sites have ended so many sections more.
async fn progress(done: &[Arc<AtomicU64>], sections: u64) {
    let count = |done: &Arc<AtomicU64>| done.load(Ordering::Relaxed);
    let before: Vec<u64> = done.iter().map(count).collect();
    until("sections end", async || {
        let now = done.iter().map(count);
        now.zip(&before)
            .all(|(now, before)| now >= before + sections)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_a_node_dies_under_load() {
    let change = |config: &mut Config| {
        config.request_time = CALL_TIME / 2;
        config.call_time = CALL_TIME;
    };
    let Some(nodes) = Nodes::alone().await else {
        return;
    };
    let deployment = Deployment::open_alone(change).await;
    let stop = CancellationToken::new();
    let mut clients = JoinSet::new();
    let mut done = Vec::new();
    for (number, site) in deployment.sites.iter().enumerate() {
        let counter = Arc::new(AtomicU64::new(0));
        for client in 0..3 {
            let client = Client {
                site: site.clone(),
                key: id(SYSTEM_TABLE, format!("{number} {client}")),
                done: Arc::clone(&counter),
                stop: stop.clone(),
            };
            let key = client.key.clone();
            clients.spawn(async move { (key, client.run().await) });
        }
        done.push(counter);
    }
    progress(&done, 30).await;

    nodes.kill(&[DEAD]);
    // The others go on, and so does the node's own site, by the others.
    progress(&done, 30).await;
    let dead = &deployment.sites[DEAD];
    let local = dead.read(&id(SYSTEM_TABLE, "0 0"), Level::Local).await;
    let Err(Error::Unavailable { needed, .. }) = local else {
        panic!("{local:?}");
    };
    assert_eq!(needed, Needed::Local);
    let mut config = config(dead.inner.cql.keyspace(), &datacentres()[DEAD]);
    config.request_time = CALL_TIME / 2;
    let late = Cassandra::connect(config).await.unwrap();

    nodes.start();
    progress(&done, 30).await;
    stop.cancel();
    let mut last = BTreeMap::new();
    for (key, (acknowledged, failed)) in clients.join_all().await {
        eprintln!("{key:?}: {acknowledged} sections, {failed} calls failed");
        last.insert(key, acknowledged);
    }
    for site in deployment.sites.iter().chain([&late]) {
        for (key, acknowledged) in &last {
            let found = value(site, key, Level::Majority).await;
            assert!(
                found.parse::<u64>().unwrap() >= *acknowledged,
                "{key:?}: {found}"
            );
        }
    }
    for site in [dead, &late] {
        until("the site has its replica again", async || {
            site.read(&id(SYSTEM_TABLE, "0 0"), Level::Local)
                .await
                .is_ok()
        })
        .await;
    }
}
