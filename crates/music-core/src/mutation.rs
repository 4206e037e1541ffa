//! Mutations: rules of the protocol, broken on purpose, one at a time.
//!
//! A check that finds nothing proves nothing until it has found what is known
//! to be wrong. Each [`Mutation`] breaks one rule at its one place in the
//! core, behind a switch that is off; `cargo xtask mutations` turns them on,
//! one after the other, and demands that a check of `music-sim` finds each.
//!
//! Without the feature `mutations` there is no switch: [`is_on`] is the
//! constant `false`, and the compiler removes what stands behind it.

#[cfg(feature = "mutations")]
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

macro_rules! mutations {
    ($($(#[doc = $rule:literal])+ $variant:ident = $name:literal,)+) => {
        /// A rule that can be broken, each named after what then happens.
        #[cfg_attr(
            not(feature = "mutations"),
            expect(unreachable_pub, reason = "the module is public with the feature only")
        )]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Mutation {
            $($(#[doc = $rule])+ $variant,)+
        }

        #[cfg(feature = "mutations")]
        impl Mutation {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name, in kebab-case.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// What goes wrong, in a sentence or two.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($rule),+),)+
                }
            }
        }
    };
}

mutations! {
    /// Stamps compare the tick before the lockRef.
    TickBeforeLockRef = "tick-before-lock-ref",
    /// A forced release does not raise `forced`, so it never sets the flag.
    ForceWithoutFlag = "force-without-flag",
    /// The forced release of a shared ticket, which may be synchronising,
    /// leaves no flag.
    SharedForceWithoutFlag = "shared-force-without-flag",
    /// The flag is unset once `synced` has reached `forced`: a ticket that
    /// synchronised and was then forced itself leaves no flag.
    FlagUnsetAtEqual = "flag-unset-at-equal",
    /// An adoption records `synced` before the adopter has synchronised.
    SyncedAtAdoption = "synced-at-adoption",
    /// An adoption takes a ticket although the client has moved on since it
    /// asked for it.
    AdoptionAfterMove = "adoption-after-move",
    /// A repeated enqueue of one request adds a second ticket.
    EnqueueTwice = "enqueue-twice",
    /// A fused grant takes "the last ticket was released" for "all were".
    FusedGrantAfterLast = "fused-grant-after-last",
    /// A fused grant ignores the synchronization flag.
    FusedGrantIgnoresFlag = "fused-grant-ignores-flag",
    /// Adjacent shared holders synchronise side by side under a set flag.
    SharedSideBySide = "shared-side-by-side",
    /// A synchronisation writes the fields back without the deletion.
    SyncWithoutDeletion = "sync-without-deletion",
    /// A repeated synchronisation takes the same stamps again.
    SyncSameStamps = "sync-same-stamps",
    /// `synced` is recorded before the synchronising write is acknowledged.
    SyncedBeforeWrite = "synced-before-write",
    /// An adopter does not synchronise where the flag is unset.
    AdoptWithoutSync = "adopt-without-sync",
    /// An adopter that has not synchronised yet leaves by a plain removal.
    AdopterLeavesUnsettled = "adopter-leaves-unsettled",
    /// A holder with an unacknowledged put leaves by a plain release.
    ReleaseUnacknowledged = "release-unacknowledged",
    /// A node keeps a ticket whose last section has an unacknowledged put.
    KeepUnacknowledged = "keep-unacknowledged",
    /// The next section under a kept ticket begins at the first tick again.
    HandOverSameTicks = "hand-over-same-ticks",
    /// A node ends the section of a silent client, who may have moved on, by a
    /// plain release that is not bound to its incarnation.
    SilentClientReleased = "silent-client-released",
    /// A node ends the section of a silent client by a force that is not bound
    /// to its own session.
    ForceAnyOwner = "force-any-owner",
    /// A watcher forces the ticket ahead whoever owns it by now.
    EvictAnyOwner = "evict-any-owner",
    /// The retry of a put takes a new stamp.
    RetryNewStamp = "retry-new-stamp",
    /// A put is acknowledged although the lease ran out before its majority
    /// was complete.
    AcknowledgeAfterLease = "acknowledge-after-lease",
    /// The next incarnation is taken without the lock record, when the ticks
    /// are used up.
    RenumberAlone = "renumber-alone",
    /// A lease counts from the answer of the raise instead of its begin.
    LeaseFromAnswer = "lease-from-answer",
    /// A raise acknowledged after the lease ran out revives the session.
    LeaseRevived = "lease-revived",
    /// A watcher dates "unchanged" by the answer of its read.
    UnchangedAtAnswer = "unchanged-at-answer",
    /// A watcher dates a change by the begin of its read.
    ChangedAtQuestion = "changed-at-question",
    /// A majority read answers without repair.
    ReadWithoutRepair = "read-without-repair",
    /// A majority read repairs one field of those that were put together.
    RepairOneField = "repair-one-field",
    /// A peek answers from one replica.
    PeekAtOne = "peek-at-one",
    /// A peek answers with a release that not all of its majority know.
    PeekForeignRelease = "peek-foreign-release",
    /// A peek ignores that a replica has promised a higher ballot.
    PeekPromised = "peek-promised",
    /// An interrupted transaction does not look whether it counted.
    AppliedTwice = "applied-twice",
}

#[cfg(feature = "mutations")]
static ON: AtomicU8 = AtomicU8::new(0);

/// A bit for each mutation whose place was come by.
#[cfg(feature = "mutations")]
static PASSED: AtomicU64 = AtomicU64::new(0);

#[cfg(feature = "mutations")]
impl Mutation {
    /// The mutation of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|other| other.name() == name)
    }

    /// Above 0, which stands for none.
    #[expect(clippy::as_conversions, reason = "the discriminants are a u8")]
    const fn number(self) -> u8 {
        (self as u8).saturating_add(1)
    }

    /// A bit of its own; there are fewer than 64.
    #[expect(clippy::as_conversions, reason = "the discriminants are a u8")]
    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// Turns one mutation on for the whole process, or all of them off.
#[cfg(feature = "mutations")]
pub fn switch(mutation: Option<Mutation>) {
    ON.store(mutation.map_or(0, Mutation::number), Ordering::Relaxed);
}

/// The mutations whose places were come by since this was last asked: what
/// does not come by a place cannot tell whether the rule is broken.
#[cfg(feature = "mutations")]
pub fn passed() -> impl Iterator<Item = Mutation> {
    let bits = PASSED.swap(0, Ordering::Relaxed);
    let passed = move |mutation: &Mutation| bits & mutation.bit() != 0;
    Mutation::ALL.iter().copied().filter(passed)
}

/// Whether that rule is broken now.
#[cfg(feature = "mutations")]
pub(crate) fn is_on(mutation: Mutation) -> bool {
    PASSED.fetch_or(mutation.bit(), Ordering::Relaxed);
    ON.load(Ordering::Relaxed) == mutation.number()
}

/// Whether that rule is broken now: never.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn is_on(_: Mutation) -> bool {
    false
}

#[cfg(all(test, feature = "mutations"))]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        for mutation in Mutation::ALL {
            assert_eq!(Mutation::named(mutation.name()), Some(*mutation));
        }
        assert_eq!(Mutation::named("none"), None);
    }
}
