//! The end of a section: release, withdraw, confirm or force, key by key.
//!
//! *Clean* is an end where every put **and every synchronising write** was
//! acknowledged: then nothing is on its way that a later holder must fear, and
//! an exclusive holder's `release(r, i)` is enough. Otherwise the ticket is
//! forced out, which sets the synchronization flag for the next holder. A
//! waiter or a shared holder with nothing under way withdraws.
//!
//! A plain release is answered at once and goes on behind the client's back,
//! tried again until it is done. A confirmed one is answered by what the
//! queues say: if every ticket was still there, nobody else was granted in
//! between and the whole section counts.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::call::{Answer, Effect};
use super::hold::{Exit, Hold, Phase};
use super::put::PutMemo;
use super::{Context, CriticalSection, Error, KeyIndex, Lost, OpId, Reply, Status};
use crate::lock_queue::{Mode, Outcome};
use crate::lock_ref::Incarnation;
use crate::mutation::{self, Mutation};

/// A section on its way out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of their own, none of which follows from another"
)]
pub(super) struct Ending {
    /// The operation that waits to hear whether the section counts.
    confirm: Option<OpId>,
    /// The exits are under way; before, puts were still waited for.
    exiting: bool,
    /// Some ticket was not there any more.
    lost: bool,
    /// Some ticket was not there at a second try: the first may have been
    /// what removed it.
    unknown: bool,
    /// The client has nothing more to ask.
    dismissed: bool,
    /// The driver was told that nothing is left to do.
    ended: bool,
}

impl CriticalSection {
    pub(super) fn release(
        &mut self,
        op: OpId,
        confirm: bool,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        self.check_lease(context, effects);
        let reply = match self.status {
            Status::Waiting if confirm => Some(Err(Error::NotGranted)),
            Status::Released if confirm => self.confirm_again(op, effects),
            Status::Lost(lost) => Some(Err(Error::Lost(lost))),
            Status::Waiting | Status::Granted => {
                self.status = Status::Released;
                effects.push(Effect::Changed);
                self.end(confirm.then_some(op), effects);
                (!confirm).then_some(Ok(Reply::Released))
            }
            Status::Released => Some(Ok(Reply::Released)),
        };
        if let Some(reply) = reply {
            effects.push(Effect::Reply { op, reply });
        }
        match self.status {
            Status::Lost(_) => self.dismiss(effects),
            Status::Released if !confirm => self.dismiss(effects),
            Status::Waiting | Status::Granted | Status::Released => {}
        }
    }

    /// A retry takes the place of the operation that was given up.
    fn confirm_again(
        &mut self,
        op: OpId,
        effects: &mut Vec<Effect>,
    ) -> Option<Result<Reply, Error>> {
        let Some(asked) = self
            .ending
            .as_mut()
            .and_then(|ending| ending.confirm.as_mut())
        else {
            return Some(Err(Error::Released));
        };
        let given_up = core::mem::replace(asked, op);
        effects.push(Effect::Reply {
            op: given_up,
            reply: Err(Error::Unknown),
        });
        None
    }

    /// The client has nothing more to ask of this section.
    pub(super) fn dismiss(&mut self, effects: &mut Vec<Effect>) {
        self.ending.get_or_insert_default().dismissed = true;
        self.exit_when_quiet(effects);
        self.finish(effects);
    }

    /// Whether the client has nothing more to ask.
    pub(super) fn is_dismissed(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.dismissed)
    }

    /// Whether the tickets are on their way out.
    pub(super) fn is_exiting(&self) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.exiting)
    }

    /// Begins to leave the queues.
    pub(super) fn end(&mut self, confirm: Option<OpId>, effects: &mut Vec<Effect>) {
        let ending = self.ending.get_or_insert_default();
        ending.confirm = ending.confirm.or(confirm);
        self.exit_when_quiet(effects);
    }

    /// Leaves the queues once no put can be acknowledged any more.
    pub(super) fn exit_when_quiet(&mut self, effects: &mut Vec<Effect>) {
        let wait = self.status == Status::Released && self.puts.iter().any(PutMemo::is_under_way);
        let Some(ending) = self
            .ending
            .as_mut()
            .filter(|ending| !ending.exiting && !wait)
        else {
            return;
        };
        ending.exiting = true;
        for index in (0..).map(KeyIndex).take(self.keys.len()) {
            self.exit(index, effects);
        }
        self.finish(effects);
    }

    /// A call that the end had to wait for was answered.
    pub(super) fn resume_end(&mut self, key: KeyIndex, effects: &mut Vec<Effect>) {
        if self.is_exiting() {
            self.exit(key, effects);
            self.finish(effects);
        }
    }

    fn exit(&mut self, key: KeyIndex, effects: &mut Vec<Effect>) {
        let Some(hold) = self.keys.get(usize::from(key.0)) else {
            return;
        };
        let exit = self.exit_of(key, hold);
        let unclean = exit == Exit::Force && mutation::is_on(Mutation::KeepUnacknowledged);
        let keeps = exit == Exit::Release || unclean;
        let kept = keeps.then(|| self.to_keep(key)).flatten();
        let released = self.status == Status::Released;
        let Some(hold) = self.keys.get_mut(usize::from(key.0)) else {
            return;
        };
        if let Some(kept) = kept {
            effects.push(Effect::Keep(Box::new(kept)));
            return hold.leave(effects);
        }
        match hold.phase {
            // Whether there is a ticket is known once this is answered.
            Phase::Entering if hold.under_way || hold.uncertain => {
                hold.pursue(key, &self.terms, effects);
            }
            Phase::Adopting if hold.under_way => {}
            // What the client gives back must go, whoever keeps it now.
            Phase::Adopting if released => hold.pursue(key, &self.terms, effects),
            // If the ticket came to be this node's, it goes; if not, it stays.
            Phase::Adopting => {
                hold.unwatch(effects);
                hold.enter(Phase::Leaving(Exit::Force), key, &self.terms, effects);
            }
            Phase::Entering | Phase::Out | Phase::Missing | Phase::Gone => hold.leave(effects),
            // What is found may be this node's.
            Phase::Finding | Phase::Withdrawing | Phase::Leaving(_) => {
                hold.pursue(key, &self.terms, effects);
            }
            Phase::Looking
            | Phase::Waiting { .. }
            | Phase::Evicting { .. }
            | Phase::AtHead
            | Phase::SyncReading
            | Phase::SyncWriting
            | Phase::SyncChecking(_)
            | Phase::SyncMarking
            | Phase::Held
            | Phase::Renumbering => {
                hold.unwatch(effects);
                hold.enter(Phase::Leaving(exit), key, &self.terms, effects);
            }
        }
    }

    /// How a key's ticket must leave.
    fn exit_of(&self, key: KeyIndex, hold: &Hold) -> Exit {
        let puts_acknowledged = self
            .puts
            .iter()
            .all(|memo| memo.key != key || memo.is_acknowledged())
            && !hold.unacknowledged
            || mutation::is_on(Mutation::ReleaseUnacknowledged);
        // Until it has synchronised, what an adopter took over may still write.
        let unsettled = hold.must_synchronize
            && hold.holding.incarnation > Incarnation::default()
            && !mutation::is_on(Mutation::AdopterLeavesUnsettled);
        let asked_for =
            self.status == Status::Released || mutation::is_on(Mutation::SilentClientReleased);
        let clean = asked_for
            && puts_acknowledged
            && !unsettled
            && !matches!(hold.phase, Phase::SyncWriting | Phase::Renumbering);
        let confirm = self
            .ending
            .as_ref()
            .is_some_and(|ending| ending.confirm.is_some());
        match (&hold.phase, self.terms.mode) {
            _ if !clean => Exit::Force,
            (Phase::Held, _) if confirm => Exit::Confirm,
            (Phase::Held, Mode::Exclusive) => Exit::Release,
            _ => Exit::Withdraw,
        }
    }

    pub(super) fn exit_answered(
        &mut self,
        key: KeyIndex,
        answer: Answer,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let Some(hold) = self.keys.get_mut(usize::from(key.0)) else {
            return;
        };
        if !matches!(hold.phase, Phase::Leaving(_)) {
            return;
        }
        let removed = match answer {
            Answer::Applied(result) => result.map(|(outcome, _)| outcome != Outcome::Gone),
            Answer::Done(result) => result.map(|()| true),
            Answer::Queue(_) | Answer::Record(_) => return,
        };
        match removed {
            Ok(removed) => {
                let uncertain = hold.uncertain;
                hold.leave(effects);
                if let Some(ending) = &mut self.ending {
                    ending.unknown |= !removed && uncertain;
                    ending.lost |= !removed && !uncertain;
                }
                self.finish(effects);
            }
            Err(failure) => hold.fail(failure, context.now),
        }
    }

    pub(super) fn finish(&mut self, effects: &mut Vec<Effect>) {
        let gone = self.keys.iter().all(|hold| hold.phase == Phase::Gone);
        let Some(ending) = self.ending.as_mut().filter(|ending| gone && ending.exiting) else {
            return;
        };
        if let Some(op) = ending.confirm.take() {
            ending.dismissed = true;
            let reply = match (ending.unknown, ending.lost) {
                (true, _) => Err(Error::Unknown),
                (false, true) => Err(Error::Lost(Lost::Preempted)),
                (false, false) => Ok(Reply::Confirmed),
            };
            effects.push(Effect::Reply { op, reply });
        }
        let asked = self.gets > 0 || self.puts.iter().any(PutMemo::is_under_way);
        if ending.dismissed && !ending.ended && !asked {
            ending.ended = true;
            effects.push(Effect::Ended);
        }
    }
}
