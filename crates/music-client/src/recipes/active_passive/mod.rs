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

use crate::client::Client;
use crate::content::Content;
use crate::error::Error;
use crate::recipes::document::{Document, Step};
use crate::recipes::group::{Group, Member};
use crate::recipes::refusal::{self, Refusal};
use crate::recipes::slots::Slots;

mod active;
mod replica;
mod standby;

pub use active::Active;
use replica::Standing;
pub use replica::{Policy, Replica, ReplicaStatus, Role};
pub use standby::{LoadGauge, Standby};

/// The most active replicas.
const ACTIVE_MAX: u64 = 64;

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
        let slot = self.slots.resume(lock_ref).await?;
        Ok(Active::new(&self.slots, slot))
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
        Ok(Standby::new(self, (replica.name, membership), standing))
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
