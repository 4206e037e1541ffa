//! The state store of one engine beside the lock store of another.

use std::sync::Arc;

use music_core::id::{Key, RecordId, TableId};
use music_core::lock_queue::{Command, LockQueue};
use music_core::lock_ref::Holding;
use music_core::record::Record;
use tokio::sync::{broadcast, mpsc};

use crate::{
    Applied, Error, Hint, Level, LockStore, ScanRange, StateStore, Table, TableMode, TableName,
};

/// A site's view for an engine that is one half of the two.
#[derive(Clone, Debug)]
pub struct Halves<S, L> {
    /// Where records are.
    pub state: S,
    /// Where queues are.
    pub locks: L,
}

impl<S: StateStore, L: Clone + Send + Sync + 'static> StateStore for Halves<S, L> {
    async fn write(&self, id: &RecordId, change: Record, level: Level) -> Result<(), Error> {
        self.state.write(id, change, level).await
    }

    async fn read(&self, id: &RecordId, level: Level) -> Result<Record, Error> {
        self.state.read(id, level).await
    }

    async fn scan(&self, range: ScanRange) -> Result<Vec<(Key, Record)>, Error> {
        self.state.scan(range).await
    }

    async fn create_table(&self, name: &TableName, mode: TableMode) -> Result<Table, Error> {
        self.state.create_table(name, mode).await
    }

    async fn drop_table(&self, name: &TableName) -> Result<bool, Error> {
        self.state.drop_table(name).await
    }

    fn table(&self, name: &TableName) -> Option<Table> {
        self.state.table(name)
    }

    fn table_by_id(&self, id: TableId) -> Option<Table> {
        self.state.table_by_id(id)
    }

    fn tables(&self) -> Vec<Table> {
        self.state.tables()
    }

    fn changes(&self) -> Option<broadcast::Receiver<RecordId>> {
        self.state.changes()
    }
}

impl<S: Clone + Send + Sync + 'static, L: LockStore> LockStore for Halves<S, L> {
    async fn apply(&self, id: &RecordId, command: Command) -> Result<Applied, Error> {
        self.locks.apply(id, command).await
    }

    async fn peek(&self, id: &RecordId) -> Result<Arc<LockQueue>, Error> {
        self.locks.peek(id).await
    }

    async fn release(&self, id: &RecordId, holding: Holding) -> Result<(), Error> {
        self.locks.release(id, holding).await
    }

    fn watch(&self, id: &RecordId) {
        self.locks.watch(id);
    }

    fn unwatch(&self, id: &RecordId) {
        self.locks.unwatch(id);
    }

    fn hints(&self) -> mpsc::Receiver<Hint> {
        self.locks.hints()
    }
}
