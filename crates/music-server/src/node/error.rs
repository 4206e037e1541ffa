//! Why an operation of a node failed.

use music_core::critical_section;
use music_store::TableMode;

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
