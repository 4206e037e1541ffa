//! The engine against a real Cassandra of three data centres: that which
//! `cargo xtask engines start` starts, or another.
//!
//! `MUSIC_CASSANDRA` is the address of one of its nodes (127.0.0.31:9042), and
//! `MUSIC_CASSANDRA_DATACENTRES` are the names of three of its data centres
//! (ohio,ncalifornia,oregon). Each test has a keyspace of its own, and leaves
//! it: Cassandra 5.0 cannot compact what is left of transactions on tables
//! that were dropped, and logs an error for each attempt.

use std::collections::BTreeMap;

use scylla::statement::{Consistency, Statement};
use tokio::sync::{RwLock, RwLockReadGuard};

use super::*;
use crate::conformance::Harness;

mod contention;
mod coordinators;
mod cost;
mod faults;
mod hand_off;
mod nodes;
mod opening;
mod restart;
mod survey;
mod wear;

/// A setting of the environment.
fn setting(name: &str, otherwise: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}

/// The names of the data centres.
fn datacentres() -> Vec<String> {
    let names = setting("MUSIC_CASSANDRA_DATACENTRES", "ohio,ncalifornia,oregon");
    names.split(',').map(str::to_owned).collect()
}

/// The configuration of a site of a deployment that nobody else has.
fn config(keyspace: &Keyspace, datacentre: &str) -> Config {
    let address = setting("MUSIC_CASSANDRA", "127.0.0.31:9042");
    let replication: BTreeMap<String, u8> =
        datacentres().into_iter().map(|name| (name, 1)).collect();
    let mut config = Config::new(vec![address], keyspace.clone(), datacentre, replication);
    // The machine may be slow: many servers, few cores.
    config.request_time = Duration::from_secs(10);
    config.call_time = Duration::from_mins(1);
    // Nothing but what a test does is to be counted.
    config.refresh_interval = Duration::from_hours(1);
    config
}

/// A name that no other test has, in this run or another.
fn fresh_keyspace() -> Keyspace {
    Keyspace::new(format!("music_test_{:016x}", rand::random::<u64>())).unwrap()
}

/// Tests run beside each other and share the nodes, but for those that want
/// them alone.
static NODES: RwLock<()> = RwLock::const_new(());

/// A keyspace of its own, and a view of it at each site.
struct Deployment {
    sites: Vec<Cassandra>,
    _share: Option<RwLockReadGuard<'static, ()>>,
}

impl Deployment {
    async fn open() -> Self {
        let share = NODES.read().await;
        Self {
            _share: Some(share),
            ..Self::open_alone(|_| {}).await
        }
    }

    /// For a test that has the nodes alone.
    async fn open_alone(change: impl Fn(&mut Config)) -> Self {
        let keyspace = fresh_keyspace();
        let mut sites = Vec::new();
        for name in datacentres() {
            let mut config = config(&keyspace, &name);
            if sites.is_empty() {
                Cassandra::init(&config).await.unwrap();
            }
            change(&mut config);
            sites.push(Cassandra::connect(config).await.unwrap());
        }
        Self {
            sites,
            _share: None,
        }
    }
}

/// The record of a key at one site, as its own replica has it, or as a
/// majority has.
async fn value(site: &Cassandra, id: &RecordId, level: Level) -> String {
    crate::conformance::text(&site.read(id, level).await.unwrap())
}

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_mins(2);

/// Looks again and again until something is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(100));
    let looking = async {
        while !is_so().await {
            looks.tick().await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, looking).await;
    in_time.unwrap_or_else(|_| panic!("not in time: {what}"));
}

impl Harness for Deployment {
    type Store = Cassandra;

    fn sites(&self) -> Vec<Cassandra> {
        self.sites.clone()
    }

    /// A read of all replicas repairs them.
    async fn settled(&self) {
        for site in &self.sites {
            site.refresh_tables().await.unwrap();
        }
        let cql = &self.sites[0].inner.cql;
        let tables = self.sites[0].tables().into_iter().map(|table| table.id);
        for table in tables.chain([crate::table::SYSTEM_TABLE]) {
            let text = format!("SELECT * FROM {}", cells::name(cql, table));
            let mut statement = Statement::new(text);
            statement.set_consistency(Consistency::All);
            statement.set_is_idempotent(true);
            cql.session().query_unpaged(statement, ()).await.unwrap();
        }
    }

    async fn advance(&self, id: &RecordId, lock_ref: LockRef) -> bool {
        self.sites[0].advance(id, lock_ref).await.unwrap();
        true
    }

    fn tells_of_changes(&self) -> bool {
        false
    }
}

crate::conformance_tests!(async { Deployment::open().await });
