//! Calls on their way: what has happened of each at the stores so far.

use music_core::critical_section::{Answer, Effect, Failure};
use music_core::record::Record;

use crate::exploration::dice::Dice;
use crate::exploration::world::{Pending, REPLICAS, World};

/// A call, and what has happened of it.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    pub(super) call: Pending,
    /// Which replicas have the write, or were read.
    pub(super) at: [bool; REPLICAS],
    /// What a read has found, and which replicas have that.
    merged: Record,
    repaired: [bool; REPLICAS],
    /// What the lock store will answer.
    pub(super) answer: Option<Answer>,
}

fn count(at: [bool; REPLICAS]) -> usize {
    at.into_iter().filter(|at| *at).count()
}

impl Flight {
    pub(super) fn new(call: Pending) -> Self {
        Self {
            call,
            at: [false; REPLICAS],
            merged: Record::empty(),
            repaired: [false; REPLICAS],
            answer: None,
        }
    }

    /// Whether some store has seen it.
    pub(super) fn has_begun(&self) -> bool {
        self.answer.is_some() || count(self.at) > 0
    }

    /// Whether a majority has the write.
    pub(super) fn is_written(&self) -> bool {
        count(self.at) > REPLICAS / 2
    }

    /// The answer, once there is one.
    pub(super) fn answered(&self) -> Option<Answer> {
        match &self.call.effect {
            Effect::Write { .. } => self.is_written().then_some(Answer::Done(Ok(()))),
            Effect::Read { .. } => (count(self.repaired) > REPLICAS / 2)
                .then(|| Answer::Record(Ok(self.merged.clone()))),
            _ => self.answer.clone(),
        }
    }

    /// Lets a bit more of it happen.
    pub(super) fn progress(&mut self, world: &mut World, dice: &mut Dice) {
        let replica = dice.below(REPLICAS);
        let id = self.call.id().clone();
        match &self.call.effect {
            Effect::Write { change, .. } => {
                self.at[replica] = true;
                world.replicas[replica].entry(id).or_default().merge(change);
            }
            Effect::Read { .. } => {
                let copy = world.replicas[replica].entry(id).or_default();
                if count(self.at) <= REPLICAS / 2 {
                    self.at[replica] = true;
                    self.merged.merge(copy);
                } else {
                    copy.merge(&self.merged);
                    self.repaired[replica] = true;
                }
            }
            _ if self.answer.is_none() => self.answer = Some(world.perform(&self.call)),
            _ => {}
        }
    }

    /// What may still arrive at the replicas after it was given up.
    pub(super) fn leftover(&self) -> Option<Record> {
        match &self.call.effect {
            Effect::Write { change, .. } => Some(change.clone()),
            Effect::Read { .. } => Some(self.merged.clone()),
            _ => None,
        }
    }

    /// The answer of a store that gave up.
    pub(super) fn failure(&self, dice: &mut Dice) -> Answer {
        let refused = !self.has_begun() && dice.percent(40);
        let failure = if refused {
            Failure::NotApplied
        } else {
            Failure::Unknown
        };
        self.call.failure(failure)
    }
}

/// The queue that an answer carries, if it carries one.
pub(super) fn is_of_queue(effect: &Effect) -> bool {
    matches!(effect, Effect::Apply { .. } | Effect::Peek { .. })
}
