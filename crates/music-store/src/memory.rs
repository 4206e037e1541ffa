//! A small reference engine: plain maps behind one lock.
//!
//! Several sites, a copy of the records each, one linearizable queue a key;
//! no disk, no delay, no consensus: the lock is the order. It shows what the
//! ports mean, and lets tests decide when a copy hears of a write.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use music_core::id::{Key, RecordId, TableId};
use music_core::lock_queue::{Command, LockQueue};
use music_core::lock_ref::{Holding, LockRef};
use music_core::quorum::majority;
use music_core::record::Record;
use tokio::sync::{broadcast, mpsc};

use crate::catalogue::Catalogue;
use crate::error::{Needed, Outcome};
use crate::{
    Applied, Error, Hint, Level, LockStore, ScanRange, StateStore, Table, TableMode, TableName,
};

/// How many hints, or changed records, wait for a listener; it loses more.
const HINTS_MAX: usize = 1_024;

/// When the copies of other sites hear of a write that they need not hear of
/// before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// At once, where they can be reached.
    Immediate,
    /// At [`Memory::propagate`].
    Explicit,
}

/// All sites of a deployment, in memory.
#[derive(Clone, Debug)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    sites: usize,
}

/// One site of a [`Memory`]: its state store and lock store.
#[derive(Clone, Debug)]
pub struct MemorySite {
    state: Arc<Mutex<State>>,
    index: usize,
}

#[derive(Debug)]
struct State {
    propagation: Propagation,
    sites: Vec<SiteState>,
    queues: BTreeMap<RecordId, Arc<LockQueue>>,
    catalogue: Catalogue,
    /// What a site has not heard of yet.
    owed: Vec<(usize, RecordId, Arc<Record>)>,
}

#[derive(Debug)]
struct SiteState {
    records: BTreeMap<RecordId, Record>,
    /// No other site can be reached, nor reaches it.
    isolated: bool,
    watched: BTreeMap<RecordId, usize>,
    hints: Option<mpsc::Sender<Hint>>,
    changes: broadcast::Sender<RecordId>,
}

impl Memory {
    /// An engine with that many sites, at least one.
    pub fn new(sites: usize, propagation: Propagation) -> Self {
        let sites = sites.max(1);
        let site = |_| SiteState {
            records: BTreeMap::new(),
            isolated: false,
            watched: BTreeMap::new(),
            hints: None,
            changes: broadcast::channel(HINTS_MAX).0,
        };
        let state = State {
            propagation,
            sites: (0..sites).map(site).collect(),
            queues: BTreeMap::new(),
            catalogue: Catalogue::default(),
            owed: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            sites,
        }
    }

    /// One site's view; `None` where there are not so many.
    pub fn site(&self, index: usize) -> Option<MemorySite> {
        (index < self.sites).then(|| MemorySite {
            state: Arc::clone(&self.state),
            index,
        })
    }

    /// Lets all copies that can be reached hear of what they are owed.
    pub fn propagate(&self) {
        lock(&self.state).propagate();
    }

    /// Cuts a site off, or connects it again.
    pub fn set_isolated(&self, index: usize, isolated: bool) {
        let mut state = lock(&self.state);
        if let Some(site) = state.sites.get_mut(index) {
            site.isolated = isolated;
        }
        if state.propagation == Propagation::Immediate {
            state.propagate();
        }
    }

    /// Skips all lockRefs of a key up to this one, as after a restore from a
    /// backup.
    pub fn advance(&self, id: &RecordId, lock_ref: LockRef) {
        let mut state = lock(&self.state);
        Arc::make_mut(state.queues.entry(id.clone()).or_default()).advance(lock_ref);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn propagate(&mut self) {
        for (index, id, change) in std::mem::take(&mut self.owed) {
            if self.sites.get(index).is_some_and(|site| site.isolated) {
                self.owed.push((index, id, change));
            } else {
                self.merge(index, &id, &change);
            }
        }
    }

    fn merge(&mut self, index: usize, id: &RecordId, change: &Record) {
        if self.catalogue.is_dropped(id.table) {
            return;
        }
        let Some(site) = self.sites.get_mut(index) else {
            return;
        };
        if site.records.entry(id.clone()).or_default().merge(change)
            && site.changes.send(id.clone()).is_err()
        {
            tracing::trace!("nobody listens for changes");
        }
    }

    /// The site's own copy and as many others as make `wanted`.
    fn reach(&self, index: usize, wanted: usize) -> Option<Vec<usize>> {
        let alone = self.sites.get(index).is_none_or(|site| site.isolated);
        let others = (1..self.sites.len())
            .map(|step| {
                index
                    .saturating_add(step)
                    .checked_rem(self.sites.len())
                    .unwrap_or(0)
            })
            .filter(|other| !alone && self.sites.get(*other).is_some_and(|site| !site.isolated));
        let reached: Vec<usize> = std::iter::once(index).chain(others).take(wanted).collect();
        (reached.len() >= wanted).then_some(reached)
    }

    fn reach_majority(&self, index: usize) -> Result<Vec<usize>, Error> {
        let outcome = Outcome::NotApplied;
        let unavailable = Error::Unavailable {
            needed: Needed::Majority,
            outcome,
        };
        self.reach(index, majority(self.sites.len()))
            .ok_or(unavailable)
    }

    fn write(&mut self, index: usize, id: &RecordId, change: Record, at: &[usize]) {
        let change = Arc::new(change);
        for site in 0..self.sites.len() {
            if at.contains(&site) {
                self.merge(site, id, &change);
            } else {
                self.owed.push((site, id.clone(), Arc::clone(&change)));
            }
        }
        let alone = self.sites.get(index).is_some_and(|site| site.isolated);
        if self.propagation == Propagation::Immediate && !alone {
            self.propagate();
        }
    }

    fn change_queue<T>(&mut self, id: &RecordId, change: impl FnOnce(&mut LockQueue) -> T) -> T {
        let queue = self.queues.entry(id.clone()).or_default();
        let result = change(Arc::make_mut(queue));
        let hint = Hint {
            id: id.clone(),
            marks: Some(queue.marks()),
        };
        for site in self.sites.iter().filter(|site| !site.isolated) {
            if let (true, Some(sender)) = (site.watched.contains_key(id), &site.hints)
                && sender.try_send(hint.clone()).is_err()
            {
                tracing::debug!("a hint was lost");
            }
        }
        result
    }

    fn known(&self, table: TableId) -> Result<(), Error> {
        if self.catalogue.is_dropped(table) {
            Err(Error::NoSuchTable)
        } else {
            Ok(())
        }
    }
}

impl MemorySite {
    /// The number of the site.
    pub fn index(&self) -> usize {
        self.index
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl StateStore for MemorySite {
    async fn write(&self, id: &RecordId, change: Record, level: Level) -> Result<(), Error> {
        let mut state = self.locked();
        state.known(id.table)?;
        let at = match level {
            Level::Local => vec![self.index],
            Level::Majority => state.reach_majority(self.index)?,
        };
        state.write(self.index, id, change, &at);
        Ok(())
    }

    async fn read(&self, id: &RecordId, level: Level) -> Result<Record, Error> {
        let mut state = self.locked();
        state.known(id.table)?;
        let at = match level {
            Level::Local => vec![self.index],
            Level::Majority => state.reach_majority(self.index)?,
        };
        let mut record = Record::empty();
        for site in at.iter().filter_map(|index| state.sites.get(*index)) {
            if let Some(copy) = site.records.get(id) {
                record.merge(copy);
            }
        }
        for index in at {
            state.merge(index, id, &record);
        }
        Ok(record)
    }

    async fn scan(&self, range: ScanRange) -> Result<Vec<(Key, Record)>, Error> {
        let state = self.locked();
        state.known(range.table)?;
        let site = state.sites.get(self.index);
        Ok(site.map_or_else(Vec::new, |site| range.of(&site.records)))
    }

    async fn create_table(&self, name: &TableName, mode: TableMode) -> Result<Table, Error> {
        let mut state = self.locked();
        state.reach_majority(self.index)?;
        Ok(state.catalogue.create(name, mode))
    }

    async fn drop_table(&self, name: &TableName) -> Result<bool, Error> {
        let mut state = self.locked();
        state.reach_majority(self.index)?;
        let Some(table) = state.catalogue.remove(name) else {
            return Ok(false);
        };
        for site in &mut state.sites {
            site.records.retain(|id, _| id.table != table.id);
        }
        Ok(true)
    }

    fn table(&self, name: &TableName) -> Option<Table> {
        self.locked().catalogue.table(name).cloned()
    }

    fn table_by_id(&self, id: TableId) -> Option<Table> {
        self.locked().catalogue.table_by_id(id).cloned()
    }

    fn tables(&self) -> Vec<Table> {
        self.locked().catalogue.tables().cloned().collect()
    }

    fn changes(&self) -> Option<broadcast::Receiver<RecordId>> {
        let state = self.locked();
        let site = state.sites.get(self.index)?;
        Some(site.changes.subscribe())
    }
}

impl LockStore for MemorySite {
    async fn apply(&self, id: &RecordId, command: Command) -> Result<Applied, Error> {
        let mut state = self.locked();
        state.reach_majority(self.index)?;
        let outcome = state.change_queue(id, |queue| queue.apply(command));
        let queue = state.queues.get(id).cloned().unwrap_or_default();
        Ok(Applied { outcome, queue })
    }

    async fn peek(&self, id: &RecordId) -> Result<Arc<LockQueue>, Error> {
        let state = self.locked();
        state.reach_majority(self.index)?;
        Ok(state.queues.get(id).cloned().unwrap_or_default())
    }

    async fn release(&self, id: &RecordId, holding: Holding) -> Result<(), Error> {
        let mut state = self.locked();
        state.reach_majority(self.index)?;
        state.change_queue(id, |queue| queue.release(holding));
        Ok(())
    }

    fn watch(&self, id: &RecordId) {
        if let Some(site) = self.locked().sites.get_mut(self.index) {
            let count = site.watched.entry(id.clone()).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn unwatch(&self, id: &RecordId) {
        if let Some(site) = self.locked().sites.get_mut(self.index)
            && let Some(count) = site.watched.get_mut(id)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                site.watched.remove(id);
            }
        }
    }

    fn hints(&self) -> mpsc::Receiver<Hint> {
        let (sender, receiver) = mpsc::channel(HINTS_MAX);
        if let Some(site) = self.locked().sites.get_mut(self.index) {
            site.hints = Some(sender);
        }
        receiver
    }
}

#[cfg(test)]
mod tests;
