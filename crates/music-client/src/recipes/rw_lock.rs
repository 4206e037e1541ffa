//! A reader-writer lock.

use std::slice::from_ref;
use std::time::Duration;

use crate::client::Client;
use crate::error::Error;
use crate::key::RecordKey;
use crate::recipes::guard::{self, Guard, ReadGuard};
use crate::recipes::table::LOCKS;
use crate::section::request::LockRequest;

/// A lock with many readers or one writer, and the state that it protects.
///
/// **Promise.** While a write guard is valid no other guard is. Readers that are
/// next to each other in the queue hold the lock together; a writer that waits
/// is not overtaken by readers that come after it.
///
/// **Cost and failure.** As for a [`Mutex`](super::Mutex), whose keys it shares:
/// a mutex is a reader-writer lock without readers.
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::RwLock;
///
/// let settings = RwLock::new(client, "settings");
/// let reader = settings.read().await?;                    // others read beside it
/// println!("{:?}", reader.load().await?);
/// reader.unlock().await?;
/// let writer = settings.write().await?;                   // alone
/// writer.store("new").await?;
/// writer.unlock().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RwLock {
    client: Client,
    record: RecordKey,
}

impl RwLock {
    /// The lock of that name: a key of table `locks`.
    pub fn new(client: &Client, name: &str) -> Self {
        Self::of(client, (LOCKS, name))
    }

    /// The lock of a key of any critical table.
    pub fn of(client: &Client, record: impl Into<RecordKey>) -> Self {
        Self {
            client: client.clone(),
            record: record.into(),
        }
    }

    /// Waits to read.
    ///
    /// # Errors
    /// As [`LockRequest::acquire`].
    ///
    /// # Cost
    /// An enqueue, where no writer is there.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place in the queue up.
    pub async fn read(&self) -> Result<ReadGuard, Error> {
        loop {
            if let Some(guard) = self.acquire(None, LockRequest::shared).await? {
                return Ok(ReadGuard::new(guard));
            }
        }
    }

    /// Waits to read, for so long at most, zero not to wait; `None` afterwards.
    ///
    /// # Errors
    /// As [`RwLock::read`].
    ///
    /// # Cost
    /// As [`RwLock::read`].
    ///
    /// # Cancel safety
    /// As [`RwLock::read`].
    pub async fn read_within(&self, wait: Duration) -> Result<Option<ReadGuard>, Error> {
        let guard = self.acquire(Some(wait), LockRequest::shared).await?;
        Ok(guard.map(ReadGuard::new))
    }

    /// Waits to write.
    ///
    /// # Errors
    /// As [`RwLock::read`].
    ///
    /// # Cost
    /// An enqueue, where nobody else is there.
    ///
    /// # Cancel safety
    /// As [`RwLock::read`].
    pub async fn write(&self) -> Result<Guard, Error> {
        loop {
            if let Some(guard) = self.acquire(None, |request| request).await? {
                return Ok(guard);
            }
        }
    }

    /// Waits to write, for so long at most, zero not to wait; `None` afterwards.
    ///
    /// # Errors
    /// As [`RwLock::read`].
    ///
    /// # Cost
    /// As [`RwLock::write`].
    ///
    /// # Cancel safety
    /// As [`RwLock::read`].
    pub async fn write_within(&self, wait: Duration) -> Result<Option<Guard>, Error> {
        self.acquire(Some(wait), |request| request).await
    }

    async fn acquire(
        &self,
        wait: Option<Duration>,
        kind: impl Fn(LockRequest) -> LockRequest,
    ) -> Result<Option<Guard>, Error> {
        guard::acquire(&self.client, from_ref(&self.record), wait, kind).await
    }
}
