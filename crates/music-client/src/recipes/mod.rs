//! Recipes: coordination that most programs need, ready to use.
//!
//! State and lock are one thing in all of them: a holder that was preempted
//! cannot spoil the state of its successor, and is told.
//!
//! | recipe | for |
//! |---|---|
//! | [`Mutex`] | one holder at a time, over all sites, of a state |
//! | [`RwLock`] | many readers or one writer of a state |
//! | [`MultiLock`] | several keys held together, without deadlock |
//! | [`Semaphore`] | at most n at a time |
//! | [`Election`] | one leader, observed by all, handed over by name |
//! | [`ActivePassive`] | n active of m replicas, the best ones, with the state handed on |
//! | [`Barrier`], [`DoubleBarrier`] | parties that wait for each other |
//! | [`Latch`] | waiting until something was done n times |
//! | [`Counter`], [`Register`] | a number, a value, changed atomically |
//! | [`Queue`] | work for takers at all sites: priorities, delays, one taker an item |
//! | [`Group`] | who is there |
//! | [`Once`] | a step that is done once, and its result |
//!
//! # Where their state is
//! Mutexes, reader-writer locks and multi-key locks hold keys of table `locks`,
//! as the command `music lock` does. All others keep theirs in the critical table
//! [`TABLE`], at `KIND/NAME`; members are told of in the eventual table
//! [`GROUPS`]. Where a table is missing, the first use creates it.
//!
//! # From hand to hand
//! What a recipe holds is kept alive while it exists, and released when it is
//! dropped. To hold it across processes, or beyond a request, *detach* it: its
//! lockRef says who it is, whoever has that proves life with
//! `POST /v1/locks/{lock_ref}/renew`, and the recipe's `resume` takes it up
//! again.
//!
//! # Costs
//! Costs are in rounds: one is the time from the node's site to its nearest
//! majority. A *section* is an enqueue (two rounds with Cassandra, about one
//! with the others), one round for the first read, one for each write that
//! waits for the one before; its release is not waited for.

mod active_passive;
mod barrier;
mod counter;
mod document;
mod double_barrier;
mod election;
mod group;
mod guard;
mod held;
mod latch;
mod multi_lock;
mod mutex;
mod once;
mod queue;

mod refusal;
mod register;
mod rw_lock;
mod semaphore;
mod slots;
mod table;

pub use active_passive::{
    Active, ActivePassive, LoadGauge, Policy, Replica, ReplicaStatus, Role, Standby,
};
pub use barrier::{Arrivals, Barrier, BarrierObserver, Crossing};
pub use counter::Counter;
pub use double_barrier::DoubleBarrier;
pub use election::{Candidacy, Election, Leader, Leadership, Observer};
pub use group::{Group, GroupEvent, Member, Members, Membership};
pub use guard::{Guard, ReadGuard};
pub use latch::Latch;
pub use multi_lock::MultiLock;
pub use mutex::Mutex;
pub use once::{Begun, Once, OnceState, Step};

pub use queue::{Item, Push, Queue, Taker};
pub use refusal::Refusal;
pub use register::{Register, Version};
pub use rw_lock::RwLock;
pub use semaphore::{DetachedPermit, Permit, Semaphore};
pub use table::{GROUPS, LOCKS, TABLE};
