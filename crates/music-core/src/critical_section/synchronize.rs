//! Synchronisation: settle a key's value at a majority under this section's
//! own stamps, so that nothing older can surface.
//!
//! ```text
//!  majority read ──▶ one majority write: deletion of the key at tick t,
//!                    the fields read back at tick t+1 ──▶ synced(r, i)
//! ```
//!
//! The deletion matters: a field that was absent must stay absent when a late
//! put of an older lockRef lands. A try after a failed write reads again and
//! takes new ticks, for the first may have read another value. `synced` is
//! recorded after the write is acknowledged, never before: the next shared
//! ticket would skip a synchronisation that is still under way.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::call::{Call, Effect, Failure, Purpose};
use super::hold::{Hold, Phase, View};
use super::{Context, CriticalSection, KeyIndex, Lost};
use crate::lock_queue::{LockQueue, Mode, Outcome};
use crate::lock_ref::{LockRef, Tick};
use crate::mutation::{self, Mutation};
use crate::record::Record;
use crate::stamp::Stamp;

impl CriticalSection {
    pub(super) fn sync_read(
        &mut self,
        key: KeyIndex,
        result: Result<Record, Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let terms = self.terms.clone();
        let Some(hold) = self.hold_in(key, |phase| *phase == Phase::SyncReading) else {
            return;
        };
        let record = match result {
            Ok(record) => record,
            Err(failure) => return hold.fail(failure, context.now),
        };
        if let Some(seen) = above(&record, hold) {
            return hold.enter(Phase::SyncChecking(seen), key, &terms, effects);
        }
        self.write_back(key, &record, effects);
        if mutation::is_on(Mutation::SyncedBeforeWrite)
            && let Some(hold) = self.hold_in(key, |phase| *phase == Phase::SyncWriting)
        {
            hold.enter(Phase::SyncMarking, key, &terms, effects);
        }
    }

    fn write_back(&mut self, key: KeyIndex, record: &Record, effects: &mut Vec<Effect>) {
        let mut ticks = self.take_tick().zip(self.take_tick());
        if mutation::is_on(Mutation::SyncSameStamps) {
            ticks = Tick::new(0).zip(Tick::new(1));
        }
        let Some((deletion, fields)) = ticks else {
            // A section has a million ticks and spends two a try.
            return self.lose(Lost::Preempted, effects);
        };
        let Some(hold) = self.hold_in(key, |_| true) else {
            return;
        };
        let stamp = Stamp::critical(hold.holding, fields);
        let mut change = if mutation::is_on(Mutation::SyncWithoutDeletion) {
            Record::deletion(Stamp::counter(0))
        } else {
            Record::deletion(Stamp::critical(hold.holding, deletion))
        };
        let values = record
            .fields()
            .map(|(field, _, value)| (field.clone(), Some(value.clone())));
        change.merge(&Record::write(stamp, values));
        hold.settle(Phase::SyncWriting);
        hold.view = Some(Box::new(View {
            record: change.clone(),
            ..View::default()
        }));
        let call = Call {
            key,
            purpose: Purpose::SyncWrite(stamp),
        };
        effects.push(Effect::Write {
            call,
            id: hold.id.clone(),
            change,
        });
    }

    /// Whether that synchronising write is the latest; an earlier one may have
    /// written another value.
    pub(super) fn is_in_view(&self, key: KeyIndex, stamp: Stamp) -> bool {
        let view = self
            .keys
            .get(usize::from(key.0))
            .and_then(|hold| hold.view.as_ref());
        // The fields' stamp; that of the deletion, one below, where there are none.
        view.and_then(|view| view.record.stamp_max())
            .is_some_and(|latest| latest <= stamp)
    }

    pub(super) fn sync_written(
        &mut self,
        key: KeyIndex,
        result: Result<(), Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let terms = self.terms.clone();
        let Some(hold) = self.hold_in(key, |phase| *phase == Phase::SyncWriting) else {
            return;
        };
        match result {
            Ok(()) => hold.enter(Phase::SyncMarking, key, &terms, effects),
            Err(failure) => {
                hold.unacknowledged |= failure == Failure::Unknown;
                hold.view = None;
                hold.settle(Phase::SyncReading);
                hold.fail(failure, context.now);
            }
        }
    }

    pub(super) fn marked_synced(
        &mut self,
        key: KeyIndex,
        result: Result<(Outcome, Arc<LockQueue>), Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let Some(hold) = self.hold_in(key, |phase| *phase == Phase::SyncMarking) else {
            return;
        };
        match result {
            Ok((Outcome::Done(_), _)) => {
                hold.must_synchronize = false;
                hold.settle(Phase::Held);
                if let Some(view) = &mut hold.view {
                    view.complete = true;
                }
                self.settle_keys(context, effects);
            }
            Ok((Outcome::Gone | Outcome::Exhausted, queue)) => {
                let lost = lost_from(&queue, hold);
                self.lose(lost, effects);
            }
            Err(failure) => hold.fail(failure, context.now),
        }
    }

    pub(super) fn sync_checked(
        &mut self,
        key: KeyIndex,
        result: Result<Arc<LockQueue>, Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let terms = self.terms.clone();
        let Some(hold) = self.hold_in(key, |_| true) else {
            return;
        };
        let Phase::SyncChecking(seen) = hold.phase else {
            return;
        };
        match result {
            Ok(queue) => {
                if let Some(lost) = lost_to(&queue, seen, hold, terms.mode) {
                    return self.lose(lost, effects);
                }
                hold.neighbour = hold.neighbour.max(seen);
                hold.enter(Phase::SyncReading, key, &terms, effects);
            }
            Err(failure) => hold.fail(failure, context.now),
        }
    }
}

/// A lockRef in the record that is above the section's own.
pub(super) fn above(record: &Record, hold: &Hold) -> Option<LockRef> {
    let seen = record.stamp_max()?.holding()?.lock_ref;
    (seen > hold.holding.lock_ref.max(hold.neighbour)).then_some(seen)
}

/// Why a section is lost that has read a stamp of a later lockRef.
///
/// `None` where it is not: a shared ticket behind this one was adopted, and
/// its new node has settled the key under it.
pub(super) fn lost_to(queue: &LockQueue, seen: LockRef, hold: &Hold, mode: Mode) -> Option<Lost> {
    if queue.last() < seen {
        return Some(Lost::LockStoreBehind);
    }
    match (queue.ticket(hold.holding.lock_ref), mode) {
        (None, _) => Some(Lost::Preempted),
        (Some(ticket), _) if ticket.incarnation != hold.holding.incarnation => Some(Lost::Adopted),
        (Some(_), Mode::Shared) => None,
        // Nobody behind the holder writes: it is a stamp from before the lock
        // store went back in time.
        (Some(_), Mode::Exclusive) => Some(Lost::LockStoreBehind),
    }
}

/// Why a ticket is not there any more.
fn lost_from(queue: &LockQueue, hold: &Hold) -> Lost {
    match queue.ticket(hold.holding.lock_ref) {
        Some(_) => Lost::Adopted,
        None => Lost::Preempted,
    }
}
