//! Why a call failed, and what that says about its effect.

use std::time::Duration;

pub use music_api::code::Code;
pub use music_api::lock_ref::MalformedLockRef;
pub use music_api::problem::Outcome;

pub use crate::fault::{FaultKind, TransportFault};
pub use crate::recipes::Refusal;

/// A failed call.
///
/// Two questions have an answer for each: may the effect have happened
/// ([`Error::outcome`]), and may the same call succeed later
/// ([`Error::is_retryable`]).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A node refused or failed, and said why.
    #[error(transparent)]
    Problem(#[from] Box<Problem>),
    /// A node did not answer.
    #[error("{endpoint} did not answer")]
    Transport {
        /// The node's address.
        endpoint: String,
        /// Whether the effect may have happened.
        outcome: Outcome,
        /// What went wrong.
        #[source]
        source: TransportFault,
    },
    /// An answer that no node gives, as from another program at the address.
    #[error("the answer of {endpoint} is not one of a MUSIC node: {reason}")]
    Answer {
        /// The address.
        endpoint: String,
        /// Whether the effect may have happened.
        outcome: Outcome,
        /// What is wrong with it.
        reason: AnswerFault,
    },
    /// The section moved to another node while this one was asked: what this
    /// one says does not count any more.
    #[error("the section has moved on from {endpoint}")]
    Left {
        /// The node's address.
        endpoint: String,
        /// Whether the effect may have happened.
        outcome: Outcome,
    },
    /// The section does not hold its lock any more.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// Every attempt that was safe to make failed.
    #[error("no success after {attempts} attempts")]
    Unavailable {
        /// How many attempts were made.
        attempts: u32,
        /// Whether one of them may have had its effect.
        outcome: Outcome,
        /// How the last one failed.
        #[source]
        last: Box<Error>,
    },
    /// The lock was not granted within the wait; its place in the queue is
    /// given up.
    #[error("the lock was not granted within {waited:?}")]
    TimedOut {
        /// How long was waited.
        waited: Duration,
    },
    /// A lockRef that was to be taken up again waits for its turn still; it
    /// keeps its place in the queue.
    #[error("the lockRef waits for its turn still")]
    Waiting,
    /// The request cannot be made; nothing was sent.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A recipe was asked for something that it does not do.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Error {
    /// Whether the effect may have happened, or may happen still.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Problem(problem) => problem.outcome,
            Self::Transport { outcome, .. }
            | Self::Answer { outcome, .. }
            | Self::Left { outcome, .. }
            | Self::Unavailable { outcome, .. } => *outcome,
            Self::Lost(lost) => lost.outcome,
            Self::TimedOut { .. } | Self::Waiting | Self::Invalid(_) | Self::Refused(_) => {
                Outcome::NotApplied
            }
        }
    }

    /// Whether the same call may succeed later. Where the outcome is unknown,
    /// calling again may let a write happen twice.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.retryable,
            Self::Transport { .. }
            | Self::Left { .. }
            | Self::Unavailable { .. }
            | Self::TimedOut { .. }
            | Self::Waiting => true,
            Self::Answer { .. } | Self::Lost(_) | Self::Invalid(_) => false,
            Self::Refused(refusal) => refusal.is_retryable(),
        }
    }

    /// The code that the node reported, if it did and this version knows it.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Problem(problem) => problem.known,
            Self::Unavailable { last, .. } => last.code(),
            _ => None,
        }
    }
}

/// The worse of two outcomes.
pub(crate) fn worse(one: Outcome, other: Outcome) -> Outcome {
    match (one, other) {
        (Outcome::NotApplied, Outcome::NotApplied) => Outcome::NotApplied,
        _ => Outcome::Unknown,
    }
}

/// A problem that a node reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail} ({code})")]
#[non_exhaustive]
pub struct Problem {
    /// The code, where this version knows it.
    pub known: Option<Code>,
    /// The stable code as text, `MUSIC-nnnn`.
    pub code: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, and what to do.
    pub detail: String,
    /// Whether the effect may have happened.
    pub outcome: Outcome,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// The request's id, as in the node's logs.
    pub request_id: Option<String>,
}

impl From<music_api::problem::Problem> for Problem {
    fn from(problem: music_api::problem::Problem) -> Self {
        Self {
            known: problem.known_code(),
            code: problem.code,
            status: problem.status,
            detail: problem.detail,
            outcome: problem.outcome,
            retryable: problem.retryable,
            request_id: problem.request_id,
        }
    }
}

/// A section that does not hold its lock any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lock is lost: {reason}")]
pub struct Lost {
    /// How the lock was lost.
    pub reason: LostReason,
    /// Whether the call that met it may have had its effect.
    pub outcome: Outcome,
}

/// How a lock was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LostReason {
    /// The nodes say so: released by force, or taken over by another client.
    #[error("another client may hold it now")]
    Preempted,
    /// No node confirmed for a whole lease that the section is alive.
    #[error("no node could be reached for a whole lease")]
    LeaseExpired,
}

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerFault {
    /// A failure without a problem document.
    #[error("status {0} without a problem document")]
    Status(u16),
    /// A body that is no JSON of the expected shape.
    #[error("its body cannot be read: {0}")]
    Body(String),
    /// A body above the client's bound.
    #[error("its body is larger than {0} bytes")]
    TooLarge(usize),
}

/// A request that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// No endpoint was given.
    #[error("at least one endpoint is needed")]
    NoEndpoint,
    /// An endpoint that is no `http://` URL.
    #[error("{0:?} is not the address of a node: write http://HOST:PORT")]
    Endpoint(String),
    /// A key or name that a URL cannot carry.
    #[error("{0:?} cannot be in the path of a URL: use another key")]
    PathSegment(String),
    /// Text that is no lockRef.
    #[error(transparent)]
    LockRef(#[from] MalformedLockRef),
    /// A value that has no JSON.
    #[error("the value cannot be written as JSON")]
    Json(#[source] serde_json::Error),
    /// JSON that nests too deep to stand in another document.
    #[error("the value has more than 100 arrays and objects in each other")]
    TooDeep,
    /// The HTTP client cannot be built from the options.
    #[error("the connection settings cannot be used")]
    Options(#[source] reqwest::Error),
}
