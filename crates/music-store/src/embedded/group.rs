//! The jobs of one commit: performed in memory, written together.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use music_core::id::{RecordId, ReplicaId, TableId};
use music_core::record::Record;
use music_core::replica::acceptor::Acceptor;

use super::catalogue::Views;
use super::codec;
use super::disk::{Disk, Fault, Put, Range, Space};
use super::hub::Hub;
use super::writer::{Effect, Work};

/// How many keys of a dropped table one commit removes.
const PURGE_KEYS_MAX: usize = 1_024;

/// Who knows the tables, and who is told of changes.
#[derive(Clone)]
pub(super) struct Observer {
    pub(super) views: Arc<Views>,
    /// By replica.
    pub(super) hubs: Arc<[Hub]>,
}

/// Something read from disk, as the jobs before left it.
struct Loaded<T> {
    replica: ReplicaId,
    id: RecordId,
    value: T,
    /// It must be written.
    dirty: bool,
    /// Somebody may want to know.
    news: bool,
}

/// What changed, to be told when it is on disk.
pub(super) struct Changed {
    records: Vec<(ReplicaId, RecordId)>,
    queues: Vec<(ReplicaId, RecordId, Acceptor)>,
}

impl Changed {
    pub(super) fn tell(self, observer: &Observer) {
        for (replica, id) in self.records {
            if let Some(hub) = observer.hubs.get(usize::from(replica.0)) {
                hub.record_changed(id);
            }
        }
        for (replica, id, acceptor) in self.queues {
            if let Some(hub) = observer.hubs.get(usize::from(replica.0)) {
                hub.queue_changed(id, &acceptor);
            }
        }
    }
}

/// The state that the jobs of one commit work on.
pub(super) struct Group<'a> {
    disk: &'a Disk,
    observer: &'a Observer,
    records: BTreeMap<Vec<u8>, Loaded<Record>>,
    queues: BTreeMap<Vec<u8>, Loaded<Acceptor>>,
    others: Vec<Put>,
}

impl<'a> Group<'a> {
    pub(super) fn new(disk: &'a Disk, observer: &'a Observer) -> Self {
        let (records, queues) = (BTreeMap::new(), BTreeMap::new());
        Self {
            disk,
            observer,
            records,
            queues,
            others: Vec::new(),
        }
    }

    /// Performs a job; an error concerns this job alone.
    pub(super) fn perform(&mut self, replica: ReplicaId, work: Work) -> Result<Effect, Fault> {
        match work {
            Work::Merge(id, change) => self.merge(replica, id, &change),
            Work::Transact(id, request) => self.change_queue(replica, id, |acceptor| {
                Effect::Replied(acceptor.answer(&request))
            }),
            Work::Release(id, holding) => self.change_queue(replica, id, |acceptor| {
                acceptor.release(holding);
                Effect::Done
            }),
            Work::CatchUp(id, other) => self.change_queue(replica, id, |acceptor| {
                // A repeated accept: what was refused before is refused again.
                acceptor.accept(other.accepted(), other.value());
                acceptor.release(other.released());
                Effect::Done
            }),
            Work::Purge(table) => self.purge(replica, table),
            Work::Keep(name, value) => {
                self.others
                    .push((Space::Engine, name.as_bytes().to_vec(), value));
                Ok(Effect::Done)
            }
            Work::Nothing => Ok(Effect::Done),
        }
    }

    fn merge(
        &mut self,
        replica: ReplicaId,
        id: RecordId,
        change: &Record,
    ) -> Result<Effect, Fault> {
        if self.observer.views.is_dropped(replica, id.table) {
            return Ok(Effect::NoSuchTable);
        }
        let disk_key = codec::disk_key(replica, &id);
        let loaded = match self.records.entry(disk_key) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let value = match self.disk.get(Space::Records, entry.key())? {
                    Some(bytes) => codec::decode_record(&bytes)?,
                    None => Record::empty(),
                };
                entry.insert(Loaded {
                    replica,
                    id,
                    value,
                    dirty: false,
                    news: false,
                })
            }
        };
        let changed = loaded.value.merge(change);
        loaded.dirty |= changed;
        loaded.news |= changed;
        Ok(Effect::Merged(changed))
    }

    fn change_queue(
        &mut self,
        replica: ReplicaId,
        id: RecordId,
        step: impl FnOnce(&mut Acceptor) -> Effect,
    ) -> Result<Effect, Fault> {
        let disk_key = codec::disk_key(replica, &id);
        let loaded = match self.queues.entry(disk_key) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let value = read_acceptor(self.disk, entry.key())?;
                entry.insert(Loaded {
                    replica,
                    id,
                    value,
                    dirty: false,
                    news: false,
                })
            }
        };
        let before = loaded.value.clone();
        let effect = step(&mut loaded.value);
        loaded.dirty |= loaded.value != before;
        // Not promises, and not what only settles an earlier state: hints make
        // nodes peek, and a peek may settle a state at other sites in turn.
        let seen = |acceptor: &Acceptor| (Arc::clone(&acceptor.value().queue), acceptor.released());
        loaded.news |= seen(&loaded.value) != seen(&before);
        Ok(effect)
    }

    fn purge(&mut self, replica: ReplicaId, table: TableId) -> Result<Effect, Fault> {
        let prefix = codec::table_prefix(replica, table);
        // The view of this replica is past the drop already, so what the jobs
        // before did to the table is all there is to forget.
        self.records
            .retain(|disk_key, _| !disk_key.starts_with(&prefix));
        let range = Range {
            prefix,
            after: None,
            limit: PURGE_KEYS_MAX,
        };
        let found = self.disk.scan(Space::Records, &range)?;
        let more = found.len() == PURGE_KEYS_MAX;
        let removals = found
            .into_iter()
            .map(|(key, _)| (Space::Records, key.to_vec(), None));
        self.others.extend(removals);
        Ok(Effect::Purged { more })
    }

    /// What is to be written, and what is to be told once it is.
    pub(super) fn finish(self) -> (Vec<Put>, Changed) {
        let mut puts = self.others;
        let mut changed = Changed {
            records: Vec::new(),
            queues: Vec::new(),
        };
        for (disk_key, loaded) in self.records.into_iter().filter(|(_, loaded)| loaded.dirty) {
            puts.push((
                Space::Records,
                disk_key,
                Some(codec::encode_record(&loaded.value)),
            ));
            if loaded.news {
                changed.records.push((loaded.replica, loaded.id));
            }
        }
        for (disk_key, loaded) in self.queues.into_iter().filter(|(_, loaded)| loaded.dirty) {
            let bytes: Bytes = codec::encode_acceptor(&loaded.value);
            puts.push((Space::Queues, disk_key, Some(bytes)));
            if loaded.news {
                changed
                    .queues
                    .push((loaded.replica, loaded.id, loaded.value));
            }
        }
        (puts, changed)
    }
}

/// A replica's acceptor as it is on disk.
pub(super) fn read_acceptor(disk: &Disk, disk_key: &[u8]) -> Result<Acceptor, Fault> {
    match disk.get(Space::Queues, disk_key)? {
        Some(bytes) => Ok(codec::decode_acceptor(&bytes)?),
        None => Ok(Acceptor::default()),
    }
}

#[cfg(test)]
mod tests {
    use music_core::id::Key;

    use super::super::catalogue::View;
    use super::*;
    use crate::conformance::put;
    use crate::{TableMode, TableName};

    const REPLICA: ReplicaId = ReplicaId(0);

    fn group<'a>(disk: &'a Disk, observer: &'a Observer) -> Group<'a> {
        Group::new(disk, observer)
    }

    /// A catalogue in which the second table was dropped.
    fn observer() -> (Observer, [TableId; 3]) {
        let view = View::default();
        let name = |name| TableName::new(name).unwrap();
        let (view, kept) = view.with(&name("kept"), TableMode::Critical).unwrap();
        let (view, dropped) = view.with(&name("dropped"), TableMode::Critical).unwrap();
        let view = view.without(&name("dropped")).unwrap();
        let hubs = vec![Hub::default()].into();
        let unknown = TableId(dropped.id.0 + 1);
        let observer = Observer {
            views: Arc::new(Views::new(1, view)),
            hubs,
        };
        (observer, [kept.id, dropped.id, unknown])
    }

    fn merge(group: &mut Group<'_>, table: TableId, time: u64) -> Effect {
        let id = RecordId {
            table,
            key: Key::new("k").unwrap(),
        };
        let work = Work::Merge(id, Arc::new(put(time, "x")));
        group.perform(REPLICA, work).unwrap()
    }

    #[test]
    fn writes_to_a_dropped_table_are_ignored_and_to_an_unknown_one_merged() {
        let disk = Disk::memory();
        let (observer, [kept, dropped, unknown]) = observer();
        let mut group = group(&disk, &observer);
        assert_eq!(merge(&mut group, kept, 1), Effect::Merged(true));
        assert_eq!(merge(&mut group, dropped, 1), Effect::NoSuchTable);
        assert_eq!(merge(&mut group, unknown, 1), Effect::Merged(true));
        let (puts, changed) = group.finish();
        assert_eq!((puts.len(), changed.records.len()), (2, 2));
    }

    #[test]
    fn jobs_of_a_group_see_those_before_and_a_repeated_one_writes_nothing() {
        let disk = Disk::memory();
        let (observer, [kept, ..]) = observer();
        let mut first = group(&disk, &observer);
        assert_eq!(merge(&mut first, kept, 2), Effect::Merged(true));
        assert_eq!(merge(&mut first, kept, 1), Effect::Merged(false));
        let (puts, _) = first.finish();
        assert_eq!(puts.len(), 1);
        disk.commit(puts).unwrap();
        let mut second = group(&disk, &observer);
        assert_eq!(merge(&mut second, kept, 2), Effect::Merged(false));
        assert!(second.finish().0.is_empty());
    }

    #[test]
    fn a_purge_forgets_what_is_on_disk_and_in_the_group() {
        let disk = Disk::memory();
        let (observer, [kept, _, unknown]) = observer();
        let mut first = group(&disk, &observer);
        merge(&mut first, kept, 1);
        merge(&mut first, unknown, 1);
        disk.commit(first.finish().0).unwrap();
        let mut second = group(&disk, &observer);
        merge(&mut second, unknown, 2);
        let purged = second.perform(REPLICA, Work::Purge(unknown)).unwrap();
        assert_eq!(purged, Effect::Purged { more: false });
        disk.commit(second.finish().0).unwrap();
        let everything = Range {
            prefix: Vec::new(),
            after: None,
            limit: 9,
        };
        assert_eq!(disk.scan(Space::Records, &everything).unwrap().len(), 1);
    }
}
