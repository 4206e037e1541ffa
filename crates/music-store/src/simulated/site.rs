//! The two ports of one site.

use std::sync::Arc;

use music_core::id::{Key, RecordId, SessionId, TableId};
use music_core::lock_queue::{Command, LockQueue};
use music_core::lock_ref::Holding;
use music_core::record::Record;
use tokio::sync::{broadcast, mpsc};

use super::replica::Ask;
use super::{HINTS_MAX, Site, answered, in_time, lock, queues, records, within};
use crate::error::{Needed, Outcome};
use crate::{
    Applied, Error, Hint, Level, LockStore, Look, ScanRange, StateStore, Table, TableMode,
    TableName,
};

impl Site {
    /// Whether it tells of changes that other sites make.
    pub fn has_watches(&self) -> bool {
        !self.shared.is_deaf()
    }

    fn local(&self) -> Result<(), Error> {
        let (needed, outcome) = (Needed::Local, Outcome::NotApplied);
        if self.shared.is_running(self.index) {
            Ok(())
        } else {
            Err(Error::Unavailable { needed, outcome })
        }
    }

    /// A change that waits for the local replica alone. The others are told at
    /// once, as real engines do; where that is lost, healing tells them.
    async fn write_local(&self, id: &RecordId, change: Record) -> Result<(), Error> {
        self.local()?;
        let (answers, mut inbox) = mpsc::unbounded_channel();
        let ask = Ask::Merge(id.clone(), change);
        let own = self.index;
        for other in (0..self.shared.sites()).filter(|other| *other != own) {
            self.shared.ask(own, other, ask.clone(), None);
        }
        self.shared.ask(own, own, ask, Some(answers));
        answered(&mut inbox).await;
        Ok(())
    }

    fn copy(&self, id: &RecordId) -> Result<Record, Error> {
        self.local()?;
        let replicas = self.shared.replicas();
        Ok(replicas
            .get(self.index)
            .map(|replica| replica.record(id))
            .unwrap_or_default())
    }
}

impl StateStore for Site {
    async fn write(&self, id: &RecordId, change: Record, level: Level) -> Result<(), Error> {
        self.shared.known(id.table)?;
        match level {
            Level::Local => in_time(self.write_local(id, change)).await,
            Level::Majority => {
                in_time(
                    self.shared
                        .tell_majority(self.index, &Ask::Merge(id.clone(), change)),
                )
                .await
            }
        }
    }

    async fn read(&self, id: &RecordId, level: Level) -> Result<Record, Error> {
        self.shared.known(id.table)?;
        match level {
            Level::Local => self.copy(id),
            Level::Majority => in_time(records::read(&self.shared, self.index, id)).await,
        }
    }

    async fn scan(&self, range: ScanRange) -> Result<Vec<(Key, Record)>, Error> {
        self.shared.known(range.table)?;
        self.local()?;
        let replicas = self.shared.replicas();
        let replica = replicas.get(self.index);
        Ok(replica.map_or_else(Vec::new, |replica| range.of(&replica.records)))
    }

    async fn create_table(&self, name: &TableName, mode: TableMode) -> Result<Table, Error> {
        self.shared.reach_majority(self.index)?;
        Ok(lock(&self.shared.catalogue).create(name, mode))
    }

    async fn drop_table(&self, name: &TableName) -> Result<bool, Error> {
        self.shared.reach_majority(self.index)?;
        let Some(table) = lock(&self.shared.catalogue).remove(name) else {
            return Ok(false);
        };
        for replica in self.shared.replicas().iter_mut() {
            replica.records.retain(|id, _| id.table != table.id);
        }
        Ok(true)
    }

    fn table(&self, name: &TableName) -> Option<Table> {
        lock(&self.shared.catalogue).table(name).cloned()
    }

    fn table_by_id(&self, id: TableId) -> Option<Table> {
        lock(&self.shared.catalogue).table_by_id(id).cloned()
    }

    fn tables(&self) -> Vec<Table> {
        lock(&self.shared.catalogue).tables().cloned().collect()
    }

    fn changes(&self) -> Option<broadcast::Receiver<RecordId>> {
        Some(self.view.changes.subscribe())
    }
}

impl LockStore for Site {
    async fn apply(&self, id: &RecordId, command: Command) -> Result<Applied, Error> {
        let limit = self.shared.queue_call_max();
        within(limit, queues::apply(&self.shared, self.index, id, command)).await
    }

    async fn peek(&self, id: &RecordId) -> Result<Arc<LockQueue>, Error> {
        let limit = self.shared.queue_call_max();
        within(limit, queues::peek(&self.shared, self.index, id)).await
    }

    async fn release(&self, id: &RecordId, holding: Holding) -> Result<(), Error> {
        in_time(
            self.shared
                .tell_majority(self.index, &Ask::Release(id.clone(), holding)),
        )
        .await
    }

    fn watch(&self, id: &RecordId) {
        *lock(&self.view.watched).entry(id.clone()).or_default() += 1;
    }

    fn unwatch(&self, id: &RecordId) {
        let mut watched = lock(&self.view.watched);
        if let Some(count) = watched.get_mut(id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                watched.remove(id);
            }
        }
    }

    async fn look(&self, id: &RecordId, _own: SessionId) -> Option<Look> {
        if !self.shared.is_deaf() {
            return None;
        }
        let site = self
            .local()
            .map_or((self.index + 1) % self.shared.sites(), |()| self.index);
        let queue = self.shared.queue_at(site, id).queue();
        let is_crowded = true;
        Some(Look { queue, is_crowded })
    }

    fn hints(&self) -> mpsc::Receiver<Hint> {
        let (sender, receiver) = mpsc::channel(HINTS_MAX);
        *lock(&self.view.hints) = Some(sender);
        receiver
    }
}
