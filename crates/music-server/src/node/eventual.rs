//! Plain get and put at the local replica, and the tables.

use std::collections::{HashMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use music_core::critical_section::Change;
use music_core::id::{IdempotencyKey, RecordId};
use music_core::record::Record;
use music_core::stamp::Stamp;
use music_store::{Level, StateStore, Table, TableMode, TableName};

use super::{Error, Inner};

/// How many puts with an idempotency key a node remembers.
const REMEMBERED_MAX: usize = 10_000;

/// The stamps of puts that a client may try again.
#[derive(Debug, Default)]
pub(super) struct Writes {
    remembered: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    stamps: HashMap<IdempotencyKey, (u64, Stamp)>,
    order: VecDeque<IdempotencyKey>,
}

impl Writes {
    /// The stamp of the put of that name: a retry keeps the first one's.
    fn stamp(
        &self,
        name: IdempotencyKey,
        hash: u64,
        fresh: impl FnOnce() -> Stamp,
    ) -> Result<Stamp, Error> {
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match remembered.stamps.get(&name) {
            Some((known, stamp)) if *known == hash => return Ok(*stamp),
            Some(_) => return Err(Error::IdempotencyKeyReused),
            None => {}
        }
        if remembered.order.len() >= REMEMBERED_MAX
            && let Some(oldest) = remembered.order.pop_front()
        {
            remembered.stamps.remove(&oldest);
        }
        let stamp = fresh();
        remembered.stamps.insert(name, (hash, stamp));
        remembered.order.push_back(name);
        Ok(stamp)
    }
}

/// Tells two puts under the same name apart.
pub(super) fn fingerprint(id: &RecordId, change: &Change) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    match change {
        Change::Fields(fields) => fields.hash(&mut hasher),
        Change::Delete => "delete".hash(&mut hasher),
    }
    hasher.finish()
}

impl Inner {
    pub(super) async fn get(&self, id: &RecordId) -> Result<Record, Error> {
        Ok(self.state.read(id, Level::Local).await?)
    }

    pub(super) async fn put(
        &self,
        id: &RecordId,
        change: Change,
        key: Option<IdempotencyKey>,
    ) -> Result<Stamp, Error> {
        self.check_mode(id, TableMode::Eventual)?;
        let fresh = || Stamp::eventual(self.clock.wall_next());
        let stamp = match key {
            Some(name) => self.writes.stamp(name, fingerprint(id, &change), fresh)?,
            None => fresh(),
        };
        self.state
            .write(id, change.into_record(stamp), Level::Local)
            .await?;
        Ok(stamp)
    }

    /// Refuses what the table's mode does not allow.
    pub(super) fn check_mode(&self, id: &RecordId, needed: TableMode) -> Result<(), Error> {
        let table = self.state.table_by_id(id.table).ok_or(Error::NoSuchTable)?;
        if table.mode == needed {
            Ok(())
        } else {
            Err(Error::WrongMode { mode: table.mode })
        }
    }

    pub(super) async fn create_table(
        &self,
        name: &TableName,
        mode: TableMode,
    ) -> Result<Table, Error> {
        let table = self.state.create_table(name, mode).await?;
        if table.mode == mode {
            Ok(table)
        } else {
            Err(Error::WrongMode { mode: table.mode })
        }
    }

    pub(super) async fn drop_table(&self, name: &TableName) -> Result<(), Error> {
        if self.state.drop_table(name).await? {
            Ok(())
        } else {
            Err(Error::NoSuchTable)
        }
    }
}
