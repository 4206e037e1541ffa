//! Creating a lockRef and acquiring it: enter all queues at once, wait at the
//! first blocked key, be granted when every key heads its queue.
//!
//! ```text
//!  keys   a     b     c            b is blocked: c is withdrawn, and entered
//!         head  3rd   head   ──▶   again once a and b are held; a is looked at
//!         AtHead      Out          anew then, for nobody waited for it
//! ```
//!
//! The answer of an enqueue carries the queue, so a free key with no flag
//! costs the enqueue alone. What it carries is the whole queue: "the last
//! ticket was released" would not say that all were.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::call::{Answer, Call, Effect, Failure, Purpose};
use super::hold::Phase;
use super::tenure::NAME_AFTER;
use super::{Context, CriticalSection, KeyIndex, Lost, Status};
use crate::id::{RecordId, SessionId};
use crate::lock_queue::{LockQueue, Marks, Mode, Outcome, Ticket};
use crate::lock_ref::{Incarnation, LockRef};
use crate::mutation::{self, Mutation};

/// How many different owners ahead of a waiter it keeps an eye on.
const OBSERVED_MAX: usize = 16;

impl CriticalSection {
    /// All enqueues go out together; a kept ticket is at its head already.
    pub(super) fn create(&mut self, context: &Context, effects: &mut Vec<Effect>) {
        for (index, hold) in (0..).map(KeyIndex).zip(&mut self.keys) {
            if hold.phase == Phase::AtHead {
                hold.watch(effects);
                hold.name_at = Some(context.now.after(NAME_AFTER));
            } else {
                hold.enter(Phase::Entering, index, &self.terms, effects);
            }
        }
        self.advance(context, effects);
    }

    /// Passes an answer on to the operation that asked.
    pub(super) fn answered(
        &mut self,
        call: Call,
        answer: Answer,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let key = call.key;
        match (call.purpose, answer) {
            (Purpose::Enqueue, Answer::Applied(result)) => {
                self.enqueued(key, result, context, effects);
            }
            (Purpose::Find, Answer::Queue(result)) => self.found(key, result, context, effects),
            (Purpose::Adopt, Answer::Applied(result)) => {
                self.adopted(key, result, context, effects);
            }
            (Purpose::Look(of), Answer::Queue(result)) if self.is_about(key, of) => {
                self.looked(key, result, context, effects);
            }
            (Purpose::Recheck, Answer::Queue(result)) => {
                self.rechecked(key, result, context, effects);
            }
            (Purpose::Evict, Answer::Applied(result)) => {
                self.evicted(key, result, context, effects);
            }
            (Purpose::Withdraw, Answer::Applied(result)) => {
                self.withdrawn(key, result, context, effects);
            }
            (Purpose::Check(of), Answer::Queue(Ok(queue))) if self.is_about(key, of) => {
                self.checked(key, &queue, context, effects);
            }
            (Purpose::Name(of), Answer::Applied(result)) if self.is_about(key, of) => {
                let result = result.map(|(outcome, _)| outcome);
                self.named(key, result, context, effects);
            }
            (Purpose::SyncRead, Answer::Record(result)) => {
                self.sync_read(key, result, context, effects);
            }
            (Purpose::SyncWrite(stamp), Answer::Done(result)) if self.is_in_view(key, stamp) => {
                self.sync_written(key, result, context, effects);
            }
            (Purpose::SyncCheck, Answer::Queue(result)) => {
                self.sync_checked(key, result, context, effects);
            }
            (Purpose::Synced, Answer::Applied(result)) => {
                self.marked_synced(key, result, context, effects);
            }
            (Purpose::Renumber, Answer::Applied(result)) => {
                let result = result.map(|(outcome, _)| outcome);
                self.renumbered(key, result, context, effects);
            }
            (Purpose::Put(stamp), Answer::Done(result)) => {
                self.put_answered(stamp, result, context, effects);
            }
            (Purpose::Get(op, epoch), Answer::Record(result)) => {
                self.get_answered(key, (op, epoch), result, effects);
            }
            (Purpose::GetCheck(op, seen), Answer::Queue(result)) => {
                self.get_checked(key, (op, seen), result, effects);
            }
            (Purpose::End, answer) => self.exit_answered(key, answer, context, effects),
            // A check that failed is made again on the next hint; an answer of
            // another kind than its call is a driver's mistake and says nothing.
            _ => {}
        }
    }

    fn enqueued(
        &mut self,
        key: KeyIndex,
        result: Result<(Outcome, Arc<LockQueue>), Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let own = self.terms.owner;
        let Some(hold) = self.hold_in(key, |phase| *phase == Phase::Entering) else {
            return;
        };
        match result {
            Ok((Outcome::Done(holding), queue)) => {
                let ticket = queue.ticket(holding.lock_ref);
                if ticket.is_none_or(|ticket| ticket.owner == own) {
                    hold.holding = holding;
                    self.observe_queue(key, &queue, context, effects);
                    self.mutate_fused_grant(key, &queue);
                } else {
                    // The client has asked another node for this section too.
                    // Two nodes must not write under one incarnation, and
                    // which of them it is with now only the client knows: it
                    // may ask for the adoption.
                    hold.settle(Phase::Out);
                    self.lose(Lost::Adopted, effects);
                }
                self.resume_end(key, effects);
                self.advance(context, effects);
            }
            // All 2^34 lockRefs of the key are used.
            Ok((Outcome::Gone | Outcome::Exhausted, _)) => {
                hold.leave(effects);
                self.lose(Lost::Preempted, effects);
                self.finish(effects);
            }
            Err(failure) => {
                hold.fail(failure, context.now);
                self.resume_end(key, effects);
            }
        }
    }

    /// What a fused grant could get wrong; nothing without a mutation.
    fn mutate_fused_grant(&mut self, key: KeyIndex, queue: &LockQueue) {
        let Some(hold) = self.hold_in(key, |_| true) else {
            return;
        };
        let number = hold.holding.lock_ref.get().saturating_sub(1);
        let last_is_gone = LockRef::new(number).is_some_and(|last| queue.ticket(last).is_none());
        if mutation::is_on(Mutation::FusedGrantAfterLast) && last_is_gone {
            hold.settle(Phase::AtHead);
        }
        if mutation::is_on(Mutation::FusedGrantIgnoresFlag) {
            hold.must_synchronize = false;
        }
    }

    fn looked(
        &mut self,
        key: KeyIndex,
        result: Result<Arc<LockQueue>, Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let Some(hold) = self.hold_in(key, |_| true) else {
            return;
        };
        hold.looking = false;
        if !matches!(hold.phase, Phase::Waiting { .. }) {
            return;
        }
        match result {
            Ok(queue) => {
                self.observe_queue(key, &queue, context, effects);
                self.advance(context, effects);
            }
            Err(failure) => hold.fail(failure, context.now),
        }
    }

    fn rechecked(
        &mut self,
        key: KeyIndex,
        result: Result<Arc<LockQueue>, Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let Some(hold) = self.hold_in(key, |phase| *phase == Phase::Looking) else {
            return;
        };
        match result {
            Ok(queue) => {
                self.observe_queue(key, &queue, context, effects);
                self.advance(context, effects);
            }
            Err(failure) => hold.fail(failure, context.now),
        }
    }

    /// Finds out from its queue where a key stands.
    pub(super) fn observe_queue(
        &mut self,
        key: KeyIndex,
        queue: &LockQueue,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let poll_at = context.now.after(self.poll_interval());
        let mode = self.terms.mode;
        let own = self.terms.owner;
        let is_set = self.keys.len() > 1;
        let Some(hold) = self.hold_in(key, |_| true) else {
            return;
        };
        let lock_ref = hold.holding.lock_ref;
        match queue.ticket(lock_ref) {
            None => return self.lose(Lost::Preempted, effects),
            Some(ticket) if ticket.incarnation != hold.holding.incarnation => {
                return self.lose(Lost::Adopted, effects);
            }
            Some(_) => {}
        }
        hold.see_last(queue.last());
        hold.looked_at = context.now;
        if let Some((blocker, ticket)) = blocker(queue, lock_ref, mode) {
            hold.settle(Phase::Waiting {
                blocker,
                owner: ticket.owner,
            });
            hold.retry_at = Some(poll_at);
            if hold.look_again {
                hold.look(key, effects);
            }
            observe_owners((&hold.id, queue), lock_ref, own, effects);
            let was_adopted = hold.holding.incarnation > Incarnation::default();
            if is_set && was_adopted && queue.is_at_head(lock_ref) {
                // It may have been granted at the node that it comes from: to
                // withdraw its other keys could tear that section apart.
                self.lose(Lost::Preempted, effects);
            }
        } else {
            hold.must_synchronize |= queue.needs_synchronization();
            hold.settle(Phase::AtHead);
        }
    }

    /// Goes on with the key set as far as its keys allow.
    pub(super) fn advance(&mut self, context: &Context, effects: &mut Vec<Effect>) {
        self.check_lease(context, effects);
        if self.status != Status::Waiting || !self.is_queued() {
            return;
        }
        let blocked = (0..)
            .map(KeyIndex)
            .zip(&self.keys)
            .find(|(_, hold)| !hold.phase.is_at_head());
        match blocked.map(|(index, hold)| (index, &hold.phase)) {
            None => self.settle_keys(context, effects),
            Some((from, Phase::Out)) => self.enter_from(from, effects),
            Some((_, Phase::Missing)) => self.lose(Lost::Preempted, effects),
            Some((first, _)) => self.withdraw_behind(first, effects),
        }
    }

    /// Every key heads its queue: synchronise those that must be, then grant.
    pub(super) fn settle_keys(&mut self, context: &Context, effects: &mut Vec<Effect>) {
        for (index, hold) in (0..).map(KeyIndex).zip(&mut self.keys) {
            if hold.phase != Phase::AtHead {
                continue;
            }
            if hold.must_synchronize {
                hold.enter(Phase::SyncReading, index, &self.terms, effects);
            } else {
                hold.settle(Phase::Held);
            }
        }
        self.check_lease(context, effects);
        let held = self.keys.iter().all(|hold| hold.phase == Phase::Held);
        if held && self.status == Status::Waiting {
            self.status = Status::Granted;
            effects.push(Effect::Changed);
        }
    }

    /// The keys before `from` are held: enter the others, and see whether
    /// those are held still.
    fn enter_from(&mut self, from: KeyIndex, effects: &mut Vec<Effect>) {
        for (index, hold) in (0..).map(KeyIndex).zip(&mut self.keys) {
            let phase = if index < from {
                Phase::Looking
            } else {
                Phase::Entering
            };
            hold.enter(phase, index, &self.terms, effects);
        }
    }

    /// Takes back the tickets behind the first blocked key.
    fn withdraw_behind(&mut self, first: KeyIndex, effects: &mut Vec<Effect>) {
        for (index, hold) in (0..).map(KeyIndex).zip(&mut self.keys) {
            if index <= first {
                continue;
            }
            if matches!(hold.phase, Phase::AtHead | Phase::Waiting { .. }) {
                hold.enter(Phase::Withdrawing, index, &self.terms, effects);
            } else if hold.phase == Phase::Missing {
                hold.settle(Phase::Out);
            }
        }
    }

    fn withdrawn(
        &mut self,
        key: KeyIndex,
        result: Result<(Outcome, Arc<LockQueue>), Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let Some(hold) = self.hold_in(key, |phase| *phase == Phase::Withdrawing) else {
            return;
        };
        match result {
            Ok((_, queue)) => {
                let adopted = queue.ticket(hold.holding.lock_ref).is_some();
                hold.withdraw(effects);
                if adopted {
                    self.lose(Lost::Adopted, effects);
                }
                self.resume_end(key, effects);
                self.advance(context, effects);
            }
            Err(failure) => hold.fail(failure, context.now),
        }
    }

    /// A queue may have changed: look at it where that matters.
    pub(super) fn hint(&mut self, key: KeyIndex, marks: Option<Marks>, effects: &mut Vec<Effect>) {
        let is_shared = self.terms.mode == Mode::Shared;
        let Some(hold) = self.hold_in(key, |_| true) else {
            return;
        };
        let lock_ref = hold.holding.lock_ref;
        if let Some(marks) = marks {
            hold.see_last(marks.last);
        }
        if let Phase::Waiting { blocker, .. } = hold.phase {
            // Others that come are nothing to it; a shared one may wait for a flag.
            let stays = |marks: Marks| {
                marks.first.is_some_and(|first| first <= blocker) && marks.forced < lock_ref
            };
            if is_shared || !marks.is_some_and(stays) {
                hold.look(key, effects);
            }
        } else if !hold.phase.is_at_head() {
            // The queue that is on its way here may be older than the hint.
            hold.look_again = true;
        } else if marks.is_none_or(|marks| marks.forced >= lock_ref) {
            hold.peek(key, Purpose::Check(lock_ref), effects);
        }
    }

    /// A key at its head was looked at, because somebody may have forced it.
    fn checked(
        &mut self,
        key: KeyIndex,
        queue: &LockQueue,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        // An adoption of its own is under way while it numbers its puts anew.
        let heads = |phase: &Phase| phase.is_at_head() && *phase != Phase::Renumbering;
        let request = self.terms.request;
        let Some(hold) = self.hold_in(key, heads) else {
            return;
        };
        let lock_ref = hold.holding.lock_ref;
        let own = queue.ticket_of(request);
        let elsewhere = own.is_some_and(|(other, _)| other != lock_ref);
        match queue.ticket(lock_ref) {
            None => self.lose(Lost::Preempted, effects),
            Some(ticket) if ticket.incarnation > hold.holding.incarnation => {
                self.lose(Lost::Adopted, effects);
            }
            // The client has not heard that it is granted here, and waits at
            // another node under its own name.
            Some(_) if hold.handed_over.is_some() && elsewhere => {
                self.lose(Lost::Adopted, effects);
                self.end(None, effects);
            }
            Some(_) => {
                hold.see_last(queue.last());
                hold.looked_at = context.now;
            }
        }
    }

    /// Forces the tickets ahead that the session keeps alive no more.
    pub(super) fn suspect(&mut self, session: SessionId, effects: &mut Vec<Effect>) {
        for (index, hold) in (0..).map(KeyIndex).zip(&mut self.keys) {
            if let Phase::Waiting { blocker, owner } = hold.phase
                && owner == session
            {
                let phase = Phase::Evicting { blocker, owner };
                hold.enter(phase, index, &self.terms, effects);
            }
        }
    }

    fn evicted(
        &mut self,
        key: KeyIndex,
        result: Result<(Outcome, Arc<LockQueue>), Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let evicts = |phase: &Phase| matches!(phase, Phase::Evicting { .. });
        let Some(hold) = self.hold_in(key, evicts) else {
            return;
        };
        match result {
            Ok((_, queue)) => {
                self.observe_queue(key, &queue, context, effects);
                self.advance(context, effects);
            }
            Err(failure) => hold.fail(failure, context.now),
        }
    }

    /// Whether the key's ticket is that one still; what comes of an earlier
    /// one says nothing any more.
    fn is_about(&self, key: KeyIndex, of: LockRef) -> bool {
        let hold = self.keys.get(usize::from(key.0));
        hold.is_some_and(|hold| hold.holding.lock_ref == of)
    }

    /// The key, if it is in such a phase; answers that come when it is not
    /// are late and say nothing any more.
    pub(super) fn hold_in(
        &mut self,
        key: KeyIndex,
        expected: impl FnOnce(&Phase) -> bool,
    ) -> Option<&mut super::hold::Hold> {
        self.keys
            .get_mut(usize::from(key.0))
            .filter(|hold| expected(&hold.phase))
    }
}

/// The ticket that must go before this one may be held: the head, or for a
/// shared ticket under a set flag the first, which is to synchronise.
fn blocker(queue: &LockQueue, lock_ref: LockRef, mode: Mode) -> Option<(LockRef, &Ticket)> {
    let must_wait_for_first = mode == Mode::Shared
        && queue.needs_synchronization()
        && !mutation::is_on(Mutation::SharedSideBySide);
    let may_go_first = !must_wait_for_first || queue.is_first(lock_ref);
    if queue.is_at_head(lock_ref) && may_go_first {
        return None;
    }
    queue.tickets().next()
}

/// Keeps an eye on the owners ahead, so that dead ones do not add up.
fn observe_owners(
    (id, queue): (&RecordId, &LockQueue),
    lock_ref: LockRef,
    own: SessionId,
    effects: &mut Vec<Effect>,
) {
    let mut seen = alloc::collections::BTreeSet::new();
    for (_, ticket) in queue.tickets().take_while(|(other, _)| *other < lock_ref) {
        if ticket.owner != own && seen.insert(ticket.owner) {
            effects.push(Effect::Observe {
                id: id.clone(),
                session: ticket.owner,
                lease: ticket.lease,
            });
        }
        if seen.len() >= OBSERVED_MAX {
            break;
        }
    }
}
