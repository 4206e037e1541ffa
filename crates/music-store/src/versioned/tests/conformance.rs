//! The suite that every engine passes, with and without lost answers.

use std::time::Duration;

use music_core::id::RecordId;
use music_core::lock_ref::LockRef;

use super::register::{Fault, Node, Registers};
use crate::conformance::Harness;
use crate::conformance::halves::Halves;
use crate::memory::{Memory, MemorySite, Propagation};
use crate::versioned::Queues;

struct Deployment {
    state: Memory,
    nodes: Vec<Node>,
    queues: Vec<Queues<Node>>,
    waiters: usize,
}

impl Deployment {
    fn open() -> Self {
        let registers = Registers::default();
        let nodes: Vec<Node> = (0..3).map(|_| registers.node()).collect();
        let patience = Duration::from_secs(2);
        let queues = nodes.iter().map(|node| Queues::new(node.clone(), patience));
        Self {
            state: Memory::new(3, Propagation::Immediate),
            queues: queues.collect(),
            nodes,
            waiters: 10_000,
        }
    }

    fn faulty() -> Self {
        let mut deployment = Self::open();
        // All faults are over long before.
        deployment.waiters = 1_000;
        for node in &deployment.nodes {
            for _ in 0..50 {
                for fault in [Fault::LoseAnswer, Fault::Unreachable, Fault::Late] {
                    node.next(fault);
                    node.skip();
                }
            }
        }
        deployment
    }
}

impl Harness for Deployment {
    type Store = Halves<MemorySite, Queues<Node>>;

    fn sites(&self) -> Vec<Self::Store> {
        let site = |(index, locks): (usize, &Queues<Node>)| Halves {
            state: self.state.site(index).unwrap(),
            locks: locks.clone(),
        };
        self.queues.iter().enumerate().map(site).collect()
    }

    /// Late swaps land at the worst time: when all seems quiet.
    async fn settled(&self) {
        self.state.propagate();
        self.nodes.iter().for_each(Node::deliver);
    }

    fn set_isolated(&self, site: usize, isolated: bool) -> bool {
        self.state.set_isolated(site, isolated);
        self.nodes[site].isolate(isolated);
        true
    }

    async fn advance(&self, id: &RecordId, lock_ref: LockRef) -> bool {
        self.queues[0].advance(id, lock_ref).await.unwrap();
        true
    }

    /// The registers are as durable as the test; the connection is lost.
    async fn restart(&self, site: usize) -> bool {
        self.set_isolated(site, true);
        for _ in 0..site * 10 {
            tokio::task::yield_now().await;
        }
        self.set_isolated(site, false)
    }

    fn waiters(&self) -> usize {
        self.waiters
    }
}

mod in_memory {
    use super::*;

    crate::conformance_tests!(async { Deployment::open() });
}

mod with_faults {
    use super::*;

    crate::conformance_tests!(async { Deployment::faulty() });
}
