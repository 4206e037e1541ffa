//! The coordinator's side of a change to one key's queue.
//!
//! ```text
//!            prepare b ──► A  B  C
//!   promises, with value ◄── A  B        a majority; b > all they promised
//!                                        take the value of the highest
//!                                        accepted ballot, fold in the highest
//!                                        release, apply the commands
//!         accept b, v ──► A  B  C
//!                 accepted ◄── A  B      a majority: decided; answer
//! ```
//!
//! A refusal means a higher ballot is about: the attempt is over, and another
//! one begins above it. An identity transaction (no commands) is the slow
//! form of a peek.
//!
//! # Why it is linearizable
//!
//! *Commands and identity transactions* are Paxos: a decided value was
//! accepted by a majority; a later ballot's promises include one of these, so
//! every higher ballot that is accepted anywhere descends from it.
//!
//! *A release* lies at acceptors as a maximum. It takes effect when the first
//! transaction that saw it is decided, when the first one-round peek answers
//! with it, or when a majority was told, whichever is first:
//! - after a majority was told, every later transaction's promises and every
//!   later peek's answers include it;
//! - after a transaction with it is decided, its value carries it;
//! - a one-round peek ([`super::peek`]) answers with a release only if all of
//!   its majority know it, so later promises and peeks include it. What about
//!   a transaction whose promises came *before* that release and whose accept
//!   is decided *after* the peek (PROTOCOL.md, least obvious no. 4: an adopt
//!   that raises the incarnation of the ticket that the peek saw gone)? Its
//!   promises were a majority, so one replica of the peek had promised it; if
//!   that replica had not accepted it too when it answered the peek, it shows
//!   `promised > accepted` and the peek takes the slow form, whose higher
//!   ballot ends the transaction or includes it. If it had, all of the peek's
//!   majority had accepted that same ballot, and the peek includes it.
//!
//! A release known to less than a majority and to no transaction may be
//! forgotten: nobody was told of it.
//!
//! # An interrupted attempt
//!
//! An attempt whose accept was sent and then refused may yet be decided: the
//! one who interrupted it may have found its value and built on it. So the
//! value names each site's last attempt ([`Value::applied`]). The next attempt
//! of the same site finds the earlier one in the value it was promised, and
//! reports what that did, or does not find it, and applies the commands to a
//! value that never saw them. No decided value contains the commands twice.
//! This rests on one transaction a key and site at a time, which also bounds
//! a call that was given up: once the site's next transaction or peek at the
//! key is answered, it took effect or never will.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::acceptor::{Acceptor, Ballot, Reply, Request, Value, with_release};
use crate::id::ReplicaId;
use crate::lock_queue::{Command, LockQueue, Outcome};
use crate::mutation::{self, Mutation};
use crate::quorum::Tally;

/// What a command did, and the queue right after the transaction.
pub type Effect = (Outcome, Arc<LockQueue>);

/// A change of one key's queue under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transaction {
    site: ReplicaId,
    replicas: usize,
    commands: Vec<Command>,
    ballot: Ballot,
    ballot_max: Ballot,
    sent: Vec<Attempt>,
    phase: Phase,
}

/// An attempt whose accept was sent: it may have been decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Attempt {
    ballot: Ballot,
    effects: Vec<Effect>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Not begun, or over.
    Idle,
    Preparing {
        tally: Tally,
        highest: Acceptor,
    },
    Accepting {
        tally: Tally,
        done: Decided,
    },
}

/// A decided transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decided {
    /// What each command did, in the order they were given.
    pub effects: Vec<Effect>,
    /// The queue as decided, for those who only read.
    pub queue: Arc<LockQueue>,
}

/// What a [`Transaction`] asks for next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// More replies.
    Wait,
    /// This request to every acceptor.
    Send(Request),
    /// Nothing more: it is decided.
    Done(Decided),
    /// [`Transaction::begin`] again, after a random delay: others are about.
    Preempted,
}

impl Transaction {
    /// A transaction of `site` among `replicas` acceptors; without commands
    /// it only reads.
    pub fn new(site: ReplicaId, replicas: usize, commands: Vec<Command>) -> Self {
        Self {
            site,
            replicas,
            commands,
            ballot: Ballot::NONE,
            ballot_max: Ballot::NONE,
            sent: Vec::new(),
            phase: Phase::Idle,
        }
    }

    /// Begins an attempt above every ballot seen, `known` included; the answer
    /// goes to every acceptor. Ends the attempt before it.
    ///
    /// `lead` is how many rounds to skip: a site far from the others, whose
    /// requests are old when they arrive, needs one to get its turn among
    /// those that are near.
    pub fn begin(&mut self, known: Ballot, lead: u64) -> Request {
        let above = self.ballot_max.max(known).above(self.site);
        self.ballot = Ballot {
            round: above.round.saturating_add(lead),
            site: self.site,
        };
        self.ballot_max = self.ballot;
        let tally = Tally::new(self.replicas);
        self.phase = Phase::Preparing {
            tally,
            highest: Acceptor::default(),
        };
        Request::Prepare(self.ballot)
    }

    /// Takes in a reply; one to an earlier attempt or phase changes nothing.
    pub fn receive(&mut self, from: ReplicaId, reply: &Reply) -> Step {
        match reply {
            Reply::Promised { ballot, copy } if *ballot == self.ballot => self.promised(from, copy),
            Reply::Accepted(ballot) if *ballot == self.ballot => self.accepted(from),
            Reply::Refused { ballot, promised } => {
                self.ballot_max = self.ballot_max.max(*promised);
                if *ballot == self.ballot {
                    self.lost(from)
                } else {
                    Step::Wait
                }
            }
            Reply::Promised { .. } | Reply::Accepted(_) => Step::Wait,
        }
    }

    /// Takes in that this acceptor will not answer this attempt.
    pub fn lost(&mut self, from: ReplicaId) -> Step {
        let (Phase::Preparing { tally, .. } | Phase::Accepting { tally, .. }) = &mut self.phase
        else {
            return Step::Wait;
        };
        tally.fail(from);
        if !tally.is_hopeless() {
            return Step::Wait;
        }
        self.phase = Phase::Idle;
        Step::Preempted
    }

    /// Whether some acceptor may have accepted: from then on, giving up
    /// leaves the outcome unknown.
    pub fn may_have_applied(&self) -> bool {
        !self.sent.is_empty()
    }

    fn promised(&mut self, from: ReplicaId, copy: &Acceptor) -> Step {
        let Phase::Preparing { tally, highest } = &mut self.phase else {
            return Step::Wait;
        };
        tally.answer(from);
        let released = highest.released().max(copy.released());
        if copy.accepted() > highest.accepted() {
            highest.clone_from(copy);
        }
        highest.release(released);
        if !tally.is_majority() {
            return Step::Wait;
        }
        let highest = core::mem::take(highest);
        self.propose(&highest)
    }

    fn propose(&mut self, highest: &Acceptor) -> Step {
        let mut value = Value::clone(highest.value());
        value.queue = with_release(&value.queue, highest.released());
        let counted = value.applied.get(&self.site);
        let earlier = self
            .sent
            .iter()
            .find(|attempt| Some(&attempt.ballot) == counted)
            .filter(|_| !mutation::is_on(Mutation::AppliedTwice));
        let effects = match earlier {
            Some(attempt) => attempt.effects.clone(),
            None if self.commands.is_empty() => Vec::new(),
            None => {
                let effects = apply(&mut value.queue, &self.commands);
                value.applied.insert(self.site, self.ballot);
                self.sent.push(Attempt {
                    ballot: self.ballot,
                    effects: effects.clone(),
                });
                effects
            }
        };
        let done = Decided {
            effects,
            queue: Arc::clone(&value.queue),
        };
        self.phase = Phase::Accepting {
            tally: Tally::new(self.replicas),
            done,
        };
        Step::Send(Request::Accept(self.ballot, Arc::new(value)))
    }

    fn accepted(&mut self, from: ReplicaId) -> Step {
        let Phase::Accepting { tally, done } = &mut self.phase else {
            return Step::Wait;
        };
        tally.answer(from);
        if !tally.is_majority() {
            return Step::Wait;
        }
        let done = done.clone();
        self.phase = Phase::Idle;
        Step::Done(done)
    }
}

/// Performs commands, one after the other. All are told the queue that the
/// last one left: they are one step, and a copy for each would cost as much as
/// there are tickets, times commands.
fn apply(shared: &mut Arc<LockQueue>, commands: &[Command]) -> Vec<Effect> {
    let mut queue = LockQueue::clone(shared);
    let outcomes: Vec<Outcome> = commands
        .iter()
        .map(|command| queue.apply(*command))
        .collect();
    if queue != **shared {
        *shared = Arc::new(queue);
    }
    let effect = |outcome| (outcome, Arc::clone(shared));
    outcomes.into_iter().map(effect).collect()
}
