//! Why a step of the service failed.

use music_client::Outcome;

use super::inventory;

/// A failed step of the service.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// MUSIC refused, did not answer, or said that the lock is lost.
    #[error(transparent)]
    Music(#[from] music_client::Error),
    /// A record that this service did not write.
    #[error("the record {key:?} of table {table:?} is not one of this service: {source}")]
    Malformed {
        /// The table.
        table: &'static str,
        /// The key.
        key: String,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The site's inventory refused or failed.
    #[error(transparent)]
    Inventory(#[from] inventory::Error),
}

impl Error {
    /// Whether the step may have had its effect.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Music(error) => error.outcome(),
            Self::Malformed { .. } => Outcome::NotApplied,
            Self::Inventory(error) => error.outcome(),
        }
    }

    /// Whether the same step may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            // A lock that was lost can be asked for again.
            Self::Music(music_client::Error::Lost(_)) => true,
            Self::Music(error) => error.is_retryable(),
            Self::Malformed { .. } => false,
            Self::Inventory(error) => error.is_retryable(),
        }
    }
}

impl From<music_client::Lost> for Error {
    fn from(lost: music_client::Lost) -> Self {
        Self::Music(lost.into())
    }
}
