//! Three sites in memory, and nodes on them.

use std::time::Duration;

use bytes::Bytes;
use music_core::id::{Field, Key, Moves, RecordId};
use music_core::lock_queue::Mode;
use music_core::time::Lease;
use music_server::node::{Affinity, Change, Node, NodeConfig, SectionRef, World, request_id};
use music_store::embedded::{Direction, Engine, Options, Place, Profile};
use music_store::engine::{LockEngine, StateEngine};
use music_store::{StateStore as _, TableMode, TableName};

pub(crate) const LONG: Duration = Duration::from_secs(20);

pub(crate) struct Deployment {
    pub(crate) engine: Engine,
    pub(crate) critical: RecordId,
    pub(crate) other: RecordId,
    pub(crate) eventual: RecordId,
}

impl Deployment {
    pub(crate) async fn new() -> Self {
        let profile = Profile::uniform(3, Duration::ZERO).unwrap();
        let engine = Engine::open(&Place::Memory, &profile, Options::default()).unwrap();
        let site = engine.site(&engine.sites()[0]).unwrap();
        let mut tables = Vec::new();
        for (name, mode) in [("locks", TableMode::Critical), ("kv", TableMode::Eventual)] {
            let name = TableName::new(name).unwrap();
            tables.push(site.create_table(&name, mode).await.unwrap().id);
        }
        let id = |table: usize, key: &'static str| RecordId {
            table: tables[table],
            key: Key::new(key).unwrap(),
        };
        Self {
            engine,
            critical: id(0, "a"),
            other: id(0, "b"),
            eventual: id(1, "a"),
        }
    }

    pub(crate) async fn node(&self, site: usize, lease_ms: u64) -> Node {
        self.node_with(site, lease_ms, Affinity::default()).await
    }

    pub(crate) async fn node_with(&self, site: usize, lease_ms: u64, affinity: Affinity) -> Node {
        let site = self.engine.site(&self.engine.sites()[site]).unwrap();
        let config = NodeConfig {
            lease: lease(lease_ms),
            affinity,
            ..NodeConfig::default()
        };
        let node = Node::start(
            config,
            World::of_the_machine(),
            (
                StateEngine::Embedded(site.clone()),
                LockEngine::Embedded(site),
            ),
        );
        assert!(node.ready(LONG).await);
        node
    }

    pub(crate) fn cut_off(&self, site: usize) {
        let sites = self.engine.sites();
        for other in sites.iter().filter(|other| **other != sites[site]) {
            self.engine
                .cut(&sites[site], other, Direction::Both)
                .unwrap();
        }
    }

    pub(crate) fn heal(&self, site: usize) {
        let sites = self.engine.sites();
        for other in sites.iter().filter(|other| **other != sites[site]) {
            self.engine
                .heal(&sites[site], other, Direction::Both)
                .unwrap();
        }
    }
}

pub(crate) fn lease(ms: u64) -> Lease {
    Lease::new(Duration::from_millis(ms)).unwrap()
}

pub(crate) fn section(keys: &[&RecordId]) -> SectionRef {
    SectionRef {
        request: request_id(),
        keys: keys.iter().copied().cloned().collect(),
        mode: Mode::Exclusive,
        lease: lease(60_000),
        moves: Moves::default(),
    }
}

pub(crate) fn value(text: &'static str) -> Change {
    Change::Fields(vec![(Field::DEFAULT, Some(Bytes::from(text)))])
}

pub(crate) fn text(record: &music_core::record::Record) -> Option<&[u8]> {
    record.value(&Field::DEFAULT).map(|bytes| &bytes[..])
}
