//! Critical put: a majority write of the cells with the next tick.
//!
//! It asks nothing of the lock store: a stale holder's stamp is lower than
//! its successor's, so its writes lose, whenever they land. A put is
//! acknowledged when a majority has it and the node's lease had not run out
//! when the last of that majority answered; otherwise the answer is
//! `unknown`. Any number of puts may be under way, up to
//! [`PUTS_PENDING_MAX`].

use alloc::vec::Vec;

use super::call::{Call, Effect, Failure, Purpose};
use super::hold::Phase;
use super::{Context, CriticalSection, Error, KeyIndex, OpId, Put, Reply, Status};
use crate::id::IdempotencyKey;
use crate::lock_queue::{Mode, Outcome};
use crate::lock_ref::Tick;
use crate::mutation::{self, Mutation};
use crate::record::Record;
use crate::stamp::Stamp;

/// How many puts of one section may lack an acknowledgement.
pub const PUTS_PENDING_MAX: usize = 256;

/// How many acknowledged puts with an idempotency key are remembered.
const PUTS_REMEMBERED_MAX: usize = 32;

/// A put that is under way, or that a retry may name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PutMemo {
    pub(super) key: KeyIndex,
    stamp: Stamp,
    identity: Option<(IdempotencyKey, u64)>,
    /// An earlier try of it may land at any time.
    uncertain: bool,
    progress: Progress,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Progress {
    /// Sent; this operation waits for it. The change is kept for the view.
    UnderWay(OpId, Option<Record>),
    /// It may or may not take effect; a retry by its name may find out.
    Unknown,
    /// A majority has it.
    Acknowledged,
}

impl PutMemo {
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.progress, Progress::UnderWay(..))
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        matches!(self.progress, Progress::Acknowledged)
    }
}

impl CriticalSection {
    pub(super) fn put(&mut self, op: OpId, put: Put, context: &Context, effects: &mut Vec<Effect>) {
        if let Err(error) = self.try_put(op, put, context, effects) {
            effects.push(Effect::Reply {
                op,
                reply: Err(error),
            });
        }
    }

    fn try_put(
        &mut self,
        op: OpId,
        put: Put,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Error> {
        self.check_granted(context, effects)?;
        if self.terms.mode == Mode::Shared {
            return Err(Error::SharedIsReadOnly);
        }
        if self.keys.get(usize::from(put.key.0)).is_none() {
            return Err(Error::KeyNotInSet);
        }
        if let Some(position) = self.remembered(&put)? {
            self.put_again(op, position, put, effects);
            return Ok(());
        }
        if self
            .puts
            .iter()
            .filter(|memo| !memo.is_acknowledged())
            .count()
            >= PUTS_PENDING_MAX
        {
            return Err(Error::TooManyPuts);
        }
        let stamp = self.next_stamp(put.key, effects)?;
        let Put {
            key,
            change,
            identity,
        } = put;
        let change = change.into_record(stamp);
        let kept = self.view_change(key, &change);
        let progress = Progress::UnderWay(op, kept);
        if self.puts.capacity() == 0 {
            // Most sections put one after the other: a spare place or three
            // in each of them would be the most of its memory.
            self.puts.reserve_exact(1);
        }
        self.puts.push(PutMemo {
            key,
            stamp,
            identity,
            uncertain: false,
            progress,
        });
        self.write(key, stamp, change, effects);
        Ok(())
    }

    /// Where the same put stands in the list of those remembered.
    fn remembered(&self, put: &Put) -> Result<Option<usize>, Error> {
        let Some((name, hash)) = put.identity else {
            return Ok(None);
        };
        let named = |memo: &PutMemo| memo.identity.is_some_and(|(other, _)| other == name);
        let Some(position) = self.puts.iter().rposition(named) else {
            return Ok(None);
        };
        let same = self
            .puts
            .get(position)
            .is_some_and(|memo| memo.identity == Some((name, hash)) && memo.key == put.key);
        if same {
            Ok(Some(position))
        } else {
            Err(Error::IdempotencyKeyReused)
        }
    }

    /// A retry is the same put: it keeps its stamp.
    fn put_again(&mut self, op: OpId, position: usize, put: Put, effects: &mut Vec<Effect>) {
        let Some(stamp) = self.stamp_again(position, effects) else {
            return;
        };
        let change = put.change.into_record(stamp);
        let kept = self.view_change(put.key, &change);
        let Some(memo) = self.puts.get_mut(position) else {
            return;
        };
        match &mut memo.progress {
            Progress::Acknowledged => {
                let reply = Ok(Reply::Written(memo.stamp));
                effects.push(Effect::Reply { op, reply });
            }
            Progress::UnderWay(asked, _) => {
                // The client has given the first request up.
                let given_up = core::mem::replace(asked, op);
                effects.push(Effect::Reply {
                    op: given_up,
                    reply: Err(Error::Unknown),
                });
            }
            Progress::Unknown => {
                memo.progress = Progress::UnderWay(op, kept);
                self.write(put.key, stamp, change, effects);
            }
        }
    }

    /// The stamp of a remembered put: the one that it has.
    fn stamp_again(&mut self, position: usize, effects: &mut Vec<Effect>) -> Option<Stamp> {
        let mut stamp = self.puts.get(position)?.stamp;
        if mutation::is_on(Mutation::RetryNewStamp) {
            let memo = self.puts.get(position)?;
            if matches!(memo.progress, Progress::Unknown) {
                stamp = self.next_stamp(memo.key, effects).ok()?;
            }
            self.puts.get_mut(position)?.stamp = stamp;
        }
        Some(stamp)
    }

    /// The change, if the section keeps a view of the record that needs it.
    fn view_change(&self, key: KeyIndex, change: &Record) -> Option<Record> {
        let hold = self.keys.get(usize::from(key.0))?;
        hold.view.is_some().then(|| change.clone())
    }

    fn write(&self, key: KeyIndex, stamp: Stamp, change: Record, effects: &mut Vec<Effect>) {
        if let Some(hold) = self.keys.get(usize::from(key.0)) {
            let call = Call {
                key,
                purpose: Purpose::Put(stamp),
            };
            effects.push(Effect::Write {
                call,
                id: hold.id.clone(),
                change,
            });
        }
    }

    fn next_stamp(&mut self, key: KeyIndex, effects: &mut Vec<Effect>) -> Result<Stamp, Error> {
        if self.exhausted {
            return Err(Error::Exhausted);
        }
        if self
            .keys
            .iter()
            .any(|hold| hold.phase == Phase::Renumbering)
        {
            return Err(Error::Renumbering);
        }
        if mutation::is_on(Mutation::RenumberAlone) && self.next_tick.is_none() {
            for hold in &mut self.keys {
                hold.holding.incarnation = hold.holding.incarnation.next().unwrap_or_default();
            }
            self.next_tick = Some(Tick::FIRST);
        }
        let Some(tick) = self.take_tick() else {
            for (index, hold) in (0..).map(KeyIndex).zip(&mut self.keys) {
                hold.enter(Phase::Renumbering, index, &self.terms, effects);
            }
            return Err(Error::Renumbering);
        };
        let hold = self
            .keys
            .get(usize::from(key.0))
            .ok_or(Error::KeyNotInSet)?;
        Ok(Stamp::critical(hold.holding, tick))
    }

    /// The next tick; every write of the section takes one of its own.
    pub(super) fn take_tick(&mut self) -> Option<Tick> {
        let tick = self.next_tick?;
        self.next_tick = tick.next();
        Some(tick)
    }

    /// The lock record knows another incarnation: the ticks start again.
    pub(super) fn renumbered(
        &mut self,
        key: KeyIndex,
        result: Result<Outcome, Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let Some(hold) = self.hold_in(key, |phase| *phase == Phase::Renumbering) else {
            return;
        };
        match result {
            Ok(Outcome::Done(holding)) => {
                hold.holding = holding;
                hold.settle(Phase::Held);
            }
            Ok(Outcome::Exhausted) => {
                hold.settle(Phase::Held);
                self.exhausted = true;
            }
            Ok(Outcome::Gone) => return self.lose(super::Lost::Preempted, effects),
            Err(failure) => return hold.fail(failure, context.now),
        }
        if self.keys.iter().all(|hold| hold.phase == Phase::Held) {
            self.next_tick = Some(Tick::FIRST);
        }
    }

    pub(super) fn put_answered(
        &mut self,
        stamp: Stamp,
        result: Result<(), Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        // Before the status is read: the lease may have run out meanwhile.
        self.check_lease(context, effects);
        let holds = matches!(self.status, Status::Granted | Status::Released)
            && self.lease_is_valid(context)
            || mutation::is_on(Mutation::AcknowledgeAfterLease);
        let Some(position) = self.puts.iter().position(|memo| memo.stamp == stamp) else {
            return;
        };
        let Some(memo) = self.puts.get_mut(position) else {
            return;
        };
        let acknowledged = result == Ok(()) && holds;
        // One that was refused may still have an earlier try on its way.
        let refused = result == Err(Failure::NotApplied) && !memo.uncertain;
        let next = if acknowledged {
            Progress::Acknowledged
        } else {
            Progress::Unknown
        };
        let before = core::mem::replace(&mut memo.progress, next);
        let Progress::UnderWay(op, change) = before else {
            memo.progress = before;
            return;
        };
        memo.uncertain = !acknowledged;
        let (key, nameless) = (memo.key, memo.identity.is_none());
        let reply = match acknowledged {
            true => Ok(Reply::Written(stamp)),
            false if refused => Err(Error::Unavailable),
            false => Err(Error::Unknown),
        };
        effects.push(Effect::Reply { op, reply });
        self.update_view(key, acknowledged, change);
        if refused || nameless {
            self.puts.swap_remove(position);
        }
        if !acknowledged && !refused && nameless {
            // Nobody can name it for a retry: all that is left of it is that
            // the section cannot end cleanly.
            self.mark_unacknowledged(key);
        }
        self.forget_puts();
        self.exit_when_quiet(effects);
        self.finish(effects);
    }

    fn mark_unacknowledged(&mut self, key: KeyIndex) {
        if let Some(hold) = self.keys.get_mut(usize::from(key.0)) {
            hold.unacknowledged = true;
        }
    }

    fn update_view(&mut self, key: KeyIndex, acknowledged: bool, change: Option<Record>) {
        let view = self
            .keys
            .get_mut(usize::from(key.0))
            .and_then(|hold| hold.view.as_mut());
        let Some(view) = view else { return };
        match change {
            Some(change) if acknowledged => {
                view.record.merge(&change);
            }
            // What the replicas have of it, the next get finds out, but not
            // one that is on its way already.
            _ => {
                view.complete = false;
                view.epoch = view.epoch.wrapping_add(1);
            }
        }
    }

    fn forget_puts(&mut self) {
        if self.puts.len() <= PUTS_REMEMBERED_MAX {
            return;
        }
        let acknowledged = self
            .puts
            .iter()
            .filter(|memo| memo.is_acknowledged())
            .count();
        if acknowledged > PUTS_REMEMBERED_MAX {
            let done = self
                .puts
                .iter()
                .enumerate()
                .filter(|(_, memo)| memo.is_acknowledged());
            if let Some((oldest, _)) = done.min_by_key(|(_, memo)| memo.stamp) {
                self.puts.swap_remove(oldest);
            }
        }
    }
}
