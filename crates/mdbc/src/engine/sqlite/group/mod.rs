//! Transactions of a site that share one local commit.
//!
//! ```text
//!            ├─ T1 runs ─┤ appended ······ acknowledged, answered
//!  BEGIN                 ├─ T2 runs ─┤ appended ······ acknowledged, answered
//!                                    ├─ T3 runs ─┤ appended ······ acknowledged, answered
//!                                                                  COMMIT
//! ```
//!
//! The writing connection has an outer transaction, the *group*. A transaction of
//! a client is a savepoint in it. When it commits it gets its place in the log,
//! its savepoint is released, and it is a *member*; the next one runs on top of
//! it at once. A member that is acknowledged is answered: the log has it. The
//! group ends with one commit for all, when the outcome of all is known and nobody
//! runs on top of them, or when it has been open for long, is large, or somebody
//! waits for it. So a site does not wait for rounds, nor for its disk, between its
//! transactions, and a client alone waits for one round.
//!
//! *Invariant*: other connections see what is committed alone, and what is
//! committed here is acknowledged. Who begins to read on another connection waits
//! for what clients were told of by then ([`Database::level`]). A crash rolls the
//! group back; what is in the log is replayed.
//!
//! A member that is in no log (a letter), or not with all that it did (tables of
//! this site alone, the schema), is answered when it is committed here. So is every
//! one where others read what groups change: readers are many, and need not wait.
//! The group ends as soon as its first member is acknowledged then.
//!
//! # When not all is well
//! Where a member is not acknowledged, or SQLite has rolled the group back (a
//! statement was interrupted, the disk is full), all of it is rolled back when
//! the outcome of all is known. The digests of those that are acknowledged are
//! applied, in order, as those of other sites are. Members that are in no log
//! (letters) are applied again if they come before the first that failed:
//! what they have read is committed. Those behind it may have read what never
//! was, and fail with `40001`.
//!
//! No entry of the log rests on what fails: in strong tables by the log itself
//! (an entry is not acknowledged before what it read), and beyond the log since a
//! transaction that has touched what a member has changed in other tables is
//! appended only when all before it are acknowledged ([`Writing::settled`]). So
//! does one that has changed tables of this site alone, which no digest tells;
//! and it is the last one of its group.
//!
//! # Who ends a group
//! Its keeper ([`keep`]), or whoever has the permit to write and finds it closed. A
//! transaction that runs on top of a group that is to end is taken off after a
//! bounded time ([`RUNNER_WAIT`]), so that a client that is slow keeps nobody from
//! its answer; and at once if it waits itself, for tables that another site has or
//! a member: two sites could wait for each other so. The session's next one begins
//! a group of its own.
//!
//! [`Writing::settled`]: super::writer::Writing::settled

mod joined;
mod keeper;
mod redo;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, join_all};
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) use self::joined::{End, Joined};
use self::keeper::keep;
use self::redo::Redo;
use super::history::Tables;
use super::lane::Held;
use super::{Database, Inner};
use crate::catalog::schema::Schema;
use crate::clock;
use crate::engine::digest::{Change, Digest};
use crate::engine::{Acknowledgement, Notes};
use crate::error::{Result, SqlError, state};

/// How long after others have read what a group had changed its members wait for
/// the commit.
const READ_LATELY: Duration = Duration::from_secs(1);
/// Members of one group.
const MEMBERS_MAX: usize = 256;
/// Bytes of the changes of one group's members, about: they are kept until it
/// ends. The last one may exceed it.
const BYTES_MAX: usize = 64 << 20;
/// How long members whose group is due wait for the transaction that runs on top
/// of them.
pub(crate) const RUNNER_WAIT: Duration = Duration::from_millis(500);

type Fate = Shared<BoxFuture<'static, Result<()>>>;

/// A transaction that joins a group.
pub(crate) struct Member {
    pub(crate) digest: Digest,
    pub(crate) notes: Notes,
    /// What it has changed.
    pub(crate) tables: Tables,
    /// The schema that it leaves.
    pub(crate) schema: Arc<Schema>,
    /// Whether it has changed tables of this site alone.
    pub(crate) is_only_here: bool,
    pub(crate) acknowledged: Acknowledgement,
    /// Told when it is committed here, or is not.
    pub(crate) ended: Box<dyn FnOnce(bool) + Send>,
}

impl Member {
    /// Whether the log has all of it, once it is acknowledged.
    fn is_in_log(&self) -> bool {
        !self.notes.positions.is_empty()
    }

    /// Whether none may join behind it.
    fn is_last(&self) -> bool {
        self.is_only_here || self.tables == Tables::All
    }

    fn size(&self) -> usize {
        let changes: usize = self.digest.changes.iter().map(Change::size).sum();
        let rows = self.digest.rows.rows.iter().map(|row| {
            let values = row.values.iter().flatten().map(|(_, value)| value.size());
            values.sum::<usize>()
        });
        changes.saturating_add(rows.sum())
    }
}

/// What somebody is about to read.
#[derive(Debug)]
pub(crate) enum Read {
    /// Whatever there is.
    Any,
    /// These tables, by their object ids.
    These(BTreeSet<u32>),
}

/// A member in its group.
pub(super) struct Seat {
    pub(super) member: Member,
    fate: Fate,
    answer: oneshot::Sender<Result<()>>,
}

#[derive(Default)]
struct Seats {
    /// Taken out when it ends.
    all: Vec<Seat>,
    /// What the members have changed; none before the first. It stays while the group
    /// ends: who begins to read meanwhile waits for the commit, too.
    changed: Option<Tables>,
    bytes: usize,
    is_closed: bool,
    /// Whether what the connection has is not what the members have done.
    is_spoiled: bool,
    /// Whether a client was told already.
    is_answered: bool,
}

/// Transactions that share one local commit.
pub(crate) struct Group {
    /// Where the ends of members are told.
    runtime: Handle,
    seats: Mutex<Seats>,
    /// Told when whoever ran on top has left the connection.
    moved: Notify,
    /// Told when somebody waits for the local commit.
    wanted: CancellationToken,
    /// Told when there was one, or none is to be.
    over: CancellationToken,
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").finish_non_exhaustive()
    }
}

impl Group {
    pub(super) fn new() -> Self {
        Self {
            runtime: Handle::current(),
            seats: Mutex::default(),
            moved: Notify::new(),
            wanted: CancellationToken::new(),
            over: CancellationToken::new(),
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.seats().changed.is_none()
    }

    fn close(&self) {
        self.seats().is_closed = true;
    }

    pub(super) fn spoil(&self) {
        self.seats().is_spoiled = true;
    }

    /// Whether it takes no more members.
    pub(super) fn is_due(&self) -> bool {
        self.seats().is_closed
    }

    /// Whether a client was told of a transaction that others cannot read yet.
    pub(super) fn is_answered(&self) -> bool {
        self.seats().is_answered
    }

    /// Whether a member has changed one of these tables.
    pub(super) fn has_changed(&self, tables: &BTreeSet<u32>) -> bool {
        let seats = self.seats();
        let changed = seats.changed.as_ref();
        changed.is_some_and(|changed| changed.meets(tables))
    }

    fn concerns(&self, read: &Read) -> bool {
        match read {
            Read::Any => !self.is_empty(),
            Read::These(tables) => self.has_changed(tables),
        }
    }

    /// How each member ends; never more than there are by now.
    pub(super) fn fates(&self) -> impl Future<Output = Vec<Result<()>>> + Send + use<> {
        let fates: Vec<Fate> = self.seats().all.iter().map(|s| s.fate.clone()).collect();
        join_all(fates)
    }

    /// Ends when the first member has its outcome.
    fn first(&self) -> impl Future<Output = ()> + Send + use<> {
        let first = self.seats().all.first().map(|first| first.fate.clone());
        async move {
            if let Some(first) = first {
                drop(first.await);
            }
        }
    }

    /// Whether the outcome of all is known.
    fn is_settled(&self) -> bool {
        self.fates().now_or_never().is_some()
    }

    /// Whoever ran on top has left the connection.
    pub(super) fn note_left(&self) {
        self.moved.notify_one();
    }

    pub(super) fn add(self: &Arc<Self>, database: &Database, mut member: Member) -> Joined {
        let (answer, answered) = oneshot::channel();
        let ready: Acknowledgement = Box::pin(std::future::ready(Ok(())));
        let fate = std::mem::replace(&mut member.acknowledged, ready).shared();
        let is_answered_early = member.is_in_log() && !member.is_last() && !database.is_read();
        let joined = Joined {
            database: database.clone(),
            group: Arc::clone(self),
            acknowledged: is_answered_early.then(|| fate.clone()),
            answered,
            permit: None,
        };
        let mut seats = self.seats();
        if seats.changed.is_none() {
            let group = Arc::downgrade(self);
            self.runtime
                .spawn(keep(Arc::downgrade(&database.inner), group));
        }
        seats.bytes = seats.bytes.saturating_add(member.size());
        let is_full = seats.all.len() + 1 >= MEMBERS_MAX || seats.bytes >= BYTES_MAX;
        seats.is_closed |= is_full || member.is_last();
        let changed = seats.changed.take().unwrap_or_default();
        seats.changed = Some(changed.and(&member.tables));
        seats.all.push(Seat {
            member,
            fate,
            answer,
        });
        joined
    }

    /// Takes the members out, and whether the connection has what they did.
    fn take(&self) -> (Vec<Seat>, bool) {
        let mut seats = self.seats();
        seats.is_closed = true;
        (std::mem::take(&mut seats.all), !seats.is_spoiled)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The database is closed: its connection rolls back.
        let _runtime = self.runtime.enter();
        let (seats, _) = self.take();
        for seat in seats.into_iter().rev() {
            (seat.member.ended)(false);
            drop(seat.answer.send(Err(abandoned())));
        }
        self.over.cancel();
    }
}

fn abandoned() -> SqlError {
    SqlError::new(
        state::STATEMENT_COMPLETION_UNKNOWN,
        "the transaction was broken off while it was being committed",
    )
    .with_hint("Read what the transaction would have changed before you try it again.")
}

impl Database {
    fn of(inner: &Weak<Inner>) -> Option<Self> {
        let inner = inner.upgrade()?;
        Some(Self { inner })
    }

    pub(super) fn group(&self) -> Option<Arc<Group>> {
        self.group_slot().clone()
    }

    pub(super) fn group_slot(&self) -> MutexGuard<'_, Option<Arc<Group>>> {
        let group = self.inner.group.lock();
        group.unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_current(&self, group: &Arc<Group>) -> bool {
        let current = self.group_slot();
        current.as_ref().is_some_and(|own| Arc::ptr_eq(own, group))
    }

    /// The permit to write.
    pub(super) async fn permit(&self) -> Result<OwnedSemaphorePermit> {
        let permit = Arc::clone(&self.inner.turn).acquire_owned().await;
        permit.map_err(|_| SqlError::new(state::ADMIN_SHUTDOWN, "the local database is closed"))
    }

    /// The permit to write, if nobody has it or waits for it.
    fn permit_if_free(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.inner.turn).try_acquire_owned().ok()
    }

    /// The permit to write, while no group is open: one that is, is ended first.
    pub(crate) async fn quiet(&self) -> Result<OwnedSemaphorePermit> {
        let permit = self.permit().await?;
        if let Some(group) = self.group() {
            self.end_group(&group).await?;
        }
        Ok(permit)
    }

    /// Has a group that is open ended soon.
    pub(crate) fn hurry(&self) {
        if let Some(group) = self.group() {
            group.wanted.cancel();
        }
    }

    /// Waits until what clients were told of is committed here, so that who begins
    /// to read does so; not longer than the limit, if there is one.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub(crate) async fn level(&self, read: Read, limit: Option<Duration>) -> Result<()> {
        let Some(group) = self.group().filter(|group| group.concerns(&read)) else {
            return Ok(());
        };
        *self.read_at() = Some(clock::now());
        if !group.is_answered() {
            return Ok(());
        }
        group.wanted.cancel();
        let over = group.over.cancelled();
        match limit {
            Some(limit) => drop(timeout(limit, over).await),
            None => over.await,
        }
        Ok(())
    }

    /// Whether others have read lately what members of a group had changed: then
    /// members wait for the commit, so that readers need not.
    fn is_read(&self) -> bool {
        let last = *self.read_at();
        last.is_some_and(|last| clock::now().saturating_duration_since(last) < READ_LATELY)
    }

    fn read_at(&self) -> MutexGuard<'_, Option<clock::Instant>> {
        let read_at = self.inner.read_at.lock();
        read_at.unwrap_or_else(PoisonError::into_inner)
    }

    /// The permit, taken from the transaction that has it if that goes on for
    /// too long, or waits for others.
    async fn permit_of_runner(&self) -> Result<OwnedSemaphorePermit> {
        let permit = async {
            tokio::select! {
                biased;
                permit = self.permit() => Some(permit),
                () = self.runner_waits() => None,
            }
        };
        match timeout(RUNNER_WAIT, permit).await {
            Ok(Some(permit)) => permit,
            Ok(None) | Err(_) => match self.take_off() {
                Some(permit) => Ok(permit),
                None => self.permit().await,
            },
        }
    }

    /// Ends a group that is open. The caller has the permit.
    ///
    /// Dropped, the group is ended by whoever has the permit next.
    pub(super) async fn end_group(&self, group: &Arc<Group>) -> Result<()> {
        group.close();
        let fates = group.fates().await;
        let (database, group) = (self.clone(), Arc::clone(group));
        let end = move |held: &mut Held| {
            database.finish(held, &group, fates);
            Ok(())
        };
        self.inner.writer.call(0, end).await
    }

    /// Commits a group, or what may be committed of it, and tells its members.
    fn finish(&self, held: &mut Held, group: &Arc<Group>, fates: Vec<Result<()>>) {
        if !self.is_current(group) {
            return;
        }
        let (seats, is_kept) = group.take();
        let is_good = is_kept && fates.iter().all(Result::is_ok);
        if is_good && held.commit_group() {
            if let Some(last) = seats.last() {
                self.set_schema(Arc::clone(&last.member.schema));
            }
            return self.publish(group, seats, fates);
        }
        held.rollback_group();
        let mut redo = Redo::new(self.schema());
        let members = seats.iter().map(|seat| &seat.member);
        let ends = members
            .zip(fates)
            .map(|(m, fate)| redo.member(held, m, fate));
        let ends = ends.collect();
        held.keep_counters();
        self.set_schema(redo.schema);
        self.publish(group, seats, ends);
    }

    /// Tells everybody how a group has ended.
    fn publish(&self, group: &Group, seats: Vec<Seat>, ends: Vec<Result<()>>) {
        let _runtime = group.runtime.enter();
        let pairs = seats.iter().zip(&ends).filter(|(_, end)| end.is_ok());
        let changed = pairs.fold(None::<Tables>, |all, (seat, _)| {
            Some(all.unwrap_or_default().and(&seat.member.tables))
        });
        if let Some(changed) = changed {
            self.note_commit(changed);
        }
        let mut answers = Vec::new();
        // What is undone is undone in reverse, as each says what came before it.
        let (good, bad): (Vec<_>, Vec<_>) = seats
            .into_iter()
            .zip(ends)
            .partition(|(_, end)| end.is_ok());
        for (seat, end) in good.into_iter().chain(bad.into_iter().rev()) {
            (seat.member.ended)(end.is_ok());
            answers.push((seat.answer, end));
        }
        *self.group_slot() = None;
        group.over.cancel();
        for (answer, end) in answers {
            // A session that is gone is told nothing.
            drop(answer.send(end));
        }
    }
}
