//! A transaction's place among those of all sites.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::local::Local;
use super::{FURTHER_WAIT, not_appended, not_entered};
use crate::engine::Digest;
use crate::error::{Result, SqlError};
use crate::ownership::Pass;
use crate::partition::{Partition, PartitionSet};
use crate::redo_log::{Footprint, Place, Ticket};

/// A transaction that owns something.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) session: u64,
    /// None once it is acknowledged.
    pass: Mutex<Option<Arc<Pass<Local>>>>,
    /// What it began with beside what it touched first.
    pub(super) habit: Option<Partitions>,
    touched: Mutex<Partitions>,
    /// Where its entry is, once it is appended.
    appended: Mutex<Vec<Place>>,
}

/// What a transaction has touched.
#[derive(Clone, Debug, Default)]
pub(super) struct Partitions {
    pub(super) reads: BTreeSet<Partition>,
    pub(super) writes: BTreeSet<Partition>,
}

impl Partitions {
    pub(super) fn all(&self) -> BTreeSet<Partition> {
        self.reads.union(&self.writes).cloned().collect()
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.reads.extend(other.reads.iter().cloned());
        self.writes.extend(other.writes.iter().cloned());
    }
}

impl Transaction {
    /// One that has got its place, and touches that first.
    pub(super) fn new(
        session: u64,
        pass: Pass<Local>,
        habit: Option<Partitions>,
        touched: Partitions,
    ) -> Self {
        Self {
            session,
            pass: Mutex::new(Some(Arc::new(pass))),
            habit,
            touched: Mutex::new(touched),
            appended: Mutex::default(),
        }
    }

    pub(super) fn touched(&self) -> MutexGuard<'_, Partitions> {
        self.touched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn appended(&self) -> MutexGuard<'_, Vec<Place>> {
        self.appended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pass(&self) -> Result<Arc<Pass<Local>>> {
        let pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        let left = || SqlError::internal("a transaction goes on that has left its turn");
        pass.clone().ok_or_else(left)
    }

    /// Leaves its turn.
    pub(super) fn leave(&self) {
        let mut pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        *pass = None;
    }

    pub(super) async fn extend(&self, more: &Partitions) -> Result<()> {
        let pass = self.pass()?;
        if !more.writes.is_empty() && pass.is_shared() {
            return Err(SqlError::again(
                "the transaction began to read, and then wrote",
            ));
        }
        // Whether or not it gets them: the next one begins with all of it.
        self.touched().extend(more);
        let wanted = PartitionSet::new(more.all()).map_err(SqlError::refused)?;
        let extended = pass.extend(&wanted, FURTHER_WAIT).await;
        extended.map_err(not_entered)
    }

    /// Gives the transaction its place; its ticket tells when it is acknowledged.
    pub(super) async fn append(&self, digest: &Digest, local: &Local) -> Result<Ticket> {
        let touched = self.touched().clone();
        let reads = touched.reads.difference(&touched.writes).cloned().collect();
        let writes = PartitionSet::new(touched.writes).map_err(SqlError::internal)?;
        let bytes = Bytes::from(digest.encode().map_err(SqlError::internal)?);
        let footprint = Footprint { writes, reads };
        let ticket = self.pass()?.append(&footprint, bytes).await;
        let ticket = ticket.map_err(|failure| not_appended(&failure))?;
        self.appended().clone_from(&ticket.places().to_vec());
        local.appended(ticket.places());
        Ok(ticket)
    }

    /// What it has touched was the latest, and is acknowledged.
    pub(super) async fn prove(&self) -> Result<()> {
        let read = self.all_touched()?;
        self.pass()?.prove(&read).await.map_err(not_entered)
    }

    pub(super) fn all_touched(&self) -> Result<PartitionSet> {
        PartitionSet::new(self.touched().all()).map_err(SqlError::internal)
    }
}
