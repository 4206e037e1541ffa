//! One client's critical section over a key set, as a machine.
//!
//! A [`CriticalSection`] takes an [`Input`] and the [`Context`] of its node,
//! and appends [`Effect`]s for its driver: calls to the two stores, replies to
//! the client, hints to listen for. It asks for nothing and waits for nothing,
//! so the server, a simulator and a model checker drive the same value.
//!
//! ```text
//!            enqueue           at every head          (flag) synchronise
//!  client ──▶ Entering ──▶ Waiting ──▶ AtHead ──▶ SyncReading ─ SyncWriting ─ SyncMarking
//!                             ▲ │ hint, poll          │ no flag          │
//!                             └─┘                     ▼                  ▼
//!  put, get ◀──────────────────────────────────────  Held  ◀─────────────┘
//!                                                     │ release
//!                                  Ending: release · withdraw · confirm · force ──▶ Gone
//! ```
//!
//! Each key of the set goes through these phases; the section is granted when
//! all are `Held`. Keys are held in sorted order: what lies behind the first
//! blocked key is withdrawn and entered again later, so sets never deadlock.
//!
//! Invariant: what a section writes carries its lockRef, incarnation and a
//! tick of its own, so once a later lockRef is granted nothing of this one is
//! observed, whatever is late, lost, repeated or paused. The worst failure
//! survived: the node is paused between the grant and the put for as long as
//! you like, and goes on as if nothing had happened.
//!
//! One operation a file: `acquire`, `synchronize`, `put`, `get`,
//! `release`, `adopt`; the calls they make are in `call`, what passes from a
//! section to its node's next one in `tenure`.

mod acquire;
mod adopt;
mod call;
mod error;
mod get;
mod hold;
mod put;
mod release;
mod synchronize;
mod tenure;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use bytes::Bytes;

use crate::id::{Field, IdempotencyKey, Moves, RecordId, RequestId, SessionId};
use crate::lock_queue::{Marks, Mode};
use crate::lock_ref::{LockRef, Tick};
use crate::record::Record;
use crate::stamp::Stamp;
use crate::time::{Lease, MonotonicTime};

pub use call::{Answer, Call, Effect, Failure};
pub use error::{Error, Lost};
use hold::{Hold, Phase};
pub use put::PUTS_PENDING_MAX;
use put::PutMemo;
use release::Ending;
pub use tenure::Kept;

/// The most keys of one section.
pub const KEYS_MAX: usize = 32;

/// Names an operation of the client within its section, for the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u64);

/// The place of a key in the sorted key set, below [`KEYS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyIndex(pub u8);

/// What a section is created with; nothing of it ever changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Names the section in its tickets.
    pub request: RequestId,
    /// Exclusive or shared.
    pub mode: Mode,
    /// How long the client may go unheard.
    pub client_lease: Lease,
    /// The node session that keeps the tickets alive.
    pub owner: SessionId,
    /// How long that session may go unheard.
    pub node_lease: Lease,
    /// How often the client had moved when it asked this node.
    pub moves: Moves,
    /// Whether the node takes clean tickets over at the end, by
    /// [`Effect::Keep`].
    pub keeps: bool,
}

/// What the node knows at the moment of a step.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The node's clock.
    pub now: MonotonicTime,
    /// The node's session.
    pub session: SessionId,
    /// Until when that session's lease is valid: a lease after its last
    /// successful raise *began*; exclusive.
    pub lease_until: MonotonicTime,
}

/// What a put changes in a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Fields written together; `None` deletes one.
    Fields(Vec<(Field, Option<Bytes>)>),
    /// The whole record is deleted.
    Delete,
}

impl Change {
    /// The write that makes this change.
    pub fn into_record(self, stamp: Stamp) -> Record {
        match self {
            Self::Fields(fields) => Record::write(stamp, fields),
            Self::Delete => Record::deletion(stamp),
        }
    }
}

/// A put, as the client asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Put {
    /// The key.
    pub key: KeyIndex,
    /// What changes.
    pub change: Change,
    /// The client's name for this put, and a hash of the put: a retry under
    /// the same name is the same put, with the same stamp.
    pub identity: Option<(IdempotencyKey, u64)>,
}

/// An event.
#[derive(Clone, Debug)]
pub enum Input {
    /// The client asks for a lockRef: enter all queues.
    Create,
    /// The client has moved here from another node: take its tickets over.
    Adopt,
    /// The client proves life.
    Renew,
    /// The client reads a record.
    Get(OpId, KeyIndex),
    /// The client writes a record.
    Put(OpId, Put),
    /// The client ends the section.
    Release {
        /// Names the operation.
        op: OpId,
        /// Whether it asks if nobody else was granted in between.
        confirm: bool,
    },
    /// A call to a store ended.
    Answered(Call, Answer),
    /// The queue of a key may have changed.
    Hint {
        /// The key.
        key: KeyIndex,
        /// How far it has come, where that is known.
        marks: Option<Marks>,
    },
    /// The owner of a ticket has gone unheard for a lease and a quarter.
    Suspect(SessionId),
    /// The time that [`CriticalSection::wake_at`] named has come.
    Wake,
}

/// What a client's operation gives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// A get: the record as the section observes it.
    Record(Record),
    /// A put: a majority has it under this stamp.
    Written(Stamp),
    /// A release: the section is over.
    Released,
    /// A confirmed release: nobody else was granted in between.
    Confirmed,
}

/// Where a section stands, to its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Queued behind others, or entering the queues.
    Waiting,
    /// Its critical section may run.
    Granted,
    /// It does not hold its lockRef any more.
    Lost(Lost),
    /// The client has released it; the tickets may be on their way out.
    Released,
}

/// A critical section.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CriticalSection {
    terms: Terms,
    status: Status,
    keys: Vec<Hold>,
    /// The tick that the next write takes; `None` when all are used up.
    next_tick: Option<Tick>,
    /// All incarnations are used up too.
    exhausted: bool,
    puts: Vec<PutMemo>,
    /// How many gets are not answered yet.
    gets: u32,
    client_heard_at: MonotonicTime,
    ending: Option<Ending>,
}

impl CriticalSection {
    /// A section that has not entered any queue yet: give it
    /// [`Input::Create`] or [`Input::Adopt`] first.
    ///
    /// `keys` come in sorted order, each once, 1 to [`KEYS_MAX`] of them;
    /// `None` otherwise.
    pub fn new(terms: Terms, keys: Vec<RecordId>, now: MonotonicTime) -> Option<Self> {
        let fits = !keys.is_empty() && keys.len() <= KEYS_MAX && keys.is_sorted_by(|a, b| a < b);
        fits.then(|| Self {
            terms,
            status: Status::Waiting,
            keys: keys.into_iter().map(Hold::new).collect(),
            next_tick: Some(Tick::FIRST),
            exhausted: false,
            puts: Vec::new(),
            gets: 0,
            client_heard_at: now,
            ending: None,
        })
    }

    /// Takes an event in and appends what is to be done about it.
    pub fn step(&mut self, input: Input, context: &Context, effects: &mut Vec<Effect>) {
        match input {
            Input::Create => self.create(context, effects),
            Input::Adopt => self.find_tickets(effects),
            Input::Renew => self.hear_client(context, effects),
            Input::Get(op, key) => self.get(op, key, context, effects),
            Input::Put(op, put) => self.put(op, put, context, effects),
            Input::Release { op, confirm } => self.release(op, confirm, context, effects),
            Input::Answered(call, answer) => self.answered(call, answer, context, effects),
            Input::Hint { key, marks } => self.hint(key, marks, effects),
            Input::Suspect(session) => self.suspect(session, effects),
            Input::Wake => self.wake(context, effects),
        }
    }

    /// Where the section stands.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The terms it was created with.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Whether every key's place in its queue is known, so that the lockRef
    /// can be given to the client.
    pub fn is_queued(&self) -> bool {
        self.keys.iter().all(|hold| !hold.phase.is_entering())
    }

    /// Whether a ticket of it may yet come to be, or is on its way out, that another
    /// machine of the section would not find.
    pub fn has_loose_ends(&self) -> bool {
        self.keys.iter().any(Hold::is_loose)
    }

    /// Whether the critical section may run.
    pub fn is_granted(&self) -> bool {
        self.status == Status::Granted
    }

    /// The keys and their lockRefs, in sorted order; [`LockRef::NONE`] where
    /// the key has no ticket at the moment.
    pub fn lock_refs(&self) -> impl Iterator<Item = (&RecordId, LockRef)> {
        self.keys
            .iter()
            .map(|hold| (&hold.id, hold.holding.lock_ref))
    }

    /// The keys that it listens for hints about.
    pub fn watched(&self) -> impl Iterator<Item = &RecordId> {
        self.keys
            .iter()
            .filter(|hold| hold.watched)
            .map(|hold| &hold.id)
    }

    /// The place of a key in the key set.
    pub fn key_index(&self, id: &RecordId) -> Option<KeyIndex> {
        let index = self.keys.binary_search_by(|hold| hold.id.cmp(id)).ok()?;
        u8::try_from(index).ok().map(KeyIndex)
    }

    /// When it wants [`Input::Wake`]; `None` when nothing is to come.
    pub fn wake_at(&self) -> Option<MonotonicTime> {
        let calls = |hold: &Hold| [hold.retry_at, hold.name_at].into_iter().flatten().min();
        let retries = self.keys.iter().filter_map(calls).min();
        let open = self.status != Status::Released && !self.is_dismissed();
        retries
            .into_iter()
            .chain(open.then(|| self.client_deadline()))
            .min()
    }

    /// Whether the client has not proved life when it should have.
    pub fn is_silent(&self, now: MonotonicTime) -> bool {
        now > self
            .client_heard_at
            .after(self.terms.client_lease.renewal_interval())
    }

    fn client_deadline(&self) -> MonotonicTime {
        self.client_heard_at.after(self.terms.client_lease.get())
    }

    fn lease_is_valid(&self, context: &Context) -> bool {
        context.session == self.terms.owner && context.now < context.lease_until
    }

    fn hear_client(&mut self, context: &Context, effects: &mut Vec<Effect>) {
        self.client_heard_at = self.client_heard_at.max(context.now);
        self.check_lease(context, effects);
    }

    /// Takes the tickets for lost once the node could not prove life.
    fn check_lease(&mut self, context: &Context, effects: &mut Vec<Effect>) {
        let open = matches!(self.status, Status::Waiting | Status::Granted);
        if open && !self.lease_is_valid(context) {
            self.lose(Lost::NodeLeaseExpired, effects);
        }
    }

    /// Whether the client may use the section; its question proves life.
    fn check_granted(&mut self, context: &Context, effects: &mut Vec<Effect>) -> Result<(), Error> {
        self.hear_client(context, effects);
        match self.status {
            Status::Granted => Ok(()),
            Status::Waiting => Err(Error::NotGranted),
            Status::Lost(lost) => Err(Error::Lost(lost)),
            Status::Released => Err(Error::Released),
        }
    }

    fn wake(&mut self, context: &Context, effects: &mut Vec<Effect>) {
        self.check_lease(context, effects);
        let silent = context.now >= self.client_deadline();
        match self.status {
            Status::Waiting | Status::Granted if silent => {
                self.lose(Lost::ClientLeaseExpired, effects);
                self.dismiss(effects);
            }
            Status::Lost(_) if silent => self.dismiss(effects),
            Status::Waiting | Status::Granted | Status::Lost(_) | Status::Released => {}
        }
        self.name_tickets(context, effects);
        self.make_due_calls(context, effects);
    }

    fn make_due_calls(&mut self, context: &Context, effects: &mut Vec<Effect>) {
        let poll = self.poll_interval();
        let (open, heard_at) = (self.status == Status::Waiting, self.client_heard_at);
        for (index, hold) in (0..).map(KeyIndex).zip(&mut self.keys) {
            if hold.retry_at.is_none_or(|at| at > context.now) {
                continue;
            }
            if open && hold.phase.is_taking_over() && heard_at < hold.failed_at {
                // The client may have gone on to yet another node, and must
                // not be robbed of the section there.
                hold.postpone(context.now);
            } else {
                // A lost answer of the poll is made up for by the next one.
                hold.retry_at =
                    matches!(hold.phase, Phase::Waiting { .. }).then(|| context.now.after(poll));
                hold.call(index, &self.terms, effects);
            }
        }
    }

    /// The slow poll behind the hints.
    fn poll_interval(&self) -> core::time::Duration {
        self.terms.node_lease.get()
    }

    /// The section does not hold its lockRef any more, or never will.
    fn lose(&mut self, lost: Lost, effects: &mut Vec<Effect>) {
        match self.status {
            Status::Waiting
            | Status::Granted
            | Status::Lost(Lost::NodeLeaseExpired | Lost::Adopted) => {}
            Status::Lost(_) => return,
            Status::Released => return self.finish(effects),
        }
        let before = core::mem::replace(&mut self.status, Status::Lost(lost));
        effects.push(Effect::Changed);
        match lost {
            // Another node may take the tickets over, or is doing so. What is
            // left of them here goes when the client says so, or is silent.
            Lost::NodeLeaseExpired | Lost::Adopted if self.is_exiting() => {}
            Lost::NodeLeaseExpired | Lost::Adopted => {
                // What nobody would find stays for ever under a session that lives on.
                let is_own = lost == Lost::Adopted;
                for (index, hold) in (0..).map(KeyIndex).zip(&mut self.keys) {
                    let stays = is_own && hold.is_loose();
                    hold.retry_at = hold.retry_at.filter(|_| stays);
                    hold.name_at = None;
                    if is_own && hold.is_nameless() && !hold.is_loose() {
                        hold.leave_nameless(before, index, &self.terms, effects);
                    }
                }
            }
            Lost::Preempted | Lost::ClientLeaseExpired | Lost::LockStoreBehind => {
                self.end(None, effects);
            }
        }
    }
}
