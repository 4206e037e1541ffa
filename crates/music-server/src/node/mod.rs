//! A node: the protocol's machines, driven over an engine.
//!
//! Stateless in the protocol's sense: whatever a node forgets, the engine has.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use music_core::critical_section;
use music_core::id::{Field, IdempotencyKey, Key, RecordId, RequestId, SessionId, TableId};
use music_core::lock_queue::{LockQueue, Mode};
use music_core::lock_ref::LockRef;
use music_core::record::Record;
use music_core::stamp::Stamp;
use music_core::time::Lease;
use music_store::{ScanRange, Table, TableMode, TableName};
use tokio::sync::broadcast;

/// A lockRef, as its string names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionRef {
    /// Names the section.
    pub request: RequestId,
    /// The keys, in sorted order, each once.
    pub keys: Vec<RecordId>,
    /// Exclusive or shared.
    pub mode: Mode,
    /// How long the client may go unheard.
    pub lease: Lease,
}

/// Where a section stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Queued behind others.
    Waiting,
    /// Its critical section may run.
    Granted,
    /// Preempted, or taken over through another node.
    Lost(critical_section::Lost),
    /// Released here.
    Released,
}

/// A section as its node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionView {
    /// Where it stands.
    pub state: State,
    /// The fencing token of each key, once granted; empty before.
    pub tokens: Vec<(RecordId, LockRef)>,
}

/// What a put changes in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Fields written together; `None` deletes one. Not empty.
    Fields(Vec<(Field, Option<Bytes>)>),
    /// The whole record is deleted.
    Delete,
}

/// How a release ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Released {
    /// The section is over; it was not asked whether it counted.
    Plain,
    /// Nobody else was granted in between: the whole section counts.
    Confirmed,
}

/// A node as it sees itself.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// The node session.
    pub session: SessionId,
    /// Whether its lease is valid, so that it may keep sections.
    pub lease_valid: bool,
    /// How many sections are open here.
    pub sections: usize,
}

/// A failed operation of a node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operation of a critical section failed.
    #[error(transparent)]
    Section(#[from] critical_section::Error),
    /// The engine failed.
    #[error(transparent)]
    Store(#[from] music_store::Error),
    /// No such table.
    #[error("there is no such table")]
    NoSuchTable,
    /// Put on a critical table, or lock and critical put on an eventual one.
    #[error("the table's mode does not allow this")]
    WrongMode {
        /// The mode of the table.
        mode: TableMode,
    },
    /// This node does not keep that section.
    #[error("this node does not keep the section: acquire the lockRef here to take it over")]
    NotHere,
    /// No such section: it was released, preempted or never created.
    #[error("the lockRef is in no queue: it was released, preempted or never created")]
    NoSuchSection,
    /// A request with this idempotency key was a different one.
    #[error("another request was made with this idempotency key")]
    IdempotencyKeyReused,
    /// The node keeps as many sections as it may.
    #[error("this node keeps as many sections as it may")]
    TooManySections,
    /// The node has not proved life yet, or not for a lease.
    #[error("this node cannot reach a majority to keep its lease")]
    NodeLeaseExpired,
    /// The node is shutting down.
    #[error("this node is shutting down")]
    ShuttingDown,
}

/// A node; clones are the same node.
#[derive(Clone)]
pub struct Node {}

impl Node {
    /// Queues a section; waits up to `wait` for the grant.
    pub async fn create_lock_ref(
        &self,
        section: SectionRef,
        wait: Duration,
    ) -> Result<SectionView, Error> {
        unimplemented!()
    }

    /// Waits up to `wait` for the grant. A section of another node is taken
    /// over.
    pub async fn acquire(
        &self,
        section: &SectionRef,
        wait: Duration,
    ) -> Result<SectionView, Error> {
        unimplemented!()
    }

    /// Proves that the client lives; where the section stands.
    pub fn renew(&self, request: RequestId) -> Result<SectionView, Error> {
        unimplemented!()
    }

    /// Where the section stands, without any effect.
    pub fn section(&self, request: RequestId) -> Result<SectionView, Error> {
        unimplemented!()
    }

    /// Waits until the section's state is another than `seen`.
    pub async fn section_changed(
        &self,
        request: RequestId,
        seen: State,
    ) -> Result<SectionView, Error> {
        unimplemented!()
    }

    /// Reads a record inside the section.
    pub async fn critical_get(&self, request: RequestId, id: &RecordId) -> Result<Record, Error> {
        unimplemented!()
    }

    /// Writes a record inside the section; the stamp that a majority has.
    pub async fn critical_put(
        &self,
        request: RequestId,
        id: &RecordId,
        change: Change,
        key: Option<IdempotencyKey>,
    ) -> Result<Stamp, Error> {
        unimplemented!()
    }

    /// Ends the section.
    pub async fn release(&self, section: &SectionRef, confirm: bool) -> Result<Released, Error> {
        unimplemented!()
    }

    /// Ends the section, whoever keeps it, as one that is taken for dead.
    /// Returns whether some ticket of it was there.
    pub async fn force(&self, section: &SectionRef) -> Result<bool, Error> {
        unimplemented!()
    }

    /// Forces the ticket of that number out of a key's queue. Returns whether
    /// it was there.
    pub async fn force_ticket(&self, id: &RecordId, lock_ref: LockRef) -> Result<bool, Error> {
        unimplemented!()
    }

    /// The queue of a key, linearizable.
    pub async fn queue(&self, id: &RecordId) -> Result<Arc<LockQueue>, Error> {
        unimplemented!()
    }

    /// Waits until the queue of the key may have changed, or `limit` is over.
    pub async fn queue_changed(&self, id: &RecordId, limit: Duration) {
        unimplemented!()
    }

    /// Reads a record at the local replica.
    pub async fn get(&self, id: &RecordId) -> Result<Record, Error> {
        unimplemented!()
    }

    /// Writes a record of an eventual table at the local replica.
    pub async fn put(
        &self,
        id: &RecordId,
        change: Change,
        key: Option<IdempotencyKey>,
    ) -> Result<Stamp, Error> {
        unimplemented!()
    }

    /// Records of a table at the local replica, in key order.
    pub async fn scan(&self, range: ScanRange) -> Result<Vec<(Key, Record)>, Error> {
        unimplemented!()
    }

    /// Creates a table, or finds it; one of another mode is an error.
    pub async fn create_table(&self, name: &TableName, mode: TableMode) -> Result<Table, Error> {
        unimplemented!()
    }

    /// Drops a table with all its records.
    pub async fn drop_table(&self, name: &TableName) -> Result<(), Error> {
        unimplemented!()
    }

    /// The table of that name.
    pub fn table(&self, name: &TableName) -> Result<Table, Error> {
        unimplemented!()
    }

    /// The table of that number.
    pub fn table_by_id(&self, id: TableId) -> Result<Table, Error> {
        unimplemented!()
    }

    /// All tables, in the order of their names.
    pub fn tables(&self) -> Vec<Table> {
        unimplemented!()
    }

    /// Tells of each record that changes at the local replica.
    pub fn changes(&self) -> broadcast::Receiver<RecordId> {
        unimplemented!()
    }

    /// The node as it sees itself.
    pub fn status(&self) -> NodeStatus {
        unimplemented!()
    }
}
