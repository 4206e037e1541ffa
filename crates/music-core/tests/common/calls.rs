//! Calls that no store has answered yet, and what kinds of them there are.

use music_core::critical_section::{Answer, Call, Effect, Failure};
use music_core::id::RecordId;
use music_core::lock_queue::Command;
use music_core::record::Record;

/// A call that no store has answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) section: usize,
    pub(crate) effect: Effect,
}

impl Pending {
    /// The name of the call, for its answer.
    pub(crate) fn call(&self) -> Call {
        match &self.effect {
            Effect::Apply { call, .. }
            | Effect::Peek { call, .. }
            | Effect::Release { call, .. }
            | Effect::Write { call, .. }
            | Effect::Read { call, .. } => *call,
            other => panic!("not a call: {other:?}"),
        }
    }

    /// The key that it is about.
    pub(crate) fn id(&self) -> &RecordId {
        match &self.effect {
            Effect::Apply { id, .. }
            | Effect::Peek { id, .. }
            | Effect::Release { id, .. }
            | Effect::Write { id, .. }
            | Effect::Read { id, .. } => id,
            other => panic!("not a call: {other:?}"),
        }
    }

    /// The cells of a write.
    pub(crate) fn change(&self) -> &Record {
        match &self.effect {
            Effect::Write { change, .. } => change,
            other => panic!("not a write: {other:?}"),
        }
    }

    /// The command to a lock store.
    pub(crate) fn command(&self) -> Command {
        match &self.effect {
            Effect::Apply { command, .. } => *command,
            other => panic!("not a command: {other:?}"),
        }
    }

    /// The answer that says that it failed.
    pub(crate) fn failure(&self, failure: Failure) -> Answer {
        match &self.effect {
            Effect::Apply { .. } => Answer::Applied(Err(failure)),
            Effect::Peek { .. } => Answer::Queue(Err(failure)),
            Effect::Read { .. } => Answer::Record(Err(failure)),
            _ => Answer::Done(Err(failure)),
        }
    }
}

/// Whether it is a write to the state.
pub(crate) fn is_write(effect: &Effect) -> bool {
    matches!(effect, Effect::Write { .. })
}

/// Whether it is a majority read.
pub(crate) fn is_read(effect: &Effect) -> bool {
    matches!(effect, Effect::Read { .. })
}

/// Whether it is a look at a queue.
pub(crate) fn is_peek(effect: &Effect) -> bool {
    matches!(effect, Effect::Peek { .. })
}

/// Whether it is a plain release.
pub(crate) fn is_release(effect: &Effect) -> bool {
    matches!(effect, Effect::Release { .. })
}

/// Whether it is a command that satisfies `kind`.
pub(crate) fn command(kind: impl Fn(&Command) -> bool) -> impl Fn(&Effect) -> bool {
    move |effect| matches!(effect, Effect::Apply { command, .. } if kind(command))
}

/// Whether it forces a ticket.
pub(crate) fn is_force(effect: &Effect) -> bool {
    command(|command| matches!(command, Command::Force { .. }))(effect)
}

/// Whether it removes a ticket of a known incarnation.
pub(crate) fn is_confirm(effect: &Effect) -> bool {
    command(|command| matches!(command, Command::Confirm(_)))(effect)
}

/// Whether it asks for a ticket.
pub(crate) fn is_enqueue(effect: &Effect) -> bool {
    command(|command| matches!(command, Command::Enqueue(_)))(effect)
}

/// Whether it takes a ticket over.
pub(crate) fn is_adopt(effect: &Effect) -> bool {
    command(|command| matches!(command, Command::Adopt { .. }))(effect)
}

/// Whether it records that a key is settled.
pub(crate) fn is_synced(effect: &Effect) -> bool {
    command(|command| matches!(command, Command::Synced(_)))(effect)
}
