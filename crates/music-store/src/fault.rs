//! An engine that fails as told, around any other.
//!
//! ```text
//!   faults.next(Call::Write, Fault::LoseAnswer);
//!   store.write(…)  → the write takes effect, and the caller hears TimedOut
//! ```
//!
//! Each fault is for the next call of its kind; several for one kind take
//! their turns. Calls without a fault go through, unless the site is cut off:
//! then those that need a majority fail as unavailable.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use music_core::id::{Key, RecordId, SessionId, TableId};
use music_core::lock_queue::{Command, LockQueue};
use music_core::lock_ref::Holding;
use music_core::record::Record;
use tokio::sync::{Notify, broadcast, mpsc};

use crate::error::{Needed, Outcome};
use crate::{
    Applied, Error, Hint, Level, LockStore, Look, ScanRange, StateStore, Table, TableMode,
    TableName,
};

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Call {
    /// [`StateStore::write`].
    Write,
    /// [`StateStore::read`].
    Read,
    /// [`StateStore::scan`].
    Scan,
    /// [`StateStore::create_table`].
    CreateTable,
    /// [`StateStore::drop_table`].
    DropTable,
    /// [`LockStore::apply`].
    Apply,
    /// [`LockStore::peek`].
    Peek,
    /// [`LockStore::release`].
    Release,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails as unavailable and has no effect.
    FailBefore,
    /// It takes effect, but its caller hears that the time is over.
    LoseAnswer,
    /// It has no effect until [`Faults::release_held`].
    HoldRequest,
    /// It takes effect; its answer is kept back until
    /// [`Faults::release_held`].
    HoldAnswer,
    /// Its caller hears that the time is over; it takes effect at
    /// [`Faults::deliver_late`], or never. Of writes, commands and releases;
    /// other calls are lost.
    Late,
    /// A write takes effect at the local replica only, and its caller hears
    /// that the time is over; the engine tells the other replicas when it
    /// will. Other calls fail as with [`Fault::FailBefore`].
    LocalOnly,
}

type LateCall = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The script of a [`Faulty`] engine; clones share it.
#[derive(Clone, Default)]
pub struct Faults(Arc<Script>);

#[derive(Default)]
struct Script {
    /// The calls that needed a majority, in the order of [`Call`].
    calls: [AtomicU64; 8],
    cut_off: AtomicBool,
    deaf: AtomicBool,
    planned: Mutex<VecDeque<(Call, Fault)>>,
    late: Mutex<Vec<LateCall>>,
    held: Mutex<Held>,
    changed: Notify,
}

#[derive(Default)]
struct Held {
    waiting: usize,
    /// Grows when those who wait are let go.
    turn: u64,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faults")
            .field(&*lock(&self.0.planned))
            .finish()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    /// Cuts the engine off from its majority, or ends that.
    pub fn set_cut_off(&self, cut_off: bool) {
        self.0.cut_off.store(cut_off, Ordering::SeqCst);
    }

    /// Lets it watch no queue from now on, as an engine without watches.
    pub fn deafen(&self) {
        self.0.deaf.store(true, Ordering::SeqCst);
    }

    /// Whether it watches no queue.
    pub fn is_deaf(&self) -> bool {
        self.0.deaf.load(Ordering::SeqCst)
    }

    /// How many calls of that kind needed a majority so far.
    pub fn calls(&self, call: Call) -> u64 {
        let count = self.0.calls.get(usize::from(call as u8));
        count.map_or(0, |count| count.load(Ordering::SeqCst))
    }

    /// Fails where a majority is needed and there is none.
    fn reach(&self, call: Call, level: Level) -> Result<(), Error> {
        if level != Level::Majority {
            return Ok(());
        }
        if let Some(count) = self.0.calls.get(usize::from(call as u8)) {
            count.fetch_add(1, Ordering::SeqCst);
        }
        if self.0.cut_off.load(Ordering::SeqCst) {
            return Err(unavailable());
        }
        Ok(())
    }

    /// Plans a fault for the next call of that kind that has none yet.
    pub fn next(&self, call: Call, fault: Fault) {
        lock(&self.0.planned).push_back((call, fault));
    }

    /// How many planned faults have not happened yet.
    pub fn planned(&self) -> usize {
        lock(&self.0.planned).len()
    }

    /// Waits until so many calls are held at once.
    pub async fn held(&self, calls: usize) {
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if lock(&self.0.held).waiting >= calls {
                return;
            }
            changed.await;
        }
    }

    /// Lets all held calls go on.
    pub fn release_held(&self) {
        let mut held = lock(&self.0.held);
        held.turn = held.turn.wrapping_add(1);
        held.waiting = 0;
        drop(held);
        self.0.changed.notify_waiters();
    }

    /// Lets the late calls take effect, in the order they were made. Returns
    /// how many there were.
    pub async fn deliver_late(&self) -> usize {
        let late = std::mem::take(&mut *lock(&self.0.late));
        let count = late.len();
        for call in late {
            call.await;
        }
        count
    }

    /// Forgets the late calls: they never take effect.
    pub fn lose_late(&self) {
        lock(&self.0.late).clear();
    }

    fn take(&self, call: Call) -> Option<Fault> {
        let mut planned = lock(&self.0.planned);
        let index = planned.iter().position(|(kind, _)| *kind == call)?;
        planned.remove(index).map(|(_, fault)| fault)
    }

    fn next_is(&self, call: Call, fault: Fault) -> bool {
        let planned = lock(&self.0.planned);
        planned
            .iter()
            .find(|(kind, _)| *kind == call)
            .is_some_and(|(_, next)| *next == fault)
    }

    async fn hold(&self) {
        let turn = {
            let mut held = lock(&self.0.held);
            held.waiting = held.waiting.saturating_add(1);
            held.turn
        };
        self.0.changed.notify_waiters();
        loop {
            let changed = self.0.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if lock(&self.0.held).turn != turn {
                return;
            }
            changed.await;
        }
    }

    /// Performs a call with what is planned for it. `late` is the call once
    /// more, for later; `None` where a late effect would mean nothing.
    async fn perform<T>(
        &self,
        kind: Call,
        call: impl Future<Output = Result<T, Error>> + Send,
        late: Option<LateCall>,
    ) -> Result<T, Error> {
        match self.take(kind) {
            None => call.await,
            Some(Fault::FailBefore | Fault::LocalOnly) => Err(unavailable()),
            Some(Fault::LoseAnswer) => {
                call.await?;
                Err(Error::TimedOut)
            }
            Some(Fault::HoldRequest) => {
                self.hold().await;
                call.await
            }
            Some(Fault::HoldAnswer) => {
                let result = call.await;
                self.hold().await;
                result
            }
            Some(Fault::Late) => {
                lock(&self.0.late).extend(late);
                Err(Error::TimedOut)
            }
        }
    }
}

fn unavailable() -> Error {
    Error::Unavailable {
        needed: Needed::Majority,
        outcome: Outcome::NotApplied,
    }
}

/// An engine whose calls meet the faults that are planned.
#[derive(Clone, Debug)]
pub struct Faulty<E> {
    inner: E,
    faults: Faults,
}

impl<E> Faulty<E> {
    /// Wraps an engine; `faults` is the handle to plan with.
    pub fn new(inner: E, faults: Faults) -> Self {
        Self { inner, faults }
    }

    /// The engine inside.
    pub fn inner(&self) -> &E {
        &self.inner
    }

    /// The handle to plan faults with.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

/// What a late call ends with concerns nobody.
fn ignore<T>(result: &Result<T, Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a late call failed");
    }
}

impl<E: StateStore> StateStore for Faulty<E> {
    async fn write(&self, id: &RecordId, change: Record, level: Level) -> Result<(), Error> {
        self.faults.reach(Call::Write, level)?;
        if self.faults.next_is(Call::Write, Fault::LocalOnly) {
            self.faults.take(Call::Write);
            self.inner.write(id, change, Level::Local).await?;
            return Err(Error::TimedOut);
        }
        let (inner, late_id, late_change) = (self.inner.clone(), id.clone(), change.clone());
        let late = Box::pin(async move {
            ignore(&inner.write(&late_id, late_change, level).await);
        });
        let call = self.inner.write(id, change, level);
        self.faults.perform(Call::Write, call, Some(late)).await
    }

    async fn read(&self, id: &RecordId, level: Level) -> Result<Record, Error> {
        self.faults.reach(Call::Read, level)?;
        self.faults
            .perform(Call::Read, self.inner.read(id, level), None)
            .await
    }

    async fn scan(&self, range: ScanRange) -> Result<Vec<(Key, Record)>, Error> {
        self.faults
            .perform(Call::Scan, self.inner.scan(range), None)
            .await
    }

    async fn create_table(&self, name: &TableName, mode: TableMode) -> Result<Table, Error> {
        self.faults.reach(Call::CreateTable, Level::Majority)?;
        let call = self.inner.create_table(name, mode);
        self.faults.perform(Call::CreateTable, call, None).await
    }

    async fn drop_table(&self, name: &TableName) -> Result<bool, Error> {
        self.faults.reach(Call::DropTable, Level::Majority)?;
        self.faults
            .perform(Call::DropTable, self.inner.drop_table(name), None)
            .await
    }

    fn table(&self, name: &TableName) -> Option<Table> {
        self.inner.table(name)
    }

    fn table_by_id(&self, id: TableId) -> Option<Table> {
        self.inner.table_by_id(id)
    }

    fn tables(&self) -> Vec<Table> {
        self.inner.tables()
    }

    fn changes(&self) -> Option<broadcast::Receiver<RecordId>> {
        self.inner.changes()
    }
}

impl<E: LockStore> LockStore for Faulty<E> {
    async fn apply(&self, id: &RecordId, command: Command) -> Result<Applied, Error> {
        self.faults.reach(Call::Apply, Level::Majority)?;
        let (inner, late_id) = (self.inner.clone(), id.clone());
        let late = Box::pin(async move { ignore(&inner.apply(&late_id, command).await) });
        self.faults
            .perform(Call::Apply, self.inner.apply(id, command), Some(late))
            .await
    }

    async fn peek(&self, id: &RecordId) -> Result<Arc<LockQueue>, Error> {
        self.faults.reach(Call::Peek, Level::Majority)?;
        self.faults
            .perform(Call::Peek, self.inner.peek(id), None)
            .await
    }

    async fn release(&self, id: &RecordId, holding: Holding) -> Result<(), Error> {
        self.faults.reach(Call::Release, Level::Majority)?;
        let (inner, late_id) = (self.inner.clone(), id.clone());
        let late = Box::pin(async move { ignore(&inner.release(&late_id, holding).await) });
        self.faults
            .perform(Call::Release, self.inner.release(id, holding), Some(late))
            .await
    }

    fn watch(&self, id: &RecordId) {
        if !self.faults.is_deaf() {
            self.inner.watch(id);
        }
    }

    fn unwatch(&self, id: &RecordId) {
        if !self.faults.is_deaf() {
            self.inner.unwatch(id);
        }
    }

    fn glance(&self, id: &RecordId) -> bool {
        !self.faults.is_deaf() && self.inner.glance(id)
    }

    /// Nodes of an engine without watches get in each other's way.
    async fn look(&self, id: &RecordId, own: SessionId) -> Option<Look> {
        if self.faults.is_deaf() {
            let queue = self.inner.peek(id).await.ok()?;
            let is_crowded = true;
            Some(Look { queue, is_crowded })
        } else {
            LockStore::look(&self.inner, id, own).await
        }
    }

    fn hints(&self) -> mpsc::Receiver<Hint> {
        self.inner.hints()
    }
}

#[cfg(test)]
mod tests;
