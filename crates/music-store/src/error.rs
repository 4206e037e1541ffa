//! Why an engine did not answer, and whether the effect may have happened.

use std::fmt;

/// Whether the effect of a failed call may have happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did not and will not happen.
    NotApplied,
    /// It may have happened, or may happen still.
    Unknown,
}

/// A failed call to an engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Too few replicas can be reached; nothing was sent to a majority.
    #[error("no {needed} of the replicas can be reached from this site")]
    Unavailable {
        /// What is missing: a majority, or the local replica.
        needed: Needed,
        /// Whether some replica may have taken the effect in.
        outcome: Outcome,
    },
    /// No answer in time.
    #[error("the engine did not answer in time")]
    TimedOut,
    /// Too many others changed the same key at once; nothing was changed.
    #[error("too many others changed this key at the same time")]
    Contended,
    /// The engine holds as much work as it may.
    #[error("the engine is overloaded")]
    Overloaded,
    /// The table was dropped.
    #[error("the table does not exist (any more)")]
    NoSuchTable,
    /// The engine's disk or files failed.
    #[error("the engine's storage failed: {0}")]
    Storage(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a call needs of the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// The replica of the node's own site.
    Local,
    /// More than half of all replicas.
    Majority,
}

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Local => "local one",
            Self::Majority => "majority",
        })
    }
}

impl Error {
    /// Whether the effect may have happened.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unavailable { outcome, .. } => *outcome,
            Self::Contended | Self::Overloaded | Self::NoSuchTable => Outcome::NotApplied,
            Self::TimedOut | Self::Storage(_) => Outcome::Unknown,
        }
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::NoSuchTable | Self::Storage(_))
    }
}
