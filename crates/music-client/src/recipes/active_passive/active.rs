//! Replicas that are active.

use std::time::Duration;

use crate::content::{Content, Stored};
use crate::error::{Error, Lost, LostReason};
use crate::recipes::slots::{Slot, Slots};

/// The right to be active; ends when it is dropped.
#[derive(Debug)]
pub struct Active {
    slots: Slots,
    slot: Slot,
}

impl Active {
    pub(super) fn new(slots: &Slots, slot: Slot) -> Self {
        let slots = slots.clone();
        Self { slots, slot }
    }

    /// The number of the slot, from 0: no two active replicas have the same.
    pub fn slot(&self) -> u64 {
        self.slot.number
    }

    /// The fencing token: greater than those of all earlier active replicas of
    /// this slot.
    pub fn token(&self) -> u64 {
        self.slot.section.token()
    }

    /// The lockRef behind it, for another process or an administrator.
    pub fn lock_ref(&self) -> &str {
        self.slot.section.lock_ref()
    }

    /// The state of this slot: what was saved last.
    ///
    /// # Errors
    /// As [`CriticalSection::get`](crate::CriticalSection::get).
    ///
    /// # Cost
    /// One round for the first read, then none.
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn state(&self) -> Result<Option<Stored>, Error> {
        let record = self.slots.record(self.slot.number);
        self.slot.section.get(record).await
    }

    /// Saves the state for whoever takes over.
    ///
    /// # Errors
    /// As [`CriticalSection::put`](crate::CriticalSection::put).
    ///
    /// # Cost
    /// One round.
    ///
    /// # Cancel safety
    /// The state may or may not be saved.
    pub async fn save(&self, state: impl Into<Content>) -> Result<(), Error> {
        let record = self.slots.record(self.slot.number);
        self.slot.section.put(record, state).await.map(drop)
    }

    /// Goes on without being kept alive here: whoever has the lockRef renews it
    /// within the lease, or takes the right up again
    /// ([`ActivePassive::resume`](super::ActivePassive::resume)).
    pub fn detach(self) -> String {
        self.slot.section.detach()
    }

    /// Waits until the right is lost; for ever if it never is.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn lost(&self) -> LostReason {
        self.slot.section.lost().await
    }

    /// Why the right is lost, if it is.
    pub fn is_lost(&self) -> Option<LostReason> {
        self.slot.section.is_lost()
    }

    /// How long the right lasts if no node answers any more; zero where it is
    /// lost, or its lease is over and nobody has told yet, as after a pause of
    /// this process.
    pub fn valid_for(&self) -> Duration {
        self.slot.section.valid_for()
    }

    /// Does some work, and drops it at once where the right is lost.
    ///
    /// # Errors
    /// [`Lost`]; the work may have had some of its effects.
    ///
    /// # Cancel safety
    /// That of the work.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> Result<T, Lost> {
        self.slot.section.run(work).await
    }

    /// Gives the slot to the next one.
    ///
    /// # Errors
    /// As [`CriticalSection::release`](crate::CriticalSection::release).
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// Dropping the future gives it in the background.
    pub async fn step_down(self) -> Result<(), Error> {
        self.slot.section.release().await
    }
}
