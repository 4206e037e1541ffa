//! What a queue is asked for, and what comes of it.

use serde::{Deserialize, Serialize};

use super::NewTicket;
use crate::id::{Moves, RequestId, SessionId};
use crate::lock_ref::{HandOvers, Holding, LockRef};
use crate::time::Lease;

/// A change that needs consensus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Command {
    /// Adds a ticket at the end; the same request again finds its ticket.
    Enqueue(NewTicket),
    /// Removes a waiter, or a shared holder, that has no write under way.
    Withdraw(LockRef),
    /// Removes a ticket that is taken for dead, and records it in `forced`.
    Force {
        /// The ticket to remove.
        lock_ref: LockRef,
        /// Only while this session owns it; `None` for whoever does.
        owner: Option<SessionId>,
    },
    /// Removes the ticket of a section, whoever owns it, as a force does. Named
    /// by the section: its ticket may be kept for another one by now.
    ForceSection(RequestId),
    /// Gives a ticket another owner and the next incarnation.
    ///
    /// Only while it has the incarnation that the adopter saw, and not after
    /// the client has moved on: an adoption that lands late cannot take a
    /// section from whoever took it meanwhile. Asked again after a lost
    /// answer, it finds its own work done.
    Adopt {
        /// The ticket to take over, in the incarnation that was seen.
        holding: Holding,
        /// The new owner.
        owner: SessionId,
        /// The new owner's lease.
        lease: Lease,
        /// How often the client had moved when it asked the new owner.
        moves: Moves,
    },
    /// Gives a ticket to its owner itself, for sections to come: the next
    /// incarnation, under a name that no client knows.
    ///
    /// Only while it has the incarnation that the owner knows. What a client of
    /// the section that is over asks of any node then finds nothing.
    Keep {
        /// The ticket, as its owner knows it.
        holding: Holding,
        /// Its owner.
        owner: SessionId,
        /// The name.
        name: RequestId,
    },
    /// Gives a kept ticket the name of the section that has it by now, so that
    /// another node can take it over.
    ///
    /// Only while it has that incarnation and owner, and its client has no
    /// other ticket here.
    Name {
        /// The ticket, as its owner knows it.
        holding: Holding,
        /// Its owner.
        owner: SessionId,
        /// The section.
        section: Named,
    },
    /// Removes the ticket if it is still there in this incarnation.
    Confirm(Holding),
    /// Records that the ticket has synchronised, if it is still there.
    Synced(Holding),
    /// An enqueue that may land late: with a number above `above`, and only where
    /// that is not above `limit`. The ticket that is there is found.
    ///
    /// Who does not know what became of one asks for another above its limit, at
    /// whichever node: from then on the former has no effect.
    EnqueueWithin {
        /// What is asked for.
        ticket: NewTicket,
        /// No number up to this one is given any more.
        above: LockRef,
        /// The highest number that it may get.
        limit: LockRef,
    },
}

impl Command {
    /// The ticket that an enqueue of any kind asks for.
    pub fn new_ticket(&self) -> Option<&NewTicket> {
        if let Self::Enqueue(ticket) | Self::EnqueueWithin { ticket, .. } = self {
            return Some(ticket);
        }
        None
    }
}

/// What a [`Command`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// It took effect; the ticket concerned, as it is now or last was.
    Done(Holding),
    /// The ticket was not there (any more), or not as the command asked.
    Gone,
    /// All lockRefs of the key, or all incarnations of the ticket, are used.
    Exhausted,
}

/// The section that a kept ticket is named for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Named {
    /// The section.
    pub request: RequestId,
    /// How often its client had moved when it asked the owner.
    pub moves: Moves,
    /// How many sections had the ticket before.
    pub hand_overs: HandOvers,
}
