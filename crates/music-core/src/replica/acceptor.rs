//! A replica's part in the queue of one key: promises, the accepted value,
//! and the releases it was told of.
//!
//! The queue is one consensus object a key, decided by Paxos over its whole
//! value (Rystsov, "`CASPaxos`: replicated state machines without logs",
//! 2018), so there is no log and nothing to compact. A release is not
//! decided: it only grows, and lies beside the value as a plain maximum until
//! the next transaction folds it in.
//!
//! Every step is made durable before its reply is sent.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::ReplicaId;
use crate::lock_queue::LockQueue;
use crate::lock_ref::Holding;

/// The number of one attempt at a transaction; totally ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// Compared first; 0 only in [`Ballot::NONE`].
    pub round: u64,
    /// The site that makes the attempt.
    pub site: ReplicaId,
}

impl Ballot {
    /// Before the first attempt.
    pub const NONE: Self = Self {
        round: 0,
        site: ReplicaId(0),
    };

    /// The lowest ballot of `site` above this one.
    ///
    /// Rounds end after 2^64 attempts at one key, which nobody lives to see.
    #[must_use]
    pub fn above(self, site: ReplicaId) -> Self {
        Self {
            round: self.round.saturating_add(1),
            site,
        }
    }
}

impl Default for Ballot {
    fn default() -> Self {
        Self::NONE
    }
}

/// What is decided: the queue, and which attempts made it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Value {
    /// The queue.
    pub queue: Arc<LockQueue>,
    /// The ballot of each site's last attempt that is part of this value: by
    /// it a site whose attempt was interrupted learns whether it counted.
    pub applied: BTreeMap<ReplicaId, Ballot>,
}

/// One replica's state for one key's queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Acceptor {
    promised: Ballot,
    accepted: Ballot,
    value: Arc<Value>,
    released: Holding,
}

/// What a coordinator asks of an acceptor in a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// Promise to accept nothing below this ballot, and tell what you have.
    Prepare(Ballot),
    /// Accept this value.
    Accept(Ballot, Arc<Value>),
}

/// An acceptor's answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// It promised, and this is what it knows.
    Promised {
        /// The ballot it was asked for.
        ballot: Ballot,
        /// The acceptor right after the promise.
        copy: Acceptor,
    },
    /// It accepted.
    Accepted(Ballot),
    /// It promised at least as much to another attempt.
    Refused {
        /// The ballot it was asked for.
        ballot: Ballot,
        /// What it promised.
        promised: Ballot,
    },
}

impl Acceptor {
    /// Performs a coordinator's request.
    pub fn answer(&mut self, request: &Request) -> Reply {
        match request {
            Request::Prepare(ballot) => self.prepare(*ballot),
            Request::Accept(ballot, value) => self.accept(*ballot, value),
        }
    }

    /// Promises to accept nothing below `ballot`.
    ///
    /// A ballot is promised once: a site that lost its memory and takes the
    /// same ballot again cannot get a second majority for it.
    pub fn prepare(&mut self, ballot: Ballot) -> Reply {
        if ballot <= self.promised {
            return Reply::Refused {
                ballot,
                promised: self.promised,
            };
        }
        self.promised = ballot;
        Reply::Promised {
            ballot,
            copy: self.clone(),
        }
    }

    /// Takes a value over, unless something higher was promised. Any replica
    /// may repeat an accept of another one, at any time.
    pub fn accept(&mut self, ballot: Ballot, value: &Arc<Value>) -> Reply {
        if ballot < self.promised {
            return Reply::Refused {
                ballot,
                promised: self.promised,
            };
        }
        self.promised = ballot;
        self.accepted = ballot;
        self.value = Arc::clone(value);
        self.release(value.queue.released());
        Reply::Accepted(ballot)
    }

    /// Takes in that every ticket up to `holding` is gone. Returns whether
    /// that was news.
    pub fn release(&mut self, holding: Holding) -> bool {
        let news = holding > self.released;
        self.released = self.released.max(holding);
        news
    }

    /// The highest ballot promised.
    pub fn promised(&self) -> Ballot {
        self.promised
    }

    /// The ballot of [`Acceptor::value`].
    pub fn accepted(&self) -> Ballot {
        self.accepted
    }

    /// The value accepted last; it may not be decided.
    pub fn value(&self) -> &Arc<Value> {
        &self.value
    }

    /// Every ticket up to this one is gone, as far as this replica was told.
    /// Never below the `released` of [`Acceptor::value`].
    pub fn released(&self) -> Holding {
        self.released
    }

    /// The queue as this replica alone knows it: for hints, never for grants.
    pub fn queue(&self) -> Arc<LockQueue> {
        with_release(&self.value.queue, self.released)
    }
}

/// The queue with a release folded in; shares it where that changes nothing.
pub(super) fn with_release(queue: &Arc<LockQueue>, released: Holding) -> Arc<LockQueue> {
    if queue.released() >= released {
        return Arc::clone(queue);
    }
    let mut queue = LockQueue::clone(queue);
    queue.release(released);
    Arc::new(queue)
}
