//! A semaphore: at most n at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::select_all;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::clock::{self, Instant};
use crate::error::{Error, LostReason};
use crate::mutation::{Mutation, is_on};
use crate::recipes::document::Document;
use crate::recipes::refusal::{self, Refusal};
use crate::recipes::slots::{Slot, Slots};
use crate::section::CriticalSection;

/// The most permits of a semaphore.
const PERMITS_MAX: u64 = 128;

/// A number of permits, each held by one at a time.
///
/// **Promise.** At most as many permits are valid as there are. Each is a lock of
/// its own, with a fencing token of its own: one whose holder dies is free after
/// at most two leases, and the holder, should it live, is told. Who waits is
/// served in the order of asking.
///
/// **Cost.** Two sections, the first one shared by all that ask at once: the gate,
/// at which they queue, and the permit. Where the permit that has been held for
/// longest is not free, one enqueue for each permit.
///
/// **On failure.** One that dies at the gate holds the others up for at most two
/// leases.
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::Semaphore;
///
/// let exports = Semaphore::new(client, "exports", 3)?;    // all name the same number
/// let permit = exports.acquire().await?;
/// println!("permit {} under token {}", permit.numbers()[0], permit.token());
/// permit.release().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Semaphore {
    gate: Document<Gate>,
    slots: Slots,
    permits: u64,
}

/// The gate's state.
#[derive(Clone, Serialize, Deserialize)]
struct Gate {
    permits: u64,
    /// The permit that was given out longest ago.
    oldest: u64,
}

/// Permits that are held; released when dropped.
#[derive(Debug)]
pub struct Permit {
    slots: Vec<Slot>,
    numbers: Vec<u64>,
}

/// A permit that is held by its lockRef alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachedPermit {
    /// Its number, from 0.
    pub number: u64,
    /// Its lockRef: renewed and released below `/v1/locks/{lock_ref}`, or taken
    /// up again by [`Client::resume`].
    pub lock_ref: String,
    /// Its fencing token.
    pub token: u64,
}

impl Semaphore {
    /// The semaphore of that name, with so many permits.
    ///
    /// # Errors
    /// [`Refusal::Name`], [`Refusal::OutOfBounds`].
    pub fn new(client: &Client, name: &str, permits: u64) -> Result<Self, Refusal> {
        Ok(Self {
            gate: Document::new(client, "semaphore", name)?,
            slots: Slots::new(client, "permit", name)?,
            permits: refusal::count("permits", permits, PERMITS_MAX)?,
        })
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// [`Refusal::Disagreement`] where others named another number of permits;
    /// as [`LockRequest::acquire`](crate::LockRequest::acquire).
    ///
    /// # Cost
    /// Two sections, where one is free.
    ///
    /// # Cancel safety
    /// Dropping the future gives the place at the gate up.
    pub async fn acquire(&self) -> Result<Permit, Error> {
        self.acquire_many(1).await
    }

    /// Waits for several permits, to be held together. Nobody overtakes: those
    /// behind wait too.
    ///
    /// # Errors
    /// As [`Semaphore::acquire`]; [`Refusal::OutOfBounds`] where there are not
    /// so many.
    ///
    /// # Cost
    /// As [`Semaphore::acquire`], and a section for each.
    ///
    /// # Cancel safety
    /// As [`Semaphore::acquire`].
    pub async fn acquire_many(&self, number: u64) -> Result<Permit, Error> {
        loop {
            if let Some(permit) = self.acquire_until(number, None).await? {
                return Ok(permit);
            }
        }
    }

    /// Waits for several permits, for so long at most, zero not to wait; `None`
    /// afterwards.
    ///
    /// # Errors
    /// As [`Semaphore::acquire_many`].
    ///
    /// # Cost
    /// As [`Semaphore::acquire_many`].
    ///
    /// # Cancel safety
    /// As [`Semaphore::acquire`].
    pub async fn acquire_within(
        &self,
        number: u64,
        wait: Duration,
    ) -> Result<Option<Permit>, Error> {
        // A wait beyond all clocks is one without a limit.
        let until = clock::now().checked_add(wait);
        self.acquire_until(number, until).await
    }

    async fn acquire_until(
        &self,
        number: u64,
        until: Option<Instant>,
    ) -> Result<Option<Permit>, Error> {
        refusal::count("permits", number, self.permits)?;
        loop {
            match Box::pin(self.pass(number, until)).await {
                // Taken for dead at the gate: it queues again.
                Err(Error::Lost(_)) => {}
                ended => return ended,
            }
        }
    }

    /// Passes the gate, with permits.
    async fn pass(&self, number: u64, until: Option<Instant>) -> Result<Option<Permit>, Error> {
        let gate = match self.gate.section_within(clock::left(until)).await {
            Ok(gate) => gate,
            Err(Error::TimedOut { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = self.gate.load(&gate).await?;
        let oldest = match &found {
            Some(found) => {
                refusal::agree("permits", self.permits, found.permits)?;
                found.oldest
            }
            None => 0,
        };
        let permits = self.permits + u64::from(is_on(Mutation::PermitTooMany));
        let order = (0..permits).map(|step| (oldest + step) % permits);
        let Some(slots) = gate
            .run(self.collect(order.collect(), number, until))
            .await??
        else {
            // Before it is answered, so that who asks next finds it open.
            give_back(gate).await;
            return Ok(None);
        };
        let permit = Permit::new(slots);
        let last = permit.numbers.last().copied().unwrap_or_default();
        let (permits, oldest) = (self.permits, (last + 1) % self.permits);
        self.gate.store(&gate, &Gate { permits, oldest }).await?;
        give_back(gate).await;
        Ok(Some(permit))
    }

    /// Collects permits, the one that was given out longest ago first.
    async fn collect(
        &self,
        order: Vec<u64>,
        number: u64,
        until: Option<Instant>,
    ) -> Result<Option<Vec<Slot>>, Error> {
        let mut held: Vec<Slot> = Vec::new();
        let mut free: BTreeSet<u64> = order.iter().copied().collect();
        let likely = order
            .iter()
            .take(usize::try_from(number).unwrap_or(usize::MAX));
        for first in likely {
            if let Some(slot) = self.slots.any([*first], Some(Duration::ZERO)).await? {
                free.remove(&slot.number);
                held.push(slot);
            }
        }
        while (held.len() as u64) < number {
            let Some(slot) = self
                .slots
                .any(free.iter().copied(), clock::left(until))
                .await?
            else {
                for slot in held {
                    give_back(slot.section).await;
                }
                return Ok(None);
            };
            free.remove(&slot.number);
            held.push(slot);
        }
        Ok(Some(held))
    }
}

/// Releases a section that has done what it was for; its lease ends it else.
async fn give_back(section: CriticalSection) {
    if let Err(error) = section.release().await {
        tracing::debug!(%error, "a section of a semaphore could not be released");
    }
}

impl Permit {
    fn new(slots: Vec<Slot>) -> Self {
        let numbers = slots.iter().map(|slot| slot.number).collect();
        Self { slots, numbers }
    }

    /// The numbers of the permits, from 0: no two valid ones have the same.
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// The fencing token of the first permit: greater than those of all earlier
    /// holders of the permit of that number.
    pub fn token(&self) -> u64 {
        self.slots.first().map_or(0, |slot| slot.section.token())
    }

    /// Waits until one of the permits is lost.
    ///
    /// # Cancel safety
    /// Nothing is lost by dropping the future.
    pub async fn lost(&self) -> LostReason {
        let lost = self.slots.iter().map(|slot| slot.section.lost().boxed());
        select_all(lost).await.0
    }

    /// Why one of the permits is lost, if one is.
    pub fn is_lost(&self) -> Option<LostReason> {
        self.slots.iter().find_map(|slot| slot.section.is_lost())
    }

    /// Leaves the permits as they are: they are not given back, and not kept
    /// alive any more. Each has to be renewed within its lease by whoever has
    /// its lockRef, and released.
    pub fn detach(self) -> Vec<DetachedPermit> {
        let detach = |slot: Slot| DetachedPermit {
            number: slot.number,
            token: slot.section.token(),
            lock_ref: slot.section.detach(),
        };
        self.slots.into_iter().map(detach).collect()
    }

    /// Gives the permits back.
    ///
    /// # Errors
    /// [`Error::Lost`] where one had been lost before; [`Error::Unavailable`]
    /// where no node answers: then the lease ends it.
    ///
    /// # Cost
    /// A request to the own site for each.
    ///
    /// # Cancel safety
    /// Dropping the future gives them back in the background.
    pub async fn release(self) -> Result<(), Error> {
        let mut ended = Ok(());
        for slot in self.slots {
            ended = ended.and(slot.section.release().await);
        }
        ended
    }
}
