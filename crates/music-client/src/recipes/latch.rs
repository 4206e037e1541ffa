//! A count-down latch.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::error::Error;
use crate::recipes::document::{self, Document, Step};
use crate::recipes::refusal::{self, Refusal};

/// The highest count.
const COUNT_MAX: u64 = 1 << 40;

/// Waiting until something was done a number of times.
///
/// **Promise.** Whoever waits goes on when the latch was counted down as often as
/// it was made for, and never before. Each count is counted once, even where an
/// answer was lost on the way. It opens once and stays open: for another use,
/// take another name.
///
/// **Cost.** A section with one write to count down; nothing but a connection to
/// wait: no majority is asked.
///
/// **On failure.** What was counted stays counted, whatever becomes of who
/// counted. A waiter that is not told looks for itself after ten seconds.
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::Latch;
///
/// let migrated = Latch::new(client, "migrated", 3)?;      // all name the same number
/// migrated.count_down().await?;                           // at each of three sites
/// migrated.wait().await?;                                 // wherever it matters
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Latch {
    document: Document<State>,
    count: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct State {
    count: u64,
    left: u64,
}

impl Latch {
    /// The latch of that name, which opens after so many counts.
    ///
    /// # Errors
    /// [`Refusal::Name`], [`Refusal::OutOfBounds`].
    pub fn new(client: &Client, name: &str, count: u64) -> Result<Self, Refusal> {
        Ok(Self {
            document: Document::new(client, "latch", name)?,
            count: refusal::count("counts", count, COUNT_MAX)?,
        })
    }

    /// Counts, and returns how many counts are left. At 0 nothing happens.
    ///
    /// # Errors
    /// [`Refusal::Disagreement`] where others named another number; others, of
    /// which [`Error::outcome`] says whether it may have been counted.
    ///
    /// # Cost
    /// A section with one write; one round more for the last count.
    ///
    /// # Cancel safety
    /// It may or may not be counted.
    pub async fn count_down(&self) -> Result<u64, Error> {
        let count = self.count;
        let step = |state: Option<State>, _| {
            let state = state.unwrap_or(State { count, left: count });
            refusal::agree("counts", count, state.count)?;
            let left = state.left.saturating_sub(1);
            let state_after = State { count, left };
            Ok(match state.left {
                0 => Step::Keep(0),
                1 => Step::Announce(state_after, 0),
                _ => Step::Change(state_after, left),
            })
        };
        self.document.change(step).await
    }

    /// How many counts are left.
    ///
    /// # Errors
    /// [`Refusal::Disagreement`] where others named another number;
    /// [`Error::Unavailable`] where no majority answers.
    ///
    /// # Cost
    /// A shared section.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn left(&self) -> Result<u64, Error> {
        let Some(state) = self.document.read().await? else {
            return Ok(self.count);
        };
        refusal::agree("counts", self.count, state.count)?;
        Ok(state.left)
    }

    /// Waits until the latch is open.
    ///
    /// # Errors
    /// [`Refusal::Disagreement`] where it opened after another number of counts;
    /// [`Refusal::Foreign`]; while no node answers it goes on waiting.
    ///
    /// # Cost
    /// A connection to the own site, kept open; no majority.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn wait(&self) -> Result<(), Error> {
        let open = |state: State| (state.left == 0).then_some(state.count);
        let counted = self.document.until(open).await?;
        Ok(refusal::agree("counts", self.count, counted)?)
    }

    /// Waits until the latch is open, for so long at most, zero to look at the
    /// nearest replica only. Returns whether it is.
    ///
    /// # Errors
    /// As [`Latch::wait`].
    ///
    /// # Cost
    /// As [`Latch::wait`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn wait_within(&self, wait: Duration) -> Result<bool, Error> {
        if document::within(wait, self.wait()).await?.is_some() {
            return Ok(true);
        }
        // The wait may have been too short for a watch to begin.
        match self.document.glance().await? {
            Some(state) if state.left == 0 => {
                refusal::agree("counts", self.count, state.count)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
