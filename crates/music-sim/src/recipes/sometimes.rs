//! Which rare things happened to recipes: a run that never reached them has not
//! tested them.

use super::log::{Answer, Ask, Line, Op, Settling, ops};

/// What many runs together must have seen, each at least once.
pub const SOMETIMES: &[&str] = &[
    "a call given up",
    "a call without an answer",
    "a change without an answer",
    "a claim lost",
    "a client crashed",
    "a client killed at a message",
    "a client stopped",
    "a compare-and-set refused",
    "a crossing",
    "a hold given up",
    "a hold that was lost",
    "a lapsed claim",
    "a leader observed",
    "a leadership handed over",
    "a lockRef at another node",
    "a load of what another holder stored",
    "a member that left",
    "a node killed",
    "a node suspended",
    "a party withdrawn",
    "a preempted holder that was told",
    "a site cut off",
    "a step forgotten",
    "a step interrupted",
    "a step settled",
    "a step that failed",
    "a storm",
    "a store refused",
    "a store unknown",
    "a token refused outside",
    "an acknowledged store",
    "an item done",
    "an item given back",
    "an open latch",
    "items done together",
];

/// What a log tells of rare things, one after the other.
pub(crate) fn read(lines: &[Line]) -> impl Iterator<Item = &'static str> {
    ops(lines).into_iter().filter_map(|op| sighting(&op))
}

fn sighting(op: &Op) -> Option<&'static str> {
    let Some(answer) = &op.answer else {
        return match op.ask {
            // That of a step has none, ever.
            Ask::Effect { .. } => None,
            Ask::Add { .. } | Ask::Set { .. } | Ask::CountDown { .. } | Ask::Push { .. } => {
                Some("a change without an answer")
            }
            _ => Some("a call without an answer"),
        };
    };
    let perhaps = matches!(answer, Answer::Failed { perhaps: true, .. });
    match (&op.ask, answer) {
        (Ask::Hold { .. }, Answer::Nothing) => Some("a hold given up"),
        (Ask::Load { .. }, Answer::Value(Some(_))) => Some("a load of what another holder stored"),
        (Ask::Store { .. }, Answer::Done) => Some("an acknowledged store"),
        (Ask::Store { .. }, _) if perhaps => Some("a store unknown"),
        (Ask::Store { .. }, _) => Some("a store refused"),
        (Ask::Touch { .. }, Answer::Accepted(false)) => Some("a token refused outside"),
        (Ask::Observe { .. }, Answer::Leader(Some(_))) => Some("a leader observed"),
        (Ask::Set { .. }, Answer::Version(Err(_))) => Some("a compare-and-set refused"),
        (Ask::Open { .. }, Answer::Done) => Some("an open latch"),
        (Ask::Take { .. }, Answer::Taken(taken)) => {
            let again = taken.iter().any(|taken| taken.deliveries > 1);
            again.then_some("a lapsed claim")
        }
        (Ask::Settle { .. }, Answer::ClaimLost) => Some("a claim lost"),
        (Ask::Settle { how, .. }, Answer::Done) => match how {
            Settling::Done => Some("an item done"),
            Settling::GiveBack => Some("an item given back"),
            Settling::Renew { .. } => None,
        },
        (Ask::Run { .. }, Answer::Interrupted(_)) => Some("a step interrupted"),
        (Ask::Run { .. }, Answer::StepFailed) => Some("a step that failed"),
        (Ask::Forget { .. }, Answer::Changed(true)) => Some("a step forgotten"),
        (Ask::SettleStep { .. }, Answer::Changed(true)) => Some("a step settled"),
        (Ask::Cross { .. }, Answer::Crossed { .. }) => Some("a crossing"),
        (Ask::Cross { .. }, Answer::Nothing) => Some("a party withdrawn"),
        _ => None,
    }
}
