//! Another node mid-section: the client has moved here. Its tickets are found
//! by their request id and adopted: another owner, the next incarnation.
//!
//! Once they head their queues every key is synchronised under the new
//! incarnation, whether or not the flag is set, and that ends with `synced`:
//! what the first node still has on its way has lower stamps and loses. A
//! later key of a waiting set may have no ticket (it is entered when the
//! earlier ones are held); if the earlier ones are held, it was forced out.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::call::{Effect, Failure};
use super::hold::{Exit, Phase};
use super::{Context, CriticalSection, KeyIndex, Lost, Status, Terms};
use crate::lock_queue::{LockQueue, Outcome};
use crate::lock_ref::Holding;
use crate::mutation::{self, Mutation};

impl CriticalSection {
    pub(super) fn find_tickets(&mut self, effects: &mut Vec<Effect>) {
        for (index, hold) in (0..).map(KeyIndex).zip(&mut self.keys) {
            hold.enter(Phase::Finding, index, &self.terms, effects);
        }
    }

    pub(super) fn found(
        &mut self,
        key: KeyIndex,
        result: Result<Arc<LockQueue>, Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        self.check_lease(context, effects);
        let terms = self.terms.clone();
        let wanted = !matches!(self.status, Status::Lost(_));
        let Some(hold) = self.hold_in(key, |phase| *phase == Phase::Finding) else {
            return;
        };
        let found = |queue: &LockQueue| {
            let (lock_ref, ticket) = queue.ticket_of(terms.request)?;
            let incarnation = ticket.incarnation;
            let holding = Holding {
                lock_ref,
                incarnation,
            };
            Some((holding, ticket.owner))
        };
        match result.map(|queue| (found(&queue), queue)) {
            Ok((Some((holding, _)), _)) if wanted => {
                hold.holding = holding;
                hold.enter(Phase::Adopting, key, &terms, effects);
            }
            // A ticket of this very node, from before it looked: nobody else
            // would ever take it for dead.
            Ok((Some((holding, owner)), _)) if owner == terms.owner => {
                hold.holding = holding;
                hold.unwatch(effects);
                hold.enter(Phase::Leaving(Exit::Force), key, &terms, effects);
            }
            // It may be the section's, whose name the queue is not told at once.
            Ok((None, queue)) if wanted && queue.has_kept() && hold.ask_again(context.now) => {
                self.resume_end(key, effects);
            }
            Ok(_) => {
                hold.settle(Phase::Missing);
                self.resume_end(key, effects);
                self.advance(context, effects);
            }
            Err(failure) => {
                hold.fail(failure, context.now);
                self.resume_end(key, effects);
            }
        }
    }

    pub(super) fn adopted(
        &mut self,
        key: KeyIndex,
        result: Result<(Outcome, Arc<LockQueue>), Failure>,
        context: &Context,
        effects: &mut Vec<Effect>,
    ) {
        let terms = self.terms.clone();
        let wanted = !matches!(self.status, Status::Lost(_));
        let Some(hold) = self.hold_in(key, |phase| *phase == Phase::Adopting) else {
            return;
        };
        match result {
            Ok((Outcome::Done(holding), queue)) => {
                hold.holding = holding;
                if let Some(ticket) = queue.ticket(holding.lock_ref) {
                    hold.take_hand_overs(ticket.hand_overs);
                }
                hold.must_synchronize = !mutation::is_on(Mutation::AdoptWithoutSync);
                self.observe_queue(key, &queue, context, effects);
                self.resume_end(key, effects);
                self.advance(context, effects);
            }
            // The client has moved on to it: what it does there counts.
            Ok((Outcome::Gone, queue)) if has_moved_on(&queue, &terms) => {
                hold.leave(effects);
                self.lose(Lost::Adopted, effects);
                self.finish(effects);
            }
            // Another node was faster: its incarnation is the one to adopt. But
            // the client may be there by now; it must be heard here once more.
            Ok((Outcome::Gone, queue)) if wanted && queue.holding_of(terms.request).is_some() => {
                hold.settle(Phase::Finding);
                hold.fail(Failure::NotApplied, context.now);
                self.resume_end(key, effects);
            }
            Ok((Outcome::Gone, _)) => {
                hold.leave(effects);
                self.lose(Lost::Preempted, effects);
                self.finish(effects);
            }
            // All 256 incarnations are used: nobody can take it over any more.
            Ok((Outcome::Exhausted, _)) => {
                hold.leave(effects);
                self.lose(Lost::Adopted, effects);
                self.finish(effects);
            }
            Err(failure) => {
                hold.fail(failure, context.now);
                self.resume_end(key, effects);
            }
        }
    }
}

/// Whether the client has asked a later node for the section.
fn has_moved_on(queue: &LockQueue, terms: &Terms) -> bool {
    let ticket = queue.ticket_of(terms.request);
    ticket.is_some_and(|(_, ticket)| ticket.moves > terms.moves)
}
