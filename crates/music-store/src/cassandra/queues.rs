//! The lock store's side of a node: commands, peeks and releases.
//!
//! One worker a key and node runs the transactions, one after the other, each
//! with all the commands that were waiting: calls of one node never compete
//! with each other. The worker ends when nothing waits.
//!
//! # A peek answers from what is at a majority
//! A read at `SERIAL` is linearizable in what transactions wrote, and sees
//! every release that a majority has. But Cassandra does not repair what such
//! a read sees: a release of which one replica knows would be seen by one peek
//! and not by the next. So a peek reads `released` at `QUORUM` as well, at the
//! same time, which repairs. Where that read saw as much as the `SERIAL` one,
//! what the latter saw is at a majority. Otherwise the peek raises `released`
//! to it at a majority, by the write of a release, before it answers.
//!
//! # A call of unknown outcome
//! An attempt without an answer may be applied until another is. Where a
//! transaction ends so, the next call for the key, a peek too, begins with a
//! transaction: when that is applied, the earlier one was, or never will be.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use music_core::id::{RecordId, SessionId};
use music_core::lock_queue::{Command, LockQueue, Marks, Outcome};
use music_core::lock_ref::{Holding, LockRef};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::codec::{self, DecodeError};
use super::coordinators::{Collisions, Coordinators};
use super::failure::Failure;
use super::pace::{is_heard, rest};
use super::pleas;
use super::register::{Contents, Done, Place, Register, Undone};
use super::session::{Access, Cql};
use crate::backlog::{Backlog, Call};
use crate::watches::Watches;
use crate::{Applied, Error, Level, Look, lock_store};

/// How many queues a node remembers, to save the first read.
const REMEMBERED_MAX: usize = 16_384;

/// How long an enqueue is made again by itself that another node may make as well.
const ENQUEUE_TIME_MAX: Duration = Duration::from_millis(400);

/// How often that is in vain, one after the other, before others are asked to give
/// way: this node cannot leave it to them, it seems.
const LOST_MAX: u32 = 4;

/// How long a look at the own data centre's replica may take.
const LOOK_TIME_MAX: Duration = Duration::from_millis(100);

/// What a call asks of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask {
    /// What it is.
    Peek,
    /// A change.
    Command(Command),
    /// That its numbers go on above this one.
    Advance(LockRef),
}

impl Ask {
    /// Whether it is for a ticket, which others may want before.
    fn is_for_more(&self) -> bool {
        matches!(self, Self::Command(command) if command.new_ticket().is_some())
    }

    /// Whether another node may do it as well.
    fn may_be_relayed(&self) -> bool {
        matches!(self, Self::Command(Command::EnqueueWithin { .. }))
    }

    /// Whether it does no harm where it takes effect late.
    fn is_bounded(&self) -> bool {
        self.may_be_relayed() || matches!(self, Self::Peek)
    }
}

/// A call that waits.
struct Waiting {
    ask: Ask,
    answer: oneshot::Sender<Result<Applied, Error>>,
}

impl Call for Waiting {
    fn is_open(&self) -> bool {
        !self.answer.is_closed()
    }
}

/// A queue as this node last saw it.
#[derive(Clone, Debug, Default)]
struct Known {
    contents: Contents<LockQueue>,
    /// An attempt of this node may still be applied.
    open: bool,
}

/// The queues of a node's Cassandra.
pub(super) struct Queues {
    cql: Arc<Cql>,
    /// How long a call waits for its answer.
    call_time: Duration,
    waiting: Backlog<Waiting>,
    /// Ends with the last view of this Cassandra.
    life: CancellationToken,
    known: Mutex<BTreeMap<RecordId, Known>>,
    collisions: Collisions,
    watches: Watches,
}

/// What a look at the local replica has told of a queue.
pub(super) struct News {
    /// The version of the queue, and its release.
    pub(super) at: (i64, Option<i64>),
    /// How far the queue has come.
    pub(super) marks: Marks,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Queues {
    pub(super) fn new(cql: Arc<Cql>, call_time: Duration, life: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            cql,
            call_time,
            waiting: Backlog::default(),
            life,
            known: Mutex::default(),
            collisions: Collisions::default(),
            watches: Watches::default(),
        })
    }

    /// Performs what is asked, after what was asked of that key before.
    pub(super) async fn call(self: &Arc<Self>, id: &RecordId, ask: Ask) -> Result<Applied, Error> {
        let (answer, answered) = oneshot::channel();
        let call = Waiting { ask, answer };
        if self.waiting.add(id, call, &self.life)? {
            // Ends by itself when nothing waits: each transaction is bounded.
            tokio::spawn(Arc::clone(self).serve_all(id.clone()));
        }
        match tokio::time::timeout(self.call_time, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Error::TimedOut),
        }
    }

    /// Tells a majority of a release.
    pub(super) async fn release(&self, id: &RecordId, holding: Holding) -> Result<(), Error> {
        let released = codec::encode_release(holding);
        let place = place(id);
        self.register(&place).write_released(released).await?;
        if let Some(known) = lock(&self.known).get_mut(id) {
            known.contents.released = known.contents.released.max(Some(released));
        }
        self.watches.tell(id, None);
        Ok(())
    }

    /// Who wants to know of which queues.
    pub(super) fn watches(&self) -> &Watches {
        &self.watches
    }

    /// Looks at a queue at the replica of this data centre; `None` where this
    /// node knows as much already. No round.
    pub(super) async fn glance(&self, id: &RecordId) -> Result<Option<News>, Failure> {
        let place = place(id);
        let access = Access::Plain(Level::Local);
        let seen: Contents<LockQueue> = self.register(&place).read_at(access).await?;
        let (version, released) = match lock(&self.known).get(id) {
            Some(known) => (known.contents.version, known.contents.released),
            None => (0, None),
        };
        if seen.version <= version && seen.released <= released {
            return Ok(None);
        }
        let release = codec::decode_release(seen.released)?;
        Ok(Some(News {
            at: (seen.version, seen.released),
            marks: seen.state.value.marks_beyond(release),
        }))
    }

    /// Looks at a queue. While others have a ticket where nodes have been in each
    /// other's way it stays crowded.
    pub(super) async fn look(&self, id: &RecordId, own: SessionId) -> Option<Look> {
        let place = place(id);
        let register = self.register(&place);
        let local = register.read_at(Access::Plain(Level::Local));
        let seen: Contents<LockQueue> = match tokio::time::timeout(LOOK_TIME_MAX, local).await {
            Ok(Ok(seen)) => seen,
            _ => register
                .read_at(Access::Plain(Level::Majority))
                .await
                .ok()?,
        };
        let known = lock(&self.known).get(id).cloned().unwrap_or_default();
        let newest = newer(seen, known.contents);
        let mut queue = newest.state.value;
        queue.release(codec::decode_release(newest.released).ok()?);
        let is_crowded = self.collisions.is_noted(id);
        if is_crowded && queue.tickets().any(|(_, ticket)| ticket.owner != own) {
            self.collisions.note(id);
        }
        let queue = Arc::new(queue);
        Some(Look { queue, is_crowded })
    }

    fn register<'a>(&'a self, place: &'a Place) -> Register<'a> {
        Register::new(&self.cql, place)
    }

    /// For what may collide with transactions of other nodes.
    fn contended<'a>(&'a self, id: &RecordId, place: &'a Place) -> Register<'a> {
        self.register(place).via(self.collisions.via(id))
    }

    fn note_collision(&self, id: &RecordId, register: &Register<'_>) {
        if register.has_collided() {
            self.collisions.note(id);
            Coordinators::refresh(&self.cql);
        }
    }

    async fn serve_all(self: Arc<Self>, id: RecordId) {
        loop {
            let calls = self.waiting.take(&id, &self.life);
            if calls.is_empty() {
                return;
            }
            self.serve(&id, calls).await;
        }
    }

    async fn serve(&self, id: &RecordId, calls: Vec<Waiting>) {
        let known = lock(&self.known).get(id).cloned().unwrap_or_default();
        let peeks = calls.iter().all(|call| matches!(call.ask, Ask::Peek));
        if peeks && !known.open {
            match self.peek(id).await {
                Ok(queue) => answer_peeks(calls, &queue),
                Err(failure) => fail_all(calls, &failure),
            }
            return;
        }
        let place = place(id);
        let asks: Vec<Ask> = calls.iter().map(|call| call.ask).collect();
        let is_for_more = asks.iter().any(Ask::is_for_more);
        if let Some(until) = self.collisions.rests_until(id).filter(|_| is_for_more) {
            tokio::time::sleep_until(until).await;
        }
        let is_bounded = asks.iter().all(Ask::is_bounded);
        // Who asked looks again, and may leave it to another node.
        let is_short = is_bounded && !known.open && asks.iter().any(Ask::may_be_relayed);
        let patience = if is_short {
            ENQUEUE_TIME_MAX
        } else {
            self.call_time
        };
        let register = self.contended(id, &place);
        let seen = newest(&register, known.contents).await;
        let done = register
            .transact(seen, patience, |queue, released| {
                perform(queue, released, &asks)
            })
            .await;
        self.note_collision(id, &register);
        match done {
            Ok(Done { result, contents }) => {
                let marks = contents.state.value.marks();
                self.remember(id, contents, false);
                self.watches.tell(id, Some(marks));
                match result {
                    Ok(all) => answer_all(calls, all),
                    Err(error) => fail_all(calls, &error.into()),
                }
                if is_for_more && self.collisions.is_noted(id) {
                    let plea = pleas::last(&self.cql, &place).await.ok().flatten();
                    let is_pleaded = plea.is_some_and(is_heard);
                    // What others leave to this node does not wait for its rest.
                    let rests = is_pleaded || !is_bounded;
                    let rest = if rests {
                        rest(is_pleaded)
                    } else {
                        Duration::ZERO
                    };
                    self.collisions.note_won(id, rest);
                }
            }
            Err(Undone { failure, open }) => {
                self.forget(id, open && !is_bounded);
                if is_short && self.collisions.note_lost(id) > LOST_MAX {
                    register.plead().await;
                }
                fail_all(calls, &failure);
            }
        }
    }

    /// Reads a queue; what it returns, releases included, is at a majority.
    async fn peek(&self, id: &RecordId) -> Result<Arc<LockQueue>, Failure> {
        let place = place(id);
        let register = self.contended(id, &place);
        let (contents, settled) = tokio::join!(
            register.read_at_last(self.call_time),
            register.read_released()
        );
        self.note_collision(id, &register);
        let (contents, settled): (Contents<LockQueue>, _) = (contents?, settled?);
        if contents.released > settled
            && let Some(released) = contents.released
        {
            register.write_released(released).await?;
        }
        let mut queue = contents.state.value.clone();
        queue.release(codec::decode_release(contents.released)?);
        self.remember(id, contents, false);
        Ok(Arc::new(queue))
    }

    fn remember(&self, id: &RecordId, contents: Contents<LockQueue>, open: bool) {
        let mut all = lock(&self.known);
        if all.len() >= REMEMBERED_MAX && !all.contains_key(id) {
            // Any that is not needed: a queue not known costs a round, no more.
            let spare = all.iter().find(|(_, known)| !known.open);
            if let Some(spare) = spare.map(|(id, _)| id.clone()) {
                all.remove(&spare);
            }
        }
        let known = all.entry(id.clone()).or_default();
        // A release may have been acknowledged since the contents were read.
        let released = known.contents.released.max(contents.released);
        known.contents = contents;
        known.contents.released = released;
        known.open = open;
    }

    /// Ends what is known of a queue, but that an attempt is open.
    fn forget(&self, id: &RecordId, open: bool) {
        let was_open = lock(&self.known).remove(id).is_some_and(|known| known.open);
        if open || was_open {
            self.remember(id, Contents::default(), true);
        }
    }
}

/// What is known of a queue, or what the replica of this data centre has, where
/// that is newer: an attempt on what another site has changed meanwhile, or a
/// release under way, would be refused, and made anew. No round; whatever it is,
/// the attempt counts only on what the queue then is.
async fn newest(register: &Register<'_>, known: Contents<LockQueue>) -> Contents<LockQueue> {
    let look = register.read_at(Access::Plain(Level::Local));
    let Ok(Ok(seen)) = tokio::time::timeout(LOOK_TIME_MAX, look).await else {
        return known;
    };
    newer(seen, known)
}

fn newer(seen: Contents<LockQueue>, known: Contents<LockQueue>) -> Contents<LockQueue> {
    let released = known.released.max(seen.released);
    let newest = if seen.version > known.version {
        seen
    } else {
        known
    };
    Contents { released, ..newest }
}

/// The register of a key's queue.
fn place(id: &RecordId) -> Place {
    Place {
        table_id: i64::try_from(id.table.0).unwrap_or(i64::MAX),
        key: id.key.as_bytes().to_vec(),
    }
}

/// Folds the release in, then does what is asked, one after the other.
fn perform(
    queue: &mut LockQueue,
    released: Option<i64>,
    asks: &[Ask],
) -> Result<Vec<Result<Applied, Error>>, DecodeError> {
    queue.release(codec::decode_release(released)?);
    let perform = |ask: &Ask| match ask {
        Ask::Peek => Ok(Outcome::Gone),
        Ask::Command(command) => lock_store::perform(queue, *command),
        Ask::Advance(lock_ref) => {
            queue.advance(*lock_ref);
            Ok(Outcome::Gone)
        }
    };
    let outcomes: Vec<_> = asks.iter().map(perform).collect();
    let queue = Arc::new(queue.clone());
    let told = |outcome: Result<Outcome, Error>| {
        outcome.map(|outcome| Applied {
            outcome,
            queue: Arc::clone(&queue),
        })
    };
    Ok(outcomes.into_iter().map(told).collect())
}

fn answer_peeks(calls: Vec<Waiting>, queue: &Arc<LockQueue>) {
    for call in calls {
        let (outcome, queue) = (Outcome::Gone, Arc::clone(queue));
        answer(call, Ok(Applied { outcome, queue }));
    }
}

fn answer_all(calls: Vec<Waiting>, all: Vec<Result<Applied, Error>>) {
    for (call, result) in calls.into_iter().zip(all) {
        answer(call, result);
    }
}

fn fail_all(calls: Vec<Waiting>, failure: &Failure) {
    for call in calls {
        answer(call, Err(failure.clone().into()));
    }
}

fn answer(call: Waiting, result: Result<Applied, Error>) {
    if call.answer.send(result).is_err() {
        tracing::trace!("the call was given up");
    }
}
