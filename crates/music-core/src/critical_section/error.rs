//! Why an operation of a critical section failed.

/// Why a section does not hold its lockRef any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lost {
    /// A ticket of it is gone: forced, or withdrawn by an administrator.
    Preempted,
    /// Another node has taken the section over.
    Adopted,
    /// The node could not prove life for a lease; its tickets may be forced.
    NodeLeaseExpired,
    /// The client went unheard for its lease.
    ClientLeaseExpired,
    /// The state has a stamp of a lockRef that the lock store never issued:
    /// the lock store went back in time and must be advanced first.
    LockStoreBehind,
}

/// A failed operation of a critical section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The section waits for its turn.
    #[error("the lockRef is not granted yet: acquire it first")]
    NotGranted,
    /// The section does not hold its lockRef any more.
    #[error("the lock is lost: what this section writes is never seen again")]
    Lost(Lost),
    /// The section was released here.
    #[error("the section was released")]
    Released,
    /// A shared section does not write.
    #[error("a shared lockRef reads only: create an exclusive one to write")]
    SharedIsReadOnly,
    /// The key is not one of the lockRef's keys.
    #[error("the key is not one of those that the lockRef covers")]
    KeyNotInSet,
    /// As many puts are under way as a section may have.
    #[error("too many puts of this section are under way: wait for some of them")]
    TooManyPuts,
    /// The ticks of the incarnation are used up; a new one is being taken.
    #[error("the section is numbering its puts anew: try again in a moment")]
    Renumbering,
    /// The section has used up all of its ticks and incarnations.
    #[error("the section is exhausted after 268 million puts: release it and create another")]
    Exhausted,
    /// No majority acknowledged the write in time, or not within the lease.
    #[error("no majority acknowledged in time: the write may or may not take effect")]
    Unknown,
    /// No majority answered; nothing was changed.
    #[error("no majority of the replicas answers")]
    Unavailable,
    /// The same idempotency key came with another put.
    #[error("another put of this section was made with this idempotency key")]
    IdempotencyKeyReused,
}

impl Error {
    /// Whether the effect may have happened, or may happen still.
    pub fn is_unknown(self) -> bool {
        self == Self::Unknown
    }

    /// Whether the same operation may succeed later.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::NotGranted
            | Self::TooManyPuts
            | Self::Renumbering
            | Self::Unknown
            | Self::Unavailable => true,
            Self::Lost(_)
            | Self::Released
            | Self::SharedIsReadOnly
            | Self::KeyNotInSet
            | Self::Exhausted
            | Self::IdempotencyKeyReused => false,
        }
    }
}
