//! What recipes refuse.

use std::time::Duration;

/// A recipe that was asked for something it does not do. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A name that is empty or too long.
    #[error("the name of {what} has 1 to {max} bytes, not {bytes}")]
    Name {
        /// What is named.
        what: &'static str,
        /// How many bytes the name has.
        bytes: usize,
        /// How many it may have.
        max: usize,
    },
    /// A number of parties, permits or the like outside its bounds.
    #[error("{what} are 1 to {max}, not {asked}")]
    OutOfBounds {
        /// What was counted.
        what: &'static str,
        /// What was asked for.
        asked: u64,
        /// The most that there may be.
        max: u64,
    },
    /// Others use the same name with another number.
    #[error(
        "this name is in use with {found} {what}, not {asked}: use the same number, or another name"
    )]
    Disagreement {
        /// What is counted.
        what: &'static str,
        /// What was asked for.
        asked: u64,
        /// What the others use.
        found: u64,
    },
    /// Something larger than the recipe keeps.
    #[error("{what} of {bytes} bytes is larger than {max}")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The largest size.
        max: usize,
    },
    /// A duration outside its bounds.
    #[error("{what} is {min:?} to {max:?}, not {asked:?}")]
    Duration {
        /// Which duration.
        what: &'static str,
        /// What was asked for.
        asked: Duration,
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// The queue has no room.
    #[error("the queue is full: try again when items were taken")]
    Full,
    /// A number that would leave its range.
    #[error("the counter would leave the range of 64-bit integers")]
    Overflow,
    /// The item was handed to somebody else meanwhile, or was done already.
    #[error("the item is not this taker's any more: what it did must not count")]
    ClaimLost,
    /// Somebody began the step and did not live to tell whether it was done.
    #[error(
        "the step was begun under token {token} and not ended: look whether it was done, then \
         settle it, or forget it"
    )]
    Interrupted {
        /// The fencing token under which it was begun.
        token: u64,
    },
    /// A lockRef that this recipe did not give out.
    #[error("the lockRef is not one that `{recipe}` gave out: {why}")]
    ForeignLock {
        /// The recipe's kind and name.
        recipe: String,
        /// How that shows.
        why: &'static str,
    },
    /// The state is not one that this recipe wrote.
    #[error("the record holds no state of this recipe: {0}")]
    Foreign(String),
}

impl Refusal {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Full)
    }
}

/// Checks a number against its bounds.
pub(crate) fn count(what: &'static str, asked: u64, max: u64) -> Result<u64, Refusal> {
    if (1..=max).contains(&asked) {
        return Ok(asked);
    }
    Err(Refusal::OutOfBounds { what, asked, max })
}

/// Checks a name's length.
pub(crate) fn name(what: &'static str, name: &str, max: usize) -> Result<(), Refusal> {
    let bytes = name.len();
    if (1..=max).contains(&bytes) {
        return Ok(());
    }
    Err(Refusal::Name { what, bytes, max })
}

/// Checks a number against what others use.
pub(crate) fn agree(what: &'static str, asked: u64, found: u64) -> Result<(), Refusal> {
    if asked == found {
        return Ok(());
    }
    Err(Refusal::Disagreement { what, asked, found })
}
