//! A tiny database in memory: lists and balances, one of each a partition.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use mdbc::ownership::Database;
use mdbc::partition::Partition;
use mdbc::redo_log::{Applied, Entry, Place, Step};
use serde::{Deserialize, Serialize};

/// A change of a partition's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) partition: Partition,
    /// To the end of its list.
    pub(crate) append: Option<u64>,
    /// To its balance.
    pub(crate) amount: i64,
}

pub(crate) fn digest(changes: &[Change]) -> Bytes {
    postcard::to_allocvec(changes).unwrap().into()
}

/// What a database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Data {
    pub(crate) applied: Applied,
    pub(crate) lists: BTreeMap<Partition, Vec<u64>>,
    pub(crate) balances: BTreeMap<Partition, i64>,
}

impl Data {
    fn apply(&mut self, entry: &Entry) {
        self.applied.advance(entry);
        let changes: Vec<Change> = postcard::from_bytes(&entry.digest).unwrap();
        for change in changes {
            let is_place = |place: &Place| place.partition == change.partition;
            assert!(
                entry.places.iter().any(is_place),
                "a change beside its places"
            );
            self.lists
                .entry(change.partition.clone())
                .or_default()
                .extend(change.append);
            *self.balances.entry(change.partition).or_default() += change.amount;
        }
    }

    pub(crate) fn list(&self, partition: &Partition) -> Vec<u64> {
        self.lists.get(partition).cloned().unwrap_or_default()
    }
}

#[derive(Debug, Default)]
struct State {
    /// What is on disk.
    durable: Data,
    /// What was appended and is neither committed nor rolled back, and whether it
    /// is acknowledged.
    pending: Vec<(Entry, bool)>,
    /// Whether the process that had it is dead.
    dead: bool,
}

/// The database of one life of a process; what is on its disk outlives it.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<State>);

/// The process is dead.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the process is dead")]
pub(crate) struct Dead;

impl Ledger {
    /// The database of the next life.
    pub(crate) fn recover(durable: Data) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            durable,
            ..State::default()
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Ends its life. What is on disk stays.
    pub(crate) fn kill(&self) -> Data {
        let mut state = self.state();
        state.dead = true;
        state.durable.clone()
    }

    pub(crate) fn durable(&self) -> Data {
        self.state().durable.clone()
    }

    /// What transactions of this site see.
    pub(crate) fn data(&self) -> Data {
        let state = self.state();
        let mut data = state.durable.clone();
        for (entry, _) in &state.pending {
            data.apply(entry);
        }
        data
    }

    /// Runs a transaction's changes, not committed yet.
    pub(crate) fn run(&self, entry: Entry) {
        self.state().pending.push((entry, false));
    }

    /// Commits what was run and is acknowledged, as soon as what comes before is.
    pub(crate) fn commit(&self, entry: &Entry) -> Result<(), Dead> {
        let mut state = self.state();
        if state.dead {
            return Err(Dead);
        }
        let State {
            durable, pending, ..
        } = &mut *state;
        for (other, is_acknowledged) in pending.iter_mut() {
            *is_acknowledged |= other == entry;
        }
        pending.retain(|(entry, is_acknowledged)| {
            let is_next = *is_acknowledged && durable.applied.step(entry) == Step::Next;
            if is_next {
                durable.apply(entry);
            }
            !is_next
        });
        Ok(())
    }

    /// Undoes what was run.
    pub(crate) fn roll_back(&self, entry: &Entry) {
        self.state().pending.retain(|(pending, _)| pending != entry);
    }
}

impl Database for Ledger {
    type Error = Dead;

    async fn applied(&self) -> Result<Applied, Dead> {
        Ok(self.data().applied)
    }

    async fn replay(&self, entries: Vec<Entry>) -> Result<(), Dead> {
        let mut state = self.state();
        if state.dead {
            return Err(Dead);
        }
        for entry in entries {
            match state.durable.applied.step(&entry) {
                Step::Next => state.durable.apply(&entry),
                Step::Done => {}
                Step::Gap => panic!("{entry:?} after {:?}", state.durable.applied),
            }
        }
        Ok(())
    }
}
