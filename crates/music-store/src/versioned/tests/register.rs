//! Registers in memory that fail as told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use music_core::id::RecordId;
use tokio::sync::watch;

use crate::versioned::{Failure, Register, Swapped, Version, Versioned};

/// What happens to a swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It takes effect, and its answer is lost.
    LoseAnswer,
    /// Its answer is lost; it takes effect when [`Node::deliver`] is called.
    Late,
    /// It is not sent.
    Unreachable,
    /// It is refused, because there is too much to do.
    Overloaded,
}

/// A swap that was not answered: key, version, value.
type Swap = (RecordId, Option<Version>, Bytes);

/// What all nodes share.
#[derive(Clone, Default)]
pub(super) struct Registers {
    cells: Arc<Mutex<BTreeMap<RecordId, Cell>>>,
    changes: Arc<watch::Sender<()>>,
}

/// One register.
#[derive(Default)]
struct Cell {
    value: Versioned,
    /// When a swap was last refused.
    refused: i64,
}

impl Cell {
    fn put(&mut self, bytes: Bytes) -> Version {
        let number = self.value.version.map_or(1, |version| version.number + 1);
        // Between two versions there is room for the mark of a refusal.
        let version = Version {
            at: 2 * number,
            number,
        };
        self.value = Versioned {
            version: Some(version),
            bytes,
        };
        version
    }
}

/// One node's connection; clones share it.
#[derive(Clone, Default)]
pub(super) struct Node {
    all: Registers,
    faults: Arc<Mutex<VecDeque<Option<Fault>>>>,
    late: Arc<Mutex<Vec<Swap>>>,
    isolated: Arc<AtomicBool>,
    reads: Arc<AtomicUsize>,
    swaps: Arc<AtomicUsize>,
}

impl Registers {
    pub(super) fn node(&self) -> Node {
        Node {
            all: self.clone(),
            ..Node::default()
        }
    }

    pub(super) fn get(&self, id: &RecordId) -> Versioned {
        let cells = self.cells.lock().unwrap();
        let value = cells.get(id).map(|cell| cell.value.clone());
        value.unwrap_or_default()
    }

    pub(super) fn put(&self, id: &RecordId, bytes: Bytes) -> Version {
        let mut cells = self.cells.lock().unwrap();
        let version = cells.entry(id.clone()).or_default().put(bytes);
        self.changes.send_replace(());
        version
    }

    /// Compares and writes under one lock: that is all that a register is for.
    fn swap(&self, id: &RecordId, version: Option<Version>, bytes: Bytes) -> Swapped {
        let mut cells = self.cells.lock().unwrap();
        let cell = cells.entry(id.clone()).or_default();
        if cell.value.version == version {
            let refused = cell.refused;
            let version = cell.put(bytes);
            self.changes.send_replace(());
            Swapped::Done { version, refused }
        } else {
            cell.refused = cell.value.version.map_or(1, |version| version.at + 1);
            Swapped::Refused(cell.value.clone())
        }
    }
}

impl Node {
    /// Plans what happens to the next swap that has no fault yet.
    pub(super) fn next(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(Some(fault));
    }

    /// Plans that the next swap that has no fault yet has none.
    pub(super) fn skip(&self) {
        self.faults.lock().unwrap().push_back(None);
    }

    /// How much of what was planned has not happened.
    pub(super) fn planned(&self) -> usize {
        self.faults.lock().unwrap().len()
    }

    /// Forgets what was planned.
    pub(super) fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// Lets the late swaps take effect where they still can.
    pub(super) fn deliver(&self) {
        for (id, version, bytes) in self.late.lock().unwrap().drain(..) {
            self.all.swap(&id, version, bytes);
        }
    }

    pub(super) fn isolate(&self, isolated: bool) {
        self.isolated.store(isolated, Ordering::SeqCst);
        self.all.changes.send_replace(());
    }

    /// How many reads and swaps there were since the last time.
    pub(super) fn counts(&self) -> (usize, usize) {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::SeqCst);
        (take(&self.reads), take(&self.swaps))
    }

    fn reach(&self) -> Result<(), Failure> {
        if self.isolated.load(Ordering::SeqCst) {
            return Err(Failure::Unreachable);
        }
        Ok(())
    }
}

impl Register for Node {
    async fn read(&self, id: &RecordId) -> Result<Versioned, Failure> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.reach()?;
        Ok(self.all.get(id))
    }

    async fn swap(
        &self,
        id: &RecordId,
        version: Option<Version>,
        bytes: Bytes,
    ) -> Result<Swapped, Failure> {
        self.swaps.fetch_add(1, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.reach()?;
        let fault = self.faults.lock().unwrap().pop_front().flatten();
        match fault {
            None => {}
            Some(Fault::Unreachable) => return Err(Failure::Unreachable),
            Some(Fault::Overloaded) => return Err(Failure::Overloaded),
            Some(Fault::LoseAnswer) => {
                self.all.swap(id, version, bytes);
                return Err(Failure::Unknown);
            }
            Some(Fault::Late) => {
                let swap = (id.clone(), version, bytes);
                self.late.lock().unwrap().push(swap);
                return Err(Failure::Unknown);
            }
        }
        let swapped = self.all.swap(id, version, bytes);
        tokio::task::yield_now().await;
        // Cut off between the effect and the answer.
        self.reach().or(Err(Failure::Unknown))?;
        Ok(swapped)
    }

    async fn follow(&self, id: &RecordId, changed: impl Fn(Versioned) + Send + Sync) -> Failure {
        let mut changes = self.all.changes.subscribe();
        let mut told = None;
        while self.reach().is_ok() {
            let value = self.all.get(id);
            if told.as_ref() != Some(&value.version) {
                told = Some(value.version);
                changed(value);
            }
            if changes.changed().await.is_err() {
                break;
            }
        }
        Failure::Unreachable
    }
}
