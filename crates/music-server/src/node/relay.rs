//! Enqueues by way of another node.
//!
//! ```text
//!  this node ── S, number 33 to 64 ──▶ the owner of the head ──▶ the queue
//!      │     ◀── its ticket, the queue ──
//!      └ no answer: S, number 65 to 96 ───────────────────────▶ the queue
//! ```
//!
//! Where the transactions of an engine cancel each other, sites that want one key
//! lose time, and the one that is farthest from the others gets no ticket at all.
//! So they leave it to one of them: the node whose ticket is at the head. Its
//! transactions of a key take turns, and those that wait go together. It learns by
//! the same message that others wait.
//!
//! What a call without an answer does may be done late, after the section has
//! ended, and leave a ticket that is nobody's, which this node's lease would keep for
//! ever. So each enqueue has a limit to the number of its ticket. Where its outcome
//! is not known, the next one, here or elsewhere, asks for a number *above* that,
//! and enqueues are made until one is answered: from then on all others of the
//! section have no effect.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use music_api::problem::{Outcome as Effect, Problem};
use music_core::id::{RecordId, RequestId, SessionId};
use music_core::lock_queue::{Command, LockQueue, NewTicket, Outcome};
use music_core::lock_ref::LockRef;
use music_store::error::{Needed, Outcome as StoreOutcome};
use music_store::{Applied, LockStore as _, Look};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use super::courier::{Kind, Sent};
use super::{Error, Inner};

/// The route by which nodes ask each other.
const ROUTE: &str = "/v1/relay";
/// How far a queue may go on between a look at it and the enqueue, by other nodes.
const AHEAD: u64 = 32;
/// How far beyond the queue a limit may be that another node asks for: that many
/// numbers are lost at most.
const BEYOND_MAX: u64 = 1 << 20;
/// How many enqueues are made before a section is told that none was answered; it
/// asks again.
pub(crate) const TRIES_MAX: usize = 8;
/// How many enqueues without a known answer there may be.
const OPEN_MAX: usize = 100_000;

/// What a node asks another one for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RelayedEnqueue {
    /// Who is asked: another node may listen at its address by now.
    pub(crate) to: SessionId,
    pub(crate) id: RecordId,
    pub(crate) ticket: NewTicket,
    /// No number up to this one is given any more.
    pub(crate) above: LockRef,
    /// The highest number that the ticket may get.
    pub(crate) limit: LockRef,
}

impl RelayedEnqueue {
    /// What a message says; `None` where it is none.
    pub(crate) fn decode(message: &[u8]) -> Option<Self> {
        postcard::from_bytes(message).ok()
    }

    fn encode(&self) -> Option<Vec<u8>> {
        postcard::to_extend(self, Vec::new()).ok()
    }
}

/// What it is told.
pub(crate) fn encode_answer(applied: &Applied) -> Option<Bytes> {
    let answer = (applied.outcome, applied.queue.as_ref());
    let answer = postcard::to_extend(&answer, Vec::new());
    answer.ok().map(Bytes::from)
}

fn decode_answer(answer: &[u8]) -> Option<Applied> {
    let (outcome, queue): (Outcome, LockQueue) = postcard::from_bytes(answer).ok()?;
    let queue = Arc::new(queue);
    Some(Applied { outcome, queue })
}

/// The enqueues whose outcome is not known.
#[derive(Debug, Default)]
pub(super) struct Relays {
    open: Mutex<HashMap<(RecordId, RequestId), Open>>,
}

/// An enqueue whose outcome is not known.
#[derive(Clone, Copy, Debug)]
struct Open {
    owner: SessionId,
    /// The highest number that its ticket may get.
    limit: LockRef,
}

/// A ticket, the number that its own is to be above, and the highest that it may be.
type Within = (NewTicket, LockRef, LockRef);

/// What became of an enqueue.
enum Relayed {
    Answered(Applied),
    /// It has not been made, and will not be.
    Refused(music_store::Error),
    Unknown,
}

impl Relays {
    fn open(&self) -> MutexGuard<'_, HashMap<(RecordId, RequestId), Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to which number what is open may have a ticket.
    fn limit(&self, id: &RecordId, ticket: NewTicket) -> Option<LockRef> {
        let open = self.open();
        open.get(&(id.clone(), ticket.request))
            .map(|open| open.limit)
    }

    /// Before an enqueue is made, wherever; whether there is room.
    fn begin(&self, id: &RecordId, ticket: NewTicket, limit: LockRef) -> bool {
        let owner = ticket.owner;
        let mut all = self.open();
        let key = (id.clone(), ticket.request);
        let has_room = all.len() < OPEN_MAX || all.contains_key(&key);
        if has_room {
            all.insert(key, Open { owner, limit });
        }
        has_room
    }

    /// What was made last has no effect: what was open before is, if anything.
    fn take_back(&self, id: &RecordId, ticket: NewTicket, before: Option<LockRef>) {
        match before {
            Some(limit) => drop(self.begin(id, ticket, limit)),
            None => self.settle(id, ticket),
        }
    }

    /// One was answered: no other one has an effect any more.
    fn settle(&self, id: &RecordId, ticket: NewTicket) {
        self.open().remove(&(id.clone(), ticket.request));
    }

    /// Other sessions are over: their tickets are forced.
    pub(super) fn forget_others(&self, session: SessionId) {
        self.open().retain(|_, open| open.owner == session);
    }
}

impl Inner {
    /// Performs a command of a section: an enqueue by way of another node where
    /// that is better.
    pub(super) async fn command(
        self: &Arc<Self>,
        id: &RecordId,
        command: Command,
    ) -> Result<Applied, music_store::Error> {
        match command {
            Command::Enqueue(ticket) if self.has_courier() => self.enqueue(id, ticket).await,
            command => self.locks.apply(id, command).await,
        }
    }

    async fn enqueue(
        self: &Arc<Self>,
        id: &RecordId,
        ticket: NewTicket,
    ) -> Result<Applied, music_store::Error> {
        let (mut refused, mut seen) = (None, LockRef::NONE);
        for _ in 0..TRIES_MAX {
            let open = self.relays.limit(id, ticket);
            let Some(look) = self.locks.look(id, ticket.owner).await else {
                return Err(unanswered(open));
            };
            let above = open.unwrap_or(LockRef::NONE);
            let last = look.queue.last().max(above).max(seen).get();
            // Others here may have looked at the same time.
            let others = u64::try_from(self.watches.sections_at(id)).unwrap_or(u64::MAX);
            let ahead = AHEAD.saturating_add(others);
            let limit = LockRef::new(last.saturating_add(ahead)).unwrap_or(LockRef::MAX);
            if !self.relays.begin(id, ticket, limit) {
                return Err(music_store::Error::Overloaded);
            }
            self.gate.pass().await;
            let head = self
                .head_to_ask(&look, ticket)
                .filter(|head| refused != Some(*head));
            let made = match head {
                Some(to) => self.relay(to, id, (ticket, above, limit)).await,
                None => self.make(id, (ticket, above, limit)).await,
            };
            match made {
                Relayed::Answered(applied) => {
                    self.relays.settle(id, ticket);
                    if applied.outcome != Outcome::Gone {
                        return Ok(applied);
                    }
                    seen = applied.queue.last();
                }
                Relayed::Refused(error) => {
                    self.relays.take_back(id, ticket, open);
                    if head.is_none() && open.is_none() {
                        return Err(error);
                    }
                    refused = head;
                }
                Relayed::Unknown => {}
            }
        }
        Err(music_store::Error::TimedOut)
    }

    /// Another node that had better make an enqueue.
    fn head_to_ask(&self, look: &Look, ticket: NewTicket) -> Option<SessionId> {
        let (_, head) = look.queue.tickets().next()?;
        let asks = look.is_crowded && head.owner != ticket.owner && !self.is_silent(head.owner);
        asks.then_some(head.owner)
    }

    async fn make(&self, id: &RecordId, (ticket, above, limit): Within) -> Relayed {
        let enqueue = Command::EnqueueWithin {
            ticket,
            above,
            limit,
        };
        match self.locks.apply(id, enqueue).await {
            Ok(applied) => Relayed::Answered(applied),
            Err(error) if error.outcome() == StoreOutcome::NotApplied => Relayed::Refused(error),
            Err(_) => Relayed::Unknown,
        }
    }

    async fn relay(&self, to: SessionId, id: &RecordId, (ticket, above, limit): Within) -> Relayed {
        let asked = RelayedEnqueue {
            to,
            id: id.clone(),
            ticket,
            above,
            limit,
        };
        let Some(message) = asked.encode() else {
            return Relayed::Refused(music_store::Error::Overloaded);
        };
        let sent = self.post(to, ROUTE, Kind::Octets, message).await;
        let relayed = what_became_of(sent);
        if matches!(relayed, Relayed::Answered(_)) {
            self.neighbours.counts.relayed.inc();
        }
        relayed
    }

    /// Enqueues for another node, if this one has to do with the queue.
    pub(super) async fn enqueue_for(
        self: &Arc<Self>,
        asked: RelayedEnqueue,
    ) -> Result<Applied, Error> {
        let RelayedEnqueue {
            to,
            id,
            ticket,
            above,
            limit,
        } = asked;
        let own = self.liveness.session().0;
        let is_asked = to == own && self.has_courier() && self.lease_is_valid();
        let is_of_a_node = ticket.owner != own && ticket.lease == self.config.lease;
        if !is_asked || !is_of_a_node || above >= limit || !self.watches.has_sections(&id) {
            return Err(Error::NotHere);
        }
        let look = self.locks.look(&id, own).await.ok_or(Error::NotHere)?;
        if limit.get() > look.queue.last().get().saturating_add(BEYOND_MAX) {
            return Err(Error::NotHere);
        }
        let command = Command::EnqueueWithin {
            ticket,
            above,
            limit,
        };
        // Once: another one within the same limits would not end this one.
        let applied = self.command_alone(&id, command).await?;
        self.gate.pass().await;
        if matches!(applied.outcome, Outcome::Done(_)) {
            self.note_asker(&id, ticket.owner);
            self.tell_keeper(&id, applied.queue.marks());
        }
        Ok(applied)
    }
}

/// Nothing was made because the queue could not be looked at.
fn unanswered(open: Option<LockRef>) -> music_store::Error {
    let (needed, outcome) = (Needed::Majority, StoreOutcome::NotApplied);
    match open {
        None => music_store::Error::Unavailable { needed, outcome },
        Some(_) => music_store::Error::TimedOut,
    }
}

fn what_became_of(sent: Sent) -> Relayed {
    let refused = Relayed::Refused(music_store::Error::Contended);
    match sent {
        Sent::Answered(StatusCode::OK, answer) => {
            decode_answer(&answer).map_or(Relayed::Unknown, Relayed::Answered)
        }
        Sent::Answered(_, answer) => match serde_json::from_slice(&answer) {
            Ok(Problem {
                outcome: Effect::NotApplied,
                ..
            }) => refused,
            _ => Relayed::Unknown,
        },
        Sent::Unreached => refused,
        Sent::Lost => Relayed::Unknown,
    }
}
