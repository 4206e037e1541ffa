//! A turn: a site owns partitions and serves its transactions on them.
//!
//! ```text
//!  acquire ─▶ missed ─▶ append append append … ─▶ due ─▶ end: drain, tell, release
//!                        │ all under way at once
//!                        └▶ acknowledged, each when those before it are
//! ```
//!
//! *Invariant*: an acknowledged entry counts for every later owner of any of its
//! partitions, at the same position. It is at a majority, as are all that come
//! before it; the node that acknowledged it was not taken for dead by then.
//!
//! *The worst failure survived*: the process stops at any step. What was
//! acknowledged counts; of the rest, each entry counts at all its partitions or
//! at none ([`settle`](crate::redo_log::settle)); the lock is free after a lease.
//!
//! A turn in which a put failed is *broken*: it takes no more entries, and the
//! next turn reads the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use music_client::{CriticalSection, LostReason};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::clock::{self, Instant};
use crate::partition::{Partition, PartitionSet};
use crate::redo_log::acquire::{Acquired, Wanted, acquire};
use crate::redo_log::append::{Fate, Job, Promise, Put};
use crate::redo_log::book::{Book, Floors};
use crate::redo_log::entry::{DIGEST_BYTES_MAX, Entry, Head, Place, pieces};
use crate::redo_log::error::{Cause, Error, Failure};
use crate::redo_log::log::Inner;
use crate::redo_log::point::{Applied, Point};
use crate::sites::News;

/// The bytes of a slot beside the digest, at most about.
const HEAD_BYTES: usize = 256;

/// How long a full ring is waited for before its turn is told.
const ROOM_WAIT: Duration = Duration::from_secs(2);

/// How long between two looks whether there is room.
const ROOM_LOOK: Duration = Duration::from_millis(20);

/// What a transaction touched.
#[derive(Clone, Debug)]
pub struct Footprint {
    /// The partitions that it changed: its entry goes to the log of each.
    pub writes: PartitionSet,
    /// The partitions that it read and did not change. Its entry is put when
    /// what it read there is acknowledged.
    pub reads: BTreeSet<Partition>,
}

/// A turn, open until it is ended or dropped.
///
/// Dropped, it takes no more entries; those under way go on, and then the lock is
/// released in the background.
#[derive(Debug)]
pub struct Turn {
    log: Arc<Inner>,
    state: Arc<Mutex<State>>,
    /// Held while a further section is acquired.
    extending: tokio::sync::Mutex<()>,
    under_way: Arc<Semaphore>,
    jobs: TaskTracker,
    opened: Instant,
    missed: Vec<Entry>,
}

#[derive(Debug, Default)]
struct State {
    lanes: BTreeMap<Partition, Lane>,
    sections: Vec<Arc<CriticalSection>>,
    /// Why it takes no more entries.
    broken: Option<Cause>,
}

/// One partition of the turn.
#[derive(Debug)]
struct Lane {
    section: Arc<CriticalSection>,
    book: Book,
    /// The last entry that is acknowledged, or was there before.
    committed: Point,
    /// The last entry of this turn.
    last: Option<Promise>,
}

/// An entry that has its positions, and is not under way yet.
struct Reserved {
    job: Job,
    ticket: Ticket,
    sender: watch::Sender<Option<Fate>>,
}

/// An entry that has its place, on its way.
#[derive(Debug)]
pub struct Ticket {
    promise: Promise,
    places: Vec<Place>,
}

impl Ticket {
    /// The entry's place in each of its partitions: to be noted in the local
    /// transaction.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Waits until the entry is acknowledged: from then on it counts, whatever
    /// happens. Only then may a client be told, or the local transaction
    /// commit.
    ///
    /// # Errors
    /// [`Failure`], which says whether the entry may count. The turn is broken:
    /// the local database goes back to before the entry, and the next turn
    /// tells what counts.
    ///
    /// # Cost
    /// One round of an entry of one partition, two of others; those under way
    /// at once share them. One more for a large digest.
    ///
    /// # Cancel safety
    /// The entry stays under way.
    pub async fn acknowledged(self) -> Result<(), Failure> {
        self.promise.fate().await
    }
}

impl Turn {
    pub(crate) async fn open(
        log: Arc<Inner>,
        partitions: &PartitionSet,
        applied: &Applied,
        wait: Duration,
    ) -> Result<Self, Error> {
        let held = BTreeMap::new();
        let wanted = Wanted {
            partitions,
            applied,
            held: &held,
            wait,
        };
        let acquired = Box::pin(acquire(&log, wanted)).await?;
        let under_way = Arc::new(Semaphore::new(log.under_way_max()));
        let mut turn = Self {
            log,
            state: Arc::default(),
            extending: tokio::sync::Mutex::default(),
            under_way,
            jobs: TaskTracker::new(),
            opened: clock::now(),
            missed: Vec::new(),
        };
        turn.missed = turn.take(acquired);
        Ok(turn)
    }

    /// What the local database has to apply before anything runs, in order.
    pub fn missed(&self) -> &[Entry] {
        &self.missed
    }

    /// The partitions that the turn owns: those that were asked for, and those
    /// that what was missed rests on.
    pub fn partitions(&self) -> Vec<Partition> {
        self.state().lanes.keys().cloned().collect()
    }

    /// The last entry of a partition, acknowledged or not; `None` where the turn
    /// does not own it.
    pub fn end_of(&self, partition: &Partition) -> Option<Point> {
        self.state().lanes.get(partition).map(|lane| lane.book.end)
    }

    /// Whether the turn should take no more transactions: it is as old as one
    /// may become, or broken, or its lock is lost.
    pub fn is_due(&self) -> bool {
        self.time_left().is_zero() || self.broken().is_some()
    }

    /// How long until the turn is due by its age.
    pub fn time_left(&self) -> Duration {
        let age = clock::now().saturating_duration_since(self.opened);
        self.log.turn.saturating_sub(age)
    }

    /// Why the turn takes no more entries, if it does not.
    pub fn broken(&self) -> Option<Cause> {
        let state = self.state();
        state
            .broken
            .clone()
            .or_else(|| lost(&state).map(Cause::Lost))
    }

    /// Gives the turn up, whoever uses it still: it takes no more entries, and
    /// the lock is released in the background when those under way are
    /// acknowledged or have failed.
    pub fn break_off(&self) {
        let mut state = self.state();
        state.broken.get_or_insert(Cause::Broken);
        let (lanes, sections) = (
            std::mem::take(&mut state.lanes),
            std::mem::take(&mut state.sections),
        );
        drop(state);
        drop((lanes, sections));
    }

    /// Makes sure that what a transaction read of these partitions was the
    /// latest state at some time since the call: what was appended there is
    /// acknowledged, and they were owned. To be asked before a transaction is
    /// answered that appends nothing.
    ///
    /// # Errors
    /// [`Error::Over`] where an entry failed or the lock is lost: what was read
    /// may have been old, or may never have been; [`Error::Music`] where that
    /// cannot be told.
    ///
    /// # Cost
    /// A request to the own site; no wide-area round but that of entries under
    /// way.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn prove(&self, read: &PartitionSet) -> Result<(), Error> {
        let (last, sections) = {
            let state = self.state();
            let lanes: Option<Vec<&Lane>> = read
                .iter()
                .map(|partition| state.lanes.get(partition))
                .collect();
            let lanes = lanes.ok_or_else(|| self.over())?;
            let last: Vec<Promise> = lanes.iter().filter_map(|lane| lane.last.clone()).collect();
            let sections: Vec<_> = lanes.iter().map(|lane| Arc::clone(&lane.section)).collect();
            (last, sections)
        };
        for promise in last {
            let fate = promise.fate().await;
            fate.map_err(|failure| Error::Over(failure.cause))?;
        }
        let mut asked: Vec<&str> = Vec::new();
        for section in &sections {
            if asked.contains(&section.lock_ref()) {
                continue;
            }
            asked.push(section.lock_ref());
            match section.prove().await {
                Ok(()) => {}
                Err(music_client::Error::Lost(lost)) => {
                    return Err(Error::Over(Cause::Lost(lost.reason)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives a transaction the next position in the log of each partition that
    /// it changed, and begins to put its entry. The order of these calls is the
    /// order of the transactions.
    ///
    /// # Errors
    /// [`Failure`], never with an unknown outcome: nothing was put.
    ///
    /// # Cost
    /// None; it waits while 64 entries are under way, and up to 2 s for room in
    /// a full ring.
    ///
    /// # Cancel safety
    /// Dropped before it returns, nothing is put.
    pub async fn append(&self, footprint: &Footprint, digest: Bytes) -> Result<Ticket, Failure> {
        let bytes = digest.len();
        if bytes > DIGEST_BYTES_MAX {
            return Err(Failure::not_applied(Cause::TooLarge { bytes }));
        }
        let slot = Arc::clone(&self.under_way).acquire_owned().await;
        let Ok(slot) = slot else {
            return Err(Failure::not_applied(Cause::Ending));
        };
        let since = clock::now();
        loop {
            match self.reserve(footprint, &digest) {
                Ok(reserved) => return Ok(self.start(reserved, slot)),
                Err(cause @ Cause::Full(_)) => self.wait_for_room(since, cause).await?,
                Err(cause) => return Err(Failure::not_applied(cause)),
            }
        }
    }

    async fn wait_for_room(&self, since: Instant, full: Cause) -> Result<(), Failure> {
        if clock::now().saturating_duration_since(since) >= ROOM_WAIT {
            return Err(Failure::not_applied(full));
        }
        clock::sleep(ROOM_LOOK).await;
        if let Err(error) = self.log.sites.refresh().await {
            tracing::debug!(%error, "the other sites' positions are not known");
        }
        Ok(())
    }

    /// Takes positions, of all partitions or of none.
    fn reserve(&self, footprint: &Footprint, digest: &Bytes) -> Result<Reserved, Cause> {
        let mut state = self.state();
        if let Some(cause) = &state.broken {
            return Err(cause.clone());
        }
        if let Some(reason) = lost(&state) {
            return Err(Cause::Lost(reason));
        }
        let not_owned = |partition: &Partition| Cause::NotOwned(partition.clone());
        let mut read = Vec::new();
        for partition in &footprint.reads {
            let lane = state
                .lanes
                .get(partition)
                .ok_or_else(|| not_owned(partition))?;
            read.extend(lane.last.clone());
        }
        let mut bytes = digest.len().saturating_add(HEAD_BYTES);
        let mut taken = Vec::new();
        for partition in footprint.writes.iter() {
            let lane = state
                .lanes
                .get(partition)
                .ok_or_else(|| not_owned(partition))?;
            let emptied = lane.book.room(bytes, self.floors(partition, lane));
            let Ok(emptied) = emptied else {
                return Err(Cause::Full(partition.clone()));
            };
            taken.push((partition.clone(), bytes, emptied));
            // The others only prepare.
            bytes = HEAD_BYTES;
        }
        self.job(&mut state, taken, (digest.clone(), read))
            .ok_or(Cause::Broken)
    }

    fn floors(&self, partition: &Partition, lane: &Lane) -> Floors {
        let (reports, list) = (self.log.sites.reports(), self.log.sites.list());
        Floors {
            all: reports.floor(partition, list.names().count()),
            majority: reports.floor(partition, list.majority()),
            committed: lane.committed.position,
            under_way: u64::try_from(self.log.under_way_max()).unwrap_or(u64::MAX),
        }
    }

    /// The entry with its positions, and what is told of it.
    fn job(
        &self,
        state: &mut State,
        taken: Vec<(Partition, usize, Vec<u64>)>,
        (digest, read): (Bytes, Vec<Promise>),
    ) -> Option<Reserved> {
        let (sender, promise) = Promise::new();
        let (mut places, mut before, mut rests) = (Vec::new(), Vec::new(), Vec::new());
        for (at, (partition, bytes, emptied)) in taken.into_iter().enumerate() {
            let lane = state.lanes.get_mut(&partition)?;
            let token_before = lane.book.end.token;
            let pieces = if at == 0 { pieces(&digest).count() } else { 0 };
            let pieces = u16::try_from(pieces).unwrap_or(u16::MAX);
            let emptied = lane.book.take(bytes, pieces, emptied);
            before.extend(lane.last.replace(promise.clone()));
            rests.push((Arc::clone(&lane.section), lane.committed, emptied));
            let point = lane.book.end;
            places.push(Place {
                partition,
                point,
                token_before,
            });
        }
        let entry = Entry { places, digest };
        let puts = entry.places.iter().zip(rests).enumerate();
        let mut puts = puts.map(|(at, (place, (section, committed, emptied)))| Put {
            section,
            record: self.log.record(&place.partition),
            head: Head::new(&entry, at, committed),
            emptied,
        });
        let commit = puts.next()?;
        let prepared = puts.collect();
        let Entry { places, digest } = entry.clone();
        let job = Job {
            ring: self.log.ring,
            digest,
            commit,
            prepared,
            before,
            read,
        };
        let ticket = Ticket { promise, places };
        Some(Reserved {
            job,
            ticket,
            sender,
        })
    }

    fn start(&self, reserved: Reserved, slot: OwnedSemaphorePermit) -> Ticket {
        let Reserved {
            job,
            ticket,
            sender,
        } = reserved;
        let (state, places) = (Arc::clone(&self.state), ticket.places.clone());
        self.jobs.spawn(async move {
            let fate = Box::pin(job.run()).await;
            note(&state, &places, &fate);
            sender.send_replace(Some(fate));
            drop(slot);
        });
        ticket
    }

    /// Owns further partitions as well, where the local database has applied all
    /// of them. Where it lacks something, that is returned, and they are not
    /// owned: a transaction that runs already began without it.
    ///
    /// # Errors
    /// [`Error::TimedOut`] after the wait: another site may own one of them and
    /// wait for one of this turn's. The turn goes on as it was.
    ///
    /// # Cost
    /// As [`RedoLog::turn`](crate::redo_log::RedoLog::turn).
    ///
    /// # Cancel safety
    /// The turn goes on as it was.
    pub async fn extend(
        &self,
        partitions: &PartitionSet,
        applied: &Applied,
        wait: Duration,
    ) -> Result<Vec<Entry>, Error> {
        let _extending = self.extending.lock().await;
        let (held, wanted) = {
            let state = self.state();
            let held: BTreeMap<Partition, Point> = state
                .lanes
                .iter()
                .map(|(partition, lane)| (partition.clone(), lane.book.end))
                .collect();
            let is_new = |partition: &&Partition| !held.contains_key(*partition);
            let wanted: BTreeSet<Partition> = partitions.iter().filter(is_new).cloned().collect();
            (held, wanted)
        };
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        if self.broken().is_some() {
            return Err(self.over());
        }
        let wanted = PartitionSet::new(wanted)?;
        let wanted = Wanted {
            partitions: &wanted,
            applied,
            held: &held,
            wait,
        };
        let acquired = Box::pin(acquire(&self.log, wanted)).await?;
        if self.broken().is_some() {
            return Err(self.over());
        }
        if acquired.missed.is_empty() {
            return Ok(self.take(acquired));
        }
        if let Err(error) = acquired.section.release().await {
            tracing::debug!(%error, "a section could not be released");
        }
        Ok(acquired.missed)
    }

    fn take(&self, acquired: Acquired) -> Vec<Entry> {
        let mut state = self.state();
        let section = Arc::new(acquired.section);
        for (partition, book) in acquired.books {
            let lane = Lane {
                section: Arc::clone(&section),
                committed: book.end,
                book,
                last: None,
            };
            state.lanes.insert(partition, lane);
        }
        state.sections.push(section);
        acquired.missed
    }

    /// Takes no more entries, waits until those under way are acknowledged or
    /// have failed, tells the other sites what is committed, and releases the
    /// lock. Whoever had a transaction in the turn must be done with it: what
    /// the turn leaves is taken for what the local database has.
    ///
    /// # Errors
    /// Where the lock was lost, or its release is not known: it ends with its
    /// lease. What was acknowledged counts.
    ///
    /// # Cost
    /// Requests to the own site; the round of the last entry if that is under
    /// way.
    ///
    /// # Cancel safety
    /// As to drop the turn.
    pub async fn end(self) -> Result<(), Error> {
        self.jobs.close();
        self.jobs.wait().await;
        let State {
            lanes,
            sections,
            broken,
        } = std::mem::take(&mut *self.state());
        let committed: Applied = lanes
            .iter()
            .map(|(partition, lane)| (partition.clone(), lane.committed))
            .collect();
        let books: Vec<(Partition, Book)> = lanes
            .into_iter()
            .map(|(partition, lane)| (partition, lane.book))
            .collect();
        // Before the release: whoever owns the partitions next finds it said.
        if let Err(error) = self
            .log
            .sites
            .say(News {
                committed,
                ..News::default()
            })
            .await
        {
            tracing::debug!(%error, "the other sites do not know yet what is committed");
        }
        let mut released = Ok(());
        for section in sections.into_iter().filter_map(Arc::into_inner) {
            released = released.and(section.release().await.map_err(Error::from));
        }
        if broken.is_none() && released.is_ok() {
            self.log.keep_books(books);
        }
        released
    }

    fn over(&self) -> Error {
        Error::Over(self.broken().unwrap_or(Cause::Broken))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lost(state: &State) -> Option<LostReason> {
    state.sections.iter().find_map(|section| section.is_lost())
}

/// Notes how an entry ended.
fn note(state: &Mutex<State>, places: &[Place], fate: &Fate) {
    let mut state = lock(state);
    match fate {
        Ok(()) => {
            for place in places {
                if let Some(lane) = state.lanes.get_mut(&place.partition) {
                    lane.committed = lane.committed.max(place.point);
                }
            }
        }
        Err(failure) => {
            state.broken.get_or_insert(failure.cause.clone());
        }
    }
}
