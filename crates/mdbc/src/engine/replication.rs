//! The seam between a site's transactions and the other sites.
//!
//! A transaction of a client goes through it twice, and a third time when it
//! ends:
//!
//! ```text
//!  statement ── understood: Access ──▶ before(transaction, access)   own the tables, catch up
//!            ── run by the engine, in a local transaction
//!  COMMIT    ── sealed: Digest     ──▶ append(transaction, digest)   its place in the log
//!                                      acknowledged: wait            it outlives the site
//!            ── nothing changed    ──▶ read(transaction)             it was the latest
//!            ── committed locally, answered
//!            ── either way         ──▶ ended(transaction)
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::{Access, Digest, Position, Stamped};
use crate::error::Result;
use crate::status::SiteStatus;

/// Whose a statement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Who {
    /// The session.
    pub session: u64,
    /// The transaction, which no other one is called.
    pub transaction: u64,
}

/// What the local commit keeps beside the data.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Notes {
    /// The new positions, by partition.
    pub positions: BTreeMap<String, Position>,
    /// The rows of eventual tables that the transaction has written, where other
    /// sites are to have them.
    pub rows: Option<Stamped>,
    /// These rows, to be sent in a letter, whose number the local database
    /// gives; none where they are in the log.
    pub letter: Option<Vec<u8>>,
}

/// Waits until a transaction's changes of strong tables and of the schema outlive
/// the site.
///
/// # Errors
///
/// What the client is told; the local transaction is rolled back. If the changes
/// may be in the log nonetheless, the state is
/// [`STATEMENT_COMPLETION_UNKNOWN`](crate::error::state::STATEMENT_COMPLETION_UNKNOWN).
///
/// # Cancel safety
///
/// Dropped, what is under way stays so, and its outcome is not known.
pub type Acknowledgement = BoxFuture<'static, Result<()>>;

/// A transaction that has its place behind those before it.
pub struct Appended {
    /// What the local commit keeps beside the data.
    pub notes: Notes,
    /// To be waited for before the local commit, and before anybody is told.
    pub acknowledged: Acknowledgement,
}

impl Appended {
    /// A transaction that other sites have no part in.
    pub fn alone(notes: Notes) -> Self {
        let acknowledged = Box::pin(std::future::ready(Ok(())));
        Self {
            notes,
            acknowledged,
        }
    }
}

impl fmt::Debug for Appended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Appended")
            .field("notes", &self.notes)
            .finish_non_exhaustive()
    }
}

/// What happens with other sites around the statements of a transaction.
#[async_trait]
pub trait Replication: Send + Sync + 'static {
    /// Called before a statement of a transaction touches tables: when it
    /// returns, what other sites have acknowledged on them is in the local
    /// database, and stays the last of it until the transaction has ended.
    ///
    /// At the first call the transaction has touched nothing yet, so that the
    /// local database may be changed under it. Later calls come while the
    /// transaction holds the local database: an implementation that had to
    /// catch up then answers with
    /// [`SERIALIZATION_FAILURE`](crate::error::state::SERIALIZATION_FAILURE),
    /// upon which the client tries again.
    ///
    /// `may_write` says that the transaction may write yet, whatever this
    /// statement does.
    ///
    /// # Errors
    ///
    /// What the client is told; the transaction fails, with nothing done.
    ///
    /// # Cancel safety
    ///
    /// It is dropped when the client cancels or its time is up; `ended` follows.
    async fn before(&self, who: Who, access: &Access, may_write: bool) -> Result<()>;

    /// Called when a transaction that has changed something is complete, in the
    /// order of the transactions: gives it its place behind those before it. The
    /// next one may run on top of it at once, and be appended, before it is
    /// acknowledged; the local commit comes after that, with the notes.
    ///
    /// # Errors
    ///
    /// What the client is told; nothing is in the log, and the local transaction is
    /// rolled back.
    ///
    /// # Cancel safety
    ///
    /// It is never dropped.
    async fn append(&self, transaction: u64, digest: &Digest) -> Result<Appended>;

    /// As [`append`](Self::append), and waits: when it returns, the changes of
    /// strong tables and of the schema outlive the site. The local commit follows,
    /// with the notes that it returns.
    ///
    /// # Errors
    ///
    /// What the client is told; the local transaction is rolled back. If the
    /// changes may be in the log nonetheless, the state is
    /// [`STATEMENT_COMPLETION_UNKNOWN`](crate::error::state::STATEMENT_COMPLETION_UNKNOWN).
    ///
    /// # Cancel safety
    ///
    /// It is never dropped.
    async fn commit(&self, transaction: u64, digest: &Digest) -> Result<Notes> {
        let Appended {
            notes,
            acknowledged,
        } = self.append(transaction, digest).await?;
        acknowledged.await?;
        Ok(notes)
    }

    /// Called when a transaction that has changed nothing is complete: when it
    /// returns, what the transaction has read was the latest of all sites.
    ///
    /// # Errors
    ///
    /// What the client is told: what it has read may have been old.
    ///
    /// # Cancel safety
    ///
    /// Changes nothing.
    async fn read(&self, transaction: u64) -> Result<()>;

    /// As [`read`](Self::read), of a transaction that has read nothing but what is
    /// committed locally: what is appended and not acknowledged yet is no matter
    /// to it.
    ///
    /// # Errors
    ///
    /// What the client is told: what it has read may have been old.
    ///
    /// # Cancel safety
    ///
    /// Changes nothing.
    async fn read_committed(&self, transaction: u64) -> Result<()> {
        self.read(transaction).await
    }

    /// Called when a statement cannot be understood: other sites may have changed
    /// the schema. No transaction is open.
    ///
    /// # Errors
    ///
    /// When it cannot be told within a moment; the client hears what is wrong with
    /// its statement.
    ///
    /// # Cancel safety
    ///
    /// Some of what is new may be applied.
    async fn refresh(&self) -> Result<()>;

    /// How old the strong tables of the local database are at most, by the
    /// clocks of the sites; none where that is not known.
    fn age(&self) -> Option<Duration>;

    /// What the site tells of itself and of the others, without asking anybody.
    fn status(&self) -> SiteStatus {
        SiteStatus::default()
    }

    /// Called when the client is told that a transaction is committed, which is
    /// acknowledged and not committed locally yet: `ended` follows. Until then
    /// nobody reads the local database who could miss it.
    fn acknowledged(&self, _transaction: u64) {}

    /// Called when a transaction for which `before` was called has ended, and
    /// whether it is committed locally.
    fn ended(&self, transaction: u64, is_committed: bool);
}

/// No other sites: what is committed locally is committed.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalOnly;

#[async_trait]
impl Replication for LocalOnly {
    async fn before(&self, _who: Who, _access: &Access, _may_write: bool) -> Result<()> {
        Ok(())
    }

    async fn append(&self, _transaction: u64, _digest: &Digest) -> Result<Appended> {
        Ok(Appended::alone(Notes::default()))
    }

    async fn read(&self, _transaction: u64) -> Result<()> {
        Ok(())
    }

    async fn refresh(&self) -> Result<()> {
        Ok(())
    }

    fn age(&self) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    fn ended(&self, _transaction: u64, _is_committed: bool) {}
}
