//! Critical get: a majority read that repairs the whole record, not the one
//! field alone: what one get has seen is at a majority before it answers,
//! with the fields that were put together with it.
//!
//! Once a whole read is in the section's view, gets are answered from it while
//! the node's lease is valid; puts that are acknowledged go into it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::call::{Call, Effect, Failure, Purpose};
use super::synchronize::{above, lost_to};
use super::{Context, CriticalSection, Error, KeyIndex, OpId, Reply, Status};
use crate::lock_queue::LockQueue;
use crate::lock_ref::LockRef;
use crate::record::Record;

impl CriticalSection {
    pub(super) fn get(
        &mut self,
        op: OpId,
        key: KeyIndex,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        if let Err(error) = self.try_get(op, key, context, effects) {
            effects.push(Effect::Reply {
                op,
                reply: Err(error),
            });
        }
    }

    fn try_get(
        &mut self,
        op: OpId,
        key: KeyIndex,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Error> {
        self.check_granted(context, effects)?;
        let hold = self
            .keys
            .get_mut(usize::from(key.0))
            .ok_or(Error::KeyNotInSet)?;
        // From now on acknowledged puts go into the view, so that the read
        // under way need not have seen them.
        let view = hold.view.get_or_insert_with(Box::default);
        if view.complete {
            let reply = Ok(Reply::Record(view.record.clone()));
            effects.push(Effect::Reply { op, reply });
        } else {
            let call = Call {
                key,
                purpose: Purpose::Get(op, view.epoch),
            };
            effects.push(Effect::Read {
                call,
                id: hold.id.clone(),
            });
            self.gets = self.gets.saturating_add(1);
        }
        Ok(())
    }

    pub(super) fn get_answered(
        &mut self,
        key: KeyIndex,
        (op, epoch): (OpId, u32),
        result: Result<Record, Failure>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(hold) = self.keys.get_mut(usize::from(key.0)) else {
            return;
        };
        let Ok(record) = result else {
            return self.reply_to_get(op, Err(Error::Unavailable), effects);
        };
        if let Some(seen) = above(&record, hold) {
            return hold.peek(key, Purpose::GetCheck(op, seen), effects);
        }
        let record = match &mut hold.view {
            Some(view) => {
                view.record.merge(&record);
                view.complete |= view.epoch == epoch;
                view.record.clone()
            }
            // The section ended meanwhile; the read itself is still good.
            None => record,
        };
        self.reply_to_get(op, Ok(Reply::Record(record)), effects);
    }

    fn reply_to_get(&mut self, op: OpId, reply: Result<Reply, Error>, effects: &mut Vec<Effect>) {
        self.gets = self.gets.saturating_sub(1);
        effects.push(Effect::Reply { op, reply });
        self.finish(effects);
    }

    /// A get has read a stamp of a later lockRef: this section is preempted,
    /// or the lock store went back in time, or it is a shared neighbour's.
    pub(super) fn get_checked(
        &mut self,
        key: KeyIndex,
        (op, seen): (OpId, LockRef),
        result: Result<Arc<LockQueue>, Failure>,
        effects: &mut Vec<Effect>,
    ) {
        let mode = self.terms.mode;
        let Some(hold) = self.keys.get_mut(usize::from(key.0)) else {
            return;
        };
        let error = match result.map(|queue| lost_to(&queue, seen, hold, mode)) {
            Ok(Some(lost)) => {
                if self.status == Status::Granted {
                    self.lose(lost, effects);
                }
                Error::Lost(lost)
            }
            Ok(None) => {
                hold.neighbour = hold.neighbour.max(seen);
                let epoch = hold.view.as_ref().map_or(0, |view| view.epoch);
                let call = Call {
                    key,
                    purpose: Purpose::Get(op, epoch),
                };
                return effects.push(Effect::Read {
                    call,
                    id: hold.id.clone(),
                });
            }
            Err(_) => Error::Unavailable,
        };
        self.reply_to_get(op, Err(error), effects);
    }
}
