//! Replicas that have joined: what they say of themselves, and how they wait.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::replica::Standing;
use super::{Active, ActivePassive, ReplicaStatus, Role, statuses};
use crate::clock::{self, Instant};
use crate::content::Content;
use crate::error::Error;
use crate::recipes::group::{Members, Membership};
use crate::recipes::slots::Slot;

/// How long a replica that joins looks around before it asks.
const SETTLE: Duration = Duration::from_secs(1);

/// What a replica says of itself, and how.
#[derive(Debug)]
struct Says {
    name: String,
    membership: Membership,
    standing: Mutex<Standing>,
}

impl Says {
    async fn change(&self, change: impl FnOnce(&mut Standing)) -> Result<(), Error> {
        {
            let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut standing);
            // Under the lock: what is said last is what changed last.
            self.membership.set(Content::json(&*standing)?);
        }
        self.membership.beat().await
    }

    fn own(&self) -> ReplicaStatus {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let Standing { site, load, role } = standing.clone();
        let name = self.name.clone();
        ReplicaStatus {
            name,
            site,
            load,
            role,
        }
    }
}

/// Says how much a replica has to do, while it waits as well as while it is
/// active.
#[derive(Clone, Debug)]
pub struct LoadGauge {
    says: Weak<Says>,
}

impl LoadGauge {
    /// Says how much the replica has to do; nothing after it has left.
    ///
    /// # Errors
    /// As [`Membership::proclaim`].
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// It is said now, or with the next proof of life.
    pub async fn set(&self, load: u32) -> Result<(), Error> {
        match self.says.upgrade() {
            Some(says) => says.change(|standing| standing.load = load).await,
            None => Ok(()),
        }
    }
}

/// A replica that has joined.
#[derive(Debug)]
pub struct Standby {
    service: ActivePassive,
    says: Arc<Says>,
    members: Members,
    /// When it has looked around for long enough.
    settled_at: Instant,
}

impl Standby {
    pub(super) fn new(
        service: &ActivePassive,
        (name, membership): (String, Membership),
        standing: Standing,
    ) -> Self {
        let says = Says {
            name,
            membership,
            standing: Mutex::new(standing),
        };
        Self {
            says: Arc::new(says),
            members: service.group.members(),
            settled_at: clock::now() + SETTLE,
            service: service.clone(),
        }
    }

    /// Says how much it has to do.
    ///
    /// # Errors
    /// As [`Membership::proclaim`].
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// It is said now, or with the next proof of life.
    pub async fn set_load(&mut self, load: u32) -> Result<(), Error> {
        self.load_gauge().set(load).await
    }

    /// Says it also while [`activate`](Self::activate) waits.
    pub fn load_gauge(&self) -> LoadGauge {
        LoadGauge {
            says: Arc::downgrade(&self.says),
        }
    }

    /// Waits to be active.
    ///
    /// # Errors
    /// As [`LockRequest::acquire`](crate::LockRequest::acquire).
    ///
    /// # Cost
    /// A section, when it is its turn.
    ///
    /// # Cancel safety
    /// Dropping the future gives its places up; others think that it waits
    /// until it says something else.
    pub async fn activate(&mut self) -> Result<Active, Error> {
        self.become_(Role::Waiting).await?;
        let slot = Box::pin(self.wait()).await?;
        let active = Active::new(&self.service.slots, slot);
        // Where nobody hears it, others think that it waits: they ask a turn
        // later.
        if let Err(error) = self.become_(Role::Active).await {
            tracing::debug!(%error, "a replica could not say that it is active");
        }
        Ok(active)
    }

    /// Waits for a slot: asks when its turn comes, and then keeps its places,
    /// unless others turn out to be better.
    async fn wait(&mut self) -> Result<Slot, Error> {
        let slots = self.service.slots.clone();
        let lease = self.service.client.inner.options.lease;
        loop {
            let turn = self.turn();
            let now = clock::now();
            let wait = lease.saturating_mul(turn.saturating_mul(2));
            let asks_at = self.settled_at.max(now.checked_add(wait).unwrap_or(now));
            let mut slot = pin!(async {
                tokio::time::sleep_until(asks_at).await;
                slots.any(0..self.service.active, None).await
            });
            loop {
                tokio::select! {
                    biased;
                    slot = &mut slot => match slot? {
                        Some(slot) => return Ok(slot),
                        None => break,
                    },
                    event = self.members.next() => drop(event?),
                }
                let turn_now = self.turn();
                let asks = asks_at <= clock::now();
                if turn_now > turn || (turn_now < turn && !asks) {
                    break;
                }
            }
        }
    }

    /// How many of those that wait are better.
    fn turn(&self) -> u32 {
        let turn = self.service.policy.turn(&self.says.own(), &self.replicas());
        u32::try_from(turn).unwrap_or(u32::MAX)
    }

    /// Waits until a replica of a better site waits to be active, and finds no
    /// free slot, and no worse active one to make room for it. This one may
    /// step down for it, or not; load alone is no reason.
    ///
    /// # Errors
    /// As [`Members::next`].
    ///
    /// # Cost
    /// As [`Members::next`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn outranked(&mut self) -> Result<String, Error> {
        loop {
            let ActivePassive { policy, active, .. } = &self.service;
            let known = self.replicas();
            if let Some(better) = policy.outranked(&self.says.own(), &known, *active) {
                return Ok(better.name.clone());
            }
            self.members.next().await?;
        }
    }

    /// The replicas that are known, this one included, by name.
    pub fn replicas(&self) -> Vec<ReplicaStatus> {
        statuses(&self.members.list())
    }

    /// Waits until a replica comes, goes, or says something else of itself.
    ///
    /// # Errors
    /// As [`Members::next`].
    ///
    /// # Cost
    /// As [`Members::next`].
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn changed(&mut self) -> Result<(), Error> {
        self.members.next().await.map(drop)
    }

    /// Stays a member that does not ask, until it asks again.
    ///
    /// # Errors
    /// As [`Membership::proclaim`].
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// It is said now, or with the next proof of life.
    pub async fn stand_by(&mut self) -> Result<(), Error> {
        self.become_(Role::Passive).await
    }

    /// Leaves the service.
    ///
    /// # Errors
    /// As [`Membership::leave`].
    ///
    /// # Cost
    /// A request to the own site.
    ///
    /// # Cancel safety
    /// It may be listed for a lease.
    pub async fn leave(self) -> Result<(), Error> {
        match Arc::into_inner(self.says) {
            Some(says) => says.membership.leave().await,
            // A load is being said: whoever does ends the membership.
            None => Ok(()),
        }
    }

    async fn become_(&mut self, role: Role) -> Result<(), Error> {
        self.says.change(|standing| standing.role = role).await
    }
}
