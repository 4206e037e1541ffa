//! Several locks held together.

use std::time::Duration;

use crate::client::Client;
use crate::error::Error;
use crate::key::RecordKey;
use crate::recipes::guard::{self, Guard};
use crate::recipes::table::LOCKS;

/// A lock of several keys, held together or not at all.
///
/// **Promise.** That of a [`Mutex`](super::Mutex), for each of the keys; who
/// asks for overlapping sets never deadlocks, in whatever order it names them.
///
/// **Cost.** That of a mutex where all are free: the enqueues go out together.
/// Where some are not, the keys behind the first one that is taken are asked
/// for again when it is held.
///
/// **On failure.** As for a mutex. The lock is lost as a whole.
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::MultiLock;
///
/// let accounts = [("locks", "alice"), ("locks", "bob")];
/// let both = MultiLock::of(client, accounts).lock().await?;
/// both.put(accounts[0], "70").await?;
/// both.put(accounts[1], "130").await?;
/// both.unlock().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MultiLock {
    client: Client,
    records: Vec<RecordKey>,
}

impl MultiLock {
    /// The lock of keys of table `locks`.
    pub fn new<'a>(client: &Client, names: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of(client, names.into_iter().map(|name| (LOCKS, name)))
    }

    /// The lock of keys of any critical tables.
    pub fn of<K>(client: &Client, records: K) -> Self
    where
        K: IntoIterator<Item: Into<RecordKey>>,
    {
        Self {
            client: client.clone(),
            records: records.into_iter().map(Into::into).collect(),
        }
    }

    /// Waits for all of them. [`Guard::load`] and [`Guard::store`] are about the
    /// first key; [`get`](crate::CriticalSection::get) and
    /// [`put`](crate::CriticalSection::put) about any of them.
    ///
    /// # Errors
    /// As [`LockRequest::acquire`](crate::LockRequest::acquire).
    ///
    /// # Cost
    /// An enqueue's time, where all are free.
    ///
    /// # Cancel safety
    /// Dropping the future gives all places in the queues up.
    pub async fn lock(&self) -> Result<Guard, Error> {
        loop {
            if let Some(guard) = self.acquire(None).await? {
                return Ok(guard);
            }
        }
    }

    /// Waits for all of them, for so long at most, zero not to wait; `None`
    /// afterwards.
    ///
    /// # Errors
    /// As [`MultiLock::lock`].
    ///
    /// # Cost
    /// As [`MultiLock::lock`].
    ///
    /// # Cancel safety
    /// As [`MultiLock::lock`].
    pub async fn lock_within(&self, wait: Duration) -> Result<Option<Guard>, Error> {
        self.acquire(Some(wait)).await
    }

    async fn acquire(&self, wait: Option<Duration>) -> Result<Option<Guard>, Error> {
        guard::acquire(&self.client, &self.records, wait, |request| request).await
    }
}
