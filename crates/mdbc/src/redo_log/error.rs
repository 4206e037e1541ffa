//! Why a turn or a commit fails, and whether anything happened.

use std::sync::Arc;
use std::time::Duration;

use music_client::{LostReason, Outcome};

use crate::partition::{Partition, PartitionError};
use crate::redo_log::entry::DIGEST_BYTES_MAX;
use crate::redo_log::settle::LogFault;
use crate::sites::SitesError;

/// Why a log cannot be read or owned. No entry was written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A log, or the database, is not what it must be.
    #[error(transparent)]
    Fault(#[from] LogFault),
    /// The partitions were not granted in time: other sites or transactions own
    /// them. Nothing happened; try again.
    #[error("the partitions were not granted within {waited:?}: try the transaction again")]
    TimedOut {
        /// How long was waited.
        waited: Duration,
    },
    /// What this site has missed rests on more partitions than a turn can have,
    /// and its replica does not know them well enough yet. Nothing happened; try
    /// again when the site has followed the other sites for a while.
    #[error("this site has missed too much to own the partitions: try the transaction again later")]
    TooFarBehind,
    /// A turn cannot have these partitions.
    #[error(transparent)]
    Partitions(#[from] PartitionError),
    /// The sites cannot be told.
    #[error(transparent)]
    Sites(#[from] SitesError),
    /// MUSIC failed.
    #[error("the log cannot be reached")]
    Music(#[from] music_client::Error),
    /// The turn is over. Nothing happened; try again.
    #[error("the turn is over: {0}; try the transaction again")]
    Over(#[source] Cause),
    /// A setting that the log cannot have.
    #[error("a log has at least {least} slots, not {slots}")]
    Slots {
        /// The number of the setting.
        slots: u64,
        /// The smallest number.
        least: u64,
    },
}

impl Error {
    /// Whether anything may have happened: never more than what a site says of
    /// itself.
    pub fn outcome(&self) -> Outcome {
        Outcome::NotApplied
    }

    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Fault(_) | Self::Partitions(_) | Self::Slots { .. } => false,
            Self::TimedOut { .. } | Self::TooFarBehind | Self::Over(_) => true,
            Self::Sites(error) => error.is_retryable(),
            Self::Music(error) => error.is_retryable() || is_lost(error),
        }
    }
}

fn is_lost(error: &music_client::Error) -> bool {
    matches!(error, music_client::Error::Lost(_))
}

/// An entry that was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {cause}", told(*outcome))]
pub struct Failure {
    /// Whether it may count. If not, it never will.
    pub outcome: Outcome,
    /// Why.
    pub cause: Cause,
}

fn told(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotApplied => "the transaction did not commit; try it again",
        Outcome::Unknown => {
            "whether the transaction committed is not known; the next transaction on its tables \
             sees whether it did"
        }
    }
}

impl Failure {
    pub(crate) fn not_applied(cause: Cause) -> Self {
        Self {
            outcome: Outcome::NotApplied,
            cause,
        }
    }

    pub(crate) fn unknown(cause: Cause) -> Self {
        Self {
            outcome: Outcome::Unknown,
            cause,
        }
    }
}

/// Why an entry was not acknowledged.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// A put failed.
    #[error("its entry could not be put: {0}")]
    Put(Arc<music_client::Error>),
    /// An entry that it rests on failed.
    #[error("an earlier transaction of the same turn, which it rests on, failed")]
    Before,
    /// The turn was broken before it.
    #[error("the turn is broken")]
    Broken,
    /// The turn's lock is lost.
    #[error("the ownership is lost: {0}")]
    Lost(LostReason),
    /// The turn is one to read, beside other sites.
    #[error("its turn was opened to read: enter with write access from the beginning")]
    ReadOnly,
    /// The turn does not own the partition.
    #[error("the turn does not own {0}")]
    NotOwned(Partition),
    /// The digest is too large.
    #[error("its changes have {bytes} bytes, more than {DIGEST_BYTES_MAX}: change fewer rows")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The ring is full, and fewer than a majority of the sites have applied
    /// what would be overwritten.
    #[error(
        "the log of {0} is full, and most other sites have not applied its oldest entries: see \
         which sites are away"
    )]
    Full(Partition),
    /// The runtime ended.
    #[error("the process is ending")]
    Ending,
}
