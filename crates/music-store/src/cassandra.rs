//! State and locks in Apache Cassandra, or ScyllaDB: one site's view of it.
//!
//! | module | what it holds |
//! |---|---|
//! | `config` | what the engine is told |
//! | `schema` | the keyspace and its CQL tables: created, checked |
//! | `session` | the driver's session, and at which levels it asks |
//! | `cells` | records: a partition a key, stamps as timestamps |
//! | `register` | a value that changes by lightweight transactions |
//! | `pace` | when a transaction begins again |
//! | `coordinators` | through which data centre it does |
//! | `queues` | lock queues: a register a key, and releases beside it |
//! | `glance` | hints: a watched queue is looked at from time to time |
//! | `catalogue` | the tables there are: one register |
//! | [`survey`] | how a deployment looks from here: nodes, settings, delays |
//! | `codec`, `failure` | what columns hold, what errors mean |
//!
//! # What is asked at which level
//! | | level | rounds |
//! |---|---|---|
//! | local read, write, scan | `LOCAL_ONE`, in the node's own data centre only | 0 |
//! | majority read, write; release | `QUORUM` over all data centres | 1 |
//! | command | conditional update at `SERIAL`, committed at `LOCAL_QUORUM` | 2 |
//! | peek | read at `SERIAL`, and of the release at `QUORUM`, at once | 1 |
//!
//! A command takes two more rounds for each time that another node was
//! faster, and so does a node's first one at a key that others have used: it
//! takes the key for a new one. (A refusal costs as much as a success, as
//! Cassandra has to propose that nothing changes.) A commit at `LOCAL_QUORUM`
//! is enough, since all who read a queue do so at `SERIAL`.
//!
//! # What it needs of Cassandra
//! `paxos_variant: v2` (v1 works, and takes two rounds more a command), with
//! `paxos_state_purging: repaired`; read repair left as it is (`BLOCKING`); no
//! guardrail on timestamps (`maximum_timestamp_fail_threshold`), as stamps are
//! no times. ScyllaDB: `restrict_future_timestamp: false`, for the same reason.
//!
//! Cassandra has no watches. [`LockStore::hints`] tell at once what the node has
//! changed itself, and of others what it finds when it looks at its own data
//! centre's replica from time to time; [`StateStore::changes`] is `None`.
//!
//! # Example
//! ```no_run
//! # use music_store::cassandra::{Cassandra, Config, Keyspace};
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let replication = ["ohio", "ncalifornia", "oregon"].map(|name| (name.to_owned(), 1));
//! let config = Config::new(
//!     vec!["127.0.0.1:9042".to_owned()],
//!     Keyspace::new("music")?,
//!     "ohio",
//!     replication.into(),
//! );
//! Cassandra::init(&config).await?;
//! let engine = Cassandra::connect(config).await?;
//! # Ok(())
//! # }
//! ```

mod catalogue;
mod cells;
mod codec;
mod config;
mod coordinators;
mod failure;
mod glance;
#[cfg(test)]
#[cfg(feature = "live-engines")]
mod live;
mod pace;
mod pleas;
mod queues;
mod register;
mod schema;
mod session;
pub mod survey;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use music_core::id::{Key, RecordId, SessionId, TableId};
use music_core::lock_queue::{Command, LockQueue};
use music_core::lock_ref::{Holding, LockRef};
use music_core::record::Record;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::config::{Config, Keyspace, KeyspaceError};
pub use self::schema::{OpenError, SCHEMA_VERSION};
pub use crate::connect::Credentials;

use self::catalogue::Tables;
use self::failure::Failure;
use self::queues::{Ask, Queues};
use self::session::Cql;
use crate::{
    Applied, Error, Hint, Level, LockStore, Look, ScanRange, StateStore, Table, TableMode,
    TableName,
};

/// One site's view of a Cassandra cluster: its state store and lock store.
#[derive(Clone)]
pub struct Cassandra {
    inner: Arc<Inner>,
}

struct Inner {
    cql: Arc<Cql>,
    queues: Arc<Queues>,
    tables: Arc<Tables>,
    /// Kept so that the receivers wait instead of seeing an end.
    /// Where what runs in the background runs.
    runtime: Handle,
    life: CancellationToken,
    /// Ends it.
    _end: DropGuard,
}

impl fmt::Debug for Cassandra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cassandra({})", self.inner.cql.keyspace())
    }
}

impl Cassandra {
    /// Creates the keyspace and what is in it, where it is not there yet.
    ///
    /// May be run again, and by several nodes at once. A keyspace that exists
    /// keeps its replication. Also frees the space of dropped tables whose
    /// node died before it had done so.
    ///
    /// # Errors
    /// Each says what to do about it. What was created stays.
    ///
    /// # Cancel safety
    /// Part of it may have been done; it is to be run again.
    pub async fn init(config: &Config) -> Result<(), OpenError> {
        let cql = schema::connect(config).await?;
        schema::create(&cql, config).await
    }

    /// Connects a node to a keyspace that was set up.
    ///
    /// # Errors
    /// Each says what to do about it.
    ///
    /// # Cancel safety
    /// Nothing is left behind.
    pub async fn connect(config: Config) -> Result<Self, OpenError> {
        let cql = Arc::new(schema::connect(&config).await?);
        schema::check(&cql, &config).await?;
        let tables = Arc::new(Tables::new(Arc::clone(&cql), config.call_time));
        tables.refresh().await?;
        let life = CancellationToken::new();
        // Ends with the last of the views.
        tokio::spawn(refresh_tables(
            Arc::downgrade(&tables),
            config.refresh_interval,
            life.clone(),
        ));
        let inner = Inner {
            queues: Queues::new(Arc::clone(&cql), config.call_time, life.clone()),
            cql,
            tables,
            runtime: Handle::current(),
            life: life.clone(),
            _end: life.drop_guard(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Skips all lockRefs of a key up to this one, as after a restore from a
    /// backup: a lock store that went back in time must not issue a number
    /// again that the state knows.
    ///
    /// # Cost
    /// That of a command.
    ///
    /// # Errors
    /// As of a command.
    ///
    /// # Cancel safety
    /// As of a command.
    pub async fn advance(&self, id: &RecordId, lock_ref: LockRef) -> Result<(), Error> {
        self.inner.queues.call(id, Ask::Advance(lock_ref)).await?;
        Ok(())
    }

    /// How many requests this node has sent, other than to prepare
    /// statements. Free.
    pub fn requests(&self) -> u64 {
        self.inner.cql.requests()
    }

    /// The data centre of this node's site.
    pub fn datacentre(&self) -> &str {
        self.inner.cql.datacentre()
    }

    /// The data centres in which some node of Cassandra is connected. Free.
    pub fn connected_datacentres(&self) -> BTreeSet<String> {
        let cluster = self.inner.cql.session().get_cluster_state();
        let nodes = cluster.get_nodes_info().iter();
        let connected = nodes.filter(|node| node.is_connected());
        connected
            .filter_map(|node| node.datacenter.clone())
            .collect()
    }

    /// Reads the tables again now, instead of at the next interval.
    ///
    /// # Cost
    /// One round.
    ///
    /// # Errors
    /// Where no majority answers.
    ///
    /// # Cancel safety
    /// It changes nothing but what this node knows.
    pub async fn refresh_tables(&self) -> Result<(), Error> {
        Ok(self.inner.tables.refresh().await?)
    }
}

/// Reads the tables again from time to time, as others create and drop them.
async fn refresh_tables(tables: Weak<Tables>, interval: Duration, life: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = life.cancelled() => return,
        }
        let Some(tables) = tables.upgrade() else {
            return;
        };
        if let Err(failure) = tables.refresh().await {
            tracing::debug!(?failure, "the tables could not be read again");
        }
    }
}

/// Does a call on a table's records; where Cassandra does not know the CQL
/// table, once more when it does.
macro_rules! on_table {
    ($self:expr, $table:expr, $call:expr) => {{
        let tables = &$self.inner.tables;
        tables.expect($table).await?;
        match $call.await {
            Err(Failure::Invalid(_)) => {
                tables.restore($table).await?;
                Ok($call.await?)
            }
            result => Ok(result?),
        }
    }};
}

impl StateStore for Cassandra {
    async fn write(&self, id: &RecordId, change: Record, level: Level) -> Result<(), Error> {
        let cql = &self.inner.cql;
        on_table!(self, id.table, cells::write(cql, id, &change, level))
    }

    async fn read(&self, id: &RecordId, level: Level) -> Result<Record, Error> {
        on_table!(self, id.table, cells::read(&self.inner.cql, id, level))
    }

    async fn scan(&self, range: ScanRange) -> Result<Vec<(Key, Record)>, Error> {
        on_table!(self, range.table, cells::scan(&self.inner.cql, &range))
    }

    async fn create_table(&self, name: &TableName, mode: TableMode) -> Result<Table, Error> {
        self.inner.tables.create(name, mode).await
    }

    async fn drop_table(&self, name: &TableName) -> Result<bool, Error> {
        self.inner.tables.remove(name).await
    }

    fn table(&self, name: &TableName) -> Option<Table> {
        let known = self.inner.tables.known();
        known.state.value.table(name).cloned()
    }

    fn table_by_id(&self, id: TableId) -> Option<Table> {
        let known = self.inner.tables.known();
        known.state.value.table_by_id(id).cloned()
    }

    fn tables(&self) -> Vec<Table> {
        let known = self.inner.tables.known();
        known.state.value.tables().cloned().collect()
    }

    fn changes(&self) -> Option<broadcast::Receiver<RecordId>> {
        None
    }
}

impl LockStore for Cassandra {
    async fn apply(&self, id: &RecordId, command: Command) -> Result<Applied, Error> {
        self.inner.queues.call(id, Ask::Command(command)).await
    }

    async fn peek(&self, id: &RecordId) -> Result<Arc<LockQueue>, Error> {
        Ok(self.inner.queues.call(id, Ask::Peek).await?.queue)
    }

    async fn release(&self, id: &RecordId, holding: Holding) -> Result<(), Error> {
        self.inner.queues.release(id, holding).await
    }

    fn watch(&self, id: &RecordId) {
        let queues = &self.inner.queues;
        let life = queues.watches().add(id, &self.inner.life);
        let said = queues.watches().said(id);
        if let Some((life, said)) = life.zip(said) {
            let follow = glance::follow(Arc::downgrade(queues), id.clone(), said);
            self.inner
                .runtime
                .spawn(life.run_until_cancelled_owned(follow));
        }
    }

    fn unwatch(&self, id: &RecordId) {
        self.inner.queues.watches().remove(id);
    }

    fn glance(&self, id: &RecordId) -> bool {
        let said = self.inner.queues.watches().said(id);
        said.inspect(|said| said.notify_one()).is_some()
    }

    async fn look(&self, id: &RecordId, own: SessionId) -> Option<Look> {
        self.inner.queues.look(id, own).await
    }

    fn hints(&self) -> mpsc::Receiver<Hint> {
        self.inner.queues.watches().hints()
    }
}
