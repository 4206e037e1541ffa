//! `/v1/recipes`: coordination that most programs need, a file a kind.
//!
//! Routes that hold something for their client give out a `lock_ref`: whoever
//! has it proves life with `POST /v1/locks/{lock_ref}/renew`, at least three
//! times a lease, and names it to go on.
//!
//! | event | data | at |
//! |---|---|---|
//! | [`BARRIER`] | [`Barrier`](barrier::Barrier) | `/v1/recipes/barriers/{name}/events` |
//! | [`LEADER`] | [`Election`](election::Election) | `/v1/recipes/elections/{name}/events` |
//! | [`JOINED`], [`CHANGED`], [`LEFT`] | [`Member`](group::Member) | `/v1/recipes/groups/{name}/events` |

pub mod active_passive;
pub mod barrier;
pub mod counter;
pub mod election;
pub mod group;
pub mod latch;
pub mod once;
pub mod queue;
pub mod register;
pub mod semaphore;

/// How far a barrier is.
pub const BARRIER: &str = "barrier";
/// Who leads.
pub const LEADER: &str = "leader";
/// A member is there.
pub const JOINED: &str = "joined";
/// A member says something else of itself.
pub const CHANGED: &str = "changed";
/// A member left, or was not heard for too long.
pub const LEFT: &str = "left";
