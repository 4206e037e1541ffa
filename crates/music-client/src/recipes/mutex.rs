//! A mutex: one holder at a time, over all sites.

use std::slice::from_ref;
use std::time::Duration;

use crate::client::Client;
use crate::error::Error;
use crate::key::RecordKey;
use crate::recipes::guard::{self, Guard};
use crate::recipes::table::LOCKS;

/// A lock with one holder at a time, and the state that it protects.
///
/// **Promise.** At most one guard is valid at a time, in the order of the lock
/// store; who holds it reads what the last holder stored. A holder that was
/// preempted is told, and what it stores afterwards is never seen.
///
/// **Cost.** One section. Handed over between sites: the release, a hint, and a
/// look at the queue.
///
/// **On failure.** A holder that dies is forced out after at most two leases, and
/// the next one waits no longer; waiters are served in the order in which they
/// came. A node that dies is left for another one, with the lock kept.
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::Mutex;
///
/// let report = Mutex::new(client, "nightly-report");
/// if let Some(guard) = report.try_lock().await? {
///     let last = guard.load().await?;                     // what the last holder stored
///     println!("after {last:?}, under token {}", guard.token());
///     guard.store("done").await?;
///     guard.unlock().await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Mutex {
    client: Client,
    record: RecordKey,
}

impl Mutex {
    /// The mutex of that name: a key of table `locks`, as `music lock` takes it.
    pub fn new(client: &Client, name: &str) -> Self {
        Self::of(client, (LOCKS, name))
    }

    /// The mutex of a key of any critical table.
    pub fn of(client: &Client, record: impl Into<RecordKey>) -> Self {
        Self {
            client: client.clone(),
            record: record.into(),
        }
    }

    /// Waits for the lock.
    ///
    /// # Errors
    /// As [`LockRequest::acquire`](crate::LockRequest::acquire).
    ///
    /// # Cost
    /// An enqueue, where the lock is free.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place in the queue up.
    pub async fn lock(&self) -> Result<Guard, Error> {
        loop {
            if let Some(guard) = self.acquire(None).await? {
                return Ok(guard);
            }
        }
    }

    /// Takes the lock if it is free; `None` if it is not.
    ///
    /// # Errors
    /// As [`Mutex::lock`].
    ///
    /// # Cost
    /// As [`Mutex::lock`].
    ///
    /// # Cancel safety
    /// As [`Mutex::lock`].
    pub async fn try_lock(&self) -> Result<Option<Guard>, Error> {
        self.acquire(Some(Duration::ZERO)).await
    }

    /// Waits for the lock, for so long at most; `None` afterwards.
    ///
    /// # Errors
    /// As [`Mutex::lock`].
    ///
    /// # Cost
    /// As [`Mutex::lock`].
    ///
    /// # Cancel safety
    /// As [`Mutex::lock`].
    pub async fn lock_within(&self, wait: Duration) -> Result<Option<Guard>, Error> {
        self.acquire(Some(wait)).await
    }

    async fn acquire(&self, wait: Option<Duration>) -> Result<Option<Guard>, Error> {
        guard::acquire(&self.client, from_ref(&self.record), wait, |request| {
            request
        })
        .await
    }
}
