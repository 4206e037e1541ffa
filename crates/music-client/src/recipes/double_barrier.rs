//! A double barrier: parties that begin together and end together.

use std::time::Duration;

use crate::client::Client;
use crate::error::Error;
use crate::recipes::barrier::{Barrier, Crossing, Turn, someone};
use crate::recipes::refusal::Refusal;

/// Where a number of parties begin together and end together.
///
/// **Promise.** None begins before all have entered, none goes on before all have
/// left, and none enters again before. It is a [`Barrier`] that is crossed
/// twice: in, and out.
///
/// **Cost and failure.** Those of two crossings of a barrier. A party that dies
/// inside has not left: the others wait for it as long as they care to.
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::DoubleBarrier;
///
/// let mut together = DoubleBarrier::new(client, "measure", 3)?;
/// together.enter().await?;
/// // ... while all do it ...
/// together.leave().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DoubleBarrier {
    barrier: Barrier,
    party: String,
}

impl DoubleBarrier {
    /// One party of the barrier of that name, for so many of them.
    ///
    /// # Errors
    /// [`Refusal::Name`], [`Refusal::OutOfBounds`].
    pub fn new(client: &Client, name: &str, parties: u64) -> Result<Self, Refusal> {
        Self::new_as(client, name, parties, &someone())
    }

    /// The party of that name.
    ///
    /// # Errors
    /// As [`DoubleBarrier::new`].
    pub fn new_as(client: &Client, name: &str, parties: u64, party: &str) -> Result<Self, Refusal> {
        Ok(Self {
            barrier: Barrier::of_kind(client, "double-barrier", name, parties)?,
            party: party.to_owned(),
        })
    }

    /// Waits until all have entered.
    ///
    /// # Errors
    /// As [`Barrier::wait`].
    ///
    /// # Cost
    /// As [`Barrier::wait`].
    ///
    /// # Cancel safety
    /// As [`Barrier::wait`].
    pub async fn enter(&mut self) -> Result<Crossing, Error> {
        self.barrier.cross(&self.party, Turn::Enter).await
    }

    /// Waits until all have entered, for so long at most.
    ///
    /// # Errors
    /// As [`Barrier::wait_within`].
    ///
    /// # Cost
    /// As [`Barrier::wait_within`].
    ///
    /// # Cancel safety
    /// As [`Barrier::wait`].
    pub async fn enter_within(&mut self, wait: Duration) -> Result<Option<Crossing>, Error> {
        self.barrier
            .cross_within(&self.party, Turn::Enter, wait)
            .await
    }

    /// Waits until all have left.
    ///
    /// # Errors
    /// As [`Barrier::wait`].
    ///
    /// # Cost
    /// As [`Barrier::wait`].
    ///
    /// # Cancel safety
    /// As [`Barrier::wait`].
    pub async fn leave(&mut self) -> Result<Crossing, Error> {
        self.barrier.cross(&self.party, Turn::Leave).await
    }

    /// Waits until all have left, for so long at most.
    ///
    /// # Errors
    /// As [`Barrier::wait_within`].
    ///
    /// # Cost
    /// As [`Barrier::wait_within`].
    ///
    /// # Cancel safety
    /// As [`Barrier::wait`].
    pub async fn leave_within(&mut self, wait: Duration) -> Result<Option<Crossing>, Error> {
        self.barrier
            .cross_within(&self.party, Turn::Leave, wait)
            .await
    }
}
