//! The store under the engine: get, batch of puts, scan.
//!
//! The choice of fjall is confined to this file; `docs/design/disk-store.md`
//! gives the measurement. What is read has been synced before: fjall shows a
//! batch to readers only after its journal is on disk.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use super::codec::DecodeError;

/// The most a keyspace keeps in memory before it writes a table. A journal
/// lives until every keyspace in it was flushed, so this bounds how long
/// opening takes after a crash.
const MEMTABLE_BYTES: u64 = 4 << 20;
/// The most that all journals together may take; the least fjall accepts.
const JOURNAL_BYTES: u64 = 64 << 20;

/// A set of keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Space {
    /// Records of all replicas.
    Records,
    /// Acceptors of all replicas.
    Queues,
    /// What the engine knows about itself.
    Engine,
}

impl Space {
    const ALL: [Self; 3] = [Self::Records, Self::Queues, Self::Engine];

    fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Queues => "queues",
            Self::Engine => "engine",
        }
    }
}

/// One put, or where there is no value one removal.
pub(super) type Put = (Space, Vec<u8>, Option<Bytes>);

/// A part of a space, in the order of its keys.
#[derive(Clone, Debug)]
pub(super) struct Range {
    /// Only keys that begin with this.
    pub(super) prefix: Vec<u8>,
    /// Only keys after this one.
    pub(super) after: Option<Vec<u8>>,
    /// At most this many.
    pub(super) limit: usize,
}

/// Why the storage failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("the store on disk failed: {0}; make sure that the disk has room, then start again")]
    Store(#[source] fjall::Error),
    #[error("a commit failed: {0}; make sure that the disk has room, then start again")]
    Commit(#[source] std::io::Error),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("the engine is closed")]
    Closed,
}

impl From<fjall::Error> for Fault {
    fn from(error: fjall::Error) -> Self {
        Self::Store(error)
    }
}

/// Where all replicas of a process lie.
pub(super) enum Disk {
    Fjall(Box<Fjall>),
    /// Nothing survives, for tests and throw-away deployments.
    Memory(RwLock<BTreeMap<(Space, Vec<u8>), Bytes>>),
}

pub(super) struct Fjall {
    database: fjall::Database,
    spaces: [fjall::Keyspace; 3],
}

impl Fjall {
    fn space(&self, space: Space) -> &fjall::Keyspace {
        let [records, queues, engine] = &self.spaces;
        match space {
            Space::Records => records,
            Space::Queues => queues,
            Space::Engine => engine,
        }
    }
}

impl Disk {
    /// Opens a store in that directory, or makes one.
    pub(super) fn open(directory: &Path) -> Result<Self, fjall::Error> {
        let database = fjall::Database::builder(directory)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(1)
            .open()?;
        let options = || fjall::KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let [records, queues, engine] =
            Space::ALL.map(|space| database.keyspace(space.name(), options));
        let spaces = [records?, queues?, engine?];
        Ok(Self::Fjall(Box::new(Fjall { database, spaces })))
    }

    /// A store that is gone with the process.
    pub(super) fn memory() -> Self {
        Self::Memory(RwLock::default())
    }

    /// The value of a key.
    pub(super) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, Fault> {
        match self {
            Self::Fjall(fjall) => Ok(fjall.space(space).get(key)?.map(Bytes::from)),
            Self::Memory(map) => {
                let map = map.read().unwrap_or_else(PoisonError::into_inner);
                Ok(map.get(&(space, key.to_vec())).cloned())
            }
        }
    }

    /// Performs all puts or none, and returns when they are on disk.
    pub(super) fn commit(&self, puts: Vec<Put>) -> Result<(), Fault> {
        match self {
            Self::Fjall(fjall) => {
                let sync = Some(fjall::PersistMode::SyncData);
                let mut batch = fjall.database.batch().durability(sync);
                for (space, key, value) in puts {
                    match value {
                        Some(value) => batch.insert(fjall.space(space), key, value),
                        None => batch.remove(fjall.space(space), key),
                    }
                }
                Ok(batch.commit()?)
            }
            Self::Memory(map) => {
                let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
                for (space, key, value) in puts {
                    match value {
                        Some(value) => map.insert((space, key), value),
                        None => map.remove(&(space, key)),
                    };
                }
                Ok(())
            }
        }
    }

    /// The keys and values of a range.
    pub(super) fn scan(&self, space: Space, range: &Range) -> Result<Vec<(Bytes, Bytes)>, Fault> {
        let from = match &range.after {
            Some(after) if *after >= range.prefix => Bound::Excluded(after.clone()),
            _ => Bound::Included(range.prefix.clone()),
        };
        match self {
            Self::Fjall(fjall) => {
                let keys = fjall
                    .space(space)
                    .range::<Vec<u8>, _>((from, end_of(&range.prefix)));
                keys.take(range.limit)
                    .map(|guard| {
                        let (key, value) = guard.into_inner()?;
                        Ok((Bytes::from(key), Bytes::from(value)))
                    })
                    .collect()
            }
            Self::Memory(map) => {
                let map = map.read().unwrap_or_else(PoisonError::into_inner);
                let from = from.map(|key| (space, key));
                let found = map
                    .range((from, Bound::Unbounded))
                    .take_while(|((other, key), _)| {
                        *other == space && key.starts_with(&range.prefix)
                    })
                    .take(range.limit)
                    .map(|((_, key), value)| (Bytes::from(key.clone()), value.clone()));
                Ok(found.collect())
            }
        }
    }
}

/// The end of the keys that begin with `prefix`.
fn end_of(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

/// The disk of an engine, until it is closed.
#[derive(Clone)]
pub(super) struct DiskHandle(Arc<RwLock<Option<Arc<Disk>>>>);

impl DiskHandle {
    pub(super) fn new(disk: Disk) -> Self {
        Self(Arc::new(RwLock::new(Some(Arc::new(disk)))))
    }

    /// The disk, for one short piece of work.
    pub(super) fn get(&self) -> Result<Arc<Disk>, Fault> {
        let disk = self.0.read().unwrap_or_else(PoisonError::into_inner);
        disk.clone().ok_or(Fault::Closed)
    }

    /// Closes it for all who hold this handle. Returns the disk, whose files
    /// are free when it is the last one who holds it.
    pub(super) fn close(&self) -> Option<Arc<Disk>> {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disks() -> (tempfile::TempDir, [Disk; 2]) {
        let directory = tempfile::tempdir().unwrap();
        let fjall = Disk::open(directory.path()).unwrap();
        (directory, [fjall, Disk::memory()])
    }

    fn put(key: &[u8], value: &'static str) -> Put {
        (Space::Records, key.to_vec(), Some(Bytes::from(value)))
    }

    #[test]
    fn a_batch_puts_and_removes_in_its_space_only() {
        let (_directory, disks) = disks();
        for disk in disks {
            disk.commit(vec![put(b"a", "1"), put(b"b", "2")]).unwrap();
            disk.commit(vec![(Space::Records, b"a".to_vec(), None), put(b"b", "3")])
                .unwrap();
            assert_eq!(disk.get(Space::Records, b"a").unwrap(), None);
            assert_eq!(disk.get(Space::Records, b"b").unwrap(), Some("3".into()));
            assert_eq!(disk.get(Space::Queues, b"b").unwrap(), None);
        }
    }

    #[test]
    fn a_scan_keeps_to_its_prefix_and_order() {
        let (_directory, disks) = disks();
        for disk in disks {
            let keys: [&[u8]; 6] = [b"a", b"\xff", b"\xff\x00", b"\xff\xff", b"b\xff", b"b\xffc"];
            disk.commit(keys.iter().map(|key| put(key, "")).collect())
                .unwrap();
            let scan = |prefix: &[u8], after: Option<&[u8]>, limit| {
                let (prefix, after) = (prefix.to_vec(), after.map(<[u8]>::to_vec));
                let found = disk
                    .scan(
                        Space::Records,
                        &Range {
                            prefix,
                            after,
                            limit,
                        },
                    )
                    .unwrap();
                found
                    .into_iter()
                    .map(|(key, _)| key.to_vec())
                    .collect::<Vec<_>>()
            };
            assert_eq!(
                scan(b"b\xff", None, 9),
                [b"b\xff".to_vec(), b"b\xffc".to_vec()]
            );
            assert_eq!(
                scan(b"\xff", Some(b"\xff"), 9),
                [b"\xff\x00".to_vec(), b"\xff\xff".to_vec()]
            );
            assert_eq!(scan(b"", None, 2), [b"a".to_vec(), b"b\xff".to_vec()]);
            assert_eq!(scan(b"\xff", Some(b"a"), 1), [b"\xff".to_vec()]);
        }
    }
}
