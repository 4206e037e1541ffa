//! One site's view of the engine: both ports.

use std::sync::Arc;

use music_core::id::{Key, RecordId, ReplicaId, TableId};
use music_core::lock_queue::{Command, LockQueue};
use music_core::lock_ref::Holding;
use music_core::quorum::Tally;
use music_core::record::Record;
use music_core::replica::register::{MajorityRead, ReadStep};
use tokio::sync::{broadcast, mpsc};

use super::codec;
use super::disk::{Range, Space};
use super::healing::Item;
use super::shared::{Answer, Answers, Ask, Shared, storage};
use super::writer::{Effect, Work};
use super::{queues, tables};
use crate::{
    Applied, Error, Hint, Level, LockStore, ScanRange, StateStore, Table, TableMode, TableName,
};

/// How many records a scan reads at a time.
const SCAN_CHUNK: usize = 256;

/// One site of an [`Engine`](super::Engine): its state store and lock store.
#[derive(Clone)]
pub struct Site {
    shared: Arc<Shared>,
    id: ReplicaId,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Site").field(&self.name()).finish()
    }
}

impl Site {
    pub(super) fn new(shared: Arc<Shared>, id: ReplicaId) -> Self {
        Self { shared, id }
    }

    /// The site's name.
    pub fn name(&self) -> &str {
        self.shared
            .names
            .get(usize::from(self.id.0))
            .map_or("", String::as_str)
    }

    /// The number of the site's replica.
    pub fn replica(&self) -> ReplicaId {
        self.id
    }

    fn known_table(&self, table: TableId) -> Result<(), Error> {
        if self.shared.observer.views.is_dropped(self.id, table) {
            return Err(Error::NoSuchTable);
        }
        Ok(())
    }

    /// Asks these replicas to merge a change.
    fn send(
        &self,
        id: &RecordId,
        change: &Arc<Record>,
        to: impl Iterator<Item = ReplicaId>,
        answers: Option<&Answers>,
    ) {
        let asks = to.map(|to| {
            let item = Item::Record(id.clone());
            let undelivered = self.shared.healing.undelivered(self.id, to, item);
            let work = Work::Merge(id.clone(), Arc::clone(change));
            (to, Ask::Work(work), Some(undelivered))
        });
        self.shared.ask(self.id, asks, answers);
    }

    async fn write_local(&self, id: &RecordId, change: Record) -> Result<(), Error> {
        self.shared.local_life(self.id)?;
        let change = Arc::new(change);
        // Made first: whatever becomes of this call, the others are owed it.
        let others: Vec<_> = self
            .shared
            .all()
            .filter(|other| *other != self.id)
            .map(|to| {
                let item = Item::Record(id.clone());
                (to, self.shared.healing.undelivered(self.id, to, item))
            })
            .collect();
        let merge = Work::Merge(id.clone(), Arc::clone(&change));
        match self.shared.perform(self.id, merge).await? {
            Effect::Merged(true) => {
                let asks = others.into_iter().map(|(to, undelivered)| {
                    let work = Work::Merge(id.clone(), Arc::clone(&change));
                    (to, Ask::Work(work), Some(undelivered))
                });
                self.shared.ask(self.id, asks, None);
                Ok(())
            }
            effect => {
                // Whoever brought it here before owes it to the others.
                for (_, undelivered) in others {
                    undelivered.delivered();
                }
                if effect == Effect::NoSuchTable {
                    Err(Error::NoSuchTable)
                } else {
                    Ok(())
                }
            }
        }
    }

    async fn write_majority(&self, id: &RecordId, change: Record) -> Result<(), Error> {
        let (answers, mut inbox) = mpsc::unbounded_channel();
        self.send(id, &Arc::new(change), self.shared.all(), Some(&answers));
        self.majority_of(&mut inbox).await
    }

    /// Waits until a majority has done what it was asked.
    async fn majority_of(
        &self,
        inbox: &mut mpsc::UnboundedReceiver<(ReplicaId, Answer)>,
    ) -> Result<(), Error> {
        let mut tally = Tally::new(usize::from(self.shared.replicas));
        while !tally.is_majority() {
            let Some((from, answer)) = inbox.recv().await else {
                std::future::pending::<()>().await;
                continue;
            };
            let failure = failure(&answer);
            match failure {
                None => tally.answer(from),
                Some(_) => tally.fail(from),
            }
            if let (Some(error), true) = (failure, tally.is_hopeless()) {
                return Err(error);
            }
        }
        Ok(())
    }

    async fn read_majority(&self, id: &RecordId) -> Result<Record, Error> {
        let (answers, mut inbox) = mpsc::unbounded_channel();
        let asks = self
            .shared
            .all()
            .map(|to| (to, Ask::Record(id.clone()), None));
        self.shared.ask(self.id, asks, Some(&answers));
        let mut read = MajorityRead::new(self.shared.replicas);
        let mut tally = Tally::new(usize::from(self.shared.replicas));
        loop {
            let Some((from, answer)) = inbox.recv().await else {
                std::future::pending::<()>().await;
                continue;
            };
            if let Some(error) = failure(&answer) {
                tally.fail(from);
                if tally.is_hopeless() {
                    return Err(error);
                }
                continue;
            }
            let step = match answer {
                Answer::Record(copy) => read.answered(from, copy),
                _ => read.repaired(from),
            };
            match step {
                ReadStep::Wait => {}
                ReadStep::Repair { record, lacking } => {
                    let record = Arc::new(record);
                    self.send(id, &record, lacking.into_iter(), Some(&answers));
                }
                ReadStep::Done(record) => return Ok(record),
            }
        }
    }

    /// A call that needs a majority, within its time.
    async fn with_majority<T>(
        &self,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let life = self.shared.majority_life(self.id)?;
        let state = self.shared.site(self.id).ok_or(Error::Overloaded)?;
        let _admitted = state.calls.try_acquire().ok().ok_or(Error::Overloaded)?;
        self.shared.within(&life, call).await
    }
}

/// What a replica's answer has of an error.
fn failure(answer: &Answer) -> Option<Error> {
    match answer {
        Answer::Fault(fault) => Some(storage(Arc::clone(fault))),
        Answer::Effect(Effect::NoSuchTable) => Some(Error::NoSuchTable),
        Answer::Effect(_) | Answer::Record(_) | Answer::Queue(_) | Answer::Pong => None,
    }
}

impl StateStore for Site {
    async fn write(&self, id: &RecordId, change: Record, level: Level) -> Result<(), Error> {
        self.known_table(id.table)?;
        match level {
            Level::Local => self.write_local(id, change).await,
            Level::Majority => self.with_majority(self.write_majority(id, change)).await,
        }
    }

    async fn read(&self, id: &RecordId, level: Level) -> Result<Record, Error> {
        self.known_table(id.table)?;
        match level {
            Level::Local => {
                self.shared.local_life(self.id)?;
                self.shared.read_record(self.id, id).map_err(storage)
            }
            Level::Majority => self.with_majority(self.read_majority(id)).await,
        }
    }

    async fn scan(&self, range: ScanRange) -> Result<Vec<(Key, Record)>, Error> {
        self.known_table(range.table)?;
        self.shared.local_life(self.id)?;
        let disk = self.shared.disk.get().map_err(storage)?;
        let table = codec::table_prefix(self.id, range.table);
        let on_disk = |key: &[u8]| [&table, key].concat();
        let mut after = range.after.as_ref().map(|key| on_disk(key.as_bytes()));
        let prefix = on_disk(&range.prefix);
        let mut found = Vec::new();
        while found.len() < range.limit {
            let chunk = Range {
                prefix: prefix.clone(),
                after,
                limit: SCAN_CHUNK,
            };
            let chunk = disk.scan(Space::Records, &chunk).map_err(storage)?;
            let Some((last, _)) = chunk.last() else { break };
            after = Some(last.to_vec());
            for (key, value) in &chunk {
                let id =
                    codec::record_id(key).map_err(|error| storage(super::Fault::from(error)))?;
                let record = codec::decode_record(value)
                    .map_err(|error| storage(super::Fault::from(error)))?;
                if record.exists() && found.len() < range.limit {
                    found.push((id.key, record));
                }
            }
            if chunk.len() < SCAN_CHUNK {
                break;
            }
            // A long scan must not keep an async worker to itself.
            tokio::task::yield_now().await;
        }
        Ok(found)
    }

    async fn create_table(&self, name: &TableName, mode: TableMode) -> Result<Table, Error> {
        self.with_majority(tables::create(&self.shared, self.id, name, mode))
            .await
    }

    async fn drop_table(&self, name: &TableName) -> Result<bool, Error> {
        self.with_majority(tables::remove(&self.shared, self.id, name))
            .await
    }

    fn table(&self, name: &TableName) -> Option<Table> {
        self.shared.observer.views.of(self.id).table(name).cloned()
    }

    fn table_by_id(&self, id: TableId) -> Option<Table> {
        self.shared
            .observer
            .views
            .of(self.id)
            .table_by_id(id)
            .cloned()
    }

    fn tables(&self) -> Vec<Table> {
        self.shared
            .observer
            .views
            .of(self.id)
            .tables()
            .cloned()
            .collect()
    }

    fn changes(&self) -> Option<broadcast::Receiver<RecordId>> {
        let hub = self.shared.observer.hubs.get(usize::from(self.id.0))?;
        Some(hub.changes())
    }
}

impl LockStore for Site {
    async fn apply(&self, id: &RecordId, command: Command) -> Result<Applied, Error> {
        queues::call(&self.shared, self.id, id, Some(command)).await
    }

    async fn peek(&self, id: &RecordId) -> Result<Arc<LockQueue>, Error> {
        Ok(queues::call(&self.shared, self.id, id, None).await?.queue)
    }

    async fn release(&self, id: &RecordId, holding: Holding) -> Result<(), Error> {
        let call = async {
            let (answers, mut inbox) = mpsc::unbounded_channel();
            let asks = self.shared.all().map(|to| {
                let item = Item::Queue(id.clone());
                let undelivered = self.shared.healing.undelivered(self.id, to, item);
                (
                    to,
                    Ask::Work(Work::Release(id.clone(), holding)),
                    Some(undelivered),
                )
            });
            self.shared.ask(self.id, asks, Some(&answers));
            self.majority_of(&mut inbox).await
        };
        self.with_majority(call).await
    }

    fn watch(&self, id: &RecordId) {
        if let Some(hub) = self.shared.observer.hubs.get(usize::from(self.id.0)) {
            hub.watch(id);
        }
    }

    fn unwatch(&self, id: &RecordId) {
        if let Some(hub) = self.shared.observer.hubs.get(usize::from(self.id.0)) {
            hub.unwatch(id);
        }
    }

    fn hints(&self) -> mpsc::Receiver<Hint> {
        match self.shared.observer.hubs.get(usize::from(self.id.0)) {
            Some(hub) => hub.hints(),
            None => mpsc::channel(1).1,
        }
    }
}
