//! A transaction's place in a turn.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock;
use crate::ownership::table::TurnId;
use crate::ownership::{Database, EnterError, Shared};
use crate::partition::PartitionSet;
use crate::redo_log::{Cause, Failure, Footprint, Ticket, Turn};

/// A transaction's place in a turn, until it is dropped: when it is acknowledged,
/// or rolled back.
pub struct Pass<D: Database> {
    shared: Arc<Shared<D>>,
    id: TurnId,
    /// `None` only while it is dropped.
    turn: Option<Arc<Turn>>,
}

impl<D: Database> fmt::Debug for Pass<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl<D: Database> Pass<D> {
    pub(super) fn new(shared: Arc<Shared<D>>, id: TurnId, turn: Arc<Turn>) -> Self {
        Self {
            shared,
            id,
            turn: Some(turn),
        }
    }

    /// As [`Turn::append`].
    ///
    /// # Errors
    /// As [`Turn::append`].
    ///
    /// # Cost
    /// As [`Turn::append`].
    ///
    /// # Cancel safety
    /// As [`Turn::append`].
    pub async fn append(&self, footprint: &Footprint, digest: Bytes) -> Result<Ticket, Failure> {
        match &self.turn {
            Some(turn) => turn.append(footprint, digest).await,
            None => Err(Failure::not_applied(Cause::Broken)),
        }
    }

    /// As [`Turn::prove`]: for a transaction that changed nothing.
    ///
    /// # Errors
    /// [`EnterError::Log`]: what was read may have been old.
    ///
    /// # Cost
    /// As [`Turn::prove`].
    ///
    /// # Cancel safety
    /// As [`Turn::prove`].
    pub async fn prove(&self, read: &PartitionSet) -> Result<(), EnterError<D::Error>> {
        match &self.turn {
            Some(turn) => Ok(turn.prove(read).await?),
            None => Err(EnterError::Over),
        }
    }

    /// As [`Turn::prove_committed`]: for a transaction that changed nothing, and
    /// read what is acknowledged alone.
    ///
    /// # Errors
    /// [`EnterError::Log`]: what was read may have been old.
    ///
    /// # Cost
    /// As [`Turn::prove_committed`].
    ///
    /// # Cancel safety
    /// As [`Turn::prove_committed`].
    pub async fn prove_committed(&self, read: &PartitionSet) -> Result<(), EnterError<D::Error>> {
        match &self.turn {
            Some(turn) => Ok(turn.prove_committed(read).await?),
            None => Err(EnterError::Over),
        }
    }

    /// Whether the turn takes no more entries: a transaction in it need not go
    /// on.
    pub fn is_broken(&self) -> bool {
        self.turn
            .as_ref()
            .is_none_or(|turn| turn.broken().is_some())
    }

    /// As [`Turn::break_off`]: where the local database does not take what is in
    /// the log.
    pub fn break_off(&self) {
        if let Some(turn) = &self.turn {
            turn.break_off();
        }
    }

    /// Lets no more transactions into the turn: it owns what they hardly need, and
    /// other sites may wait for.
    pub fn close_turn(&self) {
        self.shared.table().close(self.id);
        self.shared.used.notify_waiters();
    }

    /// Whether the turn is one to read, beside other sites: a transaction in it
    /// that has to write after all is tried again, with write access.
    pub fn is_shared(&self) -> bool {
        self.turn.as_ref().is_some_and(|turn| turn.is_shared())
    }

    /// Owns further partitions, for this transaction and for others of the turn.
    ///
    /// # Errors
    /// [`EnterError::TimedOut`] where another site or transaction has one of
    /// them for too long; it may wait for one that this one has.
    /// [`EnterError::Over`] where other sites committed there what this site has
    /// not applied: the transaction has begun without it. In all cases the
    /// transaction is to be rolled back, and tried again with all partitions
    /// from the beginning.
    ///
    /// # Cost
    /// As [`RedoLog::turn`](crate::redo_log::RedoLog::turn).
    ///
    /// # Cancel safety
    /// The turn goes on as it was.
    pub async fn extend(
        &self,
        more: &PartitionSet,
        wait: Duration,
    ) -> Result<(), EnterError<D::Error>> {
        let Some(turn) = &self.turn else {
            return Err(EnterError::Over);
        };
        let began = clock::now();
        let waited = || clock::now().saturating_duration_since(began);
        let owns = |wanted: &PartitionSet| {
            let owned = PartitionSet::new(turn.partitions());
            owned.is_ok_and(|owned| owned.covers(wanted))
        };
        if owns(more) {
            return Ok(());
        }
        let claim = tokio::time::timeout(wait, self.claim(more)).await;
        let Ok(_claim) = claim else {
            return Err(EnterError::TimedOut { waited: waited() });
        };
        let applied = self
            .shared
            .database
            .applied()
            .await
            .map_err(EnterError::Database)?;
        let left = wait.saturating_sub(waited());
        let missed = Box::pin(turn.extend(more, &applied, left)).await?;
        if !missed.is_empty() {
            return Err(EnterError::Over);
        }
        if let Ok(owned) = PartitionSet::new(turn.partitions()) {
            self.shared.table().widen(self.id, &owned);
        }
        Ok(())
    }

    /// Waits until no other turn of the site has these partitions.
    async fn claim(&self, more: &PartitionSet) -> Claim<'_, D> {
        loop {
            let changed = self.shared.changed.notified();
            if self.shared.table().claim(self.id, more) {
                return Claim { pass: self };
            }
            self.shared.used.notify_waiters();
            changed.await;
        }
    }
}

impl<D: Database> Drop for Pass<D> {
    fn drop(&mut self) {
        // The last user leaves the turn to its keeper.
        drop(self.turn.take());
        self.shared.table().left(self.id);
        self.shared.used.notify_waiters();
    }
}

/// Partitions that no other turn of the site gets, until this is dropped.
struct Claim<'a, D: Database> {
    pass: &'a Pass<D>,
}

impl<D: Database> Drop for Claim<'_, D> {
    fn drop(&mut self) {
        let shared = &self.pass.shared;
        shared.table().unclaim(self.pass.id);
        shared.changed.notify_waiters();
    }
}
