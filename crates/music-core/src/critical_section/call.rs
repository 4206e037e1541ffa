//! The calls that a section makes, and their answers.

use alloc::boxed::Box;
use alloc::sync::Arc;

use super::{Error, Kept, KeyIndex, OpId, Reply};
use crate::id::{RecordId, SessionId};
use crate::lock_queue::{Command, LockQueue, Outcome};
use crate::lock_ref::{Holding, LockRef};
use crate::record::Record;
use crate::stamp::Stamp;
use crate::time::Lease;

/// Names a call, for its answer. The driver hands it back as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    pub(super) key: KeyIndex,
    pub(super) purpose: Purpose,
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    Enqueue,
    Find,
    Adopt,
    /// Of the ticket with this lockRef; the key may have got another since.
    Look(LockRef),
    Recheck,
    Evict,
    Withdraw,
    SyncRead,
    SyncWrite(Stamp),
    SyncCheck,
    Synced,
    Renumber,
    /// Of the ticket with this lockRef, as for a look.
    Check(LockRef),
    /// Of the ticket with this lockRef, as for a look.
    Name(LockRef),
    /// With the view's epoch when the read began.
    Get(OpId, u32),
    GetCheck(OpId, LockRef),
    Put(Stamp),
    End,
}

/// Something for the driver to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Give the lock store a command; answer with [`Answer::Applied`].
    Apply {
        /// Names the call.
        call: Call,
        /// The key.
        id: RecordId,
        /// The command.
        command: Command,
    },
    /// Read a queue; answer with [`Answer::Queue`].
    Peek {
        /// Names the call.
        call: Call,
        /// The key.
        id: RecordId,
    },
    /// Release a holding at a majority; answer with [`Answer::Done`].
    Release {
        /// Names the call.
        call: Call,
        /// The key.
        id: RecordId,
        /// What ends.
        holding: Holding,
    },
    /// Write at a majority; answer with [`Answer::Done`].
    Write {
        /// Names the call.
        call: Call,
        /// The key.
        id: RecordId,
        /// The cells, with their stamps.
        change: Record,
    },
    /// Read at a majority, repairing; answer with [`Answer::Record`].
    Read {
        /// Names the call.
        call: Call,
        /// The key.
        id: RecordId,
    },
    /// A ticket is left to the node, which gives it to a later section by
    /// [`CriticalSection::take_kept`](super::CriticalSection::take_kept), or
    /// releases it.
    Keep(Box<Kept>),
    /// Answer the client's operation.
    Reply {
        /// The operation.
        op: OpId,
        /// What it gives.
        reply: Result<Reply, Error>,
    },
    /// The section's status changed.
    Changed,
    /// Listen for hints about the key.
    Watch(RecordId),
    /// Stop listening for hints about the key.
    Unwatch(RecordId),
    /// Tell this section with `Input::Suspect` if that session goes unheard
    /// for its lease and a quarter; good for a few polls.
    Observe {
        /// The key.
        id: RecordId,
        /// The session that keeps a ticket ahead alive.
        session: SessionId,
        /// Its lease.
        lease: Lease,
    },
    /// Nothing is left to do: drop the section.
    Ended,
}

/// How a call to a store ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Of [`Effect::Apply`].
    Applied(Result<(Outcome, Arc<LockQueue>), Failure>),
    /// Of [`Effect::Peek`].
    Queue(Result<Arc<LockQueue>, Failure>),
    /// Of [`Effect::Read`].
    Record(Result<Record, Failure>),
    /// Of [`Effect::Write`] and [`Effect::Release`].
    Done(Result<(), Failure>),
}

/// Why a call was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Failure {
    /// It did not and will not take effect.
    NotApplied,
    /// It may have taken effect, or may do so still.
    Unknown,
}
