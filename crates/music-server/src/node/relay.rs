//! Enqueues by way of another node.
//!
//! ```text
//!  this node ── enqueue S, up to 1256 ──▶ the owner of the head ──▶ the queue
//!      │     ◀── its ticket, the queue ──
//!      └ no answer: enqueue S, above 1256 ────────────────────────▶ the queue
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
//! ever. So another node is asked for a number up to a limit; where its answer is not
//! known this node enqueues by itself *above* the limit, and goes on to until that is
//! answered: from then on the other one has no effect. Nor is another node asked
//! where a call of this one is open, which only its own next one settles.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use music_api::problem::{Outcome as Effect, Problem};
use music_core::id::{RecordId, RequestId, SessionId};
use music_core::lock_queue::{Command, LockQueue, NewTicket, Outcome};
use music_core::lock_ref::LockRef;
use music_store::error::Outcome as StoreOutcome;
use music_store::{Applied, LockStore as _};
use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use super::courier::{Kind, Sent};
use super::{Error, Inner};

/// The route by which nodes ask each other.
const ROUTE: &str = "/v1/relay";
/// How far a queue may go on between a look at it and the enqueue.
const AHEAD: u64 = 32;
/// How many nodes are asked: the head may have left by the time.
const ASKED_MAX: usize = 2;
/// How many enqueues without a known answer there may be.
const OPEN_MAX: usize = 100_000;

/// What a node asks another one for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RelayedEnqueue {
    /// Who is asked: another node may listen at its address by now.
    pub(crate) to: SessionId,
    pub(crate) id: RecordId,
    pub(crate) ticket: NewTicket,
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
    /// Up to which number another node was asked for it; none where it is this node's.
    limit: LockRef,
}

/// What became of a message to another node.
enum Relayed {
    Done(Applied),
    /// It has not done it, and will not.
    Refused,
    Unknown,
}

impl Relays {
    fn open(&self) -> MutexGuard<'_, HashMap<(RecordId, RequestId), Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limit(&self, id: &RecordId, ticket: NewTicket) -> Option<LockRef> {
        let open = self.open();
        open.get(&(id.clone(), ticket.request))
            .map(|open| open.limit)
    }

    /// Before a call is made; whether there is room.
    fn begin(&self, id: &RecordId, ticket: NewTicket, limit: LockRef) -> bool {
        let owner = ticket.owner;
        let mut all = self.open();
        let has_room = all.len() < OPEN_MAX;
        if has_room {
            all.insert((id.clone(), ticket.request), Open { owner, limit });
        }
        has_room
    }

    /// What was asked for is done, or will not be.
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
        if self.relays.limit(id, ticket).is_none()
            && let Some(applied) = self.by_way_of_the_head(id, ticket).await
        {
            return Ok(applied);
        }
        let open = self.relays.limit(id, ticket);
        let limit = open.unwrap_or(LockRef::NONE);
        if open.is_none() && !self.relays.begin(id, ticket, limit) {
            return Err(music_store::Error::Overloaded);
        }
        self.gate.pass().await;
        let above = Command::EnqueueAbove { ticket, limit };
        let applied = self.locks.apply(id, above).await;
        match applied.as_ref().map_err(music_store::Error::outcome) {
            Ok(_) => self.relays.settle(id, ticket),
            Err(StoreOutcome::NotApplied) if open.is_none() => self.relays.settle(id, ticket),
            // Whatever became of this one, an earlier one may still have an effect.
            Err(_) => return Err(music_store::Error::TimedOut),
        }
        applied
    }

    async fn by_way_of_the_head(
        self: &Arc<Self>,
        id: &RecordId,
        ticket: NewTicket,
    ) -> Option<Applied> {
        let mut asked = None;
        for _ in 0..ASKED_MAX {
            let queue = self.locks.crowded(id, ticket.owner).await?;
            let (_, head) = queue.tickets().next()?;
            let is_other = head.owner != ticket.owner && asked != Some(head.owner);
            if !is_other || self.is_silent(head.owner) {
                return None;
            }
            asked = Some(head.owner);
            let limit = LockRef::new(queue.last().get().saturating_add(AHEAD))?;
            let id = id.clone();
            let question = RelayedEnqueue {
                to: head.owner,
                id,
                ticket,
                limit,
            };
            match self.relay(&question).await {
                Relayed::Done(applied) => return Some(applied),
                Relayed::Refused => {}
                Relayed::Unknown => return None,
            }
        }
        None
    }

    async fn relay(&self, asked: &RelayedEnqueue) -> Relayed {
        let RelayedEnqueue { id, ticket, .. } = asked;
        let Some(message) = asked.encode() else {
            return Relayed::Refused;
        };
        if !self.relays.begin(id, *ticket, asked.limit) {
            return Relayed::Refused;
        }
        let sent = self.post(asked.to, ROUTE, Kind::Octets, message).await;
        let relayed = what_became_of(sent);
        if !matches!(relayed, Relayed::Unknown) {
            self.relays.settle(id, *ticket);
        }
        if matches!(relayed, Relayed::Done(_)) {
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
            limit,
        } = asked;
        let own = self.liveness.session().0;
        let is_asked = to == own && self.has_courier() && self.lease_is_valid();
        let is_of_a_node = ticket.owner != own && ticket.lease == self.config.lease;
        if !is_asked || !is_of_a_node || !self.watches.has_sections(&id) {
            return Err(Error::NotHere);
        }
        let command = Command::EnqueueUpTo { ticket, limit };
        let applied = self.command_alone(&id, command).await?;
        self.gate.pass().await;
        if matches!(applied.outcome, Outcome::Done(_)) {
            self.note_asker(&id, ticket.owner);
            self.tell_keeper(&id, applied.queue.marks());
        }
        Ok(applied)
    }
}

fn what_became_of(sent: Sent) -> Relayed {
    match sent {
        Sent::Answered(StatusCode::OK, answer) => match decode_answer(&answer) {
            Some(applied) if applied.outcome == Outcome::Gone => Relayed::Refused,
            Some(applied) => Relayed::Done(applied),
            None => Relayed::Unknown,
        },
        Sent::Answered(_, answer) => match serde_json::from_slice(&answer) {
            Ok(Problem {
                outcome: Effect::NotApplied,
                ..
            }) => Relayed::Refused,
            _ => Relayed::Unknown,
        },
        Sent::Unreached => Relayed::Refused,
        Sent::Lost => Relayed::Unknown,
    }
}
