//! Modes: what a table's mode forbids is refused, and nothing else is.
//!
//! Demanded: a put on a critical table and a lock on an eventual one never
//! succeed; what the mode allows is never refused for its sake.
//!
//! Not demanded: that the refusal says `WrongMode`, where the operation failed
//! because nobody was there to know the mode.

use super::{Judge, Verdict};
use crate::index::History;
use crate::{OpId, PlainKind, PlainOutcome};

/// What PROTOCOL.md promises.
pub const SENTENCE: &str = "put on a critical table and critical put on an eventual one are \
    refused with an error that says so. Get is allowed on all.";

/// This judge.
pub const JUDGE: Judge = Judge {
    name: "modes",
    guarantee: 7,
    sentence: SENTENCE,
    judge,
};

/// How a mode was not enforced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Something forbidden succeeded.
    #[error("{kind:?} {op} succeeds, which the table's mode forbids")]
    Allowed {
        /// Which operation.
        op: OpId,
        /// Which kind.
        kind: PlainKind,
    },
    /// Something allowed was refused.
    #[error("{kind:?} {op} is refused for the table's mode, which allows it")]
    Refused {
        /// Which operation.
        op: OpId,
        /// Which kind.
        kind: PlainKind,
    },
}

/// Judges a history.
pub fn judge(history: &History) -> Verdict {
    let mut verdict = Verdict::default();
    for plain in &history.plains {
        let Some((ended, outcome)) = plain.ended else {
            continue;
        };
        verdict.checked += 1;
        let is_forbidden = match plain.kind {
            PlainKind::PutOnCritical | PlainKind::LockOnEventual => true,
            PlainKind::EventualPut | PlainKind::EventualGet | PlainKind::CriticalTableGet => false,
        };
        let (op, kind) = (plain.op, plain.kind);
        let breach = match outcome {
            PlainOutcome::Done if is_forbidden => Breach::Allowed { op, kind },
            PlainOutcome::WrongMode if !is_forbidden => Breach::Refused { op, kind },
            PlainOutcome::Done | PlainOutcome::WrongMode | PlainOutcome::Failed => continue,
        };
        verdict.found(breach, [plain.begun, ended]);
    }
    verdict
}

#[cfg(test)]
mod tests {
    use crate::story::Story;
    use crate::{PlainKind, PlainOutcome};

    const FORBIDDEN: [PlainKind; 2] = [PlainKind::PutOnCritical, PlainKind::LockOnEventual];
    const ALLOWED: [PlainKind; 3] = [
        PlainKind::EventualPut,
        PlainKind::EventualGet,
        PlainKind::CriticalTableGet,
    ];

    fn story(kind: PlainKind, outcome: PlainOutcome) -> Story {
        Story::default().plain(1, kind, outcome)
    }

    #[test]
    fn what_is_forbidden_is_refused() {
        for kind in FORBIDDEN {
            story(kind, PlainOutcome::WrongMode).passes("modes", 1);
            story(kind, PlainOutcome::Failed).passes("modes", 1);
            story(kind, PlainOutcome::Done).fails("modes");
        }
    }

    #[test]
    fn what_is_allowed_is_not() {
        for kind in ALLOWED {
            story(kind, PlainOutcome::Done).passes("modes", 1);
            story(kind, PlainOutcome::Failed).passes("modes", 1);
            story(kind, PlainOutcome::WrongMode).fails("modes");
        }
    }
}
