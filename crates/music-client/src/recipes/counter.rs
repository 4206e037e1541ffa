//! An atomic counter.

use crate::client::Client;
use crate::error::Error;
use crate::recipes::document::{Document, Step};
use crate::recipes::refusal::Refusal;

/// A 64-bit integer with atomic changes, 0 at first.
///
/// **Promise.** Linearizable over all sites. A change happens once, even where an
/// answer was lost on the way: it is looked up before it is made again.
///
/// **Cost.** A section with one write for a change, a shared section for a read.
///
/// **On failure.** A client that dies in the middle has changed the counter or
/// not; others go on after at most two leases.
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::Counter;
///
/// let visits = Counter::new(client, "visits")?;
/// let before = visits.add(3).await?;
/// assert!(visits.compare_and_set(before + 3, 0).await?.is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Counter(Document<i64>);

impl Counter {
    /// The counter of that name.
    ///
    /// # Errors
    /// [`Refusal::Name`].
    pub fn new(client: &Client, name: &str) -> Result<Self, Refusal> {
        Document::new(client, "counter", name).map(Self)
    }

    /// The number.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no majority answers.
    ///
    /// # Cost
    /// A shared section.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn get(&self) -> Result<i64, Error> {
        Ok(self.0.read().await?.unwrap_or_default())
    }

    /// Adds a number, which may be negative, and returns what was there before.
    ///
    /// # Errors
    /// [`Refusal::Overflow`]; others, of which [`Error::outcome`] says whether
    /// the number may have been added.
    ///
    /// # Cost
    /// A section with one write.
    ///
    /// # Cancel safety
    /// The number may or may not be added.
    pub async fn add(&self, number: i64) -> Result<i64, Error> {
        self.update(|now| now.checked_add(number).ok_or(Refusal::Overflow))
            .await
    }

    /// Sets the number, and returns what was there before.
    ///
    /// # Errors
    /// As [`Counter::add`].
    ///
    /// # Cost
    /// As [`Counter::add`].
    ///
    /// # Cancel safety
    /// The number may or may not be set.
    pub async fn set(&self, number: i64) -> Result<i64, Error> {
        self.update(|_| Ok(number)).await
    }

    /// Sets the number where it is what is expected. `Err` of the inner result
    /// is what it is instead.
    ///
    /// # Errors
    /// As [`Counter::add`].
    ///
    /// # Cost
    /// As [`Counter::add`].
    ///
    /// # Cancel safety
    /// The number may or may not be set.
    pub async fn compare_and_set(
        &self,
        expected: i64,
        number: i64,
    ) -> Result<Result<(), i64>, Error> {
        let step = |now: Option<i64>, _| {
            let now = now.unwrap_or_default();
            Ok(if now == expected {
                Step::Change(number, Ok(()))
            } else {
                Step::Keep(Err(now))
            })
        };
        self.0.change(step).await
    }

    async fn update(&self, update: impl Fn(i64) -> Result<i64, Refusal>) -> Result<i64, Error> {
        let step = |now: Option<i64>, _| {
            let now = now.unwrap_or_default();
            Ok(Step::Change(update(now)?, now))
        };
        self.0.change(step).await
    }
}
