//! Three sites: records in memory, queues in a real service.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use music_core::id::RecordId;
use music_core::lock_ref::LockRef;
use music_store::conformance::Harness;
use music_store::conformance::halves::Halves;
use music_store::memory::{Memory, MemorySite, Propagation};
use music_store::{Error, LockStore};

/// Where `cargo xtask engines start` puts the nodes of every server.
pub(crate) const HOSTS: [&str; 3] = ["127.0.0.31", "127.0.0.32", "127.0.0.33"];

/// A lock store that can be advanced.
pub(crate) trait Advance: LockStore {
    fn advance(
        &self,
        id: &RecordId,
        lock_ref: LockRef,
    ) -> impl Future<Output = Result<(), Error>> + Send;
}

pub(crate) struct Deployment<L> {
    state: Memory,
    locks: Vec<L>,
}

impl<L: Advance> Deployment<L> {
    pub(crate) fn new(locks: Vec<L>) -> Self {
        let state = Memory::new(locks.len(), Propagation::Immediate);
        Self { state, locks }
    }
}

impl<L: Advance> Harness for Deployment<L> {
    type Store = Halves<MemorySite, L>;

    fn sites(&self) -> Vec<Self::Store> {
        let site = |(index, locks): (usize, &L)| Halves {
            state: self.state.site(index).unwrap(),
            locks: locks.clone(),
        };
        self.locks.iter().enumerate().map(site).collect()
    }

    async fn settled(&self) {
        self.state.propagate();
    }

    async fn advance(&self, id: &RecordId, lock_ref: LockRef) -> bool {
        self.locks[0].advance(id, lock_ref).await.unwrap();
        true
    }
}

/// A name that no test had before: the servers keep their data.
pub(crate) fn fresh_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("test-{:x}-{count}", now.unwrap().as_nanos())
}

/// The hosts with their ports, that of one site first.
pub(crate) fn endpoints(site: usize, scheme: &str, port: u16) -> Vec<String> {
    let mut hosts = HOSTS;
    hosts.rotate_left(site);
    let endpoint = |host| format!("{scheme}{host}:{port}");
    hosts.into_iter().map(endpoint).collect()
}
