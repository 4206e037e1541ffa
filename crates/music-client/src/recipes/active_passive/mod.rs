//! Load-balanced active-passive replication.
//!
//! ```text
//!  m replicas ──join──▶ group: site, load, role     n slots, each a lock with a state
//!      │                    │ rank of those that wait        ▲
//!      └── the r-th best queues after r turns ───────────────┘ granted: active
//! ```
//!
//! Who is active is decided by the locks of the slots alone. The group only
//! decides who asks first: the best of those that wait queues at once, the next
//! one a turn later, so that the queue is in the order of the policy, and nobody
//! waits for ever for one that is listed and does not ask.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use crate::client::Client;
use crate::clock::{self, Instant};
use crate::content::{Content, Stored};
use crate::error::{Error, Lost, LostReason};
use crate::recipes::document::{Document, Step};
use crate::recipes::group::{Group, Member, Members, Membership};
use crate::recipes::refusal::{self, Refusal};
use crate::recipes::slots::{Slot, Slots};

mod replica;

use replica::Standing;
pub use replica::{Policy, Replica, ReplicaStatus, Role};

/// The most active replicas.
const ACTIVE_MAX: u64 = 64;

/// How long a replica that joins looks around before it asks.
const SETTLE: Duration = Duration::from_secs(1);

/// n of m replicas active, the best ones by a policy, with the state handed on.
///
/// **Promise.** At most n replicas hold an [`Active`] that is valid. Each active one
/// has a slot, and the state that the last one of that slot saved. One that was
/// preempted is told and saves nothing any more. Of those that wait, the best by
/// site, then load, is next, as far as replicas hear of each other.
///
/// **Cost.** A section to become active, one round to save. Being a member costs
/// eventual puts alone.
///
/// **On failure.** An active replica that dies is replaced after at most two leases.
/// Where the best one that waits dies or hangs, the next one asks a turn (two
/// leases) later.
///
/// ```no_run
/// # async fn example(client: &music_client::Client) -> Result<(), music_client::Error> {
/// use music_client::recipes::{ActivePassive, Policy, Replica};
///
/// let billing = ActivePassive::new(client, "billing", 1)?
///     .policy(Policy::sites(["ohio", "oregon"]));
/// let mut standby = billing.join(Replica::new("billing-7", "ohio").load(3)).await?;
/// loop {
///     let active = standby.activate().await?;             // waits for its turn
///     let resumed = active.state().await?;                // what the last one saved
///     println!("active under token {}, from {resumed:?}", active.token());
///     let ended = active.run(async { /* serve */ }).await;
///     if ended.is_ok() {
///         return active.step_down().await;
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ActivePassive {
    client: Client,
    name: String,
    active: u64,
    policy: Policy,
    group: Group,
    slots: Slots,
}

impl ActivePassive {
    /// The replicas of a service, of which so many are to be active.
    ///
    /// # Errors
    /// [`Refusal::Name`], [`Refusal::OutOfBounds`].
    pub fn new(client: &Client, name: &str, active: u64) -> Result<Self, Refusal> {
        Ok(Self {
            client: client.clone(),
            name: name.to_owned(),
            active: refusal::count("active replicas", active, ACTIVE_MAX)?,
            policy: Policy::default(),
            group: Group::new(client, &format!("active-passive/{name}"))?,
            slots: Slots::new(client, "active", name)?,
        })
    }

    /// With a policy: the same for all replicas, or each follows its own.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Takes the right to be active up again that was detached.
    ///
    /// # Errors
    /// [`Refusal::ForeignLock`] for a lockRef of something else; as
    /// [`Client::resume`].
    ///
    /// # Cost
    /// As [`Client::resume`].
    ///
    /// # Cancel safety
    /// As [`Client::resume`].
    pub async fn resume(&self, lock_ref: &str) -> Result<Active, Error> {
        Ok(Active {
            slots: self.slots.clone(),
            slot: self.slots.resume(lock_ref).await?,
        })
    }

    /// Joins as a replica that is passive.
    ///
    /// # Errors
    /// [`Refusal::Disagreement`] where others named another number of active
    /// ones; as [`Group::join`].
    ///
    /// # Cost
    /// A section.
    ///
    /// # Cancel safety
    /// It may be a member for a lease.
    pub async fn join(&self, replica: Replica) -> Result<Standby, Error> {
        let active = self.active;
        let agreed: Document<u64> = Document::new(&self.client, "active-passive", &self.name)?;
        let agree = |found: Option<u64>, _| match found {
            Some(found) => {
                refusal::agree("active replicas", active, found)?;
                Ok(Step::Keep(()))
            }
            None => Ok(Step::Change(active, ())),
        };
        agreed.change(agree).await?;
        let standing = Standing {
            site: replica.site,
            load: replica.load,
            role: Role::Passive,
        };
        let content = Content::json(&standing)?;
        let membership = self.group.join(&replica.name, content).await?;
        let says = Says {
            name: replica.name,
            membership,
            standing: Mutex::new(standing),
        };
        Ok(Standby {
            says: Arc::new(says),
            members: self.group.members(),
            settled_at: clock::now() + SETTLE,
            service: self.clone(),
        })
    }

    /// The replicas, by name, as the nearest replica of the state knows them.
    ///
    /// # Errors
    /// As [`Group::list`].
    ///
    /// # Cost
    /// As [`Group::list`].
    ///
    /// # Cancel safety
    /// Changes nothing.
    pub async fn replicas(&self) -> Result<Vec<ReplicaStatus>, Error> {
        Ok(statuses(&self.group.list().await?))
    }
}

fn statuses(members: &[Member]) -> Vec<ReplicaStatus> {
    members.iter().filter_map(ReplicaStatus::of).collect()
}

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
        let active = Active {
            slots: self.service.slots.clone(),
            slot,
        };
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

/// The right to be active; ends when it is dropped.
#[derive(Debug)]
pub struct Active {
    slots: Slots,
    slot: Slot,
}

impl Active {
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
    /// ([`ActivePassive::resume`]).
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
