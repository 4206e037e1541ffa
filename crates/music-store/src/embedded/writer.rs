//! The one thread that writes: it takes whatever is waiting, performs it and
//! makes it durable in one commit.
//!
//! ```text
//!   calls of all sites ──► queue ──► group ──► one commit, one fsync ──► answers
//!        (what arrives meanwhile forms the next group)
//! ```
//!
//! Every change of a replica is a read, a pure step and a write; as one
//! thread performs them all, none needs a lock. A job sees the jobs before it
//! in its group.
//!
//! Invariant: a job is answered only when its effect is on disk. After a
//! failed commit nothing is written any more: what the kernel did with the
//! pages of a failed fsync cannot be known, so only opening the files again,
//! and reading what is there, is safe.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;
use music_core::id::{RecordId, ReplicaId, TableId};
use music_core::lock_ref::Holding;
use music_core::record::Record;
use music_core::replica::acceptor::{Acceptor, Reply, Request};

use super::CommitHook;
use super::disk::{DiskHandle, Fault};
use super::group::{Group, Observer};

/// The most jobs that one commit takes in.
const GROUP_JOBS_MAX: usize = 4_096;
/// The most bytes of values that one commit takes in, but for its last job.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// A change at one replica.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// Merges cells into a record.
    Merge(RecordId, Arc<Record>),
    /// A step of a transaction.
    Transact(RecordId, Request),
    /// Takes in a release.
    Release(RecordId, Holding),
    /// Takes over what another replica's acceptor has.
    CatchUp(RecordId, Acceptor),
    /// Removes records of a dropped table, some at a time.
    Purge(TableId),
    /// Keeps something that the engine knows about itself.
    Keep(&'static str, Option<Bytes>),
    /// Nothing: it is answered when everything before it is done.
    Nothing,
}

/// What a [`Work`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The change is merged; whether that changed anything.
    Merged(bool),
    /// The replica knows that the table was dropped, and did nothing.
    NoSuchTable,
    /// The acceptor's reply.
    Replied(Reply),
    /// Whether there is more to remove.
    Purged { more: bool },
    /// It is done.
    Done,
}

/// Where the outcome of a job goes; called by the writing thread.
pub(super) type Done = Box<dyn FnOnce(Result<Effect, Arc<Fault>>) + Send>;

/// A change, and who wants to know.
pub(super) struct Job {
    pub(super) replica: ReplicaId,
    pub(super) work: Work,
    pub(super) done: Done,
}

impl Work {
    /// How many bytes of values it carries.
    pub(super) fn bytes(&self) -> usize {
        let Self::Merge(_, change) = self else {
            return 0;
        };
        change
            .cells()
            .filter_map(|(_, cell)| cell.value.as_ref())
            .map(Bytes::len)
            .sum()
    }
}

/// The way to the writing thread.
pub(super) struct Writer {
    queue: Arc<Queue>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// The thread sleeps: it must be woken.
    idle: bool,
    closed: bool,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        disk: DiskHandle,
        observer: Observer,
        hook: Option<CommitHook>,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let jobs = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("music-writer".to_owned())
            .spawn(move || write(&jobs, &disk, &observer, hook.as_ref()))?;
        Ok(Self {
            queue,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Hands jobs over, in this order; they may share one commit. Bounded by
    /// the calls and messages that the sites admit.
    pub(super) fn submit(&self, jobs: impl IntoIterator<Item = Job>) {
        let mut waiting = self
            .queue
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.closed {
            drop(waiting);
            let fault = Arc::new(Fault::Closed);
            jobs.into_iter()
                .for_each(|job| (job.done)(Err(Arc::clone(&fault))));
            return;
        }
        waiting.jobs.extend(jobs);
        if mem::take(&mut waiting.idle) {
            drop(waiting);
            self.queue.arrived.notify_one();
        }
    }

    /// Ends the thread when all that is waiting is done; blocks until then.
    pub(super) fn close(&self) {
        let mut waiting = self
            .queue
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        waiting.closed = true;
        drop(waiting);
        self.queue.arrived.notify_one();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        // The last user of an engine may be an answer, given by this thread.
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the writing thread panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

impl Queue {
    /// Waits for jobs; none when the queue is closed and empty.
    fn take(&self) -> Vec<Job> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.jobs.is_empty() && !waiting.closed {
            waiting.idle = true;
            waiting = self
                .arrived
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        waiting.idle = false;
        let mut bytes = 0_usize;
        let mut group = Vec::with_capacity(waiting.jobs.len().min(GROUP_JOBS_MAX));
        while group.len() < GROUP_JOBS_MAX && bytes < GROUP_BYTES_MAX {
            let Some(job) = waiting.jobs.pop_front() else {
                break;
            };
            bytes = bytes.saturating_add(job.work.bytes());
            group.push(job);
        }
        group
    }
}

fn write(queue: &Queue, disk: &DiskHandle, observer: &Observer, hook: Option<&CommitHook>) {
    let mut failed: Option<Arc<Fault>> = None;
    loop {
        let jobs = queue.take();
        if jobs.is_empty() {
            return;
        }
        if let Some(fault) = &failed {
            for job in jobs {
                (job.done)(Err(Arc::clone(fault)));
            }
            continue;
        }
        if let Err(fault) = write_group(jobs, disk, observer, hook) {
            tracing::error!(%fault, "a commit failed; the engine refuses writes until reopened");
            failed = Some(fault);
        }
    }
}

/// Performs and answers the jobs; an error where the commit failed.
fn write_group(
    jobs: Vec<Job>,
    disk: &DiskHandle,
    observer: &Observer,
    hook: Option<&CommitHook>,
) -> Result<(), Arc<Fault>> {
    let mut answers = Vec::with_capacity(jobs.len());
    let committed = disk.get().and_then(|disk| {
        let mut group = Group::new(&disk, observer);
        for Job {
            replica,
            work,
            done,
        } in jobs
        {
            answers.push((done, group.perform(replica, work).map_err(Arc::new)));
        }
        let (puts, changed) = group.finish();
        if !puts.is_empty() {
            hook.map_or(Ok(()), |hook| hook()).map_err(Fault::Commit)?;
            disk.commit(puts)?;
        }
        changed.tell(observer);
        Ok(())
    });
    match committed {
        Ok(()) => {
            for (done, answer) in answers {
                done(answer);
            }
            Ok(())
        }
        Err(fault) => {
            let fault = Arc::new(fault);
            for (done, _) in answers {
                done(Err(Arc::clone(&fault)));
            }
            Err(fault)
        }
    }
}
