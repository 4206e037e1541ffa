//! What the driver's errors mean for a call: did it happen or not?

use std::error::Error as StdError;

use scylla::errors::{DbError, ExecutionError, PrepareError, RequestAttemptError};
use scylla::statement::Consistency;

use super::codec::DecodeError;
use crate::Error;
use crate::error::{Needed, Outcome};

/// Cassandra's code for a transaction of unknown outcome, which the driver
/// does not know: it lost to another after some replica had accepted it.
const CAS_WRITE_UNKNOWN: i32 = 0x1700;

/// Why a request failed; unlike [`Error`] it can be told to many.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// Too few replicas are alive.
    Unavailable(Needed, Outcome),
    /// No answer in time, or an answer that leaves the outcome open.
    TimedOut,
    /// Others were faster, again and again; nothing was changed.
    Contended,
    /// Refused before anything was done.
    Overloaded,
    /// Cassandra does not take the statement, as where its table is missing.
    Invalid(ExecutionError),
    /// Anything else.
    Other(ExecutionError),
    /// A row is not what this code writes.
    Damaged(DecodeError),
    /// A result is not of the form that the statement asks for.
    Unexpected,
}

/// Cassandra answered with columns that the statement did not ask for.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("Cassandra answered with columns that were not asked for")]
struct UnexpectedResult;

impl Failure {
    /// The meaning of a driver's error for a call that needs so much.
    pub(super) fn new(error: ExecutionError, needed: Needed) -> Self {
        match &error {
            ExecutionError::EmptyPlan | ExecutionError::ConnectionPoolError(_) => {
                Self::Unavailable(needed, Outcome::NotApplied)
            }
            ExecutionError::RequestTimeout(_) => Self::TimedOut,
            ExecutionError::PrepareError(PrepareError::AllAttemptsFailed {
                first_attempt: RequestAttemptError::DbError(DbError::Invalid, _),
            }) => Self::Invalid(error),
            // Nothing was executed.
            ExecutionError::PrepareError(_) => Self::Unavailable(needed, Outcome::NotApplied),
            ExecutionError::LastAttemptError(RequestAttemptError::DbError(answer, _)) => {
                match Self::answered(answer, needed) {
                    Some(failure) => failure,
                    None if *answer == DbError::Invalid => Self::Invalid(error),
                    None => Self::Other(error),
                }
            }
            ExecutionError::LastAttemptError(RequestAttemptError::UnableToAllocStreamId) => {
                Self::Overloaded
            }
            ExecutionError::LastAttemptError(RequestAttemptError::BrokenConnectionError(_)) => {
                Self::TimedOut
            }
            _ => Self::Other(error),
        }
    }

    /// The meaning of Cassandra's own answer, where it has one for us.
    fn answered(answer: &DbError, needed: Needed) -> Option<Self> {
        Some(match answer {
            // A transaction checks for a quorum at SERIAL before it begins;
            // what is missing at another level is missing at its commit.
            DbError::Unavailable { consistency, .. } => {
                let outcome = match consistency {
                    Consistency::LocalQuorum => Outcome::Unknown,
                    _ => Outcome::NotApplied,
                };
                Self::Unavailable(needed, outcome)
            }
            DbError::Overloaded | DbError::IsBootstrapping | DbError::RateLimitReached { .. } => {
                Self::Overloaded
            }
            DbError::ReadTimeout { .. }
            | DbError::WriteTimeout { .. }
            | DbError::Other(CAS_WRITE_UNKNOWN) => Self::TimedOut,
            DbError::ReadFailure { .. } | DbError::WriteFailure { .. } => {
                Self::Unavailable(needed, Outcome::Unknown)
            }
            _ => return None,
        })
    }

    /// Whether the effect may have happened, or may happen still.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Unavailable(_, outcome) => *outcome,
            Self::Contended | Self::Overloaded | Self::Invalid(_) => Outcome::NotApplied,
            Self::TimedOut | Self::Other(_) | Self::Damaged(_) | Self::Unexpected => {
                Outcome::Unknown
            }
        }
    }

    /// The same, where something sent before may have had an effect.
    pub(super) fn in_doubt(self) -> Self {
        match self {
            Self::Unavailable(needed, _) => Self::Unavailable(needed, Outcome::Unknown),
            Self::Contended | Self::Overloaded => Self::TimedOut,
            other => other,
        }
    }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::Damaged(error)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let storage = |error: Box<dyn StdError + Send + Sync>| Self::Storage(error);
        match failure {
            Failure::Unavailable(needed, outcome) => Self::Unavailable { needed, outcome },
            Failure::TimedOut => Self::TimedOut,
            Failure::Contended => Self::Contended,
            Failure::Overloaded => Self::Overloaded,
            Failure::Invalid(error) | Failure::Other(error) => storage(Box::new(error)),
            Failure::Damaged(error) => storage(Box::new(error)),
            Failure::Unexpected => storage(Box::new(UnexpectedResult)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(answer: DbError) -> Failure {
        let attempt = RequestAttemptError::DbError(answer, String::new());
        Failure::new(ExecutionError::LastAttemptError(attempt), Needed::Majority)
    }

    fn unavailable(consistency: Consistency) -> DbError {
        DbError::Unavailable {
            consistency,
            required: 2,
            alive: 1,
        }
    }

    #[test]
    fn what_was_refused_at_the_start_is_not_applied() {
        for consistency in [
            Consistency::Quorum,
            Consistency::Serial,
            Consistency::LocalOne,
        ] {
            assert_eq!(
                answer(unavailable(consistency)).outcome(),
                Outcome::NotApplied
            );
        }
        assert_eq!(answer(DbError::Overloaded).outcome(), Outcome::NotApplied);
        let no_node = Failure::new(ExecutionError::EmptyPlan, Needed::Local);
        assert!(matches!(
            Error::from(no_node),
            Error::Unavailable {
                needed: Needed::Local,
                outcome: Outcome::NotApplied
            }
        ));
    }

    #[test]
    fn what_may_have_been_sent_is_unknown() {
        assert_eq!(
            answer(unavailable(Consistency::LocalQuorum)).outcome(),
            Outcome::Unknown
        );
        assert_eq!(
            answer(DbError::Other(CAS_WRITE_UNKNOWN)).outcome(),
            Outcome::Unknown
        );
        let late = ExecutionError::RequestTimeout(std::time::Duration::from_secs(1));
        assert_eq!(
            Failure::new(late, Needed::Majority).outcome(),
            Outcome::Unknown
        );
        assert_eq!(Failure::Contended.in_doubt().outcome(), Outcome::Unknown);
        assert_eq!(
            answer(DbError::Overloaded).in_doubt().outcome(),
            Outcome::Unknown
        );
    }
}
