//! The local engine: SQLite in this process.
//!
//! One connection writes, and whoever writes holds it until its transaction
//! has its place in the log ([`group`]); each session has another that reads, in
//! a snapshot of what is committed. A transaction begins on its own connection
//! and moves to the writing one with its first change: if a table that it has
//! read was changed in between, it fails with `40001`, and the client tries again.
//!
//! *So transactions are serializable*, in the order in which they join groups.
//! One that writes sees on the writing connection what all before it have done,
//! and nothing else runs there until it joins; what it read before that, in its
//! snapshot, is the same there, since no table of it was changed. What is read
//! is told by table: those of views by the tables behind them, what foreign keys
//! look at with the statement that makes them look, which runs on the writing
//! connection. The catalogues are another with the schema alone, and a change of
//! that makes every snapshot old. One that only reads sees a snapshot, which is
//! the state between two groups: it is behind all members of the one and before
//! all of the other. Outside of this are the values of sequences, as in
//! PostgreSQL, and the log of conflicts.
//!
//! Every change of a row is told by triggers to a function that mdbc alone
//! has. The session extension of SQLite would tell the same, but is bound to
//! Rust by a generator that needs a compiler's library on the machine of
//! everyone who builds mdbc.

mod apply;
mod conflicts;
pub(crate) mod context;
pub(crate) mod copy;
mod deferred;
pub(crate) mod error;
pub(crate) mod functions;
pub(crate) mod group;
pub(crate) mod history;
pub(crate) mod lane;
pub(crate) mod local;
pub(crate) mod localise;
pub(crate) mod mail;
mod partitions;
mod rows;
pub(crate) mod run;
mod savepoints;
mod stamps;
mod store;
pub(crate) mod writer;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use self::context::{Context, Counters};
use self::error::Translated;
use self::group::Group;
use self::history::{History, Tables};
use self::lane::Lane;
use self::writer::Top;
use crate::catalog::schema::{Schema, TableKind};
use crate::clock;
use crate::error::SqlError;
use crate::status::Board;
use crate::types::datetime;

pub use apply::Applied;
pub use conflicts::CONFLICTS_MAX;
pub use store::Position;

/// Statements that a connection keeps prepared.
const PREPARED_MAX: usize = 256;
/// Columns of a statement's result.
const COLUMNS_MAX: i32 = 2000;

/// Where the local database is, and how it is used.
#[derive(Debug, Clone)]
pub struct Options {
    /// The file; it is made if it is not there, but not its folder.
    pub path: PathBuf,
    /// The number of this site, from 1.
    pub site: u16,
    /// How many sites there may be: values of a sequence at one site are so far
    /// apart.
    pub sites_max: u16,
    /// What tables are that do not say.
    pub default_kind: TableKind,
}

/// Why the local database cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file is not there and cannot be made, is damaged, or was changed by
    /// another program.
    #[error("cannot open the local database {path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SqlError,
    },
    /// There is no thread for it.
    #[error("cannot start a thread for the local database")]
    Thread(#[source] std::io::Error),
    /// The number of the site is 0 or more than there may be.
    #[error("site {site} is not one of 1 to {sites_max}")]
    Site {
        /// The number.
        site: u16,
        /// How many there may be.
        sites_max: u16,
    },
}

/// The local database of a site. Clones are the same database.
#[derive(Debug, Clone)]
pub struct Database {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    path: PathBuf,
    pub(crate) writer: Lane,
    /// Who holds the permit may use the writing connection.
    pub(crate) turn: Arc<Semaphore>,
    /// The group that is open.
    group: Mutex<Option<Arc<Group>>>,
    /// Who runs on top of it.
    top: Mutex<Option<Arc<Top>>>,
    /// When others have read last what a group had changed.
    read_at: Mutex<Option<clock::Instant>>,
    history: Mutex<History>,
    transactions: AtomicU64,
    schema: Mutex<Arc<Schema>>,
    counters: Arc<Mutex<Counters>>,
    pub(crate) default_kind: TableKind,
    started: i64,
    pub(crate) board: Board,
}

impl Database {
    /// Opens the database, or makes it.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; nothing was changed but for a new file.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let Options {
            path,
            site,
            sites_max,
            default_kind,
        } = options;
        if *site == 0 || site > sites_max {
            return Err(OpenError::Site {
                site: *site,
                sites_max: *sites_max,
            });
        }
        let failed = |source| OpenError::Database {
            path: path.clone(),
            source,
        };
        let counters = Arc::new(Mutex::new(Counters {
            stride: i64::from(*sites_max),
            site: i64::from(*site),
            ..Counters::default()
        }));
        let started = datetime::of_unix(clock::unix_micros());
        let board = Board::default();
        let context = Context::new(Arc::clone(&counters), board.clone());
        let connection = open(path, &context, started).map_err(failed)?;
        let prepared = store::prepare(&connection).and_then(|()| {
            let schema = store::load(&connection)?;
            context.counters().given = store::given(&connection)?;
            Ok(Arc::new(schema))
        });
        let schema = prepared.map_err(failed)?;
        context.lock().schema = Arc::clone(&schema);
        let writer = Lane::start(connection, context).map_err(OpenError::Thread)?;
        let inner = Inner {
            path: path.clone(),
            writer,
            turn: Arc::new(Semaphore::new(1)),
            group: Mutex::default(),
            top: Mutex::default(),
            read_at: Mutex::default(),
            history: Mutex::default(),
            transactions: AtomicU64::new(1),
            schema: Mutex::new(schema),
            counters,
            default_kind: *default_kind,
            started,
            board,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// A connection that reads, on a thread of its own.
    pub(crate) fn reader(&self) -> Result<Lane, OpenError> {
        let counters = Arc::clone(&self.inner.counters);
        let context = Context::new(counters, self.inner.board.clone());
        let failed = |source| OpenError::Database {
            path: self.inner.path.clone(),
            source,
        };
        let connection = open(&self.inner.path, &context, self.inner.started).map_err(failed)?;
        Lane::start(connection, context).map_err(OpenError::Thread)
    }

    /// The schema that is committed.
    pub(crate) fn schema(&self) -> Arc<Schema> {
        Arc::clone(
            &self
                .inner
                .schema
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    pub(crate) fn set_schema(&self, schema: Arc<Schema>) {
        *self
            .inner
            .schema
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = schema;
    }

    /// How many local commits there were since it was opened: of own
    /// transactions, many at once, and of what other sites have done.
    pub fn commits(&self) -> u64 {
        self.history().count()
    }

    /// There was a commit, which has changed these tables.
    pub(crate) fn note_commit(&self, tables: Tables) {
        self.history().note(tables);
    }

    /// Whether one of these tables was changed by a commit since there were so
    /// many, or by one that a client was told of and that is yet to come.
    pub(crate) fn is_changed(&self, since: u64, tables: &BTreeSet<u32>) -> bool {
        let group = self.group().filter(|group| group.is_answered());
        let is_to_come = group.is_some_and(|group| group.has_changed(tables));
        is_to_come || self.history().is_changed(since, tables)
    }

    fn history(&self) -> MutexGuard<'_, History> {
        let history = self.inner.history.lock();
        history.unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no other transaction has had since the start.
    pub(crate) fn next_transaction(&self) -> u64 {
        self.inner.transactions.fetch_add(1, Ordering::Relaxed)
    }

    /// The names of the tables with their object ids and kinds.
    ///
    /// In the order of their names.
    pub fn tables(&self) -> Vec<(String, u32, TableKind)> {
        let schema = self.schema();
        let tables = schema.tables();
        tables
            .map(|table| (table.name.clone(), table.oid, table.kind))
            .collect()
    }
}

fn open(path: &Path, context: &Context, started: i64) -> Result<Connection, SqlError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).plain()?;
    connection.set_prepared_statement_cache_capacity(PREPARED_MAX);
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
             PRAGMA case_sensitive_like = ON; ATTACH ':memory:' AS pg_catalog; \
             ATTACH ':memory:' AS information_schema",
        )
        .plain()?;
    connection
        .set_limit(rusqlite::limits::Limit::SQLITE_LIMIT_COLUMN, COLUMNS_MAX)
        .plain()?;
    functions::register(&connection, context).plain()?;
    context.lock().started = started;
    Ok(connection)
}
