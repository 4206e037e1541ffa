//! What holds a lock: released when the last clone is dropped.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::client::Client;
use crate::content::{Content, Stored};
use crate::error::{Error, LostReason};
use crate::key::RecordKey;
use crate::recipes::table;
use crate::section::CriticalSection;
use crate::section::request::LockRequest;

/// A lock that is held, and the state that it protects.
///
/// It is a [`CriticalSection`]: every operation fails with [`Error::Lost`] when
/// the lock is lost, [`lost`](CriticalSection::lost) tells at once, and
/// [`token`](CriticalSection::token) fences other systems.
///
/// *Re-entrant by guard*: a clone holds the lock too, so that code which needs
/// it can be called with a clone instead of asking for it once more. It is
/// released when the last clone is dropped, or by its [`unlock`](Self::unlock).
#[derive(Clone, Debug)]
pub struct Guard {
    held: Arc<Held>,
}

#[derive(Debug)]
struct Held {
    section: CriticalSection,
    record: RecordKey,
}

impl Deref for Guard {
    type Target = CriticalSection;

    fn deref(&self) -> &CriticalSection {
        &self.held.section
    }
}

impl Guard {
    pub(crate) fn new(section: CriticalSection, record: RecordKey) -> Self {
        Self {
            held: Arc::new(Held { section, record }),
        }
    }

    /// The state: what the last holder that stored something stored.
    ///
    /// # Errors
    /// As [`CriticalSection::get`].
    ///
    /// # Cost
    /// One round for the first read, then none.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn load(&self) -> Result<Option<Stored>, Error> {
        self.get(&self.held.record).await
    }

    /// Stores the state.
    ///
    /// # Errors
    /// As [`CriticalSection::put`].
    ///
    /// # Cost
    /// One round.
    ///
    /// # Cancel safety
    /// The state may or may not be stored.
    pub async fn store(&self, state: impl Into<Content>) -> Result<(), Error> {
        self.put(&self.held.record, state).await.map(drop)
    }

    /// Releases the lock, if this is the last clone. Returns whether it was.
    ///
    /// # Errors
    /// As [`CriticalSection::release`].
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// Dropping the future releases in the background.
    pub async fn unlock(self) -> Result<bool, Error> {
        match Arc::into_inner(self.held) {
            Some(held) => held.section.release().await.map(|()| true),
            None => Ok(false),
        }
    }
}

/// A lock that is held beside other readers.
#[derive(Clone, Debug)]
pub struct ReadGuard(Guard);

impl ReadGuard {
    pub(crate) fn new(guard: Guard) -> Self {
        Self(guard)
    }

    /// The state.
    ///
    /// # Errors
    /// As [`CriticalSection::get`].
    ///
    /// # Cost
    /// As [`Guard::load`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn load(&self) -> Result<Option<Stored>, Error> {
        self.0.load().await
    }

    /// As [`CriticalSection::token`].
    pub fn token(&self) -> u64 {
        self.0.token()
    }

    /// As [`CriticalSection::lost`].
    pub async fn lost(&self) -> LostReason {
        self.0.lost().await
    }

    /// As [`CriticalSection::is_lost`].
    pub fn is_lost(&self) -> Option<LostReason> {
        self.0.is_lost()
    }

    /// As [`Guard::unlock`].
    ///
    /// # Errors
    /// As [`Guard::unlock`].
    ///
    /// # Cost
    /// As [`Guard::unlock`].
    ///
    /// # Cancel safety
    /// As [`Guard::unlock`].
    pub async fn unlock(self) -> Result<bool, Error> {
        self.0.unlock().await
    }
}

/// Acquires a lock; `None` where it is not granted within the wait.
pub(crate) async fn acquire(
    client: &Client,
    keys: &[RecordKey],
    wait: Option<Duration>,
    kind: impl Fn(LockRequest) -> LockRequest,
) -> Result<Option<Guard>, Error> {
    let request = || {
        let request = kind(client.lock(keys));
        match wait {
            Some(wait) => request.wait(wait),
            None => request,
        }
    };
    let table = keys.first().map_or(table::LOCKS, |key| key.table.as_str());
    match table::acquire(client, table, request).await {
        Ok(section) => {
            let record = keys.first().cloned();
            let record = record.unwrap_or_else(|| RecordKey::new(table, Vec::new()));
            Ok(Some(Guard::new(section, record)))
        }
        Err(Error::TimedOut { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
