//! Turns shared by the transactions of a site.
//!
//! ```text
//!  T1 ─enter a───┐                                    ┌── T4 waits ─enter a,b─▶
//!  T2 ─enter a─┐ │     turn of a                      │
//!              ▼ ▼  acquire, replay ▒▒ T1 T2 T3 ▒▒ due ┴ drain ─ end
//! ```
//!
//! A transaction *enters* with the partitions that it needs. It gets a place in
//! a turn that owns them, whose missed entries are applied, and leaves the turn
//! when its [`Pass`] is dropped: when it is acknowledged, or rolled back.
//!
//! A turn takes transactions for a bounded time, so that other sites get theirs;
//! it ends sooner where a transaction of the site needs other partitions, or
//! nobody has used it for a moment. The next turn of a site that works alone
//! costs no wide-area round.
//!
//! ```
//! # use std::{collections::BTreeSet, error::Error, time::Duration};
//! # use bytes::Bytes;
//! # use mdbc::ownership::{Database, Ownership};
//! # use mdbc::partition::PartitionSet;
//! # use mdbc::redo_log::{Access, Footprint};
//! async fn commit<D: Database>(
//!     ownership: &Ownership<D>,
//!     accounts: PartitionSet,
//! ) -> Result<(), Box<dyn Error>> {
//!     let pass = ownership.enter(&accounts, Access::Write, Duration::from_secs(5)).await?;
//!     let digest = Bytes::from("what it changed"); // Here it runs, in the local database.
//!     let footprint = Footprint { writes: accounts, reads: BTreeSet::new() };
//!     let ticket = pass.append(&footprint, digest).await?;
//!     let _noted = ticket.places(); // Beside the data, in the same local transaction.
//!     ticket.acknowledged().await?; // Now that may commit, and the client be told.
//!     drop(pass); // Should the local commit fail after all: Ownership::break_off.
//!     Ok(())
//! }
//! ```
//!
//! *No deadlock within a site*: who waits holds nothing, and waits for turns that
//! end and for those that came before. Only [`Pass::extend`] waits while it
//! holds, and only for a bounded time.
//!
//! *The worst failure survived*: a transaction that never ends. Its turn is
//! broken off after a bounded time, and other sites go on; it is told when it
//! commits, or asks whether what it read was the latest.

mod keeper;
mod pass;
mod table;

pub use pass::Pass;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::clock;
use crate::ownership::table::{Next, Table, TurnId, WaiterId};
use crate::partition::{Partition, PartitionSet};
use crate::redo_log::{Access, Applied, Entry, Place, RedoLog, Turn};

/// The most transactions that wait for a turn at a time.
pub const WAITING_MAX: usize = 10_000;

/// The local database, as far as its owner needs it.
pub trait Database: fmt::Debug + Send + Sync + 'static {
    /// What fails in it.
    type Error: std::error::Error + Send + Sync + 'static;

    /// What it has applied, with what its own transactions have appended and
    /// not rolled back.
    fn applied(&self) -> impl Future<Output = Result<Applied, Self::Error>> + Send;

    /// Applies entries in this order, each in one local transaction with its
    /// positions, and leaves out what is applied already
    /// ([`Applied::step`]): several turns may hand the same entry over at once.
    fn replay(&self, entries: Vec<Entry>) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long a turn is kept that nobody uses. 10 ms.
    pub idle: Duration,
    /// How long after it is due a turn waits for its transactions. 10 s.
    pub drain: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            idle: Duration::from_millis(10),
            drain: Duration::from_secs(10),
        }
    }
}

/// Why a transaction cannot run on its partitions. Nothing happened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnterError<E: std::error::Error + 'static> {
    /// The log cannot be owned.
    #[error(transparent)]
    Log(#[from] crate::redo_log::Error),
    /// The local database cannot tell what it has applied, or apply what it
    /// lacks.
    #[error("the local database does not take what other sites committed")]
    Database(#[source] E),
    /// Other transactions were faster for too long.
    #[error("the partitions were not free within {waited:?}: try the transaction again")]
    TimedOut {
        /// How long was waited.
        waited: Duration,
    },
    /// Too many transactions wait.
    #[error("{WAITING_MAX} transactions wait already: try the transaction again later")]
    TooMany,
    /// The turn takes no more entries.
    #[error("the ownership is lost, or taking too long: try the transaction again")]
    Over,
}

impl<E: std::error::Error> EnterError<E> {
    /// Whether the same transaction may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Log(error) => error.is_retryable(),
            Self::Database(_) => false,
            Self::TimedOut { .. } | Self::TooMany | Self::Over => true,
        }
    }
}

/// The turns of a site.
#[derive(Debug)]
pub struct Ownership<D> {
    shared: Arc<Shared<D>>,
}

#[derive(Debug)]
struct Shared<D> {
    log: RedoLog,
    database: Arc<D>,
    pace: Pace,
    table: Mutex<Table<Turn>>,
    /// Told when a turn was opened or has ended, and when a waiter has left.
    changed: Notify,
    /// Told when a turn was closed, or a user has left it.
    used: Notify,
    keepers: TaskTracker,
    opened: AtomicU64,
}

impl<D> Shared<D> {
    fn table(&self) -> MutexGuard<'_, Table<Turn>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, waiter: WaiterId) -> Next<Turn> {
        let next = self.table().next(waiter);
        if matches!(next, Next::Wait) {
            // It may have closed a turn.
            self.used.notify_waiters();
        }
        next
    }
}

impl<D: Database> Ownership<D> {
    /// No turn is open yet.
    pub fn new(log: RedoLog, database: Arc<D>, pace: Pace) -> Self {
        let shared = Shared {
            log,
            database,
            pace,
            table: Mutex::default(),
            changed: Notify::new(),
            used: Notify::new(),
            keepers: TaskTracker::new(),
            opened: AtomicU64::default(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Waits for a place in a turn that owns these partitions, whose missed
    /// entries are applied. Who may write from the beginning on must say so: a
    /// turn to read does not become one to write.
    ///
    /// # Errors
    /// [`EnterError`]: nothing happened.
    ///
    /// # Cost
    /// None where such a turn is open, else that of [`RedoLog::turn`].
    ///
    /// # Cancel safety
    /// The transaction leaves the queue. A turn that it was opening is given
    /// up, and others open theirs.
    pub async fn enter(
        &self,
        wanted: &PartitionSet,
        access: Access,
        wait: Duration,
    ) -> Result<Pass<D>, EnterError<D::Error>> {
        let shared = &self.shared;
        let waiting = Waiting::new(shared, wanted, access)?;
        let began = clock::now();
        let waited = || clock::now().saturating_duration_since(began);
        let step = async {
            loop {
                let changed = shared.changed.notified();
                match shared.next(waiting.id) {
                    Next::Wait => changed.await,
                    next => return next,
                }
            }
        };
        match tokio::time::timeout(wait, step).await {
            Ok(Next::Joined(id, turn)) => Ok(Pass::new(Arc::clone(shared), id, turn)),
            Ok(Next::Open(id)) => {
                let opening = Opening {
                    shared,
                    id,
                    is_open: false,
                };
                opening
                    .open((wanted, access), wait.saturating_sub(waited()))
                    .await
            }
            Ok(Next::Wait) | Err(_) => Err(EnterError::TimedOut { waited: waited() }),
        }
    }

    /// How many turns were opened.
    pub(crate) fn turns(&self) -> u64 {
        self.shared.opened.load(Ordering::Relaxed)
    }

    /// How many transactions wait.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.table().waiting()
    }

    /// What turns own that are open now.
    pub(crate) fn owned(&self) -> BTreeSet<Partition> {
        self.shared.table().owned()
    }

    /// The local database lacks an entry that was taken for its own: no turn over
    /// one of its partitions goes on, and the next one reads the log.
    pub fn break_off(&self, places: &[Place]) {
        for place in places {
            let turns = self.shared.table().spoil(&place.partition.clone().into());
            for turn in turns {
                turn.break_off();
            }
        }
        self.shared.used.notify_waiters();
    }

    /// Waits until all turns have ended. What enters meanwhile is waited for,
    /// too.
    ///
    /// # Cancel safety
    /// The turns go on to their ends.
    pub async fn close(&self) {
        self.shared.keepers.close();
        self.shared.keepers.wait().await;
    }
}

/// A transaction in the queue, until this is dropped.
struct Waiting<'a, D> {
    shared: &'a Shared<D>,
    id: WaiterId,
}

impl<'a, D> Waiting<'a, D> {
    fn new<E: std::error::Error>(
        shared: &'a Shared<D>,
        wanted: &PartitionSet,
        access: Access,
    ) -> Result<Self, EnterError<E>> {
        let mut table = shared.table();
        if table.waiting() >= WAITING_MAX {
            return Err(EnterError::TooMany);
        }
        let id = table.wait(wanted.clone(), access);
        Ok(Self { shared, id })
    }
}

impl<D> Drop for Waiting<'_, D> {
    fn drop(&mut self) {
        self.shared.table().leave(self.id);
        self.shared.changed.notify_waiters();
    }
}

/// A turn that is being opened; given up when dropped.
struct Opening<'a, D: Database> {
    shared: &'a Arc<Shared<D>>,
    id: TurnId,
    is_open: bool,
}

impl<D: Database> Opening<'_, D> {
    async fn open(
        mut self,
        (wanted, access): (&PartitionSet, Access),
        wait: Duration,
    ) -> Result<Pass<D>, EnterError<D::Error>> {
        let shared = self.shared;
        let database = &shared.database;
        let applied = database.applied().await.map_err(EnterError::Database)?;
        let turn = Box::pin(shared.log.turn(wanted, access, &applied, wait)).await?;
        if !turn.missed().is_empty() {
            let missed = turn.missed().to_vec();
            database
                .replay(missed)
                .await
                .map_err(EnterError::Database)?;
        }
        let owned = PartitionSet::new(turn.partitions());
        let owned = owned.map_err(|error| EnterError::Log(error.into()))?;
        let turn = Arc::new(turn);
        let opened = (Arc::clone(&turn), turn.is_shared());
        if !shared.table().opened(self.id, opened, &owned) {
            turn.break_off();
        }
        shared.opened.fetch_add(1, Ordering::Relaxed);
        self.is_open = true;
        shared.changed.notify_waiters();
        let keep = keeper::keep(Arc::clone(shared), self.id, Arc::clone(&turn));
        shared.keepers.spawn(keep);
        Ok(Pass::new(Arc::clone(shared), self.id, turn))
    }
}

impl<D: Database> Drop for Opening<'_, D> {
    fn drop(&mut self) {
        if !self.is_open {
            self.shared.table().ended(self.id);
            self.shared.changed.notify_waiters();
        }
    }
}
