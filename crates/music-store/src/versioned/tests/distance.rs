//! Nodes at different distances from the registers, that all want one key all
//! the time.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use music_core::id::RecordId;
use music_core::lock_queue::{Command, Outcome};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::register::{Node, Registers};
use crate::conformance::{enqueue, key, until_known};
use crate::versioned::{Failure, Queues, Register, Swapped, Version, Versioned};

/// A node whose requests take their time.
struct Far {
    node: Node,
    /// From the node to the registers.
    way: Duration,
}

impl Far {
    async fn travel(&self) {
        // Virtual time.
        let _elapsed = timeout(self.way, pending::<()>()).await;
    }
}

impl Register for Far {
    async fn read(&self, id: &RecordId) -> Result<Versioned, Failure> {
        self.travel().await;
        let read = self.node.read(id).await;
        self.travel().await;
        read
    }

    async fn swap(
        &self,
        id: &RecordId,
        version: Option<Version>,
        bytes: Bytes,
    ) -> Result<Swapped, Failure> {
        self.travel().await;
        let swapped = self.node.swap(id, version, bytes).await;
        self.travel().await;
        swapped
    }

    async fn follow(&self, id: &RecordId, changed: impl Fn(Versioned) + Send + Sync) -> Failure {
        self.node.follow(id, changed).await
    }
}

/// Has one section after the other, and counts them.
async fn sections(queues: Queues<Far>, name: u128, count: Arc<AtomicUsize>) {
    for request in 0.. {
        let enqueued = until_known(&queues, &key("key"), enqueue(name + request)).await;
        let Outcome::Done(holding) = enqueued.outcome else {
            panic!("{enqueued:?}")
        };
        until_known(&queues, &key("key"), Command::Confirm(holding)).await;
        count.fetch_add(1, SeqCst);
    }
}

/// How many sections the nodes of these round trips, in milliseconds, have in
/// a minute, each with several clients.
async fn shares(rtts: &[u64]) -> Vec<usize> {
    let registers = Registers::default();
    let mut clients = JoinSet::new();
    let mut counts = Vec::new();
    for (number, rtt) in rtts.iter().enumerate() {
        let way = Duration::from_micros(rtt * 500);
        let node = registers.node();
        let queues = Queues::new(Far { node, way }, Duration::from_secs(5));
        let count = Arc::new(AtomicUsize::new(0));
        for client in 0..4 {
            let name = (number as u128 * 4 + client) << 64;
            clients.spawn(sections(queues.clone(), name, Arc::clone(&count)));
        }
        counts.push(count);
    }
    let _elapsed = timeout(Duration::from_mins(1), pending::<()>()).await;
    clients.shutdown().await;
    counts.iter().map(|count| count.load(SeqCst)).collect()
}

/// The nearest could write hundreds of times in the time that the farthest
/// needs to write once.
#[tokio::test(start_paused = true)]
async fn nodes_that_never_rest_do_not_starve_the_farthest() {
    let distances: [&[u64]; 4] = [&[1, 150], &[1, 30, 70], &[1, 30, 300], &[50, 60, 70]];
    for rtts in distances {
        let shares = shares(rtts).await;
        println!("{rtts:?} ms: {shares:?} sections in a minute");
        assert!(
            shares.iter().all(|share| *share >= 10),
            "{rtts:?} {shares:?}"
        );
    }
}
