//! One member, which proves that it lives.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use super::Beat;
use crate::client::Client;
use crate::clock;
use crate::content::Content;
use crate::error::Error;
use crate::key::RecordKey;
use crate::recipes::table::{self, GROUPS};

/// The shortest time between two proofs of life.
const BEAT_MIN: Duration = Duration::from_millis(20);

/// What puts a member's record.
#[derive(Debug)]
pub(super) struct Heart {
    client: Client,
    record: RecordKey,
    beat: Mutex<Beat>,
}

impl Heart {
    pub(super) fn new(client: &Client, record: RecordKey, beat: Beat) -> Self {
        Self {
            client: client.clone(),
            record,
            beat: Mutex::new(beat),
        }
    }

    pub(super) fn record(&self) -> &RecordKey {
        &self.record
    }

    /// Goes on from that number.
    pub(super) fn number(&self, number: u64) {
        let mut beat = self.beat.lock().unwrap_or_else(PoisonError::into_inner);
        beat.number = number;
    }

    pub(super) async fn beat(&self) -> Result<(), Error> {
        let value = {
            let mut beat = self.beat.lock().unwrap_or_else(PoisonError::into_inner);
            beat.number += 1;
            Content::json(&*beat)?
        };
        let put = || self.client.put(&self.record, value.clone());
        table::with(&self.client, GROUPS, put).await.map(drop)
    }

    async fn beat_on(self: Arc<Self>, pause: Duration) {
        loop {
            clock::sleep(pause).await;
            if let Err(error) = self.beat().await {
                tracing::debug!(%error, "a member of a group could not tell that it lives");
            }
        }
    }
}

/// A membership; dropped, it ends, and the record is taken back in the
/// background.
#[derive(Debug)]
pub struct Membership {
    heart: Arc<Heart>,
    /// Stops the beats. `None` after the end.
    stop: Option<DropGuard>,
}

impl Membership {
    /// Lets a member prove life from now on, a third of its lease apart.
    pub(super) fn start(heart: Heart) -> Self {
        let heart = Arc::new(heart);
        let pause = (heart.client.inner.options.lease / 3).max(BEAT_MIN);
        let stop = CancellationToken::new();
        let beating = Arc::clone(&heart).beat_on(pause);
        let beating = stop.clone().run_until_cancelled_owned(beating);
        drop(heart.client.inner.keepers.spawn(beating));
        Self {
            heart,
            stop: Some(stop.drop_guard()),
        }
    }

    /// Says something else of itself.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no node serves: it is said with the next
    /// proof of life.
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// It is said now, or with the next proof of life.
    pub async fn proclaim(&self, value: impl Into<Content>) -> Result<(), Error> {
        self.set(value);
        self.beat().await
    }

    /// Has the next proof of life say something else.
    pub(crate) fn set(&self, value: impl Into<Content>) {
        let beat = self.heart.beat.lock();
        beat.unwrap_or_else(PoisonError::into_inner).value = value.into().to_value();
    }

    /// Proves now that it lives.
    pub(crate) async fn beat(&self) -> Result<(), Error> {
        self.heart.beat().await
    }

    /// Leaves the group.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where no node serves: then it is listed for a
    /// lease.
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// It may be listed for a lease.
    pub async fn leave(mut self) -> Result<(), Error> {
        self.stop = None;
        let heart = &self.heart;
        heart.client.delete(&heart.record).await.map(drop)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if self.stop.take().is_none() {
            return;
        }
        let heart = Arc::clone(&self.heart);
        self.heart.client.inner.in_background(async move {
            if let Err(error) = heart.client.delete(&heart.record).await {
                tracing::debug!(%error, "a membership could not be taken back");
            }
        });
    }
}
