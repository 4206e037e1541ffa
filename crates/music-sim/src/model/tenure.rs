//! Site affinity in the model: a ticket goes from a section to a later one of
//! the same node.

use std::sync::Arc;

use music_core::critical_section::{Answer, Effect, Kept};
use music_core::id::{RequestId, SessionId};
use music_core::lock_queue::{Command, Outcome};
use music_core::time::MonotonicTime;

use super::plan::Start;
use super::sections::Sections;
use super::state::{Flight, Progress, State, session};

impl Sections {
    /// The section with whose node this one shares a session.
    pub(super) fn node(&self, at: usize) -> usize {
        match self.scenario.plans[at].start {
            Start::HandOver(of) => self.node(of),
            Start::Create | Start::Adopt(_) => at,
        }
    }

    /// The session of a section's node.
    pub(super) fn session(&self, at: usize) -> SessionId {
        session(self.node(at))
    }

    /// The section that is to have the ticket of that one.
    pub(super) fn next_of(&self, of: usize) -> Option<usize> {
        let plans = &self.scenario.plans;
        plans
            .iter()
            .position(|plan| plan.start == Start::HandOver(of))
    }

    /// A section leaves its ticket to its node, which asks the queue first if
    /// it does not know.
    pub(super) fn keep(&self, state: &mut State, of: usize, kept: &Kept) {
        let Some(next) = self.next_of(of) else {
            return;
        };
        if kept.is_known() {
            state.sections[next].kept = Some(kept.clone());
            return;
        }
        state.flights.push(Flight {
            section: next,
            effect: Arc::new(Effect::Keep(Box::new(kept.clone()))),
            progress: Progress::Sent,
        });
    }

    /// The queue has answered whether a ticket is kept.
    pub(super) fn kept(state: &mut State, next: usize, kept: &Kept, answer: Option<&Answer>) {
        if let Some(Answer::Applied(Ok((Outcome::Done(holding), _)))) = answer {
            let known = kept.clone().known_as(*holding, MonotonicTime::default());
            state.sections[next].kept = Some(known);
        }
    }
}

/// Tells the queue that a ticket is kept for a section, by a name that no client
/// knows.
pub(super) fn command(next: usize, kept: &Kept) -> Command {
    Command::Keep {
        holding: kept.holding(),
        owner: kept.owner(),
        name: RequestId(1000 + u128::try_from(next).unwrap_or_default()),
    }
}
