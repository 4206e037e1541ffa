//! The queue of one key, as the lock store keeps it.
//!
//! ```text
//!   last = 7     tickets  [ 5 exclusive, node A ] [ 6 shared, B ] [ 7 shared, A ]
//!                            ^ head = the holder
//!   released (4, 0)   forced 3   synced 5
//! ```
//!
//! Invariant: at most one exclusive ticket, or adjacent shared ones, are at
//! the head; `last`, `released`, `forced` and `synced` only grow. Every
//! function here is one atomic step of a linearizable store, but
//! [`LockQueue::release`], which is monotone and needs a majority write only.

mod command;

use alloc::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::command::{Command, Named, Outcome};
use crate::id::{Moves, RequestId, SessionId};
use crate::lock_ref::{HandOvers, Holding, Incarnation, LockRef};
use crate::mutation::{self, Mutation};
use crate::time::Lease;

/// Whether a lockRef admits others beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Alone at the head; may write.
    Exclusive,
    /// Beside adjacent shared ones; reads only.
    Shared,
}

/// What a node asks a ticket for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NewTicket {
    /// The node session that keeps the ticket alive.
    pub owner: SessionId,
    /// Exclusive or shared.
    pub mode: Mode,
    /// How long the owner may go unheard.
    pub lease: Lease,
    /// The section that the ticket is for; a second ticket is never given.
    pub request: RequestId,
    /// How often the client had moved when it asked.
    pub moves: Moves,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket {
    /// Grows when another node takes the section over.
    pub incarnation: Incarnation,
    /// The node session that keeps the ticket alive.
    pub owner: SessionId,
    /// Exclusive or shared.
    pub mode: Mode,
    /// How long the owner may go unheard.
    pub lease: Lease,
    /// The section that the ticket is for.
    pub request: RequestId,
    /// How often the client had moved when it asked the owner to keep it.
    pub moves: Moves,
    /// How many sections had it before the one that it is named for.
    pub hand_overs: HandOvers,
}

/// What tells at a glance how far a queue has come; both only grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Marks {
    /// The highest lockRef issued.
    pub last: LockRef,
    /// The highest lockRef removed by force.
    pub forced: LockRef,
    /// The first ticket; `None` where there is none.
    pub first: Option<LockRef>,
}

/// The queue of one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LockQueue {
    last: LockRef,
    tickets: BTreeMap<LockRef, Ticket>,
    released: Holding,
    forced: LockRef,
    synced: LockRef,
}

impl Ticket {
    /// Whether its owner keeps it, and no section has given it its name.
    pub fn is_kept(&self) -> bool {
        self.moves == Moves::OF_NODE
    }
}

impl LockQueue {
    /// Performs a command as one atomic step.
    pub fn apply(&mut self, command: Command) -> Outcome {
        match command {
            Command::Enqueue(ticket) => self.enqueue(ticket),
            Command::Withdraw(lock_ref) => self.remove(lock_ref),
            Command::Force { lock_ref, owner } => self.force(lock_ref, owner),
            Command::ForceSection(request) => match self.ticket_of(request) {
                Some((lock_ref, _)) => self.force(lock_ref, None),
                None => Outcome::Gone,
            },
            Command::Adopt {
                holding,
                owner,
                lease,
                moves,
            } => self.adopt(holding, owner, lease, moves),
            Command::Keep {
                holding,
                owner,
                name,
            } => self.keep(holding, owner, name),
            Command::Name {
                holding,
                owner,
                section,
            } => self.name(holding, owner, section),
            Command::Confirm(holding) if self.present(holding) => self.remove(holding.lock_ref),
            Command::Confirm(_) => Outcome::Gone,
            Command::Synced(holding) => self.mark_synced(holding),
            Command::EnqueueWithin {
                ticket,
                above,
                limit,
            } => {
                self.advance(above);
                self.enqueue_up_to(ticket, limit)
            }
        }
    }

    fn enqueue_up_to(&mut self, new: NewTicket, limit: LockRef) -> Outcome {
        let has_room = self.last < limit || self.last == LockRef::MAX;
        if has_room || self.holding_of(new.request).is_some() {
            self.enqueue(new)
        } else {
            Outcome::Gone
        }
    }

    fn enqueue(&mut self, new: NewTicket) -> Outcome {
        let asked_before = self.holding_of(new.request);
        if let Some(holding) = asked_before.filter(|_| !mutation::is_on(Mutation::EnqueueTwice)) {
            return Outcome::Done(holding);
        }
        let Some(lock_ref) = self.last.next() else {
            return Outcome::Exhausted;
        };
        self.drop_gone();
        let NewTicket {
            owner,
            mode,
            lease,
            request,
            moves,
        } = new;
        let incarnation = Incarnation::default();
        self.tickets.insert(
            lock_ref,
            Ticket {
                incarnation,
                owner,
                mode,
                lease,
                request,
                moves,
                hand_overs: HandOvers::default(),
            },
        );
        self.last = lock_ref;
        Outcome::Done(Holding {
            lock_ref,
            incarnation,
        })
    }

    /// Forgets the tickets that a release ended: all before it, so the first.
    fn drop_gone(&mut self) {
        while let Some(first) = self.tickets.first_entry() {
            let holding = Holding {
                lock_ref: *first.key(),
                incarnation: first.get().incarnation,
            };
            if holding > self.released {
                return;
            }
            first.remove();
        }
    }

    fn remove(&mut self, lock_ref: LockRef) -> Outcome {
        let Some(ticket) = self.ticket(lock_ref) else {
            return Outcome::Gone;
        };
        let holding = Holding {
            lock_ref,
            incarnation: ticket.incarnation,
        };
        self.tickets.remove(&lock_ref);
        Outcome::Done(holding)
    }

    fn force(&mut self, lock_ref: LockRef, owner: Option<SessionId>) -> Outcome {
        let Some(ticket) = self.ticket(lock_ref) else {
            return Outcome::Gone;
        };
        if owner.is_some_and(|owner| owner != ticket.owner) {
            return Outcome::Gone;
        }
        if mutation::is_on(Mutation::SharedForceWithoutFlag) && ticket.mode == Mode::Shared {
            self.synced = self.synced.max(lock_ref);
        } else if !mutation::is_on(Mutation::ForceWithoutFlag) {
            self.forced = self.forced.max(lock_ref);
        }
        self.remove(lock_ref)
    }

    fn adopt(&mut self, seen: Holding, owner: SessionId, lease: Lease, moves: Moves) -> Outcome {
        let lock_ref = seen.lock_ref;
        let Some(ticket) = self.ticket(lock_ref).copied() else {
            return Outcome::Gone;
        };
        if mutation::is_on(Mutation::SyncedAtAdoption) {
            self.synced = self.synced.max(lock_ref);
        }
        let Some(incarnation) = seen.incarnation.next() else {
            return Outcome::Exhausted;
        };
        let done = ticket.incarnation == incarnation && ticket.owner == owner;
        if ticket.incarnation != seen.incarnation && !done {
            return Outcome::Gone;
        }
        // A kept one has no client: its owner numbers its puts anew.
        let moves = if ticket.is_kept() {
            Moves::OF_NODE
        } else {
            moves
        };
        if moves < ticket.moves && !mutation::is_on(Mutation::AdoptionAfterMove) {
            return Outcome::Gone;
        }
        self.tickets.insert(
            lock_ref,
            Ticket {
                incarnation,
                owner,
                lease,
                moves,
                ..ticket
            },
        );
        Outcome::Done(Holding {
            lock_ref,
            incarnation,
        })
    }

    fn keep(&mut self, known: Holding, owner: SessionId, name: RequestId) -> Outcome {
        let lock_ref = known.lock_ref;
        let Some(ticket) = self.ticket(lock_ref).copied() else {
            return Outcome::Gone;
        };
        let Some(incarnation) = known.incarnation.next() else {
            return Outcome::Exhausted;
        };
        // Asked again after a lost answer, it finds its own work done.
        let done = ticket.incarnation == incarnation && ticket.request == name;
        let known = ticket.incarnation == known.incarnation && ticket.owner == owner;
        if !known && !done {
            return Outcome::Gone;
        }
        let kept = Ticket {
            incarnation,
            request: name,
            moves: Moves::OF_NODE,
            ..ticket
        };
        self.tickets.insert(lock_ref, kept);
        Outcome::Done(Holding {
            lock_ref,
            incarnation,
        })
    }

    fn name(&mut self, holding: Holding, owner: SessionId, section: Named) -> Outcome {
        let lock_ref = holding.lock_ref;
        let elsewhere = self.ticket_of(section.request);
        if elsewhere.is_some_and(|(other, _)| other != lock_ref) {
            return Outcome::Gone;
        }
        match self.ticket(lock_ref).copied() {
            Some(ticket) if ticket.incarnation == holding.incarnation && ticket.owner == owner => {
                let named = Ticket {
                    request: section.request,
                    moves: section.moves,
                    hand_overs: section.hand_overs,
                    ..ticket
                };
                self.tickets.insert(lock_ref, named);
                Outcome::Done(holding)
            }
            _ => Outcome::Gone,
        }
    }

    fn mark_synced(&mut self, holding: Holding) -> Outcome {
        if !self.present(holding) {
            return Outcome::Gone;
        }
        self.synced = self.synced.max(holding.lock_ref);
        Outcome::Done(holding)
    }

    /// Ends the section of an exclusive holder whose writes are acknowledged.
    ///
    /// Every ticket up to `holding` is gone from now on. Monotone: copies may
    /// take it in at any time, any number of times, in any order.
    pub fn release(&mut self, holding: Holding) {
        self.released = self.released.max(holding);
    }

    /// The ticket of that number, unless it is gone.
    pub fn ticket(&self, lock_ref: LockRef) -> Option<&Ticket> {
        let ticket = self.tickets.get(&lock_ref)?;
        let holding = Holding {
            lock_ref,
            incarnation: ticket.incarnation,
        };
        (holding > self.released).then_some(ticket)
    }

    /// Whether the ticket is still there, in this incarnation.
    pub fn present(&self, holding: Holding) -> bool {
        self.ticket(holding.lock_ref)
            .is_some_and(|ticket| ticket.incarnation == holding.incarnation)
    }

    /// The ticket of a section, unless it is gone.
    pub fn ticket_of(&self, request: RequestId) -> Option<(LockRef, &Ticket)> {
        // The latest of all that were given, in the order of a plain loop:
        // every enqueue looks, and queues may be long.
        let mut all = self.tickets.iter().rev();
        let (lock_ref, _) = all.find(|(_, ticket)| ticket.request == request)?;
        Some((*lock_ref, self.ticket(*lock_ref)?))
    }

    /// The ticket of a section and its incarnation, unless it is gone.
    pub fn holding_of(&self, request: RequestId) -> Option<Holding> {
        let (lock_ref, ticket) = self.ticket_of(request)?;
        Some(Holding {
            lock_ref,
            incarnation: ticket.incarnation,
        })
    }

    /// The tickets that are not gone, the head first.
    pub fn tickets(&self) -> impl Iterator<Item = (LockRef, &Ticket)> {
        self.tickets.iter().filter_map(|(lock_ref, ticket)| {
            let holding = Holding {
                lock_ref: *lock_ref,
                incarnation: ticket.incarnation,
            };
            (holding > self.released).then_some((*lock_ref, ticket))
        })
    }

    /// The tickets before that number that keep it from the head.
    ///
    /// None for the head itself, and for a shared ticket behind shared ones
    /// only.
    pub fn ahead(&self, lock_ref: LockRef) -> impl Iterator<Item = (LockRef, &Ticket)> {
        let mode = self.ticket(lock_ref).map(|ticket| ticket.mode);
        let before = self
            .tickets
            .range(..lock_ref)
            .map(|(lock_ref, _)| *lock_ref);
        let all_shared = mode == Some(Mode::Shared)
            && self
                .tickets()
                .take_while(|(other, _)| *other < lock_ref)
                .all(is_shared);
        before
            .filter(move |_| !all_shared)
            .filter_map(|lock_ref| self.ticket(lock_ref).map(|ticket| (lock_ref, ticket)))
    }

    /// Whether the ticket is at the head, alone or among shared ones.
    pub fn is_at_head(&self, lock_ref: LockRef) -> bool {
        self.ticket(lock_ref).is_some() && self.ahead(lock_ref).next().is_none()
    }

    /// Whether the ticket is the lowest of all.
    pub fn is_first(&self, lock_ref: LockRef) -> bool {
        self.tickets()
            .next()
            .is_some_and(|(first, _)| first == lock_ref)
    }

    /// The synchronization flag: a ticket was removed by force whose writes
    /// may be on their way, and no later one has settled the key since.
    ///
    /// "The head is not above `synced`" would be a weaker test, and wrong.
    pub fn needs_synchronization(&self) -> bool {
        let equal = mutation::is_on(Mutation::FlagUnsetAtEqual) && self.forced == self.synced;
        self.forced > LockRef::NONE
            && self.forced >= self.synced
            && self.ticket(self.synced).is_none()
            && !equal
    }

    /// The highest lockRef issued.
    pub fn last(&self) -> LockRef {
        self.last
    }

    /// Every ticket up to this one is gone.
    pub fn released(&self) -> Holding {
        self.released
    }

    /// The highest lockRef removed by force.
    pub fn forced(&self) -> LockRef {
        self.forced
    }

    /// The highest lockRef that has synchronised the key.
    pub fn synced(&self) -> LockRef {
        self.synced
    }

    /// Whether a node keeps a ticket here whose section has no name.
    pub fn has_kept(&self) -> bool {
        self.tickets().any(|(_, ticket)| ticket.is_kept())
    }

    /// How far it has come.
    pub fn marks(&self) -> Marks {
        self.marks_beyond(self.released)
    }

    /// How far it has come with a release that is known beside it.
    pub fn marks_beyond(&self, released: Holding) -> Marks {
        let stays = |(lock_ref, ticket): &(LockRef, &Ticket)| {
            let holding = Holding {
                lock_ref: *lock_ref,
                incarnation: ticket.incarnation,
            };
            holding > released
        };
        Marks {
            last: self.last,
            forced: self.forced,
            first: self.tickets().find(stays).map(|(first, _)| first),
        }
    }

    /// Skips all lockRefs up to `lock_ref`, as after a restore from a backup.
    pub fn advance(&mut self, lock_ref: LockRef) {
        self.last = self.last.max(lock_ref);
    }
}

fn is_shared((_, ticket): (LockRef, &Ticket)) -> bool {
    ticket.mode == Mode::Shared
}

#[cfg(test)]
mod tests;
