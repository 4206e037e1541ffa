//! The engines there are, as a closed set behind each port.

use std::sync::Arc;

use music_core::id::{Key, RecordId, TableId};
use music_core::lock_queue::{Command, LockQueue};
use music_core::lock_ref::Holding;
use music_core::record::Record;
use tokio::sync::{broadcast, mpsc};

use crate::{
    Applied, Error, Hint, Level, LockStore, ScanRange, StateStore, Table, TableMode, TableName,
    embedded,
};

/// One site's view of the engine that keeps the state.
#[derive(Clone, Debug)]
pub enum StateEngine {
    /// All sites in this process.
    Embedded(embedded::Site),
}

/// One site's view of the engine that keeps the locks.
#[derive(Clone, Debug)]
pub enum LockEngine {
    /// All sites in this process.
    Embedded(embedded::Site),
}

/// Passes a call on to the engine there is.
macro_rules! each {
    ($engine:expr, $site:ident => $call:expr) => {
        match $engine {
            Self::Embedded($site) => $call,
        }
    };
}

impl StateStore for StateEngine {
    async fn write(&self, id: &RecordId, change: Record, level: Level) -> Result<(), Error> {
        each!(self, site => site.write(id, change, level).await)
    }

    async fn read(&self, id: &RecordId, level: Level) -> Result<Record, Error> {
        each!(self, site => site.read(id, level).await)
    }

    async fn scan(&self, range: ScanRange) -> Result<Vec<(Key, Record)>, Error> {
        each!(self, site => site.scan(range).await)
    }

    async fn create_table(&self, name: &TableName, mode: TableMode) -> Result<Table, Error> {
        each!(self, site => site.create_table(name, mode).await)
    }

    async fn drop_table(&self, name: &TableName) -> Result<bool, Error> {
        each!(self, site => site.drop_table(name).await)
    }

    fn table(&self, name: &TableName) -> Option<Table> {
        each!(self, site => site.table(name))
    }

    fn table_by_id(&self, id: TableId) -> Option<Table> {
        each!(self, site => site.table_by_id(id))
    }

    fn tables(&self) -> Vec<Table> {
        each!(self, site => site.tables())
    }

    fn changes(&self) -> broadcast::Receiver<RecordId> {
        each!(self, site => site.changes())
    }
}

impl LockStore for LockEngine {
    async fn apply(&self, id: &RecordId, command: Command) -> Result<Applied, Error> {
        each!(self, site => site.apply(id, command).await)
    }

    async fn peek(&self, id: &RecordId) -> Result<Arc<LockQueue>, Error> {
        each!(self, site => site.peek(id).await)
    }

    async fn release(&self, id: &RecordId, holding: Holding) -> Result<(), Error> {
        each!(self, site => site.release(id, holding).await)
    }

    fn watch(&self, id: &RecordId) {
        each!(self, site => site.watch(id));
    }

    fn unwatch(&self, id: &RecordId) {
        each!(self, site => site.unwatch(id));
    }

    fn hints(&self) -> mpsc::Receiver<Hint> {
        each!(self, site => site.hints())
    }
}
