//! Reading a queue in one round.
//!
//! ```text
//!   read ──► A  B  C
//!        ◄── A  B       same accepted ballot, nothing promised beyond it,
//!                       same release: answer. Otherwise an identity
//!                       transaction, which settles what was under way.
//! ```
//!
//! Why the answer is linearizable: a majority accepted one ballot, so its
//! value is decided; whatever was decided before the read began is at one of
//! them and not above that ballot; and each of them knows the release. That
//! nothing is promised beyond the ballot shuts out the transaction that was
//! promised before the release and is decided after this answer; see
//! [`super::lightweight_transaction`].
//!
//! A promise whose transaction was given up makes the next peek take the slow
//! form once. Its ballot is above all promises that it was shown, so it leaves
//! these replicas with `promised = accepted`, and the fast form works again.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use super::acceptor::{Acceptor, Ballot};
use crate::id::ReplicaId;
use crate::lock_queue::LockQueue;
use crate::mutation::{self, Mutation};
use crate::quorum::majority;

/// A one-round read of a queue under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peek {
    replicas: usize,
    copies: BTreeMap<ReplicaId, Acceptor>,
}

/// What a [`Peek`] asks for next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PeekStep {
    /// More answers.
    Wait,
    /// The answer.
    Agreed(Arc<LockQueue>),
    /// An identity transaction: the first majority did not agree.
    Differ {
        /// Whether a transaction of another seems to be under way: then a
        /// second peek may be cheaper, and disturbs nobody.
        in_progress: bool,
        /// The highest ballot promised by those who answered: begin above it,
        /// or the replica that promised it stays out of step.
        promised: Ballot,
    },
}

impl Peek {
    /// Begins: ask each of `replicas` for its state.
    pub fn new(replicas: usize) -> Self {
        Self {
            replicas,
            copies: BTreeMap::new(),
        }
    }

    /// Takes in an acceptor's state.
    pub fn answered(&mut self, from: ReplicaId, copy: Acceptor) -> PeekStep {
        self.copies.insert(from, copy);
        if self.copies.len() < majority(self.replicas) && !mutation::is_on(Mutation::PeekAtOne) {
            return PeekStep::Wait;
        }
        let mut copies = self.copies.values();
        let Some(first) = copies.next() else {
            return PeekStep::Wait;
        };
        let agrees = |copy: &Acceptor| {
            copy.accepted() == first.accepted()
                && (copy.released() == first.released()
                    || mutation::is_on(Mutation::PeekForeignRelease))
        };
        if is_settled(first) && copies.all(|copy| is_settled(copy) && agrees(copy)) {
            return PeekStep::Agreed(first.queue());
        }
        PeekStep::Differ {
            in_progress: self.copies.values().any(|copy| !is_settled(copy)),
            promised: self
                .copies
                .values()
                .map(Acceptor::promised)
                .max()
                .unwrap_or_default(),
        }
    }
}

fn is_settled(copy: &Acceptor) -> bool {
    copy.promised() == copy.accepted() || mutation::is_on(Mutation::PeekPromised)
}
