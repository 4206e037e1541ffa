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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use crate::clock::{self, Instant};
use crate::partition::{Partition, PartitionSet};
use crate::redo_log::acquire::{Wanted, acquire};
use crate::redo_log::append::Promise;
use crate::redo_log::entry::{DIGEST_BYTES_MAX, Entry, Place};
use crate::redo_log::error::{Cause, Error, Failure};
use crate::redo_log::lanes::{Footprint, Lanes, Left, Reserved};
use crate::redo_log::log::Inner;
use crate::redo_log::point::{Applied, Point};
use crate::sites::News;

/// How long a full ring waits for sites to apply what is in it: then those that
/// a majority does without are given up, or the turn is told.
const ROOM_WAIT: Duration = Duration::from_secs(2);

/// How many times longer a turn is where no other site had one since the last: each
/// end of a turn waits for what is under way. Less than a second in all: by then a
/// kept ticket gets a name of its own, which is a consensus.
const ALONE: u32 = 3;

/// How long between two looks whether there is room.
const ROOM_LOOK: Duration = Duration::from_millis(20);

/// What a turn is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read: beside other sites that read, where other sites were there since
    /// this one's last turn.
    Read,
    /// To read and write.
    Write,
}

/// A turn, open until it is ended or dropped.
///
/// Dropped, it takes no more entries; those under way go on, and then the lock is
/// released in the background.
#[derive(Debug)]
pub struct Turn {
    log: Arc<Inner>,
    lanes: Arc<Mutex<Lanes>>,
    /// Held while a further section is acquired.
    extending: tokio::sync::Mutex<()>,
    under_way: Arc<Semaphore>,
    jobs: TaskTracker,
    opened: Instant,
    length: Duration,
    missed: Vec<Entry>,
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
        (partitions, access): (&PartitionSet, Access),
        applied: &Applied,
        wait: Duration,
    ) -> Result<Self, Error> {
        let (held, is_alone) = (BTreeMap::new(), log.is_alone(partitions));
        let wanted = Wanted {
            partitions,
            is_shared: access == Access::Read && !is_alone,
            applied,
            held: &held,
            wait,
        };
        let acquired = Box::pin(acquire(&log, wanted)).await?;
        let under_way = Arc::new(Semaphore::new(log.under_way_max()));
        let (mut lanes, jobs) = (Lanes::default(), TaskTracker::new());
        let missed = lanes.take(&log, &jobs, acquired);
        Ok(Self {
            length: log.turn.saturating_mul(if is_alone { ALONE } else { 1 }),
            log,
            lanes: Arc::new(Mutex::new(lanes)),
            extending: tokio::sync::Mutex::default(),
            under_way,
            jobs,
            opened: clock::now(),
            missed,
        })
    }

    /// What the local database has to apply before anything runs, in order.
    pub fn missed(&self) -> &[Entry] {
        &self.missed
    }

    /// The partitions that the turn owns: those that were asked for, and those
    /// that what was missed rests on.
    pub fn partitions(&self) -> Vec<Partition> {
        self.lanes().ends().into_keys().collect()
    }

    /// The last entry of a partition, acknowledged or not; `None` where the turn
    /// does not own it.
    pub fn end_of(&self, partition: &Partition) -> Option<Point> {
        self.lanes().ends().get(partition).copied()
    }

    /// Whether it was opened to read beside other sites: it takes no entries.
    pub fn is_shared(&self) -> bool {
        self.lanes().is_shared()
    }

    /// Whether the turn should take no more transactions: it is as old as one
    /// may become, or broken, or its lock is lost.
    pub fn is_due(&self) -> bool {
        self.time_left().is_zero() || self.broken().is_some()
    }

    /// How long until the turn is due by its age.
    pub fn time_left(&self) -> Duration {
        let age = clock::now().saturating_duration_since(self.opened);
        self.length.saturating_sub(age)
    }

    /// Why the turn takes no more entries, if it does not.
    pub fn broken(&self) -> Option<Cause> {
        self.lanes().broken()
    }

    /// Gives the turn up, whoever uses it still: it takes no more entries, and
    /// the lock is released in the background when those under way are
    /// acknowledged or have failed.
    pub fn break_off(&self) {
        let mut lanes = self.lanes();
        lanes.break_off(Cause::Broken);
        lanes.clear();
    }

    /// Makes sure that what a transaction read of these partitions was the
    /// latest state at some time since the call: what was appended there is
    /// acknowledged, and they were owned. To be asked before a transaction is
    /// answered that appends nothing. It is as sure as an acknowledgement: it rests
    /// on the rates of clocks, and does not hold where somebody forces the lock
    /// out by hand.
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
        let owned = self.lanes().read(read);
        let (last, _) = owned.ok_or_else(|| self.over())?;
        for promise in last {
            let fate = promise.fate().await;
            fate.map_err(|failure| Error::Over(failure.cause))?;
        }
        self.prove_committed(read).await
    }

    /// As [`prove`](Self::prove), of a transaction that has read nothing that was not
    /// acknowledged: it comes before what is under way.
    ///
    /// # Errors
    /// As [`prove`](Self::prove).
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn prove_committed(&self, read: &PartitionSet) -> Result<(), Error> {
        let owned = self.lanes().read(read);
        let (_, sections) = owned.ok_or_else(|| self.over())?;
        for section in &sections {
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
            let reserved = self.lanes().reserve(&self.log, footprint, &digest);
            match reserved {
                Ok(reserved) => return Ok(self.start(reserved, slot)),
                Err(Cause::Full(partition)) => self.wait_for_room(since, partition).await?,
                Err(cause) => return Err(Failure::not_applied(cause)),
            }
        }
    }

    async fn wait_for_room(&self, since: Instant, full: Partition) -> Result<(), Failure> {
        let sites = &self.log.sites;
        if clock::now().saturating_duration_since(since) >= ROOM_WAIT {
            let is_freed = sites.give_up(&full);
            return is_freed
                .then_some(())
                .ok_or_else(|| Failure::not_applied(Cause::Full(full)));
        }
        clock::sleep(ROOM_LOOK).await;
        if let Err(error) = sites.refresh().await {
            tracing::debug!(%error, "the other sites' positions are not known");
        }
        Ok(())
    }

    fn start(&self, reserved: Reserved, slot: OwnedSemaphorePermit) -> Ticket {
        let Reserved {
            job,
            places,
            promise,
            sender,
        } = reserved;
        let (lanes, noted) = (Arc::clone(&self.lanes), places.clone());
        self.jobs.spawn(async move {
            let fate = Box::pin(job.run()).await;
            lock(&lanes).note(&noted, &fate);
            sender.send_replace(Some(fate));
            drop(slot);
        });
        Ticket { promise, places }
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
        let held = self.lanes().ends();
        let is_new = |partition: &&Partition| !held.contains_key(*partition);
        let wanted: BTreeSet<Partition> = partitions.iter().filter(is_new).cloned().collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        if self.broken().is_some() {
            return Err(self.over());
        }
        let wanted = PartitionSet::new(wanted)?;
        let wanted = Wanted {
            partitions: &wanted,
            is_shared: self.is_shared(),
            applied,
            held: &held,
            wait,
        };
        let acquired = Box::pin(acquire(&self.log, wanted)).await?;
        if self.broken().is_some() {
            return Err(self.over());
        }
        if acquired.missed.is_empty() {
            return Ok(self.lanes().take(&self.log, &self.jobs, acquired));
        }
        if let Err(error) = acquired.section.release().await {
            tracing::debug!(%error, "a section could not be released");
        }
        Ok(acquired.missed)
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
        let Left {
            committed,
            sections,
            books,
        } = self.lanes().end();
        let news = News {
            committed: committed.into_iter().collect(),
            ..News::default()
        };
        // Before the release: whoever owns the partitions next finds it said.
        if let Err(error) = self.log.sites.say(news).await {
            tracing::debug!(%error, "the other sites do not know yet what is committed");
        }
        let mut released = Ok(());
        for section in sections {
            released = released.and(section.release().await.map_err(Error::from));
        }
        if released.is_ok() {
            self.log.keep_books(books);
        }
        released
    }

    fn over(&self) -> Error {
        Error::Over(self.broken().unwrap_or(Cause::Broken))
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        lock(&self.lanes)
    }
}

fn lock(lanes: &Mutex<Lanes>) -> MutexGuard<'_, Lanes> {
    lanes.lock().unwrap_or_else(PoisonError::into_inner)
}
