//! What a turn owns: for each partition its end, and what is under way there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use music_client::{CriticalSection, LostReason};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::partition::{Partition, PartitionSet};
use crate::redo_log::acquire::Acquired;
use crate::redo_log::append::{Fate, Job, Promise, Put};
use crate::redo_log::batcher::Batcher;
use crate::redo_log::book::{Book, Floors};
use crate::redo_log::entry::{Entry, Head, Place, pieces};
use crate::redo_log::error::Cause;
use crate::redo_log::log::Inner;
use crate::redo_log::point::Point;

/// The bytes of a slot beside the digest and for each place, at most about.
const PLACE_BYTES: usize = 256;

/// What a transaction touched.
#[derive(Clone, Debug)]
pub struct Footprint {
    /// The partitions that it changed: its entry goes to the log of each.
    pub writes: PartitionSet,
    /// The partitions that it read and did not change. Its entry is put when
    /// what it read there is acknowledged.
    pub reads: BTreeSet<Partition>,
}

/// What a turn owns.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    owned: BTreeMap<Partition, Lane>,
    sections: Vec<Arc<CriticalSection>>,
    /// Why the turn takes no more entries.
    broken: Option<Cause>,
    /// Whether it takes none at all: other sites read at the same time.
    is_shared: bool,
}

/// One partition.
#[derive(Debug)]
struct Lane {
    batcher: Arc<Batcher>,
    book: Book,
    /// The last entry that is acknowledged, or was there before.
    committed: Point,
    /// The last entry of this turn.
    last: Option<Last>,
}

/// The last entry of a partition in a turn.
#[derive(Clone, Debug)]
struct Last {
    promise: Promise,
    /// How many it has.
    partitions: usize,
}

/// What is left of a turn when nothing is under way any more.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) committed: Vec<(Partition, Point)>,
    pub(crate) sections: Vec<CriticalSection>,
    /// The logs as they are; none where that is not known.
    pub(crate) books: Vec<(Partition, Book)>,
}

/// An entry that has its positions, and is not under way yet.
pub(crate) struct Reserved {
    pub(crate) job: Job,
    pub(crate) places: Vec<Place>,
    pub(crate) promise: Promise,
    pub(crate) sender: watch::Sender<Option<Fate>>,
}

/// A partition that has room, and what its put empties.
struct Room {
    partition: Partition,
    bytes: usize,
    emptied: Vec<u64>,
}

impl Lanes {
    /// Adds partitions, whose puts are jobs of the turn. Returns what was missed.
    pub(crate) fn take(
        &mut self,
        log: &Inner,
        jobs: &TaskTracker,
        acquired: Acquired,
    ) -> Vec<Entry> {
        let section = Arc::new(acquired.section);
        for (partition, book) in acquired.books {
            let record = log.record(&partition);
            let batcher = Batcher::new(Arc::clone(&section), record, jobs.clone());
            let lane = Lane {
                batcher: Arc::new(batcher),
                committed: book.end,
                book,
                last: None,
            };
            self.owned.insert(partition, lane);
        }
        self.sections.push(section);
        self.is_shared |= acquired.is_shared;
        acquired.missed
    }

    pub(crate) fn ends(&self) -> BTreeMap<Partition, Point> {
        let end = |(partition, lane): (&Partition, &Lane)| (partition.clone(), lane.book.end);
        self.owned.iter().map(end).collect()
    }

    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Why the turn takes no more entries, if it does not.
    pub(crate) fn broken(&self) -> Option<Cause> {
        let broken = self.broken.clone();
        broken.or_else(|| self.lost().map(Cause::Lost))
    }

    fn lost(&self) -> Option<LostReason> {
        self.sections.iter().find_map(|section| section.is_lost())
    }

    pub(crate) fn break_off(&mut self, cause: Cause) {
        self.broken.get_or_insert(cause);
    }

    /// Gives everything up.
    pub(crate) fn clear(&mut self) {
        self.owned.clear();
        self.sections.clear();
    }

    /// The last entries of partitions, and the sections that own them; `None`
    /// where one is not owned.
    pub(crate) fn read(
        &self,
        partitions: &PartitionSet,
    ) -> Option<(Vec<Promise>, Vec<Arc<CriticalSection>>)> {
        let lanes = partitions.iter().map(|partition| self.owned.get(partition));
        let lanes: Vec<&Lane> = lanes.collect::<Option<_>>()?;
        let last = lanes.iter().filter_map(|lane| lane.last.as_ref());
        let last = last.map(|last| last.promise.clone()).collect();
        let is_used = |section: &&Arc<CriticalSection>| {
            lanes
                .iter()
                .any(|lane| Arc::ptr_eq(&lane.batcher.section, section))
        };
        Some((
            last,
            self.sections.iter().filter(is_used).cloned().collect(),
        ))
    }

    /// Takes positions, of all partitions or of none.
    pub(crate) fn reserve(
        &mut self,
        log: &Inner,
        footprint: &Footprint,
        digest: &Bytes,
    ) -> Result<Reserved, Cause> {
        if self.is_shared {
            return Err(Cause::ReadOnly);
        }
        if let Some(cause) = self.broken() {
            return Err(cause);
        }
        let mut read = Vec::new();
        for partition in &footprint.reads {
            let last = self.lane(partition)?.last.as_ref();
            read.extend(last.map(|last| last.promise.clone()));
        }
        let heads = PLACE_BYTES.saturating_mul(footprint.writes.iter().count());
        // The digest is at the commit point, the first of them.
        let mut bytes = heads.saturating_add(digest.len());
        let mut rooms = Vec::new();
        for partition in footprint.writes.iter() {
            let lane = self.lane(partition)?;
            let Ok(emptied) = lane.book.room(bytes, floors(log, partition, lane)) else {
                return Err(Cause::Full(partition.clone()));
            };
            let partition = partition.clone();
            rooms.push(Room {
                partition,
                bytes,
                emptied,
            });
            bytes = heads;
        }
        self.job(log, rooms, (digest.clone(), read))
            .ok_or(Cause::Broken)
    }

    fn lane(&self, partition: &Partition) -> Result<&Lane, Cause> {
        let lane = self.owned.get(partition);
        lane.ok_or_else(|| Cause::NotOwned(partition.clone()))
    }

    /// The entry with its positions, and what is told of it.
    fn job(
        &mut self,
        log: &Inner,
        rooms: Vec<Room>,
        (digest, read): (Bytes, Vec<Promise>),
    ) -> Option<Reserved> {
        let (sender, promise) = Promise::new();
        let (mut places, mut before, mut rests) = (Vec::new(), Vec::new(), Vec::new());
        let partitions = rooms.len();
        for Room {
            partition,
            bytes,
            emptied,
        } in rooms
        {
            let lane = self.owned.get_mut(&partition)?;
            let token_before = lane.book.end.token;
            let pieces = if places.is_empty() {
                pieces(&digest).count()
            } else {
                0
            };
            let pieces = u16::try_from(pieces).unwrap_or(u16::MAX);
            let emptied = lane.book.take(bytes, pieces, emptied);
            // In the same step as the position: who comes next rests on it.
            let promise = promise.clone();
            before.extend(lane.last.replace(Last {
                promise,
                partitions,
            }));
            rests.push((Arc::clone(&lane.batcher), lane.committed, emptied));
            let point = lane.book.end;
            places.push(Place {
                partition,
                point,
                token_before,
            });
        }
        let entry = Entry { places, digest };
        let puts = rests.into_iter().enumerate();
        let mut puts = puts.map(|(at, (batcher, committed, emptied))| Put {
            batcher,
            head: Head::new(&entry, at, committed),
            emptied,
        });
        let (commit, prepared) = (puts.next()?, puts.collect());
        let Entry { places, digest } = entry;
        let ring = log.ring;
        let job = Job {
            ring,
            digest,
            commit,
            prepared,
            follows: are_one(&before, partitions),
            before: before.into_iter().map(|last| last.promise).collect(),
            read,
        };
        Some(Reserved {
            job,
            places,
            promise,
            sender,
        })
    }

    /// Notes how an entry ended.
    pub(crate) fn note(&mut self, places: &[Place], fate: &Fate) {
        if let Err(failure) = fate {
            return self.break_off(failure.cause.clone());
        }
        for place in places {
            if let Some(lane) = self.owned.get_mut(&place.partition) {
                lane.committed = lane.committed.max(place.point);
            }
        }
    }

    /// Takes everything out, when nothing is under way any more.
    pub(crate) fn end(&mut self) -> Left {
        let Self {
            owned,
            sections,
            broken,
            ..
        } = std::mem::take(self);
        let mut left = Left {
            committed: Vec::new(),
            sections: Vec::new(),
            books: Vec::new(),
        };
        for (partition, lane) in owned {
            left.committed.push((partition.clone(), lane.committed));
            if broken.is_none() {
                left.books.push((partition, lane.book));
            }
        }
        left.sections = sections.into_iter().filter_map(Arc::into_inner).collect();
        left
    }
}

/// Whether these are one entry, and it has so many partitions: those that it is the
/// last of here.
fn are_one(last: &[Last], partitions: usize) -> bool {
    let is_it = |last: &Last, first: &Last| {
        last.promise.is(&first.promise) && last.partitions == partitions
    };
    let first = last.first().filter(|_| last.len() == partitions);
    first.is_some_and(|first| last.iter().all(|last| is_it(last, first)))
}

fn floors(log: &Inner, partition: &Partition, lane: &Lane) -> Floors {
    let sites = log.sites.list().names().count();
    Floors {
        all: log.sites.reports().floor(partition, sites),
        free: log.sites.free(partition),
        committed: lane.committed.position,
        under_way: u64::try_from(log.under_way_max()).unwrap_or(u64::MAX),
    }
}
