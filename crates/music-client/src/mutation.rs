//! Promises of recipes, broken on purpose, one at a time.
//!
//! As with the mutations of the protocol in `music-core`: each breaks one rule
//! at its one place, behind a switch that is off, and `cargo xtask mutations`
//! demands that the simulation finds it. Without the feature `mutations` there
//! is no switch, and the compiler removes what stands behind it.

#[cfg(feature = "mutations")]
use std::sync::atomic::{AtomicU8, Ordering};

/// A rule that can be broken, named after what then happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Mutation {
    /// A change whose answer was lost is not looked up.
    ChangeMadeTwice = 1,
    /// A semaphore counts one permit too many.
    PermitTooMany,
    /// A barrier opens one party too early.
    PartyTooFew,
    /// A step that was interrupted is begun again.
    StepBegunAgain,
    /// An item is done whoever has its claim.
    ClaimIgnored,
}

#[cfg(feature = "mutations")]
static ON: AtomicU8 = AtomicU8::new(0);

#[cfg(feature = "mutations")]
impl Mutation {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::ChangeMadeTwice,
        Self::PermitTooMany,
        Self::PartyTooFew,
        Self::StepBegunAgain,
        Self::ClaimIgnored,
    ];

    /// The name, in kebab-case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChangeMadeTwice => "change-made-twice",
            Self::PermitTooMany => "permit-too-many",
            Self::PartyTooFew => "party-too-few",
            Self::StepBegunAgain => "step-begun-again",
            Self::ClaimIgnored => "claim-ignored",
        }
    }

    /// What goes wrong, in a sentence.
    pub const fn description(self) -> &'static str {
        match self {
            Self::ChangeMadeTwice => {
                "A change whose answer was lost is made again, and not looked up."
            }
            Self::PermitTooMany => "A semaphore gives out one permit more than it has.",
            Self::PartyTooFew => "A barrier opens when one party is still missing.",
            Self::StepBegunAgain => "A step that was interrupted is begun by the next caller.",
            Self::ClaimIgnored => "A queue's item is done by whoever had it, claim or not.",
        }
    }

    const fn number(self) -> u8 {
        self as u8
    }
}

/// Turns one mutation on for the whole process, or all of them off.
#[cfg(feature = "mutations")]
pub fn switch(mutation: Option<Mutation>) {
    ON.store(mutation.map_or(0, Mutation::number), Ordering::Relaxed);
}

/// Whether that rule is broken now.
#[cfg(feature = "mutations")]
pub(crate) fn is_on(mutation: Mutation) -> bool {
    ON.load(Ordering::Relaxed) == mutation.number()
}

/// Whether that rule is broken now: never.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn is_on(_: Mutation) -> bool {
    false
}
